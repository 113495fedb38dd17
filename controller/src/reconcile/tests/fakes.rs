//! A world in memory: everything that happens in it is noted in one list, in order.

use crate::{
    ports::{
        Clock, Cluster, ClusterView, Counted, Credential, Credentials, DeadContainer, Depth, EffectError,
        Fence, FenceCheck, Identity, Listing, Policies, PolicyKey, Reference, Registry, RegistryAccess,
        RegistryError, RegistrySettings, Rights, Signature, StoredPolicy, Told, Trust, TrustedRoot, Verifier,
        Wakes,
        cloud::Account,
        git::{Branches, Errand, GitAccess, GitError},
        notify::{Destination, Message, Notifier, NotifyError},
        signals::{Measure, Measured, SignalAccess, SignalError, SignalSource},
    },
    reconcile::{
        Reconciler, World,
        background::Background,
        deliveries::Deliveries,
        last_words::LastWords,
        lookups::{AccessCache, Lookups, Parts},
        measurements::Measurements,
        notices::{Notices, Parts as Telling},
        queue::Outcome,
    },
    telemetry::Metrics,
};
use futures::future::BoxFuture;
use jiff::Timestamp;
use lockkeeper_core::{
    decision::{Action, Decision, Event, ImageChange, PodMove, Purpose, QuarantineDraft},
    git::{Files, FilesSeen, Remote},
    image::{Digest, Release, Repository},
    notices::Receiver,
    observed::{ContainerKind, MissingRight, ObjectKey, Observed, StageSeen},
    policy::Policy,
    signals::Server,
    signature::Signed,
    status::{Flight, Status},
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

impl Notifier for Fake {
    fn receivers(&self) -> &[Receiver] {
        &[]
    }

    fn own(&self, receiver: &str) -> Result<BTreeMap<String, Vec<u8>>, String> {
        Err(format!("{receiver} is not of this installation"))
    }

    fn send<'a>(
        &'a self,
        to: &'a Destination,
        message: &'a Message,
    ) -> BoxFuture<'a, Result<(), NotifyError>> {
        self.note(format!("notice {} {} {to:?}", message.notice.id, message.notice.occasion.name()));
        let refused = self.refused.lock().unwrap().pop_front();
        Box::pin(async move { refused.map_or(Ok(()), |why| Err(NotifyError::from(why))) })
    }
}

impl SignalSource for Fake {
    fn measure<'a>(
        &'a self,
        access: &'a SignalAccess,
        measure: Measure<'a>,
    ) -> BoxFuture<'a, Result<Option<Measured>, SignalError>> {
        self.asked.lock().unwrap().push(format!("{} {} {access:?}", measure.server, measure.query));
        let answer = self.measured.lock().unwrap().get(measure.query).cloned();
        Box::pin(async move { answer.unwrap_or(Ok(None)).map(|value| value.map(Measured::Value)) })
    }

    fn audience(&self, server: &Server, account: &Account) -> Result<String, SignalError> {
        self.asked.lock().unwrap().push(format!("audience of {server} for {}", account.name));
        Ok("sts.example".to_owned())
    }
}

impl Branches for Fake {
    fn visit<'a>(
        &'a self,
        _: &'a GitAccess,
        remote: &'a Remote,
        errands: &'a [Errand],
        _: &'a Fence,
    ) -> BoxFuture<'a, Result<Vec<FilesSeen>, GitError>> {
        let mut due: Vec<&str> =
            errands.iter().filter(|e| e.due.is_some()).map(|e| e.delivery.id.as_str()).collect();
        due.sort_unstable();
        self.visits.lock().unwrap().push(format!("{} {} [{}]", remote.branch, errands.len(), due.join(" ")));
        let answers = self.branches.lock().unwrap().pop_front();
        Box::pin(async move {
            let files = answers.unwrap_or(Ok(Files::Differ(Vec::new())))?;
            let said = |errand: &Errand| match &errand.due {
                Some(_) => Files::Say(errand.delivery.id.clone()),
                None => files.clone(),
            };
            let seen = errands.iter().map(|errand| FilesSeen {
                own: None,
                files: said(errand),
                undone_by: None,
                rejected: None,
                proposal: None,
            });
            Ok(seen.collect())
        })
    }
}

