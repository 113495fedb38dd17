//! The evidence of one candidate in one stage: what is kept between ticks.
//!
//! Guarantees: a tick is counted once; the crashes of a tick count in any order; a serialised value goes on exactly
//! where it was; at most [`MAX_EVIDENCE_BYTES`] as JSON with names that Kubernetes allows.
//! Assumes: ticks do not overlap, their numbers grow, and arms were counted at a tick's start.
//!
//! A tick without a crash multiplies the evidence by one, so nothing is kept of it but its pod-hours. A tick with one
//! is folded at once into the evidence as a whole and into the evidence without each unit: rows would be needed only
//! to leave out a unit later, and every unit that was at risk is left out already. That also is what freezes a
//! stratum when its application rolls: its crashes stay in the sums.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::arms::{Arm, Arms, Crash, NodeArms, Stratum, count};
use super::left_out::{LeftOut, Part, Sample};
use super::{bounded, rate, real};

/// What one stage's evidence may take of the 256 KiB of a policy's status, as JSON.
pub const MAX_EVIDENCE_BYTES: usize = 48 * 1024;

/// How much one stage's evidence may keep: all stages of a policy share one status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Nodes that are left out one by one; in a larger wave some are left out together, which costs it nothing.
    nodes: usize,
    /// Pods that are left out one by one; they matter where all candidate pods share a node.
    pods: usize,
    /// Crashes kept for people.
    recent: usize,
    /// Causes of crashes that are told apart.
    fingerprints: usize,
}

impl Room {
    /// The room of a stage that stands alone.
    pub const WHOLE: Self = Self { nodes: 64, pods: 16, recent: 12, fingerprints: 6 };

    /// The room of one of so many stages, all of which may be in flight at once. With fewer places more units are left
    /// out together: the bound on false alarms stays, an alarm takes longer.
    #[must_use]
    pub const fn of(stages: usize) -> Self {
        match stages {
            0..=2 => Self::WHOLE,
            3..=4 => Self { nodes: 40, pods: 10, recent: 6, fingerprints: 4 },
            5..=8 => Self { nodes: 16, pods: 6, recent: 4, fingerprints: 3 },
            _ => Self { nodes: 6, pods: 3, recent: 2, fingerprints: 2 },
        }
    }

    pub(super) const fn nodes(self) -> usize {
        self.nodes
    }

    pub(super) const fn fingerprints(self) -> usize {
        self.fingerprints
    }
}

const MAX_NAME_BYTES: usize = 63;
const MS_PER_HOUR: f64 = 3_600_000.0;

/// Crashes that were compared: of pods at risk, in strata with both arms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Counts {
    /// Crashes of pods that ran the candidate.
    #[schemars(with = "i64")]
    pub candidate: u64,
    /// Crashes of pods that ran the stable release.
    #[schemars(with = "i64")]
    pub baseline: u64,
}

/// One crash that was compared, for people to read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CrashRow {
    /// The tick it fell into.
    pub tick: i64,
    /// Who the pod was compared with.
    pub stratum: Stratum,
    /// The contents that died.
    pub arm: Arm,
    /// The node of the pod.
    pub node: String,
    /// The pod.
    pub pod: String,
    /// Candidate pods of the stratum at risk in that tick.
    #[schemars(with = "i64")]
    pub candidate_pods: u64,
    /// Baseline pods of the stratum at risk in that tick.
    #[schemars(with = "i64")]
    pub baseline_pods: u64,
}

/// The evidence of one candidate in one stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Evidence {
    #[serde(skip_serializing_if = "Option::is_none")]
    last_tick: Option<i64>,
    /// Whole milliseconds, because they are kept exactly.
    #[schemars(with = "i64")]
    candidate_pod_ms: u64,
    /// Crashes of candidate pods at risk, compared or not.
    #[schemars(with = "i64")]
    candidate_crashes: u64,
    compared: Counts,
    /// The most candidate pods at risk in one tick.
    #[schemars(with = "i64")]
    most_candidate_pods: u64,
    /// A crash of the candidate was compared while its pods were on several nodes: nodes are left out.
    spread: bool,
    /// A crash of the candidate was compared while its pods were on one node: pods are left out.
    gathered: bool,
    nodes: LeftOut,
    pods: LeftOut,
    recent: Vec<CrashRow>,
}

