//! K14: another manager keeps setting an image back. Lockkeeper yields, and names it.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::run;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use e2e::scene::Scene;

/// Sets the collector's image to `image` every second, as a tool that heals its objects does.
async fn heal(deployments: Api<Deployment>, image: String) {
    let containers = json!([{"name": "otel", "image": image}]);
    let patch = json!({"spec": {"template": {"spec": {"initContainers": containers}}}});
    let params = PatchParams { field_manager: Some("self-healer".to_owned()), ..PatchParams::default() };
    loop {
        // An object that is gone, or a server that is busy, is tried again all the same.
        let _healed = deployments.patch("web", &params, &Patch::Strategic(&patch)).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[test]
fn k14_a_second_manager_is_named_after_three_contested_writes() {
    run("k14_a_second_manager_is_named_after_three_contested_writes", async |test| -> Result<()> {
        let scene = Scene::set(test, "contested").await?;
        let old = scene.push_first().await?;
        scene.apply(scene.deployment("web", 2, &old.tagged("0.28.0"))).await?;
        scene.all_run(&old.digest, 2).await?;
        let mut policy = scene.policy(&Scene::workloads_target());
        policy["spec"]["stages"][0]["soak"] = json!("30s");
        scene.apply(policy).await?;
        scene.holds(&old.digest).await?;
        let healer = tokio::spawn(heal(scene.api(), old.tagged("0.28.0")));
        let new = scene.push("0.28.1").await?;
        let status = scene
            .until("otel", "the stage names the other manager", |status| {
                let message = status.stage()["message"].as_str().unwrap_or_default();
                ensure!(message.contains("self-healer") && message.contains("Deployment"), "{message}");
                Ok(())
            })
            .await?;
        let note = scene.event("Contested").await?;
        ensure!(note.contains("self-healer"), "{note}");
        ensure!(!status.verified().contains(&new.digest.as_str()), "what is contested is not verified");
        let writes = scene.writes_of("deployments")?.len();
        ensure!((1..=3).contains(&writes), "{writes} contested writes");
        scene.not_written_again("deployments", writes, "it yields").await?;
        healer.abort();
        scene.finish().await
    });
}

#[test]
fn k14_a_tool_that_applies_all_the_time_is_left_alone_at_once() {
    run("k14_a_tool_that_applies_all_the_time_is_left_alone_at_once", async |test| -> Result<()> {
        let scene = Scene::set(test, "applied").await?;
        let old = scene.push_first().await?;
        let mut deployment = scene.deployment("web", 1, &old.tagged("0.28.0"));
        deployment["metadata"]["annotations"] =
            json!({"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:web"});
        scene.apply(deployment).await?;
        scene.all_run(&old.digest, 1).await?;
        scene.apply(scene.policy(&Scene::workloads_target())).await?;
        scene.push("0.28.1").await?;
        scene
            .until("otel", "it says that Argo CD owns the field", |status| {
                let (state, reason, message) = status.condition("Ready");
                ensure!(state == "False" && reason == "LeftAlone" && message.contains("Argo CD"), "not yet");
                Ok(())
            })
            .await?;
        scene.not_written_again("deployments", 0, "another tool's field").await?;
        ensure!(scene.writes_of("pods")?.is_empty());
        scene.finish().await
    });
}
