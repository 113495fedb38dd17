//! Approve, Hold, Resume, and a Quarantine that a person applies.

use anyhow::{Result, ensure};
use e2e::run;
use e2e::scene::{Scene, restarts};
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
fn a_hold_keeps_releases_out_until_it_is_resumed() {
    run("a_hold_keeps_releases_out_until_it_is_resumed", async |test| -> Result<()> {
        let scene = Scene::set(test, "hold").await?;
        adopted(&scene, |_| {}).await?;
        ask(&scene, "stop", "Hold", None).await?;
        let new = scene.push("0.28.1").await?;
        let message = waits(&scene, "Held").await?;
        ensure!(message.contains("alice") && message.contains("a test of people"), "who and why: {message}");
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
        let moved = moves(&scene)?.len();
        scene.not_written_again("pods", moved, "what is quarantined does not come back").await?;
        scene.ours("Quarantine").delete("emergency", &DeleteParams::default()).await?;
        scene.holds(&new.digest).await?;
        scene.finish().await
    });
}
