//! The traits behind which every adapter stands. `reconcile` knows these and the core, and no adapter.
//!
//! Contracts: a snapshot never blocks and does no I/O; an effect is idempotent, runs as the policy's ServiceAccount
//! and needs a [`Fence`]; a refusal names verb, resource and namespace.

use futures::future::BoxFuture;
use lockkeeper_core::{
    decision::{Action, Event},
    image::{Digest, Release, Repository, Tag},
    observed::{BirthPinning, Claim, InterventionSeen, MissingRight, PinSeen, QuarantineSeen, StageSeen},
    policy::Policy,
    status::Status,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

pub mod birth;
pub mod cloud;
pub mod forges;
pub mod git;
pub mod hints;
pub mod lease;
mod listing;
mod logs;
pub mod notify;
mod reach;
pub mod signals;
mod signatures;

pub use listing::Listing;
pub use logs::DeadContainer;
pub use reach::{Certificates, Credential, Proxy, RegistryAccess, RegistrySettings};
pub use signatures::{Signature, Simple, Trust, TrustedRoot, Verifier};

/// Proof of being the one process that may write. Only the composition root makes one.
#[derive(Clone, Debug)]
pub struct Fence(Arc<dyn FenceCheck>);

/// Whether this process may still write.
pub trait FenceCheck: Send + Sync + std::fmt::Debug {
    /// Asked before every effect.
    fn holds(&self) -> bool;

    /// For how long it holds, if it does: a write that is not answered by then is given up.
    fn left(&self) -> Option<Duration> {
        self.holds().then_some(Duration::MAX)
    }
}

impl Fence {
    /// A fence over some check.
    pub fn new(check: Arc<dyn FenceCheck>) -> Self {
        Self(check)
    }

    /// Whether this process may still write.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.0.holds()
    }

    /// For how long this process may still write; none: it may not.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        self.0.left()
    }
}

/// Who writes: the ServiceAccount a policy acts as.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// The policy's namespace; the ServiceAccount's, too.
    pub namespace: String,
    /// The ServiceAccount.
    pub service_account: String,
}

/// Which policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyKey {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// What the watches show of one policy's world.
#[derive(Clone, Debug, Default)]
pub struct ClusterView {
    /// One per stage.
    pub stages: Vec<StageSeen>,
    /// Pins that carry the policy's name.
    pub pins: Vec<PinSeen>,
    /// Quarantines of its namespace.
    pub quarantines: Vec<QuarantineSeen>,
    /// Interventions that concern it.
    pub interventions: Vec<InterventionSeen>,
    /// What others claim.
    pub claims: Vec<Claim>,
}

/// A policy as it is stored: parsed, or why it cannot be.
#[derive(Clone, Debug)]
pub struct StoredPolicy {
    /// Which.
    pub key: PolicyKey,
    /// uid.
    pub uid: String,
    /// Generation.
    pub generation: i64,
    /// resourceVersion of the stored object; status is replaced against it.
    pub resource_version: String,
    /// Who it acts as.
    pub identity: Identity,
    /// Where its registry credential is, and how it is reached.
    pub registry: RegistrySettings,
    /// The annotation by which a person asks for a look at the registry now.
    pub requested_at: Option<String>,
    /// The validated policy, or the messages of what is wrong with it (field, value, reason, fix).
    pub policy: Result<Arc<Policy>, Vec<String>>,
    /// Its stored status: one copy of it in this process, whoever looks at it.
    pub status: Arc<Status>,
}

/// Why an effect did not happen.
#[derive(Debug, thiserror::Error)]
pub enum EffectError {
    /// The ServiceAccount may not.
    #[error("{} may not {} {} in namespace {}; grant it by a Role and RoleBinding there", .0.user, .0.verb, .0.resource, .0.namespace)]
    Forbidden(MissingRight),
    /// What the effect expected is not there any more; the next pass sees what is.
    #[error("{0} has changed meanwhile")]
    Outdated(String),
    /// The API server, or a webhook in it, refused.
    #[error("{object} was refused: {message}")]
    Refused {
        /// Which object.
        object: String,
        /// The server's words, bounded.
        message: String,
    },
    /// This process is no longer the one that writes.
    #[error("another replica leads; nothing was written")]
    Fenced,
    /// The API server did not answer.
    #[error("the API server did not answer for {object}: {message}")]
    Unavailable {
        /// Which object.
        object: String,
        /// What happened.
        message: String,
    },
}

