//! What all watches show together, and which policy reaches where.
//!
//! Guarantees: the index of where policies reach is kept by every change of a policy or a namespace; how
//! fresh each watch is. No I/O.

use super::{
    collection::Wake,
    own::{InterventionEntry, PinEntry},
    pod::PodEntry,
    reach::{Reach, Reached},
    shelf::Shelf,
    workload::{WorkloadEntry, WorkloadKind},
};
use crate::{
    kubernetes::{
        birth::plan::Version,
        wire::{OwnerRef, Selector, has_all},
    },
    ports::{PolicyKey, StoredPolicy, WatchState},
};
use jiff::Timestamp;
use lockkeeper_core::{
    git::GitTarget,
    image::Platform,
    observed::QuarantineSeen,
    policy::{Mode, Namespaces, PodsTarget, Policy, Target, WorkloadsTarget},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

/// Which collection is followed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Watch {
    /// Namespaces.
    Namespaces,
    /// Nodes.
    Nodes,
    /// Pods.
    Pods,
    /// `ReplicaSets`.
    ReplicaSets,
    /// Jobs.
    Jobs,
    /// A kind with a pod template, as `Kind.group`.
    Workloads(String),
    /// `PodDisruptionBudgets`.
    Budgets,
    /// `ImagePolicies`.
    Policies,
    /// `ImagePins`.
    Pins,
    /// Quarantines.
    Quarantines,
    /// Interventions.
    Interventions,
    /// Mutating admission policies.
    AdmissionPolicies,
    /// Their bindings.
    AdmissionBindings,
}

impl fmt::Display for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workloads(kind) => f.write_str(kind),
            other => write!(f, "{other:?}"),
        }
    }
}

/// What is kept of a Namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceEntry {
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Neither terminating nor left alone by label.
    pub usable: bool,
    /// It is being deleted.
    pub terminating: bool,
}

/// What is kept of a disruption budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetEntry {
    /// Which pods.
    pub selector: Option<Selector>,
    /// It allows no disruption now.
    pub blocked: bool,
}

/// Everything that is watched.
#[derive(Debug, Default)]
pub struct World {
    /// The controller's own namespace: Interventions there concern all policies.
    pub own_namespace: String,
    /// The kinds with a pod template.
    pub kinds: Vec<WorkloadKind>,
    /// Namespaces, under the empty namespace.
    pub namespaces: Shelf<NamespaceEntry>,
    /// Platforms of nodes, under the empty namespace.
    pub nodes: Shelf<Platform>,
    /// Pods.
    pub pods: Shelf<PodEntry>,
    /// Owners of `ReplicaSets`.
    pub replica_sets: Shelf<OwnerRef>,
    /// Owners of Jobs.
    pub jobs: Shelf<OwnerRef>,
    /// Workloads by `Kind.group`.
    pub workloads: BTreeMap<String, Shelf<WorkloadEntry>>,
    /// Budgets.
    pub budgets: Shelf<BudgetEntry>,
    /// Policies.
    pub policies: Shelf<Arc<StoredPolicy>>,
    /// Pins.
    pub pins: Shelf<PinEntry>,
    /// Quarantines.
    pub quarantines: Shelf<QuarantineSeen>,
    /// Interventions.
    pub interventions: Shelf<InterventionEntry>,
    /// Whether a mutating admission policy pins pods at birth.
    pub admission_policies: Shelf<bool>,
    /// The policy that a binding binds.
    pub admission_bindings: Shelf<String>,
    /// In which version the API server serves such policies, as far as it was looked for.
    pub birth_policy: Option<Version>,
    /// The webhook that pins pods at birth is there.
    pub birth_webhook: bool,
    /// Where policies reach.
    reach: Reach,
    /// All watches.
    watches: Vec<Watch>,
    /// Watches whose first list is complete.
    synced: BTreeSet<Watch>,
    /// Watches that are not fresh, and since when.
    stale: BTreeMap<Watch, Timestamp>,
}

impl World {
    /// A world in which nothing has been seen since `now`.
    #[must_use]
    pub fn new(own_namespace: String, kinds: Vec<WorkloadKind>, now: Timestamp) -> Self {
        use Watch as W;
        let mut watches = vec![
            W::Namespaces,
            W::Nodes,
            W::Pods,
            W::ReplicaSets,
            W::Jobs,
            W::Budgets,
            W::Policies,
            W::Pins,
            W::Quarantines,
            W::Interventions,
            W::AdmissionPolicies,
            W::AdmissionBindings,
        ];
        watches.extend(kinds.iter().map(|kind| W::Workloads(kind.name())));
        let stale = watches.iter().map(|watch| (watch.clone(), now)).collect();
        Self { own_namespace, kinds, watches, stale, ..Self::default() }
    }

