//! One exchange with a host: redirects, deadlines, caps. Knows nothing of tokens or manifests.
//!
//! Guarantees: every host is checked before it is dialled, redirects included; `Authorization` goes to the origin it
//! is meant for and is gone for good once a redirect leaves that origin; a redirect never goes from TLS to plain HTTP;
//! plain HTTP is spoken only where the policy asks for it and the installation lists the host; a body is whole and
//! within its cap, or an error. No cookies, no compression, no proxy but the one that the access names, which is checked
//! as every host is; what is dialled behind it is the proxy's affair, so only addresses and listed hosts are known there.
//! Assumes: the caller sets a deadline around the whole.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use reqwest::Client;
use url::Url;

use super::Options;
use super::circuit::Circuits;
use super::error::{
    bad_answer, error, host_denied, left_alone, plain_http_denied, transport, unknown_behind_proxy,
};
use super::trust;
use crate::hosts::{Filter, HostKind, HostPolicy, Lookup, PolicyResolver, Route, authority};
use crate::ports::{Certificates, Proxy, RegistryAccess, RegistryError};

const FORM: &str = "application/x-www-form-urlencoded";

/// Redirects followed per request.
const REDIRECTS: usize = 5;

/// Largest body of an answer without success that is read (so that the connection can be used again).
const UNUSED_BODY: usize = 16 * 1024;

/// One request.
#[derive(Clone)]
pub(super) struct Ask<'a> {
    /// For messages: `the tags of ghcr.io/a/b`.
    pub what: &'a str,
    pub method: Method,
    pub url: Url,
    pub accept: &'static str,
    /// For `If-None-Match`.
    pub known: Option<HeaderValue>,
    /// What is sent; it may hold a secret, so no redirect is followed.
    pub sent: Option<Sent>,
    /// Largest body, in bytes.
    pub cap: usize,
}

/// A body, with the headers that belong to it.
#[derive(Clone)]
pub(super) struct Sent {
    pub headers: HeaderMap,
    pub body: String,
}

impl Sent {
    /// A form, already encoded.
    pub(super) fn form(body: String) -> Self {
        let kind = (header::CONTENT_TYPE, HeaderValue::from_static(FORM));
        Self { headers: HeaderMap::from_iter([kind]), body }
    }
}

/// An answer; its body is empty unless the status is a success.
#[derive(Debug)]
pub(super) struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// What an answer without success says, as far as it is short: for its error code, and never shown.
    pub refusal: Bytes,
    /// Where it came from in the end.
    pub url: Url,
    /// A redirect went to another origin: `Authorization` was not sent there.
    pub left_origin: bool,
}

impl Reply {
    /// A header as text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Which addresses a request may go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// All that the policy allows.
    Allowed,
    /// Public ones, and hosts that the installation lists.
    PublicOrListed,
}

/// The connections of one access; never shared with another.
#[derive(Debug)]
pub(super) struct Transport {
    hosts: Arc<HostPolicy>,
    /// Those of all accesses.
    circuits: Arc<Circuits>,
    insecure: bool,
    /// Names are resolved by the proxy: which addresses they have is not known here.
    proxied: bool,
    listed: Client,
    checked: Client,
    public: Client,
}

