//! How a policy reaches registries: the objects that `spec.registry` names, read as the policy's own ServiceAccount, and the
//! credential for one repository, out of a Secret or given by a cloud.
//!
//! Guarantees: what is named is read again every ten minutes and after a registry refused it, so a rotated
//! password needs no restart; what one ServiceAccount may read is never used for another; two contents of the same
//! objects never share a scope. May not: log, show or compare outside of this file what a Secret holds.

use super::signing_in::{SignedIn, Signing};
use crate::ports::{
    Certificates, Cluster, Credential, Credentials, EffectError, Identity, Proxy, RegistryAccess,
    RegistryError, RegistrySettings, StoredPolicy,
    cloud::{Account, SignIn},
};
use lockkeeper_core::image::Repository;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// The key of a `kubernetes.io/dockerconfigjson` Secret.
const DOCKER_CONFIG: &str = ".dockerconfigjson";
/// Public keys of one Secret.
const MOST_KEYS: usize = 16;
/// How long what was read is used before it is read again.
const REREAD: Duration = Duration::from_mins(10);

/// Whose credential a lookup uses: lookups of equal sources are shared, others never.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// Who reads the objects; none where none is named: then everybody asks the same way.
    identity: Option<Identity>,
    settings: RegistrySettings,
}

impl Source {
    /// The source of a policy.
    #[must_use]
    pub fn of(stored: &StoredPolicy) -> Self {
        let RegistrySettings { secret, pull_secrets_from, provider, certificates, proxy, insecure: _ } =
            &stored.registry;
        let names = [secret, pull_secrets_from, certificates, proxy];
        let by_somebody = provider.is_some() || names.iter().any(|name| name.is_some());
        let identity = by_somebody.then(|| stored.identity.clone());
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
    sign_in: Arc<dyn SignIn>,
    held: Mutex<BTreeMap<Source, Arc<Slot>>>,
}

/// One source.
#[derive(Default)]
struct Slot {
    /// What was last read; the lock makes concurrent lookups read it once, and is held as long as that takes.
    held: tokio::sync::Mutex<Held>,
    /// It is to be read again before its next use. Beside the lock: whoever says so waits for nobody.
    stale: AtomicBool,
}

#[derive(Default)]
struct Held {
    material: Material,
    read_at: Option<Instant>,
    /// Counts the different contents seen.
    revision: u64,
    /// What the ServiceAccount in the material was given.
    signed_in: SignedIn,
}

/// What the objects hold.
#[derive(Default, PartialEq, Eq)]
struct Material {
    /// Where each docker configuration comes from, as `field: Secret namespace/name`, and its bytes.
    configs: Vec<(String, Vec<u8>)>,
    certificates: Certificates,
    proxy: Option<Proxy>,
    /// Who signs in to a cloud, if the policy says so.
    account: Option<Account>,
}

impl AccessCache {
    /// Nothing is read yet.
    pub fn new(
        cluster: Arc<dyn Cluster>,
        credentials: Arc<dyn Credentials>,
        sign_in: Arc<dyn SignIn>,
    ) -> Self {
        Self { cluster, credentials, sign_in, held: Mutex::default() }
    }

