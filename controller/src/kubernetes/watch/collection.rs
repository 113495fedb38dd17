//! The collections that are followed: where they are, what is kept of them, and whom a change concerns.
//!
//! Guarantees: a change wakes exactly the policies it may concern; an object that cannot be read is left out and
//! named in the log, and stops nothing else (K15). Pods are followed once for the whole cluster.

use super::{
    own::{self, InterventionEntry, ParsedPolicies, PinEntry},
    pod::{self, PodEntry},
    shelf::{Place, Shelf},
    workload::{self, WorkloadEntry, WorkloadKind},
    world::{BudgetEntry, NamespaceEntry, Watch, World},
};
use crate::{
    kubernetes::wire::{self, Meta, OnlyMeta, OwnerRef, Selector},
    ports::{PolicyKey, StoredPolicy},
};
use lockkeeper_api::names;
use lockkeeper_core::{image::Platform, observed::QuarantineSeen};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use std::{collections::BTreeSet, sync::Arc};

/// The policies to wake.
pub type Wake = BTreeSet<PolicyKey>;

/// An object as it arrives.
pub trait Arrives: DeserializeOwned + Clone + Send + 'static {
    /// Its metadata, if readable.
    fn meta(&self) -> Option<Meta>;
}

macro_rules! arrives {
    ($($type:ty),*) => {$(
        impl Arrives for $type {
            fn meta(&self) -> Option<Meta> {
                Some(self.metadata.clone())
            }
        }
    )*};
}
arrives!(wire::Pod, wire::Namespace, wire::Budget, OnlyMeta);

impl Arrives for Value {
    fn meta(&self) -> Option<Meta> {
        Meta::deserialize(self.get("metadata")?).ok()
    }
}

/// One collection of objects.
pub trait Collection: Send + Sync + 'static {
    /// The objects as they arrive.
    type Wire: Arrives;
    /// What is kept of each.
    type Kept: Send + Sync;

    /// Which one this is.
    fn watch(&self) -> Watch;
    /// Where it is; the first that is served counts.
    fn paths(&self) -> Vec<String>;
    /// Only metadata is asked for.
    fn metadata_only(&self) -> bool {
        false
    }
    /// Not being served is an answer.
    fn may_be_absent(&self) -> bool {
        false
    }
    /// What is kept.
    fn trim(&self, object: Self::Wire) -> Option<(Place, Self::Kept)>;
    /// Where it is kept.
    fn shelf<'a>(&self, world: &'a mut World) -> &'a mut Shelf<Self::Kept>;
    /// Whom a change concerns. `old` is what was there, the world holds what is there now.
    fn concerned(&self, world: &mut World, place: &Place, old: Option<&Self::Kept>) -> Wake;

    /// Its place.
    fn place(object: &Self::Wire) -> Option<Place> {
        object.meta().map(|meta| Place::of(&meta))
    }
    /// The watch has come this far.
    fn position(object: &Self::Wire, position: &mut String) {
        if let Some(meta) = object.meta().filter(|meta| !meta.resource_version.is_empty()) {
            *position = meta.resource_version;
        }
    }
    /// The watch shows an object.
    fn show(&self, world: &mut World, place: &Place, kept: Self::Kept) -> Wake {
        match self.shelf(world).show(place, kept) {
            Some(old) => self.concerned(world, place, old.as_ref()),
            None => Wake::new(),
        }
    }
    /// An answer to our own write shows an object.
    fn absorb(&self, world: &mut World, place: &Place, kept: Self::Kept) -> Wake {
        match self.shelf(world).absorb(place, kept) {
            Some(old) => self.concerned(world, place, old.as_ref()),
            None => Wake::new(),
        }
    }
    /// The watch shows that an object is gone.
    fn remove(&self, world: &mut World, place: &Place) -> Wake {
        match self.shelf(world).remove(place) {
            Some(old) => self.concerned(world, place, Some(&old)),
            None => Wake::new(),
        }
    }
}

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

