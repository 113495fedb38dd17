//! How a policy reaches registries: its Secret, read as its own ServiceAccount, and the credential for one host.
//!
//! Guarantees: a Secret is read again every ten minutes and after a registry refused what it held, so a rotated
//! password needs no restart; what one ServiceAccount may read is never used for another; two contents of one Secret
//! never share a scope. May not: log, show or compare outside of this file what a Secret holds.

use crate::ports::{
    Cluster, Credentials, EffectError, Identity, RegistryAccess, RegistryError, RegistrySettings,
    StoredPolicy,
};
use lockkeeper_core::image::Repository;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// The key of a `kubernetes.io/dockerconfigjson` Secret.
const DOCKER_CONFIG: &str = ".dockerconfigjson";
/// How long a Secret's value is used before it is read again.
const REREAD: Duration = Duration::from_mins(10);

/// Whose credential a lookup uses: lookups of equal sources are shared, others never.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// Who reads the Secret; none where there is no Secret: then everybody asks the same way.
    identity: Option<Identity>,
    settings: RegistrySettings,
}

impl Source {
    /// The source of a policy.
    #[must_use]
    pub fn of(stored: &StoredPolicy) -> Self {
        let identity = stored.registry.secret.as_ref().map(|_| stored.identity.clone());
        Self { identity, settings: stored.registry.clone() }
    }

    /// Whose it is; none: anybody's.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.identity.as_ref().map(|identity| identity.namespace.as_str())
    }
}

/// Reads Secrets and finds credentials in them.
pub struct AccessCache {
    cluster: Arc<dyn Cluster>,
    credentials: Arc<dyn Credentials>,
    held: Mutex<BTreeMap<Source, Slot>>,
}

/// One Secret as last read; the lock makes concurrent lookups read it once.
type Slot = Arc<tokio::sync::Mutex<Held>>;

#[derive(Default)]
struct Held {
    value: Option<Vec<u8>>,
    read_at: Option<Instant>,
    /// Counts the different contents seen.
    revision: u64,
}

impl AccessCache {
    /// Nothing is read yet.
    pub fn new(cluster: Arc<dyn Cluster>, credentials: Arc<dyn Credentials>) -> Self {
        Self { cluster, credentials, held: Mutex::default() }
    }

    /// How `repository` is reached.
    pub async fn resolve(
        &self,
        source: &Source,
        repository: &Repository,
    ) -> Result<RegistryAccess, RegistryError> {
        let insecure = source.settings.insecure;
        let (Some(identity), Some(secret)) = (&source.identity, &source.settings.secret) else {
            return Ok(RegistryAccess { scope: "anonymous".into(), basic: None, insecure });
        };
        let slot = Arc::clone(self.lock().entry(source.clone()).or_default());
        let mut held = slot.lock().await;
        if held.read_at.is_none_or(|at| at.elapsed() >= REREAD) {
            let value = self
                .cluster
                .secret(identity, secret, DOCKER_CONFIG)
                .await
                .map_err(|error| unreadable(identity, secret, &error))?;
            if held.value.as_ref() != Some(&value) {
                held.revision += 1;
                held.value = Some(value);
            }
            held.read_at = Some(Instant::now());
        }
        let value = held.value.as_deref().unwrap_or_default();
        let basic = self.credentials.basic(value, repository).map_err(|why| RegistryError {
            reason: "SecretUnusable",
            message: format!(
                "spec.registry.secretRef: Secret {}/{secret}, key {DOCKER_CONFIG}: {why}",
                identity.namespace
            ),
            retry_after: None,
        })?;
        let scope = format!("{}/{}/{secret}#{}", identity.namespace, identity.service_account, held.revision);
        Ok(RegistryAccess { scope, basic, insecure })
    }

    /// The registry refused the credential: the Secret is read again before its next use.
    pub async fn refused(&self, source: &Source) {
        let slot = self.lock().get(source).cloned();
        if let Some(slot) = slot {
            slot.lock().await.read_at = None;
        }
    }

    /// Drops what was read for sources that nobody uses any more.
    pub fn retain(&self, used: impl Fn(&Source) -> bool) {
        self.lock().retain(|source, _| used(source));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Source, Slot>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unreadable(identity: &Identity, secret: &str, error: &EffectError) -> RegistryError {
    let message = match error {
        EffectError::Outdated(_) => format!(
            "spec.registry.secretRef: there is no Secret {}/{secret} with the key {DOCKER_CONFIG}; create it \
             with kubectl create secret docker-registry",
            identity.namespace
        ),
        other => format!(
            "spec.registry.secretRef: Secret {}/{secret} could not be read: {other}",
            identity.namespace
        ),
    };
    RegistryError { reason: "SecretUnreadable", message, retry_after: None }
}
