//! The pipeline itself.

use super::{
    background::Background,
    change::Change,
    elsewhere::Troubles,
    execute::{Done, Hands, execute},
    invalid::{self, INVALID_SPEC, TOO_MANY_PODS},
    lookups::Rankings,
    memory::{Memories, Memory, Resumed},
    observe::{Eyes, ObserveError, cadence},
    queue::Outcome,
    report::{Pen, ReportError, Reported},
};
use crate::{
    ports::{Clock, Cluster, Fence, Identity, Policies, PolicyKey, Rights, StoredPolicy, Told},
    telemetry::Metrics,
};
use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use lockkeeper_core::{
    decision::{Decision, Event},
    observed::{MissingRight, Observed},
    policy::Policy,
    stage::common_cause,
};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug_span, field::Empty};

/// How long one pass may take: a pass that hangs must not keep its slot.
const LIMIT: Duration = Duration::from_mins(2);
/// After something was decided or done, what follows from it is decided this much later at the latest.
const FOLLOW_UP: Duration = Duration::from_secs(1);
/// No deadline is slept for less than this.
const SHORTEST: Duration = Duration::from_millis(50);

/// Events on workloads that are written at once.
const AT_ONCE: usize = 16;

/// The core's decision function.
pub type Decide = dyn Fn(&Policy, &Observed, Timestamp) -> Decision + Send + Sync;

/// Everything outside that passes work with.
#[derive(Clone)]
pub struct World {
    /// The cluster the policies live in.
    pub cluster: Arc<dyn Cluster>,
    /// Where policies are stored.
    pub policies: Arc<dyn Policies>,
    /// Who may do what.
    pub rights: Arc<dyn Rights>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The right to write.
    pub fence: Fence,
    /// A stage that matches more pods is refused.
    pub pod_limit: usize,
}

/// Makes passes.
pub struct Reconciler {
    world: World,
    decide: Arc<Decide>,
    background: Background,
    rankings: Rankings,
    troubles: Troubles,
    memories: Memories,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
}

/// Which step of a pass failed.
#[derive(Debug, thiserror::Error)]
enum PassError {
    #[error(transparent)]
    Observe(#[from] ObserveError),
    #[error(transparent)]
    Report(#[from] ReportError),
}

impl PassError {
    fn category(&self) -> &'static str {
        match self {
            Self::Observe(_) => "Observe",
            Self::Report(error) => error.category(),
        }
    }
}

impl Reconciler {
    /// A reconciler that remembers nothing yet. After `stop` it begins no effect.
    #[must_use]
    pub fn new(
        world: World,
        decide: Arc<Decide>,
        background: Background,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
    ) -> Self {
        let (rankings, memories) = (Rankings::default(), Memories::default());
        let troubles = Troubles::default();
        Self { world, decide, background, rankings, troubles, memories, metrics, stop }
    }

    /// One pass over one policy.
    pub async fn pass(&self, key: &PolicyKey) -> Outcome {
        let span = tracing::info_span!(
            "pass",
            namespace = key.namespace,
            policy = key.name,
            generation = Empty,
            outcome = Empty
        );
        let began = Instant::now();
        let (outcome, label) = match timeout(LIMIT, self.look_at(key)).instrument(span.clone()).await {
            Ok(Ok(next)) => next,
            Ok(Err(error)) => {
                self.metrics.pass_error(error.category());
                span.in_scope(|| tracing::warn!(%error, category = error.category(), "a pass failed"));
                (Outcome::Failed, "failed")
            }
            Err(_) => {
                self.metrics.pass_error("Timeout");
                span.in_scope(|| {
                    tracing::error!(limit_s = LIMIT.as_secs(), "a pass took too long and was ended");
                });
                (Outcome::Failed, "failed")
            }
        };
        span.record("outcome", label);
        self.metrics.pass(label, began.elapsed().as_secs_f64());
        outcome
    }

    /// Stores what is in memory only; for the end of this process.
    pub async fn flush(&self) {
        for (key, memory) in self.memories.all() {
            let Some(stored) = self.world.policies.get(&key) else { continue };
            let mut memory = memory.lock().await;
            if memory.resume(&stored) == Resumed::Behind {
                continue;
            }
            if let Err(error) = self.pen().flush(&stored, &mut memory).await {
                tracing::warn!(namespace = key.namespace, policy = key.name, %error, "counters were not stored");
            }
        }
    }