/// `ReplicaSets`: only who owns them.
pub struct ReplicaSets;

impl Collection for ReplicaSets {
    type Wire = OnlyMeta;
    type Kept = OwnerRef;

    fn watch(&self) -> Watch {
        Watch::ReplicaSets
    }
    fn paths(&self) -> Vec<String> {
        vec!["/apis/apps/v1/replicasets".to_owned()]
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
        &mut world.replica_sets
    }
    fn concerned(&self, world: &mut World, place: &Place, old: Option<&OwnerRef>) -> Wake {
        if old.is_some() && old == world.replica_sets.get(&place.namespace, &place.name) {
            return Wake::new();
        }
        world.policies_in(&place.namespace, |_| true)
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
        world.policies_in(&place.namespace, |_| true)
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
        if old.is_some() && old == world.budgets.get(&place.namespace, &place.name) {
            return Wake::new();
        }
        world.policies_in(&place.namespace, |_| true)
    }
}

/// `ImagePolicies`.
pub struct Policies(pub Arc<ParsedPolicies>);

impl Collection for Policies {
    type Wire = Value;
    type Kept = Arc<StoredPolicy>;

    fn watch(&self) -> Watch {
        Watch::Policies
    }
    fn paths(&self) -> Vec<String> {
        vec![own::path("imagepolicies")]
    }
    fn trim(&self, object: Value) -> Option<(Place, Arc<StoredPolicy>)> {
        let (meta, stored) = self.0.stored(object)?;
        Some((Place::of(&meta), Arc::new(stored)))
    }
    fn shelf<'a>(&self, world: &'a mut World) -> &'a mut Shelf<Arc<StoredPolicy>> {
        &mut world.policies
    }
    fn concerned(&self, world: &mut World, place: &Place, old: Option<&Arc<StoredPolicy>>) -> Wake {
        let key = PolicyKey { namespace: place.namespace.clone(), name: place.name.clone() };
        let new = world.policies.get(&key.namespace, &key.name);
        if new.is_none() {
            self.0.forget(&key);
        }
        let mut woken = match (old, new) {
            // Only its status changed: nobody else's business.
            (Some(old), Some(new)) if (&old.uid, old.generation) == (&new.uid, new.generation) => Wake::new(),
            _ => world.policy_changed(&key),
        };
        woken.insert(key);
        woken
    }
}

/// `ImagePins`.
pub struct Pins;

impl Collection for Pins {
    type Wire = Value;
    type Kept = PinEntry;

    fn watch(&self) -> Watch {
        Watch::Pins
    }
    fn paths(&self) -> Vec<String> {
        vec![own::path("imagepins")]
    }
    fn trim(&self, object: Value) -> Option<(Place, PinEntry)> {
        let (meta, entry) = own::pin(&object)?;
        Some((Place::of(&meta), entry))
    }
    fn shelf<'a>(&self, world: &'a mut World) -> &'a mut Shelf<PinEntry> {
        &mut world.pins
    }
    fn concerned(&self, world: &mut World, place: &Place, old: Option<&PinEntry>) -> Wake {
        let new = world.pins.get(&place.namespace, &place.name);
        old.into_iter().chain(new).map(PinEntry::policy).collect()
    }
}

/// Quarantines.
pub struct Quarantines;

impl Collection for Quarantines {
    type Wire = Value;
    type Kept = QuarantineSeen;

    fn watch(&self) -> Watch {
        Watch::Quarantines
    }
    fn paths(&self) -> Vec<String> {
        vec![own::path("quarantines")]
    }
    fn trim(&self, object: Value) -> Option<(Place, QuarantineSeen)> {
        let (meta, seen) = own::quarantine(&object)?;
        Some((Place::of(&meta), seen))
    }
    fn shelf<'a>(&self, world: &'a mut World) -> &'a mut Shelf<QuarantineSeen> {
        &mut world.quarantines
    }
    fn concerned(&self, world: &mut World, place: &Place, _: Option<&QuarantineSeen>) -> Wake {
        world.policies_of(&place.namespace)
    }
}

