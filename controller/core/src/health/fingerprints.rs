//! Crash fingerprints with their history: the fast detector beside M.
//!
//! A candidate whose pods die of a cause that the stable release never had in days is found on fewer crashes than one
//! that merely crashes more often. It alarms only if the leave-one-out evidence of *all* crashes is over a low guard, too; that
//! alone bounds false alarms, whatever fingerprints and history say. The rest makes a low guard safe.
//!
//! Guarantees: bounded; the same after a round trip through the status; what is unknown counts against an alarm (a
//! crash of the stable release whose cause nobody saw counts as every cause, one of the candidate as none).
//! Assumes: called once per tick, with the crashes of pods that were at risk at its start.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

use super::arms::{Arm, Arms, Crash};
use super::evidence::{Evidence, Room, whole_ms};
use super::fingerprint::Fingerprint;
use super::mixture;
use super::verdict::MIN_CRASHES;
use super::{real, stable_hash};

/// Nodes are told apart by their name's hash below this; two that share one are left out together.
const PLACES: u64 = 4096;
/// Nodes whose crashes of one fingerprint are kept apart.
const MAX_NODES: usize = 8;

/// What must be reached for an alarm of the fast detector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FastLimits {
    /// The leave-one-out evidence of all crashes.
    pub guard: f64,
    /// The evidence of the k-th fingerprint, times k(k+1).
    pub fingerprint: f64,
}

impl FastLimits {
    /// For a policy's budget of false rollbacks: guard 50 and 200 for the default 2 %.
    #[must_use]
    pub fn of_budget(budget: f64) -> Self {
        let budget = if budget.is_nan() { 0.0 } else { budget.clamp(0.0, 1.0) };
        Self { guard: 1.0 / budget, fingerprint: 4.0 / budget }
    }
}

/// Crashes and pod-time of the stable release: what it did before the candidate came, and what it does beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct History {
    #[schemars(with = "i64")]
    pod_ms: u64,
    /// Crashes whose cause nobody saw: they count as every cause.
    #[schemars(with = "i64")]
    unknown: u64,
    known: Vec<Known>,
}

/// How often the stable release died of one cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Known {
    fingerprint: Fingerprint,
    #[schemars(with = "i64")]
    crashes: u64,
}

impl History {
    /// Adds the time that a pod was at risk.
    pub fn watched(&mut self, hours: f64) {
        if hours.is_finite() && hours > 0.0 {
            self.pod_ms = self.pod_ms.saturating_add(whole_ms(hours));
        }
    }

    /// Adds crashes of one cause; of a cause that nobody saw, or that there is no room for, they count as every cause.
    pub fn died(&mut self, room: Room, fingerprint: Option<&Fingerprint>, crashes: u64) {
        let place = fingerprint.and_then(|f| self.known.iter().position(|k| k.fingerprint == *f));
        match (place, fingerprint) {
            (Some(place), _) => self.known[place].crashes = self.known[place].crashes.saturating_add(crashes),
            (None, Some(fingerprint)) if self.known.len() < room.fingerprints() * 2 && crashes > 0 => {
                self.known.push(Known { fingerprint: fingerprint.clone(), crashes });
            }
            _ => self.unknown = self.unknown.saturating_add(crashes),
        }
    }

    fn crashes(&self, fingerprint: &Fingerprint) -> u64 {
        let known = self.known.iter().find(|k| k.fingerprint == *fingerprint).map_or(0, |k| k.crashes);
        known.saturating_add(self.unknown)
    }
}

/// A number per node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
struct OfNode {
    #[serde(rename = "n")]
    node: u16,
    #[serde(rename = "v")]
    #[schemars(with = "i64")]
    value: u64,
}

/// A fingerprint that the candidate showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Seen {
    fingerprint: Fingerprint,
    crashes: Vec<OfNode>,
}

/// What the fast detector knows of one candidate in one stage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Fingerprints {
    stable: History,
    #[schemars(with = "i64")]
    candidate_ms: u64,
    /// Of it, the part of each node.
    times: Vec<OfNode>,
    /// In the order in which the candidate showed them.
    seen: Vec<Seen>,
}

/// The numbers behind an alarm of the fast detector.
#[derive(Clone, Debug, PartialEq)]
pub struct FastAlarm {
    /// What the candidate's pods die of.
    pub fingerprint: Fingerprint,
    /// The evidence on this cause alone, without the node that speaks loudest.
    pub evidence: f64,
    /// What that had to reach.
    pub limit: f64,
    /// The evidence of all crashes, and what that had to reach.
    pub guard: [f64; 2],
    /// Crashes of this cause: of the candidate, on how many nodes, and of the stable release (unknown ones included).
    pub crashes: [u64; 3],
    /// Pod-hours of the candidate, and of the stable release.
    pub pod_hours: [f64; 2],
}

impl Fingerprints {
    /// Begins with what the stable release did before.
    #[must_use]
    pub fn after(stable: History) -> Self {
        Self { stable, ..Self::default() }
    }

