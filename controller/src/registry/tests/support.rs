//! A registry that does what a test tells it to, and remembers what it was asked.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, Method, StatusCode, header};
use lockkeeper_core::image::{Digest, Repository};
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::hosts::{HostPolicy, Lookup};
use crate::ports::{Credential, Listing, Reference, RegistryAccess};
use crate::registry::manifest::{OCI_INDEX, OCI_MANIFEST};
use crate::registry::{OciRegistry, Options};

pub(super) const REGISTRY: &str = "127.0.0.2";
pub(super) const CANARY: &str = "127.0.0.9";

/// One request as it came in.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub method: Method,
    /// Path and query.
    pub uri: String,
    pub headers: HeaderMap,
    pub body: String,
}

impl Asked {
    pub(super) fn authorization(&self) -> &str {
        self.headers.get(header::AUTHORIZATION).map_or("", |value| value.to_str().unwrap())
    }

    pub(super) fn path(&self) -> &str {
        self.uri.split('?').next().unwrap()
    }
}

type Script = dyn Fn(&Asked) -> Response + Send + Sync;

/// A running registry.
pub(super) struct Fake {
    pub at: SocketAddr,
    log: Arc<Mutex<Vec<Asked>>>,
    /// The first byte of every connection: 0x16 begins TLS.
    first_bytes: Arc<Mutex<Vec<u8>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct Shared {
    log: Arc<Mutex<Vec<Asked>>>,
    script: Arc<Script>,
}

async fn answer(State(shared): State<Shared>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 65_536).await.unwrap();
    let asked = Asked {
        method: head.method,
        uri: head.uri.to_string(),
        headers: head.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    shared.log.lock().unwrap().push(asked.clone());
    (shared.script)(&asked)
}

impl Fake {
    /// Plain HTTP.
    pub(super) async fn start(ip: &str, script: impl Fn(&Asked) -> Response + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let (at, log) = (listener.local_addr().unwrap(), Arc::default());
        let shared = Shared { log: Arc::clone(&log), script: Arc::new(script) };
        let router = axum::Router::new().fallback(answer).with_state(shared);
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { at, log, first_bytes: Arc::default(), task }
    }

    /// TLS with this certificate; `port` 0 is any.
    pub(super) async fn start_tls(
        ip: &str,
        port: u16,
        tls: Arc<rustls::ServerConfig>,
        script: impl Fn(&Asked) -> Response + Send + Sync + 'static,
    ) -> Self {
        let tcp = TcpListener::bind((ip, port)).await.unwrap();
        let (at, log, first_bytes) = (tcp.local_addr().unwrap(), Arc::default(), Arc::default());
        let shared = Shared { log: Arc::clone(&log), script: Arc::new(script) };
        let listener =
            TlsListener { tcp, tls: TlsAcceptor::from(tls), first_bytes: Arc::clone(&first_bytes) };
        let router = axum::Router::new().fallback(answer).with_state(shared);
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { at, log, first_bytes, task }
    }

    pub(super) fn repository(&self, path: &str) -> Repository {
        format!("{}/{path}", self.at).parse().unwrap()
    }

    pub(super) fn log(&self) -> Vec<Asked> {
        self.log.lock().unwrap().clone()
    }

    /// `GET /v2/…` per request.
    pub(super) fn asked(&self) -> Vec<String> {
        self.log().iter().map(|asked| format!("{} {}", asked.method, asked.uri)).collect()
    }

    /// How many requests begin so.
    pub(super) fn count(&self, prefix: &str) -> usize {
        self.asked().iter().filter(|line| line.starts_with(prefix)).count()
    }

    pub(super) fn first_bytes(&self) -> Vec<u8> {
        self.first_bytes.lock().unwrap().clone()
    }
}

struct TlsListener {
    tcp: TcpListener,
    tls: TlsAcceptor,
    first_bytes: Arc<Mutex<Vec<u8>>>,
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, from) = self.tcp.accept().await.unwrap();
            let mut first = [0];
            if stream.peek(&mut first).await.is_ok_and(|read| read == 1) {
                self.first_bytes.lock().unwrap().push(first[0]);
            }
            // A client that does not trust us goes away here.
            if let Ok(stream) = self.tls.accept(stream).await {
                return (stream, from);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}

/// A certificate authority.
pub(super) struct Authority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    pub pem: Vec<u8>,
}

