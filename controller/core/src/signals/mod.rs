//! Signals that somebody else measures: what is asked about the pods of both arms, and what was answered.
//!
//! Guarantees: a question says all that has to be asked, so that whoever asks needs to know nothing of stages; a failed
//! read is a value. May not: know how a question is sent.

mod request;
mod template;

pub use request::{JobRun, Request, Side};
pub use template::{Template, TemplateError, Values, Variable};

use crate::health::{Direction, Margin};
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// One stream of evidence besides what the pods themselves show.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    /// Unique within the policy.
    pub name: String,
    /// Who measures it, and what is asked.
    pub source: Source,
    /// When its value speaks against a candidate.
    pub compare: Compare,
}

/// Who measures a signal, and what is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Who is asked.
    pub server: Server,
    /// What is asked. A webhook is asked the same of everybody; it has none.
    pub query: Template,
    /// The Secret of the policy's namespace with what the server wants to see.
    pub secret: Option<String>,
    /// How long before the end of a tick its time ends that is asked about: some servers know late.
    pub delay: SignedDuration,
}

/// Who is asked, with all that is the same for every query.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Server {
    /// Speaks the Prometheus API, at this base address, such as `http://prometheus.monitoring:9090`.
    Prometheus(String),
    /// Takes a request of ours, at this address.
    Webhook(String),
    /// Datadog, at this site, such as `datadoghq.eu`.
    Datadog(String),
    /// Amazon `CloudWatch`.
    CloudWatch(CloudWatch),
    /// A Job that runs once for a release in a stage.
    Job(Job),
}

/// A Job that judges.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Job {
    /// The `CronJob` of the policy's namespace whose template it is made from.
    pub from: String,
    /// How long it may take.
    pub deadline: SignedDuration,
}

/// Amazon `CloudWatch`, as far as it is the same for every query.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CloudWatch {
    /// Such as `eu-west-1`.
    pub region: String,
    /// What an expression may name.
    pub metrics: Vec<Metric>,
}

/// One metric of `CloudWatch`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Metric {
    /// By which an expression names it.
    pub id: String,
    /// Such as `AWS/ApplicationELB`.
    pub namespace: String,
    /// Such as `HTTPCode_Target_5XX_Count`.
    pub name: String,
    /// By name.
    pub dimensions: BTreeMap<String, String>,
    /// Such as `Sum` or `p95`.
    pub stat: String,
}

impl Server {
    /// How it writes a list of names in a query. Names are those of Kubernetes objects: nothing in one ends a text early.
    #[must_use]
    pub fn list(&self, names: &BTreeSet<&str>) -> String {
        match self {
            Self::Prometheus(_) | Self::Webhook(_) | Self::Job(_) => template::any_of(names),
            Self::Datadog(_) => names.iter().copied().collect::<Vec<_>>().join(","),
            Self::CloudWatch(_) => {
                names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(" OR ")
            }
        }
    }

    /// It is asked once for a release in a stage, and what it says is the verdict: no statistics is needed.
    #[must_use]
    pub fn judges_once(&self) -> bool {
        matches!(self, Self::Job(_))
    }

    /// Without a Secret it is asked as the policy's `ServiceAccount`, by the identity that has in the server's cloud.
    #[must_use]
    pub fn knows_accounts(&self) -> bool {
        matches!(self, Self::CloudWatch(_))
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prometheus(address) | Self::Webhook(address) => f.write_str(address),
            Self::Datadog(site) => write!(f, "Datadog at {site}"),
            Self::CloudWatch(CloudWatch { region, .. }) => write!(f, "CloudWatch in {region}"),
            Self::Job(Job { from, .. }) => write!(f, "a Job of CronJob {from}"),
        }
    }
}

/// When a value speaks against a candidate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Compare {
    /// It is worse than that of the pods beside it, which still run the stable release.
    Beside(Margin),
    /// It is beyond this limit, whatever other pods have.
    Limit(Direction, f64),
    /// The server itself says that it is degraded.
    Verdict,
}

impl Compare {
    /// Whether the pods beside the candidate are asked about, too.
    #[must_use]
    pub fn is_beside(&self) -> bool {
        matches!(self, Self::Beside(_))
    }

    /// As the sign test takes it: a limit has no margin.
    #[must_use]
    pub fn margin(&self) -> Margin {
        match *self {
            Self::Beside(margin) => margin,
            Self::Limit(direction, _) => Margin { direction, share: 0.0 },
            Self::Verdict => Margin { direction: Direction::HigherIsWorse, share: 0.0 },
        }
    }
}

impl fmt::Display for Compare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let over = |direction| if direction == Direction::HigherIsWorse { "above" } else { "below" };
        match self {
            Self::Beside(Margin { direction, share }) => {
                let percent = (share * 10_000.0).round() / 100.0;
                write!(f, "more than {percent}% {} the pods beside it", over(*direction))
            }
            Self::Limit(direction, limit) => write!(f, "{} the limit {limit}", over(*direction)),
            Self::Verdict => f.write_str("degraded by its server's verdict"),
        }
    }
}

/// Which answer belongs to which question.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignalKey {
    /// The flight's attempt.
    pub attempt: String,
    /// The signal.
    pub signal: String,
    /// The tick, counted from the flight's entry.
    pub tick: i64,
}

/// What one signal is asked about one tick.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SignalQuestion {
    /// Which answer it is.
    pub key: SignalKey,
    /// Who is asked.
    pub server: Server,
    /// The Secret with what it wants to see.
    pub secret: Option<String>,
    /// The end of the time that is asked about.
    pub at: Timestamp,
    /// The length of the tick in whole seconds: nothing older may count.
    pub window: i64,
    /// The query about the candidate's pods.
    pub candidate: String,
    /// The query about the pods beside them; none where a limit is compared with.
    pub baseline: Option<String>,
}

/// What came of one query.
#[derive(Clone, Debug, PartialEq)]
pub enum ArmAnswer {
    /// One number, which is one.
    Value(f64),
    /// No number, but whether it is degraded.
    Verdict {
        /// It is.
        degraded: bool,
    },
    /// No series, or a value that is no number (`0/0`): there is nothing to measure.
    Nothing,
    /// It could not be asked, or the answer may not be used: why.
    Failed(String),
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq)]
pub struct SignalAnswer {
    /// About the candidate's pods.
    pub candidate: ArmAnswer,
    /// About the pods beside them, where that was asked.
    pub baseline: Option<ArmAnswer>,
}
