//! Azure Container Registry: the ServiceAccount's token is exchanged at Entra ID by a federated credential, and what that
//! gives at the registry itself for a refresh token, with which the registry's own token service is asked afterwards.

use serde::Deserialize;

use super::{Door, Failed, annotation, signed_in, unusable};
use crate::ports::Credential;
use crate::ports::cloud::{Account, SignedIn};

/// For whom the ServiceAccount's token has to be.
pub(super) const AUDIENCE: &str = "api://AzureADTokenExchange";
const CLIENT: &str = "azure.workload.identity/client-id";
const TENANT: &str = "azure.workload.identity/tenant-id";
const SCOPE: &str = "https://containerregistry.azure.net/.default";
/// A refresh token is good for three hours and does not say so; it is asked for anew well before that.
const LIFE: f64 = 3600.0;

/// The application, or managed identity, that a ServiceAccount is.
pub(super) struct Identity<'a> {
    client: &'a str,
    tenant: &'a str,
}

impl<'a> Identity<'a> {
    pub(super) fn of(account: &'a Account) -> Result<Self, Failed> {
        let id = |name: &'static str, of: &str| {
            let Some(text) = annotation(account, name) else {
                return Err(Failed::Account(format!("it has no annotation {name}; write the id of {of}")));
            };
            let fine = text.len() == 36 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
            if fine {
                Ok(text)
            } else {
                Err(unusable(name, text, "an id such as 00000000-0000-0000-0000-000000000000"))
            }
        };
        Ok(Self {
            client: id(CLIENT, "the managed identity or application that has a federated credential for it")?,
            tenant: id(TENANT, "the tenant of that identity")?,
        })
    }
}

#[derive(Deserialize)]
struct Access {
    access_token: String,
}

#[derive(Deserialize)]
struct Refresh {
    refresh_token: String,
}

pub(super) async fn sign_in(
    door: &Door<'_>,
    registry: &str,
    cloud: &str,
    account: &Account,
    token: &str,
) -> Result<SignedIn, Failed> {
    let Identity { client, tenant } = Identity::of(account)?;
    let login = match cloud {
        "cn" => "login.partner.microsoftonline.cn",
        "us" => "login.microsoftonline.us",
        _ => "login.microsoftonline.com",
    };
    let url = door.url(login, &format!("/{tenant}/oauth2/v2.0/token"))?;
    let pairs = [
        ("client_id", client),
        ("grant_type", "client_credentials"),
        ("scope", SCOPE),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", token),
    ];
    let subject = account.name.replace('/', ":");
    let fix = format!(
        "{client} needs a federated credential for the cluster's issuer, the subject system:serviceaccount:{subject} and the \
         audience {AUDIENCE}"
    );
    let access: Access = door.form(&url, &pairs, &fix).await?;
    let url = door.url(registry, "/oauth2/exchange")?;
    let pairs = [
        ("grant_type", "access_token"),
        ("service", registry),
        ("tenant", tenant),
        ("access_token", &access.access_token),
    ];
    let fix = format!("grant AcrPull on the registry to {client}");
    let refresh: Refresh = door.form(&url, &pairs, &fix).await?;
    signed_in(registry, Credential::Identity(refresh.refresh_token), LIFE)
}
