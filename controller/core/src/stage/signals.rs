//! Signals that somebody else measures: what is asked when a tick is over, what its answer counts for, and what follows
//! while there is none.
//!
//! Guarantees: a tick is asked about with the pods that were at risk at its start, counted once and in order; what is
//! missing, failing or no number counts for nothing, stops the soak's clock and ends no step; pods are compared within
//! one owner and template only. A signal that is added while a candidate is in flight is for the next one (the weights are
//! fixed); one that is changed goes on with the evidence it has: which comparison comes next may depend on the past.
//! May not: ask.

mod asking;

use super::{
    StageView, Wait,
    ticks::{self, TickStart},
};
use crate::{
    gates::label,
    health::{Promotion, Reading, Together, alpha_of_budget},
    image::Release,
    policy::Stage,
    signals::{ArmAnswer, Compare, JobRun, Signal, SignalAnswer, SignalKey, SignalQuestion},
    status::{Flight, HealthMemory, Once, SignalMemory},
};
use asking::{Asking, pods};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;

/// Ticks that wait for an answer at most; of the oldest beyond, nothing is known.
const PENDING: usize = 5;
/// Longest words of a server that are kept.
const TROUBLE: usize = 200;

/// A tick that is over and not answered yet.
#[derive(Clone, Debug, PartialEq)]
pub struct PendingTick {
    question: SignalQuestion,
    /// The candidate had one pod in it.
    one_pod: bool,
}

/// The signals of a flight that begins.
pub fn begin(view: &StageView<'_>) -> Vec<SignalMemory> {
    let most = ticks_of(view.stage, view.policy.health.tick);
    let all = view.policy.signals.iter();
    all.map(|signal| {
        let once = signal.source.server.judges_once().then_some(Once::Awaited);
        SignalMemory { once, ..SignalMemory::new(&signal.name, most) }
    })
    .collect()
}

/// About so many ticks a stage takes: twice its soaks. Only the power of the test depends on it, never its bound.
fn ticks_of(stage: &Stage, tick: SignedDuration) -> u64 {
    let waves: i64 = stage.waves.iter().flatten().map(|wave| wave.soak.as_secs()).sum();
    let soaks = waves.saturating_add(stage.soak.as_secs()).max(5400);
    u64::try_from(soaks.saturating_mul(2) / tick.as_secs().max(1)).unwrap_or(1).clamp(60, 50_000)
}

impl HealthMemory {
    /// All signals of the flight, to be judged together.
    #[must_use]
    pub fn together(&self) -> Together<'_> {
        let measured = self.signals.iter().filter(|memory| memory.once.is_none());
        let gauges = measured.map(|memory| (memory.name.as_str(), &memory.gauge)).collect();
        Together { restarts: &self.evidence, gauges }
    }
}

/// The tick that began with `open` is over: what would have to be known about it.
pub fn close(view: &StageView<'_>, flight: &mut Flight, open: &TickStart) {
    let Flight { release, from, attempt, entered, health, .. } = flight;
    let policy = format!("{}/{}", view.policy.namespace, view.policy.name);
    for memory in &mut health.signals {
        let Some(signal) = find(view, memory).filter(|_| !memory.has_judged()) else { continue };
        let pods = pods(open, signal.compare.is_beside());
        let comparable =
            !pods.candidate.is_empty() && (!signal.compare.is_beside() || !pods.baseline.is_empty());
        if !comparable {
            // Nothing to compare with: it stands still, as the test of restarts does.
            memory.dark_since = None;
            memory.trouble.clear();
            continue;
        }
        let tick = view.policy.health.tick;
        let past = tick.saturating_mul(i32::try_from(open.tick().saturating_add(1)).unwrap_or(i32::MAX));
        let Ok(at) = entered.checked_add(past) else { continue };
        let key = SignalKey { attempt: attempt.clone(), signal: signal.name.clone(), tick: open.tick() };
        let one_pod = pods.candidate.len() == 1;
        let asking = Asking {
            signal,
            at: at.saturating_sub(signal.source.delay).unwrap_or(at),
            window: tick.as_secs().max(1),
            pods: &pods,
            policy: &policy,
            policy_uid: &view.policy.uid,
            stage: &view.stage.name,
            attempt,
        };
        let question = asking.question(key, release, from.as_ref());
        memory.pending.push(PendingTick { question, one_pod });
    }
}

/// The signal that is remembered, as it is now: one that became a Job, or was one, is another.
fn find<'a>(view: &StageView<'a>, memory: &SignalMemory) -> Option<&'a Signal> {
    let same = |signal: &&Signal| signal.source.server.judges_once() == memory.once.is_some();
    view.policy.signals.iter().find(|signal| signal.name == memory.name).filter(same)
}

