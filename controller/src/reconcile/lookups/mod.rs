//! What registries were asked, and what they said: listings (scans) and answers to the core's questions.
//!
//! Guarantees: reading is from memory and never waits; whatever many policies want to know is looked up once per
//! source (credential) and repository; a lookup that fails keeps what was known before; a slow registry delays no
//! other; memory is bounded. Policies are woken when what they asked for has changed.
//! Assumes: [`Lookups::run`] runs as a task of its own. May not: decide what an answer means.

mod access;
mod answers;
mod entry;
mod scans;
mod worker;

pub use access::{AccessCache, Source};
pub use scans::{Listing, Rankings, Scan};

use crate::ports::{Clock, PolicyKey, Registry, Wakes};
use crate::telemetry::Metrics;
use entry::{Entry, Want};
use lockkeeper_core::image::{Digest, Repository, Tag};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// Lookups that nobody wants any more are kept up to this many in all: what a digest is never changes.
const KEPT: usize = 10_000;
/// Questions kept per policy: the ones asked last.
const PER_POLICY: usize = 256;

/// One lookup: equal keys are looked up once, whoever asks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    source: Source,
    repository: Repository,
    what: What,
}

/// What is looked up in a repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// All its tags.
    Tags,
    /// What a tag names.
    Tag(Tag),
    /// What a digest is.
    Digest(Digest),
    /// Whether a digest can be fetched.
    Pullable(Digest),
}

impl What {
    /// For metrics.
    fn kind(&self) -> &'static str {
        match self {
            Self::Tags => "tags",
            Self::Tag(_) => "tag",
            Self::Digest(_) => "digest",
            Self::Pullable(_) => "pullable",
        }
    }
}

/// The lookup service. Clones share one state.
#[derive(Clone)]
pub struct Lookups {
    shared: Arc<Shared>,
}

/// What the service works with.
pub struct Parts {
    /// Asks registries.
    pub registry: Arc<dyn Registry>,
    /// Finds credentials.
    pub access: AccessCache,
    /// Who is told that an answer came.
    pub wakes: Arc<dyn Wakes>,
    /// For the beginning of failures.
    pub clock: Arc<dyn Clock>,
    /// Counts requests.
    pub metrics: Arc<Metrics>,
}

struct Shared {
    parts: Parts,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<Key, Entry>,
    /// Not running and due, soonest first.
    due: BTreeSet<(Instant, Key)>,
    by_policy: BTreeMap<PolicyKey, BTreeSet<Key>>,
    /// Under way per registry.
    running: BTreeMap<String, usize>,
    /// Counts lookups, so that each is spread differently.
    turn: u64,
}

impl Lookups {
    /// A service that knows nothing yet.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self { shared: Arc::new(Shared { parts, state: Mutex::default(), changed: Notify::new() }) }
    }

    /// From now on `policy` wants to know this, through `source` alone; it is looked up at once if it is not known, or
    /// if what it is at this moment is wanted (`true`) and not known.
    fn want(
        &self,
        policy: &PolicyKey,
        source: &Source,
        interval: Duration,
        keys: impl IntoIterator<Item = (Key, bool)>,
    ) {
        let now = Instant::now();
        let mut state = self.lock();
        let old = state.by_policy.get(policy).into_iter().flatten().filter(|key| key.source != *source);
        for key in old.cloned().collect::<Vec<_>>() {
            self.drop_want(&mut state, policy, &key);
        }
        for (key, at_this_moment) in keys {
            state.want(policy, Want { asked: now, interval, now: at_this_moment }, &key);
        }
        for key in state.excess(policy) {
            self.drop_want(&mut state, policy, &key);
        }
        drop(state);
        self.shared.changed.notify_one();
    }

    fn drop_want(&self, state: &mut State, policy: &PolicyKey, key: &Key) {
        if let Some(keys) = state.by_policy.get_mut(policy) {
            keys.remove(key);
        }
        state.unwant(policy, key);
        if key.what == What::Tags && !state.entries.contains_key(key) {
            self.shared.parts.metrics.unscanned(&key.repository.to_string());
        }
    }

    /// Lookups that are under way or due now.
    #[must_use]
    pub fn pending(&self) -> usize {
        let (state, now) = (self.lock(), Instant::now());
        let due = state.due.iter().take_while(|(at, _)| *at <= now).count();
        due + state.entries.values().filter(|entry| entry.running).count()
    }

    /// A policy is gone: what only it wanted is not looked up any more.
    pub fn forget(&self, policy: &PolicyKey) {
        let mut state = self.lock();
        for key in state.by_policy.remove(policy).unwrap_or_default() {
            self.drop_want(&mut state, policy, &key);
        }
        let used: BTreeSet<Source> = state.entries.keys().map(|k| k.source.clone()).collect();
        drop(state);
        self.shared.parts.access.retain(|source| used.contains(source));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing below can panic half-way through a change, so a poisoned state is still whole.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn want(&mut self, policy: &PolicyKey, want: Want, key: &Key) {
        let entry = self.entries.entry(key.clone()).or_default();
        let idle = entry.wants.is_empty();
        let now = want.asked;
        // What fails is not asked more often than its pause says.
        let stale = want.now && entry.failures == 0 && !entry.is_fresh(now);
        entry.wants.insert(policy.clone(), want);
        self.by_policy.entry(policy.clone()).or_default().insert(key.clone());
        // Known for ever, waiting for its time, or under way: nothing to do. Unknown, or left alone for a while: now.
        let settled =
            matches!((&key.what, &entry.kept), (What::Digest(_), Some(entry::Kept::Release(Some(_)))));
        if (stale || (idle && !settled)) && !entry.running {
            self.set_due(key, Some(now));
        }
    }

    /// The questions of a policy that are more than are kept: the ones not asked for longest.
    fn excess(&self, policy: &PolicyKey) -> Vec<Key> {
        let Some(keys) = self.by_policy.get(policy) else { return Vec::new() };
        let excess = keys.len().saturating_sub(PER_POLICY);
        if excess == 0 {
            return Vec::new();
        }
        let mut by_age: Vec<(Instant, Key)> = keys
            .iter()
            .filter(|key| key.what != What::Tags)
            .filter_map(|key| Some((self.entries.get(key)?.wants.get(policy)?.asked, key.clone())))
            .collect();
        by_age.sort();
        by_age.into_iter().take(excess).map(|(_, key)| key).collect()
    }

    fn unwant(&mut self, policy: &PolicyKey, key: &Key) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        entry.wants.remove(policy);
        if !entry.wants.is_empty() {
            return;
        }
        self.set_due(key, None);
        if !matches!(key.what, What::Digest(_)) || self.entries.len() > KEPT {
            self.entries.remove(key);
        }
    }

    fn set_due(&mut self, key: &Key, at: Option<Instant>) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        if let Some(before) = std::mem::replace(&mut entry.due, at) {
            self.due.remove(&(before, key.clone()));
        }
        if let Some(at) = at {
            self.due.insert((at, key.clone()));
        }
    }
}
