//! A missing right is a condition with verb, resource and namespace; granting it is enough.

use anyhow::{Context as _, Result, ensure};
use e2e::run;

use e2e::scene::Scene;

/// Waits until the condition names a missing right.
async fn forbidden(scene: &Scene<'_>, right: &str) -> Result<()> {
    let wanted =
        format!("system:serviceaccount:{0}:promoter may not {right} in namespace {0}", scene.namespace);
    scene
        .until("otel", &format!("it names the right: {right}"), |status| {
            let (state, reason, message) = status.condition("Ready");
            ensure!(
                state == "False" && reason == "Forbidden" && message.contains(&wanted),
                "not yet: {message}"
            );
            Ok(())
        })
        .await?;
    Ok(())
}

#[test]
fn i12_who_may_not_patch_pods_is_told_and_goes_on_once_it_may() {
    run("i12_who_may_not_patch_pods_is_told_and_goes_on_once_it_may", async |test| -> Result<()> {
        let scene = Scene::set(test, "rights").await?;
        scene.grant(&["imagepins"]).await?;
        let old = scene.push_first().await?;
        scene.apply(scene.deployment("web", 9, &old.tagged("latest"))).await?;
        scene.all_run(&old.digest, 9).await?;
        scene.apply(scene.policy(&Scene::pods_target())).await?;
        scene.holds(&old.digest).await?;
        let new = scene.push("0.28.1").await?;
        forbidden(&scene, "patch pods").await?;
        let tried = scene.writes_of("pods")?.len();
        scene.not_written_again("pods", tried, "a missing right is not tried all the time").await?;
        scene.grant(&["imagepins", "pods"]).await?;
        scene.holds(&new.digest).await.context("granted, it goes on")?;
        scene.all_run(&new.digest, 9).await?;
        scene.finish().await
    });
}

#[test]
fn i12_who_may_not_write_pins_or_templates_is_told() {
    run("i12_who_may_not_write_pins_or_templates_is_told", async |test| -> Result<()> {
        let scene = Scene::set(test, "pinless").await?;
        scene.grant(&["pods"]).await?;
        let old = scene.push_first().await?;
        scene.apply(scene.deployment("web", 2, &old.tagged("latest"))).await?;
        scene.all_run(&old.digest, 2).await?;
        scene.apply(scene.policy(&Scene::pods_target())).await?;
        forbidden(&scene, "create imagepins").await?;

        // The same policy with its templates for a target: no pin is wanted any more, and the template is refused.
        let mut policy = scene.policy(&Scene::workloads_target());
        scene.ours("ImagePolicy").delete("otel", &kube::api::DeleteParams::default()).await?;
        policy["metadata"]["name"] = serde_json::json!("otel");
        scene.apply(policy).await?;
        scene.holds(&old.digest).await?;
        let new = scene.push("0.28.1").await?;
        forbidden(&scene, "patch deployments").await?;
        let events = scene.events().await?;
        ensure!(!events.iter().any(|(reason, _)| reason == "Contested"), "nobody contests: {events:?}");
        scene.grant(&["pods", "apps"]).await?;
        scene.holds(&new.digest).await.context("granted, it goes on")?;
        scene.finish().await
    });
}
