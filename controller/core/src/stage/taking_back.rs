//! Why and when a release is taken back: evidence, a Quarantine, a person, or a soak that cannot end.
//!
//! Guarantees: begins in the status before anything is written; where people want to decide, it is only said; a
//! candidate that is put back without a quarantine is refused by its stage from then on.

use super::{
    StageView, Turn, Wait, after_rollback,
    requests::{REJECTED, SUPERSEDED},
    view::stable,
};
use crate::{
    decision::EventType,
    gates::label,
    image::Release,
    observed::{InterventionKind, QuarantineSeen},
    policy::RollbackMode,
    status::{Phase, Rollback},
};
use jiff::SignedDuration;

/// One rollback by itself per stage and hour; a second one ends Blocked.
const ONE_PER: SignedDuration = SignedDuration::from_hours(1);
/// Refused releases that are remembered.
const REFUSED: usize = 8;

/// Begins what must begin before the phase's own step: a release in this stage is quarantined, or a person asks.
pub fn begin_if_due(view: &StageView<'_>, turn: &mut Turn) {
    if turn.status.phase == Phase::RollingBack || view.seen.stale_since.is_some() {
        return;
    }
    if let Some((release, reason, message)) = asked_by_person(view, turn) {
        begin(view, turn, release, reason, message, true);
        return;
    }
    let in_flight = turn.status.flight.as_ref().map(|f| f.release.clone());
    if let Some(release) = in_flight
        && let Some(quarantine) = view.facts.quarantine_of(&release)
    {
        let message = format!("{} was quarantined meanwhile: {}", label(&release), quarantine.reason);
        quarantined(view, turn, release, quarantine, message);
        return;
    }
    if turn.status.phase == Phase::Blocked {
        return;
    }
    let current = super::current_of(&turn.status).map(|v| v.release.clone());
    // A newer release that is on its way helps more than a rollback to nothing, or a recommendation.
    let on_its_way = turn.status.flight.is_some();
    let waits = view.stage.rollback != RollbackMode::Automatic
        || stable(&turn.status.verified, view.facts, None).is_empty();
    if let Some(release) = current
        && let Some(quarantine) = view.facts.quarantine_of(&release)
        && takes_back_here(view, quarantine)
        && !(on_its_way && waits)
    {
        let message = format!("{} was quarantined: {}", label(&release), quarantine.reason);
        quarantined(view, turn, release, quarantine, message);
    }
}

/// A person's Quarantine is a person's word; another stage's evidence is said where people want to decide themselves.
fn quarantined(
    view: &StageView<'_>,
    turn: &mut Turn,
    release: Release,
    quarantine: &QuarantineSeen,
    message: String,
) {
    if view.stage.rollback == RollbackMode::Automatic || quarantine.stage.is_none() {
        // A candidate in flight over a quarantined release goes, too: `bad_here` has both.
        let bad = turn.status.flight.as_ref().map_or(release, |f| f.release.clone());
        begin(view, turn, bad, "Quarantined", message, false);
    } else {
        degraded(view, turn, &release, "Quarantined", message);
    }
}

/// A Quarantine takes back the degraded stage and those after it; a person's, every stage.
pub fn takes_back_here(view: &StageView<'_>, quarantine: &QuarantineSeen) -> bool {
    let (Some(policy), Some(stage)) = (&quarantine.policy, &quarantine.stage) else { return true };
    if *policy != view.policy.name {
        return false;
    }
    let Some(degraded) = view.policy.stages.iter().position(|s| s.name == *stage) else { return false };
    reaches(view, degraded, view.index)
}

fn reaches(view: &StageView<'_>, from: usize, to: usize) -> bool {
    from == to
        || view
            .policy
            .stages
            .get(to)
            .is_some_and(|s| s.after.iter().any(|&before| reaches(view, from, before)))
}

fn asked_by_person(view: &StageView<'_>, turn: &mut Turn) -> Option<(Release, &'static str, String)> {
    let asked = view
        .facts
        .interventions(InterventionKind::RollBack, &view.stage.name)
        .find(|i| !view.life.heard.contains(&super::idle::heard_id(i, &view.stage.name)))?;
    let here = turn.status.flight.as_ref().map(|f| f.release.clone());
    let here = here.or_else(|| super::current_of(&turn.status).map(|v| v.release.clone()))?;
    if asked.digest.as_ref().is_some_and(|d| !here.answers_to(d)) {
        return None;
    }
    turn.heard.push(super::idle::heard_id(asked, &view.stage.name));
    Some((here, "RequestedByPerson", format!("asked for by {}: {}", asked.requested_by, asked.reason)))
}

