//! A release is being taken back: Quarantine, then pin, template or files, then every pod that has it.
//!
//! Guarantees (decision 17): the Quarantine exists before the first write; taking back is never blocked by its own
//! guards: pods that are not Ready on the bad contents move at once; it stops where what it restored does not get
//! Ready; it is never rolled back itself; a second one within the hour ends Blocked; one that takes too long says so
//! as Blocked and goes on.

use super::{
    PodView, StageView, Turn, Wait, after_rollback, deliveries, moves,
    requests::{REJECTED, SUPERSEDED},
    taking_back::{blocked_reason, takes_back_here},
    templates, way_back,
};
use crate::{
    decision::{Action, EventType, Purpose, QuarantineDraft},
    gates::label,
    image::Release,
    observed::PodPhase,
    status::{Phase, Rollback},
};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;

/// A rollback that is not over by then needs a person to look, while it goes on.
const LONG: SignedDuration = SignedDuration::from_hours(2);

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
        let message = format!("{}; its Quarantine {name} is being written", rollback.message);
        go_on(view, turn, &rollback, Wait::new("RollingBack", message));
        turn.actions.push(Action::WriteQuarantine(draft(view, &rollback, name.clone())));
        return;
    }
    let sure = match way_back::choose(view, turn, &rollback) {
        way_back::Way::To(release, sure) => {
            rollback.to = Some(release);
            sure
        }
        way_back::Way::Asking => {
            let message = format!("{}; asks the registry for the way back", rollback.message);
            go_on(view, turn, &rollback, Wait::new("Checking", message));
            return;
        }
        way_back::Way::None(message) => {
            rollback.to = None;
            turn.status.rollback = Some(rollback);
            block(view, turn, "NoSafeDigest", message);
            return;
        }
    };
    turn.status.rollback = Some(rollback.clone());
    let Some(to) = rollback.to.clone() else { return };
    templates::change(view, turn, &to, Purpose::TakeBack);
    let stuck = not_ready_again(view, turn, &rollback, &to);
    if stuck >= 2 {
        let message = format!(
            "{stuck} pods do not get Ready on {}, which was restored; a person must look",
            label(&to)
        );
        block(view, turn, "RollbackNotReady", message);
        return;
    }
    let bad = bad_here(view, turn, &rollback, &to);
    let files = deliveries::take_back(view, turn, &rollback, &to, &bad);
    put_pods_back(view, turn, &rollback, &to, sure, &bad);
    finish_if_clean(view, turn, rollback, &to, &bad, files);
}

/// It is not over: `RollingBack`, or, when that takes too long, Blocked, while it goes on all the same.
fn go_on(view: &StageView<'_>, turn: &mut Turn, rollback: &Rollback, wait: Wait) {
    let late = rollback.since.saturating_add(LONG).unwrap_or(view.now);
    if view.now < late {
        turn.wake(late);
        turn.show(Phase::RollingBack, wait, view.now);
        return;
    }
    let refusal = view.seen.refusals.last().map(|r| format!("; last refusal: {r}")).unwrap_or_default();
    let message = format!("not over after {LONG:#}: {}{refusal}", wait.message);
    if turn.status.reason != "RollbackStuck" {
        turn.tell(EventType::Warning, "Blocked", &view.stage.name, message.clone());
    }
    turn.show(Phase::Blocked, Wait::new("RollbackStuck", message), view.now);
}

