//! What the API server itself does for Lockkeeper: it takes the definitions, refuses what no controller should see,
//! prints the columns, keeps status apart, and pins pods at birth.

#[path = "admission/birth.rs"]
mod birth;
#[path = "admission/rules.rs"]
mod rules;
#[path = "admission/status.rs"]
mod status;

use anyhow::{Context as _, Result, bail, ensure};
use e2e::install::{apply_object, pins_at_birth};
use e2e::{Bed, PATIENCE, Test, eventually};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind, Status};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

static INSTALLED: OnceCell<()> = OnceCell::const_new();

/// The definitions and the admission policy, once for all tests of this program.
async fn installed(test: &Test) -> Result<()> {
    INSTALLED.get_or_try_init(|| install(test.bed)).await.copied()
}

async fn install(bed: &Bed) -> Result<()> {
    let admin = bed.admin().await?;
    let definitions: Api<CustomResourceDefinition> = Api::all(admin.clone());
    for (name, definition) in lockkeeper_api::definitions() {
        let definition: CustomResourceDefinition = serde_json::from_value(definition)?;
        // The server computes the cost of every rule here and refuses what could cost too much.
        definitions.create(&PostParams::default(), &definition).await.with_context(|| name.clone())?;
        eventually(&format!("{name} is served"), PATIENCE, async || {
            let found = definitions.get(&name).await?;
            let conditions = found.status.and_then(|status| status.conditions).unwrap_or_default();
            let holds = |kind: &str| conditions.iter().any(|c| c.type_ == kind && c.status == "True");
            ensure!(!holds("NonStructuralSchema"), "{conditions:?}");
            ensure!(holds("Established") && holds("NamesAccepted"), "{conditions:?}");
            Ok(())
        })
        .await?;
    }
    // As the controller makes them; none runs here.
    for what in ["policy", "binding"] {
        let mut object = pins_at_birth(what)?;
        object["apiVersion"] = json!("admissionregistration.k8s.io/v1");
        apply_object(&admin, object).await?;
    }
    Ok(())
}

/// One of the four kinds, as plain JSON.
fn api(client: &Client, namespace: &str, kind: &str) -> Api<DynamicObject> {
    let plural = match kind {
        "ImagePolicy" => "imagepolicies",
        "ImagePin" => "imagepins",
        "Quarantine" => "quarantines",
        _ => "interventions",
    };
    let gvk = GroupVersionKind::gvk("lockkeeper.dev", "v1alpha1", kind);
    Api::namespaced_with(client.clone(), namespace, &ApiResource::from_gvk_with_plural(&gvk, plural))
}

/// An object of one of the four kinds.
fn object(kind: &str, name: &str, spec: &Value) -> Result<DynamicObject> {
    Ok(serde_json::from_value(json!({
        "apiVersion": "lockkeeper.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }))?)
}

/// The server's refusal, or an error if it did not refuse.
fn refusal<T>(answer: kube::Result<T>) -> Result<Status> {
    match answer {
        Err(kube::Error::Api(status)) => Ok(*status),
        Err(other) => Err(other.into()),
        Ok(_) => bail!("the server took it"),
    }
}

/// The least that an `ImagePolicy` must say.
fn policy_spec() -> Value {
    json!({
        "image": "ghcr.io/example/otel",
        "select": {"semver": {"range": ">=0.28.0"}},
        "stages": [{"name": "dev", "targets": [{"pods": {"selector": {"matchLabels": {"app": "a"}}}}]}],
    })
}

/// An `ImagePin` for pods with the label `app: a`.
fn pin_spec(digest: &str) -> Value {
    json!({
        "matchLabels": {"app": "a"},
        "repositories": ["ghcr.io/example/otel"],
        "digest": digest,
        "policy": {"namespace": "platform", "name": "otel", "uid": "u"},
        "stage": "dev",
        "deletionPolicy": "Retain",
    })
}

/// A digest that no image has.
const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
/// Another.
const OTHER: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
