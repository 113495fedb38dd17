//! What people see of a pass: phase, the stages in one line, the standard conditions, the defaults in force.
//!
//! Guarantees: nothing here changes what is done; a condition's transition time moves only when its status does.

use crate::{
    conditions::Condition,
    decision::Decision,
    gates::label,
    observed::{BirthForm, BirthPinning, Failure, MissingRight, Observed, StageSeen},
    policy::{Mode, Policy, Target},
    stage::{current_of, needed_right, pins::CONTESTED_AFTER, spared_right},
    status::{Phase, StageStatus, Status},
};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// The installation does not allow the registry: nothing that the policy waits for will come.
const DENIED: &str = "HostDenied";

/// Malformed annotations named in a condition; of the others the number.
const MALFORMED_NAMED: usize = 3;

/// Reasons of an idle stage that are as they should be.
const CALM: &[&str] = &["Verified", "Adopted", "Restored", "RolledBack", "RunsQuarantined"];

/// Fills in what people see.
pub fn conclude(policy: &Policy, seen: &Observed, decision: &mut Decision, now: Timestamp) {
    let status = &mut decision.status;
    status.phase = phase(policy, status).to_owned();
    status.summary = status.stages.iter().map(in_short).collect::<Vec<_>>().join(" · ");
    let (reason, message) = sentence(policy, seen, status);
    let blocked = status.stages.iter().any(|s| s.phase == Phase::Blocked);
    let moving = status.stages.iter().any(|s| s.flight.is_some() || s.rollback.is_some());
    let stuck = status.stages.iter().any(|s| {
        (s.phase == Phase::Idle && is_trouble(&s.reason)) || missing_right(policy, seen, s).is_some()
    });
    let stuck = stuck || unreadable(seen).is_some_and(|failing| failing.reason == DENIED);
    let ready = !blocked && !stuck && !moving;
    set(status, policy, now, "Ready", yes(ready), &reason, &message);
    set(status, policy, now, "Reconciling", yes(moving), if moving { "Progressing" } else { "UpToDate" }, "");
    let stalled = blocked || stuck;
    set(
        status,
        policy,
        now,
        "Stalled",
        yes(stalled),
        if stalled { &reason } else { "NotStalled" },
        if stalled { &message } else { "" },
    );
    birth_pinning(policy, seen, status, now);
    malformed(policy, seen, status, now);
    waves_in_place(policy, seen, status, now);
}

fn yes(is: bool) -> &'static str {
    if is { "True" } else { "False" }
}

/// An idle stage that will not go on by itself.
fn is_trouble(reason: &str) -> bool {
    matches!(
        reason,
        "Conflicted"
            | "Forbidden"
            | "LeftAlone"
            | "Mixed"
            | "RepositoryMismatch"
            | "NoContainers"
            | "NoPods"
            | "NotPullable"
            | "OutOfRange"
            | "Unsigned"
            | "SignedByOther"
            | "SignatureUnknown"
    )
}

fn phase(policy: &Policy, status: &Status) -> &'static str {
    let any = |p: Phase| status.stages.iter().any(|s| s.phase == p);
    if any(Phase::RollingBack) {
        "RollingBack"
    } else if any(Phase::Blocked) {
        "Blocked"
    } else if policy.suspend {
        "Suspended"
    } else if policy.mode == Mode::Observe {
        "Observing"
    } else if any(Phase::Applying) {
        "Applying"
    } else if any(Phase::Soaking) {
        "Soaking"
    } else if status.stages.iter().all(|s| CALM.contains(&s.reason.as_str())) {
        "Idle"
    } else {
        "Waiting"
    }
}

/// `prod 0.28 → 0.29 soaking`.
fn in_short(stage: &StageStatus) -> String {
    let current = current_of(stage).map_or_else(|| "?".to_owned(), |v| label(&v.release));
    let what = match (stage.phase, &stage.flight, &stage.rollback) {
        (Phase::Applying, Some(f), _) => format!("{current} → {} applying", label(&f.release)),
        (Phase::Soaking, Some(f), _) => format!("{current} → {} soaking", label(&f.release)),
        (Phase::RollingBack, _, Some(r)) => format!("{} rolling back", label(&r.bad)),
        (Phase::Blocked, ..) => format!("{current} blocked"),
        _ => current,
    };
    format!("{} {what}", stage.name)
}

