//! Whether a rollback helped: what it was for is watched on, on the pods that were put back.
//!
//! Guarantees: said once, in a sentence with the numbers, as an Event, in the history and in the stage's status; a rollback
//! that did not help is never rolled back, and lifts no Quarantine: that is a person's. Nothing else waits for it. A release
//! that is verified meanwhile ends the watch in silence. Missing data says nothing.
//! Assumes: a pod's mark says which crashes came after its last move.

use super::{
    StageView, Turn, current_of, signals,
    ticks::{self, crashes_of},
    view::PodView,
};
use crate::{
    decision::EventType,
    gates::label,
    health::{Arm, evidence_of_health, pod_time},
    image::Release,
    status::{AfterRollback, Flight, HealthMemory, Help, Lived, Rollback, SignalMemory, Step},
};
use jiff::{SignedDuration, Timestamp};

/// Longer is not watched.
const WATCHED: SignedDuration = SignedDuration::from_hours(6);
/// Evidence for, or against, that is enough: one in twenty.
const ENOUGH: f64 = 20.0;
/// A rate below this share of the bad release's is another one.
const HALF: f64 = 0.5;
/// Crashes that are no accident.
const MIN_CRASHES: u32 = 3;
/// Ticks of a signal that say something, and how many of them may be worse where it is as it should be: by chance
/// alone one in thirty.
const TICKS: [u64; 2] = [11, 2];

/// How a release has lived in this stage until now: of the pods that have it, their crashes and their time with it.
#[must_use]
pub fn lived(view: &StageView<'_>, release: &Release) -> Lived {
    of_pods(view.live().filter(|pod| pod.asked(release)), view.now)
}

fn of_pods<'p, 'v: 'p>(pods: impl Iterator<Item = &'p PodView<'v>>, now: Timestamp) -> Lived {
    pods.fold(Lived::default(), |sum, pod| {
        let had = pod.has_it_since().map_or(0, |since| now.duration_since(since).as_secs().max(0));
        Lived {
            crashes: sum.crashes.saturating_add(crashes_of(pod)),
            pod_seconds: sum.pod_seconds.saturating_add(had),
        }
    })
}

/// A rollback is over: watching begins, if there is something that can be watched.
pub fn begin(view: &StageView<'_>, turn: &mut Turn, rollback: &Rollback, to: &Release) {
    let signals = if rollback.reason == "SignalWorse" { watched_signals(view) } else { Vec::new() };
    if rollback.before.crashes == 0 && signals.is_empty() {
        return;
    }
    turn.status.after_rollback = Some(AfterRollback {
        bad: label(&rollback.bad),
        quarantine: rollback.quarantine.clone(),
        to: to.clone(),
        attempt: rollback.attempt.clone(),
        reason: rollback.reason.clone(),
        began: rollback.since,
        since: view.now,
        until: view.now.saturating_add(WATCHED).unwrap_or(view.now),
        before: rollback.before,
        help: Help::Watching,
        message: String::new(),
        signals,
        tick: 0,
    });
}

/// Those that have ticks: a Job judges a release, and none is tried.
fn watched_signals(view: &StageView<'_>) -> Vec<SignalMemory> {
    signals::begin(view).into_iter().filter(|memory| memory.once.is_none()).collect()
}

/// One look, in any phase but a rollback's own.
pub fn look(view: &StageView<'_>, turn: &mut Turn) {
    if view.seen.stale_since.is_some() || turn.status.rollback.is_some() {
        return;
    }
    let Some(mut after) = turn.status.after_rollback.take_if(|after| after.help == Help::Watching) else {
        return;
    };
    // Another release is what the stage runs by now.
    if current_of(&turn.status).is_none_or(|current| !view.facts.same(&current.release, &after.to)) {
        return;
    }
    let (help, message) = judge(view, turn, &mut after);
    after.help = help;
    match help {
        Help::Watching => turn.wake(after.until),
        Help::Helped => turn.tell(EventType::Normal, "RollbackHelped", &view.stage.name, message.clone()),
        Help::Unclear => turn.tell(EventType::Normal, "RollbackUnclear", &view.stage.name, message.clone()),
        Help::DidNotHelp => {
            turn.tell(EventType::Warning, "RollbackDidNotHelp", &view.stage.name, message.clone());
        }
    }
    after.message = message;
    if help != Help::Watching {
        after.signals.clear();
    }
    turn.status.after_rollback = Some(after);
}

