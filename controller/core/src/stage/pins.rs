//! What the pins of a stage say: new pods are born with the stable release until the last wave has soaked.
//!
//! Guarantees: a pin that says the right thing is not written; the candidate is written only while widening is
//! allowed; what a person changed is put back once, then left alone and named (K20).

use super::{StageView, Turn, Wait, current_of, idle, moves::pin_tag};
use crate::{
    decision::{Action, EventType},
    gates::label,
    image::{Release, Repository, Tag},
    observed::PinSeen,
    pin::{PinDeletion, PinOwner, PinSpec},
    policy::{DeletionPolicy, PodsTarget, Policy, Target},
    status::{Flight, Phase, Pinned, Source, Step, Verified},
};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;

/// After so many changes by somebody else a pin is left alone.
pub const CONTESTED_AFTER: u32 = 2;
/// How long the first pins wait for the tag of what was adopted.
const NAMED_WITHIN: SignedDuration = SignedDuration::from_mins(1);
/// Namespaces whose pins are remembered as seen.
const REMEMBERED: usize = 64;

/// What new pods of this stage should be born with.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The release.
    pub release: Release,
    /// Whether it is the candidate: only written while widening is allowed.
    pub candidate: bool,
    /// Whether this takes something back: never stopped by a conflict.
    pub back: bool,
    /// Only these tags, after an adoption.
    pub only_tags: Vec<Tag>,
}

/// What new pods should be born with now; `None` while nothing is known to be good.
#[must_use]
pub fn wanted(view: &StageView<'_>, turn: &Turn) -> Option<Wanted> {
    let status = &turn.status;
    if let Some(rollback) = &status.rollback {
        let quarantined = rollback.quarantine.is_none() || view.facts.quarantine_of(&rollback.bad).is_some();
        let release = rollback.to.clone().filter(|_| quarantined)?;
        return Some(Wanted { release, candidate: false, back: true, only_tags: status.only_tags.clone() });
    }
    if let Some(flight) = status.flight.as_ref().filter(|f| f.step == Step::All) {
        // Blocked with a candidate: a person decides, and until then the pins stay as they are.
        return matches!(status.phase, Phase::Applying | Phase::Soaking).then(|| candidate(flight));
    }
    let current = current_of(status)?;
    Some(Wanted {
        release: current.release.clone(),
        candidate: false,
        back: false,
        only_tags: status.only_tags.clone(),
    })
}

fn candidate(flight: &Flight) -> Wanted {
    Wanted { release: flight.release.clone(), candidate: true, back: false, only_tags: Vec::new() }
}

/// Brings the stage's pins to what they should say.
pub fn keep(view: &StageView<'_>, turn: &mut Turn) {
    if view.seen.stale_since.is_some() {
        return;
    }
    let Some(wanted) = wanted(view, turn) else { return };
    // Adopted from explicit versions: nobody's version is changed by a pin that was not there.
    let not_yet = mine(view).next().is_none()
        && (adopted_without_tags(turn, &wanted) || named_soon(view, turn, &wanted));
    if not_yet || (view.conflict.is_some() && !wanted.back) {
        return;
    }
    let wrong = wrong_pins(view, &wanted);
    if wrong.is_empty() {
        confirm(view, turn, &wanted);
        return;
    }
    let quarantined = view.facts.quarantined(view.life, &wanted.release);
    let skip_window = turn.status.flight.as_ref().is_some_and(|f| f.skip_window);
    if quarantined
        || (wanted.candidate && view.closed(skip_window).is_some())
        || left_alone(view, turn, &wanted, &wrong)
    {
        return;
    }
    let said = turn.status.pinned.as_ref().is_some_and(|p| p.digest == wanted.release.digest);
    if !said {
        turn.status.pinned = Some(fresh(view, &wanted));
    }
    for (namespace, name, spec, seen) in wrong {
        turn.actions.push(Action::WritePin {
            namespace,
            name,
            spec,
            replaces: seen.map(|p| p.resource_version.clone()),
            stage: view.stage.name.clone(),
        });
    }
}

fn adopted_without_tags(turn: &Turn, wanted: &Wanted) -> bool {
    let adopted = |v: &Verified| v.source == Source::Adopted && v.release.digest == wanted.release.digest;
    !wanted.candidate && wanted.only_tags.is_empty() && turn.status.verified.iter().any(adopted)
}