/// The sentence of the MESSAGE column: the most urgent stage speaks.
fn sentence(policy: &Policy, seen: &Observed, status: &Status) -> (String, String) {
    if let Some(moved) = status.moved_tags.last() {
        let message = format!("tag {} moved at {}; held, see history", moved.tag, moved.at);
        if status.stages.iter().all(|s| s.phase == Phase::Idle) {
            return ("TagMoved".to_owned(), message);
        }
    }
    let urgency = |s: &&StageStatus| match s.phase {
        Phase::Blocked => 0,
        Phase::RollingBack => 1,
        Phase::Idle if is_trouble(&s.reason) => 2,
        _ if missing_right(policy, seen, s).is_some() => 2,
        Phase::Applying | Phase::Soaking => 3,
        Phase::Idle if !CALM.contains(&s.reason.as_str()) => 4,
        Phase::Idle => 5,
    };
    let least = status.stages.iter().map(|s| urgency(&s)).min();
    if let Some(failing) = &seen.catalogue.failing
        && least.is_none_or(|least| least >= 4 || (least == 2 && unreadable(seen).is_some()))
    {
        let message = format!("the registry could not be read since {}: {}", failing.since, failing.message);
        return (failing.reason.clone(), message);
    }
    match status.stages.iter().min_by_key(urgency) {
        Some(stage) if urgency(&stage) < 5 => {
            if let Some(right) = missing_right(policy, seen, stage) {
                return ("Forbidden".to_owned(), format!("{}: {right}; {}", stage.name, stage.message));
            }
            let refusal = seen_of(policy, seen, stage).and_then(|s| s.refusals.last());
            let refused = refusal.map(|r| format!("; last refusal: {r}")).unwrap_or_default();
            (stage.reason.clone(), format!("{}: {}{refused}", stage.name, stage.message))
        }
        Some(_) => {
            let message = match &status.candidate {
                Some(c) => format!("all stages run what they should; the newest release is {}", label(c)),
                None => "all stages run what they should".to_owned(),
            };
            ("UpToDate".to_owned(), message)
        }
        None => ("NoStages".to_owned(), "the policy has no stage".to_owned()),
    }
}

/// A registry that cannot be read until a person changes something: what a stage lacks comes after that.
fn unreadable(seen: &Observed) -> Option<&Failure> {
    let passing = ["Unreachable", "Throttled", "BadAnswer"];
    seen.catalogue.failing.as_ref().filter(|failing| !passing.contains(&failing.reason.as_str()))
}

fn seen_of<'s>(policy: &Policy, seen: &'s Observed, stage: &StageStatus) -> Option<&'s StageSeen> {
    let index = policy.stages.iter().position(|s| s.name == stage.name)?;
    seen.stages.get(index)
}

/// A right that a stage lacks in the middle of something; an idle stage says so itself.
fn missing_right<'s>(policy: &Policy, seen: &'s Observed, stage: &StageStatus) -> Option<&'s MissingRight> {
    let index = policy.stages.iter().position(|s| s.name == stage.name)?;
    needed_right(policy.stages.get(index)?, seen.stages.get(index).filter(|_| stage.phase != Phase::Idle)?)
}

/// A pin that somebody else changes again and again: the pods that are born with it are theirs.
fn contested_pin(seen: &Observed, status: &Status) -> Option<String> {
    // In flight it is one change that is held, and the stage says so.
    let contested = |s: &&StageStatus| {
        s.flight.is_none() && s.pinned.as_ref().is_some_and(|p| p.put_back >= CONTESTED_AFTER)
    };
    let stage = status.stages.iter().find(contested)?;
    let pin = seen.pins.iter().find(|p| p.spec.stage == stage.name && !p.as_written);
    Some(match pin {
        Some(pin) => format!(
            "{} changes ImagePin {}/{} again and again; it is left alone, and new pods get what it says",
            pin.manager.as_deref().unwrap_or("somebody"),
            pin.key.namespace,
            pin.key.name
        ),
        None => {
            format!("somebody deletes ImagePins of stage {} again and again; they are left alone", stage.name)
        }
    })
}

