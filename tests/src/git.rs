//! A repository over HTTPS, as git's own `http-backend` serves it, and a stand-in for the tool that applies it.
//!
//! Guarantees: only the one credential may read or push; the server's certificate is believed by nobody who was not given
//! it; a push that is held has landed before anybody waits for it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Router, body::to_bytes};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{Patch, PatchParams};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::scene::Scene;

/// Who may read and push.
pub const USER: (&str, &str) = ("deploy-bot", "a-secret-of-the-test");
/// The same as a bearer token, once the server asks for it.
pub const TOKEN: &str = "a-token-of-the-test";
/// What the stand-in reads.
pub const FILE: &str = "clusters/prod/collector.yaml";
/// Most bytes of a push.
const MOST: usize = 16 * 1024 * 1024;

/// The server with its one repository.
pub struct GitServer {
    /// `127.0.0.1:…`.
    pub host: String,
    /// Its certificate, in PEM form.
    pub certificate: String,
    folder: Arc<TempDir>,
    served: Arc<Served>,
    tasks: Vec<JoinHandle<()>>,
}

struct Served {
    root: PathBuf,
    /// How many pushes have landed.
    landed: watch::Sender<usize>,
    /// Replies to pushes wait while this is so.
    held: watch::Sender<bool>,
    /// The `Authorization` that is let in.
    wanted: watch::Sender<String>,
}

impl Drop for GitServer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl GitServer {
    /// Serves a repository whose branch `main` holds `text` as [`FILE`].
    pub async fn start(text: &str) -> Result<Self> {
        crate::install_crypto_provider();
        let folder = Arc::new(tempfile::tempdir()?);
        let root = folder.path().to_owned();
        git(&root, &["init", "--quiet", "--bare", "--initial-branch=main", "deploy.git"]).await?;
        for (key, value) in [("uploadpack.allowFilter", "true"), ("http.receivepack", "true")] {
            git(&root, &["--git-dir=deploy.git", "config", key, value]).await?;
        }
        git(&root, &["clone", "--quiet", "deploy.git", "person"]).await?;
        let file = root.join("person").join(FILE);
        std::fs::create_dir_all(file.parent().context("a file in a folder")?)?;
        std::fs::write(file, text)?;
        git(&root, &["-C", "person", "add", "--all"]).await?;
        git(&root, &["-C", "person", "commit", "--quiet", "--message=a person's"]).await?;
        git(&root, &["-C", "person", "push", "--quiet", "origin", "HEAD:refs/heads/main"]).await?;

        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        let certificate = made.cert.pem();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)?;
        let inner = TcpListener::bind("127.0.0.1:0").await?;
        let host = inner.local_addr()?.to_string();
        let basic = format!("Basic {}", STANDARD.encode(format!("{}:{}", USER.0, USER.1)));
        let served = Arc::new(Served {
            root,
            landed: watch::Sender::new(0),
            held: watch::Sender::new(false),
            wanted: watch::Sender::new(basic),
        });
        let listener = Listener { inner, tls: TlsAcceptor::from(Arc::new(config)) };
        let router = Router::new().fallback(answer).with_state(Arc::clone(&served));
        let serving = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the git server ended");
            }
        });
        Ok(Self { host, certificate, folder, served, tasks: vec![serving] })
    }

    /// The repository's address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}/deploy.git", self.host)
    }

    /// The same repository's address over ssh.
    #[must_use]
    pub fn url_over(&self, ssh: &crate::sshd::Sshd) -> String {
        format!("ssh://{}@{}{}/deploy.git", ssh.user, ssh.host, self.folder.path().display())
    }

    /// The branch's commits, newest first, each with its whole message.
    pub async fn commits(&self) -> Result<Vec<String>> {
        let log = self.ask(&["log", "--format=%B%x01", "main"]).await?;
        let all = log.split('\u{1}').map(str::trim).filter(|message| !message.is_empty());
        Ok(all.map(str::to_owned).collect())
    }

    /// The file as the branch has it.
    pub async fn file(&self) -> Result<String> {
        self.ask(&["show", &format!("main:{FILE}")]).await
    }

    async fn ask(&self, arguments: &[&str]) -> Result<String> {
        git(self.folder.path(), &[&["--git-dir=deploy.git"], arguments].concat()).await
    }

    /// From now on the reply to a push waits, until it is told to go on.
    pub fn hold_replies(&self, hold: bool) {
        self.served.held.send_replace(hold);
    }

    /// From now on it lets in who has the token, and nobody else.
    pub fn only_token(&self) {
        self.served.wanted.send_replace(format!("Bearer {TOKEN}"));
    }

    /// How many pushes have landed.
    #[must_use]
    pub fn landed(&self) -> usize {
        *self.served.landed.borrow()
    }

    /// A tool that applies the repository: it looks again and again, and gives the image that the file names to the native
    /// sidecar of this Deployment.
    pub fn apply_to(&mut self, deployments: Api<Deployment>, name: &'static str) {
        self.tasks.push(applying(self.folder.path().join("deploy.git"), deployments, name));
    }
}

/// A tool that applies the branch `main` of a repository on disk, until it is told to end.
#[must_use]
pub fn applying(repository: PathBuf, deployments: Api<Deployment>, name: &'static str) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut applied = String::new();
        loop {
            if let Err(error) = apply(&repository, &deployments, name, &mut applied).await {
                tracing::debug!(%error, "the repository was not applied");
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    })
}

