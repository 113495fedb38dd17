//! Pins that no stage stands behind any more: their stage was removed or renamed, or reaches their namespace no longer.
//!
//! Guarantees: one that would compete with a pin that took its place goes; every other one does as `deletionPolicy`
//! says, and the condition `OrphanedPins` names it while it is there. Nothing goes while any watch is not fresh (I8).

use crate::{
    conclude,
    decision::{Action, Decision},
    observed::{Observed, PinSeen},
    policy::{DeletionPolicy, Policy, Target},
    stage::{conflicts, pins},
};
use jiff::Timestamp;

/// Deletes, or marks, what is left over, and says what stays.
pub fn tidy(policy: &Policy, seen: &Observed, decision: &mut Decision, now: Timestamp) {
    let fresh = seen.stages.iter().all(|s| s.stale_since.is_none());
    if !fresh {
        return;
    }
    let mut kept: Vec<&PinSeen> = Vec::new();
    for pin in seen.pins.iter().filter(|p| p.spec.policy.uid == policy.uid && !wanted(policy, seen, p)) {
        // A namespace that is terminating takes its pins along.
        if seen.stages.iter().any(|s| s.terminating.contains(&pin.key.namespace)) {
            continue;
        }
        let (key, resource_version, stage) =
            (pin.key.clone(), pin.resource_version.clone(), pin.spec.stage.clone());
        let goes = match successor(policy, seen, pin) {
            Successor::None => policy.deletion_policy == DeletionPolicy::Release,
            Successor::Expected => false,
            Successor::There => true,
        };
        if goes && policy.may_write() {
            decision.actions.push(Action::DeletePin { key, resource_version, stage });
            continue;
        }
        kept.push(pin);
        if !pin.orphaned && policy.may_write() && successor(policy, seen, pin) == Successor::None {
            decision.actions.push(Action::MarkOrphan { key, resource_version, stage, since: now });
        }
    }
    say(policy, decision, &kept, now);
}

/// Some stage writes this very pin.
fn wanted(policy: &Policy, seen: &Observed, pin: &PinSeen) -> bool {
    places(policy, seen).any(|(stage, index, namespace)| {
        namespace == pin.key.namespace && pins::name(policy, stage, index) == pin.key.name
    })
}

/// Every place that a stage pins in: its name, the index of the target, the namespace.
fn places<'a>(policy: &'a Policy, seen: &'a Observed) -> impl Iterator<Item = (&'a str, usize, &'a str)> {
    policy.stages.iter().zip(&seen.stages).flat_map(|(stage, seen)| {
        let pods =
            seen.namespaces.iter().filter(|(i, _)| matches!(stage.targets.get(*i), Some(Target::Pods(_))));
        pods.map(|(index, namespace)| (stage.name.as_str(), *index, namespace.as_str()))
    })
}

/// What takes a pin's place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Successor {
    /// Nothing.
    None,
    /// A stage that reaches its pods has not pinned there yet: new pods are better off with this one.
    Expected,
    /// Another pin of this policy gives its pods a digest, too: which of both wins is chance.
    There,
}

fn successor(policy: &Policy, seen: &Observed, pin: &PinSeen) -> Successor {
    let meets = |stage: &str, index: usize| {
        let target = policy.stages.iter().find(|s| s.name == stage).and_then(|s| s.targets.get(index));
        matches!(target, Some(Target::Pods(target)) if conflicts::pin_meets(target, &pin.spec))
    };
    let mut names = places(policy, seen)
        .filter(|(stage, index, namespace)| *namespace == pin.key.namespace && meets(stage, *index))
        .map(|(stage, index, _)| pins::name(policy, stage, index))
        .peekable();
    if names.peek().is_none() {
        return Successor::None;
    }
    let there = names.any(|name| {
        seen.pins.iter().any(|p| p.key.namespace == pin.key.namespace && p.key.name == name && !p.orphaned)
    });
    if there { Successor::There } else { Successor::Expected }
}

fn say(policy: &Policy, decision: &mut Decision, kept: &[&PinSeen], now: Timestamp) {
    let Some(first) = kept.first() else {
        decision.status.conditions.retain(|c| c.kind != "OrphanedPins");
        return;
    };
    let others = if kept.len() > 1 { format!(" and {} others", kept.len() - 1) } else { String::new() };
    let (namespace, name) = (&first.key.namespace, &first.key.name);
    let message = format!(
        "ImagePin {namespace}/{name}{others} of stage {}, which is not here any more: new pods still get what it says; \
         `kubectl -n {namespace} delete pin {name}` ends that, deletionPolicy: Release for all",
        first.spec.stage
    );
    conclude::set(&mut decision.status, policy, now, "OrphanedPins", "True", "Retained", &message);
}
