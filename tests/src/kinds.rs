//! A kind of somebody else's with a pod template, as an installation teaches the controller one (`--workload-kinds`).
//!
//! Guarantees: the API server serves it and the controller's account may watch it when [`install`] returns. Nothing
//! acts on it: a test plays its controller.

use anyhow::{Result, ensure};
use kube::api::ListParams;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use serde_json::json;

use crate::bed::Bed;
use crate::eventually::{PATIENCE, eventually};
use crate::install::{CONTROLLER, apply_object};

const GROUP: &str = "apps.example.com";

/// What `--workload-kinds` is given.
pub const ARGUMENT: &str = "apps.example.com/v1/CloneSet/clonesets";

/// The `CloneSet`s of a namespace.
#[must_use]
pub fn clone_sets(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk(GROUP, "v1", "CloneSet");
    Api::namespaced_with(client.clone(), namespace, &ApiResource::from_gvk_with_plural(&kind, "clonesets"))
}

/// Installs the kind and the right to watch it.
pub async fn install(bed: &Bed) -> Result<()> {
    let admin = bed.admin().await?;
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let container = json!({"type": "object", "required": ["name", "image"], "properties": {
        "name": {"type": "string"}, "image": {"type": "string"}, "restartPolicy": {"type": "string"}}});
    let containers = json!({"type": "array", "items": container, "x-kubernetes-list-type": "map",
                            "x-kubernetes-list-map-keys": ["name"]});
    let template = json!({"type": "object", "properties": {
        "metadata": open,
        "spec": {"type": "object", "properties": {"containers": containers, "initContainers": containers}}}});
    let spec = json!({"type": "object", "properties": {
        "replicas": {"type": "integer"},
        "updateStrategy": {"type": "object", "properties": {"type": {"type": "string"}}},
        "template": template}});
    let schema = json!({"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": open}}});
    let version = json!({"name": "v1", "served": true, "storage": true, "schema": schema, "subresources": {"status": {}}});
    apply_object(
        &admin,
        json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("clonesets.{GROUP}")},
            "spec": {"group": GROUP, "scope": "Namespaced", "versions": [version],
                     "names": {"kind": "CloneSet", "plural": "clonesets", "singular": "cloneset"}},
        }),
    )
    .await?;
    let rbac = "rbac.authorization.k8s.io";
    let role = json!({"apiGroup": rbac, "kind": "ClusterRole", "name": "lockkeeper-clonesets"});
    let (namespace, name) = CONTROLLER;
    for object in [
        json!({"kind": "ClusterRole", "rules": [
            {"apiGroups": [GROUP], "resources": ["clonesets"], "verbs": ["list", "watch"]}]}),
        json!({"kind": "ClusterRoleBinding", "roleRef": role,
               "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}]}),
    ] {
        let mut object = object;
        object["apiVersion"] = json!(format!("{rbac}/v1"));
        object["metadata"] = json!({"name": "lockkeeper-clonesets"});
        apply_object(&admin, object).await?;
    }
    eventually("the API server serves CloneSets", PATIENCE, async || {
        let list = clone_sets(&admin, "default").list(&ListParams::default()).await?;
        ensure!(list.items.is_empty());
        Ok(())
    })
    .await
}