/// What is scripted and what happened.
#[derive(Default)]
pub struct Fake {
    pub policies: Mutex<BTreeMap<PolicyKey, StoredPolicy>>,
    version: AtomicU64,
    /// In order: `status <policy>`, `event <reason>`, `<kind> <name>`.
    pub log: Mutex<Vec<String>>,
    /// What the next status writes answer; `Ok` when empty.
    pub status_failures: Mutex<VecDeque<EffectError>>,
    /// By the name of the object: what its effect answers.
    pub effect_failures: Mutex<BTreeMap<String, &'static str>>,
    pub pods: Mutex<usize>,
    pub granted: AtomicBool,
    pub reviews: AtomicUsize,
    pub fenced: AtomicBool,
    /// `tags <repository> as <scope>` and the like.
    pub asked: Mutex<Vec<String>>,
    pub tags: Mutex<Option<Vec<String>>>,
    listing: Mutex<Listing>,
    /// The only password that may list.
    pub accepted: Mutex<Option<String>>,
    /// Listings are answered with 429 and this `Retry-After`.
    pub throttled: Mutex<Option<Duration>>,
    /// What the registry says of how many listings are left.
    pub eased: Mutex<Option<Duration>>,
    /// What every reference is.
    pub release: Mutex<Option<Release>>,
    /// No reference can be looked up.
    pub unreachable: AtomicBool,
    /// Of every digest: texts that the verifier here takes for good ones if they are the key's.
    pub signatures: Mutex<Vec<Signature>>,
    pub secrets: Mutex<BTreeMap<String, Vec<u8>>>,
    /// How many reads of Secrets are answered; those after them hang.
    pub reads: Mutex<Option<usize>>,
    /// By query: what a server of signals answers.
    pub measured: Mutex<BTreeMap<String, Result<Option<f64>, SignalError>>>,
    /// By pod: the end of its dead container's log; nobody may read the others.
    pub logs: Mutex<BTreeMap<String, String>>,
    /// Branch, errands, and the ids of those that are due, of each visit.
    pub visits: Mutex<Vec<String>>,
    /// What the next visits find; then files that differ.
    pub branches: Mutex<VecDeque<Result<Files, GitError>>>,
    /// Of every ServiceAccount.
    pub pull_secrets: Mutex<Vec<String>>,
    /// Every ServiceAccount.
    pub account: Mutex<Account>,
    /// Why it gets no token.
    pub no_token: AtomicBool,
    /// Why a cloud refuses.
    pub cloud: Mutex<Option<RegistryError>>,
    /// How often a cloud gave a credential.
    pub given: AtomicUsize,
    /// Secrets with other keys.
    pub certificates: Mutex<BTreeMap<String, BTreeMap<String, Vec<u8>>>>,
    pub woken: Mutex<Vec<PolicyKey>>,
    /// Why the next messages are not taken.
    pub refused: Mutex<VecDeque<String>>,
    began: Mutex<Option<Instant>>,
}

impl std::fmt::Debug for Fake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fake")
    }
}

impl Fake {
    pub fn new() -> Arc<Self> {
        let fake = Self::default();
        *fake.began.lock().unwrap() = Some(Instant::now());
        fake.version.store(100, Ordering::SeqCst);
        Arc::new(fake)
    }

    /// Stores a policy of one stage, `dev`; `secret` names its registry credential.
    pub fn store(&self, name: &str, secret: Option<&str>) -> PolicyKey {
        let key = PolicyKey { namespace: "platform".into(), name: name.into() };
        let stored = StoredPolicy {
            key: key.clone(),
            uid: format!("uid-of-{name}"),
            generation: 1,
            resource_version: self.next_version(),
            identity: Identity { namespace: "platform".into(), service_account: "promoter".into() },
            registry: RegistrySettings { secret: secret.map(str::to_owned), ..RegistrySettings::default() },
            requested_at: None,
            status: Arc::new(looked_at(&policy(name))),
            policy: Ok(Arc::new(policy(name))),
        };
        self.policies.lock().unwrap().insert(key.clone(), stored);
        key
    }

