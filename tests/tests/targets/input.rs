//! Rows of the table of bad input that need a cluster: said with field, value, reason and fix, and others go on.

use anyhow::{Context as _, Result, ensure};
use e2e::{AuditEvent, PATIENCE, eventually, run};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use e2e::scene::{POD_LIMIT, Scene, Status};

fn named(mut policy: Value, name: &str) -> Value {
    policy["metadata"]["name"] = json!(name);
    policy
}

async fn ready_says(scene: &Scene<'_>, policy: &str, reason: &str, words: &[&str]) -> Result<Status> {
    scene
        .until(policy, &format!("{policy} says {reason}"), |status| {
            let (_, seen, message) = status.condition("Ready");
            ensure!(seen == reason && words.iter().all(|word| message.contains(word)), "{seen}: {message}");
            Ok(())
        })
        .await
}

/// Another policy of the namespace still adopts and promotes.
async fn others_go_on(scene: &Scene<'_>) -> Result<()> {
    let new = scene.push("0.28.1").await?;
    scene.holds(&new.digest).await?;
    Ok(())
}

#[test]
fn rows_14_17_nothing_matches_and_what_is_there_is_listed() {
    run("rows_14_17_nothing_matches_and_what_is_there_is_listed", async |test| -> Result<()> {
        let scene = Scene::set(test, "nothing").await?;
        let old = scene.push_first().await?;
        scene.apply(scene.deployment("web", 2, &old.tagged("latest"))).await?;
        scene.all_run(&old.digest, 2).await?;
        scene.apply(scene.policy(&Scene::pods_target())).await?;
        let nowhere = json!([{"pods": {"selector": {"matchLabels": {"telemetry": "none"}}}}]);
        scene.apply(named(scene.policy(&nowhere), "nowhere")).await?;
        let typo =
            json!([{"pods": {"selector": {"matchLabels": {"telemetry": "otel"}}, "containers": ["otle"]}}]);
        scene.apply(named(scene.policy(&typo), "typo")).await?;
        ready_says(&scene, "nowhere", "NoPods", &["stage only", "selector"]).await?;
        ready_says(&scene, "typo", "NoContainers", &["otle", "app", "otel"]).await?;
        others_go_on(&scene).await?;
        // Said once, and then nothing: no loop of errors.
        let theirs = |event: &AuditEvent| ["nowhere", "typo"].contains(&event.object().name.as_str());
        scene.comes_to_rest(e2e::scene::A_WHILE, theirs).await?;
        scene.finish().await
    });
}

#[test]
fn row_15_a_selector_that_matches_too_many_pods_is_refused() {
    run("row_15_a_selector_that_matches_too_many_pods_is_refused", async |test| -> Result<()> {
        let scene = Scene::set(test, "crowd").await?;
        let old = scene.push_first().await?;
        let pods: Api<Pod> = scene.api();
        for number in 0..=POD_LIMIT {
            let mut spec = scene.pod_spec(&old.tagged("latest"));
            // Nobody needs to run them.
            spec["schedulingGates"] = json!([{"name": "example.com/never"}]);
            let pod = json!({"metadata": {"name": format!("p{number}"), "labels": {"telemetry": "otel"}}, "spec": spec});
            pods.create(&PostParams::default(), &serde_json::from_value(pod)?).await?;
        }
        scene.apply(scene.policy(&Scene::pods_target())).await?;
        let many = (POD_LIMIT + 1).to_string();
        let words = ["spec.stages[0].targets", &many, "--pod-limit"];
        scene
            .until("otel", "the policy is refused", |status| {
                let (state, reason, message) = status.condition("Stalled");
                ensure!((state, reason) == ("True", "TooManyPods"), "{state} {reason}");
                ensure!(words.iter().all(|word| message.contains(word)), "{message}");
                Ok(())
            })
            .await?;
        ensure!(scene.writes_of("pods")?.is_empty() && scene.writes_of("imagepins")?.is_empty());
        pods.delete("p0", &kube::api::DeleteParams::default()).await?;
        ready_says(&scene, "otel", "NoReadyPods", &[]).await?;
        scene.finish().await
    });
}

