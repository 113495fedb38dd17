//! What the controller serves: `/healthz`, `/readyz`, `/metrics`.
//!
//! Guarantees: read only; answers from memory; no answer holds a credential. May not: know an adapter.

use crate::{
    ports::{Clock, Vital, Waiting, Watches},
    telemetry::{Format, Metrics},
};
use axum::{
    Router,
    extract::State,
    http::{
        HeaderMap, StatusCode,
        header::{ACCEPT, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use std::{net::SocketAddr, sync::Arc};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What is served.
#[derive(Clone)]
pub struct Served {
    /// For `/healthz` and `/readyz`.
    pub vital: Arc<dyn Vital>,
    /// For `/metrics`.
    pub metrics: Arc<Metrics>,
    /// For `/metrics`: how fresh the watches are.
    pub watches: Arc<dyn Watches>,
    /// For `/metrics`: what waits for a pass.
    pub waiting: Arc<dyn Waiting>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// The server could not begin, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address cannot be listened on.
    #[error("--http-addr {address}: cannot listen there: {source}; use another address or port")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// It ended.
    #[error("the HTTP server ended: {0}")]
    Ended(std::io::Error),
}

/// Begins to listen.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, HttpError> {
    TcpListener::bind(address).await.map_err(|source| HttpError::Listen { address, source })
}

/// Serves until `stop`.
pub async fn serve(listener: TcpListener, served: Served, stop: CancellationToken) -> Result<(), HttpError> {
    axum::serve(listener, router(served))
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
        .map_err(HttpError::Ended)
}

/// The routes.
pub fn router(served: Served) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(served)
}

async fn healthz(State(served): State<Served>) -> Response {
    answer(served.vital.alive())
}

async fn readyz(State(served): State<Served>) -> Response {
    answer(served.vital.ready())
}

fn answer(state: Result<(), String>) -> Response {
    match state {
        Ok(()) => (StatusCode::OK, "ok\n").into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn metrics(State(served): State<Served>, headers: HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let format = Format::wanted(accept);
    served.metrics.queue(served.waiting.backlog());
    served.metrics.orphaned_pins(served.watches.orphaned_pins());
    served.metrics.birth_pinning(served.watches.birth_pinning());
    match served.metrics.render(&served.watches.watches(), served.clock.now()) {
        Ok(text) => ([(CONTENT_TYPE, format.media_type())], format.write(text)).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ports::{Backlog, WatchState},
        telemetry::{OPEN_METRICS, TEXT},
    };
    use axum::{body::Body, http::Request};
    use jiff::Timestamp;
    use lockkeeper_core::observed::{BirthForm, BirthPinning};
    use tower::ServiceExt;

    struct Sick;

    impl Vital for Sick {
        fn alive(&self) -> Result<(), String> {
            Err("the scheduler did not turn for 90 s".into())
        }
        fn ready(&self) -> Result<(), String> {
            Ok(())
        }
    }

    impl Watches for Sick {
        fn watches(&self) -> Vec<WatchState> {
            vec![WatchState { kind: "Pods".into(), synced: true, stale_since: None }]
        }
        fn orphaned_pins(&self) -> usize {
            0
        }
        fn birth_pinning(&self) -> Option<BirthPinning> {
            Some(BirthPinning::By(BirthForm::Webhook))
        }
    }

    impl Waiting for Sick {
        fn backlog(&self) -> Backlog {
            Backlog { due: 3, running: 8, longest: std::time::Duration::from_secs(90) }
        }
    }

    impl Clock for Sick {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH
        }
    }

    async fn get(path: &str) -> (StatusCode, Option<String>, String) {
        get_as(path, "*/*").await
    }

    async fn get_as(path: &str, accept: &str) -> (StatusCode, Option<String>, String) {
        let sick = Arc::new(Sick);
        let served = Served {
            vital: sick.clone(),
            metrics: Arc::default(),
            watches: sick.clone(),
            waiting: sick.clone(),
            clock: sick,
        };
        let request = Request::builder().uri(path).header(ACCEPT, accept).body(Body::empty()).unwrap();
        let response = router(served).oneshot(request).await.unwrap();
        let kind = response.headers().get(CONTENT_TYPE).map(|v| v.to_str().unwrap().to_owned());
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, kind, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn l5_no_progress_fails_liveness_and_says_why() {
        let (status, _, body) = get("/healthz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body, "the scheduler did not turn for 90 s\n");
        assert_eq!(get("/readyz").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn metrics_are_openmetrics() {
        let (status, kind, body) = get("/metrics").await;
        assert_eq!((status, kind.as_deref()), (StatusCode::OK, Some(OPEN_METRICS)));
        assert!(body.contains("lockkeeper_watch_synced{kind=\"Pods\"} 1"), "{body}");
        assert!(body.contains("lockkeeper_queue_due 3\n"), "{body}");
        for (form, active) in [("v1", 0), ("v1beta1", 0), ("webhook", 1), ("none", 0)] {
            let line = format!("lockkeeper_birth_pinning{{form=\"{form}\"}} {active}\n");
            assert!(body.contains(&line), "{line}{body}");
        }
        assert!(body.ends_with("# EOF\n"));
        let (status, kind, body) = get_as("/metrics", "text/plain").await;
        assert_eq!((status, kind.as_deref()), (StatusCode::OK, Some(TEXT)));
        assert!(body.contains("lockkeeper_queue_due 3\n") && !body.contains("# EOF"), "{body}");
    }
}
