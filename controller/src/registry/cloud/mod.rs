//! Signing in to registries of clouds by the identity of a policy's ServiceAccount.
//!
//! Guarantees: a ServiceAccount's token goes to the cloud's own hosts, which are derived from the registry's host name and
//! the provider, and to no other; they are dialled as the host policy says, through the policy's proxy if it names
//! one, and believed only with certificates that the installation trusts (never a policy's own authority); answers are
//! bounded; no error shows a token, a key or an answer's text, only its error code. Nothing is kept here.
//! Assumes: the token is the policy's ServiceAccount's own. May not: use an identity of the controller or its node.
//!
//! Written after the clouds' documented interfaces, and tested against imitations of them.

mod aws;
mod azure;
mod google;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use http::{HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use lockkeeper_core::image::{CloudRegistry, Provider, Repository, shown};
use serde::de::DeserializeOwned;
use url::Url;

use super::Options;
use super::circuit::Circuits;
use super::error::{auth_failed, bad_answer, error, status, too_slow};
use super::transport::{Ask, Reach, Reply, Sent, Transport};
use super::trust;
use crate::hosts::{HostPolicy, Lookup, SystemLookup, authority};
use crate::ports::cloud::{Account, SignIn, SignedIn};
use crate::ports::{Credential, Proxy, RegistryAccess, RegistryError};

pub use google::GkeCluster;

/// Largest answer, in bytes.
const CAP: usize = 256 * 1024;
/// The longest that a credential is believed to be good.
const LONGEST: Duration = Duration::from_hours(12);

/// What the installation says.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The GKE cluster that the policies live in.
    pub gke_cluster: Option<GkeCluster>,
    /// Other addresses of the clouds' hosts: private endpoints, or a test's imitations.
    pub endpoints: BTreeMap<String, Url>,
}

/// The clouds.
pub struct Clouds {
    options: Options,
    tls: rustls::ClientConfig,
    hosts: Arc<HostPolicy>,
    circuits: Arc<Circuits>,
    lookup: Arc<dyn Lookup>,
    settings: Settings,
}

impl fmt::Debug for Clouds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clouds").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Clouds {
    /// Dials what `hosts` allows.
    ///
    /// # Errors
    /// The extra certificates are no PEM.
    pub fn new(hosts: Arc<HostPolicy>, options: Options, settings: Settings) -> Result<Self, RegistryError> {
        let tls = trust::tls(options.extra_roots.as_deref())?;
        let lookup = Arc::new(SystemLookup);
        Ok(Self { options, tls, hosts, circuits: Arc::default(), lookup, settings })
    }

    fn door(&self, repository: &Repository, proxy: Option<&Proxy>) -> Result<Door<'_>, RegistryError> {
        let plain = self.settings.endpoints.values().any(|url| url.scheme() == "http");
        let access = RegistryAccess { proxy: proxy.cloned(), insecure: plain, ..RegistryAccess::default() };
        let Self { options, tls, hosts, circuits, lookup, settings } = self;
        let transport = Transport::new(options, tls, hosts, circuits, lookup, &access)?;
        Ok(Door { transport, settings, limit: options.request, what: what(repository) })
    }
}

impl SignIn for Clouds {
    fn audience(
        &self,
        provider: Provider,
        repository: &Repository,
        account: &Account,
    ) -> Result<String, RegistryError> {
        let found = registry(provider, repository).and_then(|registry| match registry {
            CloudRegistry::Ecr { .. } | CloudRegistry::EcrPublic => {
                aws::role(account, &registry).map(|role| role.audience().to_owned())
            }
            CloudRegistry::Google => {
                google::Identity::of(account, &self.settings).map(|identity| identity.token_for)
            }
            CloudRegistry::Azure { .. } => azure::Identity::of(account).map(|_| azure::AUDIENCE.to_owned()),
        });
        found.map_err(|failed| failed.into_error(&what(repository), account))
    }

