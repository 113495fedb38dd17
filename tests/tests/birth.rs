//! What pins pods at birth on API servers of different age and setting: the form is chosen while the controller runs, one
//! table of pods is played to each, and whatever is missing, pods are born.

#[path = "birth/forms.rs"]
mod forms;
#[path = "birth/kept.rs"]
mod kept;
#[path = "birth/table.rs"]
mod table;
#[path = "birth/way.rs"]
mod way;

use anyhow::{Context as _, Result, ensure};
use e2e::install::CONTROLLER;
use e2e::{Controller, PATIENCE, eventually};
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use lockkeeper_api::names::PIN_AT_BIRTH;
use serde_json::{Value, json};

/// What the controller makes, in whatever version is served.
fn made(client: &Client, version: &str, kind: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("admissionregistration.k8s.io", version, kind);
    Api::all_with(client.clone(), &ApiResource::from_gvk(&kind))
}

const POLICY: &str = "MutatingAdmissionPolicy";
const BINDING: &str = "MutatingAdmissionPolicyBinding";
const WEBHOOK: &str = "MutatingWebhookConfiguration";

/// Changes what the installation's `ConfigMap` says.
async fn say(client: &Client, data: &Value) -> Result<()> {
    let maps: Api<k8s_openapi::api::core::v1::ConfigMap> = Api::namespaced(client.clone(), CONTROLLER.0);
    maps.patch(PIN_AT_BIRTH, &PatchParams::default(), &Patch::Merge(json!({"data": data}))).await?;
    Ok(())
}

/// Waits until a controller says by its metric that this is what pins new pods.
async fn form(controller: &Controller, wanted: &str) -> Result<()> {
    eventually(&format!("the metric says {wanted}"), PATIENCE, async || {
        controller.check().await?;
        let (_, metrics) = controller.get("/metrics").await?;
        let births: Vec<&str> =
            metrics.lines().filter(|line| line.starts_with("lockkeeper_birth_pinning{")).collect();
        let line = format!("lockkeeper_birth_pinning{{form=\"{wanted}\"}} 1");
        ensure!(births.contains(&line.as_str()) && births.len() == 4, "{births:?}");
        Ok(())
    })
    .await
}

/// Whether a controller leads.
async fn leads(controller: &Controller) -> Result<bool> {
    let (_, metrics) = controller.get("/metrics").await?;
    let line =
        metrics.lines().find(|line| line.starts_with("lockkeeper_leader ")).context("no such metric")?;
    Ok(line == "lockkeeper_leader 1")
}