    /// Somebody else changes what is stored.
    pub fn change(&self, key: &PolicyKey, change: impl FnOnce(&mut StoredPolicy)) {
        let version = self.next_version();
        let mut policies = self.policies.lock().unwrap();
        let stored = policies.get_mut(key).unwrap();
        change(stored);
        stored.resource_version = version;
    }

    fn next_version(&self) -> String {
        self.version.fetch_add(1, Ordering::SeqCst).to_string()
    }

    pub fn note(&self, what: String) {
        self.log.lock().unwrap().push(what);
    }

    /// What happened since the last call.
    pub fn happened(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock().unwrap())
    }

    pub fn lookups(self: &Arc<Self>) -> Lookups {
        Lookups::new(Parts {
            registry: self.clone(),
            verifier: self.clone(),
            access: AccessCache::new(self.clone(), self.clone(), self.clone()),
            wakes: self.clone(),
            clock: self.clone(),
            metrics: Arc::new(Metrics::new()),
        })
    }

    pub fn notices(self: &Arc<Self>) -> Notices {
        Notices::new(Telling {
            notifier: self.clone(),
            cluster: self.clone(),
            wakes: self.clone(),
            fence: Fence::new(self.clone()),
            metrics: Arc::new(Metrics::new()),
        })
    }

    pub fn deliveries(self: &Arc<Self>) -> Deliveries {
        let fence = Fence::new(self.clone());
        let forge = Arc::new(super::proposed::Forge::default());
        Deliveries::new((self.clone(), forge), self.clone(), self.clone(), self.clone(), fence)
    }

    /// A reconciler that decides by `decide`.
    pub fn reconciler(
        self: &Arc<Self>,
        decide: impl Fn(&Policy, &Observed, Timestamp) -> Decision + Send + Sync + 'static,
    ) -> Reconciler {
        let world = World {
            cluster: self.clone(),
            policies: self.clone(),
            rights: self.clone(),
            clock: self.clone(),
            fence: Fence::new(self.clone()),
            pod_limit: 3,
        };
        let stop = CancellationToken::new();
        let background = Background {
            lookups: self.lookups(),
            measurements: Measurements::new(self.clone(), self.clone(), self.clone()),
            notices: self.notices(),
            deliveries: self.deliveries(),
            last_words: LastWords::new(self.clone(), self.clone()),
        };
        Reconciler::new(world, Arc::new(decide), background, Arc::new(Metrics::new()), stop)
    }
}

pub fn policy(name: &str) -> Policy {
    let object = serde_json::json!({
        "apiVersion": "lockkeeper.dev/v1alpha1",
        "kind": "ImagePolicy",
        "metadata": {"name": name, "namespace": "platform", "uid": format!("uid-of-{name}"), "generation": 1},
        "spec": {
            "image": "registry.example.com/otel",
            "mode": "Enforce",
            "select": {"semver": {"range": ">=0.28.0"}},
            "stages": [{"name": "dev", "targets": [{"pods": {"selector": {"matchLabels": {"app": "a"}}}}]}],
        },
    });
    lockkeeper_api::parse(&serde_json::from_value(object).unwrap()).unwrap()
}

/// A status that says what every pass says.
pub fn looked_at(policy: &Policy) -> Status {
    Status { effective: lockkeeper_api::effective(policy), ..Status::default() }
}

/// A candidate that soaks, with a minute of healthy time.
pub fn flight() -> Flight {
    serde_json::from_value(serde_json::json!({
        "release": {"digest": Digest::of(b"x")},
        "attempt": "a-1",
        "entered": "2026-11-22T00:00:00Z",
        "step": "all",
        "stepSince": "2026-11-22T00:00:00Z",
        "readyAtEntry": 1,
        "unreadyAtEntry": 0,
        "healthySeconds": 60,
    }))
    .unwrap()
}

pub fn done(next: Option<std::time::Duration>) -> Outcome {
    Outcome::Done { next }
}

