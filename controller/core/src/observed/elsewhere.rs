//! What other policies see go wrong that no release of theirs that is being tried can be blamed for.
//!
//! Guarantees: facts only; what follows from them is decided by whose candidate is judged (`stage/common_cause.rs`).

use crate::image::Repository;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// What another policy shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Elsewhere {
    /// `namespace/name` of the policy.
    pub policy: String,
    /// What it governs: policies of one image are one voice, since a bad release of it would speak in all of them.
    pub images: BTreeSet<Repository>,
    /// The newest crashes of pods that run what they ran before.
    pub crashes: Vec<CrashElsewhere>,
    /// Servers of signals by which its candidates look worse, and when they last said so.
    pub worse: BTreeMap<String, Timestamp>,
}

/// The newest crash of a pod of another policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrashElsewhere {
    /// Where.
    pub node: String,
    /// uid of the pod: two policies may govern containers of one.
    pub pod: String,
    /// When.
    pub at: Timestamp,
}

impl Elsewhere {
    /// Nothing is wrong there.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        self.crashes.is_empty() && self.worse.is_empty()
    }
}
