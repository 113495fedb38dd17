//! Hooks: whoever releases an image tells us, so that it is looked at now and not at the next interval.
//!
//! Guarantees: on a port of its own; a hook is a hint, it names a repository to look at, and nothing else in it is
//! believed; the sender is proved over the raw body before anything is parsed; sizes, times, numbers and memory are
//! bounded; answers are constant texts; no secret and no path is logged. Polling goes on whatever happens here.
//! May not: write, ask a registry, know another adapter.

pub mod config;
pub mod google;
mod limit;
mod payload;
mod proof;
pub mod relay;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    ports::{Clock, hints::Hints},
    telemetry::Metrics,
};
use config::{Config, Proof, Receiver};
use google::Google;
use limit::Limit;
use proof::Shown;
use relay::{Relay, Way};

/// Largest body, in bytes.
const CAP: usize = 1024 * 1024;
/// How long a body may take.
const READ: Duration = Duration::from_secs(10);
/// Hooks at once.
const AT_ONCE: usize = 64;
/// Largest file of a secret, in bytes.
const SECRET: u64 = 64 * 1024;

/// Takes hooks.
#[derive(Clone)]
pub struct Desk(Arc<Inner>);

/// What it works with.
pub struct Parts {
    /// Who looks when told.
    pub hints: Arc<dyn Hints>,
    /// Checks Google's tokens.
    pub google: Google,
    /// Knows who leads.
    pub relay: Relay,
    /// For tokens.
    pub clock: Arc<dyn Clock>,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

struct Inner {
    receivers: BTreeMap<String, (Receiver, Mutex<Limit>)>,
    parts: Parts,
    room: Semaphore,
}

/// What became of a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Accepted,
    Repeated,
    Relayed(StatusCode),
    Unproved,
    NotUnderstood,
    TooLarge,
    TooSlow,
    Limited,
    Unavailable,
}

impl Outcome {
    /// For the metric.
    fn label(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Repeated => "repeated",
            Self::Relayed(_) => "relayed",
            Self::Unproved => "unproved",
            Self::NotUnderstood => "not_understood",
            Self::TooLarge => "too_large",
            Self::TooSlow => "too_slow",
            Self::Limited => "limited",
            Self::Unavailable => "unavailable",
        }
    }

    fn answer(self) -> Response {
        let status = match self {
            Self::Accepted | Self::Repeated => StatusCode::ACCEPTED,
            Self::Relayed(status) => status,
            Self::Unproved => StatusCode::UNAUTHORIZED,
            Self::NotUnderstood => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Limited => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        };
        let mut answer = (status, format!("{}\n", status.as_str())).into_response();
        if matches!(self, Self::Limited | Self::Unavailable) {
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        answer
    }
}

impl Desk {
    /// Takes the hooks of these receivers.
    #[must_use]
    pub fn new(config: Config, parts: Parts) -> Self {
        let receivers = config.receivers.into_iter();
        let receivers = receivers.map(|one| (one.name.clone(), (one, Mutex::default()))).collect();
        Self(Arc::new(Inner { receivers, parts, room: Semaphore::new(AT_ONCE) }))
    }

    /// Serves until `stop`.
    ///
    /// # Errors
    /// The server ended by itself.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) -> std::io::Result<()> {
        axum::serve(listener, self.router()).with_graceful_shutdown(stop.cancelled_owned()).await
    }

    fn router(self) -> Router {
        Router::new()
            .route("/hooks/{receiver}", post(receive))
            .route("/hooks/{receiver}/{secret}", post(receive))
            .with_state(self)
    }

    async fn take(
        &self,
        receiver: &Receiver,
        limit: &Mutex<Limit>,
        secret: Option<&str>,
        request: Request,
    ) -> Outcome {
        let Ok(_room) = self.0.room.try_acquire() else { return Outcome::Unavailable };
        let (head, body) = request.into_parts();
        let body = match timeout(READ, whole(body)).await {
            Err(_) => return Outcome::TooSlow,
            Ok(None) => return Outcome::TooLarge,
            Ok(Some(body)) => body,
        };
        let shown = Shown { path: secret, headers: &head.headers, body: &body };
        match self.proved(receiver, shown).await {
            Ok(true) => {}
            Ok(false) => return Outcome::Unproved,
            Err(error) => {
                tracing::error!(receiver = receiver.name, error, "a hook could not be checked");
                return Outcome::Unavailable;
            }
        }
        if !lock(limit).take(Instant::now()) {
            return Outcome::Limited;
        }
        match self.0.parts.relay.way(&head.headers) {
            Way::Here => {}
            Way::Nowhere => return Outcome::Unavailable,
            Way::To(leader) => {
                let passed = self.0.parts.relay.pass(leader, head.uri.path(), &head.headers, body).await;
                return passed.map_or(Outcome::Unavailable, Outcome::Relayed);
            }
        }
        let Some(hints) = payload::hints(receiver, &head.headers, &body) else {
            return Outcome::NotUnderstood;
        };
        if !lock(limit).is_new(&body, Instant::now()) {
            return Outcome::Repeated;
        }
        for hint in &hints {
            let looks = self.0.parts.hints.hint(hint);
            tracing::debug!(receiver = receiver.name, repository = %hint.repository, looks, "a hint");
        }
        Outcome::Accepted
    }

    async fn proved(&self, receiver: &Receiver, shown: Shown<'_>) -> Result<bool, String> {
        let proof = receiver.kind.proof();
        if proof == Proof::Google {
            let checked = self.0.parts.google.check(receiver, shown.headers, self.0.parts.clock.now()).await;
            if let Err(why) = &checked {
                tracing::info!(receiver = receiver.name, why, "a hook proved nothing");
            }
            return Ok(checked.is_ok());
        }
        let file = receiver.secret_file.as_deref().ok_or("the receiver has no secretFile")?;
        let secret = secret(file).await.map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(proof::holds(proof, &secret, shown))
    }
}

async fn receive(State(desk): State<Desk>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let rest = path.strip_prefix("/hooks/").unwrap_or_default();
    let (name, secret) = rest.split_once('/').map_or((rest, None), |(name, secret)| (name, Some(secret)));
    let Some((receiver, limit)) = desk.0.receivers.get(name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let outcome = desk.take(receiver, limit, secret, request).await;
    desk.0.parts.metrics.hook(&receiver.name, outcome.label());
    outcome.answer()
}

/// The secret in a file, without the line end that editors add.
async fn secret(file: &Path) -> std::io::Result<Vec<u8>> {
    let size = tokio::fs::metadata(file).await?.len();
    if size > SECRET {
        return Err(std::io::Error::other(format!("{size} bytes are no secret")));
    }
    let mut secret = tokio::fs::read(file).await?;
    while secret.last().is_some_and(|last| matches!(last, b'\n' | b'\r')) {
        secret.pop();
    }
    Ok(secret)
}

/// The whole body, or none if it is too large or breaks off.
async fn whole(body: Body) -> Option<Bytes> {
    axum::body::to_bytes(body, CAP).await.ok()
}

fn lock(limit: &Mutex<Limit>) -> std::sync::MutexGuard<'_, Limit> {
    // Nothing in there can panic half-way through a change.
    limit.lock().unwrap_or_else(PoisonError::into_inner)
}
