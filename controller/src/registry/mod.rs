//! Image registries (OCI distribution), read only.
//!
//! Guarantees: a listing is complete or an error; a digest is that of bytes hashed here; one access never uses
//! another's connections, tokens or facts; hosts are dialled as the host policy says, and left alone for a while when
//! they mostly fail; every operation ends within its deadline; memory is bounded by [`Options`]; errors and `Debug` never show a credential.
//! Assumes: accesses with equal `scope` belong to one credential (it is part of every key anyway).
//! May not: write to a registry, retry on its own (the reconciler asks again), or decide what a tag is worth.

mod auth;
mod challenge;
mod circuit;
pub mod cloud;
pub mod credentials;
mod error;
mod limits;
mod lru;
mod manifest;
mod resolve;
mod signatures;
mod sizes;
mod tags;
mod transport;
mod trust;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use http::HeaderValue;
use lockkeeper_core::image::{Digest, Release, Repository, Tag};
use tokio::time::Instant;
use url::Url;

use crate::hosts::{HostPolicy, Lookup, SystemLookup, authority};
use crate::ports::{Counted, Depth, Listing, Reference, Registry, RegistryAccess, RegistryError, Signature};
use auth::Auth;
use circuit::Circuits;
use error::{bad_answer, too_slow};
use limits::Limits;
use lru::Lru;
pub use sizes::Sizes;
use transport::{Ask, Reply, Transport};

/// Accesses kept at a time; the one used longest ago goes first.
const ACCESSES: usize = 512;

/// Releases, tags and listings remembered per access.
const FACTS: usize = 2048;

/// Limits of one registry client. The defaults hold for the registries people use.
#[derive(Clone, Debug)]
pub struct Options {
    /// Until a connection stands.
    pub connect: Duration,
    /// For one request, with its token, its redirects and its whole body.
    pub request: Duration,
    /// For one listing or lookup, with all its requests.
    pub operation: Duration,
    /// Largest manifest or config, in bytes; the specification demands 4 MiB.
    pub manifest_bytes: usize,
    /// Largest page of tags, in bytes.
    pub page_bytes: usize,
    /// Most pages of tags.
    pub pages: usize,
    /// Most tags.
    pub tags: usize,
    /// Certificates in PEM form that are trusted besides the machine's own.
    pub extra_roots: Option<Vec<u8>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            request: Duration::from_secs(30),
            operation: Duration::from_mins(3),
            manifest_bytes: 4 * 1024 * 1024,
            page_bytes: 8 * 1024 * 1024,
            pages: 2_000,
            tags: 500_000,
            extra_roots: None,
        }
    }
}

/// Whether this text holds certificates that [`Options::extra_roots`] may be.
///
/// # Errors
/// It holds none, or something that is none.
pub fn check_roots(pem: &[u8]) -> Result<(), RegistryError> {
    trust::roots(pem).map(drop)
}

/// TLS as the registry clients speak it: the machine's trusted roots and these.
///
/// # Errors
/// The extra certificates are no PEM.
pub fn tls(extra_roots: Option<&[u8]>) -> Result<rustls::ClientConfig, RegistryError> {
    trust::tls(extra_roots)
}

/// The registry client: one session per access.
pub struct OciRegistry {
    options: Arc<Options>,
    tls: rustls::ClientConfig,
    hosts: Arc<HostPolicy>,
    circuits: Arc<Circuits>,
    lookup: Arc<dyn Lookup>,
    sessions: Mutex<Lru<RegistryAccess, Arc<Session>>>,
}

impl fmt::Debug for OciRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OciRegistry").field("options", &self.options).finish_non_exhaustive()
    }
}

impl OciRegistry {
    /// A client that dials what `hosts` allows.
    ///
    /// # Errors
    /// The extra certificates are no PEM.
    pub fn new(hosts: Arc<HostPolicy>, options: Options) -> Result<Self, RegistryError> {
        Self::with_lookup(hosts, options, Arc::new(SystemLookup))
    }

    /// The same, with names resolved by `lookup`.
    ///
    /// # Errors
    /// As [`OciRegistry::new`].
    pub fn with_lookup(
        hosts: Arc<HostPolicy>,
        options: Options,
        lookup: Arc<dyn Lookup>,
    ) -> Result<Self, RegistryError> {
        let tls = trust::tls(options.extra_roots.as_deref())?;
        let sessions = Mutex::new(Lru::new(ACCESSES));
        Ok(Self { options: Arc::new(options), tls, hosts, circuits: Arc::default(), lookup, sessions })
    }

    fn session(&self, access: &RegistryAccess) -> Result<Arc<Session>, RegistryError> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = sessions.get(access) {
            return Ok(session);
        }
        let Self { options, tls, hosts, circuits, lookup, .. } = self;
        let transport = Transport::new(options, tls, hosts, circuits, lookup, access)?;
        let session = Arc::new(Session {
            options: self.options.clone(),
            insecure: access.insecure,
            transport,
            auth: Auth::new(access.credential.as_ref()),
            limits: Limits::default(),
            releases: Mutex::new(Lru::new(FACTS)),
            seen: Mutex::new(Lru::new(FACTS)),
            listings: Mutex::new(Lru::new(FACTS)),
        });
        sessions.insert(access.clone(), session.clone());
        Ok(session)
    }
}

