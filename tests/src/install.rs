//! Lockkeeper on a bed, as its installation makes it: definitions, the admission policy, the controller's account.
//!
//! Guarantees: what is installed are the files that are shipped (and what `lockkeeper crd` prints), unchanged; it is
//! usable when [`install`] returns.
//! May not: make anything that an installation does not bring.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::discovery::{Scope, pinned_kind};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::bed::Bed;
use crate::controller::{Controller, program};
use crate::eventually::{PATIENCE, eventually};
use crate::ports;

/// Namespace and name of the controller's ServiceAccount.
pub const CONTROLLER: (&str, &str) = ("lockkeeper-system", "lockkeeper");
/// A leader that outlives a restart of the API server, and a machine that stands still for a while. Who comes after one
/// that was killed waits a minute.
pub const PATIENT_LEADER: [&str; 3] = ["--leader-elect", "--lease-duration=1m", "--renew-deadline=45s"];
/// The group of Lockkeeper's kinds.
pub const GROUP: &str = "lockkeeper.dev";

/// A file of the checkout.
#[must_use]
pub fn checkout(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Installs Lockkeeper's kinds, its admission policy and the controller's account with its rights. Starts nothing.
pub async fn install(bed: &Bed) -> Result<()> {
    install_but(bed, &NOT_HERE).await?;
    trusted(&bed.admin().await?).await
}

/// The same on an API server that serves no `MutatingAdmissionPolicy` v1, as helm does it there: who asks for an Intervention
/// is not filled in.
pub async fn install_older(bed: &Bed) -> Result<()> {
    let not_served = ["MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"];
    install_but(bed, &[&NOT_HERE[..], &not_served].concat()).await
}

async fn install_but(bed: &Bed, kinds: &[&str]) -> Result<()> {
    let admin = bed.admin().await?;
    let output = tokio::process::Command::new(program()?).arg("crd").output().await?;
    ensure!(output.status.success(), "`lockkeeper crd` failed: {}", String::from_utf8_lossy(&output.stderr));
    apply(&admin, &String::from_utf8(output.stdout)?).await.context("what `lockkeeper crd` printed")?;
    established(&admin).await?;
    apply_but(&admin, INSTALLATION, kinds).await
}

/// What the chart makes of no values, beside the definitions.
pub const INSTALLATION: &str = "deploy/lockkeeper.yaml";
/// What is left out: here the controller is a process of the test, with the account and the rights of the chart.
const NOT_HERE: [&str; 4] = ["Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy"];

/// What the installation says that pins pods at birth: `policy`, `binding` or `webhook`, without apiVersion.
pub fn pins_at_birth(what: &str) -> Result<Value> {
    let text = std::fs::read_to_string(checkout(INSTALLATION))?;
    let all: Vec<Value> = serde_saphyr::from_multiple(&text)?;
    let named = |object: &&Value| {
        object["kind"] == "ConfigMap" && object["metadata"]["name"] == lockkeeper_api::names::PIN_AT_BIRTH
    };
    let map = all.iter().find(named).context("no ConfigMap that says what pins pods at birth")?;
    serde_saphyr::from_str(map["data"][what].as_str().context("it says nothing of that")?)
        .context(what.to_owned())
}

/// Applies a file of the checkout without objects of these kinds.
async fn apply_but(client: &Client, path: &str, kinds: &[&str]) -> Result<()> {
    let text = std::fs::read_to_string(checkout(path)).with_context(|| format!("cannot read {path}"))?;
    for document in serde_saphyr::from_multiple::<Value>(&text).with_context(|| path.to_owned())? {
        if !kinds.iter().any(|kind| document["kind"] == *kind) {
            apply_object(client, document).await.with_context(|| format!("applying {path}"))?;
        }
    }
    Ok(())
}

/// Waits until the API server looks who asks: it follows its policies with a delay.
async fn trusted(admin: &Client) -> Result<()> {
    let kind = GroupVersionKind::gvk(GROUP, "v1alpha1", "Intervention");
    let resource = ApiResource::from_gvk_with_plural(&kind, "interventions");
    let api: Api<DynamicObject> = Api::namespaced_with(admin.clone(), "default", &resource);
    let asked = |name: Option<&str>| {
        let mut spec = json!({"action": "Hold", "reason": "is it looked at who asks?"});
        if let Some(name) = name {
            spec["requestedBy"] = json!(name);
        }
        DynamicObject::new("probe", &resource).data(json!({"spec": spec}))
    };
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    eventually("the API server looks who asks for an Intervention", PATIENCE, async || {
        let forged = api.create(&dry, &asked(Some("somebody else"))).await;
        ensure!(matches!(&forged, Err(kube::Error::Api(status)) if status.code == 403), "{forged:?}");
        let honest = api.create(&dry, &asked(None)).await?;
        ensure!(honest.data["spec"]["requestedBy"] == "admin", "{}", honest.data["spec"]);
        Ok(())
    })
    .await
}

/// Makes the ServiceAccount `promoter` in a namespace, with every right there that a policy with `pods` targets needs.
pub async fn promoter(client: &Client, namespace: &str) -> Result<()> {
    let group = "rbac.authorization.k8s.io";
    let object = |version: &str, kind: &str, mut rest: Value| {
        rest["apiVersion"] = json!(version);
        rest["kind"] = json!(kind);
        rest["metadata"] = json!({"name": "promoter", "namespace": namespace});
        rest
    };
    let rules = json!([
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["patch"]},
        {"apiGroups": [GROUP], "resources": ["imagepins"], "verbs": ["create", "update", "delete"]},
    ]);
    let role = json!({"apiGroup": group, "kind": "Role", "name": "promoter"});
    let subjects = json!([{"kind": "ServiceAccount", "name": "promoter", "namespace": namespace}]);
    for object in [
        object("v1", "ServiceAccount", json!({})),
        object(&format!("{group}/v1"), "Role", json!({"rules": rules})),
        object(&format!("{group}/v1"), "RoleBinding", json!({"roleRef": role, "subjects": subjects})),
    ] {
        apply_object(client, object).await?;
    }
    Ok(())
}

