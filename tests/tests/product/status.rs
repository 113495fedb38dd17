//! A lost status: pins say what is stable, and nothing is promoted before the longest soak has passed.

use anyhow::{Context as _, Result, ensure};
use e2e::scene::{Scene, restarts};
use e2e::{PATIENCE, eventually, run};
use jiff::{SignedDuration, Timestamp};
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;

use crate::{adopted, moves, waits};

#[test]
fn a_lost_status_comes_back_from_the_pins() {
    run("a_lost_status_comes_back_from_the_pins", async |test| -> Result<()> {
        let scene = Scene::set(test, "lost").await?;
        let old = adopted(&scene, |spec| spec["stages"][0]["soak"] = json!("10s")).await?;
        eventually("the pin is written, from which the status comes back", PATIENCE, async || {
            let pins = scene.ours("ImagePin").list(&ListParams::default()).await?;
            ensure!(!pins.items.is_empty(), "there is none");
            Ok(())
        })
        .await?;
        let patch = Patch::Merge(json!({"status": null}));
        scene.ours("ImagePolicy").patch_status("otel", &PatchParams::default(), &patch).await?;
        let status = scene
            .until("otel", "the stable digest is restored", |status| {
                let verified = &status.stage()["verified"][0];
                ensure!(verified["source"] == "Restored", "it is not");
                ensure!(verified["release"]["digest"] == old.digest, "to something else");
                Ok(())
            })
            .await?;
        let restored = status.0["restoredAt"].as_str().context("restoredAt")?.parse::<Timestamp>()?;
        let pods = scene.all_run(&old.digest, 3).await?;
        ensure!(pods.iter().all(|pod| restarts(pod) == 0), "nothing is moved for it");

        let new = scene.push("0.28.1").await?;
        waits(&scene, "StatusRestored").await?;
        scene.holds(&new.digest).await?;
        let moves = moves(&scene)?;
        let first = moves.first().context("no move")?.request_received_timestamp.parse::<Timestamp>()?;
        let waited = first.duration_since(restored);
        ensure!(waited >= SignedDuration::from_secs(10), "promoted {waited:#} after the status was lost");
        scene.finish().await
    });
}
