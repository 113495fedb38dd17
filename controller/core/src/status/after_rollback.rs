//! What is remembered after a rollback, until it is known whether it helped.

use crate::{image::Release, status::SignalMemory};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Crashes, and the time in which they happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Lived {
    /// Crashes that no move of ours caused.
    pub crashes: u32,
    /// Seconds that pods had the release, summed over pods.
    pub pod_seconds: i64,
}

/// Whether a rollback helped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Help {
    /// Not known yet.
    Watching,
    /// What the rollback was for is over.
    Helped,
    /// It goes on with the release that was restored.
    DidNotHelp,
    /// There was not enough to tell.
    Unclear,
}

/// A rollback that is over, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AfterRollback {
    /// What was taken back, for people.
    pub bad: String,
    /// The Quarantine that holds it, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<String>,
    /// What was restored.
    pub to: Release,
    /// Attempt id of the rollback: the mark on the pods that were put back.
    pub attempt: String,
    /// Why it was taken back.
    pub reason: String,
    /// When the rollback began: pods that have what they have since then are watched.
    pub began: Timestamp,
    /// When it was over, and watching began.
    pub since: Timestamp,
    /// When watching ends.
    pub until: Timestamp,
    /// How the bad release lived in this stage.
    pub before: Lived,
    /// Whether it helped.
    pub help: Help,
    /// The same as a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The signals, where one of them took the release back: pods that were put back against those that never had it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signals: Vec<SignalMemory>,
    /// The last tick of them that was closed, counted from `since`.
    #[serde(default)]
    pub tick: i64,
}