    /// Counts one tick.
    pub fn tick_within(&mut self, room: Room, hours: f64, arms: &Arms, crashes: &[Crash]) {
        if !hours.is_finite() || hours <= 0.0 {
            return;
        }
        let ms = whole_ms(hours);
        for (name, (candidate, baseline)) in arms.by_node() {
            self.stable.pod_ms = self.stable.pod_ms.saturating_add(ms.saturating_mul(baseline));
            if candidate > 0 {
                let time = ms.saturating_mul(candidate);
                self.candidate_ms = self.candidate_ms.saturating_add(time);
                // Without its time a node's crashes are left out alone, which only lowers the evidence.
                add(&mut self.times, place(name), time, room.nodes());
            }
        }
        let mut at_risk: Vec<&Crash> = crashes.iter().filter(|crash| arms.at_risk(crash)).collect();
        at_risk.sort();
        for crash in at_risk {
            self.count(room, crash);
        }
    }

    fn count(&mut self, room: Room, crash: &Crash) {
        match (crash.arm, &crash.fingerprint) {
            (Arm::Baseline, fingerprint) => self.stable.died(room, fingerprint.as_ref(), 1),
            (Arm::Candidate, None) => {}
            (Arm::Candidate, Some(fingerprint)) => {
                let known = self.seen.iter().position(|seen| seen.fingerprint == *fingerprint);
                let slot = known.or_else(|| {
                    (self.seen.len() < room.fingerprints()).then(|| {
                        self.seen.push(Seen { fingerprint: fingerprint.clone(), crashes: Vec::new() });
                        self.seen.len() - 1
                    })
                });
                if let Some(seen) = slot.and_then(|slot| self.seen.get_mut(slot))
                    && !add(&mut seen.crashes, place(&crash.node), 1, MAX_NODES)
                    && let Some(last) = seen.crashes.last_mut()
                {
                    // Left out together with another: that only lowers the evidence.
                    last.value = last.value.saturating_add(1);
                }
            }
        }
    }

    /// The alarm, if guard, spread and evidence are all there.
    #[must_use]
    pub fn alarm(&self, all: &Evidence, limits: &FastLimits) -> Option<FastAlarm> {
        let guard = all.e_leave_one_out();
        let enough = all.events().candidate >= MIN_CRASHES && all.most_candidate_pods() >= 2;
        if !enough || guard < limits.guard {
            return None;
        }
        (1_u64..).zip(&self.seen).find_map(|(k, seen)| {
            let (evidence, limit) = (self.evidence(seen), limits.fingerprint * real(k * (k + 1)));
            (seen.crashes.len() >= 2 && evidence >= limit).then(|| FastAlarm {
                fingerprint: seen.fingerprint.clone(),
                evidence,
                limit,
                guard: [guard, limits.guard],
                crashes: [
                    total(&seen.crashes),
                    seen.crashes.len() as u64,
                    self.stable.crashes(&seen.fingerprint),
                ],
                pod_hours: [self.candidate_ms, self.stable.pod_ms].map(|ms| real(ms) / 3_600_000.0),
            })
        })
    }

    /// E of one cause without the node that speaks loudest.
    fn evidence(&self, seen: &Seen) -> f64 {
        let all = total(&seen.crashes);
        let stable = (self.stable.crashes(&seen.fingerprint), real(self.stable.pod_ms));
        let without = seen.crashes.iter().map(|left_out| {
            let time = self.times.iter().find(|t| t.node == left_out.node).map_or(0, |t| t.value);
            let rest = (all.saturating_sub(left_out.value), real(self.candidate_ms.saturating_sub(time)));
            mixture::of_sums(rest, stable)
        });
        without.reduce(f64::min).unwrap_or(1.0)
    }

    /// How many lists' entries it holds.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.stable.known.len()
            + self.times.len()
            + self.seen.iter().map(|s| 1 + s.crashes.len()).sum::<usize>()
    }
}

/// Adds to a node's number; false if it has none and there is no room for one.
fn add(list: &mut Vec<OfNode>, node: u16, value: u64, most: usize) -> bool {
    if let Some(entry) = list.iter_mut().find(|entry| entry.node == node) {
        entry.value = entry.value.saturating_add(value);
        return true;
    }
    let room = list.len() < most.max(1);
    if room {
        list.push(OfNode { node, value });
    }
    room
}

fn place(node: &str) -> u16 {
    u16::try_from(stable_hash(node) % PLACES).unwrap_or_default()
}

fn total(list: &[OfNode]) -> u64 {
    list.iter().fold(0, |sum, entry| sum.saturating_add(entry.value))
}

impl fmt::Display for FastAlarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fingerprint: _, evidence, limit, guard: [guard, guard_limit], crashes, pod_hours } = self;
        let [of_candidate, nodes, of_stable] = crashes;
        let before = match of_stable {
            0 => "never".to_owned(),
            1 => "once".to_owned(),
            n => format!("{n} times"),
        };
        write!(
            f,
            "{of_candidate} crashes of one cause on {nodes} nodes in {}, which the release before had {before} in {}; \
             evidence {}, limit {limit:.0}; of all crashes {guard:.1}, limit {guard_limit:.1}",
            super::pod_time(pod_hours[0]),
            super::pod_time(pod_hours[1]),
            if *evidence < 1e6 { format!("{evidence:.0}") } else { format!("{evidence:.0e}") },
        )
    }
}
