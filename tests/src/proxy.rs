//! A proxy before the API server that does as it is told: answers by itself, hangs, loses a reply, or holds a request up.
//!
//! Guarantees: what no deed is for goes through unchanged, watches included, with the caller's own credential.
//! Assumes: whoever uses it speaks HTTP/1 without TLS to it; it is on loopback.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use kube::Client;
use kube::config::AuthInfo;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::bed::Bed;
use crate::eventually::PATIENCE;

/// The most that is read of a request's body.
const MOST: usize = 8 << 20;

/// What happens to a request instead of going through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// It is answered with this status, and the API server hears nothing of it.
    Answer(u16),
    /// It is never answered, and the API server hears nothing of it.
    Hang,
    /// The API server does it, and the reply is lost: the caller gets a 504.
    LoseReply,
    /// It goes through once [`Proxy::release`] is called, even if its caller is gone by then.
    Hold,
}

type Script = dyn Fn(&http::Method, &str) -> Option<Deed> + Send + Sync;

/// A running proxy. It ends when it is dropped.
pub struct Proxy {
    server: String,
    script: Arc<Mutex<Arc<Script>>>,
    held: watch::Sender<Held>,
    task: JoinHandle<std::io::Result<()>>,
}

/// Requests that are held up, or were.
#[derive(Clone, Debug, Default)]
struct Held {
    paths: Vec<String>,
    released: bool,
    /// How the API server answered those that went through.
    answers: Vec<u16>,
}

#[derive(Clone)]
struct Through {
    client: Client,
    script: Arc<Mutex<Arc<Script>>>,
    held: watch::Sender<Held>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// One through which everything goes.
    pub async fn start(bed: &Bed) -> Result<Self> {
        let mut config = bed.config_of("admin").await?;
        // The caller's own credential goes through.
        config.auth_info = AuthInfo::default();
        config.default_retry = false;
        let script: Arc<Mutex<Arc<Script>>> = Arc::new(Mutex::new(Arc::new(|_: &_, _: &_| None)));
        let held = watch::Sender::new(Held::default());
        let client = Client::try_from(config)?;
        let through = Through { client, script: Arc::clone(&script), held: held.clone() };
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let server = format!("http://{}", listener.local_addr()?);
        let router = Router::new().fallback(handle).with_state(through);
        let task = tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { server, script, held, task })
    }

    /// Its address, for a kubeconfig.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Waits until a request is held up, and returns its path.
    pub async fn held(&self) -> Result<String> {
        let mut held = self.held.subscribe();
        let held = held.wait_for(|held| !held.paths.is_empty());
        let held = tokio::time::timeout(PATIENCE, held).await.context("nothing is held up")??;
        Ok(held.paths.first().context("nothing is held up")?.clone())
    }

    /// Lets everything that is held up go through, and returns the HTTP status of the first answer.
    pub async fn release(&self) -> Result<u16> {
        self.held.send_modify(|held| held.released = true);
        let mut held = self.held.subscribe();
        let held = held.wait_for(|held| !held.answers.is_empty());
        let held = tokio::time::timeout(PATIENCE, held).await.context("it was not answered")??;
        held.answers.first().copied().context("it was not answered")
    }

    /// From now on `script` decides, by method and path with query.
    pub fn script(&self, script: impl Fn(&http::Method, &str) -> Option<Deed> + Send + Sync + 'static) {
        *self.script.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(script);
    }
}

async fn handle(State(through): State<Through>, request: Request) -> Response {
    let script = Arc::clone(&through.script.lock().unwrap_or_else(PoisonError::into_inner));
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let deed = script(request.method(), &path);
    match deed {
        Some(Deed::Answer(status)) => {
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR).into_response()
        }
        Some(Deed::Hang) => std::future::pending().await,
        Some(Deed::LoseReply) => {
            let _lost = forward(&through.client, request, &path).await;
            StatusCode::GATEWAY_TIMEOUT.into_response()
        }
        Some(Deed::Hold) => match tokio::spawn(hold(through, request, path)).await {
            Ok(answer) => answer.unwrap_or_else(|error| broken(&error)),
            Err(error) => broken(&error.into()),
        },
        None => forward(&through.client, request, &path).await.unwrap_or_else(|error| broken(&error)),
    }
}

fn broken(error: &anyhow::Error) -> Response {
    (StatusCode::BAD_GATEWAY, format!("the proxy could not forward it: {error:#}")).into_response()
}

/// In a task of its own: its caller may go away.
async fn hold(through: Through, request: Request, path: String) -> Result<Response> {
    let onward = read(request, &path).await?;
    let mut released = through.held.subscribe();
    through.held.send_modify(|held| held.paths.push(path));
    released.wait_for(|held| held.released).await?;
    let answer = through.client.send(onward).await?.map(Body::new);
    through.held.send_modify(|held| held.answers.push(answer.status().as_u16()));
    Ok(answer)
}

async fn forward(client: &Client, request: Request, path: &str) -> Result<Response> {
    Ok(client.send(read(request, path).await?).await?.map(Body::new))
}

/// The whole request, as it goes on.
async fn read(request: Request, path: &str) -> Result<http::Request<kube::client::Body>> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, MOST).await.context("the request's body")?;
    let mut onward = http::Request::builder().method(parts.method).uri(path);
    for (name, value) in &parts.headers {
        let wanted = [ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT].contains(name);
        if wanted || name.as_str().starts_with("impersonate-") {
            onward = onward.header(name, value);
        }
    }
    Ok(onward.body(kube::client::Body::from(body.to_vec()))?)
}
