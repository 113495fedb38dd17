//! The progress of the state machine, as it is kept in the policy's status: the machine's whole memory.
//!
//! Guarantees: bounded (`history` 50, `firstSeen` 50, `verified` 5 per stage, 20 messages, evidence by its own budget; 256 KiB in
//! all, tested). Fields marked `skip` live in memory only; losing them loses at most one event-free tick.

mod after_rollback;
mod flight;
mod notices;
mod signal;
mod stage;

pub use after_rollback::{AfterRollback, Help, Lived};
pub use flight::{Flight, HealthMemory, Rollback, Step, WavePlan};
pub use notices::{Incident, Notice, Notices};
pub use signal::{Once, SignalMemory};
pub use stage::{Contest, Delivered, Drift, Phase, Pinned, Source, StageStatus, Verified};

use crate::{
    conditions::Condition,
    image::{Release, Tag},
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// History entries kept.
pub const HISTORY: usize = 50;
/// First-seen clocks kept.
pub const FIRST_SEEN: usize = 50;
/// Verified releases kept per stage.
pub const VERIFIED: usize = 5;

/// Status of an `ImagePolicy`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// The generation this status speaks of.
    pub observed_generation: i64,
    /// One word over all stages, for the PHASE column.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub phase: String,
    /// `dev 0.31 · staging 0.30 soaking · prod 0.28`, for the STAGES column.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// What selection chose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidate: Option<Release>,
    /// When contents were first seen, by this controller's own clock; newest last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub first_seen: Vec<FirstSeen>,
    /// What became of the newest tags: the candidate, those before it in the policy's order, and a few of every other kind.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<TagSeen>,
    /// Released version tags whose contents changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub moved_tags: Vec<MovedTag>,
    /// One per stage, in the policy's order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageStatus>,
    /// The standard conditions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// What happened, newest last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<HistoryEntry>,
    /// Interventions that were carried out: the same name and digest twice is one request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub heard: Vec<String>,
    /// Interventions that count now, newest first: what a person asked for is heard once it is here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub in_force: Vec<String>,
    /// Attempts begun so far; makes the next one's id.
    pub attempts: u64,
    /// Set while nothing may be promoted because the status was lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restored_at: Option<Timestamp>,
    /// What people outside are still to be told.
    #[serde(skip_serializing_if = "Notices::is_empty")]
    pub notices: Notices,
    /// Every default that is in force.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub effective: BTreeMap<String, String>,
}

/// When contents were first seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FirstSeen {
    /// The contents' key.
    pub contents: String,
    /// The tag they were seen under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    /// From when their age counts.
    pub at: Timestamp,
}

/// What became of one tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TagSeen {
    /// The tag, as it is in the registry.
    pub tag: String,
    /// `Candidate`, `TooYoung` for a candidate that stages may not have yet, or why it was not taken.
    pub reason: String,
    /// The same as a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// A released version tag whose contents changed: an alarm and a hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MovedTag {
    /// The tag.
    pub tag: Tag,
    /// Contents it had first.
    pub from: String,
    /// Contents it has now.
    pub to: String,
    /// When this was seen.
    pub at: Timestamp,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// When.
    pub at: Timestamp,
    /// The event's reason, such as `RolledBack`.
    pub reason: String,
    /// The stage, if it concerns one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stage: String,
    /// What, in a sentence.
    pub message: String,
}