impl Evidence {
    /// Counts one whole tick: the pods at risk at its start, the crashes within, its length in hours.
    ///
    /// A tick that is not newer than the last one, or whose length is not a positive number, is ignored.
    pub fn tick(&mut self, tick: i64, hours: f64, arms: &Arms, crashes: &[Crash]) {
        self.tick_within(Room::WHOLE, tick, hours, arms, crashes);
    }

    /// The same in less room. What has a place already keeps it.
    pub fn tick_within(&mut self, room: Room, tick: i64, hours: f64, arms: &Arms, crashes: &[Crash]) {
        let seen = self.last_tick.is_some_and(|last| tick <= last);
        if seen || !hours.is_finite() || hours <= 0.0 {
            return;
        }
        self.last_tick = Some(tick);
        let pods = arms.count(Arm::Candidate);
        self.candidate_pod_ms = self.candidate_pod_ms.saturating_add(whole_ms(hours).saturating_mul(pods));
        self.most_candidate_pods = self.most_candidate_pods.max(pods);

        let at_risk: Vec<&Crash> = crashes.iter().filter(|crash| arms.at_risk(crash)).collect();
        self.candidate_crashes = self.candidate_crashes.saturating_add(of_arm(&at_risk, Arm::Candidate));
        self.compare(room, tick, arms, &at_risk);
    }

    /// E against all baseline pods, with nothing left out.
    #[must_use]
    pub fn e_plain(&self) -> f64 {
        self.nodes.whole()
    }

    /// E without the unit that speaks loudest: the one that a rollback is decided on.
    ///
    /// The unit is the node. While all candidate pods share one node it is the pod, and only baseline pods of that
    /// node count; if the candidate crashed in both situations, it is the smaller value of both.
    #[must_use]
    pub fn e_leave_one_out(&self) -> f64 {
        match (self.spread, self.gathered) {
            (true, true) => self.nodes.smallest().min(self.pods.smallest()),
            (false, true) => self.pods.smallest(),
            (_, false) => self.nodes.smallest(),
        }
    }

    /// Drops what costs nobody anything but bytes: rows that only people read, and places of units without a crash.
    /// Such a unit never is the loudest one, and if it crashes later, its place starts from the evidence until then.
    pub fn shed(&mut self) {
        self.recent.clear();
        self.nodes.shed();
        self.pods.shed();
    }

    /// How many lists' entries it holds.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.recent.len() + self.nodes.places() + self.pods.places()
    }

    /// The crashes that were compared.
    #[must_use]
    pub fn events(&self) -> Counts {
        self.compared
    }

    /// The newest crashes that were compared, oldest first, at most twelve.
    #[must_use]
    pub fn recent(&self) -> &[CrashRow] {
        &self.recent
    }

    /// The newest tick that was counted.
    #[must_use]
    pub fn last_tick(&self) -> Option<i64> {
        self.last_tick
    }

    /// Hours that candidate pods were at risk, summed over pods, compared or not.
    #[must_use]
    pub fn candidate_pod_hours(&self) -> f64 {
        real(self.candidate_pod_ms) / MS_PER_HOUR
    }

    /// The rate of crashes per pod-hour of the candidate that can be ruled out: its exact Poisson upper bound, 95 %.
    ///
    /// It needs no baseline. `None` while no candidate pod has been at risk.
    #[must_use]
    pub fn rules_out_per_pod_hour(&self) -> Option<f64> {
        let hours = self.candidate_pod_hours();
        (hours > 0.0).then(|| rate::upper_bound(self.candidate_crashes) / hours)
    }

    /// Distinct candidate pods with a crash that was compared (of very many: at least).
    pub(super) fn crashed_pods(&self) -> usize {
        self.pods.crashed()
    }

    /// Crashes of candidate pods at risk, compared or not.
    #[must_use]
    pub fn candidate_crashes(&self) -> u64 {
        self.candidate_crashes
    }

    pub(super) fn most_candidate_pods(&self) -> u64 {
        self.most_candidate_pods
    }

    fn compare(&mut self, room: Room, tick: i64, arms: &Arms, crashes: &[&Crash]) {
        let one_node = arms.only_candidate_node();
        let strata: BTreeSet<&Stratum> = crashes.iter().map(|crash| &crash.stratum).collect();
        let (mut by_node, mut by_pod, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        for stratum in strata {
            let Some(nodes) = arms.nodes(stratum) else { continue };
            let (candidates, baselines) = (count(nodes, Arm::Candidate), count(nodes, Arm::Baseline));
            if candidates == 0 || baselines == 0 {
                continue;
            }
            let here: Vec<&Crash> =
                crashes.iter().copied().filter(|crash| crash.stratum == *stratum).collect();
            by_node.push(nodes_sample(nodes, &here));
            by_pod.push(pods_sample(nodes, &here, one_node));
            rows.extend(here.iter().map(|crash| row(tick, crash, candidates, baselines)));
            let (of_candidate, of_baseline) = (of_arm(&here, Arm::Candidate), of_arm(&here, Arm::Baseline));
            self.compared.candidate = self.compared.candidate.saturating_add(of_candidate);
            self.compared.baseline = self.compared.baseline.saturating_add(of_baseline);
            self.gathered |= of_candidate > 0 && one_node.is_some();
            self.spread |= of_candidate > 0 && one_node.is_none();
        }
        self.nodes.add(&by_node, room.nodes);
        self.pods.add(&by_pod, room.pods);
        self.remember(rows, room.recent);
    }

    fn remember(&mut self, mut rows: Vec<CrashRow>, most: usize) {
        rows.sort();
        self.recent.append(&mut rows);
        let old = self.recent.len().saturating_sub(most);
        self.recent.drain(..old);
    }
}