impl Transport {
    ///
    /// # Errors
    /// The access's certificates or proxy cannot be used.
    pub(super) fn new(
        options: &Options,
        tls: &rustls::ClientConfig,
        hosts: &Arc<HostPolicy>,
        circuits: &Arc<Circuits>,
        lookup: &Arc<dyn Lookup>,
        access: &RegistryAccess,
    ) -> Result<Self, RegistryError> {
        let what = "the registry";
        let own = (access.certificates != Certificates::default())
            .then(|| trust::of_access(options.extra_roots.as_deref(), &access.certificates))
            .transpose()?;
        let tls = own.as_ref().unwrap_or(tls);
        let proxy = access.proxy.as_ref().map(|proxy| proxied(hosts, proxy)).transpose()?;
        let client = |filter| {
            let filter = proxy.as_ref().map_or(filter, |(_, filter)| *filter);
            let builder = match &proxy {
                Some((proxy, _)) => Client::builder().proxy(proxy.clone()),
                None => Client::builder().no_proxy(),
            };
            builder
                .tls_backend_preconfigured(tls.clone())
                .dns_resolver(PolicyResolver::new(HostKind::Registry, hosts.clone(), lookup.clone(), filter))
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .retry(reqwest::retry::never())
                .connect_timeout(options.connect)
                .pool_max_idle_per_host(4)
                .user_agent(concat!("lockkeeper/", env!("CARGO_PKG_VERSION")))
                .build()
                .map_err(|_| error("Unreachable", what, "the HTTP client cannot be made"))
        };
        Ok(Self {
            hosts: hosts.clone(),
            circuits: circuits.clone(),
            insecure: access.insecure,
            proxied: proxy.is_some(),
            listed: client(Filter::Nothing)?,
            checked: client(Filter::Denied)?,
            public: client(Filter::AllButPublic)?,
        })
    }

    /// Ask, following redirects.
    pub(super) async fn ask(
        &self,
        ask: &Ask<'_>,
        reach: Reach,
        authorization: Option<&HeaderValue>,
    ) -> Result<Reply, RegistryError> {
        let mut url = ask.url.clone();
        let mut left_origin = false;
        for _ in 0..=REDIRECTS {
            let client = self.client(ask.what, &url, reach)?;
            let mut request = client.request(ask.method.clone(), url.clone());
            request = request.header(header::ACCEPT, ask.accept).header(header::ACCEPT_ENCODING, "identity");
            if let Some(known) = &ask.known {
                request = request.header(header::IF_NONE_MATCH, known);
            }
            if let Some(value) = authorization
                && !left_origin
            {
                request = request.header(header::AUTHORIZATION, value);
            }
            if let Some(sent) = &ask.sent {
                request = request.headers(sent.headers.clone()).body(sent.body.clone());
            }
            let host = authority(&url);
            let trial = self.circuits.enter(&host).map_err(|pause| left_alone(ask.what, &host, pause))?;
            let response = match request.send().await {
                Ok(response) => response,
                Err(failed) => {
                    let failed = transport(ask.what, &url, &failed);
                    // What we refuse is no fault of the host.
                    if failed.reason == "HostDenied" {
                        trial.answered();
                    }
                    return Err(failed);
                }
            };
            let Some(next) = redirect(ask.what, &url, &response)? else {
                let reply = finish(ask, url, response, left_origin).await;
                if reply.as_ref().is_ok_and(|reply| !reply.status.is_server_error()) {
                    trial.answered();
                }
                return reply;
            };
            trial.answered();
            if ask.sent.is_some() {
                let why = format!(
                    "{} redirects a request that holds a secret, which is not followed",
                    authority(&url)
                );
                return Err(bad_answer(ask.what, why));
            }
            left_origin |= next.origin() != ask.url.origin();
            url = next;
        }
        Err(bad_answer(ask.what, format!("{} redirects more than {REDIRECTS} times", authority(&ask.url))))
    }

    /// The connections that may be used for this URL.
    fn client(&self, what: &str, url: &Url, reach: Reach) -> Result<&Client, RegistryError> {
        let route = match reach {
            Reach::Allowed => self.hosts.check(HostKind::Registry, url),
            Reach::PublicOrListed => self.hosts.check_public(HostKind::Registry, url),
        };
        let route = route.map_err(|denied| host_denied(what, &denied))?;
        match url.scheme() {
            "https" => {}
            "http" if self.insecure && route == Route::Listed => {}
            "http" => return Err(plain_http_denied(what, url)),
            _ => return Err(bad_answer(what, "only https is spoken to registries")),
        }
        Ok(match (route, reach) {
            (Route::Listed, _) => &self.listed,
            (Route::Checked, Reach::Allowed) => &self.checked,
            (Route::Checked, Reach::PublicOrListed) if self.proxied => {
                return Err(unknown_behind_proxy(what, url));
            }
            (Route::Checked, Reach::PublicOrListed) => &self.public,
        })
    }
}

