//! Adapters that tell people: one file for each service.
//!
//! Guarantees: hosts are checked before they are dialled, at the address that is dialled; no redirect is followed, no proxy
//! used; an answer has ten seconds, and nothing of it is shown; a service of the internet is asked over TLS only, unless
//! the installation lists its host. No message and no log holds anything of an address or a credential.
//! Assumes: who calls holds the right to tell.

mod alertmanager;
mod config;
mod pagerduty;
mod slack;
mod teams;
mod text;
mod webhook;

pub use config::Config;

use crate::{
    hosts::{Filter, HostKind, HostPolicy, Lookup, PolicyResolver, Route},
    ports::notify::{Destination, Message, Notifier, NotifyError},
};
use futures::{FutureExt as _, future::BoxFuture};
use http::{HeaderName, HeaderValue, StatusCode, header};
use lockkeeper_core::notices::{Receiver, Service};
use reqwest::Client;
use std::{
    collections::BTreeMap,
    error::Error,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use url::Url;

/// Longest time for a whole answer.
const LIMIT: Duration = Duration::from_secs(10);
/// The longest pause that a service may ask for.
const LONGEST_PAUSE: Duration = Duration::from_mins(10);
/// Connections with authorities of their own that are kept.
const KEPT: usize = 32;

/// Makes TLS that believes these authorities, too; the error says what is wrong with them.
pub type Tls = dyn Fn(Option<&[u8]>) -> Result<rustls::ClientConfig, String> + Send + Sync;

/// How one service is spoken to.
trait Speaks: Sync {
    /// The request that tells it.
    ///
    /// # Errors
    /// Which key of the Secret is wrong and why; never its value.
    fn request(&self, values: &Values<'_>, message: &Message) -> Result<Outgoing, String>;

    /// What to do where it answers this; it is no success.
    fn advice(&self, status: StatusCode) -> &'static str;

    /// Whether it is on the internet, where credentials travel over TLS only.
    fn outside(&self) -> bool;
}

fn speaker(service: Service) -> &'static dyn Speaks {
    match service {
        Service::Slack => &slack::Slack,
        Service::Teams => &teams::Teams,
        Service::PagerDuty => &pagerduty::PagerDuty,
        Service::Alertmanager => &alertmanager::Alertmanager,
        Service::Webhook => &webhook::Webhook,
    }
}

/// One request.
struct Outgoing {
    url: Url,
    content_type: &'static str,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Vec<u8>,
}

impl Outgoing {
    fn json(url: Url, body: &serde_json::Value) -> Self {
        let body = body.to_string().into_bytes();
        Self { url, content_type: "application/json", headers: Vec::new(), body }
    }
}

/// The values of a Secret.
struct Values<'a>(&'a BTreeMap<String, Vec<u8>>);

impl Values<'_> {
    /// A text, without white space around it.
    fn text(&self, key: &str) -> Result<Option<&str>, String> {
        let Some(value) = self.0.get(key) else { return Ok(None) };
        let text = std::str::from_utf8(value).map_err(|_| format!("key {key} is no text; write it anew"))?;
        Ok(Some(text.trim()).filter(|text| !text.is_empty()))
    }

    fn needed(&self, key: &str) -> Result<&str, String> {
        self.text(key)?.ok_or_else(|| format!("key {key} is missing or empty; add it"))
    }

    /// The address below `url`.
    fn url(&self) -> Result<Url, String> {
        parse_url(self.needed("url")?)
    }

    /// `Authorization`, as `token` or `username` and `password` say.
    fn authorization(&self) -> Result<Option<(HeaderName, HeaderValue)>, String> {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let (token, user) = (self.text("token")?, self.text("username")?);
        let (key, value) = match (token, user) {
            (Some(_), Some(_)) => return Err("it has token and username; remove one of them".to_owned()),
            (Some(token), None) => ("token", format!("Bearer {token}")),
            (None, Some(user)) => {
                let password = self.text("password")?.unwrap_or_default();
                ("username", format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
            }
            (None, None) => return Ok(None),
        };
        let mut value = HeaderValue::from_str(&value)
            .map_err(|_| format!("key {key} cannot be sent in a header; write it anew"))?;
        value.set_sensitive(true);
        Ok(Some((header::AUTHORIZATION, value)))
    }
}