impl Authority {
    pub(super) fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(rcgen::DnType::CommonName, "test authority");
        let pem = parameters.self_signed(&key).unwrap().pem().into_bytes();
        Self { issuer: rcgen::Issuer::new(parameters, key), pem }
    }

    /// The one of this process.
    pub(super) fn shared() -> &'static Self {
        static SHARED: OnceLock<Authority> = OnceLock::new();
        SHARED.get_or_init(Self::new)
    }

    /// A certificate of this authority and its key, in PEM form.
    pub(super) fn client(&self) -> (Vec<u8>, Vec<u8>) {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(vec!["lockkeeper".to_owned()]).unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem().into_bytes(), key.serialize_pem().into_bytes())
    }

    /// A server's certificate for these names, until this year.
    pub(super) fn server(&self, names: &[&str], until: i32) -> Arc<rustls::ServerConfig> {
        self.server_with(names, until, None)
    }

    /// The same; clients must show a certificate of `clients`.
    pub(super) fn server_with(
        &self,
        names: &[&str],
        until: i32,
        clients: Option<&Self>,
    ) -> Arc<rustls::ServerConfig> {
        let key = rcgen::KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut parameters = rcgen::CertificateParams::new(names).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2000, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(until, 1, 1);
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap().der().clone();
        let key = rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = match clients {
            None => rustls::server::WebPkiClientVerifier::no_client_auth(),
            Some(clients) => {
                let mut roots = rustls::RootCertStore::empty();
                roots.add(rustls::pki_types::CertificateDer::from_pem_slice(&clients.pem).unwrap()).unwrap();
                let roots = Arc::new(roots);
                let builder =
                    rustls::server::WebPkiClientVerifier::builder_with_provider(roots, provider.clone());
                builder.build().unwrap()
            }
        };
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate], key)
            .unwrap();
        Arc::new(config)
    }
}

/// Names that resolve as a test says; each lookup takes the next answer of its name, the last one for ever.
#[derive(Default)]
pub(super) struct Names(Mutex<BTreeMap<String, Vec<Vec<IpAddr>>>>);

impl Names {
    pub(super) fn new(names: &[(&str, &[&[&str]])]) -> Arc<Self> {
        let parse = |text: &&str| text.parse().unwrap();
        let of =
            |answers: &[&[&str]]| answers.iter().map(|answer| answer.iter().map(parse).collect()).collect();
        Arc::new(Self(Mutex::new(
            names.iter().map(|(name, answers)| (name.to_string(), of(answers))).collect(),
        )))
    }
}

impl Lookup for Names {
    fn lookup(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let mut names = self.0.lock().unwrap();
        let found = match names.get_mut(&name) {
            None => Err(io::Error::other("no such name")),
            Some(answers) if answers.len() > 1 => Ok(answers.remove(0)),
            Some(answers) => Ok(answers[0].clone()),
        };
        Box::pin(async move { found })
    }
}

/// A client that may dial these and nothing else on loopback.
pub(super) fn client(fakes: &[&Fake]) -> OciRegistry {
    client_with(fakes, Options::default())
}

pub(super) fn client_with(fakes: &[&Fake], options: Options) -> OciRegistry {
    let hosts = HostPolicy::new(fakes.iter().map(|fake| fake.at.to_string()), false).unwrap();
    OciRegistry::new(Arc::new(hosts), options).unwrap()
}

pub(super) fn anonymous() -> RegistryAccess {
    RegistryAccess { scope: "ns/anonymous".into(), insecure: true, ..RegistryAccess::default() }
}

pub(super) fn signed_in(user: &str, password: &str) -> RegistryAccess {
    RegistryAccess {
        scope: format!("ns/{user}"),
        credential: Some(Credential::Basic(user.into(), password.into())),
        insecure: true,
        ..RegistryAccess::default()
    }
}

pub(super) fn texts(listing: &Listing) -> Vec<String> {
    listing.iter().map(str::to_owned).collect()
}