#[test]
fn row_16_the_older_of_two_policies_keeps_the_container() {
    run("row_16_the_older_of_two_policies_keeps_the_container", async |test| -> Result<()> {
        let scene = Scene::set(test, "two").await?;
        let old = scene.push_first().await?;
        scene.apply(scene.deployment("web", 2, &old.tagged("latest"))).await?;
        scene.all_run(&old.digest, 2).await?;
        scene.apply(scene.policy(&Scene::pods_target())).await?;
        scene.holds(&old.digest).await?;
        // Ages are told apart by the second.
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        scene.apply(named(scene.policy(&Scene::pods_target()), "younger")).await?;
        let older = format!("{}/otel", scene.namespace);
        ready_says(&scene, "younger", "Conflicted", &[&older, "selectors"]).await?;
        others_go_on(&scene).await?;
        let pins = scene.ours("ImagePin").list(&kube::api::ListParams::default()).await?;
        ensure!(pins.items.len() == 1, "the younger one wrote a pin: {pins:?}");
        ready_says(&scene, "younger", "Conflicted", &[&older]).await?;

        // The older one goes: the younger one takes over.
        scene.ours("ImagePolicy").delete("otel", &kube::api::DeleteParams::default()).await?;
        scene
            .until("younger", "the younger one goes on", |status| {
                ensure!(
                    status.stage()["phase"] == "Idle" && status.stage()["current"].is_string(),
                    "not yet"
                );
                Ok(())
            })
            .await?;
        scene.finish().await
    });
}

#[test]
fn rows_22_to_24_a_registry_that_may_not_be_dialled_is_said_at_once() {
    run("rows_22_to_24_a_registry_that_may_not_be_dialled_is_said_at_once", async |test| -> Result<()> {
        let scene = Scene::set(test, "hosts").await?;
        let old = scene.push_first().await?;
        scene.apply(scene.deployment("web", 2, &old.tagged("latest"))).await?;
        scene.all_run(&old.digest, 2).await?;
        scene.apply(scene.policy(&Scene::pods_target())).await?;
        let hosts = [
            "169.254.169.254/a/b",
            "127.0.0.9:5000/a/b",
            "[::1]:5000/a/b",
            "[::ffff:127.0.0.1]:5000/a/b",
            "localhost:5000/a/b",
            "0x7f.1:5000/a/b",
            "2130706433:5000/a/b",
        ];
        // No pod matches: the host is refused before anything else is looked at.
        for (number, image) in hosts.into_iter().enumerate() {
            let mut policy = named(scene.policy(&Scene::pods_target()), &format!("host-{number}"));
            policy["spec"]["image"] = json!(image);
            let labels = json!({"registry": number.to_string()});
            policy["spec"]["stages"][0]["targets"][0]["pods"]["selector"]["matchLabels"] = labels;
            scene.apply(policy).await?;
        }
        for (number, image) in hosts.into_iter().enumerate() {
            let host = image.trim_end_matches("/a/b");
            let name = format!("host-{number}");
            scene
                .until(&name, &format!("{host} is denied"), |status| {
                    let (state, reason, message) = status.condition("Stalled");
                    ensure!((state, reason) == ("True", "HostDenied"), "{state} {reason}: {message}");
                    ensure!(message.contains("--allow-host"), "{message}");
                    Ok(())
                })
                .await
                .with_context(|| host.to_owned())?;
        }
        others_go_on(&scene).await?;
        scene.finish().await
    });
}

