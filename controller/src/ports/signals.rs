//! Who measures signals.
//!
//! Contracts: one number, nothing, or why not; what may not be trusted whole (a warning, several series, an infinite
//! number) is an error; an error is a sentence that holds no credential. `Debug` shows none either.

use super::{Identity, cloud::Account};
use futures::future::BoxFuture;
use jiff::Timestamp;
use lockkeeper_core::signals::Server;
use std::{collections::BTreeMap, fmt};

/// What a server of signals wants to see.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SignalAccess {
    /// As whom; none: as nobody.
    pub credential: Option<SignalCredential>,
    /// An authority in PEM form that is believed, besides those that the controller believes.
    pub authority: Option<Vec<u8>>,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// Further keys of the Secret, of those in [`KEYS`].
    pub keys: BTreeMap<String, String>,
    /// The policy's `ServiceAccount`, for servers that know it by the identity it has in their cloud.
    pub account: Option<SpokenFor>,
}

/// Keys of a Secret that only some servers want.
pub const KEYS: [&str; 6] =
    ["apiKey", "applicationKey", "accessKeyId", "secretAccessKey", "sessionToken", "signingKey"];

/// A `ServiceAccount` with a token of its own for somebody outside of the cluster.
#[derive(Clone, PartialEq, Eq)]
pub struct SpokenFor {
    /// Who.
    pub account: Account,
    /// Its token.
    pub token: String,
}

impl SignalAccess {
    /// A key that a server cannot do without.
    ///
    /// # Errors
    /// Which is missing.
    pub fn needed(&self, key: &str) -> Result<&str, SignalError> {
        let found = self.keys.get(key).map(String::as_str).filter(|value| !value.is_empty());
        let missing = || format!("secretRef: the Secret has no key {key}; add it");
        found.ok_or_else(|| SignalError { refused: true, message: missing() })
    }
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
            .field("keys", &self.keys.len())
            .field("account", &self.account.as_ref().map(|spoken| spoken.account.name.as_str()))
            .finish()
    }
}

/// One query.
#[derive(Clone, Copy, Debug)]
pub struct Measure<'a> {
    /// Who is asked.
    pub server: &'a Server,
    /// As whom it is asked for.
    pub identity: &'a Identity,
    /// What this request is known by; the same whenever it is asked again.
    pub id: &'a str,
    /// What is asked.
    pub query: &'a str,
    /// The end of the time that is asked about.
    pub at: Timestamp,
    /// Its length in seconds: nothing older may count.
    pub window: i64,
}

/// What a server answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measured {
    /// One number, which is finite.
    Value(f64),
    /// Its own verdict.
    Verdict {
        /// Whether that is bad.
        degraded: bool,
    },
}

/// A server of signals, read only.
pub trait SignalSource: Send + Sync + 'static {
    /// The one answer to a query; `None`: there is nothing to measure.
    fn measure<'a>(
        &'a self,
        access: &'a SignalAccess,
        measure: Measure<'a>,
    ) -> BoxFuture<'a, Result<Option<Measured>, SignalError>>;

    /// For whom the token of a `ServiceAccount` has to be that a server knows by its identity in a cloud. Asks nobody.
    ///
    /// # Errors
    /// It does not say by which identity (the message names the annotation), or the server knows no `ServiceAccounts`.
    fn audience(&self, server: &Server, account: &Account) -> Result<String, SignalError> {
        let _ = account;
        Err(SignalError::other(format!("{server} knows no ServiceAccounts; name a Secret in secretRef")))
    }
}

impl SignalError {
    /// Anything but a refusal.
    #[must_use]
    pub fn other(message: impl Into<String>) -> Self {
        Self { refused: false, message: message.into() }
    }
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
