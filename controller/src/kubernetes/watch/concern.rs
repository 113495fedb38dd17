//! Whom a change concerns that is felt through pods: of their workload, their `ReplicaSet` or a disruption budget.
//!
//! Guarantees: the policies that see one of these pods, or that select the workload itself, and no others: a rollout
//! in a namespace of many policies wakes those whose pods it moves. No I/O.

use super::{
    collection::Wake,
    pod::PodEntry,
    shelf::Place,
    workload::WorkloadEntry,
    world::{BudgetEntry, World},
};
use lockkeeper_core::policy::{Policy, Target};

impl World {
    /// The policies that select a workload as it was or as it is, or see a pod of it.
    #[must_use]
    pub fn concerned_by_workload(&self, place: &Place, was_and_is: &[&WorkloadEntry]) -> Wake {
        let Some(kind) = was_and_is.first().map(|entry| entry.seen.kind.as_str()) else { return Wake::new() };
        let namespace = &place.namespace;
        let pods = self.alike(namespace, |pod| {
            let owner = self.owner_of(namespace, pod);
            owner.is_some_and(|owner| owner.kind == kind && owner.name == place.name)
        });
        self.policies_in(namespace, |policy| {
            was_and_is.iter().any(|entry| self.selected_by(policy, entry))
                || self.sees_any(policy, namespace, &pods)
        })
    }

    /// The policies that see a pod of a `ReplicaSet` or Job: which workload is behind it has changed.
    #[must_use]
    pub fn concerned_by_owner(&self, kind: &str, place: &Place) -> Wake {
        let of_it = |pod: &PodEntry| {
            let owner = pod.owner.as_ref();
            owner.is_some_and(|owner| owner.kind == kind && owner.name == place.name)
        };
        let pods = self.alike(&place.namespace, of_it);
        self.policies_in(&place.namespace, |policy| self.sees_any(policy, &place.namespace, &pods))
    }

    /// The policies that see a pod that a budget guarded or guards.
    #[must_use]
    pub fn concerned_by_budget(&self, place: &Place, was_and_is: &[&BudgetEntry]) -> Wake {
        let guarded = |pod: &PodEntry| {
            let mut selectors = was_and_is.iter().filter_map(|budget| budget.selector.as_ref());
            selectors.any(|selector| selector.selects(&pod.labels))
        };
        let pods = self.alike(&place.namespace, guarded);
        self.policies_in(&place.namespace, |policy| self.sees_any(policy, &place.namespace, &pods))
    }

    fn selected_by(&self, policy: &Policy, workload: &WorkloadEntry) -> bool {
        policy.stages.iter().flat_map(|stage| &stage.targets).any(|target| match target {
            Target::Workloads(target) => self.selects(target, workload),
            Target::Pods(_) | Target::Git(_) => false,
        })
    }

    fn sees_any(&self, policy: &Policy, namespace: &str, pods: &[&PodEntry]) -> bool {
        pods.iter().any(|pod| self.policy_matches_pod(policy, namespace, pod))
    }

    /// The pods that are wanted; of neighbours that no policy can tell apart only one.
    fn alike(&self, namespace: &str, wanted: impl Fn(&PodEntry) -> bool) -> Vec<&PodEntry> {
        let mut pods: Vec<&PodEntry> =
            self.pods.in_namespace(namespace).map(|(_, pod)| pod).filter(|pod| wanted(pod)).collect();
        pods.dedup_by(|a, b| a.owner == b.owner && a.labels == b.labels);
        pods
    }
}
