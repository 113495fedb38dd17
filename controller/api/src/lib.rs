//! The kinds of Lockkeeper as they are on the wire, and their conversion to and from the core's types.
//!
//! Guarantees: whatever a conversion lets through keeps the promises of the core's types; what it refuses, it refuses
//! with field, value, reason and fix, all of it at once. Pure but for reading nothing.

#![allow(clippy::duplicated_attributes, reason = "every printcolumn of kube has the same keys")]

pub mod bounds;
mod crds;
pub mod defaults;
mod effective;
mod file;
pub mod imagepin;
pub mod intervention;
pub mod names;
mod parse;
pub mod quarantine;
mod schema;
pub mod spec;
mod status;

pub use crds::{crds, definitions};
pub use effective::effective;
pub use file::{policy_and_quarantines_from_yaml, policy_from_yaml};
pub use imagepin::{ImagePin, ImagePinSpec};
pub use intervention::{Intervention, InterventionSpec};
pub use parse::{FieldError, parse, suggestion};
pub use quarantine::{Quarantine, QuarantineSpec};
pub use spec::{ImagePolicy, ImagePolicySpec};
pub use status::PolicyStatus;
