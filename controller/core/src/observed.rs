//! Everything the core may look at, gathered once per pass.
//!
//! A failed read is a value here (`Answer::Failed`, `StageSeen::stale_since`), never an error: failing or missing
//! data promotes, verifies, rolls back and deletes nothing.

use crate::{
    image::{Digest, Platform, Release, Repository, Tag},
    pin::PinSpec,
    select::Ranking,
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
}

/// The registry's listing as selection sees it.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// The tags in the policy's order; `None` until the first complete listing. Kept when a later listing fails.
    pub ranking: Option<Arc<Ranking>>,
    /// Why the newest listing failed, and since when.
    pub failing: Option<Failure>,
}

/// Why something could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The first failure in a row.
    pub since: Timestamp,
    /// A bounded category, such as `AuthFailed`, `HostDenied`, `TLSUntrusted`, `Unreachable`.
    pub reason: String,
    /// What happened, redacted.
    pub message: String,
}

/// One answer to a [`Question`](crate::decision::Question).
#[derive(Clone, Debug, PartialEq)]
pub enum Answer<T> {
    /// This is it.
    Known(T),
    /// The registry answered that there is none.
    Absent,
    /// It could not be looked up.
    Failed(Failure),
}

/// Answers to the questions of earlier passes. A missing key has not been asked yet.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// What a tag names now.
    pub tags: BTreeMap<Tag, Answer<Release>>,
    /// What a digest is.
    pub digests: BTreeMap<Digest, Answer<Release>>,
    /// Whether a digest can be fetched through a repository.
    pub pullable: BTreeMap<(Repository, Digest), Answer<()>>,
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
    /// The admission policy is installed and bound.
    Installed,
    /// It, its binding or its parameter kind is missing.
    Missing,
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

/// The top owner of a pod: the Deployment behind its ReplicaSet, a `StatefulSet`, a Job, or the pod itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// Kind, `Pod` for a pod of its own.
    pub kind: String,
    /// Name.
    pub name: String,
    /// The pod template's hash: arms are compared within one template.
    pub template: String,
}

/// A pod as far as promotion and health need it.
#[allow(
    clippy::struct_excessive_bools,
    reason = "independent facts about one object, not a hidden state machine"
)]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodSeen {
    /// Identity.
    pub key: ObjectKey,
    /// Index into the stage's targets of the first that matches it.
    pub target: usize,
    /// `metadata.generation`, which moves with the spec only; old servers have none.
    pub generation: Option<i64>,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// Top owner.
    pub owner: Owner,
    /// Node, empty until scheduled.
    pub node: String,
    /// Creation.
    pub created: Option<Timestamp>,
    /// A deletion is under way.
    pub deleting: bool,
    /// `status.phase`.
    pub phase: PodPhase,
    /// The Ready condition.
    pub ready: bool,
    /// A mirror pod of a static pod: never touched.
    pub mirror: bool,
    /// Owned by a Job: pinned at birth only.
    pub of_job: bool,
    /// Carries the ignore label, or its namespace does.
    pub ignored: bool,
    /// The annotation `lockkeeper.dev/moved`.
    pub moved: Option<Moved>,
    /// What is wrong with an annotation of ours that cannot be read, and so counts as none: field, value, reason, fix.
    pub malformed: Option<String>,
    /// The annotation `lockkeeper.dev/pinned-by`.
    pub pinned_by: Option<String>,
    /// Its owner is in a rollout of its own.
    pub owner_rolling: bool,
    /// A disruption budget over it allows no disruption now.
    pub budget_blocked: bool,
    /// All containers, init containers that are sidecars included.
    pub containers: Vec<ContainerSeen>,
}

/// A pod's phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PodPhase {
    /// Not all containers have started.
    #[default]
    Pending,
    /// At least one runs.
    Running,
    /// All ended well.
    Succeeded,
    /// All ended, one badly.
    Failed,
    /// The node does not answer.
    Unknown,
}

/// Where in the pod a container stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ContainerKind {
    /// `spec.containers`.
    #[default]
    Main,
    /// `spec.initContainers` with `restartPolicy: Always`: a native sidecar.
    Sidecar,
    /// `spec.initContainers`: pinned at birth only.
    Init,
}

