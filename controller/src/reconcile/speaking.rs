//! Tokens by which policies' `ServiceAccounts` are known to servers of signals in a cloud.
//!
//! Guarantees: asked for as the `ServiceAccount` itself and kept for it alone, for half of their life; made anew after a server
//! refused one. No message holds a token.

use crate::ports::{
    Cluster, Identity,
    signals::{SignalSource, SpokenFor},
};
use lockkeeper_core::signals::Server;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// A token lives ten minutes.
const KEPT: Duration = Duration::from_mins(5);
/// `ServiceAccounts` that are remembered.
const MOST: usize = 1000;

type Held = BTreeMap<(Identity, String), (Instant, SpokenFor)>;

/// Makes them.
pub struct Speaking {
    cluster: Arc<dyn Cluster>,
    held: Mutex<Held>,
}

impl Speaking {
    /// None is made yet.
    pub fn new(cluster: Arc<dyn Cluster>) -> Self {
        Self { cluster, held: Mutex::default() }
    }

    /// The `ServiceAccount` of a policy, with a token for this server.
    ///
    /// # Errors
    /// Which `ServiceAccount`, why and what to do.
    pub async fn of(
        &self,
        identity: &Identity,
        source: &dyn SignalSource,
        server: &Server,
    ) -> Result<SpokenFor, String> {
        let key = (identity.clone(), server.to_string());
        let held = self.lock().get(&key).filter(|(at, _)| at.elapsed() < KEPT).cloned();
        if let Some((_, spoken)) = held {
            return Ok(spoken);
        }
        let place = format!("ServiceAccount {}/{}", identity.namespace, identity.service_account);
        let account = self.cluster.account(identity).await;
        let account = account.map_err(|error| format!("{place} could not be read: {error}"))?;
        let audience = source.audience(server, &account).map_err(|error| error.message)?;
        let token = self.cluster.account_token(identity, &audience).await;
        let token = token.map_err(|error| format!("a token of {place} could not be made: {error}"))?;
        let spoken = SpokenFor { account, token };
        let mut held = self.lock();
        if held.len() >= MOST {
            held.clear();
        }
        held.insert(key, (Instant::now(), spoken.clone()));
        Ok(spoken)
    }

    /// A server refused what this one has.
    pub fn refused(&self, identity: &Identity) {
        self.lock().retain(|(of, _), _| of != identity);
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        // Nothing above can panic half-way through a change.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