/// Counts what was answered, oldest tick first.
pub fn take_in(view: &StageView<'_>, flight: &mut Flight) {
    for memory in &mut flight.health.signals {
        let Some(signal) = find(view, memory) else {
            // Its evidence stays; nobody asks any more.
            memory.pending.clear();
            memory.dark_since = None;
            memory.trouble.clear();
            continue;
        };
        while let Some(first) = memory.pending.first() {
            let answer = view.all.signals.get(&first.question.key);
            if answer.is_none() && memory.pending.len() <= PENDING {
                break;
            }
            let first = memory.pending.remove(0);
            count(memory, signal, &first, answer);
        }
    }
    let (prior, alpha) = (
        super::flight::prior(view, &flight.release),
        alpha_of_budget(view.policy.health.false_rollback_budget),
    );
    let messages: Vec<String> =
        flight.health.signals.iter().map(|memory| sentence(view, flight, memory, &prior, alpha)).collect();
    for (memory, message) in flight.health.signals.iter_mut().zip(messages) {
        memory.log_e = ticks::round(memory.gauge.e().ln());
        memory.message = message;
    }
}

fn count(memory: &mut SignalMemory, signal: &Signal, tick: &PendingTick, answer: Option<&SignalAnswer>) {
    let (reading, trouble) = match answer {
        Some(answer) => read(signal, answer, tick.one_pod),
        None => (Reading::Missing, format!("{} did not answer in time", signal.source.server)),
    };
    let at = tick.question.at;
    if memory.once.is_some() {
        return judge_once(memory, at, answer, &trouble);
    }
    memory.gauge.tick(tick.question.key.tick, reading, &signal.compare.margin());
    if reading.has_both() {
        memory.data_at = Some(at);
        memory.dark_since = None;
        memory.trouble.clear();
    } else {
        memory.dark_since.get_or_insert(at);
        memory.trouble = trouble.chars().take(TROUBLE).collect();
    }
}

/// What a Job said. A verdict stands; anything else is no data yet.
fn judge_once(memory: &mut SignalMemory, at: Timestamp, answer: Option<&SignalAnswer>, trouble: &str) {
    let verdict = match answer.map(|answer| &answer.candidate) {
        Some(ArmAnswer::Verdict { degraded: true }) => Once::Failed,
        Some(ArmAnswer::Verdict { degraded: false }) => Once::Passed,
        _ => {
            memory.dark_since.get_or_insert(at);
            memory.trouble = trouble.chars().take(TROUBLE).collect();
            return;
        }
    };
    memory.once = Some(verdict);
    memory.data_at = Some(at);
    memory.dark_since = None;
    memory.trouble.clear();
    memory.pending.clear();
}

/// The Job that says that the release is degraded, if one does: its verdict needs no statistics.
pub fn failed(flight: &Flight) -> Option<String> {
    let failed = flight.health.signals.iter().find(|memory| memory.once == Some(Once::Failed))?;
    let job = JobRun::name_of(&flight.attempt, &failed.name);
    Some(format!("signal {}: its Job {job} ended with exit code 1", failed.name))
}

/// What an answer counts for, and what is wrong where it counts for nothing.
fn read(signal: &Signal, answer: &SignalAnswer, one_pod: bool) -> (Reading, String) {
    use ArmAnswer::{Failed, Nothing, Value, Verdict};
    let candidate = match (&answer.candidate, signal.compare) {
        // Above a half is degraded, below is not.
        (Verdict { degraded }, Compare::Verdict) => &Value(f64::from(u8::from(*degraded))),
        (Value(_), Compare::Verdict) => &Failed(
            "it answered with a number, and the signal has nothing to compare it with; write compare"
                .to_owned(),
        ),
        (Verdict { .. }, _) => {
            &Failed("it answered with a verdict, and a number is compared; remove compare".to_owned())
        }
        (answer, _) => answer,
    };
    let baseline = match (signal.compare, &answer.baseline) {
        (Compare::Limit(_, limit), _) => &Value(limit),
        (Compare::Verdict, _) => &Value(0.5),
        (Compare::Beside(_), Some(baseline)) => baseline,
        (Compare::Beside(_), None) => &Nothing,
    };
    let beside = signal.compare.is_beside();
    match (candidate, baseline) {
        (Verdict { .. }, _) | (_, Verdict { .. }) => {
            (Reading::Missing, "it answered with a verdict for the pods beside the candidate".to_owned())
        }
        (Failed(why), _) | (_, Failed(why)) => (Reading::Missing, why.clone()),
        (&Value(candidate), &Value(baseline)) => {
            let reading = if one_pod {
                Reading::OnePod { candidate, baseline }
            } else {
                Reading::Pair { candidate, baseline }
            };
            (
                reading,
                format!(
                    "{candidate} against {baseline} cannot be compared: a value must be finite and not negative"
                ),
            )
        }
        (Nothing, Value(_)) if beside => (
            Reading::CandidateSilent,
            "the query has no value for the candidate's pods, and one for those beside them".to_owned(),
        ),
        (Nothing, _) => (Reading::Missing, "the query has no value for the candidate's pods".to_owned()),
        (Value(_), Nothing) => {
            (Reading::Missing, "the query has no value for the pods beside the candidate".to_owned())
        }
    }
}

