//! The adapter against an API server that answers as it is told.

mod effects;
mod events;
mod follow;
mod jobs;
mod lease;
mod logs;
mod sight;

use super::{
    Kubernetes, Settings, WorkloadKind,
    watch::{
        admission, built_in,
        collection::{Collection, Wake},
        ours,
    },
};
use crate::ports::{Clock, Fence, FenceCheck, Identity, PolicyKey, StoredPolicy, Wakes};
use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt, stream};
use jiff::Timestamp;
use lockkeeper_core::policy::Policy;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

/// A request as the API server sees it.
#[derive(Clone, Debug)]
struct Asked {
    method: String,
    path: String,
    query: String,
    user: Option<String>,
    groups: usize,
    content_type: String,
    body: Value,
}

/// What it answers.
enum Answer {
    Json(u16, Value),
    /// Watch events, then the end of the answer.
    Events(Vec<Value>),
    /// Watch events, then silence.
    Silence(Vec<Value>),
    Hang,
}

type Script = dyn Fn(&Asked) -> Answer + Send + Sync;

/// An API server.
#[derive(Clone)]
struct Server {
    script: Arc<Script>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    fn new(script: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self { script: Arc::new(script), asked: Arc::default() }
    }

    /// One that answers everything alike.
    fn always(code: u16, body: Value) -> Self {
        Self::new(move |_| Answer::Json(code, body.clone()))
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    fn client(&self) -> kube::Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        kube::Client::new(service, "default")
    }

    async fn answer(&self, request: http::Request<kube::client::Body>) -> http::Response<Body> {
        let (parts, body) = request.into_parts();
        let header = |name: &str| {
            parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        let body = body.collect_bytes().await.unwrap();
        let asked = Asked {
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            user: Some(header("impersonate-user")).filter(|user| !user.is_empty()),
            groups: parts.headers.get_all("impersonate-group").iter().count(),
            content_type: header("content-type"),
            body: serde_json::from_slice(&body).unwrap_or_default(),
        };
        self.asked.lock().unwrap().push(asked.clone());
        let lines = |events: Vec<Value>| {
            stream::iter(
                events.into_iter().map(|event| Ok::<_, Infallible>(Bytes::from(format!("{event}\n")))),
            )
        };
        let (code, body) = match (self.script)(&asked) {
            Answer::Json(code, value) => (code, Body::from(value.to_string())),
            Answer::Events(events) => (200, Body::from_stream(lines(events))),
            Answer::Silence(events) => (200, Body::from_stream(lines(events).chain(stream::pending()))),
            Answer::Hang => std::future::pending().await,
        };
        http::Response::builder().status(code).body(body).unwrap()
    }
}

/// A Status object.
fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message})
}

#[derive(Debug)]
struct Holds(bool);

impl FenceCheck for Holds {
    fn holds(&self) -> bool {
        self.0
    }
}

/// A fence that holds for so long.
#[derive(Debug)]
struct HoldsFor(Duration);

impl FenceCheck for HoldsFor {
    fn holds(&self) -> bool {
        true
    }

    fn left(&self) -> Option<Duration> {
        Some(self.0)
    }
}

fn fence() -> Fence {
    Fence::new(Arc::new(Holds(true)))
}

fn lost_fence() -> Fence {
    Fence::new(Arc::new(Holds(false)))
}

#[derive(Default)]
struct Woken(Mutex<BTreeSet<String>>);

impl Woken {
    /// Who was woken since the last look.
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap()).into_iter().collect()
    }
}

impl Wakes for Woken {
    fn wake(&self, key: &PolicyKey) {
        self.0.lock().unwrap().insert(format!("{}/{}", key.namespace, key.name));
    }
}

/// The time it is told.
struct Hand(Mutex<Timestamp>);

