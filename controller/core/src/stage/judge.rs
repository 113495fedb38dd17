//! Whether a candidate is degraded: hard gates first, then the sequential tests of all signals together.
//!
//! Guarantees: missing or failing data never degrades; one pod alone never rolls a stage back by its own.

use super::{
    common_cause::{self, COMMON_CAUSE, Common, MOST, not_yet},
    flight, signals, ticks,
    view::{CRASH_LOOP, PULL_ERRORS, PodView, StageView},
};
use crate::{
    gates::label,
    health::{Arm, FastLimits, GaugeAlarm, HoldReason, Joint, Verdict, alpha_of_budget},
    image::Release,
    status::{Flight, Phase},
};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// What follows for the stage.
#[derive(Debug)]
pub enum Judgement {
    /// Go on.
    Fine,
    /// Take it back and quarantine it.
    Degraded {
        /// Why.
        reason: &'static str,
        /// Evidence, as a sentence.
        message: String,
    },
    /// Put it back without a quarantine: it is not the release's fault, or nobody can tell.
    PutBack {
        /// Why.
        reason: &'static str,
        /// A sentence.
        message: String,
    },
    /// Neither widen nor take back: a person should look.
    Page {
        /// Why.
        reason: &'static str,
        /// A sentence.
        message: String,
        /// When it ends by itself, if it does.
        until: Option<Timestamp>,
    },
}

/// Judges the flight, closing ticks on the way. Also says when to look again.
pub fn judge(view: &StageView<'_>, flight: &mut Flight) -> (Judgement, Timestamp) {
    let (looked, next) = ticks::look(view, flight);
    if view.seen.stale_since.is_some() {
        return (Judgement::Fine, next);
    }
    signals::take_in(view, flight);
    let common = Common::of_flight(view, flight);
    let judgement = judged(view, flight, &looked, &common);
    (held_on(view, flight, &common, judgement), next)
}

/// A crash loop comes and goes with each start of its container: what is held stays held for as long as others show the same.
fn held_on(
    view: &StageView<'_>,
    flight: &mut Flight,
    common: &Common<'_>,
    judgement: Judgement,
) -> Judgement {
    match &judgement {
        Judgement::Page { reason: COMMON_CAUSE, message, .. } => {
            flight.health.common_cause.clone_from(message);
            judgement
        }
        Judgement::Fine if !flight.health.common_cause.is_empty() && common.touches(view, flight) => {
            hold(view, flight, flight.health.common_cause.clone())
        }
        _ => {
            flight.health.common_cause.clear();
            judgement
        }
    }
}

fn judged(
    view: &StageView<'_>,
    flight: &mut Flight,
    looked: &ticks::Looked,
    common: &Common<'_>,
) -> Judgement {
    if let Some(hard) = hard_gates(view, flight, common) {
        return hard;
    }
    if let Some(why) = signals::failed(flight) {
        let message = format!("{} {why}", label(&flight.release));
        return Judgement::Degraded { reason: "SignalWorse", message };
    }
    let prior = flight::prior(view, &flight.release);
    let alpha = alpha_of_budget(view.policy.health.false_rollback_budget);
    flight.health.log_e = ticks::round(flight.health.evidence.e_leave_one_out().ln());
    let limits = FastLimits::of_budget(view.policy.health.false_rollback_budget);
    if let Some(alarm) = flight.health.fingerprints.alarm(&flight.health.evidence, &limits) {
        let message = format!("{} restarts: {alarm}{}", label(&flight.release), last_words(view, flight));
        return restarts(view, flight, common, message);
    }
    let verdict = match flight.health.together().judge(&looked.arms, &prior, alpha) {
        Joint::Restarts(verdict) => verdict,
        Joint::Worse(alarm) => {
            let message = format!("{} {}", label(&flight.release), told(view, &alarm));
            return match common.doubts(view.policy, &alarm.signal) {
                Some(why) => hold(view, flight, not_yet(&message, &why)),
                None => Judgement::Degraded { reason: "SignalWorse", message },
            };
        }
        Joint::Suspect(alarm) => {
            let told = told(view, &alarm);
            let why = "one pod alone or a candidate that exports nothing could explain it";
            let message = format!("{} {told}; not taken back: {why}", label(&flight.release));
            return Judgement::Page { reason: SUSPECT, message, until: None };
        }
    };
    match verdict {
        Verdict::Degraded { alarm } => {
            let message = format!("{} restarts: {alarm}{}", label(&flight.release), last_words(view, flight));
            restarts(view, flight, common, message)
        }
        Verdict::HoldAndPage { alarm, why } => Judgement::Page {
            reason: SUSPECT,
            until: None,
            message: format!("{} restarts: {alarm}; not taken back: {}", label(&flight.release), alone(why)),
        },
        Verdict::Healthy | Verdict::Inconclusive { .. } | Verdict::NoData => Judgement::Fine,
    }
}