/// Interventions.
pub struct Interventions;

impl Collection for Interventions {
    type Wire = Value;
    type Kept = InterventionEntry;

    fn watch(&self) -> Watch {
        Watch::Interventions
    }
    fn paths(&self) -> Vec<String> {
        vec![own::path("interventions")]
    }
    fn trim(&self, object: Value) -> Option<(Place, InterventionEntry)> {
        let (meta, entry) = own::intervention(&object)?;
        Some((Place::of(&meta), entry))
    }
    fn shelf<'a>(&self, world: &'a mut World) -> &'a mut Shelf<InterventionEntry> {
        &mut world.interventions
    }
    fn concerned(&self, world: &mut World, place: &Place, old: Option<&InterventionEntry>) -> Wake {
        let new = world.interventions.get(&place.namespace, &place.name);
        let either: Vec<&InterventionEntry> = old.into_iter().chain(new).collect();
        let concerned = |stored: &StoredPolicy| {
            let (key, own) = (&stored.key, &world.own_namespace);
            either.iter().any(|entry| entry.object.concerns(&key.namespace, &key.name, &stored.uid, own))
        };
        let all = world.policies.iter().filter(|(_, _, stored)| concerned(stored));
        all.map(|(_, _, stored)| stored.key.clone()).collect()
    }
}

/// Mutating admission policies: whether one has `ImagePins` as its parameters.
pub struct AdmissionPolicies;

/// Bindings of mutating admission policies: which policy they bind.
pub struct AdmissionBindings;

/// v1 is served since Kubernetes 1.36.
fn admission_paths(plural: &str) -> Vec<String> {
    ["v1", "v1beta1"]
        .iter()
        .map(|version| format!("/apis/admissionregistration.k8s.io/{version}/{plural}"))
        .collect()
}

impl Collection for AdmissionPolicies {
    type Wire = Value;
    type Kept = bool;

    fn watch(&self) -> Watch {
        Watch::AdmissionPolicies
    }
    fn paths(&self) -> Vec<String> {
        admission_paths("mutatingadmissionpolicies")
    }
    fn may_be_absent(&self) -> bool {
        true
    }
    fn trim(&self, object: Value) -> Option<(Place, bool)> {
        let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let pins = text("/spec/paramKind/kind") == "ImagePin"
            && text("/spec/paramKind/apiVersion").starts_with(&format!("{}/", names::GROUP));
        Some((Self::place(&object)?, pins))
    }
    fn shelf<'a>(&self, world: &'a mut World) -> &'a mut Shelf<bool> {
        &mut world.admission_policies
    }
    fn concerned(&self, world: &mut World, place: &Place, old: Option<&bool>) -> Wake {
        let new = world.admission_policies.get("", &place.name);
        if old.is_some() && old == new { Wake::new() } else { world.all_policies() }
    }
}

impl Collection for AdmissionBindings {
    type Wire = Value;
    type Kept = String;

    fn watch(&self) -> Watch {
        Watch::AdmissionBindings
    }
    fn paths(&self) -> Vec<String> {
        admission_paths("mutatingadmissionpolicybindings")
    }
    fn may_be_absent(&self) -> bool {
        true
    }
    fn trim(&self, object: Value) -> Option<(Place, String)> {
        let policy = object.pointer("/spec/policyName")?.as_str()?.to_owned();
        Some((Self::place(&object)?, policy))
    }
    fn shelf<'a>(&self, world: &'a mut World) -> &'a mut Shelf<String> {
        &mut world.admission_bindings
    }
    fn concerned(&self, world: &mut World, place: &Place, old: Option<&String>) -> Wake {
        let new = world.admission_bindings.get("", &place.name);
        if old.is_some() && old == new { Wake::new() } else { world.all_policies() }
    }
}
