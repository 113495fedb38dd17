//! Everything the core may look at, gathered once per pass.
//!
//! A failed read is a value here (`Answer::Failed`, `StageSeen::stale_since`), never an error: failing or missing
//! data promotes, verifies, rolls back and deletes nothing.

mod answers;
mod elsewhere;
mod people;
mod pods;
mod workloads;

pub use answers::{Answer, Answers, Catalogue, Failure};
pub use elsewhere::{CrashElsewhere, Elsewhere};
pub use people::{Claim, Claimed, InterventionKind, InterventionSeen, QuarantineSeen, Skip};
pub use pods::{ContainerKind, ContainerSeen, Moved, NotAMark, Owner, PodPhase, PodSeen};
pub use workloads::WorkloadSeen;

use crate::{
    git::{Delivery, FilesSeen},
    image::Platform,
    notices::NoticesSeen,
    pin::PinSpec,
    signals::{SignalAnswer, SignalKey},
    status::Status,
};
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

/// Which cluster an object lives in; the empty id is the one the policy lives in.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClusterId(pub String);

/// What the world looks like to one policy.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The last status decided (in memory it may be newer than the stored one, never older).
    pub status: Status,
    /// What the registry lists.
    pub catalogue: Catalogue,
    /// What earlier passes asked for.
    pub answers: Answers,
    /// What was measured of what earlier passes asked. A missing key is not answered yet.
    pub signals: BTreeMap<SignalKey, SignalAnswer>,
    /// What became of messages to people outside, and whom the installation names.
    pub notices: NoticesSeen,
    /// What the files of repositories were found to say, of what earlier passes asked. A missing key is not answered yet.
    pub deliveries: BTreeMap<Delivery, Answer<FilesSeen>>,
    /// One per stage of the policy, in its order.
    pub stages: Vec<StageSeen>,
    /// The pins that carry this policy's uid or name, in all namespaces.
    pub pins: Vec<PinSeen>,
    /// The Quarantines of the policy's namespace.
    pub quarantines: Vec<QuarantineSeen>,
    /// The Interventions that concern this policy: its own, its namespace's and the cluster's.
    pub interventions: Vec<InterventionSeen>,
    /// What other policies claim in the namespaces of this one.
    pub claims: Vec<Claim>,
    /// What goes wrong elsewhere that no release being tried there can be blamed for; policies without trouble are not in it.
    pub elsewhere: Vec<Arc<Elsewhere>>,
}

/// One stage's part of the world.
#[derive(Clone, Debug, Default)]
pub struct StageSeen {
    /// Set while the watches behind this stage are not fresh.
    pub stale_since: Option<Timestamp>,
    /// The namespaces of each target that exist and are not terminating, as (index of the target, name), sorted.
    pub namespaces: Vec<(usize, String)>,
    /// Namespaces of the targets that are terminating.
    pub terminating: BTreeSet<String>,
    /// The pods of all targets, sorted by key, each once.
    pub pods: Vec<PodSeen>,
    /// The workloads of `workloads` targets, sorted by key.
    pub workloads: Vec<WorkloadSeen>,
    /// Rights that the policy's ServiceAccount was found to lack.
    pub missing_rights: Vec<MissingRight>,
    /// Platforms of the nodes that the stage's pods run on.
    pub platforms: Vec<Platform>,
    /// What the API server or an admission policy answered to refused writes, newest last; a few.
    pub refusals: Vec<String>,
    /// What newborn pods really carried, for `BirthPinning`: pods seen that were created after the pin.
    pub birth_pinning: Option<BirthPinning>,
}

/// Which mechanism pins pods at birth here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BirthPinning {
    /// New pods get their digest by this form.
    By(BirthForm),
    /// Neither the admission policy with its binding nor the webhook is there.
    Missing,
}

/// By what new pods get their digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BirthForm {
    /// The API server itself, by `MutatingAdmissionPolicy` v1.
    V1,
    /// The same of version v1beta1.
    V1beta1,
    /// The controller's webhook.
    Webhook,
}

impl BirthForm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::V1, Self::V1beta1, Self::Webhook];

    /// As metrics name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V1beta1 => "v1beta1",
            Self::Webhook => "webhook",
        }
    }

    /// Who pins new pods, in a sentence.
    #[must_use]
    pub fn who(self) -> &'static str {
        match self {
            Self::V1 => "the API server",
            Self::V1beta1 => "the API server (MutatingAdmissionPolicy v1beta1)",
            Self::Webhook => "the controller's webhook, as this API server serves no MutatingAdmissionPolicy",
        }
    }
}

/// A right that a write was refused for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MissingRight {
    /// Such as `patch`.
    pub verb: String,
    /// Such as `pods`.
    pub resource: String,
    /// Where.
    pub namespace: String,
    /// The identity that lacks it.
    pub user: String,
}

impl MissingRight {
    /// It is one that moves of pods in this namespace need.
    #[must_use]
    pub fn keeps_pods(&self, namespace: &str) -> bool {
        let patch = self.verb == "patch" && self.resource == "pods" && self.namespace == namespace;
        patch || self.verb == "impersonate"
    }
}

impl fmt::Display for MissingRight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, resource, namespace, user } = self;
        write!(
            f,
            "{user} may not {verb} {resource} in namespace {namespace}; a Role and a RoleBinding there would allow it"
        )
    }
}

/// Identity of a namespaced object.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectKey {
    /// Which cluster.
    pub cluster: ClusterId,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// uid: an object that was deleted and made again is another one.
    pub uid: String,
}

/// An `ImagePin` that carries this policy's name.
#[derive(Clone, Debug, PartialEq)]
pub struct PinSeen {
    /// Identity.
    pub key: ObjectKey,
    /// `metadata.resourceVersion`: pins are replaced, never patched.
    pub resource_version: String,
    /// What it says.
    pub spec: PinSpec,
    /// The spec is as the controller wrote it (its annotation agrees).
    pub as_written: bool,
    /// Who wrote the spec last, by field manager.
    pub manager: Option<String>,
    /// `lockkeeper.dev/manual-until`: a person's edit is obeyed until then.
    pub manual_until: Option<Timestamp>,
    /// What is wrong with that annotation, if it cannot be read: field, value, reason, fix.
    pub malformed: Option<String>,
    /// It is marked as one that nothing stands behind.
    pub orphaned: bool,
}
