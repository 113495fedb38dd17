//! Approve, Hold, Resume, and a Quarantine that a person applies.

use anyhow::{Result, ensure};
use e2e::install::apply_object;
use e2e::scene::{Scene, Status, restarts};
use e2e::{PATIENCE, eventually, run};
use kube::api::DeleteParams;
use serde_json::json;

use crate::{adopted, ask, moves, waits};

#[test]
fn nothing_enters_before_it_is_approved_and_one_approves_a_digest() {
    run("nothing_enters_before_it_is_approved_and_one_approves_a_digest", async |test| -> Result<()> {
        let scene = Scene::set(test, "approval").await?;
        let old = adopted(&scene, |spec| spec["stages"][0]["approval"] = json!({"required": 1})).await?;
        let new = scene.push("0.28.1").await?;
        let message = waits(&scene, "ApprovalRequired").await?;
        ensure!(message.contains("0 of 1") && message.contains(&new.digest), "how to approve: {message}");
        ensure!(scene.event("ApprovalRequired").await?.contains("0.28.1"));
        ask(&scene, "the-old-one", "Approve", Some(&old.digest)).await?;
        scene.not_written_again("pods", 0, "another digest was approved").await?;
        waits(&scene, "ApprovalRequired").await?;
        ask(&scene, "the-new-one", "Approve", Some(&new.digest)).await?;
        scene.holds(&new.digest).await?;
        scene.all_run(&new.digest, 3).await?;
        scene.finish().await
    });
}

#[test]
fn two_approvals_are_two_people() {
    run("two_approvals_are_two_people", async |test| -> Result<()> {
        let scene = Scene::set(test, "two").await?;
        adopted(&scene, |spec| spec["stages"][0]["approval"] = json!({"required": 2})).await?;
        let new = scene.push("0.28.1").await?;
        waits(&scene, "ApprovalRequired").await?;
        let group = "rbac.authorization.k8s.io";
        scene
            .apply(json!({
                "apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": {"name": "people"},
                "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "admin"},
                "subjects": [{"apiGroup": group, "kind": "User", "name": "dora"}, {"apiGroup": group, "kind": "User", "name": "emil"}],
            }))
            .await?;
        approve_as(&scene, "dora", "once", &new.digest).await?;
        scene.until("otel", "one has approved", |status| says(status, "1 of 2")).await?;
        approve_as(&scene, "dora", "once-more", &new.digest).await?;
        scene.not_written_again("pods", 0, "one person approved twice").await?;
        scene.until("otel", "it is one person still", |status| says(status, "1 of 2")).await?;
        approve_as(&scene, "emil", "me-too", &new.digest).await?;
        scene.holds(&new.digest).await?;
        scene.finish().await
    });
}

fn says(status: &Status, text: &str) -> Result<()> {
    ensure!(
        status.stage()["message"].as_str().is_some_and(|message| message.contains(text)),
        "it does not say {text}"
    );
    Ok(())
}

/// Somebody approves, as soon as RBAC has heard that they may.
async fn approve_as(scene: &Scene<'_>, user: &str, name: &str, digest: &str) -> Result<()> {
    let client = scene.bed.client_impersonating(user, &[]).await?;
    let mut approval = json!({
        "apiVersion": "lockkeeper.dev/v1alpha1", "kind": "Intervention",
        "metadata": {"name": name, "namespace": scene.namespace},
        "spec": {"action": "Approve", "policyRef": {"name": "otel"}, "stages": ["only"], "digest": digest, "reason": "seen"},
    });
    let made =
        eventually("the approval is taken", PATIENCE, async || apply_object(&client, approval.clone()).await)
            .await?;
    ensure!(made.data["spec"]["requestedBy"] == user, "{}", made.data["spec"]);
    // A GitOps tool applies the same again and again: it is one request.
    approval["metadata"]["labels"] = json!({"applied": "again"});
    apply_object(&client, approval).await.map(drop)
}

#[test]
fn a_hold_keeps_releases_out_until_it_is_resumed() {
    run("a_hold_keeps_releases_out_until_it_is_resumed", async |test| -> Result<()> {
        let scene = Scene::set(test, "hold").await?;
        adopted(&scene, |_| {}).await?;
        ask(&scene, "stop", "Hold", None).await?;
        let new = scene.push("0.28.1").await?;
        let message = waits(&scene, "Held").await?;
        ensure!(
            message.contains("held by admin") && message.contains("a test of people"),
            "who and why: {message}"
        );
        scene.not_written_again("pods", 0, "the stage is held").await?;
        ask(&scene, "go-on", "Resume", None).await?;
        scene.holds(&new.digest).await?;
        scene.finish().await
    });
}

#[test]
fn a_person_quarantines_with_a_digest_alone() {
    run("a_person_quarantines_with_a_digest_alone", async |test| -> Result<()> {
        let scene = Scene::set(test, "quarantine").await?;
        let old = adopted(&scene, |_| {}).await?;
        let new = scene.push("0.28.1").await?;
        scene.holds(&new.digest).await?;
        scene
            .apply(json!({
                "apiVersion": "lockkeeper.dev/v1alpha1", "kind": "Quarantine",
                "metadata": {"name": "emergency"}, "spec": {"digest": new.digest},
            }))
            .await?;
        scene.holds(&old.digest).await?;
        let pods = scene.all_run(&old.digest, 3).await?;
        ensure!(pods.iter().all(|pod| restarts(pod) == 2), "there and back, and no other restart");
        ensure!(scene.event("RolledBack").await?.contains("0.28.1"));
        the_workload_was_told(&scene).await?;
        let moved = moves(&scene)?.len();
        scene.not_written_again("pods", moved, "what is quarantined does not come back").await?;
        scene.ours("Quarantine").delete("emergency", &DeleteParams::default()).await?;
        scene.holds(&new.digest).await?;
        scene.finish().await
    });
}

/// Three pods were moved there and back: their Deployment says it once each, and nothing is said on pods.
async fn the_workload_was_told(scene: &Scene<'_>) -> Result<()> {
    let told = eventually("the workload is told", PATIENCE, async || {
        let told = scene.events_on("Deployment").await?;
        ensure!(told.iter().any(|(reason, _)| reason == "RolledBack"), "{told:?}");
        Ok(told)
    })
    .await?;
    let reasons: Vec<&str> = told.iter().map(|(reason, _)| reason.as_str()).collect();
    ensure!(reasons == ["Adopted", "PromotionStarted", "RolledBack"], "{told:?}");
    let policy = format!("(stage only of ImagePolicy {}/otel)", scene.namespace);
    ensure!(told.iter().all(|(_, note)| note.contains(&policy)), "{told:?}");
    ensure!(scene.events_on("Pod").await?.is_empty(), "the kubelet's Events are not ours");
    Ok(())
}
