//! Imitations of the forges' documented interfaces: no test asks a real vendor. Gitea is tried for real by the tests of the bed.

mod azure_devops;
mod bitbucket;
mod gitea;
mod github;
mod gitlab;

use super::{Door, ForgeClients};
use crate::{
    hosts::{HostPolicy, SystemLookup},
    ports::{
        Fence, FenceCheck,
        forges::{Forges as _, Request, Wanted},
        git::GitError,
        signals::{SignalAccess, SignalCredential},
    },
};
use axum::{Router, body::Bytes, extract::State, response::Response};
use http::{HeaderMap, Method, Uri};
use lockkeeper_core::git::{CommitStyle, Forge, MergeMethod, PullRequest, Remote, RequestState};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

/// Looks like any address to the tests' policy.
const SERVER: &str = "127.0.0.2";
/// What the request says; its last line is the mark.
const TEXT: &str = "promote x\n\nLockkeeper-Digest: sha256:1\nLockkeeper-Attempt: a-1/0@1";
const BRANCH: &str = "lockkeeper/apps/otel/prod/main";

/// Which requests came in, as `METHOD path?query`, with whose credential and what body.
#[derive(Clone, Debug)]
struct Asked {
    line: String,
    authorization: String,
    body: Value,
}

type Answers = Arc<dyn Fn(&Asked) -> (u16, Value) + Send + Sync>;

/// A forge that answers what a test tells it to, and remembers what it was asked.
struct Fake {
    at: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: tokio::task::JoinHandle<()>,
    holds: Arc<Holds>,
}

#[derive(Debug, Default)]
struct Holds(AtomicBool);

impl FenceCheck for Holds {
    fn holds(&self) -> bool {
        !self.0.load(Ordering::SeqCst)
    }
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
    body: Bytes,
) -> Response {
    let authorization = headers.get("authorization").map_or("", |value| value.to_str().unwrap()).to_owned();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    let asked = Asked { line: format!("{method} {uri}"), authorization, body };
    let (status, value) = answers(&asked);
    log.lock().unwrap().push(asked);
    let response = Response::builder().status(status).header("location", "http://127.0.0.9/");
    response.body(axum::body::Body::from(value.to_string())).unwrap()
}

fn token() -> SignalAccess {
    SignalAccess { credential: Some(SignalCredential::Bearer("c4n4ry".into())), ..SignalAccess::default() }
}

impl Fake {
    async fn with(answers: impl Fn(&Asked) -> (u16, Value) + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind((SERVER, 0)).await.unwrap();
        let (at, asked) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let answers: Answers = Arc::new(answers);
        let router = Router::new().fallback(answer).with_state((Arc::clone(&asked), answers));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { at, asked, task, holds: Arc::default() }
    }

    /// The repository at this forge, with everything that a request may have.
    fn remote(&self, forge: Forge, url: &str, path: &str) -> Remote {
        Remote {
            url: url.into(),
            branch: "main".into(),
            secret: None,
            style: CommitStyle::default(),
            request: Some(Box::new(PullRequest {
                forge,
                address: Some(format!("http://{}{path}", self.at)),
                secret: None,
                prefix: "lockkeeper".into(),
                labels: vec!["images".into()],
                reviewers: vec!["kim".into()],
                auto_merge: Some(MergeMethod::Squash),
            })),
        }
    }

    fn clients() -> ForgeClients {
        let hosts = Arc::new(HostPolicy::new([SERVER], false).unwrap());
        let tls = |_: Option<&[u8]>| crate::registry::tls(None).map_err(|error| error.message);
        ForgeClients::new(Door::new(hosts, Arc::new(SystemLookup), Box::new(tls)))
    }

    async fn newest(&self, remote: &Remote) -> Result<Option<Request>, GitError> {
        Self::clients().newest(&token(), remote, BRANCH).await
    }

    async fn bring(&self, remote: &Remote, open: Option<Request>) -> Result<Request, GitError> {
        let (fence, wanted) =
            (Fence::new(self.holds.clone()), Wanted { branch: BRANCH, title: "otel: promote", text: TEXT });
        Self::clients().bring(&token(), remote, wanted, open, &fence).await
    }

    async fn close(&self, remote: &Remote, open: &Request) -> Result<(), GitError> {
        Self::clients().close(&token(), remote, open, &Fence::new(self.holds.clone())).await
    }

    /// What came in since the last time.
    fn lines(&self) -> Vec<String> {
        self.asked.lock().unwrap().drain(..).map(|asked| asked.line).collect()
    }

    fn bodies(&self) -> Vec<Value> {
        self.asked.lock().unwrap().iter().map(|asked| asked.body.clone()).collect()
    }
}

/// Its mark is in what it says last, and was in nothing before: whoever was killed in between finds one that brings nothing yet.
fn marked_last(bodies: &[Value], field: &str) {
    let said: Vec<&str> = bodies.iter().filter_map(|body| body[field].as_str()).collect();
    assert!(said.len() >= 2, "{bodies:#?}");
    let (last, before) = said.split_last().unwrap();
    assert!(last.contains("Lockkeeper-Attempt: a-1/0@1"), "{last}");
    assert!(
        before.iter().all(|text| text.contains("Lockkeeper-Digest") && !text.contains("Attempt")),
        "{said:?}"
    );
}

#[tokio::test]
async fn what_a_forge_refuses_is_said_with_what_to_do_and_no_credential() {
    for (status, reason, part) in [
        (401, "AuthFailed", "may open requests"),
        (403, "AuthFailed", "may open requests"),
        (404, "NotFound", "correct git.url"),
        (302, "Unreachable", "redirect"),
        (503, "Unreachable", "asked again"),
        (422, "Failed", "answered 422: \"wrong: more\""),
    ] {
        let answer = json!({"message": "wrong", "errors": [{"message": "more"}]});
        let fake = Fake::with(move |_| (status, answer.clone())).await;
        let remote = fake.remote(Forge::Gitea, "https://git.example.com/a/b", "");
        let error = fake.newest(&remote).await.unwrap_err();
        assert_eq!(error.reason, reason, "{status}");
        assert!(error.message.contains(part) && !error.message.contains("c4n4ry"), "{}", error.message);
        assert_eq!(fake.lines().len(), 1, "a redirect is not followed, and nothing is asked twice");
    }
}

#[tokio::test]
async fn i9_nothing_is_written_behind_a_closed_fence_and_no_host_is_dialled_that_may_not_be() {
    let fake = Fake::with(|_| (200, json!({}))).await;
    let mut remote = fake.remote(Forge::Gitea, "https://git.example.com/a/b", "");
    fake.holds.0.store(true, Ordering::SeqCst);
    assert_eq!(fake.bring(&remote, None).await.unwrap_err().reason, "Fenced");
    remote.request.as_mut().unwrap().address = Some("http://127.0.0.1:1/api/v1".into());
    assert_eq!(fake.newest(&remote).await.unwrap_err().reason, "HostDenied");
    let none = SignalAccess::default();
    let error = Fake::clients().newest(&none, &remote, BRANCH).await.unwrap_err();
    assert!(error.reason == "AuthFailed" && error.message.contains("pullRequest.secretRef"), "{error}");
    assert!(fake.lines().is_empty());
}
