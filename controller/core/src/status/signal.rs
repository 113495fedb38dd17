//! What is remembered of one signal that somebody else measures, about one candidate in one stage.

use crate::{health::Gauge, stage::PendingTick};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One signal of a flight: fixed when the candidate enters, so that its weight is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignalMemory {
    /// Its name in `spec.health.signals`.
    pub name: String,
    /// The sequential test.
    pub gauge: Gauge,
    /// Where a Job judges once: what it said. Its gauge counts nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub once: Option<Once>,
    /// log E as last judged, for people.
    #[serde(default)]
    pub log_e: f64,
    /// The evidence against its limit, as a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When values last came that could be compared: the end of their tick.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_at: Option<Timestamp>,
    /// Since when they should have come and did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dark_since: Option<Timestamp>,
    /// Why not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub trouble: String,
    /// Ticks that are over and not answered yet, oldest first. In memory only: a restart loses them, and counts none twice.
    #[serde(skip)]
    pub pending: Vec<PendingTick>,
}

/// What a Job said that judges once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Once {
    /// Nothing yet.
    Awaited,
    /// It speaks for the release.
    Passed,
    /// It speaks against it.
    Failed,
}

impl SignalMemory {
    /// Nothing has to be asked any more.
    #[must_use]
    pub fn has_judged(&self) -> bool {
        matches!(self.once, Some(Once::Passed | Once::Failed))
    }

    /// Nothing known yet, in a stage that takes about so many ticks.
    #[must_use]
    pub fn new(name: &str, most_ticks: u64) -> Self {
        Self {
            name: name.to_owned(),
            gauge: Gauge::new(most_ticks),
            once: None,
            log_e: 0.0,
            message: String::new(),
            data_at: None,
            dark_since: None,
            trouble: String::new(),
            pending: Vec::new(),
        }
    }
}
