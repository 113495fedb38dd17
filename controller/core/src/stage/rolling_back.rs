//! A release is being taken back: Quarantine, then pin or template, then every pod that has it.
//!
//! Guarantees (decision 17): the Quarantine exists before the first write; taking back is never blocked by its own
//! guards: pods that are not Ready on the bad contents move at once; it stops where what it restored does not get
//! Ready; it is never rolled back itself; a second one within the hour ends Blocked.

use super::{PodView, StageView, Turn, Wait, moves, templates, view::stable};
use crate::{
    decision::{Action, EventType, Purpose, QuarantineDraft, Question},
    gates::label,
    image::Release,
    observed::{Answer, InterventionKind, PodPhase},
    policy::RollbackMode,
    status::{Phase, Rollback},
};
use jiff::SignedDuration;
use std::collections::BTreeSet;

/// One rollback by itself per stage and hour; a second one ends Blocked.
const ONE_PER: SignedDuration = SignedDuration::from_hours(1);

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
        begin(view, turn, release, "Quarantined", message, false);
        return;
    }
    if turn.status.phase == Phase::Blocked {
        return;
    }
    let current = super::current_of(&turn.status).map(|v| v.release.clone());
    if let Some(release) = current
        && let Some(quarantine) = view.facts.quarantine_of(&release)
        && takes_back_here(view, quarantine)
    {
        let message = format!("{} was quarantined: {}", label(&release), quarantine.reason);
        begin(view, turn, release, "Quarantined", message, false);
    }
}

