//! Tells people outside what the stored status says is to be told, in the background.
//!
//! Guarantees: nothing is told that is not stored, and nothing by a replica that may not write; of one policy a receiver gets
//! message after message, in their order; a pass never waits for it; what fails is tried again with pauses, until the core
//! gives it up; receivers take turns, so that one that hangs keeps up no other. Secrets are read as the policy's own
//! ServiceAccount, for every try anew, and never shown. What was told and is not recorded yet when a process ends is told
//! again by the next one, under the same id. May not: decide what is told, or to whom.

use super::{background::work, lanes::Lanes};
use crate::{
    ports::{
        Cluster, EffectError, Fence, Identity, PolicyKey, Wakes,
        notify::{Destination, Message, Notifier, NotifyError},
    },
    telemetry::Metrics,
};
use futures::FutureExt as _;
use lockkeeper_core::{
    notices::{Delivery, DeliveryKey, NoticesSeen, Place, Receiver},
    policy::Policy,
    status::Notice,
};
use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

/// Messages under way at once.
const PARALLEL: usize = 32;
/// Pause after the first failure; it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// What it works with.
pub struct Parts {
    /// Sends.
    pub notifier: Arc<dyn Notifier>,
    /// Reads Secrets.
    pub cluster: Arc<dyn Cluster>,
    /// Is told of answers.
    pub wakes: Arc<dyn Wakes>,
    /// The right to tell.
    pub fence: Fence,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

/// The service. Clones share one state.
#[derive(Clone)]
pub struct Notices {
    shared: Arc<Shared>,
}

struct Shared {
    parts: Parts,
    state: Mutex<State>,
    changed: Notify,
}

type Id = (PolicyKey, DeliveryKey);

#[derive(Default)]
struct State {
    /// In the order of the outbox.
    by_policy: BTreeMap<PolicyKey, Vec<Slot>>,
    ready: Lanes<(Id, String)>,
}

/// One message for one receiver.
#[derive(Clone)]
struct Slot {
    key: DeliveryKey,
    receiver: Receiver,
    identity: Identity,
    message: Message,
    due: Instant,
    /// It waits for its turn, or is under way.
    busy: bool,
    answer: Option<Delivery>,
}

impl Slot {
    /// The receiver, as one of its own of everybody: whose turns are counted together.
    fn lane(&self) -> String {
        match self.receiver.place {
            Place::Secret(_) => format!("{}/{}", self.identity.namespace, self.receiver.name),
            Place::Installation => self.receiver.name.clone(),
        }
    }
}

impl Notices {
    /// A service that has nothing to tell yet.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let (state, changed) = (Mutex::default(), Notify::new());
        Self { shared: Arc::new(Shared { parts, state, changed }) }
    }

    /// These messages are stored and not told yet; what is not among them any more is forgotten.
    pub fn tell(&self, key: &PolicyKey, identity: &Identity, policy: &Policy, outbox: &[Notice]) {
        if outbox.is_empty() {
            self.forget(key);
            return;
        }
        let receivers = policy.notify.as_deref().unwrap_or(self.shared.parts.notifier.receivers());
        let mut state = self.lock();
        let mut old = state.by_policy.remove(key).unwrap_or_default();
        let mut slots = Vec::new();
        for (notice, name) in outbox.iter().flat_map(|n| n.to.iter().map(move |name| (n, name))) {
            let Some(receiver) = receivers.iter().find(|receiver| receiver.name == *name) else { continue };
            let id = (notice.id.clone(), name.clone());
            let kept = old.iter().position(|slot| slot.key == id).map(|index| old.swap_remove(index));
            slots.push(kept.unwrap_or_else(|| Slot {
                key: id,
                receiver: receiver.clone(),
                identity: identity.clone(),
                message: Message {
                    namespace: policy.namespace.clone(),
                    policy: policy.name.clone(),
                    image: policy.image.to_string(),
                    notice: notice.clone(),
                },
                due: Instant::now(),
                busy: false,
                answer: None,
            }));
        }
        state.by_policy.insert(key.clone(), slots);
        drop(state);
        self.shared.changed.notify_one();
    }

    /// What is known of what `policy` tells.
    #[must_use]
    pub fn seen(&self, policy: &PolicyKey) -> NoticesSeen {
        let state = self.lock();
        let slots = state.by_policy.get(policy).into_iter().flatten();
        let told = slots.filter_map(|slot| Some((slot.key.clone(), slot.answer.clone()?))).collect();
        NoticesSeen { receivers: self.shared.parts.notifier.receivers().to_vec(), told }
    }

    /// The policy has nothing to tell any more.
    pub fn forget(&self, policy: &PolicyKey) {
        self.lock().by_policy.remove(policy);
    }

