//! `pods`: the pin and what is born with it.

use anyhow::{Context as _, Result, ensure};
use e2e::install::{install, start_controller_with};
use e2e::recorder::Recorder;
use e2e::{Bed, PATIENCE, Pushed, Settings, eventually, run};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use std::time::Duration;

use e2e::scene::{Scene, image, restarts};

const PIN: &str = "only";

fn pin_name(scene: &Scene<'_>) -> String {
    format!("{}.otel.{PIN}", scene.namespace)
}

/// Waits until the pin says this digest.
pub async fn pinned(scene: &Scene<'_>, digest: &str) -> Result<()> {
    let pins = scene.ours("ImagePin");
    eventually(&format!("the pin says {digest}"), PATIENCE, async || {
        let pin = pins.get(&pin_name(scene)).await?;
        // The tag follows when the registry has said which one it is.
        let spec = &pin.data["spec"];
        ensure!(spec["digest"] == digest && spec["tag"].is_string(), "{spec}");
        Ok(())
    })
    .await
}

#[test]
fn i7_adoption_restarts_nothing_and_at_rest_nothing_is_written() {
    run("i7_adoption_restarts_nothing_and_at_rest_nothing_is_written", async |test| -> Result<()> {
        let scene = Scene::set(test, "rest").await?;
        let recorder = Recorder::start(scene.admin.clone(), &[&scene.namespace], "otel");
        let old = scene.push_first().await?;
        scene.apply(scene.deployment("web", 4, &old.tagged("latest"))).await?;
        scene.all_run(&old.digest, 4).await?;
        scene.apply(scene.policy(&Scene::pods_target())).await?;
        scene.holds(&old.digest).await?;
        pinned(&scene, &old.digest).await?;
        ensure!(scene.writes_of("pods")?.is_empty(), "adoption moved a pod");
        let pin = scene.ours("ImagePin").get(&pin_name(&scene)).await?;
        ensure!(pin.data["spec"]["onlyTags"] == json!(["latest"]), "{}", pin.data["spec"]);
        let lives = recorder.record().lives;
        ensure!(lives.len() == 4 && lives.values().all(|l| l.sidecar_restarts + l.other_restarts == 0));

        let new = scene.push("0.28.1").await?;
        scene.holds(&new.digest).await?;
        pinned(&scene, &new.digest).await?;
        scene.all_run(&new.digest, 4).await?;
        let lives = recorder.record().lives;
        ensure!(lives.len() == 4, "pods were replaced: {lives:?}");
        ensure!(lives.values().all(|l| l.sidecar_restarts == 1 && l.other_restarts == 0), "{lives:?}");

        scene.comes_to_rest(Duration::from_secs(31), |_| true).await?;
        scene.finish().await
    });
}

#[test]
fn k20_a_pin_that_a_person_changes_is_put_back_once_then_contested() {
    run("k20_a_pin_that_a_person_changes_is_put_back_once_then_contested", async |test| -> Result<()> {
        let scene = Scene::set(test, "person").await?;
        let old = scene.push_first().await?;
        scene.apply(scene.deployment("web", 2, &old.tagged("latest"))).await?;
        scene.all_run(&old.digest, 2).await?;
        scene.apply(scene.policy(&Scene::pods_target())).await?;
        scene.holds(&old.digest).await?;
        pinned(&scene, &old.digest).await?;
        let settled = async || {
            scene
                .until("otel", "the pin is seen to be right", |status| {
                    ensure!(status.stage()["pinned"]["confirmed"] == true, "{}", status.stage()["pinned"]);
                    Ok(())
                })
                .await
        };
        settled().await?;
        let pins = scene.ours("ImagePin");
        let writes = scene.writes_of("imagepins")?.len() + 1;

        pins.delete(&pin_name(&scene), &DeleteParams::default()).await?;
        pinned(&scene, &old.digest).await.context("a deleted pin is put back")?;
        let note = scene.event("PinPutBack").await?;
        ensure!(note.contains(&pin_name(&scene)), "{note}");
        settled().await?;

        let other = scene.push("0.27.0").await?;
        let edit = |digest: &str| Patch::Merge(json!({"spec": {"digest": digest}}));
        let params =
            PatchParams { field_manager: Some("somebody-else".to_owned()), ..PatchParams::default() };
        pins.patch(&pin_name(&scene), &params, &edit(&other.digest)).await?;
        let note = scene.event("Contested").await?;
        ensure!(note.contains("somebody-else") && note.contains(&pin_name(&scene)), "{note}");
        scene.not_written_again("imagepins", writes, "a contested pin is left alone").await?;
        scene
            .until("otel", "the policy says whose the pin is", |status| {
                let (state, reason, message) = status.condition("BirthPinning");
                ensure!((state, reason) == ("False", "Contested"), "{state} {reason} {message}");
                ensure!(
                    message.contains("somebody-else") && message.contains(&pin_name(&scene)),
                    "{message}"
                );
                Ok(())
            })
            .await?;
        scene.finish().await
    });
}