/// A move of the pod of that name.
pub fn moved(name: &str, purpose: Purpose) -> Action {
    Action::MovePod(PodMove {
        key: ObjectKey { namespace: "prod".into(), name: name.into(), ..ObjectKey::default() },
        generation: Some(1),
        resource_version: "1".into(),
        containers: vec![ImageChange {
            kind: ContainerKind::Main,
            index: 0,
            name: "otel".into(),
            from: "a".into(),
            to: "b".into(),
        }],
        mark: "m".into(),
        stage: "dev".into(),
        purpose,
    })
}

pub fn quarantine(name: &str) -> Action {
    Action::WriteQuarantine(QuarantineDraft {
        name: name.into(),
        tag: None,
        digest: Digest::of(b"bad"),
        contents: std::iter::once(Digest::of(b"bad")).collect(),
        reason: "Degraded".into(),
        evidence: String::new(),
        policy: "otel".into(),
        stage: "dev".into(),
    })
}

fn name(action: &Action) -> String {
    match action {
        Action::MovePod(mv) => mv.key.name.clone(),
        Action::WriteQuarantine(draft) => draft.name.clone(),
        Action::WritePin { name, .. } => name.clone(),
        Action::DeletePin { key, .. } | Action::MarkOrphan { key, .. } => key.name.clone(),
        Action::PatchTemplate(patch) => patch.key.name.clone(),
    }
}

pub fn right() -> MissingRight {
    MissingRight {
        verb: "patch".into(),
        resource: "pods".into(),
        namespace: "prod".into(),
        user: "system:serviceaccount:platform:promoter".into(),
    }
}

impl Cluster for Fake {
    fn see(&self, policy: &Policy, _: &Identity) -> ClusterView {
        let pods = vec![lockkeeper_core::observed::PodSeen::default(); *self.pods.lock().unwrap()];
        let stage = StageSeen { pods, ..StageSeen::default() };
        ClusterView { stages: vec![stage; policy.stages.len()], ..ClusterView::default() }
    }

    fn apply<'a>(
        &'a self,
        _: &'a Identity,
        fence: &'a Fence,
        _: &'a Policy,
        action: &'a Action,
    ) -> BoxFuture<'a, Result<(), EffectError>> {
        Box::pin(async move {
            assert!(fence.holds(), "an effect without a fence");
            let name = name(action);
            self.note(format!("{} {name}", crate::telemetry::kind(action)));
            match self.effect_failures.lock().unwrap().get(&name).copied() {
                Some("Forbidden") => Err(EffectError::Forbidden(right())),
                Some("Refused") => Err(EffectError::Refused { object: name, message: "no".into() }),
                Some("Unavailable") => Err(EffectError::Unavailable { object: name, message: "?".into() }),
                Some(_) => Err(EffectError::Outdated(name)),
                None => Ok(()),
            }
        })
    }

    fn secret<'a>(
        &'a self,
        identity: &'a Identity,
        name: &'a str,
    ) -> BoxFuture<'a, Result<BTreeMap<String, Vec<u8>>, EffectError>> {
        Box::pin(async move {
            self.asked.lock().unwrap().push(format!("secret {name} as {}", identity.service_account));
            let hangs = match &mut *self.reads.lock().unwrap() {
                None => false,
                Some(0) => true,
                Some(left) => {
                    *left -= 1;
                    false
                }
            };
            if hangs {
                std::future::pending::<()>().await;
            }
            if let Some(values) = self.certificates.lock().unwrap().get(name).cloned() {
                return Ok(values);
            }
            let found = self.secrets.lock().unwrap().get(name).cloned();
            let found = found.ok_or_else(|| EffectError::Outdated(format!("secrets platform/{name}")))?;
            Ok(BTreeMap::from([(".dockerconfigjson".to_owned(), found)]))
        })
    }

    fn last_log<'a>(
        &'a self,
        identity: &'a Identity,
        dead: &'a DeadContainer,
    ) -> BoxFuture<'a, Result<String, EffectError>> {
        self.asked.lock().unwrap().push(format!("log {} as {}", dead.pod, identity.service_account));
        let said = self.logs.lock().unwrap().get(&dead.pod).cloned();
        Box::pin(async { said.ok_or_else(|| EffectError::Forbidden(right())) })
    }

    fn pull_secrets<'a>(
        &'a self,
        _: &'a Identity,
        _: &'a str,
    ) -> BoxFuture<'a, Result<Vec<String>, EffectError>> {
        Box::pin(async { Ok(self.pull_secrets.lock().unwrap().clone()) })
    }

    fn account<'a>(&'a self, identity: &'a Identity) -> BoxFuture<'a, Result<Account, EffectError>> {
        self.asked.lock().unwrap().push(format!("account {}", identity.service_account));
        Box::pin(async { Ok(self.account.lock().unwrap().clone()) })
    }

    fn account_token<'a>(
        &'a self,
        identity: &'a Identity,
        audience: &'a str,
    ) -> BoxFuture<'a, Result<String, EffectError>> {
        self.asked.lock().unwrap().push(format!("token {} for {audience}", identity.service_account));
        let refused = self.no_token.load(Ordering::SeqCst).then(|| EffectError::Forbidden(right()));
        Box::pin(async move { refused.map_or(Ok(format!("c4n4ry-of-{audience}")), Err) })
    }
}