    /// Tells until `stop`; what is under way then is told again by whoever leads next.
    pub async fn run(self, stop: CancellationToken) {
        let next = || {
            let next_due = self.make_ready();
            self.next().ok_or(next_due)
        };
        work(&stop, PARALLEL, &self.shared.changed, next, |(id, lane, slot)| {
            let this = self.clone();
            async move {
                let sent = AssertUnwindSafe(this.send(&slot)).catch_unwind().await;
                let sent = sent.unwrap_or_else(|_| {
                    tracing::error!(receiver = slot.receiver.name, "telling panicked");
                    let why = "telling ended by itself; please report this with the controller's log";
                    Err(why.to_owned().into())
                });
                this.take_in(&id, &lane, &slot, sent);
            }
        })
        .await;
    }

    /// Lets the first message of each policy and receiver wait for its turn once it is due; says when the next one is.
    fn make_ready(&self) -> Option<Instant> {
        let mut state = self.lock();
        let State { by_policy, ready } = &mut *state;
        let (now, mut next) = (Instant::now(), None);
        for (policy, slots) in by_policy.iter_mut() {
            let mut begun: Vec<String> = Vec::new();
            for slot in slots.iter_mut().filter(|slot| slot.answer != Some(Delivery::Done)) {
                let name = &slot.receiver.name;
                if begun.contains(name) {
                    continue;
                }
                begun.push(name.clone());
                if slot.busy {
                    continue;
                }
                if slot.due <= now {
                    slot.busy = true;
                    let id = (policy.clone(), slot.key.clone());
                    ready.push(&slot.lane(), &policy.namespace, (id, slot.lane()));
                } else {
                    next = Some(next.map_or(slot.due, |at: Instant| at.min(slot.due)));
                }
            }
        }
        next
    }

    /// The next message whose turn it is and that is still wanted.
    fn next(&self) -> Option<(Id, String, Slot)> {
        let mut state = self.lock();
        loop {
            let (id, lane) = state.ready.pop()?;
            let slots = state.by_policy.get(&id.0).into_iter().flatten();
            match slots.filter(|slot| slot.busy).find(|slot| slot.key == id.1).cloned() {
                Some(slot) => return Some((id, lane, slot)),
                None => state.ready.done(&lane),
            }
        }
    }

    async fn send(&self, slot: &Slot) -> Result<(), NotifyError> {
        let Parts { notifier, fence, .. } = &self.shared.parts;
        let values = match &slot.receiver.place {
            Place::Installation => notifier.own(&slot.receiver.name)?,
            Place::Secret(name) => self.secret(&slot.identity, name).await?,
        };
        // After the Secret was read: that may have taken a while.
        if !fence.holds() {
            return Err("another replica leads and tells it".to_owned().into());
        }
        let to = Destination { service: slot.receiver.service, values };
        notifier.send(&to, &slot.message).await
    }

    async fn secret(&self, identity: &Identity, name: &str) -> Result<BTreeMap<String, Vec<u8>>, String> {
        self.shared.parts.cluster.secret(identity, name).await.map_err(|error| match error {
            EffectError::Outdated(_) => format!("Secret {}/{name} is not there; make it", identity.namespace),
            error => format!("Secret {}/{name} could not be read: {error}", identity.namespace),
        })
    }

    /// A message was sent, or was not: its policy hears of it.
    fn take_in(&self, id: &Id, lane: &str, sent: &Slot, result: Result<(), NotifyError>) {
        let Parts { metrics, wakes, .. } = &self.shared.parts;
        metrics.notified(sent.receiver.service.name(), if result.is_ok() { "delivered" } else { "failed" });
        let mut state = self.lock();
        state.ready.done(lane);
        let mut slots = state.by_policy.get_mut(&id.0).into_iter().flatten();
        if let Some(slot) = slots.find(|slot| slot.key == id.1) {
            slot.busy = false;
            slot.answer = Some(match result {
                Ok(()) => Delivery::Done,
                Err(error) => {
                    let tries = match &slot.answer {
                        Some(Delivery::Failing { tries, .. }) => tries.saturating_add(1),
                        _ => 1,
                    };
                    slot.due = Instant::now() + pause(tries).max(error.retry_after.unwrap_or_default());
                    tracing::debug!(receiver = slot.receiver.name, tries, error = error.message, "not told");
                    Delivery::Failing { tries, message: error.message }
                }
            });
        }
        drop(state);
        wakes.wake(&id.0);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing below can panic half-way through a change, so a poisoned state is still whole.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// After so many failures.
fn pause(tries: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << tries.saturating_sub(1).min(10));
    doubled.min(LONGEST_PAUSE)
}
