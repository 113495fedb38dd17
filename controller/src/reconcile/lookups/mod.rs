//! What registries were asked, and what they said: listings (scans) and answers to the core's questions.
//!
//! Guarantees: reading is from memory and never waits; whatever many policies want to know is looked up once per
//! source (credential) and repository; a lookup that fails keeps what was known before; a slow registry delays no
//! other; memory is bounded. Policies are woken when what they asked for has changed.
//! Assumes: [`Lookups::run`] runs as a task of its own. May not: decide what an answer means.

mod access;
mod answers;
mod entry;
mod hinted;
mod scans;
mod signed;
mod signing_in;
mod worker;

pub use access::{AccessCache, Source};
pub use entry::Cadence;
pub use scans::{Rankings, Scan};
pub use signed::Asked;

use super::lanes::Lanes;
use crate::ports::{Clock, Counted, PolicyKey, Registry, Verifier, Wakes};
use crate::telemetry::{Metrics, Origin};
use entry::{Entry, Want};
use lockkeeper_core::image::{Digest, Repository, Tag};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
    /// Who signed a digest, as far as somebody asks for it.
    Signed(Digest, Asked),
}

impl What {
    /// Whether it may be another tomorrow.
    fn changes(&self) -> bool {
        matches!(self, Self::Tags | Self::Tag(_) | Self::Signed(..))
    }

    /// For metrics.
    fn kind(&self) -> &'static str {
        match self {
            Self::Tags => "tags",
            Self::Tag(_) => "tag",
            Self::Digest(_) => "digest",
            Self::Pullable(_) => "pullable",
            Self::Signed(..) => "signed",
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
    /// Judges signatures.
    pub verifier: Arc<dyn Verifier>,
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
    entries: BTreeMap<Arc<Key>, Entry>,
    /// Not queued and not running, soonest first.
    due: BTreeSet<(Instant, Arc<Key>)>,
    /// Due, waiting for room or under way.
    lanes: Lanes<Arc<Key>>,
    /// Registries that want to be asked less with some credential, and until when nothing is asked of that kind.
    holds: BTreeMap<(Source, String, Counted), Instant>,
    by_policy: BTreeMap<PolicyKey, BTreeSet<Arc<Key>>>,
    /// What may change: the tags of a repository, and what they name.
    by_repository: BTreeMap<Repository, BTreeSet<Arc<Key>>>,
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
        cadence: &Cadence,
        keys: impl IntoIterator<Item = (Key, bool)>,
    ) {
        let now = Instant::now();
        let mut state = self.lock();
        let old = state.by_policy.get(policy).into_iter().flatten().filter(|key| key.source != *source);
        for key in old.cloned().collect::<Vec<_>>() {
            self.drop_want(&mut state, policy, &key);
        }
        let mut missed = false;
        for (key, at_this_moment) in keys {
            let want = Want { asked: now, cadence: *cadence, now: at_this_moment };
            missed |= state.want(policy, want, &Arc::new(key));
        }
        for key in state.excess(policy) {
            self.drop_want(&mut state, policy, &key);
        }
        drop(state);
        self.shared.changed.notify_one();
        if missed {
            self.shared.parts.wakes.wake(policy);
        }
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
        due + state.entries.values().filter(|entry| entry.running || entry.queued).count()
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
    /// Returns whether there is an answer already of which nobody told this policy: others asked before it, and what
    /// does not change is not told again.
    fn want(&mut self, policy: &PolicyKey, want: Want, key: &Arc<Key>) -> bool {
        if key.what.changes() {
            self.by_repository.entry(key.repository.clone()).or_default().insert(Arc::clone(key));
        }
        let entry = self.entries.entry(Arc::clone(key)).or_default();
        let idle = entry.wants.is_empty();
        let now = want.asked;
        let stale = want.now && !entry.is_fresh(now);
        let before = entry.wants.insert(policy.clone(), want);
        // Listings are read in the same step as they are asked for.
        let untold = key.what != What::Tags && before.is_none_or(|before| want.now && !before.now && !stale);
        let missed = untold && (entry.kept.is_some() || entry.failing.is_some());
        // What fails is not asked more often than its pause says.
        let stale = entry.failures == 0 && (stale || entry.is_shallow());
        // Known for ever, waiting for its time, or under way: nothing to do. Unknown, or left alone for a while: now.
        let settled =
            matches!((&key.what, &entry.kept), (What::Digest(_), Some(entry::Kept::Release(Some(_), _))));
        let begin = (stale || (idle && !settled)) && !entry.running && !entry.queued;
        if begin {
            entry.origin = Origin::here();
        }
        self.by_policy.entry(policy.clone()).or_default().insert(Arc::clone(key));
        if begin {
            self.set_due(key, Some(now));
        }
        missed
    }

    /// The questions of a policy that are more than are kept: the ones not asked for longest.
    fn excess(&self, policy: &PolicyKey) -> Vec<Arc<Key>> {
        let Some(keys) = self.by_policy.get(policy) else { return Vec::new() };
        let excess = keys.len().saturating_sub(PER_POLICY);
        if excess == 0 {
            return Vec::new();
        }
        let mut by_age: Vec<(Instant, Arc<Key>)> = keys
            .iter()
            .filter(|key| key.what != What::Tags)
            .filter_map(|key| Some((self.entries.get(key)?.wants.get(policy)?.asked, Arc::clone(key))))
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
        if let Some(keys) = self.by_repository.get_mut(&key.repository) {
            keys.remove(key);
            if keys.is_empty() {
                self.by_repository.remove(&key.repository);
            }
        }
    }

    fn set_due(&mut self, key: &Key, at: Option<Instant>) {
        let Some((key, _)) = self.entries.get_key_value(key) else { return };
        let key = Arc::clone(key);
        let Some(entry) = self.entries.get_mut(&key) else { return };
        // A copy that waits in its lane is passed over when its turn comes.
        entry.queued = false;
        if let Some(before) = std::mem::replace(&mut entry.due, at) {
            self.due.remove(&(before, Arc::clone(&key)));
        }
        if let Some(at) = at {
            self.due.insert((at, key));
        }
    }
}
