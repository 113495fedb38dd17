//! A candidate's way through one stage: enter, step by step, verified.

use super::{Entry, StageView, Turn, Wait, current_of, signals, ticks};
use crate::{
    decision::EventType,
    gates::label,
    health::{Promotion, pod_time, stage_evidence},
    image::Release,
    policy::{Amount, Movement, Stage, Target, Wave},
    status::{Flight, HealthMemory, Phase, Source, Step, VERIFIED, Verified, WavePlan},
};
use jiff::SignedDuration;

/// Below this many pods a stage has no waves (decision 10).
const MIN_FOR_WAVES: usize = 8;

/// The waves of a spec that names none: three pods for an hour, then a quarter for half an hour.
const DEFAULT_WAVES: [Wave; 2] = [
    Wave { pods: Amount::Count(3), soak: SignedDuration::from_hours(1) },
    Wave { pods: Amount::Percent(25), soak: SignedDuration::from_mins(30) },
];

/// Lets `entry` in: the attempt stands in the status before anything is written.
pub fn enter(view: &StageView<'_>, turn: &mut Turn, entry: Entry) {
    let ready = view.live().filter(|p| p.seen.ready).count();
    let unready = view.live().filter(|p| !p.seen.ready).count();
    let from = current_of(&turn.status).map(|v| v.release.clone());
    let again = from.as_ref().is_some_and(|from| view.facts.same(from, &entry.release));
    // What soaks again is everywhere already.
    let waves = if again { Vec::new() } else { waves_of(view.stage, view.live().count(), ready) };
    let step = if waves.is_empty() { Step::All } else { Step::Wave(0) };
    let skip_window = entry.skips(crate::observed::Skip::Window);
    let promoted_by = entry.promote.as_ref().map(|p| p.requested_by.clone());
    let why = match &entry.promote {
        Some(p) => format!(", asked for by {} ({})", p.requested_by, p.reason),
        None => String::new(),
    };
    turn.tell(EventType::Normal, "PromotionStarted", &view.stage.name, {
        let (new, stage) = (label(&entry.release), &view.stage.name);
        match &from {
            Some(_) if again => format!("{new} has to soak again in {stage}"),
            Some(old) => format!("{} → {new} enters {stage}{why}", label(old)),
            None => format!("a mix → {new} enters {stage}{why}"),
        }
    });
    let attempt = turn.next_attempt(view);
    let fingerprints = from.as_ref().map(|stable| ticks::before(view, stable)).unwrap_or_default();
    turn.status.flight = Some(Flight {
        release: entry.release,
        from,
        attempt,
        entered: view.now,
        soaking_since: None,
        step,
        step_since: view.now,
        waves,
        ready_at_entry: u32::try_from(ready).unwrap_or(u32::MAX),
        unready_at_entry: u32::try_from(unready).unwrap_or(u32::MAX),
        members: 0,
        replaced: 0,
        healthy_seconds: 0,
        clock: None,
        no_data_since: None,
        skip_window,
        promoted_by,
        health: HealthMemory { fingerprints, signals: signals::begin(view), ..HealthMemory::default() },
    });
    turn.show(Phase::Applying, Wait::new("Applying", "the candidate enters".to_owned()), view.now);
    turn.wake(view.now);
}

/// The waves that a stage of so many pods has, of which so many are ready.
#[must_use]
pub fn waves_of(stage: &Stage, pods: usize, ready: usize) -> Vec<WavePlan> {
    let in_place = stage.targets.iter().any(|t| match t {
        Target::Pods(t) => t.movement == Movement::InPlace,
        Target::Workloads(_) | Target::Git(_) => true,
    });
    let waves: &[Wave] = match &stage.waves {
        _ if !in_place || pods < MIN_FOR_WAVES => &[],
        Some(waves) => waves,
        None => &DEFAULT_WAVES,
    };
    let planned = waves.iter().map(|w| WavePlan {
        // A wave that had every pod would leave nothing to compare with.
        pods: u32::try_from(w.pods.of_rounded_up(ready).clamp(1, ready.saturating_sub(1).max(1)))
            .unwrap_or(u32::MAX),
        soak_seconds: w.soak.as_secs(),
    });
    planned.collect()
}

/// How many pods have the candidate when this step is complete; `None` for all of them.
#[must_use]
pub fn planned(flight: &Flight) -> Option<WavePlan> {
    match flight.step {
        Step::Wave(n) => flight.waves.get(n as usize).copied(),
        Step::All => None,
    }
}

/// Healthy seconds that this step needs.
#[must_use]
pub fn soak_seconds(view: &StageView<'_>, flight: &Flight) -> i64 {
    soak_of(view.stage, flight)
}

/// The same by the stage's definition.
#[must_use]
pub fn soak_of(stage: &Stage, flight: &Flight) -> i64 {
    planned(flight).map_or_else(|| stage.soak.as_secs(), |wave| wave.soak_seconds)
}

