//! The kinds of Kubernetes that are followed. Pods are followed once for the whole cluster.

use super::{
    collection::{Collection, Wake},
    pod::{self, PodEntry},
    shelf::{Place, Shelf},
    workload::{self, WorkloadEntry, WorkloadKind},
    world::{BudgetEntry, NamespaceEntry, Watch, World},
};
use crate::kubernetes::wire::{self, OnlyMeta, OwnerRef, Selector};
use lockkeeper_api::names;
use lockkeeper_core::image::Platform;
use serde_json::Value;

/// All pods of the cluster.
pub struct Pods;

impl Collection for Pods {
    type Wire = wire::Pod;
    type Kept = PodEntry;

    fn watch(&self) -> Watch {
        Watch::Pods
    }
    fn paths(&self) -> Vec<String> {
        vec!["/api/v1/pods".to_owned()]
    }
    fn trim(&self, object: wire::Pod) -> Option<(Place, PodEntry)> {
        Some((Place::of(&object.metadata), pod::trim(object)))
    }
    fn shelf<'a>(&self, world: &'a mut World) -> &'a mut Shelf<PodEntry> {
        &mut world.pods
    }
    fn concerned(&self, world: &mut World, place: &Place, old: Option<&PodEntry>) -> Wake {
        let new = world.pods.get(&place.namespace, &place.name);
        if let (Some(old), Some(new)) = (old, new)
            && old.same(new)
        {
            return Wake::new();
        }
        let either: Vec<&PodEntry> = old.into_iter().chain(new).collect();
        world.policies_in(&place.namespace, |policy| {
            either.iter().any(|entry| world.policy_matches_pod(policy, &place.namespace, entry))
        })
    }
}

/// Namespaces.
pub struct Namespaces;

impl Collection for Namespaces {
    type Wire = wire::Namespace;
    type Kept = NamespaceEntry;

    fn watch(&self) -> Watch {
        Watch::Namespaces
    }
    fn paths(&self) -> Vec<String> {
        vec!["/api/v1/namespaces".to_owned()]
    }
    fn trim(&self, object: wire::Namespace) -> Option<(Place, NamespaceEntry)> {
        let meta = object.metadata;
        let terminating = meta.deletion_timestamp.is_some() || object.status.phase == "Terminating";
        let usable = !terminating && !meta.labels.contains_key(names::IGNORE);
        Some((Place::of(&meta), NamespaceEntry { labels: meta.labels, usable, terminating }))
    }
    fn shelf<'a>(&self, world: &'a mut World) -> &'a mut Shelf<NamespaceEntry> {
        &mut world.namespaces
    }
    fn concerned(&self, world: &mut World, place: &Place, old: Option<&NamespaceEntry>) -> Wake {
        if old.is_some() && old == world.namespaces.get("", &place.name) {
            return Wake::new();
        }
        world.namespace_changed(&place.name)
    }
}

/// Nodes: only their platforms.
pub struct Nodes;

impl Collection for Nodes {
    type Wire = OnlyMeta;
    type Kept = Platform;

    fn watch(&self) -> Watch {
        Watch::Nodes
    }
    fn paths(&self) -> Vec<String> {
        vec!["/api/v1/nodes".to_owned()]
    }
    fn metadata_only(&self) -> bool {
        true
    }
    fn trim(&self, object: OnlyMeta) -> Option<(Place, Platform)> {
        let label = |key| object.metadata.labels.get(key);
        let (os, arch) = (label("kubernetes.io/os")?, label("kubernetes.io/arch")?);
        Some((Place::of(&object.metadata), format!("{os}/{arch}").parse().ok()?))
    }
    fn shelf<'a>(&self, world: &'a mut World) -> &'a mut Shelf<Platform> {
        &mut world.nodes
    }
    fn concerned(&self, world: &mut World, place: &Place, old: Option<&Platform>) -> Wake {
        // A node that comes has no pods yet, and one that goes has none left: the pods tell.
        match (old, world.nodes.get("", &place.name)) {
            (Some(old), Some(new)) if old != new => world.all_policies(),
            _ => Wake::new(),
        }
    }
}

/// What stands between pods and their workloads: only who owns it.
pub enum Between {
    /// `ReplicaSets` of Deployments.
    ReplicaSets,
    /// Jobs of `CronJobs`.
    Jobs,
}

