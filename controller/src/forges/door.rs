//! How forges are asked: one kind of connection, and what holds for every request and every answer.
//!
//! Guarantees: hosts are checked before they are dialled, at the address that is dialled; no redirect is followed, no proxy
//! used; an answer has at most [`CAP`] bytes and twenty seconds; every write asks the fence, and is given up when that
//! closes. No message holds a credential.

use crate::{
    hosts::{Filter, HostKind, HostPolicy, Lookup, PolicyResolver, Route, authority},
    ports::{
        Fence,
        git::GitError,
        signals::{SignalAccess, SignalCredential},
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use lockkeeper_core::{
    git::{PullRequest, Remote},
    image::shown,
};
use reqwest::Client;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use url::Url;

/// Largest answer, in bytes.
const CAP: usize = 4 * 1024 * 1024;
/// Longest time for a whole answer.
const LIMIT: Duration = Duration::from_secs(20);
/// Connections with authorities of their own that are kept.
const KEPT: usize = 32;

/// Makes TLS that believes these authorities, too; the error says what is wrong with them.
pub type Tls = dyn Fn(Option<&[u8]>) -> Result<rustls::ClientConfig, String> + Send + Sync;

/// The way to all forges.
pub struct Door {
    hosts: Arc<HostPolicy>,
    lookup: Arc<dyn Lookup>,
    tls: Box<Tls>,
    clients: Mutex<BTreeMap<Way, Client>>,
}

/// An authority of one's own, and whether the installation lists the host.
type Way = (Option<Vec<u8>>, bool);

/// One forge, as it is reached for one repository.
pub struct Call<'a> {
    /// The way to it.
    pub door: &'a Door,
    /// What opens it.
    pub access: &'a SignalAccess,
    /// Its interface's address, without a slash at its end.
    pub base: String,
    /// The branch that is to be changed.
    pub remote: &'a Remote,
    /// What requests are like.
    pub wanted: &'a PullRequest,
    /// What it wants to be sent with every request.
    pub headers: &'static [(&'static str, &'static str)],
    /// Whom it knows by which scheme.
    pub scheme: Scheme,
    /// Asked before each write; none where nothing is written.
    pub fence: Option<&'a Fence>,
}

/// How a credential is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// A token as a bearer's; user and password as such.
    Usual,
    /// Both as a bearer's token: the password is one.
    Bearer,
    /// Both as a password: the user does not matter.
    Password,
}

/// What a forge answered.
pub struct Answered {
    /// Who answered.
    pub host: String,
    /// How.
    pub status: StatusCode,
    /// What; null where it is no JSON.
    pub body: Value,
}

fn error(reason: &'static str, message: String) -> GitError {
    GitError { reason, message }
}

impl Door {
    /// Nothing is dialled yet.
    #[must_use]
    pub fn new(hosts: Arc<HostPolicy>, lookup: Arc<dyn Lookup>, tls: Box<Tls>) -> Self {
        Self { hosts, lookup, tls, clients: Mutex::default() }
    }

    fn client(&self, authority: Option<&[u8]>, listed: bool) -> Result<Client, GitError> {
        let key = (authority.map(<[u8]>::to_vec), listed);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let tls = (self.tls)(authority).map_err(|why| error("TLSUntrusted", why))?;
        let filter = if listed { Filter::Nothing } else { Filter::Denied };
        let resolver = PolicyResolver::new(HostKind::Git, self.hosts.clone(), self.lookup.clone(), filter);
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .dns_resolver(resolver)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .user_agent(concat!("lockkeeper/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|_| error("Failed", "the HTTP client cannot be made".to_owned()))?;
        if clients.len() >= KEPT {
            clients.clear();
        }
        clients.insert(key, client.clone());
        Ok(client)
    }
}

impl Call<'_> {
    /// Reads; the pairs are the query.
    pub async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, GitError> {
        self.ask(Method::GET, path, query, None).await?.accepted()
    }

    /// Writes, and takes nothing but success for an answer.
    pub async fn send(&self, method: Method, path: &str, body: Value) -> Result<Value, GitError> {
        self.write(method, path, body).await?.accepted()
    }

    /// Writes, whatever is answered.
    pub async fn write(&self, method: Method, path: &str, body: Value) -> Result<Answered, GitError> {
        self.ask(method, path, &[], Some(body)).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<Value>,
    ) -> Result<Answered, GitError> {
        let limit = match (&body, self.fence.map(Fence::left)) {
            (None, _) => LIMIT,
            (Some(_), Some(Some(left))) => LIMIT.min(left),
            (Some(_), _) => {
                return Err(error("Fenced", "another replica leads; nothing was written".to_owned()));
            }
        };
        let mut url = Url::parse(&format!("{}{path}", self.base))
            .map_err(|_| error("HostDenied", format!("{} is no address of a forge", shown(&self.base))))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let host = authority(&url);
        let route = self.door.hosts.check(HostKind::Git, &url);
        let route = route.map_err(|denied| error("HostDenied", denied.to_string()))?;
        let client = self.door.client(self.access.authority.as_deref(), route == Route::Listed)?;
        let mut request = client.request(method, url).headers(self.sent()?).timeout(limit);
        if let Some(body) = body {
            request = request.header(header::CONTENT_TYPE, "application/json").body(body.to_string());
        }
        let lost = |failed: &reqwest::Error| transport(&host, failed);
        let mut answer = request.send().await.map_err(|failed| lost(&failed))?;
        let status = answer.status();
        let mut whole = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|failed| lost(&failed))? {
            if whole.len() + chunk.len() > CAP {
                return Err(error("Failed", format!("{host} answered with more than {CAP} bytes")));
            }
            whole.extend_from_slice(&chunk);
        }
        let body = serde_json::from_slice(&whole).unwrap_or_default();
        Ok(Answered { host, status, body })
    }

