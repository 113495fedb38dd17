//! The steps of the story, in order.

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams};
use serde_json::Value;

use super::follow::policies;
use super::outcome::{Gathered, Outcome};
use super::{POLICY, PROD, STAGES, WAVE, World};
use crate::eventually::{PATIENCE, eventually};
use crate::recorder::Life;

/// Plays the whole story. An error means that it came to a halt; a story that went through another way than it should
/// have is an [`Outcome`] with claims that do not hold.
pub async fn play(world: &mut World<'_>) -> Result<Outcome> {
    let adopted = adopt(world).await?;
    let released = Timestamp::now();
    world.release("0.29.0").await?;
    let mut deleted = Vec::new();
    world.wait("0.29.0 enters dev", |world| world.stage_runs("dev", "0.29.0")).await?;
    deleted.push(a_pod_is_replaced_while_the_controller_is_stopped(world).await?);
    world.wait("0.29.0 enters staging", |world| world.stage_runs("staging", "0.29.0")).await?;
    deleted.push(a_pod_is_replaced_in_the_middle(world).await?);
    taken_back(world).await?;
    world.release("0.29.1").await?;
    world.wait("0.29.1 goes through everywhere", |world| world.all_run("0.29.1")).await?;
    verified_everywhere(world).await?;
    let quarantines = quarantines(world).await?;
    Outcome::of(&Gathered { world, adopted, released, deleted: &deleted, quarantines })
}

/// The controller starts, the policy is applied, and every stage is pinned to what it runs. Returns how often
/// containers were restarted by then.
async fn adopt(world: &mut World<'_>) -> Result<i32> {
    world.screen.story("the controller starts, with a ServiceAccount of its own; the policy is applied");
    world.screen.story("(`kubectl get lkp -w`: STAGES | PHASE | READY | MESSAGE)");
    world.start_controller().await?;
    world.apply("policy.yaml").await?;
    let good = world.digest("0.28.0")?.to_owned();
    for (stage, _) in STAGES {
        let pins = list(world, "ImagePin", "imagepins", stage);
        eventually(&format!("{stage} is pinned to 0.28.0, which it runs"), PATIENCE, async || {
            world.controller()?.part().check().await?;
            let list = pins.list(&ListParams::default()).await?;
            let digests: Vec<&str> =
                list.iter().filter_map(|pin| pin.data["spec"]["digest"].as_str()).collect();
            ensure!(digests == [good.as_str()], "pins: {digests:?}");
            Ok(())
        })
        .await?;
    }
    let restarts = |life: &Life| life.sidecar_restarts + life.other_restarts;
    let adopted = world.recorder.record().lives.values().map(restarts).sum();
    world.screen.story("every stage is pinned to what it runs");
    Ok(adopted)
}

/// The incident's first step: a pod is replaced, and nobody is there to look.
async fn a_pod_is_replaced_while_the_controller_is_stopped(world: &World<'_>) -> Result<Deleted> {
    world.controller()?.terminate().await?;
    world.screen.story("the controller is stopped");
    let deleted = replace_a_pod(world, "while the controller was stopped").await?;
    world.controller()?.restart().await?;
    world.screen.story("the controller starts again");
    Ok(deleted)
}

async fn a_pod_is_replaced_in_the_middle(world: &World<'_>) -> Result<Deleted> {
    let bad = world.digest("0.29.0")?;
    world
        .wait("0.29.0 enters the first pods of prod", |world| {
            let record = world.recorder.record();
            let running = record.of(PROD).filter(|life| life.ever_ran(bad)).count();
            ensure!(running >= WAVE, "{running} pods of prod");
            Ok(())
        })
        .await?;
    world.screen.story("0.29.0 is on the first wave of prod");
    replace_a_pod(world, "while 0.29.0 was in prod").await
}

/// A pod of prod that was deleted.
pub struct Deleted {
    /// What was going on, for people.
    pub when: &'static str,
    /// The name of the pod that was born instead.
    pub born: String,
}