/// The stage is degraded by `bad`: take it back, or say so, as the stage's rollback mode has it.
pub fn degraded(view: &StageView<'_>, turn: &mut Turn, bad: &Release, reason: &'static str, message: String) {
    if view.stage.rollback == RollbackMode::Automatic {
        turn.tell(EventType::Warning, "Degraded", &view.stage.name, message.clone());
        begin(view, turn, bad.clone(), reason, message, true);
        return;
    }
    let fix = format!(
        "an Intervention with action RollBack, stage {} and digest {} takes it back",
        view.stage.name, bad.digest
    );
    let wait = Wait::new("RollbackRecommended", format!("{message}; {fix}"));
    if turn.status.reason != wait.reason {
        turn.tell(EventType::Warning, "Degraded", &view.stage.name, wait.message.clone());
    }
    turn.show(Phase::Blocked, wait, view.now);
}

/// Puts a candidate back without a quarantine; this stage refuses it from now on.
pub fn put_back(view: &StageView<'_>, turn: &mut Turn, reason: &'static str, message: String) {
    let Some(flight) = turn.status.flight.clone() else { return };
    turn.tell(EventType::Warning, "PutBack", &view.stage.name, message.clone());
    while turn.status.refused.len() >= REFUSED && turn.status.refused.pop_first().is_some() {}
    turn.status.refused.insert(flight.release.contents_key(), message.clone());
    if flight.from.as_ref().is_some_and(|from| view.facts.same(from, &flight.release)) {
        // It only had to soak again: it is what the stage runs, and stays.
        turn.status.flight = None;
        turn.show(Phase::Blocked, Wait::new(blocked_reason(reason), message), view.now);
        return;
    }
    begin(view, turn, flight.release, reason, message, false);
    // Whoever rejected it has decided already.
    if let Some(rollback) = turn.status.rollback.as_mut().filter(|_| reason != REJECTED) {
        rollback.then_blocked = Some(reason.to_owned());
    }
}

/// Takes a candidate out that nobody has merged yet, for a newer one. Nothing is held against it.
pub fn superseded(view: &StageView<'_>, turn: &mut Turn, newer: &Release) {
    let Some(flight) = turn.status.flight.clone() else { return };
    let message =
        format!("{} comes instead of {}, which nobody has merged", label(newer), label(&flight.release));
    turn.tell(EventType::Normal, SUPERSEDED, &view.stage.name, message.clone());
    begin(view, turn, flight.release, SUPERSEDED, message, false);
}

fn begin(
    view: &StageView<'_>,
    turn: &mut Turn,
    bad: Release,
    reason: &'static str,
    message: String,
    quarantine: bool,
) {
    let attempt = turn.next_attempt(view);
    // A person who asks twice knows; a stage that degrades twice does not.
    let by_itself = quarantine && reason != "RequestedByPerson";
    let again = turn.status.rolled_back_at.is_some_and(|at| view.now.duration_since(at) < ONE_PER);
    let blocked = (again && by_itself).then(|| "SecondRollback".to_owned());
    if by_itself {
        turn.status.rolled_back_at = Some(view.now);
    }
    let quarantine = quarantine.then(|| quarantine_name(&bad));
    if let Some(name) = &quarantine {
        let message =
            format!("{} is held back everywhere: Quarantine {name}; deleting it releases", label(&bad));
        turn.tell(EventType::Warning, "Quarantined", &view.stage.name, message);
    }
    turn.status.flight = None;
    turn.status.after_rollback = None;
    turn.status.common_since = None;
    turn.status.rollback = Some(Rollback {
        before: after_rollback::lived(view, &bad),
        bad,
        to: None,
        attempt,
        since: view.now,
        reason: reason.to_owned(),
        message: message.clone(),
        quarantine,
        clean_since: None,
        then_blocked: blocked,
    });
    turn.show(Phase::RollingBack, Wait::new(reason, message), view.now);
    turn.wake(view.now);
}

/// Follows from the contents: making it twice is making it once.
fn quarantine_name(bad: &Release) -> String {
    let key = bad.contents_key();
    let short: String = key.chars().filter(char::is_ascii_alphanumeric).rev().take(12).collect();
    let tag: String = bad.tag.as_ref().map(ToString::to_string).unwrap_or_default().to_lowercase();
    let tag: String = tag.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(40).collect();
    format!("{}{}{short}", tag.trim_matches('-'), if tag.is_empty() { "q" } else { "-" })
}

/// Why a stage stays Blocked after it put a release back.
#[must_use]
pub fn blocked_reason(reason: &str) -> &'static str {
    match reason {
        "NotPullable" => "NotPullable",
        "NeverReady" => "NeverReady",
        _ => "Inconclusive",
    }
}

/// What a stage says of its own flight while it is Blocked with one (rollback `Recommend` or `Manual`).
#[must_use]
pub fn recommended(turn: &Turn) -> bool {
    turn.status.flight.is_some() && turn.status.reason == "RollbackRecommended"
}