/// The tag of what was adopted is being looked for: the first pins wait for it, so that they are written once.
fn named_soon(view: &StageView<'_>, turn: &mut Turn, wanted: &Wanted) -> bool {
    let adopted = turn.status.verified.iter().find(|v| v.release.digest == wanted.release.digest);
    let Some(adopted) = adopted.filter(|v| v.source == Source::Adopted && v.release.tag.is_none()) else {
        return false;
    };
    let until = adopted.at.saturating_add(NAMED_WITHIN).unwrap_or(view.now);
    let listed = view.all.catalogue.ranking.is_some() && view.all.catalogue.failing.is_none();
    let soon = listed && !view.facts.tags_looked_at() && view.now < until;
    if soon {
        turn.wake(until);
    }
    soon
}

/// The pins that this stage has written.
fn mine<'v>(view: &'v StageView<'_>) -> impl Iterator<Item = &'v PinSeen> {
    view.all.pins.iter().filter(|p| p.spec.stage == view.stage.name && p.spec.policy.uid == view.policy.uid)
}

type Wrong<'v> = (String, String, PinSpec, Option<&'v PinSeen>);

fn wrong_pins<'v>(view: &'v StageView<'_>, wanted: &Wanted) -> Vec<Wrong<'v>> {
    let mut wrong = Vec::new();
    for (index, target) in view.stage.targets.iter().enumerate() {
        let Target::Pods(target) = target else { continue };
        let name = name(view.policy, &view.stage.name, index);
        for namespace in namespaces(view, index) {
            let spec = spec(view, target, wanted);
            let seen = view.all.pins.iter().find(|p| p.key.namespace == *namespace && p.key.name == name);
            if seen.is_none_or(|p| p.orphaned || p.spec != spec) {
                wrong.push((namespace.clone(), name.clone(), spec, seen));
            }
        }
    }
    wrong
}

/// The namespaces that a target pins in.
fn namespaces<'v>(view: &'v StageView<'_>, target: usize) -> impl Iterator<Item = &'v String> {
    view.seen.namespaces.iter().filter(move |(index, _)| *index == target).map(|(_, namespace)| namespace)
}

/// `<policy namespace>.<policy>.<stage>`, and the target's index after it where a stage has several.
#[must_use]
pub fn name(policy: &Policy, stage: &str, target: usize) -> String {
    let base = format!("{}.{}.{stage}", policy.namespace, policy.name);
    if target == 0 { base } else { format!("{base}.{target}") }
}

fn spec(view: &StageView<'_>, target: &PodsTarget, wanted: &Wanted) -> PinSpec {
    let mut repositories: Vec<String> = view.policy.repositories().flat_map(Repository::spellings).collect();
    repositories.sort();
    repositories.dedup();
    PinSpec {
        match_labels: target.match_labels.clone(),
        containers: (!target.containers.is_empty()).then(|| target.containers.clone()),
        repositories,
        only_tags: (!wanted.only_tags.is_empty()).then(|| wanted.only_tags.clone()),
        tag: pin_tag(view, &wanted.release).cloned(),
        digest: wanted.release.digest.clone(),
        policy: PinOwner {
            namespace: view.policy.namespace.clone(),
            name: view.policy.name.clone(),
            uid: view.policy.uid.clone(),
        },
        stage: view.stage.name.clone(),
        deletion_policy: match view.policy.deletion_policy {
            DeletionPolicy::Retain => PinDeletion::Retain,
            DeletionPolicy::Release => PinDeletion::Release,
        },
    }
}

/// All pins were seen to be right: from now on a difference is somebody else's doing.
fn confirm(view: &StageView<'_>, turn: &mut Turn, wanted: &Wanted) {
    let namespaces = remembered(view);
    let pinned = turn.status.pinned.get_or_insert_with(|| fresh(view, wanted));
    if pinned.digest != wanted.release.digest {
        *pinned = fresh(view, wanted);
    }
    if !pinned.confirmed {
        pinned.confirmed = true;
        turn.deadline = Some(view.now);
    }
    if let Some(pinned) = &mut turn.status.pinned {
        pinned.namespaces = namespaces;
    }
}

