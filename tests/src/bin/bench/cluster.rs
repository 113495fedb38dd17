//! Many Deployments with a sidecar at `:latest`, and a policy for each.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::eventually;
use e2e::install::{GROUP, apply};
use e2e::{Bed, Image, Pushed};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::Told;

/// Where the policies and their ServiceAccount are.
const HOME: &str = "platform";
/// Policies that share a repository.
const SHARING: usize = 10;
/// Requests at once.
const AT_ONCE: usize = 20;
/// The longest wait for anything.
const LONG: Duration = Duration::from_mins(20);

/// The cluster that is measured.
pub struct Cluster<'a> {
    /// Where.
    pub bed: &'a Bed,
    /// May do everything.
    pub admin: Client,
    policies: usize,
    pods: usize,
    namespaces: usize,
}

impl<'a> Cluster<'a> {
    /// Nothing is made yet.
    pub async fn new(bed: &'a Bed, policies: usize, pods: usize, namespaces: usize) -> Result<Self> {
        Ok(Self { bed, admin: bed.admin().await?, policies, pods, namespaces })
    }

    /// Makes everything, the policies included; waits for nothing.
    pub async fn build(&self) -> Result<()> {
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": "promoter", "namespace": HOME}});
        apply(&self.admin, &format!("{}---\n{account}\n---\n{ROLE}", namespace(HOME))).await?;
        for number in 0..self.namespaces {
            self.namespace(&format!("bench-{number}")).await?;
        }
        self.push("bench/app", "1", "the application").await?;
        for number in 0..self.policies.div_ceil(SHARING) {
            let path = format!("bench/otel-{number}");
            self.push(&path, "0.28.0", &format!("{number} 0.28.0")).await?;
            self.bed.registry().tag(&path, "0.28.0", "latest").await?;
        }
        let all = (0..self.policies).map(|number| async move {
            let (namespace, path) = self.of(number);
            let name = format!("app-{number}");
            self.deployment(&namespace, &name, self.pods / self.policies, &path).await?;
            self.policy(&name, &path, &json!([stage(&namespace, &name)]), &Value::Null).await
        });
        stream::iter(all).buffer_unordered(AT_ONCE).try_collect().await
    }

    fn of(&self, number: usize) -> (String, String) {
        let namespace = number * self.namespaces / self.policies;
        (format!("bench-{namespace}"), format!("bench/otel-{}", number / SHARING))
    }

    /// A namespace that consents to the policies' account.
    pub async fn namespace(&self, name: &str) -> Result<()> {
        let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": "promoter", "namespace": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "bench-promoter"},
            "subjects": [{"kind": "ServiceAccount", "name": "promoter", "namespace": HOME}]});
        apply(&self.admin, &format!("{}---\n{binding}\n", namespace(name))).await
    }

    /// Pushes an image whose contents are `contents`.
    pub async fn push(&self, path: &str, tag: &str, contents: &str) -> Result<Pushed> {
        self.bed.registry().push(path, tag, &Image::release(contents)).await
    }

    /// A Deployment with a collector of repository `path` at `:latest`.
    pub async fn deployment(&self, namespace: &str, name: &str, replicas: usize, path: &str) -> Result<()> {
        let registry = self.bed.registry();
        let object = json!({
            "metadata": {"name": name},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": name}},
                "template": {"metadata": {"labels": {"app": name}}, "spec": {
                    "containers": [{"name": "app", "image": format!("{}:1", registry.repository("bench/app"))}],
                    "initContainers": [{"name": "otel", "restartPolicy": "Always",
                        "image": format!("{}:latest", registry.repository(path))}]}}
            }
        });
        let api: Api<Deployment> = Api::namespaced(self.admin.clone(), namespace);
        api.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
        Ok(())
    }

    /// A policy over repository `path`.
    pub async fn policy(&self, name: &str, path: &str, stages: &Value, health: &Value) -> Result<()> {
        let mut spec = json!({
            "image": self.bed.registry().repository(path),
            "registry": {"insecure": true},
            "mode": "Enforce",
            "select": {"semver": {"range": ">=0.28.0"}},
            "serviceAccountName": "promoter",
            "stages": stages,
        });
        if let Some(settings) = health.as_object() {
            spec["health"] = json!(settings);
            // An incident is played fast; everything else keeps the default.
            spec["interval"] = json!("5s");
        }
        let policy = json!({"apiVersion": format!("{GROUP}/v1alpha1"), "kind": "ImagePolicy",
            "metadata": {"name": name, "namespace": HOME}, "spec": spec});
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.admin.clone(), HOME, &kind("ImagePolicy", "imagepolicies"));
        api.create(&PostParams::default(), &serde_json::from_value(policy)?).await?;
        Ok(())
    }

    /// Waits until every Deployment runs its newest template with all its pods.
    pub async fn wait_ready(&self, told: Told) -> Result<()> {
        eventually("all pods are Ready", LONG, async || {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let all: Api<Deployment> = Api::all(self.admin.clone());
            let list = all.list(&ListParams::default()).await?;
            let late = list.items.iter().filter(|deployment| !rolled_out(deployment)).count();
            ensure!(late == 0, "{late} of {} Deployments are not there yet", list.items.len());
            Ok(())
        })
        .await?;
        told.say("all pods are Ready");
        Ok(())
    }

    /// Waits until every policy has pinned what runs.
    pub async fn wait_adopted(&self, told: Told) -> Result<()> {
        eventually("every policy has its pin", LONG, async || {
            let api: Api<DynamicObject> = Api::all_with(self.admin.clone(), &kind("ImagePin", "imagepins"));
            let pins = api.list_metadata(&ListParams::default()).await?.items.len();
            ensure!(pins >= self.policies, "{pins} pins of {}", self.policies);
            Ok(())
        })
        .await?;
        told.say("every policy has its pin");
        Ok(())
    }

    /// Gives every Deployment another template.
    pub async fn roll(&self) -> Result<()> {
        let patch = json!({"spec": {"template": {"metadata": {"annotations": {"rolled": "once"}}}}});
        let patch = &patch;
        let all = (0..self.policies).map(|number| async move {
            let (namespace, _) = self.of(number);
            let api: Api<Deployment> = Api::namespaced(self.admin.clone(), &namespace);
            let name = format!("app-{number}");
            api.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await.context(name).map(drop)
        });
        stream::iter(all).buffer_unordered(AT_ONCE).try_collect().await
    }
}

/// What a namespace must allow the policies' account.
const ROLE: &str = r#"apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: bench-promoter}
rules:
  - {apiGroups: [""], resources: [pods], verbs: [patch]}
  - {apiGroups: [lockkeeper.dev], resources: [imagepins], verbs: [create, update, delete]}
"#;

fn namespace(name: &str) -> String {
    format!("{}\n", json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))
}

/// A stage over the pods of one Deployment.
pub fn stage(namespace: &str, app: &str) -> Value {
    json!({"name": "prod", "soak": "30m", "targets": [{"pods": {"namespaces": [namespace],
        "selector": {"matchLabels": {"app": app}}, "containers": ["otel"]}}]})
}

/// One of Lockkeeper's kinds.
pub fn kind(kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, "v1alpha1", kind), plural)
}

fn rolled_out(deployment: &Deployment) -> bool {
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas);
    deployment.status.as_ref().is_some_and(|status| {
        status.observed_generation == deployment.metadata.generation
            && status.updated_replicas == wanted
            && status.ready_replicas == wanted
            && status.replicas == wanted
    })
}