/// A Quarantine takes back the degraded stage and those after it; a person's, every stage.
fn takes_back_here(view: &StageView<'_>, quarantine: &crate::observed::QuarantineSeen) -> bool {
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
    turn.status.refused.insert(flight.release.contents_key(), message.clone());
    begin(view, turn, flight.release, reason, message, false);
    if let Some(rollback) = &mut turn.status.rollback {
        rollback.then_blocked = Some(reason.to_owned());
    }
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
    let again = turn.status.rolled_back_at.is_some_and(|at| view.now.duration_since(at) < ONE_PER);
    let quarantine = quarantine.then(|| quarantine_name(&bad));
    let blocked = (again && quarantine.is_some()).then(|| "SecondRollback".to_owned());
    if let Some(name) = &quarantine {
        turn.status.rolled_back_at = Some(view.now);
        let message =
            format!("{} is held back everywhere: Quarantine {name}; deleting it releases", label(&bad));
        turn.tell(EventType::Warning, "Quarantined", &view.stage.name, message);
    }
    turn.status.flight = None;
    turn.status.rollback = Some(Rollback {
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

/// One step.
pub fn step(view: &StageView<'_>, turn: &mut Turn) {
    let Some(mut rollback) = turn.status.rollback.clone() else {
        turn.show(Phase::Idle, Wait::new("Idle", String::new()), view.now);
        return;
    };
    if view.seen.stale_since.is_some() {
        return;
    }
    if let Some(name) = &rollback.quarantine
        && view.facts.quarantine_of(&rollback.bad).is_none()
    {
        turn.actions.push(Action::WriteQuarantine(draft(view, &rollback, name.clone())));
        return;
    }
    let Some(sure) = choose(view, turn, &mut rollback) else {
        if turn.status.phase == Phase::RollingBack {
            turn.status.rollback = Some(rollback);
        }
        return;
    };
    turn.status.rollback = Some(rollback.clone());
    let Some(to) = rollback.to.clone() else { return };
    templates::change(view, turn, &to, Purpose::TakeBack);
    let stuck = not_ready_again(view, &rollback, &to);
    if stuck >= 2 {
        let message = format!(
            "{stuck} pods do not get Ready on {}, which was restored; a person must look",
            label(&to)
        );
        block(view, turn, "RollbackNotReady", message);
        return;
    }
    put_pods_back(view, turn, &rollback, &to, sure);
    finish_if_clean(view, turn, rollback, &to);
}

fn draft(view: &StageView<'_>, rollback: &Rollback, name: String) -> QuarantineDraft {
    QuarantineDraft {
        name,
        tag: rollback.bad.tag.clone(),
        digest: rollback.bad.digest.clone(),
        contents: rollback.bad.identity_on(&view.facts.platforms),
        reason: rollback.reason.clone(),
        evidence: rollback.message.clone(),
        policy: view.policy.name.clone(),
        stage: view.stage.name.clone(),
    }
}

/// Chooses what to return to. `Some(true)`: it is known to be pullable; `Some(false)`: nobody could tell, so one pod
/// goes first. `None`: it waits for an answer, or the stage is Blocked.
fn choose(view: &StageView<'_>, turn: &mut Turn, rollback: &mut Rollback) -> Option<bool> {
    let safe: Vec<Release> = stable(&turn.status.verified, view.facts, Some(&rollback.bad))
        .into_iter()
        .map(|v| v.release.clone())
        .collect();
    for release in safe {
        let mut sure = true;
        let mut absent = false;
        let mut unasked = false;
        for repository in view.repositories() {
            match view.facts.pullable(&repository, &release.digest) {
                Some(Answer::Known(())) => {}
                Some(Answer::Absent) => absent = true,
                Some(Answer::Failed(_)) => sure = false,
                None => unasked = true,
            }
            turn.questions.insert(Question::Pullable(repository, release.digest.clone()));
        }
        if absent {
            continue;
        }
        if unasked && rollback.to.is_none() {
            return None;
        }
        rollback.to = Some(release);
        return Some(sure);
    }
    let message = format!(
        "{} is bad ({}), and there is no safe release to return to; Adopt or Promote a digest",
        label(&rollback.bad),
        rollback.message
    );
    turn.status.rollback = Some(rollback.clone());
    block(view, turn, "NoSafeDigest", message);
    None
}

fn block(view: &StageView<'_>, turn: &mut Turn, reason: &'static str, message: String) {
    turn.tell(EventType::Warning, "Blocked", &view.stage.name, message.clone());
    turn.show(Phase::Blocked, Wait::new(reason, message), view.now);
}

/// Pods of this rollback that have not got Ready for as long as a new pod may take.
fn not_ready_again(view: &StageView<'_>, rollback: &Rollback, to: &Release) -> usize {
    let limit = view.policy.health.ready_deadline;
    view.live()
        .filter(|p| p.moved_by(&rollback.attempt) && !p.seen.ready && p.asked(to))
        .filter(|p| p.seen.moved.as_ref().is_some_and(|m| view.now.duration_since(m.at) >= limit))
        .count()
}

/// Puts back every pod that was told to run the bad release: those that are not Ready at once, the others within the
/// budgets.
fn put_pods_back(view: &StageView<'_>, turn: &mut Turn, rollback: &Rollback, to: &Release, sure: bool) {
    let mut budgets = moves::Budgets::count(view, &rollback.attempt);
    let first_is_up =
        sure || view.live().any(|p| p.moved_by(&rollback.attempt) && p.seen.ready && p.runs(to));
    let mut allowed = if first_is_up { usize::MAX } else { 1 };
    if !first_is_up && view.live().any(|p| p.moved_by(&rollback.attempt)) {
        allowed = 0;
    }
    let bad: Vec<&PodView<'_>> = view
        .live()
        .filter(|p| p.asks_for(&rollback.bad) && !p.asked(to) && !p.seen.of_job && moves::in_place(view, p))
        .collect();
    for pod in bad {
        if allowed == 0 {
            break;
        }
        let at_once = !pod.seen.ready || pod.seen.phase != PodPhase::Running;
        if at_once || budgets.take(pod) {
            allowed -= 1;
            turn.actions.extend(moves::action(view, pod, to, &rollback.attempt, Purpose::TakeBack));
        }
    }
}

/// Over when no pod has run the bad contents for the sweep's time.
fn finish_if_clean(view: &StageView<'_>, turn: &mut Turn, mut rollback: Rollback, to: &Release) {
    let left = view
        .pods
        .iter()
        .filter(|p| !p.seen.mirror && p.touches(&rollback.bad))
        .filter(|p| !matches!(p.seen.phase, PodPhase::Succeeded | PodPhase::Failed));
    let left: BTreeSet<String> = left.map(PodView::name).collect();
    let bad = label(&rollback.bad);
    let templates = templates::behind(view, to);
    if !left.is_empty() || templates > 0 {
        rollback.clean_since = None;
        let example = left.first().cloned().unwrap_or_default();
        let message = format!(
            "{bad} → {}: {} pods still have {bad} ({example}); {}",
            label(to),
            left.len(),
            rollback.message
        );
        turn.status.rollback = Some(rollback);
        let reason = "RollingBack";
        turn.show(Phase::RollingBack, Wait::new(reason, message), view.now);
        return;
    }
    let since = *rollback.clean_since.get_or_insert(view.now);
    let over = since.saturating_add(view.policy.health.sweep).unwrap_or(view.now);
    if view.now < over {
        let shown = over.round(jiff::Unit::Second).unwrap_or(over);
        let message = format!("no pod runs {bad} any more; watches until {shown} that none comes back");
        turn.show(Phase::RollingBack, Wait::new("Sweeping", message).until(over), view.now);
        turn.status.rollback = Some(rollback);
        return;
    }
    finish(view, turn, &rollback, to);
}

fn finish(view: &StageView<'_>, turn: &mut Turn, rollback: &Rollback, to: &Release) {
    let message = format!("{} was taken back to {}: {}", label(&rollback.bad), label(to), rollback.message);
    turn.status.current = Some(to.digest.clone());
    turn.status.verified.retain(|v| !view.facts.same(&v.release, &rollback.bad));
    turn.status.rollback = None;
    turn.tell(EventType::Warning, "RolledBack", &view.stage.name, message.clone());
    match rollback.then_blocked.as_deref() {
        Some("SecondRollback") => {
            let message =
                format!("{message}; the second rollback within the hour, so a person must look (Resume)");
            block(view, turn, "SecondRollback", message);
        }
        Some(_) => {
            let message = format!("{message}; a newer release or a Resume goes on");
            turn.show(Phase::Blocked, Wait::new("Inconclusive", message), view.now);
        }
        None => turn.show(Phase::Idle, Wait::new("RolledBack", message), view.now),
    }
    turn.wake(view.now);
}

/// What a stage says of its own flight while it is Blocked with one (rollback `Recommend` or `Manual`).
#[must_use]
pub fn recommended(turn: &Turn) -> bool {
    turn.status.flight.is_some() && turn.status.reason == "RollbackRecommended"
}
