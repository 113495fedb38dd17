//! What is measured for policies: questions of their last pass, asked in the background, and the answers.
//!
//! Guarantees: reading is from memory and never waits; a question is asked once, as long as it is asked for; so many are
//! under way at most, servers and tenants take turns; what a Secret holds is read as the policy's own `ServiceAccount`, used
//! for it alone and never shown. Policies are woken when an answer came. May not: decide what an answer means.

use super::{background::work, lanes::Lanes, secrets::Secrets, speaking::Speaking};
use crate::ports::{
    Cluster, Identity, PolicyKey, Wakes,
    signals::{Measure, Measured, SignalAccess, SignalError, SignalSource},
};
use futures::FutureExt as _;
use lockkeeper_core::signals::{ArmAnswer, SignalAnswer, SignalKey, SignalQuestion};
use std::{
    collections::{BTreeMap, BTreeSet},
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Questions under way at once.
const PARALLEL: usize = 16;

/// The service. Clones share one state.
#[derive(Clone)]
pub struct Measurements {
    shared: Arc<Shared>,
}

struct Shared {
    source: Arc<dyn SignalSource>,
    secrets: Secrets,
    speaking: Speaking,
    wakes: Arc<dyn Wakes>,
    state: Mutex<State>,
    changed: Notify,
}

type Id = (PolicyKey, SignalKey);
/// With the server, whose turn it is.
type Waiting = (Id, String);

#[derive(Default)]
struct State {
    by_policy: BTreeMap<PolicyKey, BTreeMap<SignalKey, Slot>>,
    waiting: Lanes<Waiting>,
}

/// One question.
#[derive(Clone)]
struct Slot {
    question: SignalQuestion,
    identity: Identity,
    answer: Option<SignalAnswer>,
}

impl Measurements {
    /// A service that knows nothing yet.
    pub fn new(source: Arc<dyn SignalSource>, cluster: Arc<dyn Cluster>, wakes: Arc<dyn Wakes>) -> Self {
        let (state, changed) = (Mutex::default(), Notify::new());
        let (secrets, speaking) = (Secrets::new(Arc::clone(&cluster)), Speaking::new(cluster));
        Self { shared: Arc::new(Shared { source, secrets, speaking, wakes, state, changed }) }
    }

    /// These are the questions of `policy` now; what it does not ask any more is forgotten.
    pub fn ask(&self, policy: &PolicyKey, identity: &Identity, asked: BTreeSet<SignalQuestion>) {
        if asked.is_empty() {
            self.forget(policy);
            return;
        }
        let mut state = self.lock();
        let State { by_policy, waiting } = &mut *state;
        let slots = by_policy.entry(policy.clone()).or_default();
        slots.retain(|key, _| asked.iter().any(|question| question.key == *key));
        for question in asked {
            let key = question.key.clone();
            if slots.contains_key(&key) {
                continue;
            }
            let server = question.server.to_string();
            waiting.push(&server, &policy.namespace, ((policy.clone(), key.clone()), server.clone()));
            slots.insert(key, Slot { question, identity: identity.clone(), answer: None });
        }
        drop(state);
        self.shared.changed.notify_one();
    }

    /// What is known of what `policy` asked.
    #[must_use]
    pub fn answers(&self, policy: &PolicyKey) -> BTreeMap<SignalKey, SignalAnswer> {
        let state = self.lock();
        let slots = state.by_policy.get(policy).into_iter().flatten();
        slots.filter_map(|(key, slot)| Some((key.clone(), slot.answer.clone()?))).collect()
    }

    /// The policy asks nothing any more.
    pub fn forget(&self, policy: &PolicyKey) {
        self.lock().by_policy.remove(policy);
    }

    /// Asks what waits until `stop`; what is under way then is dropped: it changes nothing.
    pub async fn run(self, stop: CancellationToken) {
        let next = || self.next().ok_or(None);
        work(&stop, PARALLEL, &self.shared.changed, next, |(id, slot)| {
            let this = self.clone();
            async move {
                let answer = AssertUnwindSafe(this.answer(&slot)).catch_unwind().await;
                let answer = answer.unwrap_or_else(|_| {
                    tracing::error!(signal = id.1.signal, "asking a signal panicked");
                    failed(&slot, "asking ended by itself; please report this with the controller's log")
                });
                this.take_in(&id, &slot, answer);
            }
        })
        .await;
    }

    /// The next question that may be asked and is still wanted.
    fn next(&self) -> Option<(Id, Slot)> {
        let mut state = self.lock();
        loop {
            let (id, server) = state.waiting.pop()?;
            let slot = state.by_policy.get(&id.0).and_then(|slots| slots.get(&id.1));
            match slot.filter(|slot| slot.answer.is_none()).cloned() {
                Some(slot) => return Some((id, slot)),
                None => state.waiting.done(&server),
            }
        }
    }

    fn take_in(&self, id: &Id, slot: &Slot, answer: SignalAnswer) {
        let mut state = self.lock();
        state.waiting.done(&slot.question.server.to_string());
        let kept = state.by_policy.get_mut(&id.0).and_then(|slots| slots.get_mut(&id.1));
        let wanted = kept.is_some();
        if let Some(kept) = kept {
            kept.answer = Some(answer);
        }
        drop(state);
        if wanted {
            self.shared.wakes.wake(&id.0);
        }
        self.shared.changed.notify_one();
    }

    async fn answer(&self, slot: &Slot) -> SignalAnswer {
        let SignalQuestion { candidate, baseline, .. } = &slot.question;
        let access = match self.access(slot).await {
            Ok(access) => access,
            Err(message) => return failed(slot, &message),
        };
        let beside = async {
            match baseline {
                Some(query) => Some(self.measure(slot, &access, "baseline", query).await),
                None => None,
            }
        };
        let (candidate, baseline) =
            futures::join!(self.measure(slot, &access, "candidate", candidate), beside);
        SignalAnswer { candidate, baseline }
    }

    async fn measure(&self, slot: &Slot, access: &SignalAccess, side: &str, query: &str) -> ArmAnswer {
        let SignalQuestion { key, server, at, window, .. } = &slot.question;
        let id = format!("{}-{}-{}-{side}", key.attempt, key.signal, key.tick);
        let identity = &slot.identity;
        let measure = Measure { server, identity, id: &id, query, at: *at, window: *window };
        match self.shared.source.measure(access, measure).await {
            Ok(Some(Measured::Value(value))) => ArmAnswer::Value(value),
            Ok(Some(Measured::Verdict { degraded })) => ArmAnswer::Verdict { degraded },
            Ok(None) => ArmAnswer::Nothing,
            Err(SignalError { refused, message }) => {
                if refused {
                    // It may have been rotated.
                    match &slot.question.secret {
                        Some(secret) => self.shared.secrets.refused(&slot.identity, secret),
                        None => self.shared.speaking.refused(&slot.identity),
                    }
                }
                tracing::debug!(signal = slot.question.key.signal, message, "a signal could not be measured");
                ArmAnswer::Failed(message)
            }
        }
    }

    async fn access(&self, slot: &Slot) -> Result<SignalAccess, String> {
        let SignalQuestion { server, secret, .. } = &slot.question;
        match secret {
            Some(name) => self.shared.secrets.read(&slot.identity, name).await,
            None if server.knows_accounts() => {
                let source = self.shared.source.as_ref();
                let account = self.shared.speaking.of(&slot.identity, source, server).await?;
                Ok(SignalAccess { account: Some(account), ..SignalAccess::default() })
            }
            None => Ok(SignalAccess::default()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing below can panic half-way through a change, so a poisoned state is still whole.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nothing could be asked.
fn failed(slot: &Slot, why: &str) -> SignalAnswer {
    let failed = ArmAnswer::Failed(why.to_owned());
    SignalAnswer { candidate: failed.clone(), baseline: slot.question.baseline.as_ref().map(|_| failed) }
}
