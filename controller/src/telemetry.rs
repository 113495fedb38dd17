//! What is counted, for `OpenMetrics`, how logs are written, and where spans go.
//!
//! Guarantees: the labels are bounded (kinds, outcomes, and one series per policy and stage that exists); nothing
//! here holds a credential. May not: decide or know an adapter.

mod api;
mod log;
mod passes;
mod promotions;
mod replica;
mod requests;
mod stages;
mod text;
mod trace;

pub use api::CountRequests;
pub use log::{LogFormat, start};
pub use passes::{category, kind};
pub use text::{Format, OPEN_METRICS, TEXT};
pub use trace::{Origin, TraceError, Traces};

use crate::ports::WatchState;
use jiff::Timestamp;
use passes::Passes;
use prometheus_client::{encoding::text::encode, metrics::gauge::Gauge, registry::Registry};
use promotions::Promotions;
use replica::Replica;
use requests::Requests;
use stages::Stages;
use std::sync::atomic::AtomicU64;

/// Seconds since 1970, or a share.
type Seconds = Gauge<f64, AtomicU64>;

/// All metrics of the controller.
pub struct Metrics {
    registry: Registry,
    passes: Passes,
    requests: Requests,
    stages: Stages,
    promotions: Promotions,
    replica: Replica,
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
        let mut registry = Registry::with_prefix("lockkeeper");
        let passes = Passes::default();
        passes.add_to(&mut registry);
        let requests = Requests::default();
        requests.add_to(&mut registry);
        let stages = Stages::default();
        stages.add_to(&mut registry);
        let promotions = Promotions::default();
        promotions.add_to(&mut registry);
        let replica = Replica::default();
        replica.add_to(&mut registry);
        Self { registry, passes, requests, stages, promotions, replica }
    }

    /// All of it as `OpenMetrics` text, with the watches as they are now.
    pub fn render(&self, watches: &[WatchState], now: Timestamp) -> Result<String, std::fmt::Error> {
        self.replica.show(watches, now);
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::PolicyKey;
    use lockkeeper_core::{
        conditions::EVIDENCE,
        status::{Phase, StageStatus, Status},
    };

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
    fn what_has_not_happened_yet_is_counted_as_zero_so_that_the_first_time_is_an_increase() {
        let metrics = Metrics::new();
        let key = PolicyKey { namespace: "platform".into(), name: "otel".into() };
        metrics.stages(&key, &status(&[("prod", Phase::Idle)]));
        let text = metrics.render(&[], Timestamp::UNIX_EPOCH).unwrap();
        let of = "namespace=\"platform\",policy=\"otel\",stage=\"prod\"";
        for name in ["promotions_started", "promotions_verified", "quarantines"] {
            assert!(text.contains(&format!("lockkeeper_{name}_total{{{of}}} 0\n")), "{name}: {text}");
        }
        for word in EVIDENCE {
            let line = format!("lockkeeper_rollbacks_total{{{of},reason=\"{}\"}} 0\n", word.name);
            assert!(text.contains(&line), "{line}: {text}");
        }
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