/// One pod, or one node, alone.
const SUSPECT: &str = "SuspectOnePod";

/// An alarm of restarts, unless what is remembered of the candidate's crashes is but for one node on nodes that shake.
fn restarts(view: &StageView<'_>, flight: &Flight, common: &Common<'_>, message: String) -> Judgement {
    let recent = flight.health.evidence.recent().iter().filter(|row| row.arm == Arm::Candidate);
    match common.explains_nearly_all(&recent.map(|row| row.node.as_str()).collect()) {
        Some(why) => hold(view, flight, not_yet(&message, &why)),
        None => Judgement::Degraded { reason: "RestartsIncreased", message },
    }
}

/// Others show the same at the same moment: neither widened nor taken back, for as long as the rule may say so.
fn hold(view: &StageView<'_>, flight: &Flight, message: String) -> Judgement {
    let left = MOST.saturating_sub(flight.health.set_aside);
    let until = common_cause::ends(view.now, view.policy.health.tick, left);
    Judgement::Page { reason: COMMON_CAUSE, message, until: Some(until) }
}

/// The numbers behind an alarm of a signal, with what it is compared with.
fn told(view: &StageView<'_>, alarm: &GaugeAlarm) -> String {
    let GaugeAlarm { signal, worse, ticks, promotion, limit } = alarm;
    let compare = view.policy.signals.iter().find(|s| s.name == *signal).map(|s| s.compare.to_string());
    let compare = compare.unwrap_or_else(|| "worse".to_owned());
    format!(
        "signal {signal}: {compare} in {worse} of {ticks} ticks; evidence {promotion:.1}, limit {limit:.1}"
    )
}

/// What a pod of the candidate said when it died last: what a person needs first.
fn last_words(view: &StageView<'_>, flight: &Flight) -> String {
    let members = view.live().filter(|p| p.asked(&flight.release) && ticks::crashes_of(p) > 0);
    telling(members).map(|death| format!("; last: {death}")).unwrap_or_default()
}

/// How a pod died last, best one that said why: what its container says is not always read yet.
fn telling<'a, 'v: 'a>(pods: impl Iterator<Item = &'a PodView<'v>>) -> Option<&'a str> {
    pods.filter(|p| p.last_death().is_some())
        .max_by_key(|p| (!p.silent(), p.died()))
        .and_then(|p| p.last_death())
}

fn alone(why: HoldReason) -> &'static str {
    match why {
        HoldReason::OnePod => "it is one pod only, and it may be the pod",
        HoldReason::OneNodeWithoutBaseline => "all its pods are on one node without a pod to compare with",
    }
}

/// Layer 1 of the engine, outside of alpha's bound: what no statistics is needed for.
fn hard_gates(view: &StageView<'_>, flight: &Flight, common: &Common<'_>) -> Option<Judgement> {
    let members: Vec<&PodView<'_>> = view.live().filter(|p| p.asked(&flight.release)).collect();
    let name = label(&flight.release);
    if let Some((why, pod)) = cannot_start(view, flight, &members) {
        let message = format!("{pod} reports {why} for {name}: put back, not quarantined");
        return Some(Judgement::PutBack { reason: "NotPullable", message });
    }
    let from = flight.from.as_ref();
    if let Some(message) = crash_loops(&members, view, from, &name) {
        let remains = crash_loops(&common.quiet(&members), view, from, &name);
        let why = common.explains(&common_cause::looping_on(&members)).filter(|_| remains.is_none());
        return Some(match why {
            Some(why) => hold(view, flight, not_yet(&message, &why)),
            None => Judgement::Degraded { reason: "CrashLoop", message },
        });
    }
    // Once a step soaks, its pods have been Ready: what is not Ready then stops the clock, or crashes and is counted.
    if view.life.stages.get(view.index).is_none_or(|s| s.phase != Phase::Applying) {
        return None;
    }
    let deadline = view.policy.health.ready_deadline;
    let stuck: Vec<&&PodView<'_>> = members
        .iter()
        .filter(|p| !(p.seen.ready && p.runs(&flight.release)) && p.moved_by(&flight.attempt))
        // What cannot be pulled has not been tried.
        .filter(|p| p.waits_for(PULL_ERRORS).is_none() && has_had_time(view, p))
        .collect();
    let first = stuck.first()?.name();
    if stuck.len() >= 2 {
        let message = format!(
            "{} pods, {first} among them, did not get Ready with {name} in {deadline:#}",
            stuck.len()
        );
        let quiet = stuck.iter().filter(|p| !common.shakes(&p.seen.node)).count();
        let nodes = stuck.iter().map(|p| p.seen.node.as_str()).collect();
        if let Some(why) = common.explains(&nodes).filter(|_| quiet < 2) {
            return Some(hold(view, flight, not_yet(&message, &why)));
        }
        return Some(Judgement::Degraded { reason: "NeverReady", message });
    }
    let message =
        format!("{first} did not get Ready with {name} in {deadline:#}; one pod is no evidence: put back");
    Some(Judgement::PutBack { reason: "NeverReady", message })
}