impl Policies for Fake {
    fn get(&self, key: &PolicyKey) -> Option<Arc<StoredPolicy>> {
        self.policies.lock().unwrap().get(key).cloned().map(Arc::new)
    }

    fn write_status<'a>(
        &'a self,
        _: &'a Fence,
        stored: &'a StoredPolicy,
        resource_version: &'a str,
        status: &'a Arc<Status>,
    ) -> BoxFuture<'a, Result<String, EffectError>> {
        Box::pin(async move {
            self.note(format!("status {}", stored.key.name));
            if let Some(error) = self.status_failures.lock().unwrap().pop_front() {
                return Err(error);
            }
            let version = self.next_version();
            let mut policies = self.policies.lock().unwrap();
            let current = policies.get_mut(&stored.key).unwrap();
            if current.resource_version != resource_version {
                return Err(EffectError::Outdated(stored.key.name.clone()));
            }
            current.status = Arc::clone(status);
            current.resource_version.clone_from(&version);
            Ok(version)
        })
    }

    fn publish<'a>(
        &'a self,
        _: &'a Fence,
        _: &'a StoredPolicy,
        event: &'a Event,
    ) -> BoxFuture<'a, Result<(), EffectError>> {
        self.note(format!("event {}", event.reason));
        Box::pin(async { Ok(()) })
    }

    fn tell<'a>(
        &'a self,
        _: &'a Fence,
        _: &'a StoredPolicy,
        told: &'a Told,
    ) -> BoxFuture<'a, Result<(), EffectError>> {
        self.note(format!("told {} {}", told.workload.name, told.event.reason));
        Box::pin(async { Ok(()) })
    }
}

impl Rights for Fake {
    fn may<'a>(
        &'a self,
        _: &'a Identity,
        _: &'a str,
        _: &'a str,
        _: &'a str,
        _: &'a str,
        _: &'a str,
    ) -> BoxFuture<'a, Result<bool, EffectError>> {
        self.reviews.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Ok(self.granted.load(Ordering::SeqCst)) })
    }
}