fn judge(view: &StageView<'_>, turn: &mut Turn, after: &mut AfterRollback) -> (Help, String) {
    let pods: Vec<&PodView<'_>> = watched(view, after).collect();
    let now = of_pods(pods.iter().copied(), view.now);
    let crashed = pods.iter().filter(|pod| crashes_of(pod) > 0).count();
    let by_crashes = crashes(after, now, crashed);
    if by_crashes.is_none() {
        wake(view, turn, after, now, pods.len());
    }
    let by_signals = if after.signals.is_empty() { None } else { Some(measured(view, turn, after)) };
    let (bad, to) = (&after.bad, label(&after.to));
    let shown = format!("{to} had {} since, {bad} {} before", said(now), said(after.before));
    match (by_crashes, by_signals) {
        (Some(Help::DidNotHelp), _) => (Help::DidNotHelp, elsewhere(after, &shown)),
        (_, Some((Help::DidNotHelp, said))) => (Help::DidNotHelp, elsewhere(after, &said)),
        (Some(Help::Helped), None) => (Help::Helped, format!("the rollback of {bad} helped: {shown}")),
        (_, Some((Help::Helped, said))) => (Help::Helped, format!("the rollback of {bad} helped: {said}")),
        _ if after.until <= view.now => {
            (Help::Unclear, format!("whether the rollback of {bad} helped cannot be told: {shown}"))
        }
        _ => (Help::Watching, String::new()),
    }
}

fn said(lived: Lived) -> String {
    let hours = pod_time(hours(lived));
    match lived.crashes {
        0 => format!("no crash in {hours}"),
        1 => format!("1 crash in {hours}"),
        n => format!("{n} crashes in {hours}"),
    }
}

/// What people read and can do where a rollback did not help.
fn elsewhere(after: &AfterRollback, shown: &str) -> String {
    let release = match &after.quarantine {
        Some(name) => format!("; deleting Quarantine {name} lets {} come again", after.bad),
        None => String::new(),
    };
    format!(
        "the rollback of {} did not help: {shown}; the cause may lie elsewhere: look for what else changed{release}",
        after.bad
    )
}

/// It has had what was restored since the rollback began.
fn was_put_back(pod: &PodView<'_>, after: &AfterRollback) -> bool {
    // A mark holds whole seconds.
    let since = pod.has_it_since().is_some_and(|at| at.as_second() >= after.began.as_second());
    since && pod.asked(&after.to)
}

/// The pods that tell.
fn watched<'p, 'v>(
    view: &'p StageView<'v>,
    after: &'p AfterRollback,
) -> impl Iterator<Item = &'p PodView<'v>> {
    view.live().filter(|pod| was_put_back(pod, after))
}

fn hours(lived: Lived) -> f64 {
    SignedDuration::from_secs(lived.pod_seconds).as_secs_f64() / 3600.0
}

/// Crashes of the bad release per pod-hour, where it had some.
fn rate(after: &AfterRollback) -> Option<f64> {
    let before = hours(after.before);
    (after.before.crashes > 0 && before > 0.0).then(|| f64::from(after.before.crashes) / before)
}

/// By crashes, where the bad release had some: fewer than half as often, or still as often, and not in one pod alone.
fn crashes(after: &AfterRollback, now: Lived, pods: usize) -> Option<Help> {
    let rate = rate(after)?;
    if evidence_of_health(u64::from(now.crashes), hours(now), rate * HALF) >= ENOUGH {
        return Some(Help::Helped);
    }
    // The likelihood of the same rate against a quarter of it.
    let ln = f64::from(now.crashes) * 4.0_f64.ln() - 0.75 * rate * hours(now);
    (now.crashes >= MIN_CRASHES && pods >= 2 && ln >= ENOUGH.ln()).then_some(Help::DidNotHelp)
}

