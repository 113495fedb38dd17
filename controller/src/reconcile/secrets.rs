//! What Secrets give access to servers: of signals, and of repositories.
//!
//! Guarantees: read as the policy's own `ServiceAccount` and kept for it alone; read again after a minute, and after a
//! server refused it, so a rotated credential needs no restart; no message holds a value.

use crate::ports::{
    Cluster, EffectError, Identity,
    git::{GitAccess, SshAccess},
    signals::{KEYS, SignalAccess, SignalCredential},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How long what was read of a Secret is used before it is read again.
const REREAD: Duration = Duration::from_mins(1);
/// Secrets that are remembered.
const SECRETS: usize = 1000;

type Held<T> = BTreeMap<(Identity, String), (Instant, T)>;
type Values = BTreeMap<String, Vec<u8>>;

/// Reads them.
pub struct Secrets<T = SignalAccess> {
    cluster: Arc<dyn Cluster>,
    parse: fn(&Values) -> Result<T, String>,
    held: Mutex<Held<T>>,
}

impl Secrets {
    /// Those of servers of signals. Nothing is read yet.
    pub fn new(cluster: Arc<dyn Cluster>) -> Self {
        Self { cluster, parse: access_of, held: Mutex::default() }
    }
}

impl Secrets<GitAccess> {
    /// Those of repositories. Nothing is read yet.
    pub fn of_repositories(cluster: Arc<dyn Cluster>) -> Self {
        Self { cluster, parse: git_access_of, held: Mutex::default() }
    }
}

impl Secrets<Vec<u8>> {
    /// Those with a key that signs. Nothing is read yet.
    pub fn of_signers(cluster: Arc<dyn Cluster>) -> Self {
        let parse = |values: &Values| match values.get("identity") {
            Some(identity) => Ok(identity.clone()),
            None => Err("it has no identity; add the private key of ssh that signs".to_owned()),
        };
        Self { cluster, parse, held: Mutex::default() }
    }
}

impl<T: Clone> Secrets<T> {
    /// What the Secret of this name gives.
    ///
    /// # Errors
    /// Which Secret, why and what to do.
    pub async fn read(&self, identity: &Identity, name: &str) -> Result<T, String> {
        let key = (identity.clone(), name.to_owned());
        let held = self.lock().get(&key).cloned();
        if let Some((at, access)) = held
            && at.elapsed() < REREAD
        {
            return Ok(access);
        }
        let place = format!("secretRef: Secret {}/{name}", identity.namespace);
        let values = self.cluster.secret(identity, name).await.map_err(|error| match error {
            EffectError::Outdated(_) => {
                format!("{place} is not there; create it with token, or username and password")
            }
            error => format!("{place} could not be read: {error}"),
        })?;
        let access = (self.parse)(&values).map_err(|why| format!("{place}: {why}"))?;
        let mut held = self.lock();
        if held.len() >= SECRETS {
            held.clear();
        }
        held.insert(key, (Instant::now(), access.clone()));
        Ok(access)
    }

    /// A server refused what this one gives: it may have been rotated.
    pub fn refused(&self, identity: &Identity, name: &str) {
        self.lock().remove(&(identity.clone(), name.to_owned()));
    }

    fn lock(&self) -> MutexGuard<'_, Held<T>> {
        // Nothing above can panic half-way through a change.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a Secret of a server says.
///
/// # Errors
/// Which key is wrong and why; never its value.
pub fn access_of(values: &Values) -> Result<SignalAccess, String> {
    let text = |key: &str| match values.get(key) {
        None => Ok(None),
        Some(value) => match std::str::from_utf8(value) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(_) => Err(format!("key {key} is no text; write it anew")),
        },
    };
    let credential = match (text("token")?, text("username")?, text("password")?) {
        (Some(_), Some(_), _) => return Err("it has token and username; remove one of them".to_owned()),
        (Some(token), None, _) => Some(SignalCredential::Bearer(token)),
        (None, Some(user), password) => Some(SignalCredential::Basic(user, password.unwrap_or_default())),
        (None, None, Some(_)) => return Err("it has password and no username; add it".to_owned()),
        (None, None, None) => None,
    };
    let mut headers = Vec::new();
    for key in values.keys() {
        if let (Some(name), Some(value)) = (key.strip_prefix("header."), text(key)?) {
            headers.push((name.to_owned(), value));
        }
    }
    let authority = values.get("ca.crt").cloned();
    let mut keys = BTreeMap::new();
    for key in KEYS {
        if let Some(value) = text(key)? {
            keys.insert(key.to_owned(), value);
        }
    }
    if credential.is_none() && headers.is_empty() && authority.is_none() && keys.is_empty() {
        let known = KEYS.join(", ");
        return Err(format!("it has none of token, username, ca.crt, header.NAME, {known}; add one of them"));
    }
    Ok(SignalAccess { credential, authority, headers, keys, account: None })
}

/// What a Secret of a repository says: the same, or `identity` and `known_hosts` for ssh.
fn git_access_of(values: &Values) -> Result<GitAccess, String> {
    let ssh = match (values.get("identity"), values.get("known_hosts")) {
        (None, None) => None,
        (Some(_), None) => {
            return Err("it has identity and no known_hosts, so no server is believed; add the lines that ssh-keyscan \
                        prints for it, once they were compared with what the server's owner says"
                .to_owned());
        }
        (None, Some(_)) => return Err("it has known_hosts and no identity; add the private key".to_owned()),
        (Some(identity), Some(known_hosts)) => {
            Some(SshAccess { identity: identity.clone(), known_hosts: known_hosts.clone() })
        }
    };
    let of_http = |key: &String| {
        matches!(key.as_str(), "token" | "username" | "password" | "ca.crt") || key.starts_with("header.")
    };
    let http = match (&ssh, values.keys().any(of_http)) {
        (_, true) => access_of(values)?,
        (Some(_), false) => SignalAccess::default(),
        (None, false) => {
            return Err(
                "it has none of token, username, ca.crt, header.NAME, and identity with known_hosts; add one"
                    .to_owned(),
            );
        }
    };
    Ok(GitAccess { http, ssh, signing: None })
}