impl Registry for OciRegistry {
    fn tags<'a>(
        &'a self,
        access: &'a RegistryAccess,
        repository: &'a Repository,
    ) -> BoxFuture<'a, Result<Listing, RegistryError>> {
        Box::pin(async move {
            let session = self.session(access)?;
            session.within(repository, tags::list(&session, repository)).await
        })
    }

    fn resolve<'a>(
        &'a self,
        access: &'a RegistryAccess,
        repository: &'a Repository,
        reference: &'a Reference,
        depth: Depth,
    ) -> BoxFuture<'a, Result<Option<Release>, RegistryError>> {
        Box::pin(async move {
            let session = self.session(access)?;
            match reference {
                Reference::Tag(tag) => {
                    session.within(repository, resolve::tag(&session, repository, tag, depth)).await
                }
                Reference::Digest(digest) => {
                    session.within(repository, resolve::digest(&session, repository, digest, depth)).await
                }
            }
        })
    }

    fn exists<'a>(
        &'a self,
        access: &'a RegistryAccess,
        repository: &'a Repository,
        digest: &'a Digest,
    ) -> BoxFuture<'a, Result<bool, RegistryError>> {
        Box::pin(async move {
            let session = self.session(access)?;
            session.within(repository, resolve::exists(&session, repository, digest)).await
        })
    }

    fn signatures<'a>(
        &'a self,
        access: &'a RegistryAccess,
        repository: &'a Repository,
        digest: &'a Digest,
    ) -> BoxFuture<'a, Result<Vec<Signature>, RegistryError>> {
        Box::pin(async move {
            let session = self.session(access)?;
            session.within(repository, signatures::of(&session, repository, digest)).await
        })
    }

    fn ease(&self, access: &RegistryAccess, repository: &Repository, counted: Counted) -> Option<Duration> {
        let session = self.session(access).ok()?;
        let host = authority(&session.url(repository, "").ok()?);
        session.limits.ease(&host, counted, Instant::now())
    }
}

/// What a tag named when it was last looked at.
#[derive(Clone, Debug)]
struct Seen {
    digest: Digest,
    etag: Option<HeaderValue>,
}

/// Everything that belongs to one access: connections, tokens, facts.
#[derive(Debug)]
struct Session {
    options: Arc<Options>,
    insecure: bool,
    transport: Transport,
    auth: Auth,
    limits: Limits,
    /// By repository: that contents are in one says nothing about another.
    releases: Mutex<Lru<(Repository, Digest), (Depth, Release)>>,
    seen: Mutex<Lru<(Repository, Tag), Seen>>,
    listings: Mutex<Lru<Repository, Arc<tags::Known>>>,
}

impl Session {
    /// `/v2/<path>/<rest>` of the registry; Docker Hub's API is on a host of its own.
    fn url(&self, repository: &Repository, rest: &str) -> Result<Url, RegistryError> {
        let scheme = if self.insecure { "http" } else { "https" };
        let host = match repository.registry() {
            "docker.io" => "registry-1.docker.io",
            host => host,
        };
        Url::parse(&format!("{scheme}://{host}/v2/{}/{rest}", repository.path()))
            .map_err(|_| bad_answer(&format!("{repository}"), "its registry is no host; correct spec.image"))
    }

    /// One request within its deadline.
    async fn ask(&self, repository: &Repository, ask: &Ask<'_>) -> Result<Reply, RegistryError> {
        let limit = self.options.request;
        match tokio::time::timeout(limit, self.auth.ask(&self.transport, repository, ask)).await {
            Ok(Ok(reply)) => {
                // Where it was redirected to has limits of its own.
                if !reply.left_origin {
                    self.limits.heed(&authority(&ask.url), &ask.url, &reply.headers, Instant::now());
                }
                Ok(reply)
            }
            Ok(Err(failed)) => Err(failed),
            Err(_) => Err(too_slow(ask.what, &ask.url, limit)),
        }
    }

    /// One operation within its deadline.
    async fn within<T>(
        &self,
        repository: &Repository,
        work: impl Future<Output = Result<T, RegistryError>>,
    ) -> Result<T, RegistryError> {
        let limit = self.options.operation;
        match tokio::time::timeout(limit, work).await {
            Ok(done) => done,
            Err(_) => Err(too_slow(&format!("{repository}"), &self.url(repository, "")?, limit)),
        }
    }

    /// What is known of a digest, if it is known so far down.
    fn known(&self, repository: &Repository, digest: &Digest, depth: Depth) -> Option<Release> {
        let (known, release) = lock(&self.releases).get(&(repository.clone(), digest.clone()))?;
        (known >= depth).then_some(release)
    }

    fn learn(&self, repository: &Repository, release: &Release, depth: Depth) {
        let key = (repository.clone(), release.digest.clone());
        lock(&self.releases).insert(key, (depth, release.clone()));
    }

    fn listed(&self, repository: &Repository) -> Option<Arc<tags::Known>> {
        lock(&self.listings).get(repository)
    }

    fn keep_listing(&self, repository: &Repository, known: Arc<tags::Known>) {
        lock(&self.listings).insert(repository.clone(), known);
    }

    fn seen(&self, repository: &Repository, tag: &Tag) -> Option<Seen> {
        lock(&self.seen).get(&(repository.clone(), tag.clone()))
    }

    fn saw(&self, repository: &Repository, tag: &Tag, seen: Seen) {
        lock(&self.seen).insert((repository.clone(), tag.clone()), seen);
    }

    fn forget(&self, repository: &Repository, tag: &Tag) {
        lock(&self.seen).remove(&(repository.clone(), tag.clone()));
    }
}

/// Nothing that holds these locks can panic half-way; a poisoned one is still whole.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