    async fn look_at(&self, key: &PolicyKey) -> Result<(Outcome, &'static str), PassError> {
        let Some(stored) = self.world.policies.get(key) else {
            self.forget(key);
            return Ok((Outcome::Gone, "gone"));
        };
        tracing::Span::current().record("generation", stored.generation);
        let memory = self.memories.of(key);
        let mut memory = memory.lock().await;
        if memory.resume(&stored) == Resumed::Behind {
            tracing::debug!("waits for the watch to show what a write conflicted with");
            return Ok((Outcome::Failed, "behind"));
        }
        match &stored.policy {
            Err(messages) => {
                self.background.lookups.forget(&stored.key);
                self.background.measurements.forget(&stored.key);
                self.background.deliveries.forget(&stored.key);
                self.refuse(&stored, INVALID_SPEC, messages, &mut memory).await
            }
            Ok(policy) => self.proceed(&stored, policy, &mut memory).await,
        }
    }

    /// The policy is refused as a whole: say so, and touch nothing.
    async fn refuse(
        &self,
        stored: &StoredPolicy,
        reason: &'static str,
        messages: &[String],
        memory: &mut Memory,
    ) -> Result<(Outcome, &'static str), PassError> {
        let now = self.world.clock.now();
        let status = invalid::status(&memory.latest, reason, messages, stored.generation, now);
        self.metrics.stages(&stored.key, &status);
        self.pen().report(stored, memory, status).await?;
        Ok((Outcome::Done { next: None }, "refused"))
    }

    async fn proceed(
        &self,
        stored: &StoredPolicy,
        policy: &Arc<Policy>,
        memory: &mut Memory,
    ) -> Result<(Outcome, &'static str), PassError> {
        if memory.is_asked_to_look(stored) {
            self.background.lookups.look_now(&stored.key);
        }
        self.ask_for_rights(&stored.identity, memory).await;
        let eyes = Eyes {
            cluster: &*self.world.cluster,
            lookups: &self.background.lookups,
            rankings: &self.rankings,
            measurements: Some(&self.background.measurements),
            notices: Some(&self.background.notices),
            deliveries: Some(&self.background.deliveries),
            last_words: Some(&self.background.last_words),
            troubles: Some(&self.troubles),
        };
        let observed = eyes.observe(stored, policy, memory).instrument(debug_span!("observe")).await?;
        let excess = too_many_pods(policy, &observed, self.world.pod_limit);
        if !excess.is_empty() {
            return self.refuse(stored, TOO_MANY_PODS, &excess, memory).await;
        }
        let now = self.world.clock.now();
        self.troubles.show(&stored.key, common_cause::shown(policy, &observed.status, &observed.stages, now));
        let decision = debug_span!("decide").in_scope(|| (self.decide)(policy, &observed, now));
        let Decision { mut status, actions, questions, asked, deliveries, commits, events, next_deadline } =
            decision;
        status.effective = lockkeeper_api::effective(policy);
        let cadence = cadence(policy, &observed);
        debug_span!("ask", questions = questions.len()).in_scope(|| {
            self.background.lookups.ask_all(stored, policy, &cadence, questions);
            self.background.measurements.ask(&stored.key, &stored.identity, asked);
            self.background.deliveries.ask(&stored.key, &stored.identity, deliveries);
        });
        self.metrics.stages(&stored.key, &status);
        let reported = self.pen().report(stored, memory, status).instrument(debug_span!("report")).await?;
        // What is stored, and before anything is done to a pod: a page does not wait for a rollback.
        self.background.notices.tell(&stored.key, &stored.identity, policy, &memory.stored.notices.outbox);
        // Handed over behind the status that holds their attempts; the fence is asked again before each push.
        self.background.deliveries.commit(&stored.key, commits);
        let done = self.hands(stored, policy).carry_out(&actions, memory).await;
        self.publish(stored, &events).await;
        let told = memory.telling.of(policy, &memory.latest, &observed.stages, &done.succeeded);
        self.tell(stored, &told).await;
        if done.retry > 0 {
            self.metrics.pass_error("Effect");
            return Ok((Outcome::Failed, "failed"));
        }
        let wait = self.wait(next_deadline, reported, &done, memory);
        Ok((Outcome::Done { next: wait }, "ok"))
    }

