//! Google Artifact Registry: the ServiceAccount's token is exchanged for one of Google's, by workload identity federation.
//!
//! The cluster is known to Google as a GKE cluster, which the installation names, or as a provider of a workload
//! identity pool, which the ServiceAccount names. Without a service account of Google's the ServiceAccount itself is
//! who is allowed to read. The metadata server is never asked: it would answer as the node.

use std::str::FromStr;

use http::{HeaderMap, HeaderValue, header};
use jiff::Timestamp;
use serde::Deserialize;

use super::{Door, Failed, Settings, annotation, json_code, sensitive, signed_in, time_of, unusable};
use crate::hosts::authority;
use crate::ports::Credential;
use crate::ports::cloud::{Account, SignedIn};
use crate::registry::transport::Sent;

const SERVICE_ACCOUNT: &str = "iam.gke.io/gcp-service-account";
const PROVIDER: &str = "lockkeeper.dev/gcp-workload-identity-provider";
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const STS: &str = "sts.googleapis.com";
const IAM: &str = "iamcredentials.googleapis.com";

/// A GKE cluster, as its own interface names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GkeCluster {
    project: String,
    location: String,
    name: String,
}

impl FromStr for GkeCluster {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        match parts.as_slice() {
            ["projects", project, "locations", location, "clusters", name]
                if [project, location, name].iter().all(|part| is_id(part)) =>
            {
                let owned = |text: &&str| (*text).to_owned();
                Ok(Self { project: owned(project), location: owned(location), name: owned(name) })
            }
            _ => Err("write projects/<project>/locations/<location>/clusters/<name>".to_owned()),
        }
    }
}

fn is_id(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 63
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-:.".contains(&b))
}

/// By which identity Google knows a ServiceAccount.
pub(super) struct Identity<'a> {
    /// The audience of the token that the API server gives.
    pub token_for: String,
    /// The audience of the exchange.
    audience: String,
    service_account: Option<&'a str>,
}

impl<'a> Identity<'a> {
    pub(super) fn of(account: &'a Account, settings: &Settings) -> Result<Self, Failed> {
        let service_account = annotation(account, SERVICE_ACCOUNT);
        if let Some(email) = service_account {
            let fine = email.ends_with(".gserviceaccount.com")
                && email.matches('@').count() == 1
                && email.bytes().all(|b| b.is_ascii_alphanumeric() || b"@.-_".contains(&b));
            if !fine {
                let wanted = "<name>@<project>.iam.gserviceaccount.com";
                return Err(unusable(SERVICE_ACCOUNT, email, wanted));
            }
        }
        let (token_for, audience) = match (annotation(account, PROVIDER), &settings.gke_cluster) {
            (Some(provider), _) if is_provider(provider) => {
                (format!("https://iam.googleapis.com/{provider}"), format!("//iam.googleapis.com/{provider}"))
            }
            (Some(provider), _) => {
                let wanted =
                    "projects/<number>/locations/global/workloadIdentityPools/<pool>/providers/<provider>";
                return Err(unusable(PROVIDER, provider, wanted));
            }
            (None, Some(GkeCluster { project, location, name })) => {
                let pool = format!("{project}.svc.id.goog");
                let cluster = format!("projects/{project}/locations/{location}/clusters/{name}");
                let url = format!("https://container.googleapis.com/v1/{cluster}");
                (pool.clone(), format!("identitynamespace:{pool}:{url}"))
            }
            (None, None) => {
                return Err(Failed::Account(format!(
                    "Google does not know it yet; in GKE add --gke-cluster to the controller's flags, elsewhere write the \
                     provider of a workload identity pool into its annotation {PROVIDER}"
                )));
            }
        };
        Ok(Self { token_for, audience, service_account })
    }
}

fn is_provider(text: &str) -> bool {
    let parts: Vec<&str> = text.split('/').collect();
    matches!(
        parts.as_slice(),
        ["projects", project, "locations", "global", "workloadIdentityPools", pool, "providers", provider]
            if [project, pool, provider].iter().all(|part| is_id(part))
    )
}

#[derive(Deserialize)]
struct Federated {
    access_token: String,
    expires_in: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Generated {
    access_token: String,
    expire_time: Timestamp,
}

pub(super) async fn sign_in(door: &Door<'_>, account: &Account, token: &str) -> Result<SignedIn, Failed> {
    let identity = Identity::of(account, door.settings)?;
    let url = door.url(STS, "/v1/token")?;
    let pairs = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("audience", &identity.audience),
        ("scope", SCOPE),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ("subject_token", token),
    ];
    let fix = format!(
        "the workload identity pool has to trust the cluster, for the audience {}",
        identity.token_for
    );
    let federated: Federated = door.form(&url, &pairs, &fix).await?;
    let (token, seconds) = match identity.service_account {
        None => (federated.access_token, federated.expires_in),
        Some(email) => generated(door, email, &federated.access_token).await?,
    };
    signed_in(&authority(&url), Credential::Basic("oauth2accesstoken".to_owned(), token), seconds)
}

/// A token of one of Google's own service accounts, and for how many seconds it is good.
async fn generated(door: &Door<'_>, email: &str, token: &str) -> Result<(String, f64), Failed> {
    let url = door.url(IAM, &format!("/v1/projects/-/serviceAccounts/{email}:generateAccessToken"))?;
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let body = serde_json::json!({"scope": [SCOPE]}).to_string();
    let sent = Sent { headers: HeaderMap::from_iter([kind]), body };
    let authorization = sensitive(&authority(&url), &format!("Bearer {token}"))?;
    let reply = door.post(&url, sent, Some(&authorization)).await?;
    let fix = format!("grant roles/iam.workloadIdentityUser on {email} to it");
    let generated: Generated = door.json(&reply, &fix, json_code)?;
    let left = generated.expire_time.duration_since(time_of(&reply));
    Ok((generated.access_token, left.as_secs_f64()))
}
