//! Passes, and what they wrote.

use super::Metrics;
use crate::ports::EffectError;
use lockkeeper_core::decision::Action;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Category {
    category: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindOutcome {
    kind: &'static str,
    outcome: &'static str,
}

/// Counters of passes.
pub struct Passes {
    ended: Family<Outcome, Counter>,
    seconds: Histogram,
    errors: Family<Category, Counter>,
    effects: Family<KindOutcome, Counter>,
    status_writes: Family<Outcome, Counter>,
}

impl Default for Passes {
    fn default() -> Self {
        let seconds = [0.000_1, 0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0];
        Self {
            ended: Family::default(),
            seconds: Histogram::new(seconds),
            errors: Family::default(),
            effects: Family::default(),
            status_writes: Family::default(),
        }
    }
}

impl Passes {
    pub(super) fn add_to(&self, r: &mut Registry) {
        let ended = self.ended.clone();
        r.register("passes", "Passes over policies, by outcome (ok, failed, invalid, gone)", ended);
        r.register("pass_seconds", "Duration of passes", self.seconds.clone());
        r.register("pass_errors", "What failed in passes, by category", self.errors.clone());
        r.register("effects", "Writes to targets, by kind and outcome", self.effects.clone());
        r.register("status_writes", "Writes of policies' status, by outcome", self.status_writes.clone());
    }
}

impl Metrics {
    /// A pass ended.
    pub fn pass(&self, outcome: &'static str, seconds: f64) {
        self.passes.ended.get_or_create(&Outcome { outcome }).inc();
        self.passes.seconds.observe(seconds);
    }

    /// Something in a pass failed.
    pub fn pass_error(&self, category: &'static str) {
        self.passes.errors.get_or_create(&Category { category }).inc();
    }

    /// An effect ended.
    pub fn effect(&self, action: &Action, result: Result<(), &EffectError>) {
        let outcome = result.map_or_else(category, |()| "ok");
        self.passes.effects.get_or_create(&KindOutcome { kind: kind(action), outcome }).inc();
    }

    /// A status was written, or not.
    pub fn status_write(&self, result: Result<(), &EffectError>) {
        let outcome = result.map_or_else(category, |()| "ok");
        self.passes.status_writes.get_or_create(&Outcome { outcome }).inc();
    }
}

/// An effect's kind, for metrics and logs.
#[must_use]
pub fn kind(action: &Action) -> &'static str {
    match action {
        Action::WriteQuarantine(_) => "WriteQuarantine",
        Action::WritePin { .. } => "WritePin",
        Action::DeletePin { .. } => "DeletePin",
        Action::MarkOrphan { .. } => "MarkOrphan",
        Action::MovePod(_) => "MovePod",
        Action::PatchTemplate(_) => "PatchTemplate",
    }
}

/// An effect's failure, for metrics and logs.
#[must_use]
pub fn category(error: &EffectError) -> &'static str {
    match error {
        EffectError::Forbidden(_) => "Forbidden",
        EffectError::Outdated(_) => "Outdated",
        EffectError::Refused { .. } => "Refused",
        EffectError::Fenced => "Fenced",
        EffectError::Unavailable { .. } => "Unavailable",
    }
}
