//! From pods to evidence: who is at risk at the start of a tick, who died in it, and whose death it was.
//!
//! Guarantees: ticks never overlap and none is counted twice; a death that a move of ours caused is nobody's crash; a
//! pod that is being deleted crashes no more. At most [`SAMPLE`] pods per arm are compared, the same ones in every
//! tick as long as they live, so that status stays bounded however large the stage is.
//! A controller that was away loses the open tick, and finds its deaths again in `restartCount`.

use super::{
    common_cause::Common,
    signals,
    view::{PodView, StageView},
};
use crate::{
    health::{Arm, Arms, Crash, Fingerprint, Fingerprints, History, Room, Stratum},
    image::Release,
    status::Flight,
};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// Pods compared per arm.
pub const SAMPLE: usize = 400;
/// A gap of more ticks than this counts as this many: what was not watched is not evidence.
const LONGEST_GAP: i64 = 5;
/// What a pod did longer ago says nothing about the stable release today.
const HISTORY: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The arms at the start of a tick.
#[derive(Clone, Debug, PartialEq)]
pub struct TickStart {
    tick: i64,
    arms: Arms,
    sampled: BTreeMap<String, Sampled>,
    /// A controller that has just begun does not know who was at risk at its start.
    reopened: bool,
}

impl TickStart {
    /// Its number, counted from the flight's entry.
    pub(super) fn tick(&self) -> i64 {
        self.tick
    }

    /// Without the pods on these nodes: they are not compared in this tick.
    fn without(mut self, common: &Common<'_>) -> Self {
        self.sampled.retain(|_, pod| !common.shakes(&pod.node));
        self.arms.retain(|node| !common.shakes(node));
        self
    }

    /// The pods at risk.
    pub(super) fn pods(&self) -> impl Iterator<Item = &Sampled> {
        self.sampled.values()
    }
}

/// A pod at risk.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sampled {
    /// Who it is compared with.
    pub(super) stratum: Stratum,
    /// What it runs.
    pub(super) arm: Arm,
    node: String,
    /// `namespace/name`.
    pub(super) name: String,
    /// Crashes so far; those of the time before it joined its arm included.
    deaths: u32,
    died: Option<Timestamp>,
    /// What it died of last.
    fingerprint: Option<Fingerprint>,
}

/// What one look at the ticks found.
#[derive(Debug, Default)]
pub struct Looked {
    /// Crashes of the candidate and of the baseline since the last tick.
    pub crashes: [u32; 2],
    /// The arms now.
    pub arms: Arms,
}

/// Closes the open tick if its time is over, opens the next, and says when that one ends.
pub fn look(view: &StageView<'_>, flight: &mut Flight) -> (Looked, Timestamp) {
    let length = view.policy.health.tick;
    let tick = tick_at(flight.entered, length, view.now);
    let next =
        flight.entered.saturating_add(length.saturating_mul(i32::try_from(tick + 1).unwrap_or(i32::MAX)));
    let next = next.unwrap_or(Timestamp::MAX);
    let (arms, sampled) = sample(view, flight);
    if view.seen.stale_since.is_some() {
        // What was not watched is not evidence: the open tick is dropped.
        flight.health.open = None;
        return (Looked { crashes: [0, 0], arms }, next);
    }
    let mut found = Looked { crashes: [0, 0], arms: arms.clone() };
    let open = match flight.health.open.take() {
        Some(open) if open.tick >= tick => {
            flight.health.open = Some(open);
            return (found, next);
        }
        Some(open) => open,
        None => reopened(view, flight, &arms, &sampled),
    };
    let ticks = (tick - open.tick).clamp(0, LONGEST_GAP);
    if ticks > 0 {
        let common = Common::of_flight(view, flight);
        if common.touches(view, flight) {
            let most = u32::try_from(ticks).unwrap_or(1);
            flight.health.set_aside = flight.health.set_aside.saturating_add(most);
        }
        let open = open.without(&common);
        let crashes = crashes_since(&open.sampled, &sampled);
        let hours = length.as_secs_f64() * f64::from(i32::try_from(ticks).unwrap_or(1)) / 3600.0;
        let room = Room::of(view.policy.stages.len());
        flight.health.evidence.tick_within(room, tick, hours, &open.arms, &crashes);
        flight.health.fingerprints.tick_within(room, hours, &open.arms, &crashes);
        for crash in &crashes {
            let arm = usize::from(crash.arm == Arm::Baseline);
            found.crashes[arm] += 1;
            flight.health.crashes[arm] += 1;
        }
        flight.health.tick = tick;
        if !open.reopened {
            signals::close(view, flight, &open);
        }
    }
    let died = sampled.iter().filter(|(_, pod)| pod.deaths > 0);
    flight.health.deaths = died.map(|(uid, pod)| (uid.clone(), pod.deaths)).collect();
    flight.health.open = Some(TickStart { tick, arms, sampled, reopened: false });
    (found, next)
}

/// The open tick of a controller that has just begun: counts go on from the status; of what is not in it, the deaths
/// after the last closed tick are new.
fn reopened(
    view: &StageView<'_>,
    flight: &Flight,
    arms: &Arms,
    sampled: &BTreeMap<String, Sampled>,
) -> TickStart {
    let elapsed =
        view.policy.health.tick.saturating_mul(i32::try_from(flight.health.tick).unwrap_or(i32::MAX));
    let last = flight.entered.saturating_add(elapsed).unwrap_or(flight.entered);
    let mut before = sampled.clone();
    for (uid, pod) in &mut before {
        let fresh = u32::from(pod.died.is_some_and(|died| died > last));
        pod.deaths = flight
            .health
            .deaths
            .get(uid)
            .copied()
            .unwrap_or(pod.deaths.saturating_sub(fresh))
            .min(pod.deaths);
    }
    TickStart { tick: flight.health.tick, arms: arms.clone(), sampled: before, reopened: true }
}

