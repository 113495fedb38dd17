//! The ways to stop: Observe writes nothing, suspend leaves what is half-way as it is and says so.

use anyhow::{Result, ensure};
use e2e::scene::{Scene, restarts};
use e2e::{PATIENCE, eventually, run};
use serde_json::json;

use crate::{change, moves, pods, waits};

#[test]
fn observe_reports_everything_and_writes_nothing() {
    run("observe_reports_everything_and_writes_nothing", async |test| -> Result<()> {
        let scene = Scene::set(test, "observe").await?;
        let old = pods(&scene, 3).await?;
        let mut policy = scene.policy(&Scene::pods_target());
        policy["spec"]["mode"] = json!("Observe");
        scene.apply(policy).await?;
        let new = scene.push("0.28.1").await?;
        scene
            .until("otel", "what would happen is said", |status| {
                let message = status.stage()["message"].as_str().unwrap_or_default();
                ensure!(message.contains("0.28.1 would enter now"), "it is not");
                ensure!(status.0["phase"] == "Observing", "the phase does not say so");
                Ok(())
            })
            .await?;
        scene.not_written_again("pods", 0, "it only observes").await?;
        ensure!(scene.writes_of("imagepins")?.is_empty() && scene.writes_of("quarantines")?.is_empty());
        let pods = scene.all_run(&old.digest, 3).await?;
        ensure!(pods.iter().all(|pod| restarts(pod) == 0));
        change(&scene, json!({"mode": "Enforce"})).await?;
        scene.holds(&new.digest).await?;
        scene.finish().await
    });
}

#[test]
fn suspended_half_way_it_says_so_and_goes_on_later() {
    run("suspended_half_way_it_says_so_and_goes_on_later", async |test| -> Result<()> {
        let scene = Scene::set(test, "suspend").await?;
        let old = pods(&scene, 8).await?;
        let mut policy = scene.policy(&Scene::pods_target());
        policy["spec"]["stages"][0]["waves"] = json!([{"pods": 2, "soak": "10s"}]);
        scene.apply(policy).await?;
        scene.holds(&old.digest).await?;
        let new = scene.push("0.28.1").await?;
        eventually("the wave has the release", PATIENCE, async || {
            ensure!(moves(&scene)?.len() == 2, "{} moves", moves(&scene)?.len());
            Ok(())
        })
        .await?;
        change(&scene, json!({"suspend": true})).await?;
        let message = waits(&scene, "Suspended").await?;
        ensure!(message.contains("left half-way") && message.contains("wave 1 of 1"), "{message}");
        let (pods, pins) = (moves(&scene)?.len(), scene.writes_of("imagepins")?.len());
        // Longer than the wave's soak would last.
        for _ in 0..2 {
            scene.not_written_again("pods", pods, "it is suspended").await?;
        }
        ensure!(pods == 2 && scene.writes_of("imagepins")?.len() == pins);
        change(&scene, json!({"suspend": false})).await?;
        scene.holds(&new.digest).await?;
        let pods = scene.all_run(&new.digest, 8).await?;
        ensure!(pods.iter().all(|pod| restarts(pod) == 1), "no pod was moved twice");
        scene.finish().await
    });
}
