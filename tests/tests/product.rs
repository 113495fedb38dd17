//! What a person sees and says: commands, approvals, holds, the ways to stop, quarantines, a lost status. A real API
//! server, kube-controller-manager and registry, simulated nodes, and the controller as its own ServiceAccount.

#[path = "product/commands.rs"]
mod commands;
#[path = "product/credentials.rs"]
mod credentials;
#[path = "product/first.rs"]
mod first;
#[path = "product/people.rs"]
mod people;
#[path = "product/process.rs"]
mod process;
#[path = "product/signed.rs"]
mod signed;
#[path = "product/status.rs"]
mod status;
#[path = "product/stops.rs"]
mod stops;
#[path = "product/tags.rs"]
mod tags;
#[path = "product/traces.rs"]
mod traces;

use anyhow::{Result, ensure};
use e2e::scene::Scene;
use e2e::{AuditEvent, Pushed};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

/// Three pods of an application whose collector is the first release, adopted by a policy that `change` was made to.
async fn adopted(scene: &Scene<'_>, change: impl FnOnce(&mut Value)) -> Result<Pushed> {
    let old = pods(scene, 3).await?;
    let mut policy = scene.policy(&Scene::pods_target());
    change(&mut policy["spec"]);
    scene.apply(policy).await?;
    scene.holds(&old.digest).await?;
    Ok(old)
}

/// Pods of an application whose collector is the first release, at `:latest`.
async fn pods(scene: &Scene<'_>, count: usize) -> Result<Pushed> {
    let old = scene.push_first().await?;
    scene.apply(scene.deployment("shop", count, &old.tagged("latest"))).await?;
    scene.all_run(&old.digest, count).await?;
    Ok(old)
}

/// Waits until the stage waits for this reason, and returns its message.
async fn waits(scene: &Scene<'_>, reason: &str) -> Result<String> {
    let status = scene
        .until("otel", &format!("the stage waits: {reason}"), |status| {
            ensure!(status.stage()["reason"] == reason, "it does not");
            Ok(())
        })
        .await?;
    Ok(status.stage()["message"].as_str().unwrap_or_default().to_owned())
}

/// Changes the policy's spec.
async fn change(scene: &Scene<'_>, spec: Value) -> Result<()> {
    let patch = Patch::Merge(json!({"spec": spec}));
    scene.ours("ImagePolicy").patch("otel", &PatchParams::default(), &patch).await?;
    Ok(())
}

/// A person asks for something in the stage `only`.
async fn ask(scene: &Scene<'_>, name: &str, action: &str, digest: Option<&str>) -> Result<()> {
    let mut spec = json!({
        "action": action, "policyRef": {"name": "otel"}, "stages": ["only"],
        "reason": "a test of people",
    });
    if let Some(digest) = digest {
        spec["digest"] = json!(digest);
    }
    scene
        .apply(json!({
            "apiVersion": "lockkeeper.dev/v1alpha1", "kind": "Intervention", "metadata": {"name": name}, "spec": spec,
        }))
        .await?;
    Ok(())
}

/// Moves of pods so far.
fn moves(scene: &Scene<'_>) -> Result<Vec<AuditEvent>> {
    let mut writes = scene.writes_of("pods")?;
    writes.retain(|event| event.verb == "patch" && event.succeeded());
    Ok(writes)
}
