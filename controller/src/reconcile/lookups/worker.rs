//! Carries lookups out: a bounded number at once, and a smaller one per registry, each with a deadline.

use super::{
    Key, Lookups, Source, State, What,
    entry::{Found, scattered, spread},
};
use crate::ports::{Counted, Depth, PolicyKey, Reference, RegistryAccess, RegistryError};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    task::{Id, JoinError, JoinSet},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug_span, field::Empty};

/// Lookups at once.
const PARALLEL: usize = 16;
/// For how long a registry is left alone that says "too many" and not for how long.
const THROTTLED: Duration = Duration::from_secs(30);
/// The longest that a registry is left alone.
const LONGEST_HOLD: Duration = Duration::from_hours(1);
/// How long a whole listing may take, all its pages and waits.
const LISTING_LIMIT: Duration = Duration::from_mins(5);
/// How long any other lookup may take.
const LIMIT: Duration = Duration::from_mins(1);

type Ended = Result<(Id, Heard), JoinError>;

/// What came of a lookup.
struct Heard {
    result: Result<Found, RegistryError>,
    /// The registry wants to be left alone for so long.
    ease: Option<Duration>,
}

impl From<RegistryError> for Heard {
    fn from(error: RegistryError) -> Self {
        Self { result: Err(error), ease: None }
    }
}

impl Key {
    /// What it counts as where a registry limits how often it is asked; none: it is too urgent to wait.
    fn counted(&self) -> Option<Counted> {
        match self.what {
            What::Tags => Some(Counted::Listings),
            What::Tag(_) | What::Digest(_) | What::Signed(..) => Some(Counted::Manifests),
            // Asked before something is taken back, by HEAD.
            What::Pullable(_) => None,
        }
    }

    fn hold(&self) -> Option<(Source, String, Counted)> {
        Some((self.source.clone(), self.repository.registry().to_owned(), self.counted()?))
    }
}

impl Lookups {
    /// Looks up what is due until `stop`; what is under way then is dropped: it changes nothing.
    pub async fn run(self, stop: CancellationToken) {
        let mut running = JoinSet::new();
        let mut keys: BTreeMap<Id, Arc<Key>> = BTreeMap::new();
        while !stop.is_cancelled() {
            let (ready, next) = self.lock().take_due(PARALLEL.saturating_sub(running.len()));
            for (key, depth) in ready {
                let (this, mine) = (self.clone(), Arc::clone(&key));
                let task = running.spawn(async move { this.traced(&mine, depth).await });
                keys.insert(task.id(), key);
            }
            tokio::select! {
                () = stop.cancelled() => {}
                Some(ended) = running.join_next_with_id() => self.settle(&mut keys, ended),
                () = self.shared.changed.notified() => {}
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            }
        }
        running.shutdown().await;
    }

    /// Shown below the pass that asked for it, if one did.
    async fn traced(&self, key: &Key, depth: Depth) -> Heard {
        let origin = self.lock().entries.get_mut(key).map(|entry| std::mem::take(&mut entry.origin));
        let span = debug_span!(
            "lookup",
            kind = key.what.kind(),
            repository = %key.repository,
            outcome = Empty
        );
        origin.unwrap_or_default().adopt(&span);
        let heard = self.look_up(key, depth).instrument(span.clone()).await;
        span.record("outcome", heard.result.as_ref().map_or_else(|error| error.reason, |_| "ok"));
        heard
    }

    async fn look_up(&self, key: &Key, depth: Depth) -> Heard {
        let limit = if key.what == What::Tags { LISTING_LIMIT } else { LIMIT };
        match timeout(limit, self.request(key, depth)).await {
            Ok(heard) => heard,
            Err(_) => Heard::from(RegistryError {
                reason: "Unreachable",
                message: format!("{} did not answer completely within {} s", key.repository, limit.as_secs()),
                retry_after: None,
            }),
        }
    }

    /// Asks the registry. A credential that it refuses may have been rotated: it is read again, and if it is another
    /// one now, the registry is asked once more.
    async fn request(&self, key: &Key, depth: Depth) -> Heard {
        let parts = &self.shared.parts;
        let mut access = match parts.access.resolve(&key.source, &key.repository).await {
            Ok(access) => access,
            Err(error) => return error.into(),
        };
        let mut result = self.ask_registry(key, depth, &access).await;
        if result.as_ref().is_err_and(|error| error.reason == "AuthFailed") {
            parts.access.refused(&key.source);
            match parts.access.resolve(&key.source, &key.repository).await {
                Ok(newer) if newer != access => {
                    access = newer;
                    result = self.ask_registry(key, depth, &access).await;
                }
                _ => {}
            }
        }
        let ease = key.counted().and_then(|counted| parts.registry.ease(&access, &key.repository, counted));
        Heard { result, ease }
    }

    async fn ask_registry(
        &self,
        key: &Key,
        depth: Depth,
        access: &RegistryAccess,
    ) -> Result<Found, RegistryError> {
        let (registry, repository) = (&self.shared.parts.registry, &key.repository);
        let reference = match &key.what {
            What::Tags => return registry.tags(access, repository).await.map(Found::Tags),
            What::Pullable(digest) => {
                return registry.exists(access, repository, digest).await.map(Found::Exists);
            }
            What::Signed(digest, asked) => {
                return self.judged(repository, digest, asked, access).await.map(Found::Signed);
            }
            What::Tag(tag) => Reference::Tag(tag.clone()),
            What::Digest(digest) => Reference::Digest(digest.clone()),
        };
        let release = registry.resolve(access, repository, &reference, depth).await?;
        Ok(Found::Release(release, depth))
    }