/// Looks again when pods that crash no more will have shown enough.
fn wake(view: &StageView<'_>, turn: &mut Turn, after: &AfterRollback, now: Lived, pods: usize) {
    let Some(rate) = rate(after).filter(|_| pods > 0) else { return };
    let needed = evidence_needs(now.crashes) / (rate * HALF);
    let left = (needed - hours(now)) / f64::from(u32::try_from(pods).unwrap_or(u32::MAX)) * 3600.0;
    let left = SignedDuration::try_from_secs_f64(left.ceil()).unwrap_or(WATCHED);
    turn.wake(view.now.saturating_add(left.clamp(view.policy.health.tick, WATCHED)).unwrap_or(after.until));
}

/// Pod-hours, in units of one over the rate, without a further crash until it is shown to be rarer.
fn evidence_needs(crashes: u32) -> f64 {
    ENOUGH.ln() * (1.0 + f64::from(crashes)) / 0.95
}

/// By the signals: what the pods that were put back measure, against those beside them that never had the bad release.
fn measured(view: &StageView<'_>, turn: &mut Turn, after: &mut AfterRollback) -> (Help, String) {
    let length = view.policy.health.tick;
    let mut flight = flight(after);
    let tick = ticks::tick_at(after.since, length, view.now);
    if tick > after.tick {
        let warm = view.now.saturating_sub(length.saturating_add(view.policy.health.warm_up));
        let warm = warm.unwrap_or(Timestamp::MIN);
        let open = ticks::start(view, tick - 1, |pod| {
            let settled = pod.has_it_since().is_some_and(|since| since <= warm) && pod.asked(&after.to);
            settled.then(|| if was_put_back(pod, after) { Arm::Candidate } else { Arm::Baseline })
        });
        signals::close(view, &mut flight, &open);
        after.tick = tick;
    }
    signals::take_in(view, &mut flight);
    turn.asked.extend(signals::questions(&flight));
    let next = length.saturating_mul(i32::try_from(after.tick + 1).unwrap_or(i32::MAX));
    turn.wake(after.since.saturating_add(next).unwrap_or(after.until));
    after.signals = flight.health.signals;
    let counts = after.signals.iter().map(|memory| (memory, memory.gauge.counts()));
    let shown = counts.clone().map(|(memory, (worse, of))| {
        format!("signal {} is worse than beside them in {worse} of {of} ticks", memory.name)
    });
    let shown = format!("with {}, {}", label(&after.to), shown.collect::<Vec<_>>().join(" and "));
    let [least, stray] = TICKS;
    let help = if after.signals.iter().any(|memory| memory.gauge.e() >= ENOUGH) {
        Help::DidNotHelp
    } else if counts.clone().all(|(_, (worse, of))| of >= least && worse * least <= stray * of) {
        Help::Helped
    } else {
        Help::Watching
    };
    (help, shown)
}

/// As signals are asked of: what was restored is the candidate of the pods that were put back, and the release beside them.
fn flight(after: &mut AfterRollback) -> Flight {
    Flight {
        release: after.to.clone(),
        from: Some(after.to.clone()),
        attempt: after.attempt.clone(),
        entered: after.since,
        soaking_since: None,
        step: Step::All,
        step_since: after.since,
        waves: Vec::new(),
        ready_at_entry: 0,
        unready_at_entry: 0,
        members: 0,
        replaced: 0,
        healthy_seconds: 0,
        clock: None,
        no_data_since: None,
        skip_window: false,
        promoted_by: None,
        health: HealthMemory { signals: std::mem::take(&mut after.signals), ..HealthMemory::default() },
    }
}