/// Deletes a pod of prod that runs the good release, and waits until the pod that replaces it is Ready.
async fn replace_a_pod(world: &World<'_>, when: &'static str) -> Result<Deleted> {
    let good = world.digest("0.28.0")?;
    let before = world.recorder.record();
    // With a sidecar that was never restarted: not of a wave.
    let calm = |life: &&Life| life.ready && life.runs() == Some(good) && life.sidecar_restarts == 0;
    let life = before.present(PROD).find(calm).context("no pod of prod runs 0.28.0 undisturbed")?;
    let name = life.name.clone();
    let pods: Api<Pod> = Api::namespaced(world.admin.clone(), PROD);
    pods.delete(&name, &DeleteParams::default()).await.with_context(|| format!("deleting pod {name}"))?;
    let newborn = |life: &&Life| !before.of(PROD).any(|old| old.name == life.name);
    world
        .wait("the pod's replacement is Ready", |world| {
            let record = world.recorder.record();
            let found = record.present(PROD).find(newborn).context("it is not born yet")?;
            ensure!(found.ready, "{} is not Ready", found.name);
            Ok(())
        })
        .await?;
    let record = world.recorder.record();
    let born = record.of(PROD).find(newborn).context("the newborn pod is gone")?;
    let runs = born.runs().map_or("nothing", |digest| world.version(digest));
    world
        .screen
        .story(&format!("a pod of prod was deleted {when}; born instead: {}, runs {runs}", born.name));
    Ok(Deleted { when, born: born.name.clone() })
}

async fn taken_back(world: &World<'_>) -> Result<()> {
    let bad = world.digest("0.29.0")?;
    world
        .wait("0.29.0 crashes in prod", |world| {
            let record = world.recorder.record();
            let crashes =
                record.of(PROD).flat_map(|life| &life.crashes).filter(|crash| crash.digest == bad).count();
            ensure!(crashes > 0, "no crash yet");
            Ok(())
        })
        .await?;
    world.screen.story("0.29.0 crashed in prod for the first time");
    world.wait("0.29.0 is taken back from prod", |world| world.stage_runs(PROD, "0.28.0")).await?;
    world.screen.story("no pod of prod runs 0.29.0 any more; all are Ready");
    Ok(())
}

/// Every stage says that it holds 0.29.1 and is done with it.
async fn verified_everywhere(world: &World<'_>) -> Result<()> {
    world.screen.story("0.29.1 runs everywhere; the last soak goes on");
    let fixed = world.digest("0.29.1")?;
    eventually("0.29.1 is verified in every stage", PATIENCE * 3, async || {
        world.controller()?.part().check().await?;
        let policy = policies(&world.admin).get(POLICY.1).await?;
        for (stage, _) in STAGES {
            let all = policy.data["status"]["stages"].as_array();
            let status = all.into_iter().flatten().find(|status| status["name"] == stage);
            let status = status.with_context(|| format!("the status has no stage {stage}"))?;
            let done =
                status["phase"] == "Idle" && status["current"] == fixed && status["flight"] == Value::Null;
            ensure!(done, "{stage}: {} {}: {}", status["phase"], status["reason"], status["message"]);
        }
        Ok(())
    })
    .await
}

/// The digests that are quarantined.
async fn quarantines(world: &World<'_>) -> Result<Vec<String>> {
    let list = list(world, "Quarantine", "quarantines", POLICY.0).list(&ListParams::default()).await?;
    let digests = list.iter().filter_map(|one| one.data["spec"]["digest"].as_str());
    Ok(digests.map(str::to_owned).collect())
}

fn list(world: &World<'_>, kind: &str, plural: &str, namespace: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("lockkeeper.dev", "v1alpha1", kind);
    Api::namespaced_with(world.admin.clone(), namespace, &ApiResource::from_gvk_with_plural(&kind, plural))
}