    /// The headers, as whom, and those that the Secret names.
    fn sent(&self) -> Result<HeaderMap, GitError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        for (name, value) in self.headers {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        let basic =
            |user: &str, password: &str| format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        let authorization = match (&self.access.credential, self.scheme) {
            (None, _) => None,
            (Some(SignalCredential::Bearer(token)), Scheme::Usual | Scheme::Bearer) => {
                Some(format!("Bearer {token}"))
            }
            (Some(SignalCredential::Bearer(token)), Scheme::Password) => Some(basic("", token)),
            (Some(SignalCredential::Basic(_, password)), Scheme::Bearer) => {
                Some(format!("Bearer {password}"))
            }
            (Some(SignalCredential::Basic(user, password)), _) => Some(basic(user, password)),
        };
        let authorization = authorization.map(|text| ("authorization".to_owned(), text));
        for (name, value) in authorization.iter().chain(&self.access.headers) {
            let wrong = || {
                let what = format!("header {} of the Secret cannot be sent; correct it", shown(name));
                error("AuthFailed", what)
            };
            let known: HeaderName = name.parse().map_err(|_| wrong())?;
            let mut value = HeaderValue::from_str(value).map_err(|_| wrong())?;
            value.set_sensitive(true);
            headers.insert(known, value);
        }
        Ok(headers)
    }
}

impl Answered {
    /// What was answered, if it is a success.
    pub fn accepted(self) -> Result<Value, GitError> {
        let Self { host, status, body } = self;
        if status.is_success() {
            return Ok(body);
        }
        let words = said(&body).map(|words| format!(": {}", shown(&words))).unwrap_or_default();
        let what = format!("{host} answered {}{words}", status.as_u16());
        Err(match status.as_u16() {
            401 | 403 => {
                let fix = "the credential must be one that may open requests in this repository";
                error("AuthFailed", format!("{what}; {fix}"))
            }
            404 => {
                let fix = "correct git.url or pullRequest.address, or let the credential see the repository";
                error("NotFound", format!("{what}; {fix}"))
            }
            429 | 500..=599 => error("Unreachable", format!("{what}; it is asked again")),
            300..=399 => error("Unreachable", format!("{what}, which is a redirect and not followed")),
            _ => error("Failed", what),
        })
    }

    /// What it says was wrong.
    pub fn words(&self) -> String {
        said(&self.body).unwrap_or_default()
    }
}

/// The words that forges put into a refusal.
fn said(body: &Value) -> Option<String> {
    let message = body["message"].as_str().or(body["error"]["message"].as_str()).or(body["error"].as_str());
    // GitLab has lists and maps here.
    let message = message
        .map(str::to_owned)
        .or_else(|| Some(&body["message"]).filter(|value| !value.is_null()).map(ToString::to_string));
    let first = &body["errors"][0];
    let more = first["message"].as_str().or(first.as_str()).map(str::to_owned);
    let both: Vec<String> = [message, more].into_iter().flatten().collect();
    Some(both.join(": ")).filter(|text| !text.is_empty())
}

/// A request that got no whole answer; the URL is left out, the host is what matters.
fn transport(host: &str, failed: &reqwest::Error) -> GitError {
    if failed.is_timeout() {
        return error("Unreachable", format!("{host} did not answer in time"));
    }
    // The innermost cause says most: a refused host, a certificate, a refused connection.
    let mut cause: &dyn std::error::Error = failed;
    while let Some(next) = cause.source() {
        cause = next;
    }
    let cause: String = cause.to_string().chars().take(160).collect();
    error("Unreachable", format!("{host} could not be asked: {cause}"))
}
