//! How servers of signals are reached: one kind of connection, and what holds for every request and every answer.
//!
//! Guarantees: hosts are checked before they are dialled, at the address that is dialled; no redirect is followed, no proxy
//! used; an answer has at most [`CAP`] bytes and ten seconds. A vendor's host is derived from the policy's region or site,
//! asked over TLS, and believed by the installation's authorities alone: a Secret's `ca.crt` counts for servers of one's
//! own. Nothing is asked twice here: a server that asks for a pause has it until the next tick. No message holds a
//! credential or a header.

use crate::{
    hosts::{Filter, HostKind, HostPolicy, Lookup, PolicyResolver, Route, authority},
    ports::signals::{SignalAccess, SignalCredential, SignalError},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use lockkeeper_core::image::shown;
use reqwest::Client;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use url::Url;

/// Largest answer, in bytes.
pub(super) const CAP: usize = 256 * 1024;
/// Longest time for a whole answer.
pub(super) const LIMIT: Duration = Duration::from_secs(10);
/// Connections with authorities of their own that are kept.
const KEPT: usize = 32;

/// Makes TLS that believes these authorities, too; the error says what is wrong with them.
pub type Tls = dyn Fn(Option<&[u8]>) -> Result<rustls::ClientConfig, String> + Send + Sync;

/// The way to all such servers.
pub struct Door {
    hosts: Arc<HostPolicy>,
    lookup: Arc<dyn Lookup>,
    tls: Box<Tls>,
    endpoints: BTreeMap<String, Url>,
    clients: Mutex<BTreeMap<Way, Client>>,
}

/// An authority of one's own, and whether the installation lists the host.
type Way = (Option<Vec<u8>>, bool);

/// One request.
pub(super) struct Sent {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: String,
}

/// One answer, whole.
pub(super) struct Answered {
    /// Who answered.
    pub host: String,
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Door {
    /// Nothing is dialled yet. `endpoints` are other addresses of vendors' hosts.
    #[must_use]
    pub fn new(
        hosts: Arc<HostPolicy>,
        lookup: Arc<dyn Lookup>,
        tls: Box<Tls>,
        endpoints: BTreeMap<String, Url>,
    ) -> Self {
        Self { hosts, lookup, tls, endpoints, clients: Mutex::default() }
    }

    /// Where a vendor's host is reached.
    pub(super) fn vendor(&self, host: &str, path: &str) -> Result<Url, SignalError> {
        let mut url = match self.endpoints.get(host) {
            Some(url) => url.clone(),
            None => Url::parse(&format!("https://{host}/"))
                .map_err(|_| SignalError::other(format!("{} is no host", shown(host))))?,
        };
        url.set_path(path);
        Ok(url)
    }

    /// Asks once.
    pub(super) async fn ask(&self, authority: Option<&[u8]>, sent: Sent) -> Result<Answered, SignalError> {
        let Sent { method, url, headers, body } = sent;
        let host = self::authority(&url);
        let route = self.hosts.check(HostKind::Signal, &url);
        let route = route.map_err(|denied| SignalError::other(denied.to_string()))?;
        let client = self.client(authority, route == Route::Listed)?;
        let request = client.request(method, url).headers(headers).body(body);
        let mut answer =
            request.send().await.map_err(|failed| SignalError::other(transport(&host, &failed)))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut whole = Vec::new();
        while let Some(chunk) =
            answer.chunk().await.map_err(|failed| SignalError::other(transport(&host, &failed)))?
        {
            if whole.len() + chunk.len() > CAP {
                let why = "aggregate the query to one value, with sum() for instance";
                return Err(SignalError::other(format!("{host} answered with more than {CAP} bytes; {why}")));
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(Answered { host, status, headers, body: whole })
    }

    fn client(&self, authority: Option<&[u8]>, listed: bool) -> Result<Client, SignalError> {
        let key = (authority.map(<[u8]>::to_vec), listed);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let tls = (self.tls)(authority).map_err(SignalError::other)?;
        let filter = if listed { Filter::Nothing } else { Filter::Denied };
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .dns_resolver(PolicyResolver::new(
                HostKind::Signal,
                self.hosts.clone(),
                self.lookup.clone(),
                filter,
            ))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .timeout(LIMIT)
            .user_agent(concat!("lockkeeper/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|_| SignalError::other("the HTTP client cannot be made"))?;
        if clients.len() >= KEPT {
            clients.clear();
        }
        clients.insert(key, client.clone());
        Ok(client)
    }
}

impl Answered {
    /// A good answer; else why it is none, with the words that `said` finds in it.
    ///
    /// # Errors
    /// Who answered, what, and what to do.
    pub(super) fn accepted(&self, said: impl Fn(&[u8]) -> Option<String>) -> Result<(), SignalError> {
        let Self { host, status, body, .. } = self;
        let number = status.as_u16();
        if status.is_success() {
            return Ok(());
        }
        let words = said(body).map(|words| format!(": {}", shown(&words))).unwrap_or_default();
        let (refused, message) = match number {
            401 | 403 => {
                (true, format!("{host} answered {number}{words}; check the credential in secretRef"))
            }
            429 => (false, format!("{host} answered 429{words}; it is asked again with the next tick")),
            300..=399 => (
                false,
                format!("{host} redirects, which is not followed; write the address that it leads to"),
            ),
            _ => (false, format!("{host} answered {number}{words}")),
        };
        Err(SignalError { refused, message })
    }
}

/// The address of a server of one's own, with `path` after it.
pub(super) fn url(address: &str, path: &str, field: &str) -> Result<Url, SignalError> {
    let text = format!("{}{path}", address.trim_end_matches('/'));
    let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.filter(|url| url.username().is_empty() && url.password().is_none()).ok_or_else(|| {
        SignalError::other(format!("the address is no http URL without a user; correct {field}"))
    })
}

/// The headers that a Secret gives: as whom, and those it names.
pub(super) fn headers(access: &SignalAccess) -> Result<HeaderMap, SignalError> {
    let mut headers = HeaderMap::new();
    let authorization = match &access.credential {
        Some(SignalCredential::Bearer(token)) => Some(format!("Bearer {token}")),
        Some(SignalCredential::Basic(user, password)) => {
            Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
        }
        None => None,
    };
    if let Some(text) = authorization {
        headers.insert(header::AUTHORIZATION, sensitive("Authorization", &text)?);
    }
    for (name, value) in &access.headers {
        let known: Option<HeaderName> = name.parse().ok();
        let known = known.ok_or_else(|| {
            SignalError::other(format!("{} is no name of a header; correct the Secret's key", shown(name)))
        })?;
        headers.append(known, sensitive(name, value)?);
    }
    Ok(headers)
}

/// A header that is never printed.
pub(super) fn sensitive(name: &str, value: &str) -> Result<HeaderValue, SignalError> {
    let mut value = HeaderValue::from_str(value).map_err(|_| {
        SignalError::other(format!("the value of header {} cannot be sent; correct the Secret", shown(name)))
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// A request that got no whole answer; the URL is left out, the host is what matters.
fn transport(host: &str, failed: &reqwest::Error) -> String {
    if failed.is_timeout() {
        return format!("{host} did not answer within {} s", LIMIT.as_secs());
    }
    // The innermost cause says most: a refused host, a certificate, a refused connection.
    let mut cause: &dyn std::error::Error = failed;
    while let Some(next) = cause.source() {
        cause = next;
    }
    let cause: String = cause.to_string().chars().take(160).collect();
    format!("{host} could not be asked: {cause}")
}
