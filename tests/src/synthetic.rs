//! A registry that makes up what it holds: repositories of the same number of tags, each tag an index of two platforms.
//!
//! Guarantees: every answer is one that the distribution specification allows; digests are those of the bytes; pages
//! carry an `ETag` of their bytes and honour `If-None-Match`; `n` is heeded up to a limit of its own, 1,000. What was
//! asked, and how many bytes of bodies went out, is counted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The largest page.
const PAGE: usize = 1_000;

/// What was asked since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted {
    /// Pages of listings, those included that were answered with 304.
    pub listings: usize,
    /// First pages.
    pub scans: usize,
    /// Answers of 304.
    pub unchanged: usize,
    /// Manifests that were fetched.
    pub manifests: usize,
    /// Manifests that were asked about by HEAD.
    pub heads: usize,
    /// Configs.
    pub blobs: usize,
    /// Bytes of bodies.
    pub bytes: usize,
}

impl Counted {
    /// All requests.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.listings + self.manifests + self.heads + self.blobs
    }

    /// Since then.
    #[must_use]
    pub fn since(&self, then: &Self) -> Self {
        Self {
            listings: self.listings - then.listings,
            scans: self.scans - then.scans,
            unchanged: self.unchanged - then.unchanged,
            manifests: self.manifests - then.manifests,
            heads: self.heads - then.heads,
            blobs: self.blobs - then.blobs,
            bytes: self.bytes - then.bytes,
        }
    }
}

/// A running registry.
pub struct Synthetic {
    /// `127.0.0.1:port`.
    pub host: String,
    held: Arc<Held>,
}