/// Starts the controller as its ServiceAccount. It may speak to the bed's registry, which is on loopback.
pub async fn start_controller(bed: &Bed, name: &str) -> Result<Controller> {
    start_controller_with(bed, name, &[]).await
}

/// The same with further arguments.
pub async fn start_controller_with(bed: &Bed, name: &str, more: &[&str]) -> Result<Controller> {
    start_controller_at(bed, bed.server(), name, more, &[]).await
}

/// The same with another address of the API server, and an environment.
pub async fn start_controller_at(
    bed: &Bed,
    server: &str,
    name: &str,
    more: &[&str],
    env: &[(&str, &str)],
) -> Result<Controller> {
    start_program_at(bed, server, program()?, name, more, env).await
}

/// The same for another version of it.
pub async fn start_program_at(
    bed: &Bed,
    server: &str,
    version: PathBuf,
    name: &str,
    more: &[&str],
    env: &[(&str, &str)],
) -> Result<Controller> {
    let registry = bed.registry();
    let http = format!("127.0.0.1:{}", ports::free()?);
    let mut args =
        vec!["run", "--allow-host", registry.host(), "--http-addr", &http, "--log-format", "human"];
    args.extend(more);
    Controller::start_program_at(bed, server, version, name, CONTROLLER, &args, env).await
}

async fn established(admin: &Client) -> Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(admin.clone());
    eventually("the API server serves Lockkeeper's kinds", PATIENCE, async || {
        let list = definitions.list(&ListParams::default()).await?;
        let ours: Vec<_> = list.iter().filter(|definition| definition.spec.group == GROUP).collect();
        ensure!(!ours.is_empty(), "no definition of {GROUP}");
        for definition in ours {
            let conditions = definition.status.iter().flat_map(|status| &status.conditions).flatten();
            let mut established =
                conditions.filter(|condition| condition.type_ == "Established" && condition.status == "True");
            ensure!(established.next().is_some(), "{:?}: {:?}", definition.metadata.name, definition.status);
        }
        Ok(())
    })
    .await
}

/// Applies a file of the checkout after replacing texts in it.
pub async fn apply_file(client: &Client, path: &str, replace: &[(&str, &str)]) -> Result<()> {
    let file = checkout(path);
    let mut text =
        std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    for (from, to) in replace {
        text = text.replace(from, to);
    }
    apply(client, &text).await.with_context(|| format!("applying {path}"))
}

/// Applies every document of a YAML text, as `kubectl apply --server-side` does.
pub async fn apply(client: &Client, yaml: &str) -> Result<()> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(yaml).context("no YAML")?;
    for document in documents.into_iter().filter(|document| !document.is_null()) {
        apply_object(client, document).await?;
    }
    Ok(())
}

/// Applies one object.
pub async fn apply_object(client: &Client, object: Value) -> Result<DynamicObject> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let (Some(version), Some(kind), Some(name)) =
        (text("/apiVersion"), text("/kind"), text("/metadata/name"))
    else {
        bail!("an object without apiVersion, kind or name: {object}");
    };
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let (resource, capabilities) = pinned_kind(client, &GroupVersionKind::gvk(group, version, kind))
        .await
        .with_context(|| format!("the API server knows no {kind} of {group}/{version}"))?;
    let api: Api<DynamicObject> = match (capabilities.scope, text("/metadata/namespace")) {
        (Scope::Cluster, _) => Api::all_with(client.clone(), &resource),
        (Scope::Namespaced, Some(namespace)) => Api::namespaced_with(client.clone(), namespace, &resource),
        (Scope::Namespaced, None) => bail!("{kind} {name} names no namespace"),
    };
    api.patch(name, &PatchParams::apply("e2e").force(), &Patch::Apply(&object))
        .await
        .with_context(|| format!("{kind} {name}"))
}
