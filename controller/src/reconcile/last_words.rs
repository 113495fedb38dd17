//! What containers said when they died: the end of their logs, where the policy's `ServiceAccount` may read it.
//!
//! Guarantees: reading never holds up a pass, which is told again when there is a line; a death is read once as long as it is
//! shown; of a policy [`EACH`] are read in a minute and [`REMEMBERED`] remembered at most, of all [`PARALLEL`] at once. Of
//! a log one masked line is kept. Without the right nothing is said, and it is tried again after a while. Nothing is
//! decided by it: a sentence has a line more. May not: choose whose death counts.

use super::background::work;
use crate::ports::{Cluster, DeadContainer, EffectError, Identity, PolicyKey, StoredPolicy, Wakes};
use lockkeeper_core::{
    health::{last_words, telling_line},
    observed::StageSeen,
    policy::Policy,
    stage::unheard,
    status::Status,
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

/// Logs read at once, of all policies.
const PARALLEL: usize = 4;
/// Logs that are read for one policy in a [`WINDOW`].
const EACH: usize = 4;
const WINDOW: Duration = Duration::from_mins(1);
/// Deaths of one policy that are remembered; as long as so many are shown, no other is read.
const REMEMBERED: usize = 200;
/// How long a missing right is believed to be missing.
const REFUSED: Duration = Duration::from_mins(10);

/// The service. Clones share one state.
#[derive(Clone)]
pub struct LastWords {
    shared: Arc<Shared>,
}

struct Shared {
    cluster: Arc<dyn Cluster>,
    wakes: Arc<dyn Wakes>,
    state: Mutex<State>,
    changed: Notify,
}

/// A death, and who reads of it.
#[derive(Clone)]
struct Death {
    identity: Identity,
    dead: DeadContainer,
}

impl Death {
    /// Whether the container runs again changes how it is read, not what it was.
    fn is(&self, other: &Self) -> bool {
        let same = |a: &DeadContainer, b: &DeadContainer| {
            (&a.uid, &a.container, a.died) == (&b.uid, &b.container, b.died)
        };
        self.identity == other.identity && same(&self.dead, &other.dead)
    }

    /// Where the right is needed.
    fn place(&self) -> (Identity, String) {
        (self.identity.clone(), self.dead.namespace.clone())
    }
}

enum Line {
    Waiting,
    Reading,
    Nothing,
    Says(String),
}

#[derive(Default)]
struct OfPolicy {
    deaths: Vec<(Death, Line)>,
    refused: BTreeMap<(Identity, String), Instant>,
    window: Option<Instant>,
    begun: usize,
}

impl OfPolicy {
    /// The line of this death, or it is to be read if there is room for it.
    fn line(&mut self, death: &Death, now: Instant) -> (Option<String>, bool) {
        if let Some((_, line)) = self.deaths.iter().find(|(known, _)| known.is(death)) {
            let said = match line {
                Line::Says(line) => Some(line.clone()),
                Line::Waiting | Line::Reading | Line::Nothing => None,
            };
            return (said, false);
        }
        if self.window.is_none_or(|began| now.duration_since(began) >= WINDOW) {
            (self.window, self.begun) = (Some(now), 0);
        }
        let room = self.begun < EACH && self.deaths.len() < REMEMBERED;
        let wanted = room && !self.refused.contains_key(&death.place());
        if wanted {
            self.begun += 1;
            self.deaths.push((death.clone(), Line::Waiting));
        }
        (None, wanted)
    }
}

#[derive(Default)]
struct State {
    by_policy: BTreeMap<PolicyKey, OfPolicy>,
    waiting: VecDeque<(PolicyKey, Death)>,
}

impl LastWords {
    /// Nothing is read yet.
    pub fn new(cluster: Arc<dyn Cluster>, wakes: Arc<dyn Wakes>) -> Self {
        let (state, changed) = (Mutex::default(), Notify::new());
        Self { shared: Arc::new(Shared { cluster, wakes, state, changed }) }
    }

    /// Puts in what is known of the deaths that left no message, and has others read. What is shown no more is forgotten.
    pub fn show(&self, stored: &StoredPolicy, policy: &Policy, status: &Status, stages: &mut [StageSeen]) {
        let mut found = Vec::new();
        for (index, seen) in stages.iter().enumerate() {
            let (Some(stage), Some(status)) = (policy.stages.get(index), status.stages.get(index)) else {
                continue;
            };
            let unheard = unheard(policy, stage, status, seen).into_iter();
            found.extend(unheard.filter_map(|(pod, container)| {
                Some((index, pod, container, death(&stored.identity, seen, pod, container)?))
            }));
        }
        let mut state = self.lock();
        if found.is_empty() && !state.by_policy.contains_key(&stored.key) {
            return;
        }
        let (State { by_policy, waiting }, now) = (&mut *state, Instant::now());
        let mine = by_policy.entry(stored.key.clone()).or_default();
        mine.deaths.retain(|(known, _)| found.iter().any(|(.., death)| death.is(known)));
        mine.refused.retain(|_, at| now.duration_since(*at) < REFUSED);
        for (stage, pod, container, death) in found {
            let (line, wanted) = mine.line(&death, now);
            if let Some(line) = line {
                stages[stage].pods[pod].containers[container].said(&line);
            }
            if wanted {
                waiting.push_back((stored.key.clone(), death));
                self.shared.changed.notify_one();
            }
        }
    }

    /// The policy is gone.
    pub fn forget(&self, key: &PolicyKey) {
        self.lock().by_policy.remove(key);
    }

    /// Reads what waits until `stop`; what is under way then is dropped: it changes nothing.
    pub async fn run(self, stop: CancellationToken) {
        let next = || self.next().ok_or(None);
        work(&stop, PARALLEL, &self.shared.changed, next, |(key, death)| {
            let this = self.clone();
            async move {
                let read = this.shared.cluster.last_log(&death.identity, &death.dead).await;
                this.take_in(&key, &death, read);
            }
        })
        .await;
    }

    /// The next death that is still wanted.
    fn next(&self) -> Option<(PolicyKey, Death)> {
        let mut state = self.lock();
        loop {
            let (key, death) = state.waiting.pop_front()?;
            let mine = state.by_policy.get_mut(&key).map(|mine| &mut mine.deaths);
            let slot = mine.and_then(|deaths| deaths.iter_mut().find(|(known, _)| known.is(&death)));
            if let Some((_, line @ Line::Waiting)) = slot {
                *line = Line::Reading;
                return Some((key, death));
            }
        }
    }

    fn take_in(&self, key: &PolicyKey, death: &Death, read: Result<String, EffectError>) {
        let mut state = self.lock();
        let Some(mine) = state.by_policy.get_mut(key) else { return };
        let line = match read {
            Ok(log) => last_words(&log).and_then(|words| telling_line(&words)),
            Err(EffectError::Forbidden(_)) => {
                let place = death.place();
                mine.deaths.retain(|(known, line)| {
                    known.place() != place || matches!(line, Line::Says(_) | Line::Nothing)
                });
                mine.refused.insert(place, Instant::now());
                return;
            }
            Err(error) => {
                tracing::debug!(%error, pod = death.dead.pod, "the log of a dead container could not be read");
                None
            }
        };
        let told = line.is_some();
        if let Some((_, slot)) = mine.deaths.iter_mut().find(|(known, _)| known.is(death)) {
            *slot = line.map_or(Line::Nothing, Line::Says);
        }
        drop(state);
        if told {
            self.shared.wakes.wake(key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing above can panic half-way through a change.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn death(identity: &Identity, seen: &StageSeen, pod: usize, container: usize) -> Option<Death> {
    let pod = seen.pods.get(pod)?;
    let container = pod.containers.get(container)?;
    let dead = DeadContainer {
        namespace: pod.key.namespace.clone(),
        pod: pod.key.name.clone(),
        uid: pod.key.uid.clone(),
        container: container.name.clone(),
        died: container.died?,
        previous: container.up,
    };
    Some(Death { identity: identity.clone(), dead })
}
