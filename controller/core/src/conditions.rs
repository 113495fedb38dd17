//! The standard conditions, and every word that they, the stages and the events may carry.
//!
//! Guarantees: a reason that is not in a table here does not exist. Tests compare the tables with the words in the
//! sources of the core and the controller, both ways, and write `docs/reference/conditions.md` and `events.md`.

mod words;

pub use words::*;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A condition as Kubernetes has them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// `Ready`, `Reconciling`, `Stalled`, `BirthPinning` or `Malformed`.
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
