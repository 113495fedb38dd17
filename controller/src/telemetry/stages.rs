//! Where stages stand, and how many policies there are.
//!
//! Guarantees: the series of a stage are there from its first pass on, also those that count what has not happened yet
//! (Prometheus sees no increase in a series that begins at one), and go with the stage.

use super::Metrics;
use crate::ports::PolicyKey;
use lockkeeper_core::{
    conditions::EVIDENCE,
    status::{Phase, StageStatus, Status},
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError, atomic::AtomicU64},
};

/// What the pods' own signal is called beside those of `health.signals`.
const RESTARTS: &str = "restarts";

const PHASES: [(Phase, &str); 5] = [
    (Phase::Idle, "Idle"),
    (Phase::Applying, "Applying"),
    (Phase::Soaking, "Soaking"),
    (Phase::RollingBack, "RollingBack"),
    (Phase::Blocked, "Blocked"),
];

/// One stage of one policy.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, EncodeLabelSet)]
pub struct OfStage {
    pub(super) namespace: String,
    pub(super) policy: String,
    pub(super) stage: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfSignal {
    namespace: String,
    policy: String,
    stage: String,
    signal: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPhase {
    namespace: String,
    policy: String,
    stage: String,
    phase: &'static str,
}

impl OfStage {
    fn new(key: &PolicyKey, stage: &str) -> Self {
        Self { namespace: key.namespace.clone(), policy: key.name.clone(), stage: stage.to_owned() }
    }

    fn in_phase(&self, phase: &'static str) -> OfPhase {
        OfPhase {
            namespace: self.namespace.clone(),
            policy: self.policy.clone(),
            stage: self.stage.clone(),
            phase,
        }
    }
}

/// Gauges of stages.
#[derive(Default)]
pub struct Stages {
    phase: Family<OfPhase, Gauge>,
    in_flight: Family<OfStage, Gauge>,
    drifted: Family<OfStage, Gauge>,
    evidence: Family<OfSignal, Gauge<f64, AtomicU64>>,
    /// The signals of each stage that have series.
    signals: Mutex<BTreeMap<OfStage, Vec<OfSignal>>>,
    unpinned_births: Family<OfStage, Gauge>,
    policies: Gauge,
    orphaned_pins: Gauge,
    /// The stages that have series, so that they go with their policy.
    known: Mutex<BTreeMap<PolicyKey, BTreeSet<OfStage>>>,
}

impl Stages {
    pub(super) fn add_to(&self, r: &mut Registry) {
        r.register("stage_phase", "1 for the phase that a stage is in", self.phase.clone());
        r.register("candidates_in_flight", "1 while a stage has a candidate", self.in_flight.clone());
        let drifted = self.drifted.clone();
        r.register("drifted_pods", "Pods that run other contents than their stage should", drifted);
        r.register(
            "evidence_log",
            "The natural logarithm of the evidence of one signal against the release in flight; 0: nothing is known",
            self.evidence.clone(),
        );
        let births = self.unpinned_births.clone();
        r.register(
            "unpinned_births",
            "Pods seen that were born without the pin they should have got",
            births,
        );
        r.register("policies", "Policies that are known", self.policies.clone());
        let orphans = self.orphaned_pins.clone();
        r.register("orphaned_pins", "Pins whose policy is gone, and that its deletionPolicy keeps", orphans);
    }

    fn show(&self, of: &OfStage, stage: &StageStatus) {
        for (phase, name) in PHASES {
            self.phase.get_or_create(&of.in_phase(name)).set(i64::from(stage.phase == phase));
        }
        self.in_flight.get_or_create(of).set(i64::from(stage.flight.is_some()));
        self.drifted.get_or_create(of).set(i64::from(stage.drift.pods));
        self.evidence(of, stage);
        let births = i64::try_from(stage.unpinned_births).unwrap_or(i64::MAX);
        self.unpinned_births.get_or_create(of).set(births);
    }

    /// Evidence is there while something is in flight: restarts, and every signal of the policy.
    fn evidence(&self, of: &OfStage, stage: &StageStatus) {
        let label = |signal: &str| OfSignal {
            namespace: of.namespace.clone(),
            policy: of.policy.clone(),
            stage: of.stage.clone(),
            signal: signal.to_owned(),
        };
        let health = stage.flight.iter().map(|flight| &flight.health);
        let now: Vec<(OfSignal, f64)> = health
            .flat_map(|health| {
                let signals = health.signals.iter().map(|signal| (label(&signal.name), signal.log_e));
                [(label(RESTARTS), health.log_e)].into_iter().chain(signals)
            })
            .collect();
        let mut known = self.signals.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in known.remove(of).unwrap_or_default() {
            if now.iter().all(|(label, _)| *label != gone) {
                self.evidence.remove(&gone);
            }
        }
        for (label, log_e) in &now {
            self.evidence.get_or_create(label).set(*log_e);
        }
        if !now.is_empty() {
            known.insert(of.clone(), now.into_iter().map(|(label, _)| label).collect());
        }
    }

    fn drop_stage(&self, of: &OfStage) {
        self.evidence(of, &StageStatus::default());
        for (_, name) in PHASES {
            self.phase.remove(&of.in_phase(name));
        }
        self.in_flight.remove(of);
        self.drifted.remove(of);
        self.unpinned_births.remove(of);
    }
}

impl Metrics {
    /// Where the stages of a policy stand.
    pub fn stages(&self, key: &PolicyKey, status: &Status) {
        let mut known = self.stages.known.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.remove(key).unwrap_or_default();
        let mut now = BTreeSet::new();
        for stage in &status.stages {
            let of = OfStage::new(key, &stage.name);
            self.stages.show(&of, stage);
            if !before.contains(&of) {
                self.promotions.begin(&of, reasons());
            }
            now.insert(of);
        }
        for gone in before.difference(&now) {
            self.drop_stage(gone);
        }
        known.insert(key.clone(), now);
        self.stages.policies.set(i64::try_from(known.len()).unwrap_or(i64::MAX));
    }

    /// A status was stored; `before` is what was stored until then.
    pub fn stored(&self, key: &PolicyKey, before: &Status, after: &Status) {
        for stage in &after.stages {
            let old = before.stages.iter().find(|old| old.name == stage.name);
            let none = StageStatus::default();
            self.promotions.changed(&OfStage::new(key, &stage.name), old.unwrap_or(&none), stage);
        }
    }

    /// A policy is gone.
    pub fn forget(&self, key: &PolicyKey) {
        let mut known = self.stages.known.lock().unwrap_or_else(PoisonError::into_inner);
        for stage in known.remove(key).unwrap_or_default() {
            self.drop_stage(&stage);
        }
        self.stages.policies.set(i64::try_from(known.len()).unwrap_or(i64::MAX));
    }

    fn drop_stage(&self, of: &OfStage) {
        self.stages.drop_stage(of);
        self.promotions.drop_stage(of, reasons());
    }

    /// How many pins are marked Orphaned.
    pub fn orphaned_pins(&self, count: usize) {
        self.stages.orphaned_pins.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

/// All that a rollback may have.
fn reasons() -> impl Iterator<Item = &'static str> {
    EVIDENCE.iter().map(|word| word.name)
}
