//! What people are told on the workloads that a policy changes: one Event per attempt and workload.
//!
//! Guarantees: only a workload that an effect of this pass really changed is told of, so that nobody can write Events into a
//! namespace whose rights the policy's account has not got; once, however many of its pods and passes an attempt takes; of
//! at most fifty workloads per attempt (the policy's own Events speak of all); the text names no pod and no evidence, which may
//! be of another namespace. May not: do I/O, or decide.

use super::refusals;
use crate::ports::{Told, Workload};
use lockkeeper_core::{
    decision::{Action, Event, EventType, Purpose},
    gates::{label, label_and_digest},
    observed::{Owner, StageSeen},
    policy::Policy,
    status::{StageStatus, Status},
};
use std::collections::{BTreeMap, BTreeSet};

/// Workloads that one attempt is told on.
const MOST: usize = 50;
/// Attempts of a policy whose workloads are remembered: more than run at once.
const ATTEMPTS: usize = 32;

/// What one policy's workloads were told by this process.
#[derive(Debug, Default)]
pub struct Telling {
    told: BTreeMap<String, BTreeSet<Workload>>,
    /// The keys of `told`, oldest first.
    order: Vec<String>,
}

/// A transition, as far as a workload is concerned.
struct Transition {
    id: String,
    kind: EventType,
    reason: &'static str,
    what: String,
}

impl Telling {
    /// What is to be told after these effects have happened.
    pub fn of(
        &mut self,
        policy: &Policy,
        status: &Status,
        seen: &[StageSeen],
        done: &[&Action],
    ) -> Vec<Told> {
        let mut all = Vec::new();
        for action in done {
            let name = refusals::stage(action);
            let Some(index) = policy.stages.iter().position(|stage| stage.name == name) else { continue };
            let (Some(stage), Some(seen)) = (status.stages.get(index), seen.get(index)) else { continue };
            let Some(transition) = transition(stage, action) else { continue };
            let told = self.attempt(&transition.id);
            for workload in changed(seen, action) {
                if told.len() >= MOST || !told.insert(workload.clone()) {
                    continue;
                }
                let message = format!(
                    "{} (stage {name} of ImagePolicy {}/{})",
                    transition.what, policy.namespace, policy.name
                );
                let (kind, reason) = (transition.kind, transition.reason);
                let event = Event { kind, reason, stage: Some(name.to_owned()), message };
                all.push(Told { workload, transition: transition.id.clone(), event });
            }
        }
        all
    }

    #[cfg(test)]
    pub fn remembered(&self) -> usize {
        self.told.values().map(BTreeSet::len).sum()
    }

    fn attempt(&mut self, id: &str) -> &mut BTreeSet<Workload> {
        if !self.told.contains_key(id) {
            if self.order.len() >= ATTEMPTS {
                self.told.remove(&self.order.remove(0));
            }
            self.order.push(id.to_owned());
        }
        self.told.entry(id.to_owned()).or_default()
    }
}

/// What an effect is part of; none if workloads are not told of it.
fn transition(stage: &StageStatus, action: &Action) -> Option<Transition> {
    let purpose = match action {
        Action::MovePod(mv) => Some(mv.purpose),
        Action::PatchTemplate(patch) => Some(patch.purpose),
        Action::WritePin { .. } => None,
        Action::WriteQuarantine(_) | Action::DeletePin { .. } | Action::MarkOrphan { .. } => return None,
    };
    match purpose {
        Some(Purpose::Promote) => given(stage),
        Some(Purpose::TakeBack) => taken_back(stage),
        Some(Purpose::Repair) => repaired(stage, action),
        // A pin follows what is under way; without that it keeps what was found.
        None => taken_back(stage).or_else(|| given(stage)).or_else(|| kept(stage)),
    }
}

fn given(stage: &StageStatus) -> Option<Transition> {
    let flight = stage.flight.as_ref()?;
    let release = label(&flight.release);
    let what = match &flight.from {
        Some(from) => format!("{} → {release} for its pods", label(from)),
        None => format!("{release} for its pods"),
    };
    let (id, kind, reason) = (flight.attempt.clone(), EventType::Normal, "PromotionStarted");
    Some(Transition { id, kind, reason, what })
}

fn taken_back(stage: &StageStatus) -> Option<Transition> {
    let rollback = stage.rollback.as_ref()?;
    let reason = "RolledBack";
    let (bad, why) = (label(&rollback.bad), &rollback.reason);
    let what = match &rollback.to {
        Some(to) => format!("{bad} is taken back to {} from its pods: {why}", label(to)),
        None => format!("{bad} is taken back from its pods: {why}"),
    };
    Some(Transition { id: rollback.attempt.clone(), kind: EventType::Warning, reason, what })
}

fn repaired(stage: &StageStatus, action: &Action) -> Option<Transition> {
    let images = match action {
        Action::MovePod(mv) => &mv.containers,
        Action::PatchTemplate(patch) => &patch.containers,
        _ => return None,
    };
    let to = images.first()?.to.as_str();
    let id = format!("{}/repair", stage.drift_attempt.as_deref().unwrap_or(to));
    let what = format!("it ran something else than its stage should, and is given {to}");
    Some(Transition { id, kind: EventType::Warning, reason: "DriftDetected", what })
}

fn kept(stage: &StageStatus) -> Option<Transition> {
    let current = stage.current.as_ref().filter(|_| stage.reason == "Adopted")?;
    let release = &stage.verified.iter().find(|verified| verified.release.digest == *current)?.release;
    let id = format!("adopted/{}/{current}", stage.name);
    let what =
        format!("{} was found running and is kept: its new pods are born with it", label_and_digest(release));
    Some(Transition { id, kind: EventType::Normal, reason: "Adopted", what })
}

/// The workloads that an effect changed: whose pod, template, or new pods from now on.
fn changed(seen: &StageSeen, action: &Action) -> BTreeSet<Workload> {
    let of = |namespace: &str, owner: &Owner| Workload {
        namespace: namespace.to_owned(),
        kind: owner.kind.clone(),
        name: owner.name.clone(),
    };
    match action {
        Action::MovePod(mv) => {
            let pods = seen.pods.iter().filter(|pod| pod.key == mv.key);
            pods.map(|pod| of(&pod.key.namespace, &pod.owner)).collect()
        }
        Action::PatchTemplate(patch) => {
            let (namespace, name) = (patch.key.namespace.clone(), patch.key.name.clone());
            BTreeSet::from([Workload { namespace, kind: patch.kind.clone(), name }])
        }
        Action::WritePin { namespace, .. } => {
            let pods = seen.pods.iter().filter(|pod| pod.key.namespace == *namespace);
            // A pod without an owner is not born again.
            let owned = pods.filter(|pod| pod.owner.kind != "Pod");
            owned.map(|pod| of(namespace, &pod.owner)).collect()
        }
        Action::WriteQuarantine(_) | Action::DeletePin { .. } | Action::MarkOrphan { .. } => BTreeSet::new(),
    }
}
