//! What a person asked for, validated. Nothing later reads the raw spec.
//!
//! Guarantees: every stage's predecessors stand above it (no cycles by construction), every selector has a label,
//! every duration is positive and bounded. Made by `lockkeeper-api` from the wire types.

use crate::{
    git::GitTarget, image::Repository, notices::Receiver, select::Selection, signals::Signal,
    signature::Verify,
};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use std::collections::BTreeMap;

/// One validated `ImagePolicy`.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The policy's namespace.
    pub namespace: String,
    /// The policy's name.
    pub name: String,
    /// The object's uid; part of every attempt's id.
    pub uid: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// `metadata.creationTimestamp`: the older of two policies keeps a container both would own.
    pub created: Timestamp,
    /// Where tags are listed.
    pub image: Repository,
    /// Mirrors that pods may use; pins keep them.
    pub pull_from: Vec<Repository>,
    /// How often the registry is asked.
    pub interval: SignedDuration,
    /// `Observe` decides and reports; only `Enforce` writes to targets.
    pub mode: Mode,
    /// No writes at all while set.
    pub suspend: bool,
    /// What becomes of the pins when the policy is deleted.
    pub deletion_policy: DeletionPolicy,
    /// Which tag is the candidate.
    pub select: Selection,
    /// Whose signature a release must have; none: nobody's.
    pub verify: Option<Verify>,
    /// The stages, upstream first.
    pub stages: Vec<Stage>,
    /// How degradation is judged.
    pub health: HealthSettings,
    /// What is measured besides what the pods show.
    pub signals: Vec<Signal>,
    /// Who is told outside of the cluster; none: those whom the installation names.
    pub notify: Option<Vec<Receiver>>,
}

impl Policy {
    /// Whether targets may be written at all.
    #[must_use]
    pub fn may_write(&self) -> bool {
        self.mode == Mode::Enforce && !self.suspend
    }

    /// All repositories whose containers this policy governs: the image's own and its mirrors.
    pub fn repositories(&self) -> impl Iterator<Item = &Repository> {
        std::iter::once(&self.image).chain(&self.pull_from)
    }
}

/// Whether decisions become writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Decide and report everything, write nothing to targets.
    Observe,
    /// Decide, report and write.
    Enforce,
}

/// What becomes of pins whose policy is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeletionPolicy {
    /// Pins stay and are marked Orphaned.
    Retain,
    /// Pins go.
    Release,
}

/// An environment with targets, gates before it and health while it soaks.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Unique within the policy.
    pub name: String,
    /// Hash of the definition (targets, waves, soak, health) that a verification is bound to.
    pub hash: String,
    /// Indices into `Policy::stages` of the predecessors, all smaller than this stage's own.
    pub after: Vec<usize>,
    /// What is pinned.
    pub targets: Vec<Target>,
    /// Healthy time over the whole stage before a release is verified.
    pub soak: SignedDuration,
    /// The soak may take at most this long in wall time; then the stage is Blocked (Inconclusive).
    pub max_soak: SignedDuration,
    /// Distinct people who must approve a release before it enters; 0 for none.
    pub approvals: u32,
    /// When a release may be given to this stage; empty means always.
    pub windows: Vec<Window>,
    /// `None`: the default two waves when the stage has at least eight pods, else none.
    pub waves: Option<Vec<Wave>>,
    /// Who takes a release back.
    pub rollback: RollbackMode,
    /// What happens to pods that run other contents than the stage should.
    pub drift: DriftMode,
}

/// The first part of a stage that gets the candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wave {
    /// How many pods have the candidate when this wave is complete.
    pub pods: Amount,
    /// Healthy time before the next wave.
    pub soak: SignedDuration,
}

/// A number of pods, or a share of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// So many.
    Count(u32),
    /// So many per hundred.
    Percent(u32),
}

impl Amount {
    /// Of `total`, rounded up (waves).
    #[must_use]
    pub fn of_rounded_up(self, total: usize) -> usize {
        match self {
            Self::Count(n) => n as usize,
            Self::Percent(p) => (total * p as usize).div_ceil(100),
        }
    }

    /// Of `total`, rounded down but at least one (budgets).
    #[must_use]
    pub fn of_at_least_one(self, total: usize) -> usize {
        match self {
            Self::Count(n) => (n as usize).max(1),
            Self::Percent(p) => (total * p as usize / 100).max(1),
        }
    }
}

/// A recurring span of time.
#[derive(Clone, Debug)]
pub struct Window {
    /// When it begins, in `time_zone`.
    pub cron: croner::Cron,
    /// How long it lasts.
    pub duration: SignedDuration,
    /// Where the clock hangs.
    pub time_zone: TimeZone,
    /// Whether releases may, or may not, enter in it.
    pub kind: WindowKind,
}

