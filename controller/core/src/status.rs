//! The progress of the state machine, as it is kept in the policy's status: the machine's whole memory.
//!
//! Guarantees: bounded (`history` 50, `firstSeen` 50, `verified` 5 per stage, evidence by its own budget; 256 KiB in
//! all, tested). Fields marked `skip` live in memory only; losing them loses at most one event-free tick.

use crate::{
    conditions::Condition,
    health::Evidence,
    image::{Digest, Release, Tag, shown},
    stage::ticks::TickStart,
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

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
    /// Attempts begun so far; makes the next one's id.
    pub attempts: u64,
    /// Set while nothing may be promoted because the status was lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restored_at: Option<Timestamp>,
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
    /// When a rollback last began by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rolled_back_at: Option<Timestamp>,
    /// Releases this stage refused without a quarantine (not pullable, inconclusive), by contents key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, String>,
    /// What was last written into the pins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned: Option<Pinned>,
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

/// Which part of the stage is given the candidate. On the wire a text: a CRD has no type for "either this or that".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = "^(all|wave [0-9]{1,9})$"))]
pub enum Step {
    /// The wave with this index.
    Wave(u32),
    /// Everything: pins or templates first, then batches.
    All,
}

impl From<Step> for String {
    fn from(step: Step) -> Self {
        match step {
            Step::Wave(index) => format!("wave {index}"),
            Step::All => "all".to_owned(),
        }
    }
}

impl TryFrom<String> for Step {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self::All);
        }
        let index = text.strip_prefix("wave ").and_then(|index| index.parse().ok());
        index
            .map(Self::Wave)
            .ok_or_else(|| format!("{} is no step: write all, or wave and its index", shown(&text)))
    }
}

/// A candidate in a stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Flight {
    /// What is being promoted.
    pub release: Release,
    /// The stage's release before, for moving back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Release>,
    /// Attempt id; the mark on every pod that this flight moved.
    pub attempt: String,
    /// When it entered.
    pub entered: Timestamp,
    /// When the soak of this step began; none while pods are being given the candidate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soaking_since: Option<Timestamp>,
    /// Which part of the stage.
    pub step: Step,
    /// When this step began.
    pub step_since: Timestamp,
    /// Waves of this flight as pods and healthy seconds; fixed when it enters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waves: Vec<WavePlan>,
    /// Ready pods at entry, for percentages.
    pub ready_at_entry: u32,
    /// Pods that were not Ready at entry: they do not stop the soak's clock.
    pub unready_at_entry: u32,
    /// Pods that had the candidate when last looked at.
    #[serde(default)]
    pub members: u32,
    /// Wave pods that went away and were replaced, in this step.
    #[serde(default)]
    pub replaced: u32,
    /// Healthy seconds of this step.
    pub healthy_seconds: i64,
    /// When the soak's clock was last read while it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<Timestamp>,
    /// Since when evidence is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_data_since: Option<Timestamp>,
    /// An urgent fix let it pass the windows.
    #[serde(default)]
    pub skip_window: bool,
    /// The person who asked for this flight by a Promote, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promoted_by: Option<String>,
    /// The evidence so far, and what its counts start from.
    #[serde(default)]
    pub health: HealthMemory,
}

/// One wave as planned at entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WavePlan {
    /// Pods that have the candidate when it is complete.
    pub pods: u32,
    /// Healthy seconds it needs.
    pub soak_seconds: i64,
}

/// What the health engine remembers of one flight.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HealthMemory {
    /// The sequential test.
    pub evidence: Evidence,
    /// The last tick that was closed, counted from the flight's entry.
    pub tick: i64,
    /// Deaths counted so far, per pod uid and container, where not zero.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub deaths: BTreeMap<String, u32>,
    /// log E as last judged, for people; leave-one-out.
    pub log_e: f64,
    /// Crashes of the candidate and of the baseline.
    pub crashes: [u32; 2],
    /// The arms at the start of the open tick. In memory only.
    #[serde(skip)]
    pub open: Option<TickStart>,
}

/// A release being taken back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollback {
    /// What is taken back.
    pub bad: Release,
    /// What it is taken back to; none while that is being looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Release>,
    /// Attempt id; the mark on every pod that is put back.
    pub attempt: String,
    /// When it began.
    pub since: Timestamp,
    /// Why.
    pub reason: String,
    /// Evidence, as a sentence.
    pub message: String,
    /// The name of the Quarantine that must exist before the first write; none where no quarantine is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<String>,
    /// When no pod was seen to run the bad contents for the first time in a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clean_since: Option<Timestamp>,
    /// Set when the stage must stay Blocked afterwards, with the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then_blocked: Option<String>,
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