    fn sign_in<'a>(
        &'a self,
        provider: Provider,
        repository: &'a Repository,
        account: &'a Account,
        token: &'a str,
        proxy: Option<&'a Proxy>,
    ) -> BoxFuture<'a, Result<SignedIn, RegistryError>> {
        Box::pin(async move {
            let door = self.door(repository, proxy)?;
            let found = match registry(provider, repository) {
                Ok(registry @ (CloudRegistry::Ecr { .. } | CloudRegistry::EcrPublic)) => {
                    aws::sign_in(&door, &registry, account, token).await
                }
                Ok(CloudRegistry::Google) => google::sign_in(&door, account, token).await,
                Ok(CloudRegistry::Azure { cloud }) => {
                    azure::sign_in(&door, repository.registry(), cloud, account, token).await
                }
                Err(failed) => Err(failed),
            };
            found.map_err(|failed| failed.into_error(&door.what, account))
        })
    }
}

fn what(repository: &Repository) -> String {
    format!("the credential for {repository} by spec.registry.provider")
}

fn registry(provider: Provider, repository: &Repository) -> Result<CloudRegistry, Failed> {
    provider.registry(repository).map_err(|why| {
        Failed::Account(format!("spec.registry.provider {} {why}; correct one of them", provider.word()))
    })
}

/// Why there is no credential.
#[derive(Debug)]
pub(super) enum Failed {
    /// The ServiceAccount or the installation does not say enough: what, and what to do.
    Account(String),
    /// A host of the cloud said no: who, its code, and what to do.
    Refused { host: String, code: String, fix: String },
    /// An answer that cannot be used.
    Answer(String),
    /// Anything that happens to requests.
    Request(RegistryError),
}

impl From<RegistryError> for Failed {
    fn from(error: RegistryError) -> Self {
        Self::Request(error)
    }
}

impl Failed {
    fn into_error(self, what: &str, account: &Account) -> RegistryError {
        let who = format!("ServiceAccount {}", account.name);
        match self {
            Self::Account(why) => error("AccountUnusable", what, format!("{who}: {why}")),
            Self::Refused { host, code, fix } => {
                auth_failed(what, format!("{host} refused {who} ({code}); {fix}"))
            }
            Self::Answer(why) => bad_answer(what, why),
            Self::Request(error) => error,
        }
    }
}

/// One annotation of a ServiceAccount, without spaces around it.
fn annotation<'a>(account: &'a Account, name: &str) -> Option<&'a str> {
    account.annotations.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
}

fn unusable(name: &str, value: &str, wanted: &str) -> Failed {
    Failed::Account(format!("its annotation {name} is {}, which is none; write {wanted}", shown(value)))
}

/// The way to one cloud's hosts.
struct Door<'a> {
    transport: Transport,
    settings: &'a Settings,
    limit: Duration,
    what: String,
}

