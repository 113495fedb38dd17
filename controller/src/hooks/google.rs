//! Tokens of Google's Pub/Sub push subscriptions.
//!
//! Guarantees: signed by a key that Google publishes, with the one algorithm it uses; issuer, audience, account and
//! time are all checked, by the clock that is passed in; a token with an unknown key makes at most one request a
//! minute. May not: follow anything that a token says.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::HeaderMap;
use jiff::Timestamp;
use reqwest::Client;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::{sync::Mutex, time::Instant};
use url::Url;

use super::{config::Receiver, proof::sole};
use crate::hosts::{Filter, HostKind, HostPolicy, Lookup, PolicyResolver, Route};

/// Where Google publishes the keys.
pub const KEYS: &str = "https://www.googleapis.com/oauth2/v3/certs";
const ISSUERS: [&str; 2] = ["accounts.google.com", "https://accounts.google.com"];
/// Clocks differ by so much, in seconds.
const LEEWAY: i64 = 60;
/// Longest life of a token, in seconds: Google's live for an hour.
const LONGEST: i64 = 2 * 3600;
/// Keys are read again after this long.
const KEPT: Duration = Duration::from_hours(1);
/// And not more often than this.
const PAUSE: Duration = Duration::from_mins(1);
/// Largest answer with keys, in bytes.
const CAP: usize = 256 * 1024;

/// Checks tokens.
pub struct Google {
    url: Url,
    hosts: Arc<HostPolicy>,
    checked: Client,
    listed: Client,
    keys: Mutex<Keys>,
}

#[derive(Default)]
struct Keys {
    known: Vec<Key>,
    asked: Option<Instant>,
}

/// One key as Google publishes it (RFC 7517). Keys of other kinds have no modulus and are left out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Key {
    kid: String,
    n: String,
    e: String,
}

#[derive(Debug, Deserialize)]
struct KeySet {
    keys: Vec<Key>,
}

#[derive(Debug, Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    email: String,
    email_verified: bool,
    iat: i64,
    exp: i64,
}

impl Google {
    /// Keys come from `url`, over TLS as `tls` has it.
    ///
    /// # Errors
    /// No HTTP client can be made.
    pub fn new(
        url: Url,
        hosts: Arc<HostPolicy>,
        tls: &rustls::ClientConfig,
        lookup: &Arc<dyn Lookup>,
    ) -> Result<Self, reqwest::Error> {
        let client = |filter| {
            Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .dns_resolver(PolicyResolver::new(HostKind::Keys, hosts.clone(), lookup.clone(), filter))
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .referer(false)
                .timeout(Duration::from_secs(10))
                .user_agent(concat!("lockkeeper/", env!("CARGO_PKG_VERSION")))
                .build()
        };
        let (checked, listed) = (client(Filter::Denied)?, client(Filter::Nothing)?);
        Ok(Self { url, hosts, checked, listed, keys: Mutex::default() })
    }

    /// Whether the token in `Authorization` is for this receiver, and why not.
    ///
    /// # Errors
    /// The claim or part that is wrong; never the token.
    pub async fn check(
        &self,
        receiver: &Receiver,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<(), String> {
        let value = sole(headers, "authorization").and_then(|value| std::str::from_utf8(value).ok());
        let token = value.and_then(|value| value.strip_prefix("Bearer ")).ok_or("no bearer token")?;
        let (signed, signature) = token.rsplit_once('.').ok_or("the token is none")?;
        let (header, claims) = signed.split_once('.').ok_or("the token is none")?;
        let header: Header = part(header).ok_or("the token is none")?;
        if header.alg != "RS256" {
            return Err("the token is not signed with RS256".to_owned());
        }
        let key = self.key(&header.kid.ok_or("the token names no key")?).await?;
        if key.signed(signed, signature).is_none() {
            return Err("the token's signature is wrong".to_owned());
        }
        let claims: Claims = part(claims).ok_or("a claim of the token is missing or of a wrong type")?;
        claims.check(receiver, now)
    }

    async fn key(&self, kid: &str) -> Result<Key, String> {
        let mut keys = self.keys.lock().await;
        let find = |keys: &Keys| keys.known.iter().find(|key| key.kid == kid).cloned();
        let pause = if find(&keys).is_some() { KEPT } else { PAUSE };
        if keys.asked.is_none_or(|at| at.elapsed() >= pause) {
            keys.asked = Some(Instant::now());
            match self.fetch().await {
                Ok(fetched) => keys.known = fetched,
                // Old keys are better than none; Google's are there for days.
                Err(error) => tracing::warn!(error, url = %self.url, "Google's keys could not be read"),
            }
        }
        find(&keys).ok_or_else(|| "the token's key is unknown".to_owned())
    }

    async fn fetch(&self) -> Result<Vec<Key>, String> {
        let route = self.hosts.check(HostKind::Keys, &self.url).map_err(|denied| denied.to_string())?;
        let client = if route == Route::Listed { &self.listed } else { &self.checked };
        let mut answer =
            client.get(self.url.clone()).send().await.map_err(|error| error.without_url().to_string())?;
        if !answer.status().is_success() {
            return Err(format!("it answered {}", answer.status()));
        }
        let mut whole = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| error.without_url().to_string())? {
            if whole.len() + chunk.len() > CAP {
                return Err(format!("it answered with more than {CAP} bytes"));
            }
            whole.extend_from_slice(&chunk);
        }
        let set: KeySet =
            serde_json::from_slice(&whole).map_err(|error| format!("it answered with no keys: {error}"))?;
        Ok(set.keys)
    }
}

impl Key {
    /// Whether this key made the signature over that text: RSA PKCS #1 v1.5 with SHA-256 (RFC 7518, RS256).
    fn signed(&self, text: &str, signature: &str) -> Option<()> {
        let number = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
        let key = RsaPublicKeyComponents { n: number(&self.n)?, e: number(&self.e)? };
        key.verify(&RSA_PKCS1_2048_8192_SHA256, text.as_bytes(), &number(signature)?).ok()
    }
}

/// One part of a token (RFC 7515).
fn part<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

impl Claims {
    fn check(&self, receiver: &Receiver, now: Timestamp) -> Result<(), String> {
        let now = now.as_second();
        let wrong = |claim: &str| Err(format!("the token's {claim} is wrong"));
        if !ISSUERS.contains(&self.iss.as_str()) {
            return wrong("issuer");
        }
        if receiver.audience.as_deref() != Some(self.aud.as_str()) {
            return wrong("audience");
        }
        if receiver.service_account.as_deref() != Some(self.email.as_str()) || !self.email_verified {
            return wrong("account");
        }
        let lives = self.exp.saturating_sub(self.iat);
        if self.iat > now + LEEWAY || self.exp < now - LEEWAY || !(0..=LONGEST).contains(&lives) {
            return wrong("time");
        }
        Ok(())
    }
}