/// Where an answer sends us, if it does.
fn redirect(what: &str, from: &Url, response: &reqwest::Response) -> Result<Option<Url>, RegistryError> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
    let next = location.and_then(|location| from.join(location).ok());
    let Some(mut next) = next else {
        return Err(bad_answer(what, format!("{} redirects to nowhere", authority(from))));
    };
    if from.scheme() == "https" && next.scheme() != "https" {
        let why = format!("{} redirects from TLS to {}, which is refused", authority(from), next.scheme());
        return Err(bad_answer(what, why));
    }
    without_userinfo(&mut next);
    Ok(Some(next))
}

/// A URL from a registry may carry `user:password@`; reqwest would send it.
pub(super) fn without_userinfo(url: &mut Url) {
    // Both fail only for URLs without a host, which have none.
    let _ = url.set_username("");
    let _ = url.set_password(None);
}

async fn finish(
    ask: &Ask<'_>,
    url: Url,
    mut response: reqwest::Response,
    left_origin: bool,
) -> Result<Reply, RegistryError> {
    let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
    let encoded = headers.get(header::CONTENT_ENCODING).is_some_and(|value| value != "identity");
    if status.is_success() && encoded && ask.method != Method::HEAD {
        let why = format!("{} compresses an answer that was asked for plain", authority(&url));
        return Err(bad_answer(ask.what, why));
    }
    let cap = if status.is_success() { ask.cap } else { UNUSED_BODY };
    let body = body(ask, &url, &mut response, cap).await;
    let (body, refusal) = match body {
        Ok(body) if status.is_success() => (body, Bytes::new()),
        Err(failed) if status.is_success() => return Err(failed),
        other => (Bytes::new(), other.unwrap_or_default()),
    };
    Ok(Reply { status, headers, body, refusal, url, left_origin })
}

/// The whole body, or an error: too long, broken off.
async fn body(
    ask: &Ask<'_>,
    url: &Url,
    response: &mut reqwest::Response,
    cap: usize,
) -> Result<Bytes, RegistryError> {
    let too_long =
        || bad_answer(ask.what, format!("the answer of {} is longer than {cap} bytes", authority(url)));
    let announced = response.content_length().unwrap_or(0);
    if ask.method != Method::HEAD && usize::try_from(announced).map_or(true, |length| length > cap) {
        return Err(too_long());
    }
    let mut whole = BytesMut::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if whole.len() + chunk.len() > cap => return Err(too_long()),
            Ok(Some(chunk)) => whole.extend_from_slice(&chunk),
            Ok(None) => return Ok(whole.freeze()),
            Err(failed) => return Err(transport(ask.what, url, &failed)),
        }
    }
}

/// The proxy, and which of its addresses are left out.
fn proxied(hosts: &HostPolicy, proxy: &Proxy) -> Result<(reqwest::Proxy, Filter), RegistryError> {
    let unusable = |why: &str| {
        error(
            "SecretUnusable",
            "the proxy",
            format!("spec.registry.proxySecretRef: address {why}; write http://host:port"),
        )
    };
    let mut url = Url::parse(&proxy.address).map_err(|_| unusable("is no URL"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(unusable("is no http URL"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(unusable("holds a user or password, which belong into username and password"));
    }
    url.set_fragment(None);
    let route = hosts.check(HostKind::Proxy, &url).map_err(|denied| host_denied("the proxy", &denied))?;
    let made = reqwest::Proxy::all(url).map_err(|_| unusable("is no proxy's"))?;
    let made = match &proxy.credential {
        Some((user, password)) => made.basic_auth(user, password),
        None => made,
    };
    Ok((made, if route == Route::Listed { Filter::Nothing } else { Filter::Denied }))
}
