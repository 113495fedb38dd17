//! The Lease by which replicas agree on who writes, as the election sees it.
//!
//! Guarantees: a draft names the object and version that it replaces, or that there must be none; an answer never
//! says that something happened when it may not have, nor that it did not when it may have.

use futures::future::BoxFuture;
use jiff::Timestamp;
use std::{net::SocketAddr, time::Duration};

/// The Lease as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseSeen {
    /// uid.
    pub uid: String,
    /// resourceVersion.
    pub version: String,
    /// Who holds it; none where it was given back.
    pub holder: Option<String>,
    /// For how long, as its holder promised.
    pub lasts: Option<Duration>,
    /// By the holder's wall clock. Compared for equality only.
    pub renewed: Option<Timestamp>,
    /// By the holder's wall clock. For people.
    pub acquired: Option<Timestamp>,
    /// How often it went to another holder.
    pub transitions: u32,
    /// Where its holder takes hooks, if it does.
    pub hooks: Option<SocketAddr>,
}

/// The Lease as it shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseDraft {
    /// The uid and version it replaces; none: it must not exist.
    pub over: Option<(String, String)>,
    /// Who holds it; none gives it back.
    pub holder: Option<String>,
    /// For how long.
    pub lasts: Duration,
    /// For people, and different at every renewal.
    pub renewed: Timestamp,
    /// For people.
    pub acquired: Timestamp,
    /// How often it went to another holder.
    pub transitions: u32,
}

/// What is asked of the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseRequest {
    /// Read it.
    Look,
    /// Write it.
    Write(LeaseDraft),
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseAnswer {
    /// It was read, or written, and is this now.
    Shows(LeaseSeen),
    /// There is none.
    Absent,
    /// Nothing was written: it is not what the draft expected.
    Conflict,
    /// Nothing is known: a write may have happened.
    Unknown(String),
}

/// Where the Lease is stored.
pub trait Leases: Send + Sync + 'static {
    /// One request. Nothing is tried again here.
    fn ask<'a>(&'a self, request: &'a LeaseRequest) -> BoxFuture<'a, LeaseAnswer>;

    /// Ends once the Lease may have changed since `version`. Only a hint that saves waiting: it may never end.
    fn changed<'a>(&'a self, version: Option<&'a str>) -> BoxFuture<'a, ()>;
}

/// Time that only goes on, suspensions of the machine included.
pub trait Steady: Send + Sync + std::fmt::Debug + 'static {
    /// Since some beginning.
    fn elapsed(&self) -> Duration;
}

/// Who knows the replica that leads.
pub trait Leader: Send + Sync + 'static {
    /// Where it takes hooks, as far as this replica has seen.
    fn address(&self) -> Option<SocketAddr>;
}
