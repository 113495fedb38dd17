//! Who tells people outside of the cluster.
//!
//! Contracts: a message that was taken is done; an error is a sentence that says what to do and holds nothing of an address
//! and no credential. `Debug` shows none either.

use futures::future::BoxFuture;
use lockkeeper_core::{
    notices::{Receiver, Service},
    status::Notice,
};
use std::{collections::BTreeMap, fmt, time::Duration};

/// Where a message goes: the service, and what a Secret says of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Destination {
    /// The service.
    pub service: Service,
    /// Values by key.
    pub values: BTreeMap<String, Vec<u8>>,
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Destination").field("service", &self.service).finish_non_exhaustive()
    }
}

/// What is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The policy's namespace.
    pub namespace: String,
    /// The policy.
    pub policy: String,
    /// Its image.
    pub image: String,
    /// What happened.
    pub notice: Notice,
}

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NotifyError {
    /// What happened and what to do.
    pub message: String,
    /// The service asked to be left alone for this long.
    pub retry_after: Option<Duration>,
}

impl From<String> for NotifyError {
    fn from(message: String) -> Self {
        Self { message, retry_after: None }
    }
}

/// Tells people.
pub trait Notifier: Send + Sync + 'static {
    /// The installation's own receivers.
    fn receivers(&self) -> &[Receiver];
    /// What the installation says of one of them, as it is now.
    fn own(&self, receiver: &str) -> Result<BTreeMap<String, Vec<u8>>, String>;
    /// Sends one message, once.
    fn send<'a>(
        &'a self,
        to: &'a Destination,
        message: &'a Message,
    ) -> BoxFuture<'a, Result<(), NotifyError>>;
}