    /// How `repository` is reached.
    pub async fn resolve(
        &self,
        source: &Source,
        repository: &Repository,
    ) -> Result<RegistryAccess, RegistryError> {
        let insecure = source.settings.insecure;
        let Some(identity) = &source.identity else {
            return Ok(RegistryAccess { scope: "anonymous".into(), insecure, ..RegistryAccess::default() });
        };
        let slot = Arc::clone(self.lock().entry(source.clone()).or_default());
        let mut held = slot.held.lock().await;
        if slot.stale.swap(false, Ordering::SeqCst) {
            held.read_at = None;
            held.signed_in.refused();
        }
        if held.read_at.is_none_or(|at| at.elapsed() >= REREAD) {
            let reader = Reader { cluster: &*self.cluster, identity };
            let material = reader.all(&source.settings).await?;
            if held.revision == 0 || held.material != material {
                held.revision += 1;
                held.material = material;
                held.signed_in = SignedIn::default();
            }
            held.read_at = Some(Instant::now());
        }
        let Held { material, revision, signed_in, .. } = &mut *held;
        let Material { configs, certificates, proxy, account: signs_in } = &*material;
        let names = [&source.settings.secret, &source.settings.pull_secrets_from]
            .map(|name| name.as_deref().unwrap_or("-"));
        let account = &identity.service_account;
        let scope = format!("{}/{account}/{}#{}", identity.namespace, names.join("/"), revision);
        let credential = match (source.settings.provider, signs_in) {
            (Some(provider), Some(account)) => {
                let signing = Signing {
                    cluster: &*self.cluster,
                    sign_in: &*self.sign_in,
                    identity,
                    provider,
                    account,
                    proxy: proxy.as_ref(),
                };
                Some(signed_in.credential(&signing, repository).await?)
            }
            _ => self.find(configs, repository)?,
        };
        Ok(RegistryAccess {
            scope,
            credential,
            certificates: certificates.clone(),
            proxy: proxy.clone(),
            insecure,
        })
    }