/// What has to be asked, as long as it is not answered.
pub fn questions(flight: &Flight) -> impl Iterator<Item = SignalQuestion> + '_ {
    let pending = flight.health.signals.iter().flat_map(|memory| &memory.pending);
    pending.map(|pending| pending.question.clone())
}

/// The evidence against its limit: what a person reads.
fn sentence(
    view: &StageView<'_>,
    flight: &Flight,
    memory: &SignalMemory,
    prior: &Promotion,
    alpha: f64,
) -> String {
    let (worse, ticks) = memory.gauge.counts();
    let Some(signal) = find(view, memory) else {
        return format!(
            "removed from the policy; it was worse in {worse} of {ticks} ticks, which still counts"
        );
    };
    if let Some(once) = memory.once {
        let job = JobRun::name_of(&flight.attempt, &memory.name);
        return match (once, memory.dark_since) {
            (Once::Passed, _) => format!("its Job {job} ended well"),
            (Once::Failed, _) => format!("its Job {job} ended with exit code 1: degraded"),
            (Once::Awaited, Some(since)) => format!("no verdict since {since}: {}", memory.trouble),
            (Once::Awaited, None) => format!("its Job {job} has not been started yet"),
        };
    }
    let promotion = prior.martingale(flight.health.together().evidence());
    let limit = if alpha > 0.0 { 1.0 / alpha } else { f64::INFINITY };
    let evidence = memory.gauge.e();
    let shown = format!(
        "{} in {worse} of {ticks} ticks; evidence {evidence:.1}, of all signals {promotion:.1}, limit {limit:.1}",
        signal.compare
    );
    match memory.dark_since {
        Some(since) => format!("no data since {since}: {}; {shown}", memory.trouble),
        None if ticks == 0 && memory.pending.is_empty() => format!("nothing to compare yet; {shown}"),
        None => shown,
    }
}

/// Why the soak's clock stands still, where a signal is without data.
pub fn dark(flight: &Flight) -> Option<(Timestamp, String)> {
    let dark = flight.health.signals.iter().filter_map(|memory| Some((memory.dark_since?, memory)));
    let (since, memory) = dark.min_by_key(|(since, _)| *since)?;
    Some((since, format!("signal {} has no data: {}", memory.name, memory.trouble)))
}

/// The hold that begins when data has been missing for too long: nothing more is given the candidate.
pub fn hold(view: &StageView<'_>, flight: &Flight) -> Option<Wait> {
    let (since, why) = dark(flight)?;
    let from = since.checked_add(view.policy.health.no_data_after).ok()?;
    let name = label(&flight.release);
    (from <= view.now).then(|| Wait::new("NoData", format!("{name}: {why}, since {since}; held")))
}

/// Why a step may not end yet: what could be compared in it has not been, or the last tick is not answered.
pub fn unsettled(view: &StageView<'_>, flight: &Flight) -> Option<String> {
    let candidate = view.live().any(|pod| pod.seen.ready && pod.asked(&flight.release));
    let beside = candidate && has_both_arms(view, flight);
    flight.health.signals.iter().find_map(|memory| {
        let signal = find(view, memory)?;
        let comparable = if signal.compare.is_beside() { beside } else { candidate };
        if memory.once.is_some() {
            let waits = comparable && !memory.has_judged();
            return waits.then(|| format!("waits for the Job of signal {}", memory.name));
        }
        let fresh = memory.data_at.is_some_and(|at| flight.soaking_since.is_none_or(|since| at >= since));
        let waits = !memory.pending.is_empty() || (comparable && !fresh);
        waits.then(|| format!("waits for an answer to signal {}", memory.name))
    })
}

/// Some owner has pods of both arms, or will have once they are warm.
fn has_both_arms(view: &StageView<'_>, flight: &Flight) -> bool {
    let sampled = flight.health.open.as_ref().is_some_and(|open| !pods(open, true).candidate.is_empty());
    // Of more pods than are sampled it is not known which are compared.
    if sampled || view.live().count() > ticks::SAMPLE {
        return sampled;
    }
    let of = |release: &Release| {
        let ready = view.live().filter(|pod| pod.seen.ready && !pod.seen.node.is_empty());
        ready.filter(|pod| pod.asked(release)).map(ticks::stratum).collect::<BTreeSet<_>>()
    };
    flight.from.as_ref().is_some_and(|from| !of(from).is_disjoint(&of(&flight.release)))
}

/// What the signals have shown, for the sentence of a verification.
#[must_use]
pub fn shown(flight: &Flight) -> String {
    let each = flight.health.signals.iter().map(|memory| match memory.gauge.counts() {
        _ if memory.once == Some(Once::Passed) => format!("; signal {}: its Job ended well", memory.name),
        (_, 0) => format!("; signal {}: nothing to compare with", memory.name),
        (worse, ticks) => format!("; signal {}: worse in {worse} of {ticks} ticks", memory.name),
    });
    each.collect()
}