/// What a window says of the time within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowKind {
    /// Releases enter only within (one of) these.
    Allow,
    /// Nothing enters within these; they win over `Allow`.
    Deny,
}

/// Who takes a release back when a stage is degraded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RollbackMode {
    /// The controller, by itself.
    Automatic,
    /// A person; the controller says so with evidence and the command.
    Recommend,
    /// A person.
    Manual,
}

/// What happens to drift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriftMode {
    /// It is reported.
    Report,
    /// It is put right within the budgets.
    Repair,
}

/// What a stage pins.
#[derive(Clone, Debug)]
pub enum Target {
    /// Pods wherever they came from, at birth and in place.
    Pods(PodsTarget),
    /// Pod templates.
    Workloads(WorkloadsTarget),
    /// Files of a repository; the pods that they lead to get the waves in place, where that is allowed.
    Git(GitTarget),
}

impl Target {
    /// The containers that are named, none for "all of the policy's repositories".
    #[must_use]
    pub fn containers(&self) -> &[String] {
        match self {
            Self::Pods(t) => &t.containers,
            Self::Workloads(t) => &t.containers,
            Self::Git(t) => &t.containers,
        }
    }

    /// The namespaces that its pods are in.
    #[must_use]
    pub fn namespaces(&self) -> &Namespaces {
        match self {
            Self::Pods(t) => &t.namespaces,
            Self::Workloads(t) => &t.namespaces,
            Self::Git(t) => &t.namespaces,
        }
    }

    /// Pods, as labels and names of containers describe them.
    #[must_use]
    pub fn of_pods(&self) -> Option<(&BTreeMap<String, String>, &[String])> {
        match self {
            Self::Pods(t) => Some((&t.match_labels, &t.containers)),
            Self::Git(t) => Some((&t.match_labels, &t.containers)),
            Self::Workloads(_) => None,
        }
    }

    /// The budget for pods of one owner that are made unready at once.
    #[must_use]
    pub fn max_unavailable(&self) -> Amount {
        match self {
            Self::Pods(t) => t.max_unavailable,
            Self::Workloads(t) => t.max_unavailable,
            Self::Git(_) => Amount::Percent(25),
        }
    }

    /// How many pods of the stage may be on the move at once.
    #[must_use]
    pub fn max_moving(&self) -> usize {
        match self {
            Self::Pods(t) => t.max_moving,
            Self::Workloads(t) => t.max_moving,
            Self::Git(_) => 50,
        }
    }
}

/// Which namespaces a target reaches into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Namespaces {
    /// The policy's own.
    Own,
    /// These.
    Named(Vec<String>),
    /// Those with these labels.
    Matching(BTreeMap<String, String>),
}

/// The pods that match, the containers that run one of the policy's repositories.
#[derive(Clone, Debug)]
pub struct PodsTarget {
    /// Where.
    pub namespaces: Namespaces,
    /// Labels of the pods, at least one.
    pub match_labels: BTreeMap<String, String>,
    /// Names of containers where the repository is not enough.
    pub containers: Vec<String>,
    /// Whether running pods are moved.
    pub movement: Movement,
    /// Of each owning workload.
    pub max_unavailable: Amount,
    /// In the whole stage.
    pub max_moving: usize,
}

/// Whether running pods are touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Movement {
    /// Running pods are moved in place.
    InPlace,
    /// Only new pods get the release.
    AtBirth,
}

/// Kinds with a pod template.
#[derive(Clone, Debug)]
pub struct WorkloadsTarget {
    /// Where.
    pub namespaces: Namespaces,
    /// Labels of the workloads, at least one.
    pub match_labels: BTreeMap<String, String>,
    /// Names of containers where the repository is not enough.
    pub containers: Vec<String>,
    /// Which kinds, as `Kind` or `Kind.group`.
    pub kinds: Vec<String>,
    /// Of each workload.
    pub max_unavailable: Amount,
    /// In the whole stage.
    pub max_moving: usize,
}

/// The engine's settings; the mathematics does not know the time scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HealthSettings {
    /// Length of one tick.
    pub tick: SignedDuration,
    /// A pod's first time on some contents, in which its crashes do not count.
    pub warm_up: SignedDuration,
    /// Alpha of the whole promotion, such as 0.02.
    pub false_rollback_budget: f64,
    /// A release is verified only once it has shown that it crashes less often than this, per pod-hour.
    pub require: Option<f64>,
    /// After this long without data the stage holds and says so.
    pub no_data_after: SignedDuration,
    /// After this long a no-data hold is Blocked (Inconclusive).
    pub no_data_max: SignedDuration,
    /// A pod that is not Ready this long after it got the candidate never will be.
    pub ready_deadline: SignedDuration,
    /// How long a verified release is watched on.
    pub guard: SignedDuration,
    /// After a rollback, no pod may have run the bad contents for this long.
    pub sweep: SignedDuration,
}
