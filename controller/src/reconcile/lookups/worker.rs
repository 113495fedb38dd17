//! Carries lookups out: a bounded number at once, and a smaller one per registry, each with a deadline.

use super::{
    Key, Listing, Lookups, Source, State, What,
    entry::{Found, spread},
};
use crate::ports::{PolicyKey, Reference, RegistryError};
use std::{collections::BTreeMap, time::Duration};
use tokio::{
    task::{Id, JoinError, JoinSet},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

/// Lookups at once.
const PARALLEL: usize = 16;
/// Of these, for one registry: a registry that hangs leaves room for others.
const PER_REGISTRY: usize = 4;
/// How long a whole listing may take, all its pages and waits.
const LISTING_LIMIT: Duration = Duration::from_mins(5);
/// How long any other lookup may take.
const LIMIT: Duration = Duration::from_mins(1);
/// Listings longer than this are sorted beside the async threads.
const LONG: usize = 5_000;

type Ended = Result<(Id, Result<Found, RegistryError>), JoinError>;

impl Lookups {
    /// Looks up what is due until `stop`; what is under way then is dropped: it changes nothing.
    pub async fn run(self, stop: CancellationToken) {
        let mut running = JoinSet::new();
        let mut keys: BTreeMap<Id, Key> = BTreeMap::new();
        while !stop.is_cancelled() {
            let (ready, next) = self.lock().take_due(PARALLEL.saturating_sub(running.len()));
            for key in ready {
                let (this, mine) = (self.clone(), key.clone());
                let task = running.spawn(async move { this.look_up(&mine).await });
                keys.insert(task.id(), key);
            }
            tokio::select! {
                () = stop.cancelled() => {}
                Some(ended) = running.join_next_with_id() => self.settle(&mut keys, ended).await,
                () = self.shared.changed.notified() => {}
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            }
        }
        running.shutdown().await;
    }

    async fn look_up(&self, key: &Key) -> Result<Found, RegistryError> {
        let limit = if key.what == What::Tags { LISTING_LIMIT } else { LIMIT };
        match timeout(limit, self.request(key)).await {
            Ok(found) => found,
            Err(_) => Err(RegistryError {
                reason: "Unreachable",
                message: format!("{} did not answer completely within {} s", key.repository, limit.as_secs()),
                retry_after: None,
            }),
        }
    }

    async fn request(&self, key: &Key) -> Result<Found, RegistryError> {
        let parts = &self.shared.parts;
        let access = parts.access.resolve(&key.source, &key.repository).await?;
        match &key.what {
            What::Tags => {
                let tags = parts.registry.tags(&access, &key.repository).await?;
                compact(tags).await.map(Found::Tags)
            }
            What::Tag(tag) => {
                let reference = Reference::Tag(tag.clone());
                parts.registry.resolve(&access, &key.repository, &reference).await.map(Found::Release)
            }
            What::Digest(digest) => {
                let reference = Reference::Digest(digest.clone());
                parts.registry.resolve(&access, &key.repository, &reference).await.map(Found::Release)
            }
            What::Pullable(digest) => {
                parts.registry.exists(&access, &key.repository, digest).await.map(Found::Exists)
            }
        }
    }

    async fn settle(&self, keys: &mut BTreeMap<Id, Key>, ended: Ended) {
        let (id, result) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                tracing::error!(%error, "a registry lookup panicked; it is tried again after a pause");
                let message =
                    "the lookup ended by itself; please report this with the controller's log".into();
                (error.id(), Err(RegistryError { reason: "BadAnswer", message, retry_after: None }))
            }
        };
        let Some(key) = keys.remove(&id) else { return };
        self.shared.parts.metrics.registry_request(key.what.kind(), result.as_ref().err().map(|e| e.reason));
        self.note(&key, &result);
        if result.as_ref().is_err_and(|e| e.reason == "AuthFailed") {
            self.refused(&key.source).await;
        }
        for policy in self.take_in(&key, result) {
            self.shared.parts.wakes.wake(&policy);
        }
    }

    async fn refused(&self, source: &Source) {
        self.shared.parts.access.refused(source).await;
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
    fn take_in(&self, key: &Key, result: Result<Found, RegistryError>) -> Vec<PolicyKey> {
        let (now, wall) = (Instant::now(), self.shared.parts.clock.now());
        let retry_after = result.as_ref().err().and_then(|e| e.retry_after);
        let retry_after = retry_after.map(|wait| Duration::try_from(wait).unwrap_or_default());
        let mut state = self.lock();
        let registry = key.repository.registry();
        if let Some(running) = state.running.get_mut(registry) {
            *running -= 1;
            if *running == 0 {
                state.running.remove(registry);
            }
        }
        state.turn += 1;
        let turn = state.turn;
        let Some(entry) = state.entries.get_mut(key) else { return Vec::new() };
        entry.running = false;
        let changed = entry.settle(result, wall);
        let concerned = entry.wants.iter().filter(|(_, want)| changed || want.now);
        let concerned = concerned.map(|(policy, _)| policy.clone()).collect();
        let pause = entry.pause(&key.what, retry_after, now);
        state.set_due(key, pause.map(|pause| now + spread(pause, key, turn)));
        concerned
    }
}

impl State {
    /// Takes what is due and has room at its registry; returns when to look again if nothing happens before.
    fn take_due(&mut self, room: usize) -> (Vec<Key>, Option<Instant>) {
        let now = Instant::now();
        let mut ready = Vec::new();
        let due: Vec<(Instant, Key)> = self.due.range(..).take_while(|(at, _)| *at <= now).cloned().collect();
        for (at, key) in due {
            if ready.len() == room {
                break;
            }
            let running = self.running.entry(key.repository.registry().to_owned()).or_default();
            if *running == PER_REGISTRY {
                continue;
            }
            *running += 1;
            self.due.remove(&(at, key.clone()));
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.due = None;
                entry.running = true;
                entry.began = Some(now);
            }
            ready.push(key);
        }
        // What is due and had no room waits for a slot, which wakes the loop by itself.
        let next = self.due.iter().map(|(at, _)| *at).find(|at| *at > now);
        (ready, next)
    }
}

async fn compact(tags: Vec<String>) -> Result<Listing, RegistryError> {
    if tags.len() <= LONG {
        return Ok(Listing::new(tags));
    }
    tokio::task::spawn_blocking(|| Listing::new(tags)).await.map_err(|error| RegistryError {
        reason: "BadAnswer",
        message: format!("the listing could not be sorted: {error}"),
        retry_after: None,
    })
}