#[test]
fn row_44_a_malformed_mark_is_a_condition_and_stops_nobody() {
    run("row_44_a_malformed_mark_is_a_condition_and_stops_nobody", async |test| -> Result<()> {
        let scene = Scene::set(test, "mark").await?;
        let old = scene.push_first().await?;
        let mut deployment = scene.deployment("web", 2, &old.tagged("latest"));
        deployment["spec"]["template"]["metadata"]["annotations"] =
            json!({"lockkeeper.dev/moved": "../../etc\u{1F980}/-1"});
        scene.apply(deployment).await?;
        scene.all_run(&old.digest, 2).await?;
        scene.apply(scene.policy(&Scene::pods_target())).await?;
        let said = |status: &Status, expected: &str| {
            let (state, _, message) = status.condition("Malformed");
            ensure!(state == expected, "{state}: {message}");
            Ok(message.to_owned())
        };
        let status =
            scene.until("otel", "the marks are said", |status| said(status, "True").map(drop)).await?;
        let message = said(&status, "True")?;
        for part in ["Pod ", "lockkeeper.dev/moved", "../../etc", "remove the annotation"] {
            ensure!(message.contains(part), "{message}");
        }
        scene.holds(&old.digest).await?;
        // A move writes a mark over it.
        others_go_on(&scene).await?;
        scene.until("otel", "nothing is said any more", |status| said(status, "").map(drop)).await?;
        scene.finish().await
    });
}

#[test]
fn k15_p5_an_unreadable_status_counts_as_lost_and_stops_nobody() {
    run("k15_p5_an_unreadable_status_counts_as_lost_and_stops_nobody", async |test| -> Result<()> {
        let scene = Scene::set(test, "garbage").await?;
        let old = scene.push_first().await?;
        scene.apply(scene.deployment("web", 2, &old.tagged("latest"))).await?;
        scene.all_run(&old.digest, 2).await?;
        scene.apply(scene.policy(&Scene::pods_target())).await?;
        let other = json!([{"pods": {"selector": {"matchLabels": {"telemetry": "none"}}}}]);
        scene.apply(named(scene.policy(&other), "poisoned")).await?;
        scene.holds(&old.digest).await?;
        ready_says(&scene, "poisoned", "NoPods", &[]).await?;
        crate::pins::pinned(&scene, &old.digest).await?;
        let writes = scene.writes_of("imagepins")?.len();
        store_garbage(&scene).await?;
        // The pins say what the stage held; a lost status is written anew.
        scene.holds(&old.digest).await?;
        ready_says(&scene, "poisoned", "NoPods", &[]).await?;
        eventually("the pin is as it was", PATIENCE, async || {
            let pins = scene.ours("ImagePin").list(&kube::api::ListParams::default()).await?;
            ensure!(pins.items.len() == 1 && pins.items[0].data["spec"]["digest"] == old.digest, "{pins:?}");
            Ok(())
        })
        .await?;
        ensure!(scene.writes_of("imagepins")?.len() == writes, "the pin was written again");
        scene.finish().await
    });
}

/// Stores a status as an older version of the definition took it, which knew other phases.
async fn store_garbage(scene: &Scene<'_>) -> Result<()> {
    let name = "imagepolicies.lockkeeper.dev";
    let definitions: Api<CustomResourceDefinition> = Api::all(scene.admin.clone());
    let strict = serde_json::to_value(definitions.get(name).await?.spec)?;
    let mut loose = strict.clone();
    loose["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"] =
        json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let define = async |spec: &Value| {
        eventually("the definition is changed", PATIENCE, async || {
            let mut definition = definitions.get(name).await?;
            definition.spec = serde_json::from_value(spec.clone())?;
            definitions.replace(name, &PostParams::default(), &definition).await?;
            Ok(())
        })
        .await
    };
    define(&loose).await?;
    let policies = scene.ours("ImagePolicy");
    let stage = json!({"name": "only", "phase": "Levitating", "current": "sha256:zz"});
    let garbage = Patch::Merge(json!({"status": {"stages": [stage]}}));
    for name in ["poisoned", "otel"] {
        eventually("the older definition takes it", PATIENCE, async || {
            policies.patch_status(name, &PatchParams::default(), &garbage).await?;
            Ok(())
        })
        .await?;
    }
    define(&strict).await
}