    /// A watch is fresh. Returns since when it was not.
    pub fn fresh(&mut self, watch: &Watch) -> Option<Timestamp> {
        self.synced.insert(watch.clone());
        self.stale.remove(watch)
    }

    /// A watch is not fresh since `since`. Whether that is new.
    pub fn stale(&mut self, watch: Watch, since: Timestamp) -> bool {
        let mut new = false;
        self.stale.entry(watch).or_insert_with(|| {
            new = true;
            since
        });
        new
    }

    /// No watch is fresh.
    pub fn all_stale(&mut self, since: Timestamp) {
        for watch in self.watches.clone() {
            self.stale(watch, since);
        }
    }

    /// Whether its first list is complete.
    #[must_use]
    pub fn has_listed(&self, watch: &Watch) -> bool {
        self.synced.contains(watch)
    }

    /// The watches that are not fresh.
    #[must_use]
    pub fn stale_watches(&self) -> &BTreeMap<Watch, Timestamp> {
        &self.stale
    }

    /// Every watch and how fresh it is, sorted by kind.
    #[must_use]
    pub fn watch_states(&self) -> Vec<WatchState> {
        let states = self.watches.iter().map(|watch| WatchState {
            kind: watch.to_string(),
            synced: self.synced.contains(watch),
            stale_since: self.stale.get(watch).copied(),
        });
        let mut states: Vec<WatchState> = states.collect();
        states.sort_by(|a, b| a.kind.cmp(&b.kind));
        states
    }

    /// All policies.
    #[must_use]
    pub fn all_policies(&self) -> Wake {
        self.policies.iter().map(|(_, _, stored)| stored.key.clone()).collect()
    }

    /// The policies that are stored in a namespace.
    #[must_use]
    pub fn policies_of(&self, namespace: &str) -> Wake {
        self.policies.in_namespace(namespace).map(|(_, stored)| stored.key.clone()).collect()
    }

    /// A policy that could be read.
    #[must_use]
    pub fn policy(&self, key: &PolicyKey) -> Option<&Arc<Policy>> {
        self.policies.get(&key.namespace, &key.name)?.policy.as_ref().ok()
    }

    /// The policies that reach into a namespace and satisfy `concerned`.
    pub fn policies_in(&self, namespace: &str, concerned: impl Fn(&Policy) -> bool) -> Wake {
        let reaching = self.reach.reaching(namespace);
        reaching.filter(|key| self.policy(key).is_some_and(|policy| concerned(policy))).cloned().collect()
    }

    /// Whether any target of the policy may match this pod. The stage's namespaces are not looked at again.
    #[must_use]
    pub fn policy_matches_pod(&self, policy: &Policy, namespace: &str, pod: &PodEntry) -> bool {
        policy.stages.iter().flat_map(|stage| &stage.targets).any(|target| match target {
            Target::Pods(PodsTarget { match_labels, .. }) | Target::Git(GitTarget { match_labels, .. }) => {
                has_all(&pod.labels, match_labels)
            }
            Target::Workloads(target) => self.owner_of(namespace, pod).is_some_and(|owner| {
                self.workload(namespace, &owner.kind, &owner.name).is_some_and(|w| self.selects(target, w))
            }),
        })
    }

    /// Whether a target selects a workload, its namespace apart.
    #[must_use]
    pub fn selects(&self, target: &WorkloadsTarget, workload: &WorkloadEntry) -> bool {
        let kinds = || self.kinds.iter().filter(|kind| kind.kind == workload.seen.kind);
        has_all(&workload.labels, &target.match_labels)
            && kinds().any(|kind| {
                kind.api_version() == workload.seen.api_version
                    && (target.kinds.is_empty() || target.kinds.iter().any(|name| kind.is(name)))
            })
    }

    /// A pod's top owner: the Deployment behind its `ReplicaSet`, the `CronJob` behind its Job, or what controls it.
    #[must_use]
    pub fn owner_of<'a>(&'a self, namespace: &str, pod: &'a PodEntry) -> Option<&'a OwnerRef> {
        let owner = pod.owner.as_ref()?;
        let behind = match owner.kind.as_str() {
            "ReplicaSet" => self.replica_sets.get(namespace, &owner.name),
            "Job" => self.jobs.get(namespace, &owner.name),
            _ => None,
        };
        Some(behind.unwrap_or(owner))
    }