#[cfg(test)]
impl Evidence {
    pub(super) fn without_node(&self, node: &str) -> Option<f64> {
        self.nodes.without(node)
    }

    pub(super) fn nodes_smallest(&self) -> f64 {
        self.nodes.smallest()
    }

    pub(super) fn pods_smallest(&self) -> f64 {
        self.pods.smallest()
    }

    pub(super) fn with_candidate_crashes(mut self, crashes: u64) -> Self {
        self.candidate_crashes = crashes;
        self
    }
}

/// Nodes are the units; every baseline pod of the stratum counts.
fn nodes_sample<'a>(nodes: &'a BTreeMap<String, NodeArms>, crashes: &[&'a Crash]) -> Sample<'a> {
    let mut sample = Sample {
        baseline_pods: count(nodes, Arm::Baseline),
        baseline_crashes: of_arm(crashes, Arm::Baseline),
        ..Sample::default()
    };
    for (node, at_node) in nodes.iter().filter(|(_, at_node)| !at_node.candidate.is_empty()) {
        sample.candidate.insert(node, Part { pods: at_node.candidate.len() as u64, crashes: 0 });
    }
    for crash in crashes.iter().filter(|crash| crash.arm == Arm::Candidate) {
        sample.candidate.entry(&crash.node).or_default().crashes += 1;
    }
    sample
}

/// Pods are the units; if all candidate pods share a node, only its baseline pods count.
fn pods_sample<'a>(
    nodes: &'a BTreeMap<String, NodeArms>,
    crashes: &[&'a Crash],
    one_node: Option<&str>,
) -> Sample<'a> {
    let counts_here = |node: &str| one_node.is_none_or(|one| one == node);
    let mut sample = Sample::default();
    for (node, at_node) in nodes.iter().filter(|(node, _)| counts_here(node)) {
        sample.baseline_pods += at_node.baseline.len() as u64;
        for pod in &at_node.candidate {
            sample.candidate.entry(pod).or_default().pods += 1;
        }
        for crash in crashes.iter().filter(|crash| crash.node == *node) {
            match crash.arm {
                Arm::Candidate => sample.candidate.entry(&crash.pod).or_default().crashes += 1,
                Arm::Baseline => sample.baseline_crashes += 1,
            }
        }
    }
    sample
}

fn row(tick: i64, crash: &Crash, candidate_pods: u64, baseline_pods: u64) -> CrashRow {
    CrashRow {
        tick,
        stratum: crash.stratum.clone(),
        arm: crash.arm,
        node: bounded(&crash.node, MAX_NAME_BYTES),
        pod: bounded(&crash.pod, MAX_NAME_BYTES),
        candidate_pods,
        baseline_pods,
    }
}

fn of_arm(crashes: &[&Crash], arm: Arm) -> u64 {
    crashes.iter().filter(|crash| crash.arm == arm).count() as u64
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "hours are positive and finite here; `as` saturates"
)]
pub(super) fn whole_ms(hours: f64) -> u64 {
    (hours * MS_PER_HOUR).round() as u64
}