fn parse_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let url = url.filter(|url| url.username().is_empty() && url.password().is_none());
    url.ok_or_else(|| "key url is no http URL without a user; write it anew".to_owned())
}

/// All services, over one kind of connection.
pub struct Notifiers {
    hosts: Arc<HostPolicy>,
    lookup: Arc<dyn Lookup>,
    tls: Box<Tls>,
    config: Config,
    clients: Mutex<BTreeMap<Way, Client>>,
}

/// An authority of one's own, and whether the installation lists the host.
type Way = (Option<Vec<u8>>, bool);

impl Notifiers {
    /// Nothing is dialled yet.
    #[must_use]
    pub fn new(hosts: Arc<HostPolicy>, lookup: Arc<dyn Lookup>, tls: Box<Tls>, config: Config) -> Self {
        Self { hosts, lookup, tls, config, clients: Mutex::default() }
    }

    async fn tell(&self, to: &Destination, message: &Message) -> Result<(), NotifyError> {
        let speaker = speaker(to.service);
        let Outgoing { url, content_type, headers, body } = speaker.request(&Values(&to.values), message)?;
        // What is denied is named without the host: it is a part of what may be secret.
        let denied = |why: &str| {
            format!("its host {why}; use another one, or list it by --allow-host of the controller")
        };
        let route = self.hosts.check(HostKind::Notify, &url).map_err(|error| denied(&error.why))?;
        let listed = route == Route::Listed;
        if speaker.outside() && url.scheme() != "https" && !listed {
            return Err("key url is not https; what it holds would travel in the open".to_owned().into());
        }
        let client = self.client(to.values.get("ca.crt"), listed)?;
        let mut request = client.post(url).header(header::CONTENT_TYPE, content_type).body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = request.send().await.map_err(|failed| transport(&failed))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let after = answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        let advice = if status.is_redirection() {
            "redirects are not followed: write the address that it leads to"
        } else {
            speaker.advice(status)
        };
        let message = format!("it answered {}; {advice}", status.as_u16());
        Err(NotifyError { message, retry_after: retry_after.map(|pause| pause.min(LONGEST_PAUSE)) })
    }

    fn client(&self, authority: Option<&Vec<u8>>, listed: bool) -> Result<Client, String> {
        let key = (authority.cloned(), listed);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let tls = (self.tls)(authority.map(Vec::as_slice))?;
        let filter = if listed { Filter::Nothing } else { Filter::Denied };
        let resolver = PolicyResolver::new(HostKind::Notify, self.hosts.clone(), self.lookup.clone(), filter);
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .dns_resolver(resolver)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .timeout(LIMIT)
            .user_agent(concat!("lockkeeper/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|_| "the HTTP client cannot be made".to_owned())?;
        if clients.len() >= KEPT {
            clients.clear();
        }
        clients.insert(key, client.clone());
        Ok(client)
    }
}

impl Notifier for Notifiers {
    fn receivers(&self) -> &[Receiver] {
        self.config.receivers()
    }

    fn own(&self, receiver: &str) -> Result<BTreeMap<String, Vec<u8>>, String> {
        self.config.values(receiver)
    }

    fn send<'a>(
        &'a self,
        to: &'a Destination,
        message: &'a Message,
    ) -> BoxFuture<'a, Result<(), NotifyError>> {
        self.tell(to, message).boxed()
    }
}

/// A request without an answer. The cause names the host sometimes, so only its kind is said.
fn transport(failed: &reqwest::Error) -> String {
    if failed.is_timeout() {
        return format!("it did not answer within {} s", LIMIT.as_secs());
    }
    let mut cause: &dyn Error = failed;
    loop {
        if let Some(denied) = cause.downcast_ref::<crate::hosts::HostDenied>() {
            return format!("its host {}; list it by --allow-host of the controller", denied.why);
        }
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return match tls {
                rustls::Error::InvalidCertificate(_) => {
                    "its certificate is not trusted; add its authority as ca.crt to the Secret".to_owned()
                }
                _ => "TLS with it failed".to_owned(),
            };
        }
        let next = match cause.downcast_ref::<std::io::Error>() {
            // What it wraps is not its source.
            Some(io) => match io.get_ref() {
                Some(inner) => Some(inner as &(dyn Error + 'static)),
                None => return format!("it could not be reached: {}", io.kind()),
            },
            None => cause.source(),
        };
        match next {
            Some(next) => cause = next,
            None => return "it could not be reached".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
