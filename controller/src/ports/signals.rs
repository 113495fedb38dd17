//! Who measures signals.
//!
//! Contracts: one number, nothing, or why not; what may not be trusted whole (a warning, several series, an infinite
//! number) is an error; an error is a sentence that holds no credential. `Debug` shows none either.

use futures::future::BoxFuture;
use jiff::Timestamp;
use std::fmt;

/// What a server of signals wants to see.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SignalAccess {
    /// As whom; none: as nobody.
    pub credential: Option<SignalCredential>,
    /// An authority in PEM form that is believed, besides those that the controller believes.
    pub authority: Option<Vec<u8>>,
    /// Further headers.
    pub headers: Vec<(String, String)>,
}

/// What a server gives access for.
#[derive(Clone, PartialEq, Eq)]
pub enum SignalCredential {
    /// A bearer token.
    Bearer(String),
    /// User and password.
    Basic(String, String),
}

impl fmt::Debug for SignalAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignalAccess")
            .field("credential", &self.credential.is_some())
            .field("authority", &self.authority.is_some())
            .field("headers", &self.headers.len())
            .finish()
    }
}

/// One query.
#[derive(Clone, Copy, Debug)]
pub struct Measure<'a> {
    /// The base address of the server.
    pub address: &'a str,
    /// What is asked.
    pub query: &'a str,
    /// About when.
    pub at: Timestamp,
    /// Nothing older than so many seconds before that may count.
    pub window: i64,
}

/// A server of signals, read only.
pub trait SignalSource: Send + Sync + 'static {
    /// The one value of a query; `None`: there is nothing to measure.
    fn measure<'a>(
        &'a self,
        access: &'a SignalAccess,
        measure: Measure<'a>,
    ) -> BoxFuture<'a, Result<Option<f64>, SignalError>>;
}

/// Why there is no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SignalError {
    /// The server refused what it was shown: it may have been rotated.
    pub refused: bool,
    /// Host, what happened and what to do; never a credential.
    pub message: String,
}