/// Deaths of the pods that are in the same arm now as at the start of the tick.
fn crashes_since(before: &BTreeMap<String, Sampled>, now: &BTreeMap<String, Sampled>) -> Vec<Crash> {
    let mut crashes = Vec::new();
    for (uid, was) in before {
        let Some(is) = now.get(uid).filter(|is| is.arm == was.arm) else { continue };
        // The count may fall when the runtime forgets dead containers; that is no event.
        // Of several deaths in one tick only the last can be seen; one that left no trace has no cause.
        let cause = is.fingerprint.as_ref().filter(|_| is.died != was.died);
        for death in was.deaths..is.deaths {
            let newest = death + 1 == is.deaths;
            crashes.push(Crash {
                stratum: was.stratum.clone(),
                arm: was.arm,
                node: was.node.clone(),
                pod: was.name.clone(),
                fingerprint: cause.filter(|_| newest).cloned(),
            });
        }
    }
    crashes
}

/// What the stable release did before a candidate came, as far as its pods still tell: how long they have had it, at most
/// [`HISTORY`], how often they died, and of what last. Older deaths have no cause: they count as every cause.
#[must_use]
pub fn before(view: &StageView<'_>, stable: &Release) -> Fingerprints {
    let room = Room::of(view.policy.stages.len());
    let mut history = History::default();
    for pod in view.live().filter(|p| p.asked(stable)) {
        let since = pod.has_it_since().unwrap_or(view.now);
        history.watched(
            view.now.duration_since(since).clamp(SignedDuration::ZERO, HISTORY).as_secs_f64() / 3600.0,
        );
        let deaths = u64::from(crashes_of(pod));
        // A move kills, too, but what is left after it died later.
        let cause = pod.fingerprint().filter(|_| deaths > 0);
        let seen = u64::from(cause.is_some());
        history.died(room, cause, seen);
        history.died(room, None, deaths - seen);
    }
    Fingerprints::after(history)
}

/// Three decimals are what a person reads; more would make every look a write.
pub(super) fn round(value: f64) -> f64 {
    if value.is_finite() { (value * 1000.0).round() / 1000.0 } else { 0.0 }
}

pub(super) fn tick_at(entered: Timestamp, length: SignedDuration, now: Timestamp) -> i64 {
    let length = length.as_millis().max(1);
    i64::try_from(now.duration_since(entered).as_millis() / length).unwrap_or(0).max(0)
}

/// Deaths less those before its last move and the one that the move caused, whatever it was for.
pub(super) fn crashes_of(pod: &PodView<'_>) -> u32 {
    match &pod.seen.moved {
        Some(m) => {
            let ours = u32::try_from(pod.containers.len()).unwrap_or(u32::MAX);
            pod.deaths().saturating_sub(m.deaths_before.saturating_add(ours))
        }
        None => pod.deaths(),
    }
}

fn arm_of(pod: &PodView<'_>, candidate: &Release, from: Option<&Release>) -> Option<Arm> {
    if pod.asked(candidate) {
        Some(Arm::Candidate)
    } else if from.is_some_and(|from| pod.asked(from)) {
        Some(Arm::Baseline)
    } else {
        None
    }
}

/// Who a pod is compared with.
pub(super) fn stratum(pod: &PodView<'_>) -> Stratum {
    let owner = &pod.seen.owner;
    Stratum::new(&pod.seen.key.namespace, &owner.kind, &owner.name, &owner.template)
}

/// The pods at risk now: past their warm-up on these contents.
fn sample(view: &StageView<'_>, flight: &Flight) -> (Arms, BTreeMap<String, Sampled>) {
    sample_of(view, |pod| {
        let arm = arm_of(pod, &flight.release, flight.from.as_ref())?;
        let warm = pod.has_it_since().is_some_and(|since| {
            since.saturating_add(view.policy.health.warm_up).is_ok_and(|over| over <= view.now)
        });
        warm.then_some(arm)
    })
}

/// A tick of pods that are told apart in another way than by what they run.
pub(super) fn start(
    view: &StageView<'_>,
    tick: i64,
    arm_of: impl Fn(&PodView<'_>) -> Option<Arm>,
) -> TickStart {
    let (arms, sampled) = sample_of(view, arm_of);
    TickStart { tick, arms, sampled, reopened: false }
}

/// At most [`SAMPLE`] per arm, lowest uid first.
fn sample_of(
    view: &StageView<'_>,
    arm_of: impl Fn(&PodView<'_>) -> Option<Arm>,
) -> (Arms, BTreeMap<String, Sampled>) {
    let mut candidates: Vec<&PodView<'_>> = view.live().filter(|p| !p.seen.node.is_empty()).collect();
    candidates.sort_by(|a, b| a.seen.key.uid.cmp(&b.seen.key.uid));
    let (mut arms, mut sampled, mut taken) = (Arms::default(), BTreeMap::new(), [0usize; 2]);
    for pod in candidates {
        let Some(arm) = arm_of(pod) else { continue };
        let count = &mut taken[usize::from(arm == Arm::Baseline)];
        if *count >= SAMPLE {
            continue;
        }
        *count += 1;
        let stratum = stratum(pod);
        arms.add(&stratum, arm, &pod.seen.node, &pod.name());
        let entry = Sampled {
            stratum,
            arm,
            node: pod.seen.node.clone(),
            name: pod.name(),
            deaths: crashes_of(pod),
            died: pod.died(),
            fingerprint: pod.fingerprint().cloned(),
        };
        sampled.insert(pod.seen.key.uid.clone(), entry);
    }
    (arms, sampled)
}
