//! The first pod of a step goes alone: what never gets Ready comes to one pod, whatever the wave's size is.

use anyhow::{Result, ensure};
use e2e::kubelet::{Rule, Script};
use e2e::run;
use e2e::scene::{Scene, restarts};
use kube::api::ListParams;
use serde_json::json;

use crate::{moves, pods};

#[test]
fn a_release_that_never_gets_ready_comes_to_one_pod() {
    run("a_release_that_never_gets_ready_comes_to_one_pod", async |test| -> Result<()> {
        let scene = Scene::set(test, "first").await?;
        let old = pods(&scene, 8).await?;
        let mut policy = scene.policy(&Scene::pods_target());
        // Budgets would let the whole wave go at once.
        policy["spec"]["stages"][0]["targets"][0]["pods"]["maxUnavailable"] = json!("100%");
        policy["spec"]["stages"][0]["waves"] = json!([{"pods": 4, "soak": "1s"}]);
        policy["spec"]["health"]["readyDeadline"] = json!("6s");
        scene.apply(policy).await?;
        scene.holds(&old.digest).await?;
        let new = scene.push("0.28.1").await?;
        let script = Script { never_ready: true, ..Script::default() };
        scene.bed.kubelet().await?.rules().add(Rule::new(&new.digest, script));
        scene
            .until("otel", "it is put back", |status| {
                let stage = status.stage();
                ensure!(stage["phase"] == "Blocked" && stage["reason"] == "NeverReady", "it is not");
                Ok(())
            })
            .await?;
        let pods = scene.all_run(&old.digest, 8).await?;
        let touched: Vec<i32> = pods.iter().map(restarts).filter(|restarts| *restarts > 0).collect();
        ensure!(touched == [2], "one pod, there and back: {touched:?}");
        ensure!(moves(&scene)?.len() == 2, "{} moves", moves(&scene)?.len());
        let quarantines = scene.ours("Quarantine").list(&ListParams::default()).await?;
        ensure!(quarantines.items.is_empty(), "one pod is no evidence: {quarantines:?}");
        scene.finish().await
    });
}