fn fresh(view: &StageView<'_>, wanted: &Wanted) -> Pinned {
    Pinned {
        digest: wanted.release.digest.clone(),
        at: view.now,
        confirmed: false,
        namespaces: Vec::new(),
        put_back: 0,
    }
}

/// The namespaces whose pins were seen; bounded, those beyond count as new.
fn remembered(view: &StageView<'_>) -> Vec<String> {
    let names: BTreeSet<&String> = view.seen.namespaces.iter().map(|(_, name)| name).collect();
    names.into_iter().take(REMEMBERED).cloned().collect()
}

/// Whether the pins that differ are a person's doing, and are left to them (decision 13).
fn left_alone(view: &StageView<'_>, turn: &mut Turn, wanted: &Wanted, wrong: &[Wrong<'_>]) -> bool {
    if let Some(until) = manual_until(view, wrong) {
        turn.wake(until);
        return true;
    }
    let edited =
        turn.status.pinned.as_ref().is_some_and(|p| p.confirmed && p.digest == wanted.release.digest)
            && wrong.iter().any(|(namespace, _, _, seen)| match seen {
                Some(pin) => !pin.as_written,
                // Missing where it was before: deleted. Missing elsewhere: the namespace is new.
                None => turn.status.pinned.as_ref().is_some_and(|p| p.namespaces.contains(namespace)),
            });
    let Some(pinned) = turn.status.pinned.as_mut().filter(|_| edited) else { return false };
    if wanted.candidate {
        return left_to_a_person(view, turn);
    }
    if pinned.put_back >= CONTESTED_AFTER {
        return true;
    }
    pinned.put_back += 1;
    let (last, first) = (pinned.put_back == CONTESTED_AFTER, &wrong[0]);
    let by = first.3.and_then(|p| p.manager.clone()).unwrap_or_else(|| "somebody".to_owned());
    let pin = format!("ImagePin {}/{}", first.0, first.1);
    if last && !wanted.back {
        let message = format!(
            "{by} changes {pin} again and again; it is left alone. `lockkeeper.dev/manual-until` would say until when"
        );
        turn.tell(EventType::Warning, "Contested", &view.stage.name, message);
        return true;
    }
    if let Some(pinned) = &mut turn.status.pinned {
        pinned.confirmed = false;
    }
    let message = format!("{pin} was changed or deleted by {by}; put back to {}", label(&wanted.release));
    turn.tell(EventType::Warning, "PinPutBack", &view.stage.name, message);
    false
}

fn manual_until(view: &StageView<'_>, wrong: &[Wrong<'_>]) -> Option<Timestamp> {
    let untils = wrong.iter().filter_map(|(.., seen)| seen.and_then(|p| p.manual_until));
    untils.filter(|until| view.now < *until).max()
}

/// In flight a person's change is never undone towards the candidate (decision 13): held, until a Resume.
fn left_to_a_person(view: &StageView<'_>, turn: &mut Turn) -> bool {
    let Some(pinned) = turn.status.pinned.as_mut() else { return false };
    if pinned.put_back >= CONTESTED_AFTER && idle::resumed(view, Some(pinned.at)) {
        pinned.put_back = 0;
        pinned.confirmed = false;
        return false;
    }
    if pinned.put_back < CONTESTED_AFTER {
        pinned.put_back = CONTESTED_AFTER;
        pinned.at = view.now;
        turn.wake(view.now);
    }
    true
}

/// Why the whole stage is not given the candidate though nothing else stops it: a person has a pin in their hands.
#[must_use]
pub fn held(view: &StageView<'_>, turn: &mut Turn, flight: &Flight) -> Option<Wait> {
    let wrong = wrong_pins(view, &candidate(flight));
    let (namespace, name, ..) = wrong.first()?;
    let held = |why: &str| {
        Wait::new("EditedByHand", format!("ImagePin {namespace}/{name} was changed by hand: held; {why}"))
    };
    if let Some(until) = manual_until(view, &wrong) {
        return Some(held("its `lockkeeper.dev/manual-until` says until when").until(until));
    }
    let pinned = turn.status.pinned.as_ref().filter(|p| p.digest == flight.release.digest)?;
    let edited = pinned.put_back >= CONTESTED_AFTER && !idle::resumed(view, Some(pinned.at));
    edited.then(|| held("a Resume goes on, a RollBack takes the release back"))
}