    /// The first configuration that has one for this repository: the Secret of the policy before those of the account.
    fn find(
        &self,
        configs: &[(String, Vec<u8>)],
        repository: &Repository,
    ) -> Result<Option<Credential>, RegistryError> {
        for (place, config) in configs {
            let found = self.credentials.find(config, repository);
            let found = found.map_err(|why| unusable(&format!("{place}, key {DOCKER_CONFIG}: {why}")))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The public keys of a Secret, each with the place it comes from; read anew each time, so that a new key counts at once.
    pub(super) async fn public_keys(
        &self,
        identity: &Identity,
        name: &str,
    ) -> Result<Vec<(String, Vec<u8>)>, RegistryError> {
        let place = format!("spec.select.verify.cosign.secretRef: Secret {}/{name}", identity.namespace);
        let values = match self.cluster.secret(identity, name).await {
            Ok(values) => values,
            Err(EffectError::Outdated(_)) => {
                return Err(unread(format!("{place} is not there; create it with the key cosign.pub")));
            }
            Err(error) => return Err(unreadable(&place, &error)),
        };
        let keys =
            values.into_iter().filter(|(key, _)| key.rsplit_once('.').is_some_and(|(_, end)| end == "pub"));
        let keys: Vec<_> = keys.map(|(key, pem)| (format!("{place}, key {key}"), pem)).collect();
        match keys.len() {
            0 => {
                let why = "none of its keys ends in .pub; add the public key as cosign.pub";
                Err(unusable(&format!("{place}: {why}")))
            }
            count if count > MOST_KEYS => {
                let why = format!("it has {count} public keys, at most {MOST_KEYS} are looked at");
                Err(unusable(&format!("{place}: {why}; take some out")))
            }
            _ => Ok(keys),
        }
    }

    /// The registry refused the credential: what it came from is read again before its next use. Never waits.
    pub fn refused(&self, source: &Source) {
        if let Some(slot) = self.lock().get(source) {
            slot.stale.store(true, Ordering::SeqCst);
        }
    }

    /// Drops what was read for sources that nobody uses any more.
    pub fn retain(&self, used: impl Fn(&Source) -> bool) {
        self.lock().retain(|source, _| used(source));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Source, Arc<Slot>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads as one policy's ServiceAccount.
struct Reader<'a> {
    cluster: &'a dyn Cluster,
    identity: &'a Identity,
}

/// The values of one Secret.
struct Read {
    /// `field: Secret namespace/name`.
    place: String,
    values: BTreeMap<String, Vec<u8>>,
}

impl Reader<'_> {
    async fn all(&self, settings: &RegistrySettings) -> Result<Material, RegistryError> {
        let mut material = Material::default();
        if let Some(name) = &settings.secret {
            let read = self.secret("secretRef", name).await?;
            material.configs.push((read.place.clone(), read.required(DOCKER_CONFIG)?));
        }
        if let Some(account) = &settings.pull_secrets_from {
            let names = self.cluster.pull_secrets(self.identity, account).await;
            let names = names.map_err(|error| {
                let namespace = &self.identity.namespace;
                unreadable(
                    &format!("spec.registry.pullSecretsFrom: ServiceAccount {namespace}/{account}"),
                    &error,
                )
            })?;
            for name in names {
                let read = self.secret("pullSecretsFrom", &name).await?;
                material.configs.push((read.place.clone(), read.required(DOCKER_CONFIG)?));
            }
        }
        if let Some(name) = &settings.certificates {
            material.certificates = self.secret("certSecretRef", name).await?.certificates()?;
        }
        if let Some(name) = &settings.proxy {
            material.proxy = Some(self.secret("proxySecretRef", name).await?.proxy()?);
        }
        if settings.provider.is_some() {
            let Identity { namespace, service_account } = self.identity;
            let place = format!("spec.registry.provider: ServiceAccount {namespace}/{service_account}");
            let account = self.cluster.account(self.identity).await;
            material.account = Some(account.map_err(|error| unreadable(&place, &error))?);
        }
        Ok(material)
    }

    async fn secret(&self, field: &str, name: &str) -> Result<Read, RegistryError> {
        let place = format!("spec.registry.{field}: Secret {}/{name}", self.identity.namespace);
        match self.cluster.secret(self.identity, name).await {
            Ok(values) => Ok(Read { place, values }),
            Err(EffectError::Outdated(_)) => {
                let create = match field {
                    "certSecretRef" => "create it with ca.crt, or tls.crt and tls.key",
                    "proxySecretRef" => "create it with address",
                    _ => {
                        "create it with kubectl create secret docker-registry, which writes the key .dockerconfigjson"
                    }
                };
                Err(unread(format!("{place} is not there; {create}")))
            }
            Err(error) => Err(unreadable(&place, &error)),
        }
    }
}

impl Read {
    fn text(&self, key: &str) -> Result<Option<String>, RegistryError> {
        let Some(value) = self.values.get(key) else { return Ok(None) };
        let text = String::from_utf8(value.clone());
        let text = text.map_err(|_| unusable(&format!("{}, key {key}: it is no text", self.place)))?;
        Ok(Some(text.trim().to_owned()))
    }

    fn required(&self, key: &str) -> Result<Vec<u8>, RegistryError> {
        self.values.get(key).cloned().ok_or_else(|| {
            let has = self.values.keys().cloned().collect::<Vec<_>>().join(", ");
            unusable(&format!("{}: it has no key {key}, only [{has}]; add that key", self.place))
        })
    }

    fn certificates(&self) -> Result<Certificates, RegistryError> {
        let authority = self.values.get("ca.crt").cloned();
        let own = match (self.values.get("tls.crt"), self.values.get("tls.key")) {
            (Some(certificate), Some(key)) => Some((certificate.clone(), key.clone())),
            (None, None) => None,
            _ => {
                return Err(unusable(&format!(
                    "{}: tls.crt and tls.key go together; add the other",
                    self.place
                )));
            }
        };
        if authority.is_none() && own.is_none() {
            let why = "it has neither ca.crt nor tls.crt and tls.key; add one of them";
            return Err(unusable(&format!("{}: {why}", self.place)));
        }
        Ok(Certificates { authority, own })
    }

    fn proxy(&self) -> Result<Proxy, RegistryError> {
        self.required("address")?;
        let address = self.text("address")?.unwrap_or_default();
        let credential = match (self.text("username")?, self.text("password")?) {
            (Some(user), password) => Some((user, password.unwrap_or_default())),
            (None, _) => None,
        };
        Ok(Proxy { address, credential })
    }
}

fn unusable(message: &str) -> RegistryError {
    RegistryError { reason: "SecretUnusable", message: message.to_owned(), retry_after: None }
}

pub(super) fn unreadable(place: &str, error: &EffectError) -> RegistryError {
    unread(format!("{place} could not be read: {error}"))
}

fn unread(message: String) -> RegistryError {
    RegistryError { reason: "SecretUnreadable", message, retry_after: None }
}