/// The cluster the policies live in.
pub trait Cluster: Send + Sync + 'static {
    /// What the watches show now. No I/O.
    fn see(&self, policy: &Policy, identity: &Identity) -> ClusterView;
    /// Carry out one effect as `identity`.
    fn apply<'a>(
        &'a self,
        identity: &'a Identity,
        fence: &'a Fence,
        policy: &'a Policy,
        action: &'a Action,
    ) -> BoxFuture<'a, Result<(), EffectError>>;
    /// Read a Secret of the policy's namespace as `identity`: its decoded values by key.
    fn secret<'a>(
        &'a self,
        identity: &'a Identity,
        name: &'a str,
    ) -> BoxFuture<'a, Result<BTreeMap<String, Vec<u8>>, EffectError>>;
    /// The names of the imagePullSecrets of a ServiceAccount of the policy's namespace, read as `identity`.
    fn pull_secrets<'a>(
        &'a self,
        identity: &'a Identity,
        service_account: &'a str,
    ) -> BoxFuture<'a, Result<Vec<String>, EffectError>>;
    /// The end of the log of a container that died, read as `identity`: bounded, and text.
    fn last_log<'a>(
        &'a self,
        identity: &'a Identity,
        dead: &'a DeadContainer,
    ) -> BoxFuture<'a, Result<String, EffectError>>;
    /// Read the policy's ServiceAccount, as itself.
    fn account<'a>(&'a self, identity: &'a Identity) -> BoxFuture<'a, Result<cloud::Account, EffectError>>;
    /// A token of the policy's ServiceAccount for an audience outside of the cluster, asked for as itself; it lives ten minutes.
    fn account_token<'a>(
        &'a self,
        identity: &'a Identity,
        audience: &'a str,
    ) -> BoxFuture<'a, Result<String, EffectError>>;
}

/// An object that owns pods; a pod that nobody owns stands for itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Workload {
    /// Namespace.
    pub namespace: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
}

/// What people are told on a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Where.
    pub workload: Workload,
    /// What it is part of: one Event per workload and transition, whoever tells it, and however often.
    pub transition: String,
    /// What.
    pub event: Event,
}

/// Where policies are stored.
pub trait Policies: Send + Sync + 'static {
    /// The policy as the watch last showed it.
    fn get(&self, key: &PolicyKey) -> Option<Arc<StoredPolicy>>;
    /// Replace its status if it is still at `resource_version`; returns the new one.
    fn write_status<'a>(
        &'a self,
        fence: &'a Fence,
        stored: &'a StoredPolicy,
        resource_version: &'a str,
        status: &'a Arc<Status>,
    ) -> BoxFuture<'a, Result<String, EffectError>>;
    /// Tell people (a Kubernetes Event).
    fn publish<'a>(
        &'a self,
        fence: &'a Fence,
        stored: &'a StoredPolicy,
        event: &'a Event,
    ) -> BoxFuture<'a, Result<(), EffectError>>;
    /// Tell people on a workload. Told already is done, and so is one that is not known.
    fn tell<'a>(
        &'a self,
        fence: &'a Fence,
        stored: &'a StoredPolicy,
        told: &'a Told,
    ) -> BoxFuture<'a, Result<(), EffectError>>;
}

/// Why a registry's answer cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct RegistryError {
    /// A bounded category: `AuthFailed`, `HostDenied`, `TLSUntrusted`, `Throttled`, `Unreachable`, `BadAnswer`, `NotFound`.
    pub reason: &'static str,
    /// Host, path, status and what to do; never a credential.
    pub message: String,
    /// The registry asked to be left alone for this long.
    pub retry_after: Option<jiff::SignedDuration>,
}

/// What is looked up in a repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reference {
    /// By tag.
    Tag(Tag),
    /// By digest.
    Digest(Digest),
}

/// How much of a release is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Depth {
    /// One manifest: what identifies it. Platforms stand there as far as that manifest names them.
    Identity,
    /// Every platform with its config, and the date of the build: what a running container is recognised by.
    Whole,
}

/// What of a registry one limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Counted {
    /// Listings of tags.
    Listings,
    /// Manifests and configs.
    Manifests,
}