    /// Takes in what a lookup ended with. Waits for nothing: meanwhile no other lookup could begin.
    fn settle(&self, keys: &mut BTreeMap<Id, Arc<Key>>, ended: Ended) {
        let (id, heard) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                tracing::error!(%error, "a registry lookup panicked; it is tried again after a pause");
                let message =
                    "the lookup ended by itself; please report this with the controller's log".into();
                (error.id(), RegistryError { reason: "BadAnswer", message, retry_after: None }.into())
            }
        };
        let Some(key) = keys.remove(&id) else { return };
        let failed = heard.result.as_ref().err().map(|error| error.reason);
        self.shared.parts.metrics.registry_request(key.what.kind(), failed);
        self.note(&key, &heard.result);
        if failed == Some("AuthFailed") {
            self.shared.parts.access.refused(&key.source);
        }
        for policy in self.take_in(&key, heard) {
            self.shared.parts.wakes.wake(&policy);
        }
    }

    fn note(&self, key: &Key, result: &Result<Found, RegistryError>) {
        let repository = key.repository.to_string();
        match result {
            Ok(Found::Tags(listing)) => {
                self.shared.parts.metrics.scanned(&repository, self.shared.parts.clock.now());
                tracing::debug!(repository, tags = listing.len(), "listed");
            }
            Ok(_) => tracing::debug!(repository, what = ?key.what, "looked up"),
            Err(error) => tracing::warn!(
                repository,
                what = key.what.kind(),
                reason = error.reason,
                message = error.message,
                "a registry lookup failed"
            ),
        }
    }

    /// Keeps what came of a lookup and returns whom it concerns.
    fn take_in(&self, key: &Key, heard: Heard) -> Vec<PolicyKey> {
        let (now, wall) = (Instant::now(), self.shared.parts.clock.now());
        let failed = heard.result.as_ref().err();
        let retry_after = failed.and_then(|e| e.retry_after);
        let retry_after = retry_after.map(|wait| Duration::try_from(wait).unwrap_or_default());
        // Too many requests are too many of all that are asked with this credential.
        let throttled = failed.filter(|e| e.reason == "Throttled").map(|_| retry_after.unwrap_or(THROTTLED));
        let mut state = self.lock();
        state.lanes.done(key.repository.registry());
        if let Some(wait) = heard.ease.max(throttled) {
            state.hold(key, now + wait.min(LONGEST_HOLD));
        }
        state.turn += 1;
        let turn = state.turn;
        let Some(entry) = state.entries.get_mut(key) else { return Vec::new() };
        entry.running = false;
        let first = key.what == What::Tags && entry.heard.is_none() && heard.result.is_ok();
        let changed = entry.settle(heard.result, wall);
        let concerned = entry.wants.iter().filter(|(_, want)| changed || want.now);
        let concerned = concerned.map(|(policy, _)| policy.clone()).collect();
        let pause = match entry.pause(&key.what, retry_after) {
            // Somebody wants to know more meanwhile.
            Some(_) if entry.failures == 0 && entry.is_shallow() => Some(Duration::ZERO),
            Some(pause) if first => Some(scattered(pause, key)),
            Some(pause) => Some(spread(pause, key, turn)),
            None => None,
        };
        let due = pause.map(|pause| now + pause);
        let due = if entry.take_again() { entry.at_a_hint(now).or(due) } else { due };
        state.set_due(key, due);
        concerned
    }
}

impl State {
    fn hold(&mut self, key: &Key, until: Instant) {
        let now = Instant::now();
        self.holds.retain(|_, until| *until > now);
        let Some(who) = key.hold() else { return };
        let held = self.holds.entry(who).or_insert(until);
        *held = until.max(*held);
    }

    /// Until when this waits, because its registry wants to be left alone.
    fn held(&self, key: &Key, now: Instant) -> Option<Instant> {
        let until = *self.holds.get(&key.hold()?)?;
        let urgent = self.entries.get(key).is_some_and(super::entry::Entry::is_urgent);
        (until > now && !urgent).then_some(until)
    }

    /// Takes what is due and has room at its registry; returns when to look again if nothing happens before.
    fn take_due(&mut self, room: usize) -> (Vec<(Arc<Key>, Depth)>, Option<Instant>) {
        let now = Instant::now();
        while let Some((at, _)) = self.due.first()
            && *at <= now
            && let Some((_, key)) = self.due.pop_first()
        {
            self.queue(key);
        }
        let mut ready = Vec::new();
        while ready.len() < room
            && let Some(key) = self.lanes.pop()
        {
            let held = self.held(&key, now);
            match self.entries.get_mut(&key).filter(|entry| entry.queued) {
                Some(entry) if held.is_none() => {
                    entry.queued = false;
                    entry.running = true;
                    entry.began = Some(now);
                    ready.push((key, entry.depth()));
                }
                waits => {
                    let again = waits.is_some();
                    self.lanes.done(key.repository.registry());
                    if again {
                        self.set_due(&key, held);
                    }
                }
            }
        }
        // What waits for room is begun when something ends, which wakes the loop by itself.
        (ready, self.due.first().map(|(at, _)| *at))
    }

    fn queue(&mut self, key: Arc<Key>) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        entry.due = None;
        entry.queued = true;
        let asking = entry.wants.keys().next().map(|policy| policy.namespace.as_str());
        let tenant = key.source.namespace().or(asking).unwrap_or_default().to_owned();
        let registry = key.repository.registry().to_owned();
        self.lanes.push(&registry, &tenant, key);
    }
}