    /// A workload by kind and name.
    #[must_use]
    pub fn workload(&self, namespace: &str, kind: &str, name: &str) -> Option<&WorkloadEntry> {
        let mut kinds = self.kinds.iter().filter(|known| known.kind == kind);
        kinds.find_map(|kind| self.workloads.get(&kind.name())?.get(namespace, name))
    }

    /// The usable namespaces of a target, sorted.
    #[must_use]
    pub fn usable(&self, policy: &Policy, namespaces: &Namespaces) -> BTreeSet<String> {
        self.existing(policy, namespaces, |entry| entry.usable)
    }

    /// The namespaces of a target that are being deleted.
    #[must_use]
    pub fn terminating(&self, policy: &Policy, namespaces: &Namespaces) -> BTreeSet<String> {
        self.existing(policy, namespaces, |entry| entry.terminating)
    }

    fn existing(
        &self,
        policy: &Policy,
        namespaces: &Namespaces,
        wanted: impl Fn(&NamespaceEntry) -> bool,
    ) -> BTreeSet<String> {
        let is = |name: &&String| self.namespaces.get("", name).is_some_and(&wanted);
        match namespaces {
            Namespaces::Own => std::iter::once(&policy.namespace).filter(is).cloned().collect(),
            Namespaces::Named(names) => names.iter().filter(is).cloned().collect(),
            Namespaces::Matching(labels) => self
                .namespaces
                .in_namespace("")
                .filter(|(_, entry)| wanted(entry) && has_all(&entry.labels, labels))
                .map(|(name, _)| name.to_owned())
                .collect(),
        }
    }

    /// The other policies that reach into one of these namespaces, share a repository with this one and write.
    pub fn writing_rivals(
        &self,
        policy: &Policy,
        key: &PolicyKey,
        namespaces: &BTreeSet<String>,
    ) -> impl Iterator<Item = &Arc<Policy>> {
        let rivals = self.reach.rivals(key, policy.repositories(), namespaces);
        let writing: BTreeSet<&PolicyKey> =
            rivals.filter(|(_, mode)| *mode == Mode::Enforce).map(|(rival, _)| rival).collect();
        writing.into_iter().filter_map(|rival| self.policy(rival))
    }

    /// A policy came, went or got another spec: index it anew. Returns whose claims or rivals change by that.
    pub fn policy_changed(&mut self, key: &PolicyKey) -> Wake {
        let policy = self.policy(key).cloned();
        let now = policy.map(|policy| Reached {
            namespaces: self.reached_by(&policy),
            repositories: policy.repositories().cloned().collect(),
            mode: policy.mode,
        });
        self.reach.set(key, now)
    }

    /// A namespace came, went or got other labels: index it anew. Returns all that reach it, or did.
    pub fn namespace_changed(&mut self, name: &str) -> Wake {
        let labels = self.namespaces.get("", name).map(|entry| &entry.labels);
        let reaching = self
            .policies
            .iter()
            .filter(|(_, _, stored)| {
                stored.policy.as_ref().is_ok_and(|policy| {
                    targets(policy).any(|target| mentions(target.namespaces(), policy, name, labels))
                })
            })
            .map(|(_, _, stored)| stored.key.clone())
            .collect();
        self.reach.set_namespace(name, reaching)
    }

    fn reached_by(&self, policy: &Policy) -> BTreeSet<String> {
        let mut reached = BTreeSet::new();
        for target in targets(policy) {
            match target.namespaces() {
                Namespaces::Own => drop(reached.insert(policy.namespace.clone())),
                Namespaces::Named(names) => reached.extend(names.iter().cloned()),
                matching @ Namespaces::Matching(_) => reached.extend(
                    self.namespaces
                        .in_namespace("")
                        .filter(|(name, entry)| mentions(matching, policy, name, Some(&entry.labels)))
                        .map(|(name, _)| name.to_owned()),
                ),
            }
        }
        reached
    }
}

fn targets(policy: &Policy) -> impl Iterator<Item = &Target> {
    policy.stages.iter().flat_map(|stage| &stage.targets)
}

fn mentions(
    namespaces: &Namespaces,
    policy: &Policy,
    name: &str,
    labels: Option<&BTreeMap<String, String>>,
) -> bool {
    match namespaces {
        Namespaces::Own => policy.namespace == name,
        Namespaces::Named(names) => names.iter().any(|n| n == name),
        Namespaces::Matching(wanted) => labels.is_some_and(|labels| has_all(labels, wanted)),
    }
}
