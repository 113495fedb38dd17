//! A gate before the bed's registry: it lets everything through that nobody shut it for.
//!
//! Guarantees: what is shut is answered with 503 by the gate itself, and the registry hears nothing of it. Assumes: only
//! what reads comes here; it is on loopback, without TLS.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

type Shut = dyn Fn(&str) -> bool + Send + Sync;

/// A running gate. It ends when it is dropped.
pub struct Gate {
    shut: Arc<Mutex<Arc<Shut>>>,
    task: JoinHandle<std::io::Result<()>>,
}

#[derive(Clone)]
struct Through {
    registry: String,
    http: reqwest::Client,
    shut: Arc<Mutex<Arc<Shut>>>,
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Gate {
    /// One at `host`, before `registry`, which is open.
    pub async fn start(host: &str, registry: &str) -> Result<Self> {
        let shut: Arc<Mutex<Arc<Shut>>> = Arc::new(Mutex::new(Arc::new(|_: &_| false)));
        let http = reqwest::Client::builder().no_proxy().build()?;
        let through = Through { registry: registry.to_owned(), http, shut: Arc::clone(&shut) };
        let listener = TcpListener::bind(host).await.with_context(|| format!("the gate at {host}"))?;
        let router = Router::new().fallback(handle).with_state(through);
        let task = tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { shut, task })
    }

    /// From now on it is shut for these paths.
    pub fn shut(&self, paths: impl Fn(&str) -> bool + Send + Sync + 'static) {
        *self.shut.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(paths);
    }
}

async fn handle(State(through): State<Through>, request: Request) -> Response {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let shut = Arc::clone(&through.shut.lock().unwrap_or_else(PoisonError::into_inner));
    if shut(&path) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    forward(&through, request, &path).await.unwrap_or_else(|error| {
        (StatusCode::BAD_GATEWAY, format!("the gate could not forward it: {error:#}")).into_response()
    })
}

async fn forward(through: &Through, request: Request, path: &str) -> Result<Response> {
    let mut onward =
        through.http.request(request.method().clone(), format!("http://{}{path}", through.registry));
    for (name, value) in request.headers() {
        if name != http::header::HOST {
            onward = onward.header(name, value);
        }
    }
    let answer = onward.send().await?;
    let mut reply = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        if name != http::header::TRANSFER_ENCODING && name != http::header::CONNECTION {
            reply = reply.header(name, value);
        }
    }
    Ok(reply.body(Body::from(answer.bytes().await?))?)
}
