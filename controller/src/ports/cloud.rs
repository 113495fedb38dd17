//! Signing in to a cloud's registry as the policy's own ServiceAccount.
//!
//! Guarantees: what one ServiceAccount is given is never given to another; `Debug` shows no token.

use super::{Credential, Proxy, RegistryError};
use futures::future::BoxFuture;
use lockkeeper_core::image::{Provider, Repository};
use std::{collections::BTreeMap, time::Duration};

/// A ServiceAccount, and what it says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// `namespace/name`.
    pub name: String,
    /// Another one of the same name has another.
    pub uid: String,
    /// Its annotations: by which identity of the cloud it is known.
    pub annotations: BTreeMap<String, String>,
}

/// What a cloud gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedIn {
    /// For the registry.
    pub credential: Credential,
    /// For how long it is good.
    pub life: Duration,
}

/// Clouds that exchange a token of a ServiceAccount for a registry's credential.
pub trait SignIn: Send + Sync + 'static {
    /// For whom the ServiceAccount's token has to be. Asks nobody.
    ///
    /// # Errors
    /// The ServiceAccount, or the installation, does not say by which identity; the message names the annotation.
    fn audience(
        &self,
        provider: Provider,
        repository: &Repository,
        account: &Account,
    ) -> Result<String, RegistryError>;

    /// The credential for the registry of `repository`, for a token that is for [`audience`](Self::audience).
    fn sign_in<'a>(
        &'a self,
        provider: Provider,
        repository: &'a Repository,
        account: &'a Account,
        token: &'a str,
        proxy: Option<&'a Proxy>,
    ) -> BoxFuture<'a, Result<SignedIn, RegistryError>>;
}