impl Door<'_> {
    /// Where a host of the cloud is reached.
    fn url(&self, host: &str, path: &str) -> Result<Url, Failed> {
        let mut url = match self.settings.endpoints.get(host) {
            Some(url) => url.clone(),
            None => Url::parse(&format!("https://{host}/"))
                .map_err(|_| Failed::Answer(format!("{} is no host", shown(host))))?,
        };
        url.set_path(path);
        Ok(url)
    }

    async fn post(
        &self,
        url: &Url,
        sent: Sent,
        authorization: Option<&HeaderValue>,
    ) -> Result<Reply, Failed> {
        let ask = Ask {
            what: &self.what,
            method: Method::POST,
            url: url.clone(),
            accept: "*/*",
            known: None,
            sent: Some(sent),
            cap: CAP,
        };
        let asked = self.transport.ask(&ask, Reach::Allowed, authorization);
        let answered = tokio::time::timeout(self.limit, asked).await;
        Ok(answered.map_err(|_| too_slow(&self.what, url, self.limit))??)
    }

    /// A form, and an answer in JSON.
    async fn form<T: DeserializeOwned>(
        &self,
        url: &Url,
        pairs: &[(&str, &str)],
        fix: &str,
    ) -> Result<T, Failed> {
        let reply = self.post(url, Sent::form(form(pairs)), None).await?;
        self.json(&reply, fix, json_code)
    }

    /// What a good answer holds.
    fn json<T: DeserializeOwned>(
        &self,
        reply: &Reply,
        fix: &str,
        code: fn(&[u8]) -> Option<String>,
    ) -> Result<T, Failed> {
        self.accepted(reply, fix, code)?;
        // The parser's own message would show a part of a secret.
        serde_json::from_slice(&reply.body)
            .map_err(|_| Failed::Answer(format!("{} did not answer as it should", authority(&reply.url))))
    }

    /// Whether an answer is a success; else why not.
    fn accepted(&self, reply: &Reply, fix: &str, code: fn(&[u8]) -> Option<String>) -> Result<(), Failed> {
        let is_refusal = reply.status.is_client_error() && reply.status != StatusCode::TOO_MANY_REQUESTS;
        if reply.status.is_success() {
            Ok(())
        } else if is_refusal {
            let number = reply.status.as_u16().to_string();
            let code = code(&reply.refusal).map_or(number.clone(), |code| format!("{number} {code}"));
            Err(Failed::Refused { host: authority(&reply.url), code, fix: fix.to_owned() })
        } else {
            Err(status(&self.what, &reply.url, reply.status, &reply.headers).into())
        }
    }
}

fn form(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// A word out of an answer, if it is one: an error's code, and nothing that anybody wrote.
fn word(text: &str) -> Option<String> {
    let text = text.rsplit('#').next().unwrap_or(text);
    let fine = !text.is_empty()
        && text.len() <= 64
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    fine.then(|| text.to_owned())
}

/// The code in an error of OAuth 2, of Microsoft (`AADSTS` and a number), of Google's interfaces, or of Amazon's.
fn json_code(body: &[u8]) -> Option<String> {
    let error: serde_json::Value = serde_json::from_slice(body).ok()?;
    let number = error.pointer("/error_codes/0").and_then(serde_json::Value::as_u64);
    let text = |pointer| error.pointer(pointer).and_then(serde_json::Value::as_str);
    number.map(|number| format!("AADSTS{number}")).or_else(|| {
        text("/error").or(text("/error/status")).or(text("/errors/0/code")).or(text("/__type")).and_then(word)
    })
}

/// The time of the server that answered; ours if it does not say. Lives are counted by the clock that set their end.
fn time_of(reply: &Reply) -> Timestamp {
    let said = reply.text("date").and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
    said.map_or_else(Timestamp::now, |date| date.timestamp())
}

/// The credential, if it is good for any time at all.
fn signed_in(host: &str, credential: Credential, seconds: f64) -> Result<SignedIn, Failed> {
    let life = Duration::try_from_secs_f64(seconds).unwrap_or_default().min(LONGEST);
    if life < Duration::from_secs(1) {
        return Err(Failed::Answer(format!("{host} gave a credential that is over already")));
    }
    Ok(SignedIn { credential, life })
}

/// A header that is never printed.
fn sensitive(host: &str, text: &str) -> Result<HeaderValue, Failed> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| Failed::Answer(format!("{host} gave a token that fits into no header")))?;
    value.set_sensitive(true);
    Ok(value)
}

/// One `--cloud-endpoint`: `host=URL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The cloud's host.
    pub host: String,
    /// Where it is reached instead.
    pub url: Url,
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = "write host=URL, such as sts.eu-west-1.amazonaws.com=https://sts.example.com";
        let (host, url) = text.split_once('=').ok_or(wanted)?;
        let url = Url::parse(url).map_err(|error| format!("{error}; {wanted}"))?;
        let fine = !host.is_empty()
            && matches!(url.scheme(), "http" | "https")
            && url.host().is_some()
            && matches!(url.path(), "" | "/")
            && url.query().is_none()
            && url.username().is_empty();
        if !fine {
            return Err(wanted.to_owned());
        }
        Ok(Self { host: host.to_ascii_lowercase(), url })
    }
}
