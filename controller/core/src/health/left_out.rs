//! Leave-one-out: the evidence again without each unit (a node, or a pod) of the candidate.
//!
//! A node that is broken by itself makes its candidate pods crash; the evidence *without* that node is then still
//! fair, and so is the smallest of all of them. Only candidate pods are left out: crashes of the baseline on a broken
//! node can but lower the evidence. Leaving out a unit that never crashed raises the evidence, so it never decides.
//!
//! Guarantees: bounded. The first `cap` units have a place of their own; a later one joins the place that its name's
//! hash says, and is left out together with it. The bound on false alarms holds for the places as it does for units:
//! a unit that joins had no crash before, and counting its pods until then only lowers the evidence.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::mixture::{LogE, Stakes};
use super::{bounded, stable_hash};

const MAX_NAME_BYTES: usize = 63;

/// The evidence without one unit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Without {
    unit: String,
    /// Crashes of the candidate in this unit that were compared.
    #[schemars(with = "i64")]
    crashes: u64,
    ln_e: LogE,
}

/// Candidate pods and crashes of one unit in one stratum and tick.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Part {
    pub pods: u64,
    pub crashes: u64,
}

impl Part {
    fn and(self, other: Self) -> Self {
        Self {
            pods: self.pods.saturating_add(other.pods),
            crashes: self.crashes.saturating_add(other.crashes),
        }
    }
}

/// One stratum in one tick: the candidate by unit, the baseline as a whole.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample<'a> {
    pub candidate: BTreeMap<&'a str, Part>,
    pub baseline_pods: u64,
    pub baseline_crashes: u64,
}

impl Sample<'_> {
    fn whole(&self) -> Part {
        self.candidate.values().fold(Part::default(), |sum, part| sum.and(*part))
    }

    /// What is at stake; `None` if nothing crashed or there are not both arms.
    fn stakes(&self) -> Option<Stakes> {
        let whole = self.whole();
        let crashes = whole.crashes.saturating_add(self.baseline_crashes);
        Stakes::new(whole.pods, self.baseline_pods).filter(|_| crashes > 0)
    }
}

/// The evidence as a whole and without each unit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct LeftOut {
    ln_e: LogE,
    without: Vec<Without>,
}

impl LeftOut {
    /// Adds one tick of all strata. A stratum without crashes, or without both arms, changes nothing.
    pub fn add(&mut self, strata: &[Sample<'_>], cap: usize) {
        let staked = strata.iter().filter_map(|sample| sample.stakes().map(|stakes| (sample, stakes)));
        // A new unit starts from the evidence so far, which it had no part in: all places are given first.
        let placed: Vec<_> =
            staked.map(|(sample, stakes)| (sample, stakes, self.by_place(sample, cap))).collect();
        for (sample, stakes, parts) in placed {
            let whole = sample.whole();
            self.ln_e.add(&stakes, whole.crashes, sample.baseline_crashes);
            let mut last = stakes;
            for (place, entry) in self.without.iter_mut().enumerate() {
                let part = parts.get(&place).copied().unwrap_or_default();
                entry.crashes = entry.crashes.saturating_add(part.crashes);
                // Without its only unit a stratum drops out, crashes of its baseline included.
                if let Some(rest) = last.with_candidates(whole.pods.saturating_sub(part.pods)) {
                    entry.ln_e.add(
                        &rest,
                        whole.crashes.saturating_sub(part.crashes),
                        sample.baseline_crashes,
                    );
                    last = rest;
                }
            }
        }
    }

    /// E with nothing left out.
    pub fn whole(&self) -> f64 {
        self.ln_e.value()
    }

    /// The smallest E without one unit; E itself while there is no unit to leave out.
    pub fn smallest(&self) -> f64 {
        self.without.iter().map(|entry| entry.ln_e.value()).reduce(f64::min).unwrap_or_else(|| self.whole())
    }

    /// How many units, or groups of them, are left out one by one.
    pub fn places(&self) -> usize {
        self.without.len()
    }

    /// Drops the places of units that never crashed.
    pub fn shed(&mut self) {
        self.without.retain(|entry| entry.crashes > 0);
    }

    /// How many units had a crash of the candidate that was compared.
    pub fn crashed(&self) -> usize {
        self.without.iter().filter(|entry| entry.crashes > 0).count()
    }

    /// E without this unit, if it has a place of its own.
    #[cfg(test)]
    pub fn without(&self, unit: &str) -> Option<f64> {
        self.without.iter().find(|entry| entry.unit == unit).map(|entry| entry.ln_e.value())
    }

    fn by_place(&mut self, sample: &Sample<'_>, cap: usize) -> BTreeMap<usize, Part> {
        let mut parts: BTreeMap<usize, Part> = BTreeMap::new();
        for (unit, part) in &sample.candidate {
            let sum = parts.entry(self.place(unit, cap)).or_default();
            *sum = sum.and(*part);
        }
        parts
    }

    fn place(&mut self, unit: &str, cap: usize) -> usize {
        let name = bounded(unit, MAX_NAME_BYTES);
        if let Some(place) = self.without.iter().position(|entry| entry.unit == name) {
            return place;
        }
        if self.without.len() < cap.max(1) {
            self.without.push(Without { unit: name, crashes: 0, ln_e: self.ln_e.clone() });
            return self.without.len() - 1;
        }
        let places = self.without.len() as u64;
        usize::try_from(stable_hash(unit) % places).unwrap_or_default()
    }
}