impl Hand {
    fn set(&self, second: i64) {
        *self.0.lock().unwrap() = Timestamp::from_second(second).unwrap();
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// The adapter, what it talks to, and what it is told.
struct Scene {
    kubernetes: Arc<Kubernetes>,
    server: Server,
    woken: Arc<Woken>,
    clock: Arc<Hand>,
}

impl Scene {
    fn new(server: Server) -> Self {
        let settings = Settings {
            namespace: "lockkeeper-system".into(),
            instance: "lockkeeper-0".into(),
            more_kinds: Vec::new(),
            deadline: Duration::from_secs(10),
            serves_webhook: true,
        };
        let woken = Arc::new(Woken::default());
        let clock = Arc::new(Hand(Mutex::new(Timestamp::UNIX_EPOCH)));
        let kubernetes = Kubernetes::new(server.client(), settings, woken.clone(), clock.clone());
        Self { kubernetes: Arc::new(kubernetes), server, woken, clock }
    }

    /// A scene nobody talks in.
    fn silent() -> Self {
        Self::new(Server::new(|asked| panic!("nothing should be asked: {asked:?}")))
    }

    /// A watch shows these objects.
    fn shows(&self, objects: impl IntoIterator<Item = Value>) {
        for object in objects {
            let woken = self.each(&object, false);
            self.kubernetes.shared.wake(&woken);
        }
    }

    /// A watch shows that this object is gone.
    fn hides(&self, object: &Value) {
        let woken = self.each(object, true);
        self.kubernetes.shared.wake(&woken);
    }

    fn each(&self, object: &Value, gone: bool) -> Wake {
        let policies = ours::Policies(Arc::clone(&self.kubernetes.parsed));
        match object["kind"].as_str().unwrap() {
            "Namespace" => self.show(&built_in::Namespaces, object, gone),
            "Node" => self.show(&built_in::Nodes, object, gone),
            "Pod" => self.show(&built_in::Pods, object, gone),
            "ReplicaSet" => self.show(&built_in::Between::ReplicaSets, object, gone),
            "Job" => self.show(&built_in::Between::Jobs, object, gone),
            "PodDisruptionBudget" => self.show(&built_in::Budgets, object, gone),
            "ImagePolicy" => self.show(&policies, object, gone),
            "ImagePin" => self.show(&ours::Pins, object, gone),
            "Quarantine" => self.show(&ours::Quarantines, object, gone),
            "Intervention" => self.show(&ours::Interventions, object, gone),
            "MutatingAdmissionPolicy" => self.show(&admission::AdmissionPolicies::default(), object, gone),
            "MutatingAdmissionPolicyBinding" => {
                self.show(&admission::AdmissionBindings::default(), object, gone)
            }
            kind => {
                let kind = WorkloadKind::builtin().into_iter().find(|known| known.is(kind)).unwrap();
                self.show(&built_in::Workloads(kind), object, gone)
            }
        }
    }

    fn show<C: Collection>(&self, collection: &C, object: &Value, gone: bool) -> Wake {
        let wire: C::Wire = serde_json::from_value(object.clone()).unwrap();
        let mut world = self.kubernetes.shared.write();
        if gone {
            return collection.remove(&mut world, &C::place(&wire).unwrap());
        }
        let (place, kept) = collection.trim(wire).unwrap();
        collection.show(&mut world, &place, kept)
    }

    /// All watches are fresh.
    fn fresh(&self) {
        let mut world = self.kubernetes.shared.write();
        let watches: Vec<_> = world.stale_watches().keys().cloned().collect();
        for watch in watches {
            world.fresh(&watch);
        }
    }

    fn stored(&self, name: &str) -> Arc<StoredPolicy> {
        use crate::ports::Policies;
        let key = PolicyKey { namespace: "platform".into(), name: name.into() };
        self.kubernetes.get(&key).unwrap()
    }

    fn policy(&self, name: &str) -> Arc<Policy> {
        self.stored(name).policy.clone().unwrap()
    }
}

fn identity() -> Identity {
    Identity { namespace: "platform".into(), service_account: "promoter".into() }
}

fn namespace(name: &str, labels: &Value) -> Value {
    json!({"kind": "Namespace", "metadata": {"name": name, "resourceVersion": "1", "labels": labels}})
}

/// A policy of namespace `platform` with these stages.
fn policy(name: &str, stages: &Value) -> Value {
    json!({
        "apiVersion": "lockkeeper.dev/v1alpha1", "kind": "ImagePolicy",
        "metadata": {"name": name, "namespace": "platform", "uid": format!("uid-{name}"), "generation": 1,
                     "resourceVersion": "10", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"image": "ghcr.io/a/otel", "mode": "Enforce", "serviceAccountName": "promoter",
                 "select": {"semver": {"range": ">=0.1"}}, "stages": stages}
    })
}

fn pods_target(namespace: &str) -> Value {
    json!([{"name": "prod", "targets": [
        {"pods": {"namespaces": [namespace], "selector": {"matchLabels": {"telemetry": "otel"}}}}]}])
}

/// A pod of Deployment `app` with an otel sidecar.
fn pod(name: &str, version: u64) -> Value {
    json!({
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "prod", "uid": format!("uid-{name}"), "generation": 1,
            "resourceVersion": version.to_string(), "annotations": {"note": "kept"},
            "labels": {"telemetry": "otel", "pod-template-hash": "abc"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "app-abc", "controller": true}]},
        "spec": {"nodeName": "n1", "restartPolicy": "Always",
            "containers": [{"name": "app", "image": "ghcr.io/a/app:1"}],
            "initContainers": [{"name": "otel", "image": "ghcr.io/a/otel:latest", "restartPolicy": "Always"}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    })
}