#[test]
fn k20_manual_until_is_obeyed_until_then() {
    run("k20_manual_until_is_obeyed_until_then", async |test| -> Result<()> {
        let scene = Scene::set(test, "manual").await?;
        let old = scene.push_first().await?;
        scene.apply(scene.deployment("web", 2, &old.tagged("latest"))).await?;
        scene.all_run(&old.digest, 2).await?;
        scene.apply(scene.policy(&Scene::pods_target())).await?;
        scene.holds(&old.digest).await?;
        pinned(&scene, &old.digest).await?;
        let other = scene.push("0.27.0").await?;
        let until = Timestamp::now() + SignedDuration::from_secs(8);
        let writes = scene.writes_of("imagepins")?.len();
        let edit = json!({
            "metadata": {"annotations": {"lockkeeper.dev/manual-until": until.to_string()}},
            "spec": {"digest": other.digest},
        });
        scene.ours("ImagePin").patch(&pin_name(&scene), &PatchParams::default(), &Patch::Merge(edit)).await?;
        pinned(&scene, &old.digest).await.context("put back when the time is over")?;
        let events = scene.writes_of("imagepins")?;
        let times: Vec<&str> = events.iter().map(|event| event.request_received_timestamp.as_str()).collect();
        ensure!(times.len() == writes + 1, "{writes} writes before, put back once: {times:?}");
        ensure!(times[writes].parse::<Timestamp>()? >= until, "put back at {times:?}, before {until}");
        scene.finish().await
    });
}

/// A pinned stage whose policy is deleted. Returns what its pin says, and when the policy went.
async fn deserted(scene: &Scene<'_>, deletion: &str) -> Result<(Pushed, Timestamp)> {
    let old = scene.push_first().await?;
    scene.apply(scene.deployment("web", 2, &old.tagged("latest"))).await?;
    scene.all_run(&old.digest, 2).await?;
    let mut policy = scene.policy(&Scene::pods_target());
    policy["spec"]["deletionPolicy"] = json!(deletion);
    scene.apply(policy).await?;
    scene.holds(&old.digest).await?;
    pinned(scene, &old.digest).await?;
    let gone = Timestamp::now();
    scene.ours("ImagePolicy").delete("otel", &DeleteParams::default()).await?;
    Ok((old, gone))
}

/// When the newest write of a pin was, which must be later than the two reads are apart.
fn not_too_soon(scene: &Scene<'_>, gone: Timestamp) -> Result<()> {
    let apart: SignedDuration = e2e::scene::ORPHAN_AFTER.parse()?;
    let mut writes = scene.writes_of("imagepins")?.into_iter();
    let last = writes.rfind(|e| e.succeeded() && ["patch", "delete"].contains(&e.verb.as_str()));
    let last = last.context("nobody looked after the pin")?;
    ensure!(last.impersonated_user.is_none(), "whom the policy named is nobody's to be any more: {last:#?}");
    let at: Timestamp = last.request_received_timestamp.parse()?;
    ensure!(at >= gone + apart, "written at {at}, the policy went at {gone}");
    Ok(())
}

