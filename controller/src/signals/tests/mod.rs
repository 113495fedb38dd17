//! Imitations of the servers' documented interfaces: no test asks a real vendor.

mod cloud_watch;
mod datadog;
mod prometheus;
mod webhook;

use super::{Door, Servers};
use crate::{
    hosts::HostPolicy,
    ports::{
        Identity,
        signals::{Measure, Measured, SignalAccess, SignalError, SignalSource as _},
    },
};
use axum::{Router, body::Bytes, extract::State, response::Response};
use http::{HeaderMap, Method, Uri};
use jiff::Timestamp;
use lockkeeper_core::signals::Server;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use url::Url;

/// Looks like any address to the tests' policy.
const SERVER: &str = "127.0.0.2";

/// What came in.
#[derive(Clone, Debug)]
struct Asked {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: String,
}

impl Asked {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

type Answers = Arc<dyn Fn(&Asked) -> Response + Send + Sync>;

/// A server that answers what a test tells it to, and remembers what it was asked.
struct Fake {
    at: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    State((log, answers)): State<(Arc<Mutex<Vec<Asked>>>, Answers)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    text: Bytes,
) -> Response {
    let asked = Asked { method, uri, headers, body: String::from_utf8_lossy(&text).into_owned() };
    let response = answers(&asked);
    log.lock().unwrap().push(asked);
    response
}

fn respond(status: u16, body: impl Into<String>) -> Response {
    let response = Response::builder().status(status).header("location", "http://127.0.0.9/");
    response.body(axum::body::Body::from(body.into())).unwrap()
}

impl Fake {
    async fn start(status: u16, body: &str) -> Self {
        let body = body.to_owned();
        Self::with(move |_| respond(status, body.clone())).await
    }

    async fn with(answers: impl Fn(&Asked) -> Response + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind((SERVER, 0)).await.unwrap();
        let (at, asked) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let answers: Answers = Arc::new(answers);
        let router = Router::new().fallback(answer).with_state((Arc::clone(&asked), answers));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { at, asked, task }
    }

    /// The clients, to whom this is each of these hosts.
    fn servers(&self, hosts: &[&str]) -> Servers {
        let url = Url::parse(&format!("http://{}/", self.at)).unwrap();
        let endpoints = hosts.iter().map(|host| ((*host).to_owned(), url.clone())).collect();
        servers(HostPolicy::new([SERVER], false).unwrap(), endpoints)
    }

    fn log(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn servers(hosts: HostPolicy, endpoints: BTreeMap<String, Url>) -> Servers {
    let tls = |_: Option<&[u8]>| crate::registry::tls(None).map_err(|error| error.message);
    let lookup = Arc::new(crate::hosts::SystemLookup);
    Servers::new(Door::new(Arc::new(hosts), lookup, Box::new(tls), endpoints))
}

/// About the minute that ends at a quarter of a second after 1500000000.
async fn measure(
    servers: &Servers,
    access: &SignalAccess,
    server: &Server,
    query: &str,
) -> Result<Option<Measured>, SignalError> {
    let identity = Identity { namespace: "shop".into(), service_account: "promoter".into() };
    let at = Timestamp::from_millisecond(1_500_000_000_250).unwrap();
    let id = "a-1-p95-7-candidate";
    let measure = Measure { server, identity: &identity, id, query, at, window: 60 };
    servers.measure(access, measure).await
}

/// With these further keys of a Secret.
fn keys<const N: usize>(pairs: [(&str, &str); N]) -> SignalAccess {
    let keys = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
    SignalAccess { keys: keys.into(), ..SignalAccess::default() }
}

/// Every message says what to do in few words, and nothing of a credential.
fn says(error: &SignalError, parts: &[&str]) {
    let why = &error.message;
    for part in parts {
        assert!(why.contains(part), "{part:?} is not in {why:?}");
    }
    assert!(why.chars().count() < 400 && !why.contains("c4n4ry"), "{why}");
}
