//! One collection, followed: list, then watch from there, for ever.
//!
//! Guarantees: knows whether what it shows is fresh. A watch that errs is stale from its last sign of life on; a
//! silent one (half-open, K2) is noticed 5 s after the API server should have ended it; a lost position (410) lists
//! again (K3); trouble of one collection touches no other (K10). Every list asks for the newest state, never for any
//! that a lagging API server may have (K5).
//! Not kube's `watcher`: that one does not say when an interrupted watch is back, and freshness gates promotions
//! (`docs/adr/0021-own-watch-loop.md`).

use super::{
    collection::{Arrives, Collection, Wake},
    shelf::version,
    world::World,
};
use crate::kubernetes::failure::chain;
use crate::ports::{Clock, Wakes};
use futures::{StreamExt, stream::BoxStream};
use http::Request;
use jiff::Timestamp;
use kube::{
    Client,
    api::{ListParams, WatchParams},
    core::{Request as Urls, WatchEvent},
};
use serde::Deserialize;
use std::{
    collections::BTreeSet,
    convert::Infallible,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

/// The API server ends a watch after this long; it is begun again from where it was.
const WATCH: u32 = 45;
/// So much later than that, silence means a broken connection.
const GRACE: Duration = Duration::from_secs(5);
/// The deadline of one page, and of a watch's beginning.
const PAGE: Duration = Duration::from_secs(30);
/// Objects per page.
const PAGE_SIZE: u32 = 500;
/// A watch that ends sooner than this showed nothing: it is not begun again at once.
const AT_ONCE: Duration = Duration::from_secs(1);
/// The longest pause after failures in a row, and between looks for a kind that is not served.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What all followers share.
#[derive(Clone)]
pub struct Shared {
    /// The stores.
    pub world: Arc<RwLock<World>>,
    /// Whom to tell.
    pub wakes: Arc<dyn Wakes>,
    /// Which time it is.
    pub clock: Arc<dyn Clock>,
    /// How often everything was asked to be listed anew; changed only with the stores locked.
    pub again: Arc<watch::Sender<u64>>,
}

impl Shared {
    /// The stores, to look.
    pub fn read(&self) -> RwLockReadGuard<'_, World> {
        self.world.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stores, to change.
    pub fn write(&self) -> RwLockWriteGuard<'_, World> {
        self.world.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wake these, with no lock held.
    pub fn wake(&self, policies: &Wake) {
        for policy in policies {
            self.wakes.wake(policy);
        }
    }
}

type Events<T> = BoxStream<'static, Result<WatchEvent<T>, kube::Error>>;

/// Where to go on.
enum Next {
    /// From where it is.
    On,
    /// From a new list.
    List,
    /// The kind is not served here; look again later.
    Absent,
}

/// Follows one collection.
pub struct Follower<C> {
    collection: C,
    client: Client,
    shared: Shared,
    alive: Timestamp,
    /// The version up to which everything is known; none: list.
    position: Option<String>,
    /// Which of the collection's addresses answered.
    path: usize,
    /// When to list anew, whatever is known.
    again: watch::Receiver<u64>,
    /// What `again` was when the last complete list began.
    listed: u64,
}

/// A page of a list.
#[derive(Deserialize)]
#[serde(bound = "T: serde::de::DeserializeOwned")]
struct Page<T> {
    metadata: PageMeta,
    /// An empty list of `PartialObjectMetadata` is `null`.
    items: Option<Vec<T>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PageMeta {
    resource_version: String,
    #[serde(rename = "continue")]
    more: String,
}

impl<C: Collection> Follower<C> {
    /// A follower that has seen nothing yet.
    pub fn new(collection: C, client: Client, shared: Shared) -> Self {
        let (alive, again) = (shared.clock.now(), shared.again.subscribe());
        Self { collection, client, shared, alive, position: None, path: 0, again, listed: 0 }
    }

    /// Follow, for ever.
    pub async fn run(mut self) -> Infallible {
        let mut failures = 0;
        loop {
            let outcome = match self.position.clone() {
                Some(from) if !self.is_asked_again() => self.watch(&from).await,
                _ => self.list().await,
            };
            match outcome {
                Ok(Next::On) => failures = 0,
                Ok(Next::List) => self.position = None,
                Ok(Next::Absent) => {
                    (self.position, failures) = (None, 0);
                    self.fresh();
                    self.rest(LONGEST_PAUSE).await;
                }
                Err(reason) => {
                    failures += 1;
                    self.stale(&reason, failures);
                    self.rest(pause(failures)).await;
                }
            }
        }
    }

    fn is_asked_again(&self) -> bool {
        *self.again.borrow() != self.listed
    }

    /// Waits, but not once everything is to be listed anew.
    async fn rest(&mut self, pause: Duration) {
        tokio::select! {
            () = sleep(pause) => {}
            () = asked(&mut self.again) => {}
        }
    }

    async fn list(&mut self) -> Result<Next, String> {
        (self.listed, self.position) = (*self.again.borrow_and_update(), None);
        let paths = self.collection.paths();
        for (index, path) in paths.iter().enumerate() {
            self.path = index;
            match self.list_at(path).await {
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                // The continue token of a slow list is too old: begin again.
                Err(kube::Error::Api(status)) if status.code == 410 => return Ok(Next::List),
                Err(error) => return Err(chain(&error)),
                Ok(version) => {
                    self.position = Some(version);
                    self.fresh();
                    return Ok(Next::On);
                }
            }
        }
        if self.collection.may_be_absent() {
            let woken = self.retain(u64::MAX, &BTreeSet::new());
            self.shared.wake(&woken);
            return Ok(Next::Absent);
        }
        Err(format!(
            "{} is not served by this cluster; install the custom resource definitions",
            paths.join(", ")
        ))
    }

    async fn list_at(&mut self, path: &str) -> Result<String, kube::Error> {
        let mut present = BTreeSet::new();
        let mut params = ListParams::default().limit(PAGE_SIZE);
        loop {
            let urls = Urls::new(path);
            let request = if self.collection.metadata_only() {
                urls.list_metadata(&params)
            } else {
                urls.list(&params)
            };
            let page: Page<C::Wire> = self.page(request.map_err(kube::Error::BuildRequest)?).await?;
            self.alive = self.shared.clock.now();
            let trimmed: Vec<_> =
                page.items.into_iter().flatten().filter_map(|item| self.collection.trim(item)).collect();
            let mut woken = Wake::new();
            let mut world = self.shared.write();
            for (place, kept) in trimmed {
                present.insert((place.namespace.clone(), place.name.clone()));
                woken.append(&mut self.collection.show(&mut world, &place, kept));
            }
            drop(world);
            self.shared.wake(&woken);
            if page.metadata.more.is_empty() {
                let woken = self.retain(version(&page.metadata.resource_version), &present);
                self.shared.wake(&woken);
                return Ok(page.metadata.resource_version);
            }
            params.continue_token = Some(page.metadata.more);
        }
    }

    async fn page(&self, request: Request<Vec<u8>>) -> Result<Page<C::Wire>, kube::Error> {
        let text = timeout(PAGE, self.client.request_text(request))
            .await
            .map_err(|_| kube::Error::Service(format!("no answer within {} s", PAGE.as_secs()).into()))??;
        serde_json::from_str(&text).map_err(kube::Error::SerdeError)
    }

    /// Drop what a complete list at `listed` did not hold.
    fn retain(&self, listed: u64, present: &BTreeSet<(String, String)>) -> Wake {
        let mut world = self.shared.write();
        let mut woken = Wake::new();
        for place in self.collection.shelf(&mut world).missing(listed, present) {
            woken.append(&mut self.collection.remove(&mut world, &place));
        }
        self.collection.shelf(&mut world).bookmark(if listed == u64::MAX { 0 } else { listed });
        woken
    }

    async fn watch(&mut self, from: &str) -> Result<Next, String> {
        let paths = self.collection.paths();
        let urls = Urls::new(&paths[self.path]);
        let params = WatchParams::default().timeout(WATCH);
        let request = if self.collection.metadata_only() {
            urls.watch_metadata(&params, from)
        } else {
            urls.watch(&params, from)
        };
        let request = request.map_err(|error| error.to_string())?;
        let begun = Instant::now();
        let mut events = match timeout(PAGE, events::<C::Wire>(&self.client, request)).await {
            Err(_) => return Err(format!("no answer within {} s", PAGE.as_secs())),
            Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 410) => return Ok(Next::List),
            Ok(Err(error)) => return Err(chain(&error)),
            Ok(Ok(events)) => events,
        };
        self.fresh();
        let silence = Duration::from_secs(WATCH.into()) + GRACE;
        loop {
            let event = tokio::select! {
                event = timeout(silence, events.next()) => event,
                () = asked(&mut self.again) => return Ok(Next::List),
            };
            let event = event.map_err(|_| format!("silent for {} s", silence.as_secs()))?;
            let Some(event) = event else { break };
            self.alive = self.shared.clock.now();
            match event.map_err(|error| chain(&error))? {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => self.shown(object),
                WatchEvent::Deleted(object) => self.gone(&object),
                WatchEvent::Bookmark(bookmark) => {
                    let reached = bookmark.metadata.resource_version;
                    self.collection.shelf(&mut self.shared.write()).bookmark(version(&reached));
                    self.position = Some(reached);
                }
                WatchEvent::Error(status) if matches!(status.code, 410 | 404) => return Ok(Next::List),
                WatchEvent::Error(status) => return Err(status.message),
            }
        }
        if begun.elapsed() < AT_ONCE && self.position.as_deref() == Some(from) {
            return Err("the API server ended the watch at once".to_owned());
        }
        Ok(Next::On)
    }

    fn shown(&mut self, object: C::Wire) {
        C::position(&object, &mut self.position);
        let Some((place, kept)) = self.collection.trim(object) else { return };
        let woken = self.collection.show(&mut self.shared.write(), &place, kept);
        self.shared.wake(&woken);
    }

    fn gone(&mut self, object: &C::Wire) {
        C::position(object, &mut self.position);
        let Some(place) = C::place(object) else { return };
        let woken = self.collection.remove(&mut self.shared.write(), &place);
        self.shared.wake(&woken);
    }

    fn fresh(&mut self) {
        self.alive = self.shared.clock.now();
        let mut world = self.shared.write();
        // Asked under the same lock as it is changed.
        let was = if self.is_asked_again() { None } else { world.fresh(&self.collection.watch()) };
        drop(world);
        if let Some(since) = was {
            tracing::info!(watch = %self.collection.watch(), %since, "watch is fresh");
            let all = self.shared.read().all_policies();
            self.shared.wake(&all);
        }
    }

    fn stale(&self, reason: &str, failures: u32) {
        let watch = self.collection.watch();
        if failures == 1 {
            tracing::warn!(%watch, reason, "watch is interrupted");
        } else {
            tracing::debug!(%watch, reason, failures, "watch is still interrupted");
        }
        if self.shared.write().stale(watch, self.alive) {
            let all = self.shared.read().all_policies();
            self.shared.wake(&all);
        }
    }
}

/// Ends when everything is to be listed anew. The sender lives as long as the stores do.
async fn asked(again: &mut watch::Receiver<u64>) {
    if again.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Boxed, so that its items have a name.
async fn events<T: Arrives>(client: &Client, request: Request<Vec<u8>>) -> Result<Events<T>, kube::Error> {
    Ok(Box::pin(client.request_events::<T>(request).await?))
}

/// Half a second, then twice as long each time.
fn pause(failures: u32) -> Duration {
    (Duration::from_millis(250) * 2_u32.saturating_pow(failures.min(8))).min(LONGEST_PAUSE)
}
