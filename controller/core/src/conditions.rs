//! The standard conditions and every reason they, the stages and the events may carry.
//!
//! The reference in `docs/` is checked against this file: a reason that is not in a table here does not exist.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A condition as Kubernetes has them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// `Ready`, `Reconciling`, `Stalled` or `BirthPinning`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// A documented reason.
    pub reason: String,
    /// A sentence.
    #[serde(default)]
    pub message: String,
    /// When `status` last changed.
    pub last_transition_time: Timestamp,
    /// The generation it speaks of.
    #[serde(default)]
    pub observed_generation: i64,
}
