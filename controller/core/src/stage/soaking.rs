//! The candidate has to stay healthy. The clock counts healthy time only.
//!
//! Guarantees: no time counts while watches are stale, wave pods are missing or pods with the candidate are not
//! Ready; one look adds at most two ticks; a soak that cannot end is Blocked (Inconclusive), never verified.

use super::{StageView, Turn, Wait, applying, flight, signals, taking_back};
use crate::{
    decision::EventType,
    gates::label,
    status::{Flight, Phase, Step},
};
use jiff::{SignedDuration, Timestamp};

/// One step.
pub fn step(view: &StageView<'_>, turn: &mut Turn) {
    let Some(mut flight) = turn.status.flight.take() else {
        turn.show(Phase::Idle, Wait::new("Idle", String::new()), view.now);
        return;
    };
    if applying::judged(view, turn, &mut flight) {
        return;
    }
    // A stage goes on moving what became movable, and a wave is topped up.
    let unfinished = applying::give(view, turn, &mut flight);
    let name = format!("{} in {}", label(&flight.release), flight::step_name(&flight));
    let stopped =
        view.seen.stale_since.map(|since| format!("{name}: the watches have not been fresh since {since}"));
    let stopped = stopped.or_else(|| unfinished.map(|w| w.message));
    let dark = signals::dark(&flight);
    let stopped = stopped.or_else(|| dark.map(|(_, why)| format!("{name}: {why}")));
    count_time(view, &mut flight, stopped.is_some());
    let needed = flight::soak_seconds(view, &flight);
    let short = evidence_short(view, &flight);
    let done = flight.healthy_seconds >= needed && short.is_none();
    let unsettled = signals::unsettled(view, &flight).filter(|_| done);
    if stopped.is_none() && done && unsettled.is_none() {
        flight::advance(view, turn, flight);
        return;
    }
    if let Some(held) = signals::hold(view, &flight) {
        hold(view, turn, flight, held);
        return;
    }
    let left = SignedDuration::from_secs((needed - flight.healthy_seconds).max(0));
    let wait = match (&stopped, short) {
        (None, None) if done => {
            let why = unsettled.unwrap_or_default();
            Wait::new("AwaitingSignal", format!("{name} has soaked; {why}"))
        }
        (None, Some(rate)) if flight.healthy_seconds >= needed => {
            let end = soak_ends(view, &flight);
            let what = format!("{name} has to show that it restarts less than {rate} times per pod-hour");
            Wait::new("EvidenceShort", format!("{what}, until {} at the latest", shown(end))).until(end)
        }
        (Some(why), _) => Wait::new("SoakPaused", format!("{why}; the soak's clock stands still")),
        (None, _) => {
            let until = view.now.saturating_add(left).unwrap_or(view.now);
            // The end of an undisturbed soak does not move, so that nothing is written while it lasts.
            Wait::new("Soaking", format!("{name} has to stay healthy until {}", shown(until))).until(until)
        }
    };
    turn.status.flight = Some(flight);
    if !out_of_time(view, turn) {
        show_soak(view, turn, wait);
    }
}

/// Data has been missing for too long: a person is told, once.
fn hold(view: &StageView<'_>, turn: &mut Turn, flight: Flight, held: Wait) {
    turn.status.flight = Some(flight);
    if !out_of_time(view, turn) {
        tell_of_no_data(view, turn, &held);
        turn.show(Phase::Soaking, held, view.now);
    }
}

/// Tells when a hold for want of data begins.
pub fn tell_of_no_data(view: &StageView<'_>, turn: &mut Turn, wait: &Wait) {
    if wait.reason == "NoData" && turn.status.reason != wait.reason {
        turn.tell(EventType::Warning, "NoData", &view.stage.name, wait.message.clone());
    }
}

