//! What a test of the controller stands on: one bed and one controller for all tests of a program, and a namespace, a
//! promoter, an application and a collector of its own.
//!
//! Guarantees: whatever a test does, at its end every write of the controller in its namespace was made as the
//! identity that owns it ([`Scene::finish`]).

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

mod seen;

pub use seen::{Status, image, name, ready, restarts, runs};

use crate::install::{CONTROLLER, apply_object, install, start_controller_with};
use crate::{AuditEvent, Bed, Controller, Image, PATIENCE, Pushed, Test, eventually};
use crate::{kinds, ports};

/// A stage with more pods is refused by the controller of these tests.
pub const POD_LIMIT: usize = 40;
/// How long a policy must be gone for the controller of these tests before its pins are looked after.
pub const ORPHAN_AFTER: &str = "6s";
/// How long tests look whether something is left alone: several passes and ticks of the controller.
pub const A_WHILE: Duration = Duration::from_secs(6);

static CONTROLLER_OF_ALL: OnceCell<Controller> = OnceCell::const_new();

/// Where a test may put a [`Gate`](crate::gate::Gate) before the registry: the controller of these tests may dial it. One
/// test of a program at a time.
pub fn gate() -> Result<&'static str> {
    static GATE: OnceLock<String> = OnceLock::new();
    if let Some(gate) = GATE.get() {
        return Ok(gate);
    }
    let at = format!("127.0.0.1:{}", ports::free()?);
    Ok(GATE.get_or_init(|| at))
}

/// The controller that all tests of this program share.
async fn controller(bed: &'static Bed) -> Result<&'static Controller> {
    CONTROLLER_OF_ALL
        .get_or_try_init(async || {
            bed.kubelet().await?;
            install(bed).await?;
            kinds::install(bed).await?;
            let (limit, gate) = (POD_LIMIT.to_string(), gate()?);
            let args = [
                "--pod-limit",
                &limit,
                "--workload-kinds",
                kinds::ARGUMENT,
                "--orphan-after",
                ORPHAN_AFTER,
                "--allow-host",
                gate,
            ];
            start_controller_with(bed, "lockkeeper", &args).await
        })
        .await
}

/// One test's part of a bed.
pub struct Scene<'b> {
    /// The bed.
    pub bed: &'b Bed,
    /// A client that may do everything.
    pub admin: Client,
    /// The namespace of policy, pods and promoter.
    pub namespace: String,
    /// The controller.
    pub controller: &'b Controller,
    /// The application's image.
    pub app: Pushed,
}

impl Scene<'static> {
    /// A namespace of this test on the shared bed, with a promoter that has every right a promoter may need.
    pub async fn set(test: &Test, role: &str) -> Result<Self> {
        let controller = controller(test.bed).await?;
        let namespace = test.namespace(role).await?;
        Scene::on(test.bed, test.admin.clone(), namespace, controller).await
    }
}

