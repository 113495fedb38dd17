//! Looks at the cluster and the registries until nothing new is learnt, deciding as the controller would.

use super::{super::Failure, super::wire::Connection, super::wire::Installation, rights};
use crate::{
    cli::wire::SystemClock,
    kubernetes::Kubernetes,
    ports::{Clock, Identity, Policies, PolicyKey, RegistrySettings, StoredPolicy, Wakes, Watches},
    reconcile::{
        change::{Change, material},
        lookups::{AccessCache, Lookups, Parts, Rankings},
        memory::Memory,
        observe::Eyes,
    },
    registry::credentials::SecretCredentials,
    telemetry::Metrics,
};
use lockkeeper_api::ImagePolicy;
use lockkeeper_core::{
    decision::{Action, Event, Question},
    image::{Digest, Provider, Release, Repository},
    observed::{Answer, Observed, StageSeen},
    pin::PinSpec,
    policy::{Mode, Policy},
    stage::waves_of,
    status::{StageStatus, Status, WavePlan},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How long the first lists may take.
const FIRST_LISTS: Duration = Duration::from_secs(20);
/// How long registries may take to answer what is asked in one round.
const ANSWERS: Duration = Duration::from_mins(2);
/// Rounds of deciding and asking.
const ROUNDS: usize = 12;

/// What was found out.
#[derive(Debug)]
pub struct Plan {
    /// The policy as the file says.
    pub policy: Policy,
    /// Who it acts as.
    pub identity: Identity,
    /// What selection chooses.
    pub candidate: Option<Release>,
    /// How many tags are candidates, and how many are not, by reason; none while nothing could be listed.
    pub tags: Option<(usize, BTreeMap<&'static str, usize>)>,
    /// One per stage.
    pub stages: Vec<StagePlan>,
    /// What would keep it from working.
    pub problems: Vec<String>,
}

/// One stage's part.
#[derive(Debug, Default)]
pub struct StagePlan {
    /// Its name.
    pub name: String,
    /// Where it reaches.
    pub namespaces: Vec<String>,
    /// Pods that match, and those of them that are ready.
    pub pods: [usize; 2],
    /// Workloads that match.
    pub workloads: usize,
    /// Images of the matching pods' containers that the policy governs, by text, with their pods.
    pub images: BTreeMap<String, usize>,
    /// Where the stage would stand.
    pub status: StageStatus,
    /// What people would be told, in order.
    pub events: Vec<(&'static str, String)>,
    /// Pins that would be written, by namespace, in order.
    pub pins: BTreeMap<String, Vec<PinSpec>>,
    /// The waves a release would come in.
    pub waves: Vec<WavePlan>,
}

/// Nobody has to be woken: this looks by itself.
struct Deaf;

impl Wakes for Deaf {
    fn wake(&self, _: &PolicyKey) {}
}

/// Finds out what `policy` would do.
pub async fn survey(
    connection: &Connection,
    installation: &Installation,
    object: &ImagePolicy,
    policy: Policy,
) -> Result<Plan, Failure> {
    let kubernetes = Arc::new(connection.kubernetes(installation, Arc::new(Deaf), false));
    let lookups = Lookups::new(Parts {
        registry: Arc::new(connection.registry(installation)?),
        verifier: Arc::new(installation.verifier()?),
        access: AccessCache::new(
            Arc::clone(&kubernetes) as _,
            Arc::new(SecretCredentials),
            Arc::new(connection.clouds(installation)?),
        ),
        wakes: Arc::new(Deaf),
        clock: Arc::new(SystemClock),
        metrics: Arc::new(Metrics::new()),
    });
    let stop = CancellationToken::new();
    let looking = tokio::spawn(lookups.clone().run(stop.clone()));
    let following = tokio::spawn({
        let kubernetes = Arc::clone(&kubernetes);
        async move { kubernetes.follow().await }
    });
    let found = Survey { kubernetes: &kubernetes, lookups: &lookups, installation }.run(object, policy).await;
    stop.cancel();
    following.abort();
    looking.abort();
    found
}

/// What was decided last, on what, and everything decided on the way there.
struct Settled {
    observed: Observed,
    status: Status,
    actions: Vec<Action>,
    events: Vec<Event>,
}

struct Survey<'a> {
    kubernetes: &'a Arc<Kubernetes>,
    lookups: &'a Lookups,
    installation: &'a Installation,
}

impl Survey<'_> {
    async fn run(&self, object: &ImagePolicy, policy: Policy) -> Result<Plan, Failure> {
        let mut problems = self.first_lists().await?;
        let stored = self.stored(object, &policy);
        // What would be written can only be seen by a policy that may write.
        let writing = Arc::new(Policy {
            mode: Mode::Enforce,
            suspend: false,
            uid: stored.uid.clone(),
            ..policy.clone()
        });
        let settled = self.settle(&stored, &writing, !problems.is_empty()).await?;
        let catalogue = &settled.observed.catalogue;
        if let Some(failing) = &catalogue.failing {
            problems.push(format!("{}: {}", failing.reason, failing.message));
        }
        let tags = catalogue.ranking.as_ref().map(|ranking| {
            let rejected = ranking.rejected_counts.iter().map(|(reason, count)| (reason.name(), *count));
            (ranking.admitted, rejected.collect())
        });
        let stages: Vec<StagePlan> = policy
            .stages
            .iter()
            .enumerate()
            .filter_map(|(index, _)| {
                stage_plan(&policy, index, settled.observed.stages.get(index)?, &settled)
            })
            .collect();
        problems.extend(stages.iter().filter_map(trouble));
        problems.extend(unpullable(&settled.observed));
        let reach: Vec<(&[_], BTreeSet<&str>)> = policy
            .stages
            .iter()
            .zip(&stages)
            .map(|(stage, plan)| {
                (stage.targets.as_slice(), plan.namespaces.iter().map(String::as_str).collect())
            })
            .collect();
        let (kinds, signals) = (self.installation.kinds(), policy.signals.iter().collect::<Vec<_>>());
        let missing = rights::missing(&**self.kubernetes, &stored.identity, &reach, &signals, &kinds);
        problems.extend(missing.await);
        let candidate = settled.status.candidate;
        Ok(Plan { policy, identity: stored.identity, candidate, tags, stages, problems })
    }

    /// Waits for the watches. Without pods and namespaces there is nothing to plan; without the kinds of Lockkeeper
    /// there is, and that is the first thing to put right.
    async fn first_lists(&self) -> Result<Vec<String>, Failure> {
        let waiting = || -> Vec<String> {
            let all = self.kubernetes.watches();
            all.into_iter().filter(|watch| !watch.synced).map(|watch| watch.kind).collect()
        };
        if timeout(FIRST_LISTS, self.fresh()).await.is_ok() || waiting().is_empty() {
            return Ok(Vec::new());
        }
        let missing = waiting();
        if missing.iter().any(|kind| kind == "Pods" || kind == "Namespaces") {
            return Err(Failure::Failed(format!(
                "the cluster did not list {} within {} s; does this user have the right to list and watch them?",
                missing.join(", "),
                FIRST_LISTS.as_secs()
            )));
        }
        Ok(vec![format!(
            "{} cannot be listed; if Lockkeeper's kinds are not installed, run: lockkeeper crd | kubectl apply -f -",
            missing.join(", ")
        )])
    }

    /// Waits until every watch is fresh: one may be interrupted for a moment, as when a kind was just installed.
    async fn fresh(&self) {
        while self.kubernetes.watches().iter().any(|watch| !watch.synced || watch.stale_since.is_some()) {
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// The policy as it would be stored: with uid and status of the one that is stored already, if there is one.
    fn stored(&self, object: &ImagePolicy, policy: &Policy) -> StoredPolicy {
        let key = PolicyKey { namespace: policy.namespace.clone(), name: policy.name.clone() };
        let live = self.kubernetes.get(&key);
        StoredPolicy {
            uid: live.as_ref().map_or_else(|| "planned".to_owned(), |live| live.uid.clone()),
            generation: policy.generation,
            resource_version: String::new(),
            identity: Identity {
                namespace: policy.namespace.clone(),
                service_account: object.service_account().to_owned(),
            },
            registry: settings(object.registry()),
            requested_at: None,
            policy: Ok(Arc::new(policy.clone())),
            status: live.map_or_else(Arc::default, |live| Arc::clone(&live.status)),
            key,
        }
    }

    /// Decides and asks until nothing changes any more.
    async fn settle(
        &self,
        stored: &StoredPolicy,
        policy: &Arc<Policy>,
        half_blind: bool,
    ) -> Result<Settled, Failure> {
        let (rankings, mut memory) = (Rankings::default(), Memory::default());
        let eyes = Eyes {
            cluster: &**self.kubernetes,
            lookups: self.lookups,
            rankings: &rankings,
            measurements: None,
            notices: None,
            deliveries: None,
            last_words: None,
            troubles: None,
        };
        memory.resume(stored);
        let mut asked: BTreeSet<Question> = BTreeSet::new();
        let (mut actions, mut events) = (Vec::new(), Vec::new());
        let mut round = 0;
        loop {
            round += 1;
            // What stays stale is said by the stage itself.
            if !half_blind && timeout(FIRST_LISTS, self.fresh()).await.is_err() {
                tracing::debug!("some watches are not fresh; deciding on what they showed last");
            }
            let mut observed = eyes.observe(stored, policy, &memory).await?;
            if half_blind {
                // What cannot be watched was named; the rest is still worth knowing.
                observed.stages.iter_mut().for_each(|stage| stage.stale_since = None);
            }
            let decision = lockkeeper_core::decide(policy, &observed, SystemClock.now());
            let mut questions = decision.questions.clone();
            questions.extend(pullable(policy, &decision.status));
            let new = !questions.is_subset(&asked);
            asked.extend(questions.iter().cloned());
            let cadence = crate::reconcile::observe::cadence(policy, &observed);
            self.lookups.ask_all(stored, policy, &cadence, questions);
            let waited = self.lookups.pending() > 0;
            self.answers().await?;
            let changed = material(&memory.latest, &decision.status) == Change::Material;
            actions.extend(decision.actions);
            events.extend(decision.events);
            if (!new && !waited && !changed) || round == ROUNDS {
                return Ok(Settled { observed, status: decision.status, actions, events });
            }
            memory.latest = Arc::new(decision.status);
        }
    }

    async fn answers(&self) -> Result<(), Failure> {
        let all = async {
            while self.lookups.pending() > 0 {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(ANSWERS, all).await.map_err(|_| {
            Failure::Failed(format!("the registries did not answer within {} s", ANSWERS.as_secs()))
        })
    }
}

/// Whether the candidate and what stages return to can be fetched through every repository.
fn pullable(policy: &Policy, status: &Status) -> Vec<Question> {
    let current = status.stages.iter().filter_map(|stage| stage.current.as_ref());
    let digests: BTreeSet<&Digest> = status.candidate.iter().map(|c| &c.digest).chain(current).collect();
    let all = digests.into_iter().flat_map(|digest| {
        policy.repositories().map(move |repository| Question::Pullable(repository.clone(), digest.clone()))
    });
    all.collect()
}

fn unpullable(observed: &Observed) -> Vec<String> {
    let say = |(repository, digest): &(Repository, Digest), answer: &Answer<()>| match answer {
        Answer::Known(()) => None,
        Answer::Absent => Some(format!(
            "{repository} does not have {}; a stage whose pods use it would hold as NotPullable",
            digest.short()
        )),
        Answer::Failed(failure) => {
            Some(format!("{repository} could not be asked for {}: {}", digest.short(), failure.message))
        }
    };
    observed.answers.pullable.iter().filter_map(|(what, answer)| say(what, answer)).collect()
}

fn stage_plan(policy: &Policy, index: usize, seen: &StageSeen, settled: &Settled) -> Option<StagePlan> {
    let stage = policy.stages.get(index)?;
    let namespaces: BTreeSet<String> = seen.namespaces.iter().map(|(_, name)| name.clone()).collect();
    let ready = seen.pods.iter().filter(|pod| pod.ready).count();
    let mut images: BTreeMap<String, usize> = BTreeMap::new();
    for pod in &seen.pods {
        let wanted = stage.targets.get(pod.target).map(lockkeeper_core::policy::Target::containers);
        let named = |name: &String| wanted.is_none_or(|wanted| wanted.is_empty() || wanted.contains(name));
        let governed = pod.containers.iter().filter(|container| {
            let image: Option<lockkeeper_core::image::ImageRef> = container.image.parse().ok();
            named(&container.name)
                && image.is_some_and(|image| policy.repositories().any(|own| own == image.repository()))
        });
        let texts: BTreeSet<&String> = governed.map(|container| &container.image).collect();
        for text in texts {
            *images.entry(text.clone()).or_default() += 1;
        }
    }
    let mut pins: BTreeMap<String, Vec<PinSpec>> = BTreeMap::new();
    for action in &settled.actions {
        if let Action::WritePin { namespace, spec, stage: of, .. } = action
            && *of == stage.name
        {
            let all = pins.entry(namespace.clone()).or_default();
            if all.last() != Some(spec) {
                all.push(spec.clone());
            }
        }
    }
    let events = settled.events.iter().filter(|event| event.stage.as_ref() == Some(&stage.name));
    Some(StagePlan {
        name: stage.name.clone(),
        namespaces: namespaces.into_iter().collect(),
        pods: [seen.pods.len(), ready],
        workloads: seen.workloads.len(),
        images,
        status: settled.status.stages.get(index).cloned().unwrap_or_default(),
        events: events.map(|event| (event.reason, event.message.clone())).collect(),
        pins,
        waves: waves_of(stage, seen.pods.len(), ready),
    })
}

/// Reasons of a stage that would not go on by itself.
fn trouble(stage: &StagePlan) -> Option<String> {
    let status = &stage.status;
    let stuck = matches!(
        status.reason.as_str(),
        "NoPods"
            | "Conflicted"
            | "RepositoryMismatch"
            | "Forbidden"
            | "Mixed"
            | "OutOfRange"
            | "Unsigned"
            | "SignedByOther"
            | "SignatureUnknown"
            | "NoSafeDigest"
    );
    stuck.then(|| format!("stage {} would wait ({}): {}", stage.name, status.reason, status.message))
}

fn settings(registry: lockkeeper_api::spec::Registry) -> RegistrySettings {
    RegistrySettings {
        secret: registry.secret_ref.map(|secret| secret.name),
        pull_secrets_from: registry.pull_secrets_from,
        provider: registry.provider.as_deref().and_then(Provider::of_word),
        certificates: registry.cert_secret_ref.map(|secret| secret.name),
        proxy: registry.proxy_secret_ref.map(|secret| secret.name),
        insecure: registry.insecure.unwrap_or_default(),
    }
}
