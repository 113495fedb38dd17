//! What is remembered of one stage.

use super::{AfterRollback, Flight, Rollback};
use crate::image::{Digest, Release, Tag};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Where a stage is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Nothing is in flight; the reason says what it waits for.
    #[default]
    Idle,
    /// A wave, or the whole stage, is being given the candidate.
    Applying,
    /// It has it, and has to stay healthy.
    Soaking,
    /// The candidate is being taken back.
    RollingBack,
    /// No safe digest, or a person must decide.
    Blocked,
}

/// One stage's progress.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StageStatus {
    /// The stage's name.
    pub name: String,
    /// Where it is.
    pub phase: Phase,
    /// What it waits for: a documented reason.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The same as a sentence, with the command that would end the wait.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Since when phase and reason are these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// When the wait ends by itself, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Index digest of the release that the stage's pins carry outside of a promotion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<Digest>,
    /// Verified and adopted releases, newest last; what a rollback may return to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub verified: Vec<Verified>,
    /// Image tags that adoption may pin, until the first promotion.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub only_tags: Vec<Tag>,
    /// The versions of a Mixed stage: pods per digest.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub mixed: BTreeMap<String, u32>,
    /// The candidate that is in this stage now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flight: Option<Flight>,
    /// The rollback that is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Rollback>,
    /// The last rollback, and whether it helped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_rollback: Option<AfterRollback>,
    /// Since when a crash loop of a verified release is held for a common cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub common_since: Option<Timestamp>,
    /// When a rollback last began by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rolled_back_at: Option<Timestamp>,
    /// Releases this stage refused without a quarantine (not pullable, inconclusive), by contents key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, String>,
    /// What was last written into the pins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned: Option<Pinned>,
    /// What the files of `git` targets were brought to, one per target.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub git: Vec<Delivered>,
    /// Attempt id of repairs: the mark on pods that were put right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift_attempt: Option<String>,
    /// Pods that run other contents than this stage should.
    #[serde(skip_serializing_if = "Drift::is_none")]
    pub drift: Drift,
    /// Pods seen that were born without the pin they should have got.
    #[serde(skip_serializing_if = "is_zero")]
    pub unpinned_births: u64,
    /// Those of them, by uid, that have not been put right yet: none is counted twice.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub unpinned: BTreeSet<String>,
    /// Writes that another manager undid, per object; three of them and it is left alone.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub contested: BTreeMap<String, Contest>,
}

/// Writes to one object that somebody else may undo.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Contest {
    /// Writes so far.
    pub writes: u32,
    /// `metadata.generation` that the last one was meant for: while the object still has it, nothing was undone.
    pub generation: i64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// How a release became one that a stage may return to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Source {
    /// It finished its soak here.
    Verified,
    /// It ran here before Lockkeeper did; never satisfies a successor's gate.
    Adopted,
    /// A pin carried it when the status was lost.
    Restored,
}

/// A release that a stage may return to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    /// The release.
    pub release: Release,
    /// How.
    pub source: Source,
    /// When.
    pub at: Timestamp,
    /// Under which definition of the stage.
    pub hash: String,
    /// What the soak rules out, such as `no restart in 6.3 pod-hours: fewer than 0.5 per pod-hour, 95 %`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rules_out: String,
    /// log E that its soak ended with: later stages of the promotion go on from it.
    #[serde(default)]
    pub log_e: f64,
    /// The guard that goes on watching.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard_until: Option<Timestamp>,
}

/// What the pins of a stage were last told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pinned {
    /// The release's digest.
    pub digest: Digest,
    /// When this was decided: pods born later should carry it.
    pub at: Timestamp,
    /// All pins were seen to say so: what differs later is somebody else's doing.
    pub confirmed: bool,
    /// Namespaces in which they were seen; the first 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// How often a pin was put back after somebody else's change.
    #[serde(default)]
    pub put_back: u32,
}

/// What the files of one `git` target were brought to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Delivered {
    /// The attempt with the target's number, as the commit's message names it.
    pub id: String,
    /// The repository.
    pub url: String,
    /// The branch.
    pub branch: String,
    /// The commit: the attempt's own, or the branch's newest where the files said so already.
    pub commit: String,
    /// The release's digest.
    pub digest: Digest,
    /// Since when this is known.
    pub since: Timestamp,
}

/// Pods that run other contents than their stage should.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Drift {
    /// How many.
    pub pods: u32,
    /// A few of them, as `namespace/name`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
    /// Repairs per owner; three and it is contested.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub repairs: BTreeMap<String, u32>,
}

impl Drift {
    fn is_none(&self) -> bool {
        self.pods == 0 && self.repairs.is_empty()
    }
}
