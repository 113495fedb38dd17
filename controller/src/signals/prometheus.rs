//! Servers that speak the Prometheus API: one instant query at the end of a tick.
//!
//! Guarantees: a value is one finite number of one series, without a warning; no series and NaN are "nothing to
//! measure"; everything else is an error that says what to do. Hosts are checked before they are dialled; no redirect is
//! followed, no proxy used; an answer has at most [`CAP`] bytes and ten seconds. A sample older than the tick is none: the
//! server is told not to look back further. No message holds a credential or a header.

use crate::{
    hosts::{Filter, HostKind, HostPolicy, Lookup, PolicyResolver, Route, authority},
    ports::signals::{Measure, SignalAccess, SignalCredential, SignalError, SignalSource},
};
use futures::{FutureExt as _, future::BoxFuture};
use http::{HeaderName, HeaderValue, StatusCode, header};
use lockkeeper_core::image::shown;
use reqwest::Client;
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use url::{Url, form_urlencoded};

/// Largest answer, in bytes.
const CAP: usize = 256 * 1024;
/// Longest time for a whole answer.
const LIMIT: Duration = Duration::from_secs(10);
/// Connections with authorities of their own that are kept.
const KEPT: usize = 32;

/// Makes TLS that believes these authorities, too; the error says what is wrong with them.
pub type Tls = dyn Fn(Option<&[u8]>) -> Result<rustls::ClientConfig, String> + Send + Sync;

/// The client of all such servers.
pub struct Prometheus {
    hosts: Arc<HostPolicy>,
    lookup: Arc<dyn Lookup>,
    tls: Box<Tls>,
    clients: Mutex<BTreeMap<Way, Client>>,
}

/// An authority of one's own, and whether the installation lists the host.
type Way = (Option<Vec<u8>>, bool);

impl Prometheus {
    /// Nothing is dialled yet.
    #[must_use]
    pub fn new(hosts: Arc<HostPolicy>, lookup: Arc<dyn Lookup>, tls: Box<Tls>) -> Self {
        Self { hosts, lookup, tls, clients: Mutex::default() }
    }

    async fn ask(&self, access: &SignalAccess, measure: Measure<'_>) -> Result<Option<f64>, SignalError> {
        let url = url(measure.address)?;
        let host = authority(&url);
        let route = self.hosts.check(HostKind::Signal, &url).map_err(|denied| error(denied.to_string()))?;
        let client = self.client(access, route == Route::Listed)?;
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("query", measure.query)
            .append_pair(
                "time",
                &format!("{}.{:03}", measure.at.as_second(), measure.at.subsec_millisecond()),
            )
            .append_pair("timeout", &format!("{}s", LIMIT.as_secs()))
            .append_pair("lookback_delta", &format!("{}s", measure.window.max(1)))
            .finish();
        let mut request = client
            .post(url)
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body);
        request = match &access.credential {
            Some(SignalCredential::Bearer(token)) => request.bearer_auth(token),
            Some(SignalCredential::Basic(user, password)) => request.basic_auth(user, Some(password)),
            None => request,
        };
        for (name, value) in &access.headers {
            request = request.header(header_name(name)?, header_value(name, value)?);
        }
        let mut answer = request.send().await.map_err(|failed| error(transport(&host, &failed)))?;
        let status = answer.status();
        let mut whole = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|failed| error(transport(&host, &failed)))? {
            if whole.len() + chunk.len() > CAP {
                let why = "aggregate the query to one value, with sum() for instance";
                return Err(error(format!("{host} answered with more than {CAP} bytes; {why}")));
            }
            whole.extend_from_slice(&chunk);
        }
        read(&host, status, &whole)
    }

    fn client(&self, access: &SignalAccess, listed: bool) -> Result<Client, SignalError> {
        let key = (access.authority.clone(), listed);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let tls = (self.tls)(access.authority.as_deref()).map_err(error)?;
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
            .map_err(|_| error("the HTTP client cannot be made".to_owned()))?;
        if clients.len() >= KEPT {
            clients.clear();
        }
        clients.insert(key, client.clone());
        Ok(client)
    }
}

