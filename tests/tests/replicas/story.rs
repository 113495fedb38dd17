//! The incident in short: eight pods in one stage with a wave of two; a release that crashes goes into the wave and is
//! taken back; its fix goes through. Something happens when the first pod has been given the bad release.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use e2e::kubelet::{Rule, Script};
use e2e::scene::{Scene, image};
use e2e::{Controller, PATIENCE, Pushed, Test, eventually};
use kube::api::ListParams;
use serde_json::{Value, json};

/// Pods of the application.
const PODS: usize = 8;
/// Pods of the wave.
const WAVE: usize = 2;

/// The story, as far as it has gone.
pub struct Story<'b> {
    pub scene: Scene<'b>,
    good: Pushed,
    bad: Pushed,
}

impl<'b> Story<'b> {
    /// Begins it; `watched` is the replica that shall still run at the end.
    pub async fn begin(test: &Test, watched: &'b Controller) -> Result<Self> {
        let story = Self::set(test, watched).await?;
        eventually("the first pod is given 0.29.0", PATIENCE, async || {
            story.scene.controller.check().await?;
            ensure!(!story.given(&story.bad)?.is_empty(), "no pod is");
            Ok(())
        })
        .await?;
        Ok(story)
    }

    /// The same up to the moment in which the bad release is there to be found.
    pub async fn set(test: &Test, watched: &'b Controller) -> Result<Self> {
        let namespace = test.namespace("replicas").await?;
        let scene = Scene::on(test.bed, test.admin.clone(), namespace, watched).await?;
        let good = scene.push_first().await?;
        scene.apply(scene.deployment("shop", PODS, &good.tagged("latest"))).await?;
        scene.all_run(&good.digest, PODS).await?;
        let mut policy = scene.policy(&Scene::pods_target());
        policy["spec"]["stages"][0]["waves"] = json!([{"pods": WAVE, "soak": "20s"}]);
        policy["spec"]["stages"][0]["soak"] = json!("2s");
        scene.apply(policy).await?;
        scene.holds(&good.digest).await.context("adoption")?;
        let bad = scene.push("0.29.0").await?;
        let script = Script { restarts_per_pod_hour: 6.0, time_scale: 600.0, ..Script::default() };
        scene.bed.kubelet().await?.rules().add(Rule::new(&bad.digest, script));
        Ok(Self { scene, good, bad })
    }

    /// Waits until this pod was given the bad release.
    pub async fn is_given(&self, pod: &str) -> Result<()> {
        eventually(&format!("{pod} is given 0.29.0"), PATIENCE, async || {
            let given = self.given(&self.bad)?;
            ensure!(given.contains(pod), "given to {given:?}");
            Ok(())
        })
        .await
    }

    /// The pods that were given a release.
    fn given(&self, release: &Pushed) -> Result<BTreeSet<String>> {
        let mut given = BTreeSet::new();
        for event in self.scene.writes_of("pods")?.into_iter().filter(e2e::AuditEvent::succeeded) {
            let steps = event.request_object.as_ref().and_then(Value::as_array).into_iter().flatten();
            let ours = |step: &Value| {
                step["op"] == "replace"
                    && step["value"].as_str().is_some_and(|image| image.ends_with(&release.digest))
            };
            if steps.into_iter().any(ours) {
                given.insert(event.object().name);
            }
        }
        Ok(given)
    }

    /// Waits until the bad release is taken back; then its fix goes through. The end is the same whatever happened.
    pub async fn end(&self) -> Result<()> {
        let Self { scene, good, bad } = self;
        scene
            .until("otel", "0.29.0 is taken back", |status| {
                let stage = status.stage();
                let back = stage["phase"] == "Idle" && stage["rolledBackAt"].is_string();
                ensure!(back && stage["current"] == good.digest, "it is not");
                Ok(())
            })
            .await?;
        scene.all_run(&good.digest, PODS).await?;
        let fixed = scene.push("0.29.1").await?;
        let status = scene.holds(&fixed.digest).await.context("0.29.1 goes through")?;
        let pods = scene.all_run(&fixed.digest, PODS).await?;
        ensure!(status.verified().contains(&fixed.digest.as_str()), "{:#}", status.0);

        ensure!(pods.iter().all(|pod| image(pod).ends_with(&fixed.digest)), "an image differs");
        let quarantines = scene.ours("Quarantine").list(&ListParams::default()).await?;
        let held: Vec<&Value> = quarantines.iter().map(|one| &one.data["spec"]["digest"]).collect();
        ensure!(held == [&json!(bad.digest)], "quarantined: {held:?}");
        let pins = scene.ours("ImagePin").list(&ListParams::default()).await?;
        let pinned: Vec<&Value> = pins.iter().map(|pin| &pin.data["spec"]["digest"]).collect();
        ensure!(pinned == [&json!(fixed.digest)], "pinned: {pinned:?}");
        let had_it = self.given(bad)?;
        ensure!((1..=WAVE).contains(&had_it.len()), "0.29.0 came to {had_it:?}");
        let back = self.given(good)?;
        ensure!(had_it == back, "0.29.0 came to {had_it:?}, and was taken back from {back:?}");
        Ok(())
    }
}
