//! How requests are allowed: tokens, user and password.
//!
//! Guarantees: a request is sent at most twice, the second time with a new token; then it is `AuthFailed`. Tokens are
//! kept per registry and repository, for as long as the registry says (60 s if it says nothing), by a clock that does
//! not jump; one is fetched at a time. `Debug` and errors never show credential or token.
//!
//! Where a credential goes: to the registry it is for, and to the realm that the registry names if that is
//! (a) the same host, or (b) a host that the installation lists, or (c) a host whose every dialled address is public.
//! A realm on another, private host is asked without it, if the host policy lets it be asked at all. Realms are
//! https, or plain HTTP where the policy is `insecure` and the installation lists the host. A request that holds a secret
//! in its body follows no redirect.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Method, StatusCode};
use lockkeeper_core::image::{Repository, shown};
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::challenge::{Challenge, best};
use super::error::{auth_failed, bad_answer, status};
use super::lru::Lru;
use super::transport::{Ask, Reach, Reply, Sent, Transport, without_userinfo};
use crate::hosts::authority;
use crate::ports::{self, RegistryError};

/// Tokens kept per access.
const TOKENS: usize = 256;

/// Largest answer of a token service, in bytes.
const TOKEN_BODY: usize = 256 * 1024;

/// Longest scope or service that is repeated to a realm, in bytes.
const PARAMETER: usize = 1024;

/// How long a token lives if its service does not say (Docker's token specification), and at most.
const DEFAULT_LIFE: Duration = Duration::from_mins(1);
const LONGEST_LIFE: Duration = Duration::from_hours(1);

/// One access's credential and tokens.
pub(super) struct Auth {
    held: Option<Credential>,
    cells: Mutex<Lru<String, Cell>>,
}

type Cell = Arc<tokio::sync::Mutex<Option<Held>>>;

#[derive(Clone)]
struct Held {
    header: HeaderValue,
    /// None: user and password, good until refused.
    until: Option<Instant>,
}

impl Held {
    fn is_valid(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() < until)
    }
}

impl std::fmt::Debug for Auth {
    /// Never the credential.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth").field("held", &self.held.is_some()).finish_non_exhaustive()
    }
}

impl Auth {
    pub(super) fn new(credential: Option<&ports::Credential>) -> Self {
        let held = credential.and_then(|credential| {
            Some(match credential {
                ports::Credential::Basic(user, password) => Credential::Basic(sensitive(&format!(
                    "Basic {}",
                    STANDARD.encode(format!("{user}:{password}"))
                ))?),
                ports::Credential::Identity(token) => Credential::Identity(token.clone()),
                ports::Credential::Token(token) => Credential::Token(sensitive(&format!("Bearer {token}"))?),
            })
        });
        Self { held, cells: Mutex::new(Lru::new(TOKENS)) }
    }

    /// Ask the registry of `repository`, with whatever it wants to see.
    pub(super) async fn ask(
        &self,
        transport: &Transport,
        repository: &Repository,
        ask: &Ask<'_>,
    ) -> Result<Reply, RegistryError> {
        let cell = self.cell(repository);
        let held = cell.lock().await.clone().filter(Held::is_valid);
        let header = held.as_ref().map(|held| &held.header);
        let reply = transport.ask(ask, Reach::Allowed, header).await?;
        if reply.status != StatusCode::UNAUTHORIZED {
            return Ok(reply);
        }
        if reply.left_origin {
            let why = format!(
                "{} redirects to {}, which wants a credential; it is not given to another host",
                authority(&ask.url),
                authority(&reply.url)
            );
            return Err(auth_failed(ask.what, why));
        }
        let renewed = self.renew(transport, repository, ask, &reply, &cell, held).await?;
        let reply = transport.ask(ask, Reach::Allowed, Some(&renewed.header)).await?;
        if reply.status == StatusCode::UNAUTHORIZED {
            *cell.lock().await = None;
            return Err(self.refused(ask.what, &ask.url, renewed.without_credential));
        }
        Ok(reply)
    }

    fn cell(&self, repository: &Repository) -> Cell {
        let key = repository.to_string();
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = cells.get(&key) {
            return cell;
        }
        let cell = Cell::default();
        cells.insert(key, cell.clone());
        cell
    }