pub(super) fn tag(text: &str) -> Reference {
    Reference::Tag(text.parse().unwrap())
}

pub(super) fn respond(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Response {
    let mut response = Response::builder().status(StatusCode::from_u16(status).unwrap());
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body.into()).unwrap()
}

/// An answer that says it is longer than it is, and breaks off.
pub(super) fn broken(headers: &[(&str, &str)], body: String) -> Response {
    // A stream: of a whole body the server knows the length.
    let body = Body::from_stream(futures::stream::once(async move { Ok::<_, io::Error>(Bytes::from(body)) }));
    let headers: Vec<_> = headers.iter().copied().chain([("content-length", "9999")]).collect();
    respond(200, &headers, body)
}

pub(super) fn json_body(body: &Value) -> Response {
    respond(200, &[("content-type", "application/json")], body.to_string())
}

/// What a registry holds of one repository: by tag or digest, the media type and the bytes.
#[derive(Clone, Default)]
pub(super) struct Held {
    things: BTreeMap<String, (String, Bytes)>,
}

impl Held {
    fn put(&mut self, kind: &str, document: &Value) -> Digest {
        let bytes = Bytes::from(document.to_string());
        let digest = Digest::of(&bytes);
        self.things.insert(digest.to_string(), (kind.to_owned(), bytes));
        digest
    }

    /// A manifest or an index, as it is written.
    pub(super) fn document(&mut self, kind: &str, document: &Value) -> Digest {
        self.put(kind, document)
    }

    /// The same byte for byte, as somebody else wrote it.
    pub(super) fn written(&mut self, kind: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        self.things.insert(digest.to_string(), (kind.to_owned(), Bytes::copy_from_slice(bytes)));
        digest
    }

    /// Some bytes.
    pub(super) fn blob(&mut self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let kept = ("application/octet-stream".to_owned(), Bytes::copy_from_slice(bytes));
        self.things.insert(digest.to_string(), kept);
        digest
    }

    /// An image for a platform; `name` makes it differ from others. Manifest and config.
    pub(super) fn image(&mut self, platform: &str, name: &str) -> (Digest, Digest) {
        let (os, architecture) = platform.split_once('/').unwrap();
        let config = json!({"os": os, "architecture": architecture, "created": "2026-01-02T03:04:05Z",
                            "config": {"Labels": {"name": name}}, "rootfs": {"type": "layers", "diff_ids": []}});
        let config = self.put("application/octet-stream", &config);
        let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": [],
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 1}});
        (self.put(OCI_MANIFEST, &manifest), config)
    }

    /// An index of manifests by platform, `unknown/unknown` for attestations.
    pub(super) fn index(&mut self, entries: &[(&str, &Digest)]) -> Digest {
        let entry = |(platform, digest): &(&str, &Digest)| {
            let (os, architecture) = platform.split_once('/').unwrap();
            json!({"mediaType": OCI_MANIFEST, "digest": digest, "size": 1,
                   "platform": {"os": os, "architecture": architecture}})
        };
        let manifests: Vec<Value> = entries.iter().map(entry).collect();
        self.put(OCI_INDEX, &json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}))
    }

    pub(super) fn tag(&mut self, tag: &str, digest: &Digest) {
        let thing = self.things[digest.as_str()].clone();
        self.things.insert(tag.to_owned(), thing);
    }

    pub(super) fn remove(&mut self, reference: &str) {
        self.things.remove(reference);
    }

    pub(super) fn bytes(&self, reference: &str) -> Bytes {
        self.things[reference].1.clone()
    }

    /// As a well-behaved registry answers.
    pub(super) fn serve(&self, asked: &Asked) -> Response {
        let reference = asked.path().rsplit('/').next().unwrap();
        let Some((kind, bytes)) = self.things.get(reference) else {
            return respond(404, &[], "{\"errors\": []}");
        };
        let digest = Digest::of(bytes).to_string();
        let headers = [("content-type", kind.as_str()), ("docker-content-digest", &digest)];
        let body = if asked.method == Method::HEAD { Bytes::new() } else { bytes.clone() };
        respond(200, &headers, body)
    }
}