/// The next step after this one, if there is one.
fn next_step(flight: &Flight) -> Option<Step> {
    match flight.step {
        Step::Wave(n) if ((n + 1) as usize) < flight.waves.len() => Some(Step::Wave(n + 1)),
        Step::Wave(_) => Some(Step::All),
        Step::All => None,
    }
}

/// The soak of a step is over: on to the next, or verified.
pub fn advance(view: &StageView<'_>, turn: &mut Turn, mut flight: Flight) {
    let Some(step) = next_step(&flight) else {
        verify(view, turn, &flight);
        return;
    };
    flight.step = step;
    flight.step_since = view.now;
    flight.soaking_since = None;
    flight.healthy_seconds = 0;
    flight.clock = None;
    flight.replaced = 0;
    let what = step_name(&flight);
    turn.tell(
        EventType::Normal,
        "Widening",
        &view.stage.name,
        format!("{} goes on to {what}", label(&flight.release)),
    );
    turn.show(Phase::Applying, Wait::new("Applying", format!("goes on to {what}")), view.now);
    turn.status.flight = Some(flight);
    turn.wake(view.now);
}

fn verify(view: &StageView<'_>, turn: &mut Turn, flight: &Flight) {
    let rules_out = rules_out(flight);
    let now = view.now;
    turn.status.verified.retain(|v| !view.facts.same(&v.release, &flight.release));
    turn.status.verified.push(Verified {
        release: flight.release.clone(),
        source: Source::Verified,
        at: now,
        hash: view.stage.hash.clone(),
        rules_out: rules_out.clone(),
        log_e: ticks::round(flight.health.together().evidence().ln()),
        guard_until: now.checked_add(view.policy.health.guard).ok(),
    });
    if turn.status.verified.len() > VERIFIED {
        turn.status.verified.remove(0);
    }
    turn.status.current = Some(flight.release.digest.clone());
    turn.status.only_tags.clear();
    turn.status.mixed.clear();
    turn.status.refused.clear();
    turn.status.drift.repairs.clear();
    turn.status.contested.clear();
    let message = format!("{} is verified in {}: {rules_out}", label(&flight.release), view.stage.name);
    turn.tell(EventType::Normal, "Verified", &view.stage.name, message.clone());
    turn.show(Phase::Idle, Wait::new("Verified", message), now);
    turn.wake(now);
}

/// What the soak rules out, for people.
#[must_use]
pub fn rules_out(flight: &Flight) -> String {
    let (evidence, signals) = (&flight.health.evidence, signals::shown(flight));
    let (hours, crashes) = (evidence.candidate_pod_hours(), flight.health.crashes[0]);
    match evidence.rules_out_per_pod_hour() {
        Some(rate) => format!(
            "{} in {}: fewer than {rate:.2} per pod-hour, 95 %{signals}",
            if crashes == 0 { "no restart".to_owned() } else { format!("{crashes} restarts") },
            pod_time(hours)
        ),
        None => format!("nothing to compare with; no pod was in a crash loop{signals}"),
    }
}

/// `wave 1 of 2 (3 pods)` or `all pods`.
#[must_use]
pub fn step_name(flight: &Flight) -> String {
    match (flight.step, planned(flight)) {
        (Step::Wave(n), Some(wave)) => {
            format!("wave {} of {} ({} pods)", n + 1, flight.waves.len(), wave.pods)
        }
        _ => "all pods".to_owned(),
    }
}

/// What the other stages of this promotion have shown of `release`: a level of the DAG is one factor (decision 25).
#[must_use]
pub fn prior(view: &StageView<'_>, release: &Release) -> Promotion {
    let levels = levels(view);
    let mine = levels.get(view.index).copied().unwrap_or(0);
    let total = levels.iter().max().map_or(1, |max| max + 1);
    let shown = |index: usize| {
        let status = view.life.stages.get(index)?;
        let flight = status.flight.as_ref().filter(|f| view.facts.same(&f.release, release));
        let e = match flight {
            Some(f) => f.health.together().evidence(),
            None => status.verified.iter().find(|v| view.facts.same(&v.release, release))?.log_e.exp(),
        };
        Some(stage_evidence(&[(1.0, e)]))
    };
    let at = |level: usize| levels.iter().enumerate().filter(move |(_, l)| **l == level).map(|(i, _)| i);
    let done = (0..mine)
        .map(|level| {
            let values: Vec<f64> = at(level).map(|i| shown(i).unwrap_or(1.0)).collect();
            let count = u32::try_from(values.len().max(1)).unwrap_or(1);
            if values.is_empty() { 1.0 } else { values.iter().sum::<f64>() / f64::from(count) }
        })
        .collect();
    let beside = at(mine).filter(|i| *i != view.index).map(|i| shown(i).unwrap_or(1.0)).collect();
    Promotion { done, beside, total_levels: total }
}

/// The level of every stage: one more than its deepest predecessor.
fn levels(view: &StageView<'_>) -> Vec<usize> {
    let mut levels: Vec<usize> = Vec::new();
    for stage in &view.policy.stages {
        let level = stage.after.iter().filter_map(|&i| levels.get(i)).max().map_or(0, |deepest| deepest + 1);
        levels.push(level);
    }
    levels
}