fn has_had_time(view: &StageView<'_>, pod: &PodView<'_>) -> bool {
    let deadline = view.policy.health.ready_deadline;
    pod.has_it_since().and_then(|s| s.checked_add(deadline).ok()).is_some_and(|over| over <= view.now)
}

/// A moved pod that cannot pull or start the candidate: at once while no pod of the step has it (decision 16), later
/// after the time that a pod may take. Never evidence against the release: it may be the registry.
fn cannot_start(view: &StageView<'_>, flight: &Flight, members: &[&PodView<'_>]) -> Option<(String, String)> {
    let mut in_step = members.iter().filter(|p| p.moved_in_step(flight));
    let none_is_up = !in_step.any(|p| p.runs(&flight.release));
    members.iter().filter(|p| p.moved_by(&flight.attempt)).find_map(|p| {
        let why = p.waits_for(PULL_ERRORS)?;
        ((none_is_up && p.moved_in_step(flight)) || has_had_time(view, p)).then(|| (why.to_owned(), p.name()))
    })
}

/// At least two pods of the release in a crash loop, and no pod of the release before.
pub fn crash_loops(
    members: &[&PodView<'_>],
    view: &StageView<'_>,
    baseline: Option<&Release>,
    name: &str,
) -> Option<String> {
    let looping: BTreeSet<String> =
        members.iter().filter(|p| p.waits_for(&[CRASH_LOOP]).is_some()).map(|p| p.name()).collect();
    let clean = |p: &PodView<'_>| p.waits_for(&[CRASH_LOOP]).is_none();
    let baseline_clean = view.live().filter(|p| baseline.is_some_and(|b| p.asked(b))).all(clean);
    if looping.len() < 2 || !baseline_clean {
        return None;
    }
    let death = telling(members.iter().copied());
    let example = looping.first().cloned().unwrap_or_default();
    let last = death.map(|d| format!(" (last: {d})")).unwrap_or_default();
    Some(format!(
        "{} pods are in a crash loop with {name}, {example} among them{last}; no pod beside them is",
        looping.len()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        observed::{ContainerSeen, PodSeen},
        stage::view::Governed,
    };

    fn view(pod: &PodSeen) -> PodView<'_> {
        let governed = |seen| Governed { seen, image: "a/b:1".parse().unwrap() };
        PodView { seen: pod, containers: pod.containers.iter().map(governed).collect() }
    }

    #[test]
    fn the_newest_death_that_said_why_is_told_else_the_newest() {
        let pods = |said: [&str; 3]| -> Vec<PodSeen> {
            let pod = |(at, said): (usize, &str)| {
                let died = Timestamp::from_second(i64::try_from(at).unwrap()).unwrap();
                let mut container = ContainerSeen { died: Some(died), ..ContainerSeen::default() };
                container.died_of(i32::try_from(at).unwrap() + 1, "Error", said);
                PodSeen { containers: vec![container], ..PodSeen::default() }
            };
            said.into_iter().enumerate().map(pod).collect()
        };
        for (said, told) in [
            (["panic: a", "panic: b", ""], "exit 2 (Error): panic: b"),
            (["panic: a", "panic: b", "panic: c"], "exit 3 (Error): panic: c"),
            (["", "", ""], "exit 3 (Error)"),
        ] {
            let pods = pods(said);
            let views: Vec<PodView<'_>> = pods.iter().map(view).collect();
            assert_eq!(telling(views.iter()), Some(told));
        }
        assert_eq!(telling(std::iter::empty()), None);
    }
}