#[test]
fn a_deleted_policy_that_retains_leaves_pins_that_say_so_and_still_hold() {
    run("a_deleted_policy_that_retains_leaves_pins_that_say_so_and_still_hold", async |test| -> Result<()> {
        let scene = Scene::set(test, "retain").await?;
        let (old, gone) = deserted(&scene, "Retain").await?;
        let pins = scene.ours("ImagePin");
        eventually("the pin is marked", PATIENCE, async || {
            let pin = pins.get(&pin_name(&scene)).await?;
            ensure!(pin.annotations().contains_key("lockkeeper.dev/orphaned"), "{:?}", pin.metadata);
            let condition = &pin.data["status"]["conditions"][0];
            ensure!(
                condition["type"] == "Orphaned" && condition["status"] == "True",
                "{}",
                pin.data["status"]
            );
            ensure!(pin.data["spec"]["digest"] == old.digest, "{}", pin.data["spec"]);
            Ok(())
        })
        .await?;
        not_too_soon(&scene, gone)?;
        let writes = scene.writes_of("imagepins")?.len();
        scene.apply(bare(&scene, "late", &old.tagged("latest"))).await?;
        scene.all_run(&old.digest, 3).await.context("new pods still get what the pin says")?;
        scene.not_written_again("imagepins", writes, "what is marked is not marked again").await?;
        scene.finish().await
    });
}

#[test]
fn a_deleted_policy_that_releases_takes_its_pins_with_it() {
    run("a_deleted_policy_that_releases_takes_its_pins_with_it", async |test| -> Result<()> {
        let scene = Scene::set(test, "release").await?;
        let (old, gone) = deserted(&scene, "Release").await?;
        let pins = scene.ours("ImagePin");
        eventually("the pin is gone", PATIENCE, async || {
            ensure!(pins.get_opt(&pin_name(&scene)).await?.is_none(), "it is there");
            Ok(())
        })
        .await?;
        not_too_soon(&scene, gone)?;
        let pods = scene.all_run(&old.digest, 2).await.context("what runs is left alone")?;
        ensure!(pods.iter().all(|pod| restarts(pod) == 0), "a pod was restarted");
        let born = scene.apply(bare(&scene, "late", &old.tagged("latest"))).await?;
        ensure!(!born.annotations().contains_key("lockkeeper.dev/pinned-by"), "{:?}", born.metadata);
        scene.controller.check().await
    });
}

fn bare(scene: &Scene<'_>, name: &str, collector: &str) -> Value {
    let mut spec = scene.pod_spec(collector);
    spec["nodeName"] = json!("sim-0");
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"telemetry": "otel"}}, "spec": spec,
    })
}

/// Waits until the API server pins what is born: it follows its policies, and what they refer to, with a delay of its own.
async fn born_pinned(scene: &Scene<'_>, collector: &str) -> Result<()> {
    let pods: Api<Pod> = scene.api();
    let probe: Pod = serde_json::from_value(bare(scene, "probe", collector))?;
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    eventually("what is born is pinned", PATIENCE, async || {
        let born = pods.create(&dry, &probe).await?;
        ensure!(born.annotations().get("lockkeeper.dev/pinned-by") == Some(&pin_name(scene)), "{born:?}");
        Ok(())
    })
    .await
}

