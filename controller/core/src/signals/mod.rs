//! Signals that somebody else measures: what is asked about the pods of both arms, and what was answered.
//!
//! Guarantees: a question says all that has to be asked, so that whoever asks needs to know nothing of stages; a failed
//! read is a value. May not: know how a question is sent.

mod template;

pub use template::{Template, TemplateError, Values, Variable};

use crate::health::{Direction, Margin};
use jiff::Timestamp;
use std::fmt;

/// One stream of evidence besides what the pods themselves show.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    /// Unique within the policy.
    pub name: String,
    /// Where it is measured.
    pub prometheus: Prometheus,
    /// When its value speaks against a candidate.
    pub compare: Compare,
}

/// A server that speaks the Prometheus API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prometheus {
    /// Its base address, such as `http://prometheus.monitoring:9090`.
    pub address: String,
    /// What is asked.
    pub query: Template,
    /// The Secret of the policy's namespace with credentials, authorities and headers.
    pub secret: Option<String>,
}

/// When a value speaks against a candidate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Compare {
    /// It is worse than that of the pods beside it, which still run the stable release.
    Beside(Margin),
    /// It is beyond this limit, whatever other pods have.
    Limit(Direction, f64),
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
    /// The server.
    pub address: String,
    /// The Secret with what it wants to see.
    pub secret: Option<String>,
    /// The end of the tick.
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
