//! Two that would own one container: the older keeps it (decision 5).
//!
//! Decided without looking at pods: two pins of one namespace may meet unless their labels, repositories or
//! containers exclude each other.

use crate::{
    observed::{Claim, Claimed, StageSeen},
    policy::{PodsTarget, Policy, Stage, Target},
};
use std::collections::BTreeMap;

/// The older claim that this stage would meet, as a sentence.
#[must_use]
pub fn find(policy: &Policy, stage: &Stage, seen: &StageSeen, claims: &[Claim]) -> Option<String> {
    let age = (policy.created, policy.uid.clone());
    // Claims of the same policy come from earlier stages only: they always win.
    let older = |claim: &&Claim| claim.age <= age;
    claims.iter().filter(older).find(|claim| meets(policy, stage, seen, claim)).map(|claim| {
        let place = match &claim.what {
            Claimed::Pods { namespace, .. } => format!("pods in namespace {namespace}"),
            Claimed::Workload { .. } => "the same workload".to_owned(),
        };
        format!("stage {} of {} was there first and keeps {place}", claim.stage, claim.policy)
    })
}

fn meets(policy: &Policy, stage: &Stage, seen: &StageSeen, claim: &Claim) -> bool {
    stage.targets.iter().enumerate().any(|(index, target)| match (target, &claim.what) {
        (Target::Pods(target), Claimed::Pods { namespace, match_labels, repositories, containers }) => {
            seen.namespaces.iter().any(|(of, name)| *of == index && name == namespace)
                && labels_meet(&target.match_labels, match_labels)
                && policy.repositories().any(|r| repositories.contains(r))
                && containers_meet(target, containers.iter())
        }
        (Target::Workloads(target), Claimed::Workload { uid, containers }) => {
            seen.workloads.iter().any(|w| w.target == index && w.key.uid == *uid)
                && (target.containers.is_empty()
                    || containers.is_empty()
                    || target.containers.iter().any(|c| containers.contains(c)))
        }
        _ => false,
    })
}

fn labels_meet(a: &BTreeMap<String, String>, b: &BTreeMap<String, String>) -> bool {
    a.iter().all(|(key, value)| b.get(key).is_none_or(|other| other == value))
}

fn containers_meet<'c>(target: &PodsTarget, mut theirs: impl ExactSizeIterator<Item = &'c String>) -> bool {
    target.containers.is_empty() || theirs.len() == 0 || theirs.any(|c| target.containers.contains(c))
}
