//! How one registry is reached, and as whom.
//!
//! Guarantees: equal values may share connections, tokens and facts, others never; `Debug` shows no credential, key or
//! password.

use lockkeeper_core::image::Provider;
use std::fmt;

/// `spec.registry`: names of objects in the policy's namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistrySettings {
    /// A `kubernetes.io/dockerconfigjson` Secret.
    pub secret: Option<String>,
    /// A ServiceAccount whose imagePullSecrets are used, too.
    pub pull_secrets_from: Option<String>,
    /// Instead of a Secret: the cloud in which the policy's ServiceAccount is known.
    pub provider: Option<Provider>,
    /// A Secret with certificates.
    pub certificates: Option<String>,
    /// A Secret with a proxy.
    pub proxy: Option<String>,
    /// Plain HTTP.
    pub insecure: bool,
}

/// A credential and how a registry is reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RegistryAccess {
    /// Whose credential this is: part of every cache key (namespace, who read it, names, which contents).
    pub scope: String,
    /// As whom; none: as nobody.
    pub credential: Option<Credential>,
    /// Whom to believe, and what to show.
    pub certificates: Certificates,
    /// Through what; none: directly.
    pub proxy: Option<Proxy>,
    /// Plain HTTP.
    pub insecure: bool,
}

/// What a registry gives access for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Credential {
    /// User and password.
    Basic(String, String),
    /// A token that others are asked for with, by OAuth 2 (`identitytoken`).
    Identity(String),
    /// A token that is sent as it is (`registrytoken`).
    Token(String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic(..) => "Basic(…)",
            Self::Identity(_) => "Identity(…)",
            Self::Token(_) => "Token(…)",
        })
    }
}

/// Certificates of one policy, in PEM form.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Certificates {
    /// Authorities that are believed, besides those that the controller believes.
    pub authority: Option<Vec<u8>>,
    /// Certificate and key that are shown to the registry.
    pub own: Option<(Vec<u8>, Vec<u8>)>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { authority, own } = self;
        f.debug_struct("Certificates")
            .field("authority", &authority.is_some())
            .field("own", &own.is_some())
            .finish()
    }
}

/// A proxy.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Proxy {
    /// `http://host:port`.
    pub address: String,
    /// User and password that it asks for.
    pub credential: Option<(String, String)>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proxy(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_secret() {
        let secret = || "c4n4ry".to_owned();
        for credential in [
            Credential::Basic(secret(), secret()),
            Credential::Identity(secret()),
            Credential::Token(secret()),
        ] {
            let access = RegistryAccess {
                scope: "ns/name".into(),
                credential: Some(credential),
                certificates: Certificates {
                    authority: None,
                    own: Some((secret().into_bytes(), secret().into_bytes())),
                },
                proxy: Some(Proxy { address: format!("http://{}@p", secret()), credential: None }),
                insecure: false,
            };
            let text = format!("{access:?}");
            assert!(
                text.contains("ns/name") && !text.contains("c4n4ry") && !text.contains("99, 52"),
                "{text}"
            );
        }
    }
}