/// One container of a pod: what it should run, and what it does run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerSeen {
    /// Name.
    pub name: String,
    /// Main, sidecar or init.
    pub kind: ContainerKind,
    /// Index in its list, for the patch's path.
    pub index: usize,
    /// `image` of the spec, as written.
    pub image: String,
    /// Digest of `imageID`, if the status names one.
    pub running: Option<Digest>,
    /// It is running.
    pub up: bool,
    /// Its ready flag.
    pub ready: bool,
    /// `restartCount`.
    pub restarts: u32,
    /// Why it waits, such as `CrashLoopBackOff` or `ErrImagePull`.
    pub waiting: Option<String>,
    /// The current state is terminated, or waiting in a crash loop: a death that `restartCount` has not counted yet.
    pub down_after_death: bool,
    /// When it died last.
    pub died: Option<Timestamp>,
    /// Exit code and reason of the last death, such as `exit 2 (Error)`.
    pub death: Option<String>,
}

impl ContainerSeen {
    /// Deaths so far, the one that `restartCount` does not show yet included.
    #[must_use]
    pub fn deaths(&self) -> u32 {
        self.restarts + u32::from(self.down_after_death)
    }
}

/// The mark that a move leaves on its pod: `<attempt>/<from>/<deaths before>/<unix seconds>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The attempt that moved it last.
    pub attempt: String,
    /// The image text before.
    pub from: String,
    /// Deaths of the moved container before the move; the next one is ours.
    pub deaths_before: u32,
    /// When.
    pub at: Timestamp,
}

impl std::fmt::Display for Moved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}/{}", self.attempt, self.from, self.deaths_before, self.at.as_second())
    }
}

/// The annotation is not a mark of ours: somebody else wrote it, and the pod counts as not moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not of the form <attempt>/<image before>/<deaths before>/<unix seconds>")]
pub struct NotAMark;

impl std::str::FromStr for Moved {
    type Err = NotAMark;

    /// The image holds slashes: the attempt is read from the front, the two numbers from the end.
    fn from_str(text: &str) -> Result<Self, NotAMark> {
        let (attempt, rest) = text.split_once('/').ok_or(NotAMark)?;
        let (rest, at) = rest.rsplit_once('/').ok_or(NotAMark)?;
        let (from, deaths) = rest.rsplit_once('/').ok_or(NotAMark)?;
        let at = at.parse().ok().and_then(|s| Timestamp::from_second(s).ok()).ok_or(NotAMark)?;
        let deaths_before = deaths.parse().map_err(|_| NotAMark)?;
        if attempt.is_empty() || from.is_empty() {
            return Err(NotAMark);
        }
        Ok(Self { attempt: attempt.to_owned(), from: from.to_owned(), deaths_before, at })
    }
}

/// A workload with a pod template.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkloadSeen {
    /// Identity.
    pub key: ObjectKey,
    /// Index into the stage's targets.
    pub target: usize,
    /// Kind.
    pub kind: String,
    /// Group and version, such as `apps/v1`.
    pub api_version: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// The controller has rolled the current template out to all pods.
    pub rolled_out: bool,
    /// Paused, or an `OnDelete` strategy: its template changes reach no pod by themselves.
    pub manual_rollout: bool,
    /// JSON pointer of the pod spec, such as `/spec/template/spec`.
    pub pod_spec: String,
    /// Containers of the template (running and health fields are empty).
    pub containers: Vec<ContainerSeen>,
    /// The field manager that last set each governed container's image, if it is another one.
    pub image_managers: BTreeMap<String, String>,
    /// The tool that applies this object all the time, if its marks are found (`Argo CD`, `Flux`).
    pub applied_by: Option<String>,
    /// A shape that is refused, and why (`workloadRef`).
    pub refused: Option<String>,
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
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_of_a_move_survives_slashes_in_the_image() {
        for from in ["nginx", "ghcr.io/a/b:1.2", "localhost:5000/a/b/c@sha256:00", "a/1/2"] {
            let moved = Moved {
                attempt: "a1b2-7".into(),
                from: from.into(),
                deaths_before: 3,
                at: Timestamp::from_second(1_795_000_000).unwrap(),
            };
            assert_eq!(moved.to_string().parse::<Moved>().unwrap(), moved);
        }
    }

    #[test]
    fn row_44_a_malformed_mark_is_no_mark() {
        for text in ["", "/", "a/b/c", "a/b/c/d", "a/b/-1/0", "a//0/0", "/b/0/0", "a/b/0/99999999999999"] {
            assert_eq!(text.parse::<Moved>(), Err(NotAMark), "{text}");
        }
    }
}
