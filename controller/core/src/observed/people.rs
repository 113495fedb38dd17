//! What people, and other policies, say: Interventions, Quarantines, claims.

use crate::image::{Digest, Release, Repository};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// A Quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantineSeen {
    /// Name.
    pub name: String,
    /// Index, manifest and config digests that are quarantined.
    pub digests: BTreeSet<Digest>,
    /// Why.
    pub reason: String,
    /// The policy whose evidence made it; none for a person's.
    pub policy: Option<String>,
    /// The stage that was degraded; none for a person's.
    pub stage: Option<String>,
}

impl QuarantineSeen {
    /// Decision 20: any shared manifest, config or index.
    #[must_use]
    pub fn covers(&self, release: &Release) -> bool {
        release.aliases().any(|d| self.digests.contains(d))
    }
}

/// One thing a person asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterventionSeen {
    /// Namespace/name.
    pub id: String,
    /// What.
    pub kind: InterventionKind,
    /// Bound to one stage; none for all.
    pub stages: Vec<String>,
    /// Bound to this release.
    pub digest: Option<Digest>,
    /// Who.
    pub requested_by: String,
    /// Why.
    pub reason: String,
    /// Gates that a Promote passes.
    pub skip: BTreeSet<Skip>,
    /// When it was made.
    pub created: Timestamp,
    /// When it stops to count.
    pub not_after: Option<Timestamp>,
}

/// What a person may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InterventionKind {
    /// Let this digest into this stage.
    Approve,
    /// This digest is what a Mixed stage should run.
    Adopt,
    /// No widening writes.
    Hold,
    /// End holds and refusals.
    Resume,
    /// An urgent fix.
    Promote,
    /// Take the stage back.
    RollBack,
}

/// A gate that a Promote may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Skip {
    /// `minimumReleaseAge`.
    Age,
    /// Windows.
    Window,
    /// Approvals.
    Approval,
    /// The predecessors' soak.
    Soak,
}

/// What another policy would pin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// `namespace/name` of the policy.
    pub policy: String,
    /// Creation and uid of it: the older keeps what both would own.
    pub age: (Timestamp, String),
    /// The stage.
    pub stage: String,
    /// What it would pin.
    pub what: Claimed,
}

/// The thing that is claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// Pods of a namespace, as a pin would match them.
    Pods {
        /// Where.
        namespace: String,
        /// Labels.
        match_labels: BTreeMap<String, String>,
        /// Repositories.
        repositories: BTreeSet<Repository>,
        /// Containers, none for all.
        containers: BTreeSet<String>,
    },
    /// Containers of one workload.
    Workload {
        /// Its uid.
        uid: String,
        /// Containers.
        containers: BTreeSet<String>,
    },
}