    /// What to send instead of what was refused: what somebody else fetched meanwhile, or a new token.
    async fn renew(
        &self,
        transport: &Transport,
        repository: &Repository,
        ask: &Ask<'_>,
        refused: &Reply,
        cell: &Cell,
        held: Option<Held>,
    ) -> Result<Renewed, RegistryError> {
        let mut current = cell.lock().await;
        let tried = held.map(|held| held.header);
        if let Some(newer) = current.as_ref().filter(|newer| newer.is_valid())
            && Some(&newer.header) != tried.as_ref()
        {
            return Ok(Renewed { header: newer.header.clone(), without_credential: None });
        }
        *current = None;
        match best(&refused.headers) {
            Some(Challenge::Bearer { realm, service, scope }) => {
                if let Some(Credential::Token(token)) = &self.held {
                    return self.once(ask, &mut current, tried.as_ref(), token);
                }
                let realm = Realm::new(ask, &realm, service, scope, repository)?;
                let (fetched, without_credential) = self.fetch(transport, ask, &realm).await?;
                let header = fetched.header.clone();
                *current = Some(fetched);
                Ok(Renewed { header, without_credential })
            }
            Some(Challenge::Basic) => match &self.held {
                Some(Credential::Basic(basic)) => self.once(ask, &mut current, tried.as_ref(), basic),
                _ => Err(self.refused(ask.what, &ask.url, None)),
            },
            None => {
                let why = format!(
                    "{} answered 401 and does not say how to sign in (no Bearer or Basic challenge)",
                    authority(&ask.url)
                );
                Err(auth_failed(ask.what, why))
            }
        }
    }

    /// What is sent as it is: a second time it is refused.
    fn once(
        &self,
        ask: &Ask<'_>,
        current: &mut Option<Held>,
        tried: Option<&HeaderValue>,
        header: &HeaderValue,
    ) -> Result<Renewed, RegistryError> {
        if tried == Some(header) {
            return Err(self.refused(ask.what, &ask.url, None));
        }
        *current = Some(Held { header: header.clone(), until: None });
        Ok(Renewed { header: header.clone(), without_credential: None })
    }

    /// A new token. Besides: the realm's host if the credential was kept from it.
    async fn fetch(
        &self,
        transport: &Transport,
        ask: &Ask<'_>,
        realm: &Realm,
    ) -> Result<(Held, Option<String>), RegistryError> {
        let started = Instant::now();
        let plain = Ask {
            what: ask.what,
            method: Method::GET,
            url: realm.url.clone(),
            accept: "application/json",
            known: None,
            sent: None,
            cap: TOKEN_BODY,
        };
        let (request, basic) = match &self.held {
            Some(Credential::Identity(token)) => (realm.exchange(&plain, token), None),
            Some(Credential::Basic(basic)) => (plain.clone(), Some(basic)),
            Some(Credential::Token(_)) | None => (plain.clone(), None),
        };
        // Without a credential there is nothing to keep from another host.
        let reach =
            if realm.same_host || self.held.is_none() { Reach::Allowed } else { Reach::PublicOrListed };
        let mut kept = None;
        let reply = match transport.ask(&request, reach, basic).await {
            Err(denied) if denied.reason == "HostDenied" && reach == Reach::PublicOrListed => {
                kept = Some(authority(&realm.url));
                transport.ask(&plain, Reach::Allowed, None).await?
            }
            other => other?,
        };
        match reply.status {
            StatusCode::OK => Ok((token(ask.what, &realm.url, &reply, started)?, kept)),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(self.refused(ask.what, &realm.url, kept)),
            // How OAuth 2 says that a refresh token is over.
            StatusCode::BAD_REQUEST if request.sent.is_some() => {
                Err(self.refused(ask.what, &realm.url, kept))
            }
            // Not the repository: a 404 here says nothing about it.
            StatusCode::NOT_FOUND => {
                let host = authority(&reply.url);
                Err(bad_answer(
                    ask.what,
                    format!("the token service {host} answered 404; is its address right?"),
                ))
            }
            other => Err(status(ask.what, &reply.url, other, &reply.headers)),
        }
    }

