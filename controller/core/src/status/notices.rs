//! What people outside of the cluster are still to be told, and which troubles they know of.

use crate::notices::Occasion;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is to be told, and what was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Notices {
    /// Messages that were not told to everybody yet, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outbox: Vec<Notice>,
    /// Troubles that are not over.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub incidents: Vec<Incident>,
}

impl Notices {
    /// There is nothing to remember.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.outbox.is_empty() && self.incidents.is_empty()
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// Its id: the same however often and by whom it is sent.
    pub id: String,
    /// When what it speaks of was decided.
    pub at: Timestamp,
    /// What it is about.
    pub occasion: Occasion,
    /// The stage, if it concerns one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stage: String,
    /// What happened, with the evidence.
    pub message: String,
    /// What was done.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub done: String,
    /// The command that a person may type next.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub next: String,
    /// The trouble that it begins, changes or ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
    /// Since when that trouble is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Receivers that have not got it yet.
    pub to: Vec<String>,
}

/// A trouble of a stage that people were told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Incident {
    /// The stage.
    pub stage: String,
    /// What pagers know it by.
    pub key: String,
    /// Since when.
    pub since: Timestamp,
    /// What was told last: only a change of it is told again.
    pub state: String,
    /// Receivers that know of it: they are told its end.
    #[serde(default)]
    pub told: Vec<String>,
}
