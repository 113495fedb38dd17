//! What is counted, for `OpenMetrics`, and how logs are written.
//!
//! Guarantees: the labels are bounded (kinds, outcomes, and one series per policy and stage that exists); nothing
//! here holds a credential. May not: decide or know an adapter.

mod promotions;

use crate::ports::{Backlog, EffectError, PolicyKey, WatchState};
use jiff::Timestamp;
use lockkeeper_core::{
    conditions::EVIDENCE,
    decision::Action,
    status::{Phase, StageStatus, Status},
};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use promotions::Promotions;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError, atomic::AtomicU64},
    time::{Duration, Instant},
};

/// What `/metrics` answers with.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Human,
}

/// Starts logging to standard error; `RUST_LOG` chooses how much (`info` without it).
pub fn log(format: LogFormat) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Human => builder.try_init(),
    };
    if let Err(error) = started {
        // Only a second call fails, and the first one's logging goes on.
        tracing::debug!(%error, "logging was started before");
    }
}

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

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRepository {
    repository: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, EncodeLabelSet)]
struct OfStage {
    namespace: String,
    policy: String,
    stage: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPhase {
    namespace: String,
    policy: String,
    stage: String,
    phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfWatch {
    kind: String,
}

/// Seconds since 1970, or a share.
type Seconds = Gauge<f64, AtomicU64>;

/// All metrics of the controller.
pub struct Metrics {
    registry: Registry,
    passes: Family<Outcome, Counter>,
    pass_seconds: Histogram,
    pass_errors: Family<Category, Counter>,
    effects: Family<KindOutcome, Counter>,
    status_writes: Family<Outcome, Counter>,
    registry_requests: Family<KindOutcome, Counter>,
    scanned: Family<OfRepository, Seconds>,
    phase: Family<OfPhase, Gauge>,
    in_flight: Family<OfStage, Gauge>,
    drifted: Family<OfStage, Gauge>,
    unpinned_births: Family<OfStage, Gauge>,
    policies: Gauge,
    orphaned_pins: Gauge,
    watch_synced: Family<OfWatch, Gauge>,
    watch_stale: Family<OfWatch, Seconds>,
    promotions: Promotions,
    queue_due: Gauge,
    queue_running: Gauge,
    queue_wait: Seconds,
    leader: Gauge,
    lease_transitions: Gauge,
    lease_renew_age: Seconds,
    /// When somebody renewed the Lease, as far as this process has seen.
    lease_renewed: Mutex<Option<Instant>>,
    /// The stages that have series, so that they go with their policy.
    stages: Mutex<BTreeMap<PolicyKey, BTreeSet<OfStage>>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new() -> Self {
        let seconds = [0.000_1, 0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0];
        let mut metrics = Self {
            registry: Registry::with_prefix("lockkeeper"),
            passes: Family::default(),
            pass_seconds: Histogram::new(seconds),
            pass_errors: Family::default(),
            effects: Family::default(),
            status_writes: Family::default(),
            registry_requests: Family::default(),
            scanned: Family::default(),
            phase: Family::default(),
            in_flight: Family::default(),
            drifted: Family::default(),
            unpinned_births: Family::default(),
            policies: Gauge::default(),
            orphaned_pins: Gauge::default(),
            watch_synced: Family::default(),
            watch_stale: Family::default(),
            promotions: Promotions::default(),
            queue_due: Gauge::default(),
            queue_running: Gauge::default(),
            queue_wait: Seconds::default(),
            leader: Gauge::default(),
            lease_transitions: Gauge::default(),
            lease_renew_age: Seconds::default(),
            lease_renewed: Mutex::default(),
            stages: Mutex::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let r = &mut self.registry;
        r.register(
            "passes",
            "Passes over policies, by outcome (ok, failed, invalid, gone)",
            self.passes.clone(),
        );
        r.register("pass_seconds", "Duration of passes", self.pass_seconds.clone());
        r.register("pass_errors", "What failed in passes, by category", self.pass_errors.clone());
        r.register("effects", "Writes to targets, by kind and outcome", self.effects.clone());
        r.register("status_writes", "Writes of policies' status, by outcome", self.status_writes.clone());
        let requests = self.registry_requests.clone();
        r.register("registry_requests", "Lookups in registries, by kind and outcome", requests);
        r.register(
            "registry_scan_timestamp_seconds",
            "When a repository's tags were last listed completely",
            self.scanned.clone(),
        );
        r.register("stage_phase", "1 for the phase that a stage is in", self.phase.clone());
        r.register("candidates_in_flight", "1 while a stage has a candidate", self.in_flight.clone());
        r.register(
            "drifted_pods",
            "Pods that run other contents than their stage should",
            self.drifted.clone(),
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
        r.register("watch_synced", "1 once a watch's first list is complete", self.watch_synced.clone());
        r.register("watch_stale_seconds", "How long a watch has not been fresh", self.watch_stale.clone());
        self.promotions.add_to(r);
        r.register("queue_due", "Policies whose pass is due and has not begun", self.queue_due.clone());
        r.register("queue_running", "Passes under way", self.queue_running.clone());
        let wait = self.queue_wait.clone();
        r.register("queue_wait_seconds", "How long the policy that waits longest has been due", wait);
        r.register("leader", "1 while this replica is the one that writes", self.leader.clone());
        let transitions = self.lease_transitions.clone();
        r.register("lease_transitions", "How often the Lease went to another replica", transitions);
        let age = self.lease_renew_age.clone();
        r.register("lease_renew_age_seconds", "How long ago some replica was seen to renew the Lease", age);
    }

    /// A pass ended.
    pub fn pass(&self, outcome: &'static str, seconds: f64) {
        self.passes.get_or_create(&Outcome { outcome }).inc();
        self.pass_seconds.observe(seconds);
    }

    /// Something in a pass failed.
    pub fn pass_error(&self, category: &'static str) {
        self.pass_errors.get_or_create(&Category { category }).inc();
    }

    /// An effect ended.
    pub fn effect(&self, action: &Action, result: Result<(), &EffectError>) {
        let outcome = result.map_or_else(category, |()| "ok");
        self.effects.get_or_create(&KindOutcome { kind: kind(action), outcome }).inc();
    }

    /// A status was written, or not.
    pub fn status_write(&self, result: Result<(), &EffectError>) {
        let outcome = result.map_or_else(category, |()| "ok");
        self.status_writes.get_or_create(&Outcome { outcome }).inc();
    }

    /// A registry was asked; `failed` is the reason, one of a bounded set.
    pub fn registry_request(&self, kind: &'static str, failed: Option<&'static str>) {
        self.registry_requests.get_or_create(&KindOutcome { kind, outcome: failed.unwrap_or("ok") }).inc();
    }

    /// A repository's tags were listed.
    pub fn scanned(&self, repository: &str, now: Timestamp) {
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit a double")]
        let seconds = now.as_second() as f64;
        self.scanned.get_or_create(&OfRepository { repository: repository.to_owned() }).set(seconds);
    }

    /// Nobody asks this repository any more.
    pub fn unscanned(&self, repository: &str) {
        self.scanned.remove(&OfRepository { repository: repository.to_owned() });
    }

    /// Where the stages of a policy stand.
    pub fn stages(&self, key: &PolicyKey, status: &Status) {
        let mut known = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.remove(key).unwrap_or_default();
        let mut now = BTreeSet::new();
        for stage in &status.stages {
            let of = OfStage::new(key, &stage.name);
            for (phase, name) in PHASES {
                self.phase.get_or_create(&of.in_phase(name)).set(i64::from(stage.phase == phase));
            }
            self.in_flight.get_or_create(&of).set(i64::from(stage.flight.is_some()));
            self.drifted.get_or_create(&of).set(i64::from(stage.drift.pods));
            self.unpinned_births
                .get_or_create(&of)
                .set(i64::try_from(stage.unpinned_births).unwrap_or(i64::MAX));
            now.insert(of);
        }
        for gone in before.difference(&now) {
            self.drop_stage(gone);
        }
        known.insert(key.clone(), now);
        self.policies.set(i64::try_from(known.len()).unwrap_or(i64::MAX));
    }

    /// A status was stored; `before` is what was stored until then.
    pub fn stored(&self, key: &PolicyKey, before: &Status, after: &Status) {
        for stage in &after.stages {
            let old = before.stages.iter().find(|old| old.name == stage.name);
            self.promotions.changed(
                &OfStage::new(key, &stage.name),
                old.unwrap_or(&StageStatus::default()),
                stage,
            );
        }
    }

    /// What waits for a pass now.
    pub fn queue(&self, backlog: Backlog) {
        self.queue_due.set(i64::try_from(backlog.due).unwrap_or(i64::MAX));
        self.queue_running.set(i64::try_from(backlog.running).unwrap_or(i64::MAX));
        self.queue_wait.set(backlog.longest.as_secs_f64());
    }

    /// Whether this replica is the one that writes.
    pub fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// The Lease as it was seen, renewed so long ago.
    pub fn lease(&self, transitions: u32, age: Duration) {
        self.lease_transitions.set(i64::from(transitions));
        *self.lease_renewed.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now().checked_sub(age);
    }

    /// A policy is gone.
    pub fn forget(&self, key: &PolicyKey) {
        let mut known = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        for stage in known.remove(key).unwrap_or_default() {
            self.drop_stage(&stage);
        }
        self.policies.set(i64::try_from(known.len()).unwrap_or(i64::MAX));
    }

    fn drop_stage(&self, of: &OfStage) {
        for (_, name) in PHASES {
            self.phase.remove(&of.in_phase(name));
        }
        self.in_flight.remove(of);
        self.drifted.remove(of);
        self.unpinned_births.remove(of);
        self.promotions.drop_stage(of, EVIDENCE.iter().map(|word| word.name));
    }

    /// How many pins are marked Orphaned.
    pub fn orphaned_pins(&self, count: usize) {
        self.orphaned_pins.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// All of it as `OpenMetrics` text, with the watches as they are now.
    pub fn render(&self, watches: &[WatchState], now: Timestamp) -> Result<String, std::fmt::Error> {
        for watch in watches {
            let of = OfWatch { kind: watch.kind.clone() };
            self.watch_synced.get_or_create(&of).set(i64::from(watch.synced));
            let stale = watch.stale_since.map_or(0.0, |since| now.duration_since(since).as_secs_f64());
            self.watch_stale.get_or_create(&of).set(stale);
        }
        let renewed = *self.lease_renewed.lock().unwrap_or_else(PoisonError::into_inner);
        self.lease_renew_age.set(renewed.map_or(0.0, |at| at.elapsed().as_secs_f64()));
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
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

const PHASES: [(Phase, &str); 5] = [
    (Phase::Idle, "Idle"),
    (Phase::Applying, "Applying"),
    (Phase::Soaking, "Soaking"),
    (Phase::RollingBack, "RollingBack"),
    (Phase::Blocked, "Blocked"),
];

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

#[cfg(test)]
mod tests {
    use super::*;
    use lockkeeper_core::status::StageStatus;

    fn status(stages: &[(&str, Phase)]) -> Status {
        let stage = |(name, phase): &(&str, Phase)| StageStatus {
            name: (*name).into(),
            phase: *phase,
            ..Default::default()
        };
        Status { stages: stages.iter().map(stage).collect(), ..Status::default() }
    }

    #[test]
    fn a_stage_has_one_phase_and_its_series_go_with_it() {
        let metrics = Metrics::new();
        let key = PolicyKey { namespace: "platform".into(), name: "otel".into() };
        let now = Timestamp::UNIX_EPOCH;
        metrics.stages(&key, &status(&[("dev", Phase::Soaking), ("prod", Phase::Idle)]));
        metrics.stages(&key, &status(&[("dev", Phase::Blocked)]));
        let text = metrics.render(&[], now).unwrap();
        let series: Vec<&str> = text.lines().filter(|l| l.starts_with("lockkeeper_stage_phase{")).collect();
        assert_eq!(series.len(), 5, "{text}");
        let on: Vec<&&str> = series.iter().filter(|l| l.ends_with(" 1")).collect();
        assert_eq!(on.len(), 1);
        assert!(on[0].contains("phase=\"Blocked\"") && on[0].contains("stage=\"dev\""), "{on:?}");
        metrics.forget(&key);
        let text = metrics.render(&[], now).unwrap();
        assert!(!text.contains("otel") && text.contains("lockkeeper_policies 0"), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn a_promotion_and_its_rollback_are_counted_once_and_timed() {
        let metrics = Metrics::new();
        let key = PolicyKey { namespace: "platform".into(), name: "otel".into() };
        let digest = lockkeeper_core::image::Digest::of(b"bad");
        let stage = |more: serde_json::Value| {
            let mut stage =
                serde_json::json!({"name": "prod", "phase": "Idle", "since": "2026-11-22T00:10:30Z"});
            for (name, value) in more.as_object().unwrap() {
                stage[name] = value.clone();
            }
            Status { stages: vec![serde_json::from_value(stage).unwrap()], ..Status::default() }
        };
        let flight = serde_json::json!({"flight": {
            "release": {"digest": digest}, "attempt": "a-1", "entered": "2026-11-22T00:00:00Z", "step": "all",
            "stepSince": "2026-11-22T00:00:00Z", "readyAtEntry": 1, "unreadyAtEntry": 0, "healthySeconds": 0,
        }});
        let rollback = serde_json::json!({"phase": "RollingBack", "rollback": {
            "bad": {"digest": digest}, "attempt": "r-1", "since": "2026-11-22T00:10:00Z", "reason": "CrashLoop",
            "message": "", "quarantine": "q",
        }});
        let verified = serde_json::json!({"verified": [{
            "release": {"digest": digest}, "source": "Verified", "at": "2026-11-22T01:00:00Z", "hash": "h",
        }]});
        let empty = serde_json::json!({});
        let story = [&empty, &flight, &flight, &rollback, &rollback, &empty, &verified, &verified];
        for pair in story.windows(2) {
            metrics.stored(&key, &stage(pair[0].clone()), &stage(pair[1].clone()));
        }
        metrics.stages(&key, &stage(empty));
        let text = metrics.render(&[], Timestamp::UNIX_EPOCH).unwrap();
        let of = "namespace=\"platform\",policy=\"otel\",stage=\"prod\"";
        for line in [
            format!("lockkeeper_promotions_started_total{{{of}}} 1"),
            format!("lockkeeper_promotions_verified_total{{{of}}} 1"),
            format!("lockkeeper_rollbacks_total{{{of},reason=\"CrashLoop\"}} 1"),
            format!("lockkeeper_quarantines_total{{{of}}} 1"),
            "lockkeeper_time_to_detect_seconds_sum 600.0".to_owned(),
            "lockkeeper_time_to_roll_back_seconds_sum 30.0".to_owned(),
        ] {
            assert!(text.contains(&line), "{line}\n{text}");
        }
        metrics.forget(&key);
        let text = metrics.render(&[], Timestamp::UNIX_EPOCH).unwrap();
        assert!(!text.contains("otel"), "{text}");
    }

    #[test]
    fn a_stale_watch_shows_for_how_long() {
        let since = Timestamp::UNIX_EPOCH;
        let watch = WatchState { kind: "Pod".into(), synced: true, stale_since: Some(since) };
        let text = Metrics::new().render(&[watch], Timestamp::from_second(90).unwrap()).unwrap();
        assert!(text.contains("lockkeeper_watch_stale_seconds{kind=\"Pod\"} 90.0"), "{text}");
    }
}