/// What this stage must not run any more: the bad release, and what else a Quarantine takes back here.
fn bad_here(view: &StageView<'_>, turn: &Turn, rollback: &Rollback, to: &Release) -> Vec<Release> {
    let others = turn.status.verified.iter().map(|v| &v.release).filter(|r| {
        !view.facts.same(r, &rollback.bad)
            && view.facts.quarantine_of(r).is_some_and(|q| takes_back_here(view, q))
    });
    let bad = std::iter::once(&rollback.bad).chain(others).filter(|r| !view.facts.same(r, to));
    bad.cloned().collect()
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

fn block(view: &StageView<'_>, turn: &mut Turn, reason: &'static str, message: String) {
    turn.tell(EventType::Warning, "Blocked", &view.stage.name, message.clone());
    turn.show(Phase::Blocked, Wait::new(reason, message), view.now);
}

/// Pods of this rollback that have not got Ready for as long as a new pod may take.
pub fn not_ready_again(view: &StageView<'_>, turn: &mut Turn, rollback: &Rollback, to: &Release) -> usize {
    let limit = view.policy.health.ready_deadline;
    let waiting = view
        .live()
        .filter(|p| p.moved_by(&rollback.attempt) && !p.seen.ready && p.asked(to))
        .filter_map(|p| p.seen.moved.as_ref()?.at.checked_add(limit).ok());
    let (over, open): (Vec<Timestamp>, Vec<Timestamp>) = waiting.partition(|end| *end <= view.now);
    if let Some(next) = open.into_iter().min() {
        turn.wake(next);
    }
    over.len()
}

/// Puts back every pod that was told to run the bad release: those that are not Ready at once, the others within the
/// budgets.
fn put_pods_back(
    view: &StageView<'_>,
    turn: &mut Turn,
    rollback: &Rollback,
    to: &Release,
    sure: bool,
    bad: &[Release],
) {
    let mut budgets = moves::Budgets::of_taking_back(view, to, &rollback.attempt);
    let first_is_up =
        sure || view.live().any(|p| p.moved_by(&rollback.attempt) && p.seen.ready && p.runs(to));
    let mut allowed = if first_is_up { usize::MAX } else { 1 };
    if !first_is_up && view.live().any(|p| p.moved_by(&rollback.attempt)) {
        allowed = 0;
    }
    let pods = view
        .live()
        .filter(|p| bad.iter().any(|bad| p.asks_for(bad)) && !p.asked(to))
        .filter(|p| !p.seen.of_job && moves::goes_back(view, p));
    for pod in pods {
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

/// Over when no pod has run the bad contents for the sweep's time. Pods that are never touched (Jobs, `AtBirth`, the
/// ignore label) end by themselves, and are not waited for.
fn finish_if_clean(
    view: &StageView<'_>,
    turn: &mut Turn,
    mut rollback: Rollback,
    to: &Release,
    bad_here: &[Release],
    files: Option<Wait>,
) {
    let left = view
        .pods
        .iter()
        .filter(|p| bad_here.iter().any(|bad| p.touches(bad)))
        .filter(|p| {
            !p.seen.mirror
                && !p.seen.ignored
                && !p.seen.of_job
                && (moves::in_place(view, p) || moves::applied(view, p))
        })
        .filter(|p| !matches!(p.seen.phase, PodPhase::Succeeded | PodPhase::Failed));
    let left: BTreeSet<String> = left.map(PodView::name).collect();
    let bad = label(&rollback.bad);
    let templates = templates::behind(view, to);
    if let Some(wait) = files {
        rollback.clean_since = None;
        turn.status.rollback = Some(rollback.clone());
        let message = format!("{bad} → {}: {}; {}", label(to), wait.message, rollback.message);
        go_on(view, turn, &rollback, Wait::new(wait.reason, message));
        return;
    }
    if !left.is_empty() || templates > 0 {
        rollback.clean_since = None;
        let example = left.first().cloned().unwrap_or_default();
        let message = format!(
            "{bad} → {}: {} pods still have {bad} ({example}); {}",
            label(to),
            left.len(),
            rollback.message
        );
        turn.status.rollback = Some(rollback.clone());
        go_on(view, turn, &rollback, Wait::new("RollingBack", message));
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
    if view.facts.quarantine_of(&rollback.bad).is_some() {
        turn.status.verified.retain(|v| !view.facts.same(&v.release, &rollback.bad));
    }
    turn.status.rollback = None;
    turn.status.contested.clear();
    turn.wake(view.now);
    // Nothing was bad: whoever had to hear of it has heard.
    if rollback.is_no_trouble() {
        let reason = if rollback.reason == REJECTED { REJECTED } else { SUPERSEDED };
        turn.show(Phase::Idle, Wait::new(reason, rollback.message.clone()), view.now);
        return;
    }
    after_rollback::begin(view, turn, rollback, to);
    turn.tell(EventType::Warning, "RolledBack", &view.stage.name, message.clone());
    match rollback.then_blocked.as_deref() {
        Some("SecondRollback") => {
            let message =
                format!("{message}; the second rollback within the hour, so a person must look (Resume)");
            block(view, turn, "SecondRollback", message);
        }
        Some(reason) => {
            let message = format!("{message}; a newer release or a Resume goes on");
            turn.show(Phase::Blocked, Wait::new(blocked_reason(reason), message), view.now);
        }
        None => turn.show(Phase::Idle, Wait::new("RolledBack", message), view.now),
    }
}