impl SignalSource for Prometheus {
    fn measure<'a>(
        &'a self,
        access: &'a SignalAccess,
        measure: Measure<'a>,
    ) -> BoxFuture<'a, Result<Option<f64>, SignalError>> {
        self.ask(access, measure).boxed()
    }
}

fn error(message: String) -> SignalError {
    SignalError { refused: false, message }
}

fn url(address: &str) -> Result<Url, SignalError> {
    let text = format!("{}/api/v1/query", address.trim_end_matches('/'));
    let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.filter(|url| url.username().is_empty() && url.password().is_none()).ok_or_else(|| {
        error("the address is no http URL without a user; correct prometheus.address".to_owned())
    })
}

fn header_name(name: &str) -> Result<HeaderName, SignalError> {
    let known: Option<HeaderName> = name.parse().ok();
    known.ok_or_else(|| error(format!("{} is no name of a header; correct the Secret's key", shown(name))))
}

fn header_value(name: &str, value: &str) -> Result<HeaderValue, SignalError> {
    let mut value = HeaderValue::from_str(value).map_err(|_| {
        error(format!("the value of header {} cannot be sent; correct the Secret", shown(name)))
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

/// An answer as the API documents it. What is not named here may change without harm.
#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
    data: Option<Data>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<Series>),
    Scalar((f64, String)),
    Matrix(serde::de::IgnoredAny),
    String(serde::de::IgnoredAny),
}

#[derive(Debug, Deserialize)]
struct Series {
    /// None for a native histogram.
    value: Option<(f64, String)>,
}

fn read(host: &str, status: StatusCode, body: &[u8]) -> Result<Option<f64>, SignalError> {
    let refused = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    if refused {
        let message = format!("{host} answered {}; check the credential in secretRef", status.as_u16());
        return Err(SignalError { refused, message });
    }
    if status.is_redirection() {
        let message = format!("{host} redirects, which is not followed; write the address that it leads to");
        return Err(error(message));
    }
    let answer: Option<Answer> = serde_json::from_slice(body).ok();
    let Some(answer) = answer else {
        let message = format!("{host} answered {}, and not as the Prometheus API does", status.as_u16());
        return Err(error(message));
    };
    if let Some(why) = answer.error.filter(|_| !status.is_success()) {
        return Err(error(format!("{host} answered {}: {}", status.as_u16(), shown(&why))));
    }
    if !status.is_success() {
        return Err(error(format!("{host} answered {}", status.as_u16())));
    }
    if let Some(warning) = answer.warnings.first() {
        return Err(error(format!("{host} warns that the answer may be wrong: {}", shown(warning))));
    }
    let number = match answer.data {
        Some(Data::Scalar((_, number))) => number,
        Some(Data::Vector(series)) if series.len() > 1 => {
            let why = "a signal has one value; aggregate it, with sum() or max() for instance";
            return Err(error(format!("{host} answered with {} series; {why}", series.len())));
        }
        Some(Data::Vector(mut series)) => match series.pop() {
            None => return Ok(None),
            Some(Series { value: Some((_, number)) }) => number,
            Some(Series { value: None }) => {
                let why = "take histogram_quantile() or histogram_sum() of it";
                return Err(error(format!("{host} answered with a histogram; {why}")));
            }
        },
        Some(Data::Matrix(_) | Data::String(_)) | None => {
            let why = "write an expression with one number as its value";
            return Err(error(format!("{host} answered with no instant value; {why}")));
        }
    };
    match number.parse::<f64>() {
        Ok(value) if value.is_nan() => Ok(None),
        Ok(value) if value.is_finite() => Ok(Some(value)),
        _ => Err(error(format!("{host} answered {}, which cannot be compared", shown(&number)))),
    }
}

#[cfg(test)]
mod tests;