struct Held {
    tags: Vec<String>,
    /// By digest: what was made up once, to be fetched again.
    things: Mutex<HashMap<String, (&'static str, Vec<u8>)>>,
    counted: Mutex<Counted>,
}

impl Synthetic {
    /// Every repository has these tags.
    pub async fn start(tags: usize) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let host = listener.local_addr()?.to_string();
        let held = Arc::new(Held { tags: names(tags), things: Mutex::default(), counted: Mutex::default() });
        let router = axum::Router::new().fallback(answer).with_state(Arc::clone(&held));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { host, held })
    }

    /// What was asked so far.
    #[must_use]
    pub fn counted(&self) -> Counted {
        *self.held.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Versions, prereleases of them, and what people have besides; in the order of their text, as most registries list.
fn names(count: usize) -> Vec<String> {
    let mut names: Vec<String> = (0..count)
        .map(|number| match number % 20 {
            0 => format!("v1.{}.{}-rc.1", number / 10, number % 10),
            1 => format!("main-{:08x}", number * 2_654_435),
            _ => format!("v1.{}.{}", number / 10, number % 10),
        })
        .collect();
    names.sort();
    names
}

async fn answer(State(held): State<Arc<Held>>, request: Request) -> Response {
    held.answer(&request)
        .unwrap_or_else(|error| respond(StatusCode::NOT_FOUND, &[], format!("{{\"errors\": [\"{error}\"]}}")))
}

impl Held {
    fn answer(&self, request: &Request) -> Result<Response> {
        let path = request.uri().path().strip_prefix("/v2/").context("no such path")?;
        if let Some(repository) = path.strip_suffix("/tags/list") {
            let query = request.uri().query().unwrap_or_default();
            let known = request.headers().get("if-none-match").and_then(|value| value.to_str().ok());
            return Ok(self.list(repository, query, known));
        }
        if let Some((repository, reference)) = path.split_once("/manifests/") {
            let head = request.method() == Method::HEAD;
            self.count(|counted| *(if head { &mut counted.heads } else { &mut counted.manifests }) += 1);
            let (kind, bytes) = self.manifest(repository, reference).context("no such manifest")?;
            return Ok(self.document(kind, bytes, head));
        }
        let (_, digest) = path.split_once("/blobs/").context("no such path")?;
        self.count(|counted| counted.blobs += 1);
        let (kind, bytes) = self.thing(digest).context("no such blob")?;
        Ok(self.document(kind, bytes, false))
    }

    fn count(&self, change: impl FnOnce(&mut Counted)) {
        change(&mut self.counted.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn list(&self, repository: &str, query: &str, known: Option<&str>) -> Response {
        let parameter = |name: &str| {
            query
                .split('&')
                .filter_map(|pair| pair.split_once('='))
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value)
        };
        let most = parameter("n").and_then(|n| n.parse().ok()).unwrap_or(PAGE).min(PAGE);
        let from = parameter("last").map_or(0, |last| self.tags.partition_point(|tag| tag.as_str() <= last));
        let page = &self.tags[from..(from + most).min(self.tags.len())];
        let body = json!({"name": repository, "tags": page}).to_string();
        let etag = format!("\"{}\"", &digest_of(body.as_bytes())[7..23]);
        let link = page
            .last()
            .filter(|_| from + page.len() < self.tags.len())
            .map(|last| format!("</v2/{repository}/tags/list?n={most}&last={last}>; rel=\"next\""));
        let same = known == Some(etag.as_str());
        self.count(|counted| {
            counted.listings += 1;
            counted.scans += usize::from(from == 0);
            counted.unchanged += usize::from(same);
            counted.bytes += if same { 0 } else { body.len() };
        });
        let mut headers = vec![("etag", etag.as_str()), ("content-type", "application/json")];
        headers.extend(link.as_deref().map(|link| ("link", link)));
        if same {
            respond(StatusCode::NOT_MODIFIED, &headers, String::new())
        } else {
            respond(StatusCode::OK, &headers, body)
        }
    }

    fn document(&self, kind: &str, bytes: Vec<u8>, head: bool) -> Response {
        let digest = digest_of(&bytes);
        let headers = [("content-type", kind), ("docker-content-digest", digest.as_str())];
        if !head {
            self.count(|counted| counted.bytes += bytes.len());
        }
        respond(StatusCode::OK, &headers, if head { Vec::new() } else { bytes })
    }

    fn thing(&self, digest: &str) -> Option<(&'static str, Vec<u8>)> {
        self.things.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned()
    }

    fn manifest(&self, repository: &str, reference: &str) -> Option<(&'static str, Vec<u8>)> {
        if reference.starts_with("sha256:") {
            return self.thing(reference);
        }
        self.tags.binary_search_by(|tag| tag.as_str().cmp(reference)).ok()?;
        let manifests: Vec<Value> = ["amd64", "arm64"]
            .map(|architecture| {
                let config = json!({"os": "linux", "architecture": architecture, "created": "2026-01-02T03:04:05Z",
                    "config": {"Labels": {"of": format!("{repository}:{reference}")}}});
                let (config, size) = self.put(CONFIG, &config);
                let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
                    "config": {"mediaType": CONFIG, "digest": config, "size": size}});
                let (digest, size) = self.put(MANIFEST, &manifest);
                json!({"mediaType": MANIFEST, "digest": digest, "size": size,
                    "platform": {"os": "linux", "architecture": architecture}})
            })
            .into();
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
        Some((INDEX, index.to_string().into_bytes()))
    }

    fn put(&self, kind: &'static str, document: &Value) -> (String, usize) {
        let bytes = document.to_string().into_bytes();
        let (digest, size) = (digest_of(&bytes), bytes.len());
        let mut things = self.things.lock().unwrap_or_else(PoisonError::into_inner);
        things.insert(digest.clone(), (kind, bytes));
        (digest, size)
    }
}

fn digest_of(bytes: &[u8]) -> String {
    let hash: [u8; 32] = Sha256::digest(bytes).into();
    hash.iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

fn respond(status: StatusCode, headers: &[(&str, &str)], body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (name.parse::<http::HeaderName>(), value.parse()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