impl<'b> Scene<'b> {
    /// The same in a namespace that is there already.
    pub async fn on(
        bed: &'b Bed,
        admin: Client,
        namespace: String,
        controller: &'b Controller,
    ) -> Result<Scene<'b>> {
        let app = Image::release(&format!("the application of {namespace}"));
        let app = bed.registry().push(&format!("{namespace}/app"), "1", &app).await?;
        let scene = Scene { bed, admin, namespace, controller, app };
        let group = "rbac.authorization.k8s.io";
        scene
            .apply(json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "promoter"}}))
            .await?;
        scene
            .apply(json!({
                "apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": {"name": "promoter"},
                "roleRef": {"apiGroup": group, "kind": "Role", "name": "promoter"},
                "subjects": [{"kind": "ServiceAccount", "name": "promoter", "namespace": scene.namespace}],
            }))
            .await?;
        scene.grant(&["pods", "imagepins", "apps", "cronjobs"]).await?;
        Ok(scene)
    }

    /// Makes the promoter's rights these: `pods`, `imagepins`, `apps`, `cronjobs`.
    pub async fn grant(&self, what: &[&str]) -> Result<()> {
        let rule = |what: &str| match what {
            "pods" => json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["patch"]}),
            "imagepins" => {
                json!({"apiGroups": ["lockkeeper.dev"], "resources": ["imagepins"], "verbs": ["create", "update", "delete"]})
            }
            "apps" => {
                json!({"apiGroups": ["apps"], "resources": ["deployments", "statefulsets", "daemonsets"], "verbs": ["patch"]})
            }
            _ => json!({"apiGroups": ["batch"], "resources": ["cronjobs"], "verbs": ["patch"]}),
        };
        let rules: Vec<Value> = what.iter().map(|what| rule(what)).collect();
        self.apply(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "promoter"},
            "rules": rules,
        }))
        .await?;
        Ok(())
    }

    /// Applies an object in the scene's namespace.
    pub async fn apply(&self, mut object: Value) -> Result<DynamicObject> {
        object["metadata"]["namespace"] = json!(self.namespace);
        apply_object(&self.admin, object).await
    }

    /// Pushes a release of the collector. Its contents are this test's alone.
    pub async fn push(&self, version: &str) -> Result<Pushed> {
        let image = Image::release(&format!("{version} of {}", self.namespace));
        self.bed.registry().push(&format!("{}/otel", self.namespace), version, &image).await
    }

    /// Pushes the first release, which `latest` names, too.
    pub async fn push_first(&self) -> Result<Pushed> {
        let first = self.push("0.28.0").await?;
        self.bed.registry().tag(&format!("{}/otel", self.namespace), "0.28.0", "latest").await?;
        Ok(first)
    }

    /// A pod spec of the application with the collector as a native sidecar.
    #[must_use]
    pub fn pod_spec(&self, collector: &str) -> Value {
        json!({
            "containers": [{"name": "app", "image": self.app.tagged("1")}],
            "initContainers": [{"name": "otel", "image": collector, "restartPolicy": "Always"}],
            "terminationGracePeriodSeconds": 0,
        })
    }

    /// A Deployment of [`pod_spec`](Self::pod_spec), itself and its pods labelled `telemetry: otel` and `app: <name>`.
    #[must_use]
    pub fn deployment(&self, name: &str, replicas: usize, collector: &str) -> Value {
        let labels = json!({"app": name, "telemetry": "otel"});
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name, "labels": labels},
            "spec": {
                "replicas": replicas, "selector": {"matchLabels": {"app": name}},
                "template": {"metadata": {"labels": labels}, "spec": self.pod_spec(collector)},
            },
        })
    }

    /// An Enforce policy `otel` with one stage `only`, which soaks two seconds, and these targets.
    #[must_use]
    pub fn policy(&self, targets: &Value) -> Value {
        json!({
            "apiVersion": "lockkeeper.dev/v1alpha1", "kind": "ImagePolicy",
            "metadata": {"name": "otel"},
            "spec": {
                "image": self.bed.registry().repository(&format!("{}/otel", self.namespace)),
                "registry": {"insecure": true},
                "interval": "1s",
                "mode": "Enforce",
                "select": {"semver": {"range": ">=0.28.0"}},
                "serviceAccountName": "promoter",
                "stages": [{
                    "name": "only", "soak": "2s", "waves": [{"pods": 2, "soak": "2s"}], "targets": targets,
                }],
                "health": {"tick": "1s", "warmUp": "1s", "sweep": "1s"},
            },
        })
    }

    /// The target `pods` of everything labelled `telemetry: otel`.
    #[must_use]
    pub fn pods_target() -> Value {
        json!([{"pods": {"selector": {"matchLabels": {"telemetry": "otel"}}, "containers": ["otel"]}}])
    }

    /// The target `workloads` of everything labelled `telemetry: otel`.
    #[must_use]
    pub fn workloads_target() -> Value {
        json!([{"workloads": {"selector": {"matchLabels": {"telemetry": "otel"}}}}])
    }

    /// Objects of one of Lockkeeper's kinds.
    #[must_use]
    pub fn ours(&self, kind: &str) -> Api<DynamicObject> {
        let plural = format!("{}s", kind.to_lowercase()).replace("ys", "ies");
        let kind = GroupVersionKind::gvk("lockkeeper.dev", "v1alpha1", kind);
        let resource = ApiResource::from_gvk_with_plural(&kind, &plural);
        Api::namespaced_with(self.admin.clone(), &self.namespace, &resource)
    }

    /// Objects of a type that k8s-openapi knows.
    #[must_use]
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.admin.clone(), &self.namespace)
    }

    /// Waits until the policy's status is as `look` wants it.
    pub async fn until(
        &self,
        policy: &str,
        what: &str,
        mut look: impl FnMut(&Status) -> Result<()>,
    ) -> Result<Status> {
        let policies = self.ours("ImagePolicy");
        eventually(what, PATIENCE, async || {
            self.controller.check().await?;
            let status = Status(policies.get(policy).await?.data["status"].clone());
            look(&status).with_context(|| format!("{:#}", status.0))?;
            Ok(status)
        })
        .await
    }

    /// Waits until the stage holds this digest and nothing is in flight.
    pub async fn holds(&self, digest: &str) -> Result<Status> {
        self.until("otel", &format!("the stage holds {digest}"), |status| {
            let stage = status.stage();
            ensure!(stage["phase"] == "Idle" && stage["current"] == digest, "it does not");
            Ok(())
        })
        .await
    }

    /// The pods that are neither ending nor ended.
    pub async fn pods(&self) -> Result<Vec<Pod>> {
        let pods = self.api::<Pod>().list(&ListParams::default()).await?;
        Ok(pods.items.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect())
    }

    /// Waits until there are `count` pods, all Ready, whose collectors all run `digest`.
    pub async fn all_run(&self, digest: &str, count: usize) -> Result<Vec<Pod>> {
        eventually(&format!("{count} Ready pods run {digest}"), PATIENCE, async || {
            let pods = self.pods().await?;
            let seen: Vec<_> = pods.iter().map(|pod| (name(pod), ready(pod), runs(pod))).collect();
            let right = pods.iter().all(|pod| ready(pod) && runs(pod) == BTreeSet::from([digest.to_owned()]));
            ensure!(right && pods.len() == count, "{seen:?}");
            Ok(pods)
        })
        .await
    }

    /// What the controller wrote in this namespace, its own status and events included, refused writes, too.
    pub fn writes(&self) -> Result<Vec<AuditEvent>> {
        let user = format!("system:serviceaccount:{}:{}", CONTROLLER.0, CONTROLLER.1);
        let mut events = self.bed.audit_of(&user)?;
        events.retain(|event| event.object().namespace == self.namespace);
        Ok(events)
    }

    /// Its writes of one resource, without subresources.
    pub fn writes_of(&self, resource: &str) -> Result<Vec<AuditEvent>> {
        let mut events = self.writes()?;
        events.retain(|event| event.object().resource == resource && event.object().subresource.is_empty());
        Ok(events)
    }

    /// Looks for a while, and fails as soon as `resource` was written more than `writes` times in all.
    pub async fn not_written_again(&self, resource: &str, writes: usize, why: &str) -> Result<()> {
        let until = tokio::time::Instant::now() + A_WHILE;
        while tokio::time::Instant::now() < until {
            let seen = self.writes_of(resource)?;
            ensure!(seen.len() <= writes, "{why}: {resource} was written: {:#?}", seen.last());
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        Ok(())
    }

    /// Waits until none of these writes of the controller is made for `rest`. The last event is published after the last
    /// status, on a busy machine some time after it: what is written all the time never rests.
    pub async fn comes_to_rest(&self, rest: Duration, of: impl Fn(&AuditEvent) -> bool) -> Result<()> {
        let writes = || -> Result<Vec<AuditEvent>> {
            let mut writes = self.writes()?;
            writes.retain(&of);
            Ok(writes)
        };
        let mut before = writes()?.len();
        for _ in 0..3 {
            tokio::time::sleep(rest).await;
            let after = writes()?.len();
            if after == before {
                return Ok(());
            }
            before = after;
        }
        bail!("written again and again: {:#?}", writes()?.last())
    }

    /// The events of the policy, as (reason, note).
    pub async fn events(&self) -> Result<Vec<(String, String)>> {
        self.events_on("ImagePolicy").await
    }

    /// What the controller tells on objects of a kind, in the order in which it did.
    pub async fn events_on(&self, kind: &str) -> Result<Vec<(String, String)>> {
        let events: Api<k8s_openapi::api::events::v1::Event> = self.api();
        let mut list = events.list(&ListParams::default().fields(&format!("regarding.kind={kind}"))).await?;
        list.items.sort_by_key(|event| event.event_time.as_ref().map(|time| time.0));
        let ours = list.items.into_iter().filter(|event| {
            event.reporting_controller.as_deref().is_some_and(|name| name.starts_with("lockkeeper.dev/"))
        });
        Ok(ours.map(|event| (event.reason.unwrap_or_default(), event.note.unwrap_or_default())).collect())
    }

    /// Waits for an event and returns its note.
    pub async fn event(&self, reason: &str) -> Result<String> {
        eventually(&format!("an event {reason}"), PATIENCE, async || {
            let events = self.events().await?;
            let found = events.iter().rev().find(|(seen, _)| seen == reason);
            found.map(|(_, note)| note.clone()).with_context(|| format!("{events:?}"))
        })
        .await
    }

    /// At the end of every test: the controller runs, and each of its writes was made as whom it belongs to.
    pub async fn finish(self) -> Result<()> {
        self.controller.check().await?;
        let promoter = format!("system:serviceaccount:{}:promoter", self.namespace);
        for event in self.writes()? {
            let object = event.object();
            let whom = event.impersonated_user.as_ref().map(|user| user.username.as_str());
            match (object.resource.as_str(), object.subresource.as_str()) {
                ("imagepolicies" | "imagepins", "status") | ("events" | "quarantines", "") => {
                    ensure!(whom.is_none(), "its own kinds are its own to write: {event:#?}");
                }
                // A pin whose policy is gone is the controller's to mark.
                ("imagepins", "") if event.verb == "patch" => {
                    ensure!(whom.is_none(), "pins are never patched as the promoter: {event:#?}");
                }
                (
                    "pods" | "imagepins" | "deployments" | "statefulsets" | "daemonsets" | "cronjobs"
                    | "clonesets",
                    "",
                ) => {
                    ensure!(whom == Some(&promoter), "targets are written as the promoter: {event:#?}");
                }
                // Asked for as the account whose token it is; it stores nothing.
                ("serviceaccounts", "token") => {
                    ensure!(whom == Some(&promoter), "a token of somebody else: {event:#?}");
                }
                _ => bail!("the controller has no business with this: {event:#?}"),
            }
        }
        Ok(())
    }
}

/// The operations of a JSON patch in the audit log, as (op, path).
pub fn operations(event: &AuditEvent) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = event.request_object.as_ref().and_then(Value::as_array).cloned().unwrap_or_default();
    list.iter().map(|operation| (text(&operation["op"]), text(&operation["path"]))).collect()
}