impl Registry for Fake {
    fn tags<'a>(
        &'a self,
        access: &'a RegistryAccess,
        repository: &'a Repository,
    ) -> BoxFuture<'a, Result<Listing, RegistryError>> {
        Box::pin(async move {
            self.asked.lock().unwrap().push(format!("tags {repository} as {}", access.scope));
            let unauthorised =
                || RegistryError { reason: "AuthFailed", message: "401".into(), retry_after: None };
            let accepted = self.accepted.lock().unwrap().clone();
            let password = match &access.credential {
                Some(Credential::Basic(_, password)) => Some(password.as_str()),
                _ => None,
            };
            if accepted.as_deref().is_some_and(|accepted| password != Some(accepted)) {
                return Err(unauthorised());
            }
            if let Some(wait) = *self.throttled.lock().unwrap() {
                let retry_after = Some(jiff::SignedDuration::try_from(wait).unwrap());
                return Err(RegistryError { reason: "Throttled", message: "429".into(), retry_after });
            }
            let mut listing = self.listing.lock().unwrap();
            let tags = self.tags.lock().unwrap().clone().ok_or_else(unauthorised)?;
            let new = Listing::new(tags.iter().map(String::as_str));
            // As the client does: what is the same is the same piece of memory.
            if *listing != new {
                *listing = new;
            }
            Ok(listing.clone())
        })
    }

    fn resolve<'a>(
        &'a self,
        _: &'a RegistryAccess,
        _: &'a Repository,
        reference: &'a Reference,
        _: Depth,
    ) -> BoxFuture<'a, Result<Option<Release>, RegistryError>> {
        Box::pin(async move {
            self.asked.lock().unwrap().push(format!("resolve {reference:?}"));
            if self.unreachable.load(Ordering::SeqCst) {
                let message = "it does not answer".to_owned();
                return Err(RegistryError { reason: "Unreachable", message, retry_after: None });
            }
            Ok(self.release.lock().unwrap().clone())
        })
    }

    fn exists<'a>(
        &'a self,
        _: &'a RegistryAccess,
        _: &'a Repository,
        _: &'a Digest,
    ) -> BoxFuture<'a, Result<bool, RegistryError>> {
        Box::pin(async { Ok(true) })
    }

    fn signatures<'a>(
        &'a self,
        access: &'a RegistryAccess,
        _: &'a Repository,
        digest: &'a Digest,
    ) -> BoxFuture<'a, Result<Vec<Signature>, RegistryError>> {
        Box::pin(async move {
            self.asked.lock().unwrap().push(format!("signatures {} as {}", digest.short(), access.scope));
            if self.unreachable.load(Ordering::SeqCst) {
                let message = "it does not answer".to_owned();
                return Err(RegistryError { reason: "Unreachable", message, retry_after: None });
            }
            Ok(self.signatures.lock().unwrap().clone())
        })
    }

    fn ease(&self, _: &RegistryAccess, _: &Repository, counted: Counted) -> Option<Duration> {
        self.eased.lock().unwrap().filter(|_| counted == Counted::Listings)
    }
}

impl Verifier for Fake {
    fn judge(
        &self,
        _: &Digest,
        trust: Trust<'_>,
        signatures: &[Signature],
    ) -> Result<Option<Signed>, RegistryError> {
        let Trust::Keys(keys) = trust else { panic!("only keys are asked for here") };
        let by = |signature: &Signature| {
            keys.iter().any(|(_, key)| matches!(signature, Signature::Bundle(bytes) if bytes == key))
        };
        Ok(match signatures {
            [] => None,
            all if all.iter().any(by) => Some(Signed::Trusted("a public key".into())),
            _ => Some(Signed::Foreign("one is by none of the keys".into())),
        })
    }

    fn trusted_root(&self) -> Option<TrustedRoot> {
        None
    }
}

impl Credentials for Fake {
    fn find(&self, value: &[u8], _: &Repository) -> Result<Option<Credential>, String> {
        let password = String::from_utf8_lossy(value).into_owned();
        Ok(Some(Credential::Basic("robot".into(), password)).filter(|_| value != b"other registry"))
    }
}

impl Wakes for Fake {
    fn wake(&self, key: &PolicyKey) {
        self.woken.lock().unwrap().push(key.clone());
    }
}

impl Clock for Fake {
    /// Moves with tokio's clock, which tests pause.
    fn now(&self) -> Timestamp {
        let began = self.began.lock().unwrap().unwrap();
        let passed = jiff::SignedDuration::try_from(began.elapsed()).unwrap();
        "2026-11-22T00:00:00Z".parse::<Timestamp>().unwrap() + passed
    }
}

impl FenceCheck for Fake {
    fn holds(&self) -> bool {
        !self.fenced.load(Ordering::SeqCst)
    }
}
