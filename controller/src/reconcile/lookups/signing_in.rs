//! What clouds gave a policy's ServiceAccount, kept until shortly before it is over.
//!
//! Guarantees: one of these belongs to one source (namespace, ServiceAccount, settings) and one state of its ServiceAccount (uid
//! and annotations), so nothing of it is ever used for another. A cloud that refused is asked again after half a minute;
//! a registry that refuses what it was given makes us sign in anew at most once a minute.

use crate::ports::{
    Cluster, Credential, Identity, Proxy, RegistryError,
    cloud::{Account, SignIn},
};
use lockkeeper_core::image::{Provider, Repository};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// A failure is kept for so long: many lookups may need the same credential.
const FAILED: Duration = Duration::from_secs(30);
/// What is younger is not asked for anew, though a registry refused it.
const YOUNG: Duration = Duration::from_mins(1);

/// By registry.
#[derive(Default)]
pub(super) struct SignedIn(BTreeMap<String, Kept>);

struct Kept {
    since: Instant,
    until: Instant,
    outcome: Result<Credential, RegistryError>,
}

/// Who signs in, and how.
pub(super) struct Signing<'a> {
    pub cluster: &'a dyn Cluster,
    pub sign_in: &'a dyn SignIn,
    pub identity: &'a Identity,
    pub provider: Provider,
    pub account: &'a Account,
    pub proxy: Option<&'a Proxy>,
}

impl SignedIn {
    /// A registry refused what it was given.
    pub(super) fn refused(&mut self) {
        self.0.retain(|_, kept| kept.since.elapsed() < YOUNG);
    }

    /// The credential for a repository's registry.
    pub(super) async fn credential(
        &mut self,
        signing: &Signing<'_>,
        repository: &Repository,
    ) -> Result<Credential, RegistryError> {
        let now = Instant::now();
        self.0.retain(|_, kept| now < kept.until);
        if let Some(kept) = self.0.get(repository.registry()) {
            return kept.outcome.clone();
        }
        let asked = signing.ask(repository).await;
        let (outcome, life) = match asked {
            // A tenth less: it has to last until what is asked with it has ended.
            Ok(given) => (Ok(given.credential), given.life * 9 / 10),
            Err(error) => (Err(error), FAILED),
        };
        let kept = Kept { since: now, until: now + life, outcome: outcome.clone() };
        self.0.insert(repository.registry().to_owned(), kept);
        outcome
    }
}

impl Signing<'_> {
    async fn ask(&self, repository: &Repository) -> Result<crate::ports::cloud::SignedIn, RegistryError> {
        let Self { cluster, sign_in, identity, provider, account, proxy } = self;
        let audience = sign_in.audience(*provider, repository, account)?;
        let token = cluster.account_token(identity, &audience).await.map_err(|error| {
            super::access::unreadable(
                &format!("spec.registry.provider: a token of ServiceAccount {}", account.name),
                &error,
            )
        })?;
        sign_in.sign_in(*provider, repository, account, &token, *proxy).await
    }
}