    fn refused(&self, what: &str, url: &Url, kept: Option<String>) -> RegistryError {
        let host = authority(url);
        if let Some(realm) = kept {
            return auth_failed(
                what,
                format!(
                    "{host} refused the request; the credential was not sent to {realm}, where tokens come from, \
                     because that is another host on a private network; if it is meant, add --allow-host {realm} \
                     to the controller's flags"
                ),
            );
        }
        match self.held {
            Some(_) => auth_failed(
                what,
                format!(
                    "{host} refused the credential of spec.registry.secretRef, pullSecretsFrom or provider; check that it is current \
                     and may read this repository, and that the repository exists"
                ),
            ),
            None => auth_failed(
                what,
                format!(
                    "{host} wants a credential; name a Secret of type kubernetes.io/dockerconfigjson in \
                     spec.registry.secretRef, and check that the repository exists"
                ),
            ),
        }
    }
}

/// What a second try sends.
struct Renewed {
    header: HeaderValue,
    /// The realm that gave it without having seen the credential.
    without_credential: Option<String>,
}

/// What an access has.
enum Credential {
    Basic(HeaderValue),
    Identity(String),
    Token(HeaderValue),
}

/// Where a token comes from.
struct Realm {
    url: Url,
    /// The realm is on the registry's own host.
    same_host: bool,
}

impl Realm {
    fn new(
        ask: &Ask<'_>,
        realm: &str,
        service: Option<String>,
        scope: Option<String>,
        repository: &Repository,
    ) -> Result<Self, RegistryError> {
        let host = authority(&ask.url);
        let malformed = |why: &str| {
            bad_answer(ask.what, format!("{host} names the realm {} for tokens, which {why}", shown(realm)))
        };
        let mut url = Url::parse(realm).map_err(|_| malformed("is no URL"))?;
        if url.host().is_none() || !matches!(url.scheme(), "http" | "https") {
            return Err(malformed("is no https URL"));
        }
        if ask.url.scheme() == "https" && url.scheme() != "https" {
            return Err(malformed("is not https; tokens are not asked for in the clear"));
        }
        without_userinfo(&mut url);
        url.set_fragment(None);
        let scope = scope.unwrap_or_else(|| format!("repository:{}:pull", repository.path()));
        for (name, value) in [("service", service), ("scope", Some(scope))] {
            let Some(value) = value else { continue };
            if value.len() > PARAMETER || value.contains(char::is_control) {
                return Err(bad_answer(
                    ask.what,
                    format!("{host} names a {name} for tokens that cannot be repeated"),
                ));
            }
            url.query_pairs_mut().append_pair(name, &value);
        }
        let same_host = url.host() == ask.url.host();
        Ok(Self { url, same_host })
    }

    /// The request that gives a token for a refresh token, by OAuth 2 as registries speak it: what a GET has in its
    /// query is in the body, and so is the secret.
    fn exchange<'a>(&self, plain: &Ask<'a>, token: &str) -> Ask<'a> {
        let mut url = self.url.clone();
        let parameters: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        url.set_query(None);
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "refresh_token")
            .append_pair("client_id", "lockkeeper")
            .append_pair("refresh_token", token)
            .extend_pairs(parameters)
            .finish();
        Ask { method: Method::POST, url, sent: Some(Sent::form(form)), ..plain.clone() }
    }
}

fn token(what: &str, realm: &Url, reply: &Reply, started: Instant) -> Result<Held, RegistryError> {
    let host = authority(realm);
    let answer: Value = serde_json::from_slice(&reply.body)
        .map_err(|_| bad_answer(what, format!("the token service {host} did not answer with JSON")))?;
    let text = |name: &str| answer.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let header = text("token")
        .or_else(|| text("access_token"))
        .and_then(|token| sensitive(&format!("Bearer {token}")))
        .ok_or_else(|| bad_answer(what, format!("the token service {host} gave no usable token")))?;
    // `issued_at` is the service's clock and of no use here.
    let life = answer
        .get("expires_in")
        .and_then(Value::as_f64)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).ok())
        .unwrap_or(DEFAULT_LIFE)
        .min(LONGEST_LIFE);
    // A tenth less: it has to last until it arrives.
    Ok(Held { header, until: Some(started + life - life / 10) })
}

/// A header that is never printed; none if it holds what no header may (line breaks).
fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