async fn apply(
    repository: &std::path::Path,
    deployments: &Api<Deployment>,
    name: &str,
    applied: &mut String,
) -> Result<()> {
    let text = git(repository, &["show", &format!("main:{FILE}")]).await?;
    let value: serde_json::Value = serde_saphyr::from_str(&text)?;
    let image = value["collector"]["image"].as_str().context("the file names no image")?;
    if image != applied {
        let containers = json!([{"name": "otel", "image": image}]);
        let patch = json!({"spec": {"template": {"spec": {"initContainers": containers}}}});
        deployments.patch(name, &PatchParams::default(), &Patch::Strategic(patch)).await?;
        image.clone_into(applied);
    }
    Ok(())
}

/// What a person wrote, with every kind of byte that an edit must keep.
#[must_use]
pub fn written(namespace: &str, image: &str) -> String {
    format!(
        "# applied by a tool of ours\r\ncollector:   {{ image: \"{image}\" }} # {{\"$imagepolicy\": \"{namespace}:otel\"}}\r\nother: &a  'x'"
    )
}

/// The Secret `deploy-bot` with these values and no others, and that the promoter may read it.
pub async fn credential(scene: &Scene<'_>, values: &[(&str, &str)]) -> Result<()> {
    let data: BTreeMap<&str, String> =
        values.iter().map(|(key, value)| (*key, STANDARD.encode(value))).collect();
    scene
        .apply(
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "deploy-bot"}, "data": data}),
        )
        .await?;
    let group = "rbac.authorization.k8s.io";
    let rules = json!([{"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["deploy-bot"], "verbs": ["get"]}]);
    let role = json!({"apiVersion": format!("{group}/v1"), "kind": "Role", "metadata": {"name": "bot"}, "rules": rules});
    scene.apply(role).await?;
    scene
        .apply(json!({
            "apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": {"name": "bot"},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "bot"},
            "subjects": [{"kind": "ServiceAccount", "name": "promoter", "namespace": scene.namespace}],
        }))
        .await?;
    Ok(())
}

async fn git(folder: &std::path::Path, arguments: &[&str]) -> Result<String> {
    let who = [
        ("AUTHOR", "NAME", "p"),
        ("AUTHOR", "EMAIL", "p@x"),
        ("COMMITTER", "NAME", "p"),
        ("COMMITTER", "EMAIL", "p@x"),
    ];
    let mut command = Command::new("git");
    command.args(arguments).current_dir(folder).env("GIT_CONFIG_GLOBAL", "/dev/null").stdin(Stdio::null());
    for (whose, what, value) in who {
        command.env(format!("GIT_{whose}_{what}"), value);
    }
    let output = command.output().await?;
    ensure!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

struct Listener {
    inner: TcpListener,
    tls: TlsAcceptor,
}

impl axum::serve::Listener for Listener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok((stream, address)) = self.inner.accept().await else { continue };
            let shaken = tokio::time::timeout(Duration::from_secs(10), self.tls.accept(stream)).await;
            if let Ok(Ok(stream)) = shaken {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.inner.local_addr()
    }
}

async fn answer(State(served): State<Arc<Served>>, request: Request) -> Response {
    match serve(&served, request).await {
        Ok(response) => response,
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")).into_response(),
    }
}

async fn serve(served: &Served, request: Request) -> Result<Response> {
    let (head, body) = request.into_parts();
    let wanted = served.wanted.borrow().clone();
    if head.headers.get("authorization").is_none_or(|given| *given != *wanted) {
        return Ok((StatusCode::UNAUTHORIZED, [("www-authenticate", "Basic realm=\"git\"")]).into_response());
    }
    let body = to_bytes(body, MOST).await?;
    let path = head.uri.path().to_owned();
    let output = backend(served, &head, &path, &body).await?;
    if path.ends_with("/git-receive-pack") {
        served.landed.send_modify(|landed| *landed += 1);
        // The push is in the branch: who is killed now has not heard of it.
        served.held.subscribe().wait_for(|held| !held).await?;
    }
    Ok(output)
}

/// One call of git's own CGI program.
async fn backend(
    served: &Served,
    head: &axum::http::request::Parts,
    path: &str,
    body: &Bytes,
) -> Result<Response> {
    let header =
        |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_PROJECT_ROOT", &served.root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", path)
        .env("QUERY_STRING", head.uri.query().unwrap_or_default())
        .env("REQUEST_METHOD", head.method.as_str())
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .env("REMOTE_USER", USER.0)
        .env("REMOTE_ADDR", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut stdin = child.stdin.take().context("no stdin")?;
    let body = body.clone();
    let writing = tokio::spawn(async move { stdin.write_all(&body).await });
    let output = child.wait_with_output().await?;
    // A program that has read enough closes its end.
    let _ = writing.await?;
    let end = output.stdout.windows(4).position(|part| part == b"\r\n\r\n").context("no headers")?;
    let (mut status, mut headers) = (StatusCode::OK, HeaderMap::new());
    for line in std::str::from_utf8(&output.stdout[..end])?.lines() {
        let (name, value) = line.split_once(": ").context("no header")?;
        if name == "Status" {
            status = value.split(' ').next().context("no status")?.parse()?;
        } else {
            headers.insert(axum::http::HeaderName::try_from(name)?, value.parse()?);
        }
    }
    Ok((status, headers, output.stdout[end + 4..].to_vec()).into_response())
}
