//! What is remembered of a candidate in a stage, and of a release that is being taken back.

use crate::{
    health::{Evidence, Fingerprints},
    image::{Release, shown},
    stage::{REJECTED, SUPERSEDED, ticks::TickStart},
    status::{Lived, SignalMemory},
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    /// What the candidate's pods died of, and how often the stable release does.
    pub fingerprints: Fingerprints,
    /// The last tick that was closed, counted from the flight's entry.
    pub tick: i64,
    /// Deaths counted so far, per pod uid and container, where not zero.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub deaths: BTreeMap<String, u32>,
    /// The signals that the policy had when the candidate entered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub signals: Vec<SignalMemory>,
    /// log E of restarts as last judged, for people; leave-one-out.
    pub log_e: f64,
    /// Ticks of which something was left out for a common cause.
    #[serde(skip_serializing_if = "is_zero")]
    pub set_aside: u32,
    /// Why it is held for a common cause, while it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub common_cause: String,
    /// Crashes of the candidate and of the baseline.
    pub crashes: [u32; 2],
    /// The arms at the start of the open tick. In memory only.
    #[serde(skip)]
    pub open: Option<TickStart>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it by reference")]
fn is_zero(count: &u32) -> bool {
    *count == 0
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
    /// How it lived in this stage.
    #[serde(default)]
    pub before: Lived,
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

impl Rollback {
    /// Nothing was found to be bad: a person did not want it, or a newer release comes instead.
    #[must_use]
    pub fn is_no_trouble(&self) -> bool {
        [REJECTED, SUPERSEDED].contains(&self.reason.as_str())
    }
}
