//! The webhook that pins pods at birth where the API server serves no `MutatingAdmissionPolicy`. Every replica serves it.
//!
//! Guarantees: answers from memory; never refuses a pod: what cannot be answered is an error of the call, which the API
//! server passes over (`failurePolicy: Ignore`); no more is read of a request than [`MOST`], and for no longer than
//! [`READ`]; TLS only. May not: write anything, or know an adapter.

mod review;
#[cfg(test)]
mod tests;
mod tls;

use crate::ports::birth::Births;
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::post,
};
use lockkeeper_api::names::WEBHOOK_PATH;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, time::timeout};
use tokio_util::sync::CancellationToken;

/// The most that is read of a request: an object is at most 1.5 MiB in etcd, and JSON is longer.
const MOST: usize = 8 << 20;
/// The longest that is waited for it.
const READ: Duration = Duration::from_secs(2);

/// The server could not begin, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The address cannot be listened on.
    #[error("--webhook-addr {address}: cannot listen there: {source}; use another address or port")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// TLS could not be set up.
    #[error("the webhook's TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// It ended.
    #[error("the webhook's server ended: {0}")]
    Ended(std::io::Error),
}

/// Begins to listen.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, WebhookError> {
    TcpListener::bind(address).await.map_err(|source| WebhookError::Listen { address, source })
}

/// Serves until `stop`, with whatever certificate `births` shows at that moment.
pub async fn serve(
    listener: TcpListener,
    births: Arc<dyn Births>,
    stop: CancellationToken,
) -> Result<(), WebhookError> {
    let listener = tls::Listener::new(listener, Arc::clone(&births))?;
    axum::serve(listener, router(births))
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
        .map_err(WebhookError::Ended)
}

fn router(births: Arc<dyn Births>) -> Router {
    Router::new().route(WEBHOOK_PATH, post(pin)).with_state(births)
}

async fn pin(State(births): State<Arc<dyn Births>>, body: Body) -> Response {
    let refused = |status: StatusCode, why: &str| (status, format!("{why}\n")).into_response();
    let read = match timeout(READ, to_bytes(body, MOST)).await {
        Ok(Ok(read)) => read,
        Ok(Err(_)) => {
            return refused(StatusCode::PAYLOAD_TOO_LARGE, "the review cannot be read, or is too long");
        }
        Err(_) => return refused(StatusCode::REQUEST_TIMEOUT, "the review did not come in time"),
    };
    match review::answer(&read, &*births) {
        Ok(answer) => ([(CONTENT_TYPE, "application/json")], answer).into_response(),
        Err(review::NoAnswer::Malformed(why)) => refused(StatusCode::BAD_REQUEST, &why),
        Err(review::NoAnswer::NotYet) => {
            refused(StatusCode::SERVICE_UNAVAILABLE, "the pins have not been listed yet")
        }
    }
}
