//! What became of releases, counted from how a stored status differs from the one before it.
//!
//! Guarantees: each begin, verification and rollback is counted once, by the process that stored it; the labels are one
//! series per policy and stage that exists, and the reasons of the reference. May not: decide.

use super::stages::OfStage;
use lockkeeper_core::status::{Source, StageStatus};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};
use std::collections::BTreeSet;

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, EncodeLabelSet)]
struct OfRollback {
    namespace: String,
    policy: String,
    stage: String,
    reason: String,
}

/// Counters and spans of promotions.
pub struct Promotions {
    started: Family<OfStage, Counter>,
    verified: Family<OfStage, Counter>,
    rollbacks: Family<OfRollback, Counter>,
    quarantines: Family<OfStage, Counter>,
    detected: Histogram,
    taken_back: Histogram,
}

impl Default for Promotions {
    fn default() -> Self {
        let seconds = [5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0];
        Self {
            started: Family::default(),
            verified: Family::default(),
            rollbacks: Family::default(),
            quarantines: Family::default(),
            detected: Histogram::new(seconds),
            taken_back: Histogram::new(seconds),
        }
    }
}

impl Promotions {
    pub(super) fn add_to(&self, r: &mut Registry) {
        r.register("promotions_started", "Releases that entered a stage", self.started.clone());
        r.register("promotions_verified", "Releases that finished their soak", self.verified.clone());
        r.register("rollbacks", "Releases that are taken back, by reason", self.rollbacks.clone());
        let quarantines = self.quarantines.clone();
        r.register("quarantines", "Rollbacks that quarantine what they take back", quarantines);
        let detected = self.detected.clone();
        r.register("time_to_detect_seconds", "From entering a stage to the begin of a rollback", detected);
        let taken_back = self.taken_back.clone();
        r.register("time_to_roll_back_seconds", "From the begin of a rollback to its end", taken_back);
    }

    /// A stage is new: it is counted from zero, with each of the reasons that its rollbacks may have.
    pub(super) fn begin(&self, of: &OfStage, reasons: impl Iterator<Item = &'static str>) {
        for family in [&self.started, &self.verified, &self.quarantines] {
            drop(family.get_or_create(of));
        }
        for reason in reasons {
            drop(self.rollbacks.get_or_create(&of.rollback(reason)));
        }
    }

    /// A stage's status was stored; `before` is what was stored until then.
    pub(super) fn changed(&self, of: &OfStage, before: &StageStatus, after: &StageStatus) {
        let attempt = |stage: &StageStatus| stage.flight.as_ref().map(|flight| flight.attempt.clone());
        if attempt(after).is_some_and(|attempt_now| attempt(before) != Some(attempt_now)) {
            self.started.get_or_create(of).inc();
        }
        let known: BTreeSet<_> = before.verified.iter().map(|one| (&one.release.digest, one.at)).collect();
        let verified = |one: &&lockkeeper_core::status::Verified| {
            one.source == Source::Verified && !known.contains(&(&one.release.digest, one.at))
        };
        for _ in after.verified.iter().filter(verified) {
            self.verified.get_or_create(of).inc();
        }
        let attempt = before.rollback.as_ref().map(|rollback| &rollback.attempt);
        match (&before.rollback, &after.rollback) {
            (_, Some(begun)) if attempt != Some(&begun.attempt) => {
                self.rollbacks.get_or_create(&of.rollback(&begun.reason)).inc();
                if begun.quarantine.is_some() {
                    self.quarantines.get_or_create(of).inc();
                }
                if let Some(flight) = &before.flight {
                    self.detected.observe(begun.since.duration_since(flight.entered).as_secs_f64());
                }
            }
            (Some(ended), None) => {
                if let Some(since) = after.since {
                    self.taken_back.observe(since.duration_since(ended.since).as_secs_f64().max(0.0));
                }
            }
            _ => {}
        }
    }

    /// A stage is gone; `reasons` are all that its rollbacks may have had.
    pub(super) fn drop_stage(&self, of: &OfStage, reasons: impl Iterator<Item = &'static str>) {
        self.started.remove(of);
        self.verified.remove(of);
        self.quarantines.remove(of);
        for reason in reasons {
            self.rollbacks.remove(&of.rollback(reason));
        }
    }
}

impl OfStage {
    fn rollback(&self, reason: &str) -> OfRollback {
        OfRollback {
            namespace: self.namespace.clone(),
            policy: self.policy.clone(),
            stage: self.stage.clone(),
            reason: reason.to_owned(),
        }
    }
}