/// The rate that `health.require` asks for, while the release has not shown in the whole stage that it restarts less often.
fn evidence_short(view: &StageView<'_>, flight: &Flight) -> Option<f64> {
    let rate = view.policy.health.require.filter(|_| flight.step == Step::All)?;
    (!flight.health.evidence.shows_fewer_than(rate)).then_some(rate)
}

/// When a step has taken too long, whatever it waits for.
fn soak_ends(view: &StageView<'_>, flight: &Flight) -> Timestamp {
    flight
        .soaking_since
        .unwrap_or(flight.step_since)
        .saturating_add(longest(view, flight))
        .unwrap_or(view.now)
}

fn longest(view: &StageView<'_>, flight: &Flight) -> SignedDuration {
    let needed = SignedDuration::from_secs(flight::soak_seconds(view, flight));
    view.stage.max_soak.max(needed.saturating_mul(2))
}

/// To the second: the clock is read at any moment, the sentence must not change with it.
fn shown(at: Timestamp) -> Timestamp {
    at.round(jiff::Unit::Second).unwrap_or(at)
}

/// Keeps the shown end while it is the same to within a tick.
fn show_soak(view: &StageView<'_>, turn: &mut Turn, wait: Wait) {
    let tick = view.policy.health.tick;
    let same = turn.status.phase == Phase::Soaking && turn.status.reason == wait.reason;
    if let (true, Some(old), Some(new)) = (same, turn.status.until, wait.until)
        && old.duration_since(new).abs() <= tick
    {
        turn.wake(new);
        return;
    }
    turn.show(Phase::Soaking, wait, view.now);
}

fn count_time(view: &StageView<'_>, flight: &mut Flight, stopped: bool) {
    if stopped {
        flight.clock = None;
        return;
    }
    let most = view.policy.health.tick.as_secs().max(1) * 2;
    match flight.clock {
        // Whole seconds only: what is left of one stays on the clock.
        Some(last) => {
            let passed = view.now.duration_since(last).as_secs();
            if passed > 0 {
                flight.healthy_seconds += passed.min(most);
                let whole = if passed > most {
                    view.now
                } else {
                    last.saturating_add(SignedDuration::from_secs(passed)).unwrap_or(view.now)
                };
                flight.clock = Some(whole);
            }
        }
        None => flight.clock = Some(view.now),
    }
}

/// `maxSoak` over the whole step, or a no-data hold that lasts: Blocked (Inconclusive), wave pods are put back.
pub fn out_of_time(view: &StageView<'_>, turn: &mut Turn) -> bool {
    let Some(flight) = &mut turn.status.flight else { return false };
    let health = &view.policy.health;
    let stale = flight.no_data_since.filter(|_| view.seen.stale_since.is_some()).or(view.seen.stale_since);
    let dark = signals::dark(flight).map(|(since, _)| since);
    let dark_since = [stale, dark].into_iter().flatten().min();
    flight.no_data_since = dark_since;
    let name = label(&flight.release);
    let (most, soak_ends) = (longest(view, flight), soak_ends(view, flight));
    let data_ends = dark_since.and_then(|s| s.checked_add(health.no_data_max).ok());
    let why = if soak_ends <= view.now {
        Some(match evidence_short(view, flight) {
            Some(rate) if flight.healthy_seconds >= flight::soak_seconds(view, flight) => {
                format!(
                    "{name} has not shown within {most:#} that it restarts less than {rate} times per pod-hour"
                )
            }
            _ => format!("{name} has not been healthy for its whole soak within {most:#}"),
        })
    } else if data_ends.is_some_and(|end| end <= view.now) {
        Some(format!("no data about {name} for {:#}", health.no_data_max))
    } else {
        None
    };
    turn.wake(soak_ends);
    match why {
        // Without fresh watches nothing is put back either: the deadline acts once they are back.
        Some(message) if view.seen.stale_since.is_none() => {
            taking_back::put_back(view, turn, "Inconclusive", message);
            true
        }
        _ => false,
    }
}