/// A registry, read only.
pub trait Registry: Send + Sync + 'static {
    /// All tags of a repository: complete, or an error. The same piece of memory as before where nothing changed.
    fn tags<'a>(
        &'a self,
        access: &'a RegistryAccess,
        repository: &'a Repository,
    ) -> BoxFuture<'a, Result<Listing, RegistryError>>;
    /// What a reference is: bytes fetched and hashed by ourselves. `None`: the registry says there is none.
    fn resolve<'a>(
        &'a self,
        access: &'a RegistryAccess,
        repository: &'a Repository,
        reference: &'a Reference,
        depth: Depth,
    ) -> BoxFuture<'a, Result<Option<Release>, RegistryError>>;
    /// Whether a digest can be pulled from here (its manifest, by HEAD).
    fn exists<'a>(
        &'a self,
        access: &'a RegistryAccess,
        repository: &'a Repository,
        digest: &'a Digest,
    ) -> BoxFuture<'a, Result<bool, RegistryError>>;
    /// What the registry holds as signatures of a digest: bundles that refer to it, and those of the older form. None
    /// of them is believed; that there are none is an answer, too.
    fn signatures<'a>(
        &'a self,
        access: &'a RegistryAccess,
        repository: &'a Repository,
        digest: &'a Digest,
    ) -> BoxFuture<'a, Result<Vec<Signature>, RegistryError>>;
    /// How long to wait before the next request of this kind, because the registry says that few are left; none:
    /// as many as one likes.
    fn ease(&self, access: &RegistryAccess, repository: &Repository, counted: Counted) -> Option<Duration>;
}

/// Finds a registry's credential in a Secret.
pub trait Credentials: Send + Sync + 'static {
    /// The credential for the registry of `repository` in the value of `.dockerconfigjson`; `None`: the Secret has none
    /// for that registry. The error says what is wrong with the value and never shows it.
    fn find(&self, dockerconfigjson: &[u8], repository: &Repository) -> Result<Option<Credential>, String>;
}

/// Wakes policies. The scheduler is one; adapters call it when something that concerns a policy changed.
/// Cheap, never blocks; many wakes in a row are one.
pub trait Wakes: Send + Sync + 'static {
    /// Look at this policy again soon.
    fn wake(&self, key: &PolicyKey);
}

/// How fresh the watches are.
pub trait Watches: Send + Sync + 'static {
    /// One per watch, sorted by kind.
    fn watches(&self) -> Vec<WatchState>;
    /// Pins that are marked Orphaned.
    fn orphaned_pins(&self) -> usize;
    /// By what new pods are pinned; none: not known yet.
    fn birth_pinning(&self) -> Option<BirthPinning>;
}

/// One watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchState {
    /// Of what, such as `Pod`.
    pub kind: String,
    /// Its first list is complete.
    pub synced: bool,
    /// Since when it has been failing, or silent for longer than a live watch is.
    pub stale_since: Option<jiff::Timestamp>,
}

/// Which time it is.
pub trait Clock: Send + Sync + 'static {
    /// Wall time.
    fn now(&self) -> jiff::Timestamp;
}

/// Whether a policy's ServiceAccount may do something: asked by `plan`, and by the controller once it was refused.
pub trait Rights: Send + Sync + 'static {
    /// By a `SubjectAccessReview`. `resource` may name a subresource, as `imagepolicies/status`; without a `name` it is
    /// about all objects of the namespace.
    fn may<'a>(
        &'a self,
        identity: &'a Identity,
        verb: &'a str,
        group: &'a str,
        resource: &'a str,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<bool, EffectError>>;
}

/// What waits for a pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Policies whose pass is due and has not begun.
    pub due: usize,
    /// Passes under way.
    pub running: usize,
    /// How long the one that waits longest has been due.
    pub longest: Duration,
}

/// Who knows what waits for a pass.
pub trait Waiting: Send + Sync + 'static {
    /// Now.
    fn backlog(&self) -> Backlog;
}

/// What the outside asks of this process.
pub trait Vital: Send + Sync + 'static {
    /// It makes progress; else why not.
    fn alive(&self) -> Result<(), String>;
    /// It can serve; else what it still waits for.
    fn ready(&self) -> Result<(), String>;
}