impl Collection for Between {
    type Wire = OnlyMeta;
    type Kept = OwnerRef;

    fn watch(&self) -> Watch {
        match self {
            Self::ReplicaSets => Watch::ReplicaSets,
            Self::Jobs => Watch::Jobs,
        }
    }
    fn paths(&self) -> Vec<String> {
        let path = match self {
            Self::ReplicaSets => "/apis/apps/v1/replicasets",
            Self::Jobs => "/apis/batch/v1/jobs",
        };
        vec![path.to_owned()]
    }
    fn metadata_only(&self) -> bool {
        true
    }
    fn trim(&self, object: OnlyMeta) -> Option<(Place, OwnerRef)> {
        // One of its own is its own top owner, as if it were not here.
        let owner = object.metadata.controller()?.clone();
        Some((Place::of(&object.metadata), owner))
    }
    fn shelf<'a>(&self, world: &'a mut World) -> &'a mut Shelf<OwnerRef> {
        match self {
            Self::ReplicaSets => &mut world.replica_sets,
            Self::Jobs => &mut world.jobs,
        }
    }
    fn concerned(&self, world: &mut World, place: &Place, old: Option<&OwnerRef>) -> Wake {
        if old.is_some() && old == self.shelf(world).get(&place.namespace, &place.name) {
            return Wake::new();
        }
        let kind = match self {
            Self::ReplicaSets => "ReplicaSet",
            Self::Jobs => "Job",
        };
        world.concerned_by_owner(kind, place)
    }
}

/// One kind with a pod template.
pub struct Workloads(pub WorkloadKind);

impl Collection for Workloads {
    type Wire = Value;
    type Kept = WorkloadEntry;

    fn watch(&self) -> Watch {
        Watch::Workloads(self.0.name())
    }
    fn paths(&self) -> Vec<String> {
        vec![self.0.path()]
    }
    fn may_be_absent(&self) -> bool {
        !WorkloadKind::builtin().contains(&self.0)
    }
    fn trim(&self, object: Value) -> Option<(Place, WorkloadEntry)> {
        let (meta, entry) = workload::trim(&self.0, &object)?;
        Some((Place::of(&meta), entry))
    }
    fn shelf<'a>(&self, world: &'a mut World) -> &'a mut Shelf<WorkloadEntry> {
        world.workloads.entry(self.0.name()).or_default()
    }
    fn concerned(&self, world: &mut World, place: &Place, old: Option<&WorkloadEntry>) -> Wake {
        let new = world.workloads.get(&self.0.name()).and_then(|s| s.get(&place.namespace, &place.name));
        if old.is_some() && old == new {
            return Wake::new();
        }
        let was_and_is: Vec<&WorkloadEntry> = old.into_iter().chain(new).collect();
        world.concerned_by_workload(place, &was_and_is)
    }
}

/// `PodDisruptionBudgets`.
pub struct Budgets;

impl Collection for Budgets {
    type Wire = wire::Budget;
    type Kept = BudgetEntry;

    fn watch(&self) -> Watch {
        Watch::Budgets
    }
    fn paths(&self) -> Vec<String> {
        vec!["/apis/policy/v1/poddisruptionbudgets".to_owned()]
    }
    fn trim(&self, object: wire::Budget) -> Option<(Place, BudgetEntry)> {
        let blocked = object.status.disruptions_allowed.is_none_or(|allowed| allowed <= 0);
        let place = Place::of(&object.metadata);
        // No selector at all selects no pod.
        let selector: Option<Selector> = object.spec.selector;
        Some((place, BudgetEntry { selector, blocked }))
    }
    fn shelf<'a>(&self, world: &'a mut World) -> &'a mut Shelf<BudgetEntry> {
        &mut world.budgets
    }
    fn concerned(&self, world: &mut World, place: &Place, old: Option<&BudgetEntry>) -> Wake {
        let new = world.budgets.get(&place.namespace, &place.name);
        if old.is_some() && old == new {
            return Wake::new();
        }
        let was_and_is: Vec<&BudgetEntry> = old.into_iter().chain(new).collect();
        world.concerned_by_budget(place, &was_and_is)
    }
}