/// What newborn pods really carry (decision 8).
fn birth_pinning(policy: &Policy, seen: &Observed, status: &mut Status, now: Timestamp) {
    let pins_pods = policy.stages.iter().any(|s| s.targets.iter().any(|t| matches!(t, Target::Pods(_))));
    if !pins_pods {
        status.conditions.retain(|c| c.kind != "BirthPinning");
        return;
    }
    let unpinned: u64 = status.stages.iter().map(|s| s.unpinned_births).sum();
    let installed = seen.stages.iter().find_map(|s| s.birth_pinning);
    let contested = contested_pin(seen, status);
    let (state, reason, message) = match installed {
        None => ("Unknown", "NotSeen", "the admission policy has not been looked up yet".to_owned()),
        Some(BirthPinning::Missing) => (
            "False",
            "NotInstalled",
            "neither the admission policy lockkeeper-pin-at-birth with its binding nor the webhook of that name is there; new pods are put right after they are seen".to_owned(),
        ),
        Some(BirthPinning::By(_)) if contested.is_some() => {
            ("False", "Contested", contested.unwrap_or_default())
        }
        Some(BirthPinning::By(form)) if unpinned > 0 => (
            "True",
            "SomeUnpinned",
            format!("new pods are pinned by {}; {unpinned} were born unpinned and put right", form.who()),
        ),
        Some(BirthPinning::By(form)) => {
            let reason = if form == BirthForm::Webhook { "Webhook" } else { "Installed" };
            ("True", reason, format!("new pods are pinned by {}", form.who()))
        }
    };
    set(status, policy, now, "BirthPinning", state, reason, &message);
}

/// Annotations that cannot be read: they count as none, and stop nothing.
fn malformed(policy: &Policy, seen: &Observed, status: &mut Status, now: Timestamp) {
    let pods = seen.stages.iter().flat_map(|stage| &stage.pods);
    let pods = pods.filter_map(|pod| Some(("Pod", &pod.key, pod.malformed.as_ref()?)));
    let pins = seen.pins.iter().filter_map(|pin| Some(("ImagePin", &pin.key, pin.malformed.as_ref()?)));
    // A pod that two stages match is named once.
    let all: BTreeSet<_> = pods.chain(pins).collect();
    if all.is_empty() {
        status.conditions.retain(|c| c.kind != "Malformed");
        return;
    }
    let named = all.iter().take(MALFORMED_NAMED);
    let mut lines: Vec<String> =
        named.map(|(kind, key, what)| format!("{kind} {}/{}: {what}", key.namespace, key.name)).collect();
    if all.len() > MALFORMED_NAMED {
        lines.push(format!("and {} more", all.len() - MALFORMED_NAMED));
    }
    set(status, policy, now, "Malformed", "True", "MalformedAnnotation", &lines.join("; "));
}

/// Files are delivered without waves on running pods before: the account may not move them.
fn waves_in_place(policy: &Policy, seen: &Observed, status: &mut Status, now: Timestamp) {
    let both = policy.stages.iter().zip(&seen.stages);
    match both.clone().find_map(|(stage, seen)| Some((stage, spared_right(stage, seen)?))) {
        Some((stage, right)) => {
            let message =
                format!("{}: a release is committed without waves on running pods: {right}", stage.name);
            set(status, policy, now, "WavesInPlace", "False", "Forbidden", &message);
        }
        None => status.conditions.retain(|c| c.kind != "WavesInPlace"),
    }
}

/// Sets a condition; its transition time moves only when its status does.
pub fn set(
    status: &mut Status,
    policy: &Policy,
    now: Timestamp,
    kind: &str,
    state: &str,
    reason: &str,
    message: &str,
) {
    let reason = if reason.is_empty() { "Pending" } else { reason };
    let condition = |since| Condition {
        kind: kind.to_owned(),
        status: state.to_owned(),
        reason: reason.to_owned(),
        message: message.chars().take(1024).collect(),
        last_transition_time: since,
        observed_generation: policy.generation,
    };
    match status.conditions.iter_mut().find(|c| c.kind == kind) {
        Some(old) => {
            let since = if old.status == state { old.last_transition_time } else { now };
            *old = condition(since);
        }
        None => status.conditions.push(condition(now)),
    }
}
