//! Who may do what: people of every role with Lockkeeper's kinds, and the controller with the cluster. A real API server
//! with the shipped policies and rights.

#[path = "roles/asks.rs"]
mod asks;
#[path = "roles/controller.rs"]
mod controller;
#[path = "roles/kinds.rs"]
mod kinds;

use anyhow::{Result, ensure};
use e2e::install::{apply_object, install};
use e2e::{Bed, PATIENCE, Test, eventually};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview};
use kube::api::PostParams;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

static INSTALLED: OnceCell<()> = OnceCell::const_new();

/// Lockkeeper as it is shipped, once for all tests of this program.
async fn installed(bed: &Bed) -> Result<()> {
    INSTALLED.get_or_try_init(|| install(bed)).await.copied()
}

/// A digest that no image has.
const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// One of the four kinds, as plain JSON.
fn api(client: &Client, namespace: &str, kind: &str) -> Api<DynamicObject> {
    let plural = format!("{}s", kind.to_lowercase()).replace("ys", "ies");
    let kind = GroupVersionKind::gvk("lockkeeper.dev", "v1alpha1", kind);
    Api::namespaced_with(client.clone(), namespace, &ApiResource::from_gvk_with_plural(&kind, &plural))
}

/// An object of one of the four kinds.
fn object(kind: &str, name: &str, spec: &Value) -> Result<DynamicObject> {
    Ok(serde_json::from_value(json!({
        "apiVersion": "lockkeeper.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec,
    }))?)
}

/// The role's people, with a client of each.
struct Person {
    role: &'static str,
    user: String,
    client: Client,
}

/// A person in a namespace with one of the cluster's roles (`view`, `edit`, `admin`), or with rights of their own.
async fn person(test: &Test, namespace: &str, role: &'static str, rules: Option<Value>) -> Result<Person> {
    let user = format!("{role}@{namespace}");
    let group = "rbac.authorization.k8s.io";
    let mut binding = json!({
        "apiVersion": format!("{group}/v1"), "kind": "RoleBinding",
        "metadata": {"name": role, "namespace": namespace},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
    });
    if let Some(rules) = rules {
        binding["roleRef"]["kind"] = json!("Role");
        apply_object(
            &test.admin,
            json!({
                "apiVersion": format!("{group}/v1"), "kind": "Role",
                "metadata": {"name": role, "namespace": namespace}, "rules": rules,
            }),
        )
        .await?;
    }
    apply_object(&test.admin, binding).await?;
    let client = test.bed.client_impersonating(&user, &[]).await?;
    let person = Person { role, user, client };
    // RBAC is followed with a delay, and so are the roles that others are aggregated into.
    eventually(&format!("{role} has its rights"), PATIENCE, async || {
        let (verb, resource) = match role {
            "view" => ("list", "imagepolicies"),
            "edit" => ("create", "imagepolicies"),
            "admin" | "cluster-admin" => ("create", "imagepins"),
            _ => ("create", "interventions"),
        };
        ensure!(may(&person.client, namespace, verb, resource, "").await?, "not yet");
        Ok(())
    })
    .await?;
    Ok(person)
}

/// What the API server's authorizer answers to the person itself.
async fn may(client: &Client, namespace: &str, verb: &str, resource: &str, name: &str) -> Result<bool> {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let mut review = SelfSubjectAccessReview::default();
    review.spec.resource_attributes = Some(ResourceAttributes {
        group: some("lockkeeper.dev"),
        namespace: some(namespace),
        verb: some(verb),
        resource: some(resource),
        subresource: some(subresource),
        name: some(name),
        ..ResourceAttributes::default()
    });
    let answer = Api::all(client.clone()).create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

/// A request that changes nothing.
fn dry_run() -> PostParams {
    PostParams { dry_run: true, ..PostParams::default() }
}