    /// When to look again: at the first of all deadlines, and soon if this pass changed anything.
    fn wait(
        &self,
        deadline: Option<Timestamp>,
        reported: Reported,
        done: &Done<'_>,
        memory: &Memory,
    ) -> Option<Duration> {
        let (wall, now) = (self.world.clock.now(), Instant::now());
        let decided = deadline.map(|at| Duration::try_from(at.duration_since(wall)).unwrap_or_default());
        let later = |at: Instant| at.saturating_duration_since(now);
        let counters = reported.due.map(later);
        let refusals = memory.refusals.next_retry(now).map(later);
        let moved = !done.succeeded.is_empty() || reported.change == Change::Material;
        let first = [decided, counters, refusals, moved.then_some(FOLLOW_UP)].into_iter().flatten().min();
        first.map(|wait| wait.max(SHORTEST))
    }

    /// Rights that were missing are asked for from time to time, so that a grant is noticed without trying a write.
    async fn ask_for_rights(&self, identity: &Identity, memory: &mut Memory) {
        let now = Instant::now();
        memory.refusals.expire(now);
        for right in memory.refusals.rights_due(now) {
            let Some(group) = group_of(&right) else {
                memory.refusals.heard(&right, true, now);
                continue;
            };
            let (verb, resource, namespace) = (&right.verb, &right.resource, &right.namespace);
            let answer = self.world.rights.may(identity, verb, group, resource, namespace, "").await;
            match answer {
                Ok(granted) => memory.refusals.heard(&right, granted, now),
                Err(error) => {
                    tracing::debug!(%error, "a right could not be asked for");
                    memory.refusals.heard(&right, false, now);
                }
            }
        }
    }

    /// Events are told once, and only after the status that they speak of is stored; the history keeps them, too.
    async fn publish(&self, stored: &StoredPolicy, events: &[Event]) {
        for event in events {
            tracing::info!(reason = event.reason, stage = event.stage, message = event.message, "event");
            if let Err(error) = self.world.policies.publish(&self.world.fence, stored, event).await {
                tracing::warn!(%error, reason = event.reason, "an event was not published");
            }
        }
    }

    /// Nothing rests on them: one that is not written is missed, and the policy's own Events say the same.
    async fn tell(&self, stored: &StoredPolicy, told: &[Told]) {
        let all: Vec<_> =
            told.iter().map(|told| self.world.policies.tell(&self.world.fence, stored, told)).collect();
        let results: Vec<_> = stream::iter(all).buffered(AT_ONCE).collect().await;
        if let Some(error) = results.into_iter().find_map(Result::err) {
            tracing::warn!(%error, "workloads were not told what was done to them");
        }
    }

    fn pen(&self) -> Pen<'_> {
        Pen { policies: &*self.world.policies, fence: &self.world.fence, metrics: &self.metrics }
    }

    fn hands<'a>(&'a self, stored: &'a StoredPolicy, policy: &'a Policy) -> Hands<'a> {
        Hands {
            cluster: &*self.world.cluster,
            identity: &stored.identity,
            fence: &self.world.fence,
            policy,
            metrics: &self.metrics,
            stop: &self.stop,
        }
    }

    fn forget(&self, key: &PolicyKey) {
        self.memories.forget(key);
        self.rankings.forget(key);
        self.troubles.forget(key);
        self.background.forget(key);
        self.metrics.forget(key);
    }
}

impl Hands<'_> {
    async fn carry_out<'a>(
        &self,
        actions: &'a [lockkeeper_core::decision::Action],
        memory: &mut Memory,
    ) -> Done<'a> {
        execute(self, actions, &mut memory.refusals).await
    }
}

/// The API group of a resource that effects are refused for; of others the write itself must be tried.
fn group_of(right: &MissingRight) -> Option<&'static str> {
    let resource = right.resource.split('/').next().unwrap_or_default();
    match resource {
        "pods" | "secrets" | "serviceaccounts" => Some(""),
        "imagepins" | "quarantines" | "imagepolicies" | "interventions" => Some("lockkeeper.dev"),
        "deployments" | "statefulsets" | "daemonsets" | "replicasets" => Some("apps"),
        "cronjobs" | "jobs" => Some("batch"),
        _ => None,
    }
}

/// The stages that match more pods than the installation allows.
fn too_many_pods(policy: &Policy, observed: &Observed, limit: usize) -> Vec<String> {
    let stages = policy.stages.iter().zip(&observed.stages).enumerate();
    let over = stages.filter(|(_, (_, seen))| seen.pods.len() > limit);
    over.map(|(index, (stage, seen))| {
        format!(
            "spec.stages[{index}].targets: stage {} matches {} pods, and this installation allows {limit}; narrow its \
             selectors, or raise the controller's --pod-limit",
            stage.name,
            seen.pods.len()
        )
    })
    .collect()
}