/// Makes pods, many at first, for 30 s after the API server takes the first one. Returns how many it made and how many
/// of them were born without the pin.
async fn give_birth(scene: &Scene<'_>, collector: &str) -> Result<(usize, usize)> {
    let pods: Api<Pod> = scene.api();
    let (mut made, mut unpinned, mut tried) = (0, 0, 0);
    let mut since = None;
    while since.is_none_or(|since: tokio::time::Instant| since.elapsed() < Duration::from_secs(30)) {
        tried += 1;
        ensure!(tried < 20_000, "the API server takes no pods");
        let pod: Pod = serde_json::from_value(bare(scene, &format!("born-{tried}"), collector))?;
        if let Ok(pod) = pods.create(&PostParams::default(), &pod).await {
            since.get_or_insert_with(tokio::time::Instant::now);
            made += 1;
            unpinned += usize::from(!image(&pod).contains('@'));
            tokio::time::sleep(Duration::from_millis(if made < 100 { 20 } else { 400 })).await;
        } else {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    Ok((made, unpinned))
}

#[test]
fn k19_born_while_the_controller_is_down_or_the_api_server_comes_back() {
    run("k19_born_while_the_controller_is_down_or_the_api_server_comes_back", async |_| -> Result<()> {
        let bed = Bed::start(Settings::default()).await?;
        bed.kubelet().await?;
        install(&bed).await?;
        let controller = start_controller_with(&bed, "lockkeeper", &[]).await?;
        let admin = bed.admin().await?;
        let namespace = "born".to_owned();
        let object: Namespace = serde_json::from_value(json!({"metadata": {"name": namespace}}))?;
        Api::all(admin.clone()).create(&PostParams::default(), &object).await?;
        let accounts: Api<ServiceAccount> = Api::namespaced(admin.clone(), &namespace);
        eventually("the default ServiceAccount", PATIENCE, async || Ok(accounts.get("default").await?))
            .await?;
        let scene = Scene::on(&bed, admin, namespace, &controller).await?;
        let outcome = births(&scene).await;
        if outcome.is_err() {
            bed.keep_logs()?;
        }
        outcome?;
        drop(scene);
        controller.terminate().await?;
        bed.stop().await
    });
}

async fn births(scene: &Scene<'_>) -> Result<()> {
    let old = scene.push_first().await?;
    scene.apply(bare(scene, "first", &old.tagged("latest"))).await?;
    scene.all_run(&old.digest, 1).await?;
    scene.apply(scene.policy(&Scene::pods_target())).await?;
    scene.holds(&old.digest).await?;
    pinned(scene, &old.digest).await?;
    // `latest` moves on: who is not pinned runs something else.
    let newest = scene.push("0.29.0").await?;
    let mut hold = scene.policy(&Scene::pods_target());
    hold["spec"]["select"]["semver"]["range"] = json!("0.28.x");
    scene.apply(hold).await?;
    let repository = format!("{}/otel", scene.namespace);
    scene.bed.registry().tag(&repository, "0.29.0", "latest").await?;

    born_pinned(scene, &old.tagged("latest")).await?;
    scene.controller.kill().await?;
    for number in 0..3 {
        let pod = scene.apply(bare(scene, &format!("orphan-{number}"), &old.tagged("latest"))).await?;
        ensure!(pod.annotations().get("lockkeeper.dev/pinned-by") == Some(&pin_name(scene)), "{pod:?}");
    }
    scene.all_run(&old.digest, 4).await.context("born with the pin while the controller is down")?;
    scene.controller.restart().await?;

    scene.bed.api_server_part().kill().await?;
    scene.bed.api_server_part().start().await?;
    let (made, unpinned) = give_birth(scene, &old.tagged("latest")).await?;
    eprintln!("k19: {unpinned} of {made} pods were born unpinned in the 30 s after the API server came back");
    scene.bed.wait_ready().await?;
    scene.all_run(&old.digest, 4 + made).await.context("all of them are put right")?;
    let pods = scene.pods().await?;
    let moved = pods.iter().filter(|pod| pod.annotations().contains_key("lockkeeper.dev/moved")).count();
    ensure!(moved == unpinned, "{unpinned} were born unpinned, {moved} were moved");
    ensure!(pods.iter().all(|pod| restarts(pod) <= 1), "a pod was restarted twice");
    if unpinned > 0 {
        scene
            .until("otel", "they are counted", |status| {
                ensure!(status.stage()["unpinnedBirths"] == unpinned, "{}", status.stage()["unpinnedBirths"]);
                let (state, reason, _) = status.condition("BirthPinning");
                ensure!((state, reason) == ("True", "SomeUnpinned"), "{state} {reason}");
                Ok(())
            })
            .await?;
    }
    let digest = &newest.digest;
    let list = scene.api::<Pod>().list(&ListParams::default()).await?;
    let wrong = list.iter().filter(|pod| e2e::scene::runs(pod).contains(digest)).count();
    ensure!(wrong == 0, "{wrong} pods run what the tag moved to");
    Ok(())
}
