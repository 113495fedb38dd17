//! What one pass decided: effects, questions, events, the new status and when to look again.
//!
//! Effects are idempotent, each carries what it expects to find, and each follows from a status that holds its
//! attempt: the status is written first.

use crate::{
    git::{Commit, Delivery},
    image::{Digest, Repository, Tag},
    observed::{ContainerKind, ObjectKey},
    pin::PinSpec,
    signals::SignalQuestion,
    status::Status,
};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// The outcome of one pass.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// The status to keep; written before the effects if it differs.
    pub status: Status,
    /// Effects, in order. One that fails does not stop those after it.
    pub actions: Vec<Action>,
    /// What the next pass would like to know.
    pub questions: BTreeSet<Question>,
    /// What the next pass would like to have measured.
    pub asked: BTreeSet<SignalQuestion>,
    /// What the next pass would like to know of the files of repositories.
    pub deliveries: BTreeSet<Delivery>,
    /// All commits that are due now: one that was due before and is not here any more is not made. They follow from the
    /// status, as the actions do; one attempt makes one commit, however often it is due.
    pub commits: Vec<Commit>,
    /// What people are told.
    pub events: Vec<Event>,
    /// When to look again even if nothing changes.
    pub next_deadline: Option<Timestamp>,
}

/// An idempotent effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make a Quarantine in the policy's namespace. Already there: done.
    WriteQuarantine(QuarantineDraft),
    /// Make or replace a pin.
    WritePin {
        /// Where.
        namespace: String,
        /// Its name.
        name: String,
        /// What it shall say.
        spec: PinSpec,
        /// The resourceVersion to replace; none to create.
        replaces: Option<String>,
        /// The stage.
        stage: String,
    },
    /// Remove a pin that the stage no longer needs.
    DeletePin {
        /// Which, by uid.
        key: ObjectKey,
        /// Its resourceVersion.
        resource_version: String,
        /// The stage.
        stage: String,
    },
    /// Mark a pin that stays though no stage stands behind it: `Orphaned`, in an annotation and a condition.
    MarkOrphan {
        /// Which, by uid.
        key: ObjectKey,
        /// Its resourceVersion.
        resource_version: String,
        /// The stage that it names.
        stage: String,
        /// Since when.
        since: Timestamp,
    },
    /// Change the image of containers of a running pod.
    MovePod(PodMove),
    /// Change the images of a pod template.
    PatchTemplate(TemplatePatch),
}

impl Action {
    /// Quarantine, then pins, then templates, then running pods.
    #[must_use]
    pub fn order(&self) -> u8 {
        match self {
            Self::WriteQuarantine(_) => 0,
            Self::WritePin { .. } | Self::DeletePin { .. } | Self::MarkOrphan { .. } => 1,
            Self::PatchTemplate(_) => 2,
            Self::MovePod(_) => 3,
        }
    }
}

/// One pod's move in place: a JSON patch that tests uid, generation, names and old images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodMove {
    /// The pod.
    pub key: ObjectKey,
    /// `metadata.generation` to test; without one, `resource_version`.
    pub generation: Option<i64>,
    /// See `generation`.
    pub resource_version: String,
    /// Images to replace.
    pub containers: Vec<ImageChange>,
    /// Value of the annotation `lockkeeper.dev/moved`.
    pub mark: String,
    /// Whether the pod has annotations already is unknown to the core; the adapter adds the map if missing.
    pub stage: String,
    /// Whether it gives the candidate (needs an open gate) or takes it back.
    pub purpose: Purpose,
}

/// Why something is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It gives something the candidate.
    Promote,
    /// It takes it back.
    TakeBack,
    /// It puts drift or an unpinned birth right.
    Repair,
}

/// One image of one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageChange {
    /// Main or sidecar: which list.
    pub kind: ContainerKind,
    /// Index in that list.
    pub index: usize,
    /// Name, tested.
    pub name: String,
    /// Old image, tested.
    pub from: String,
    /// New image.
    pub to: String,
}

/// A template's change: a JSON patch that tests uid, generation, names and old images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplatePatch {
    /// The workload.
    pub key: ObjectKey,
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// `metadata.generation` to test.
    pub generation: i64,
    /// JSON pointer of the pod spec.
    pub pod_spec: String,
    /// Images to replace.
    pub containers: Vec<ImageChange>,
    /// The stage.
    pub stage: String,
    /// Why.
    pub purpose: Purpose,
}

/// A Quarantine to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantineDraft {
    /// Its name: follows from the contents, so that making it twice is making it once.
    pub name: String,
    /// The tag, for people.
    pub tag: Option<Tag>,
    /// Index digest.
    pub digest: Digest,
    /// Platform manifests and configs.
    pub contents: BTreeSet<Digest>,
    /// Why.
    pub reason: String,
    /// Evidence, as a sentence.
    pub evidence: String,
    /// The policy's name.
    pub policy: String,
    /// The stage that was degraded.
    pub stage: String,
}

/// A fact that the next pass would like to have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    /// What does this tag of the policy's image name now?
    Tag(Tag),
    /// What is this digest (index or manifest), fetched through this repository?
    Digest(Repository, Digest),
    /// Can this digest be fetched through this repository?
    Pullable(Repository, Digest),
    /// Who signed this digest of the policy's image? Asked where the policy wants a signature.
    Signed(Digest),
    /// What does this tag name at this moment? Asked last before an entry: an answer of long ago is none (decision 21).
    TagNow(Tag),
}

/// How loud an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// As expected.
    Normal,
    /// A person should look.
    Warning,
}

/// What people are told: a Kubernetes Event and a history entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Loudness.
    pub kind: EventType,
    /// A documented, stable reason.
    pub reason: &'static str,
    /// The stage, if it concerns one.
    pub stage: Option<String>,
    /// A sentence.
    pub message: String,
}
