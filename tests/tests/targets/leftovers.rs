//! Pins that no stage stands behind any more.

use anyhow::{Context as _, Result, ensure};
use e2e::scene::Scene;
use e2e::{PATIENCE, eventually, run};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::pins::pinned;

/// Makes the policy's one stage this one, of pods with this label.
async fn becomes(scene: &Scene<'_>, stage: &str, telemetry: &str, deletion: &str) -> Result<()> {
    let targets =
        json!([{"pods": {"selector": {"matchLabels": {"telemetry": telemetry}}, "containers": ["otel"]}}]);
    let mut stages = scene.policy(&targets)["spec"]["stages"].clone();
    stages[0]["name"] = json!(stage);
    let patch = json!({"spec": {"stages": stages, "deletionPolicy": deletion}});
    scene.ours("ImagePolicy").patch("otel", &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

/// Waits until the pin of the stage `only` is marked as orphaned, or is not; returns its condition.
async fn marked(scene: &Scene<'_>, wanted: bool) -> Result<Value> {
    let (pins, name) = (scene.ours("ImagePin"), format!("{}.otel.only", scene.namespace));
    eventually(&format!("the pin is marked: {wanted}"), PATIENCE, async || {
        let pin = pins.get(&name).await?;
        let annotated =
            pin.metadata.annotations.iter().flatten().any(|(key, _)| key == "lockkeeper.dev/orphaned");
        let condition = pin.data["status"]["conditions"][0].clone();
        ensure!(annotated == wanted && condition.is_object() == wanted, "{annotated} {condition}");
        Ok(condition)
    })
    .await
}

#[test]
fn a_pin_whose_stage_is_gone_is_marked_taken_back_by_its_stage_and_released() {
    run(
        "a_pin_whose_stage_is_gone_is_marked_taken_back_by_its_stage_and_released",
        async |test| -> Result<()> {
            let scene = Scene::set(test, "leftover").await?;
            let old = scene.push_first().await?;
            scene.apply(scene.deployment("web", 2, &old.tagged("latest"))).await?;
            scene.all_run(&old.digest, 2).await?;
            scene.apply(scene.policy(&Scene::pods_target())).await?;
            scene.holds(&old.digest).await?;
            pinned(&scene, &old.digest).await?;

            becomes(&scene, "another", "else", "Retain").await?;
            let condition = marked(&scene, true).await?;
            ensure!(condition["reason"] == "StageGone" && condition["status"] == "True", "{condition}");
            scene
                .until("otel", "the policy names the pin", |status| {
                    let (state, reason, message) = status.condition("OrphanedPins");
                    ensure!((state, reason) == ("True", "Retained"), "{state} {reason}");
                    ensure!(
                        message.contains(".otel.only") && message.contains("deletionPolicy"),
                        "{message}"
                    );
                    Ok(())
                })
                .await?;
            let writes = scene.writes_of("imagepins")?.len();
            scene.not_written_again("imagepins", writes, "marked once").await?;

            becomes(&scene, "only", "otel", "Retain").await?;
            marked(&scene, false).await.context("its stage is back")?;
            scene.holds(&old.digest).await?;
            pinned(&scene, &old.digest).await?;

            becomes(&scene, "another", "else", "Release").await?;
            let pins = scene.ours("ImagePin");
            eventually("the pin is gone", PATIENCE, async || {
                let left = pins.list(&kube::api::ListParams::default()).await?.items.len();
                ensure!(left == 0, "{left} pins");
                Ok(())
            })
            .await?;
            scene
                .until("otel", "nothing is left over", |status| {
                    ensure!(status.condition("OrphanedPins").0.is_empty(), "still said");
                    Ok(())
                })
                .await?;
            scene.finish().await
        },
    );
}
