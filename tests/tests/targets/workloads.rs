//! `workloads`: waves in place on running pods, then each template by one tested JSON patch.

use anyhow::{Context as _, Result, ensure};
use e2e::{AuditEvent, PATIENCE, eventually, run};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use e2e::scene::{Scene, image, operations, restarts};

const KINDS: [&str; 4] = ["deployments", "statefulsets", "daemonsets", "cronjobs"];

/// The collector twice: as a container and as a native sidecar.
fn both(scene: &Scene<'_>, collector: &str) -> Value {
    let mut spec = scene.pod_spec(collector);
    spec["containers"] = json!([
        {"name": "app", "image": scene.app.tagged("1")},
        {"name": "agent", "image": collector},
    ]);
    spec
}

async fn apply_all(scene: &Scene<'_>, collector: &str) -> Result<()> {
    let mut deployment = scene.deployment("web", 5, collector);
    deployment["spec"]["template"]["spec"] = both(scene, collector);
    scene.apply(deployment).await?;
    let mut set = scene.deployment("db", 3, collector);
    set["kind"] = json!("StatefulSet");
    set["spec"]["serviceName"] = json!("db");
    set["spec"]["podManagementPolicy"] = json!("Parallel");
    scene.apply(set).await?;
    let mut daemons = scene.deployment("node", 1, collector);
    daemons["kind"] = json!("DaemonSet");
    daemons["spec"].as_object_mut().context("no spec")?.remove("replicas");
    scene.apply(daemons).await?;
    let mut spec = scene.pod_spec(collector);
    spec["restartPolicy"] = json!("Never");
    let template = json!({"metadata": {"labels": {"app": "batch"}}, "spec": spec});
    let cron = scene
        .apply(json!({
            "apiVersion": "batch/v1", "kind": "CronJob",
            "metadata": {"name": "batch", "labels": {"telemetry": "otel"}},
            "spec": {"schedule": "0 0 1 1 *", "suspend": true, "jobTemplate": {"spec": {"template": template}}},
        }))
        .await?;
    // As `kubectl create job --from=cronjob/batch` makes one.
    let owner = json!({"apiVersion": "batch/v1", "kind": "CronJob", "name": "batch", "uid": cron.uid(), "controller": true});
    scene
        .apply(json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": "batch-1", "labels": {"telemetry": "otel"}, "ownerReferences": [owner]},
            "spec": {"template": template},
        }))
        .await?;
    Ok(())
}

/// Every image is replaced only after uid, generation, name and old image were tested.
fn tested(event: &AuditEvent, pod_spec: &str) -> Result<()> {
    let operations = operations(event);
    let has = |op: &str, path: &str| operations.iter().any(|(o, p)| o == op && p == path);
    ensure!(event.verb == "patch" && event.succeeded(), "{event:#?}");
    ensure!(has("test", "/metadata/uid") && has("test", "/metadata/generation"), "{operations:?}");
    let replaced: Vec<&str> =
        operations.iter().filter(|(op, _)| op == "replace").map(|(_, path)| path.as_str()).collect();
    ensure!(!replaced.is_empty(), "{operations:?}");
    for path in replaced {
        let container = path.strip_suffix("/image").with_context(|| format!("replaces {path}"))?;
        ensure!(container.starts_with(pod_spec), "{path} is not in {pod_spec}");
        ensure!(has("test", path) && has("test", &format!("{container}/name")), "{operations:?}");
    }
    let others = operations.iter().filter(|(op, _)| op != "test" && op != "replace");
    ensure!(others.clone().all(|(_, path)| path.starts_with("/metadata/annotations")), "{operations:?}");
    Ok(())
}

/// The manager `lockkeeper` owns images of this object.
fn owns_images(metadata: &ObjectMeta) -> Result<()> {
    let fields = metadata.managed_fields.iter().flatten();
    let mut own = fields.filter(|entry| entry.manager.as_deref() == Some("lockkeeper"));
    let entry = own.next().with_context(|| format!("no field of it is lockkeeper's: {metadata:#?}"))?;
    let text = serde_json::to_string(&entry.fields_v1)?;
    ensure!(text.contains("f:image") && !text.contains("f:replicas"), "{text}");
    Ok(())
}

#[test]
fn row_18_waves_in_place_then_templates_by_one_patch_each() {
    run("row_18_waves_in_place_then_templates_by_one_patch_each", async |test| {
        let scene = Scene::set(test, "workloads").await?;
        let old = scene.push_first().await?;
        apply_all(&scene, &old.tagged("0.28.0")).await?;
        scene.all_run(&old.digest, 13).await?;
        scene.apply(scene.policy(&Scene::workloads_target())).await?;
        scene.holds(&old.digest).await.context("adoption")?;
        for resource in KINDS.into_iter().chain(["pods", "imagepins"]) {
            ensure!(scene.writes_of(resource)?.is_empty(), "adoption wrote {resource}");
        }

        let new = scene.push("0.28.1").await?;
        let status = scene.holds(&new.digest).await.context("promotion")?;
        ensure!(status.verified().contains(&new.digest.as_str()), "{:#}", status.0);

        let moves = scene.writes_of("pods")?;
        ensure!(moves.len() >= 2, "a wave of two pods: {moves:#?}");
        for event in &moves {
            tested(event, "/spec/")?;
        }
        let mut first_template = None;
        for resource in KINDS {
            let events = scene.writes_of(resource)?;
            ensure!(events.len() == 1, "{resource}: {events:#?}");
            let place = match resource {
                "cronjobs" => "/spec/jobTemplate/spec/template/spec/",
                _ => "/spec/template/spec/",
            };
            tested(&events[0], place)?;
            let at = events[0].request_received_timestamp.clone();
            first_template = Some(first_template.map_or(at.clone(), |first: String| first.min(at)));
        }
        let first_template = first_template.context("no template")?;
        let before = moves.iter().filter(|event| event.request_received_timestamp < first_template).count();
        ensure!(before == 2, "the wave of two comes before any template, not {before}");

        let images = |spec: &k8s_openapi::api::core::v1::PodSpec| -> Vec<String> {
            let all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
            all.filter(|c| c.name != "app").filter_map(|c| c.image.clone()).collect()
        };
        let wanted = format!("{}:0.28.1@{}", new.repository, new.digest);
        let web = scene.api::<Deployment>().get("web").await?;
        let spec = web.spec.as_ref().and_then(|s| s.template.spec.as_ref()).context("no template")?;
        ensure!(images(spec) == [wanted.clone(), wanted.clone()], "{:?}", images(spec));
        owns_images(&web.metadata)?;
        owns_images(&scene.api::<StatefulSet>().get("db").await?.metadata)?;
        owns_images(&scene.api::<DaemonSet>().get("node").await?.metadata)?;
        let cron = scene.api::<CronJob>().get("batch").await?;
        owns_images(&cron.metadata)?;
        let spec = cron.spec.and_then(|s| s.job_template.spec).and_then(|s| s.template.spec);
        ensure!(images(&spec.context("no template")?) == [wanted]);

        // A Job's template cannot change, and its pod's restart policy would end it: both are left alone.
        let job = scene.api::<Job>().get("batch-1").await?;
        let spec = job.spec.and_then(|s| s.template.spec).context("no template")?;
        ensure!(images(&spec) == [old.tagged("0.28.0")] && scene.writes_of("jobs")?.is_empty());
        for pod in scene.pods().await? {
            let of_job = pod.labels().get("app").is_some_and(|app| app == "batch");
            let digest = if of_job { &old.digest } else { &new.digest };
            ensure!(e2e::scene::runs(&pod).contains(digest), "{}", image(&pod));
            ensure!(!of_job || restarts(&pod) == 0, "the Job's pod was restarted");
        }
        scene.finish().await
    });
}

#[test]
fn k13_a_hand_edit_is_reported_and_not_fought() {
    run("k13_a_hand_edit_is_reported_and_not_fought", async |test| {
        let scene = Scene::set(test, "edited").await?;
        let old = scene.push_first().await?;
        scene.apply(scene.deployment("web", 3, &old.tagged("0.28.0"))).await?;
        scene.all_run(&old.digest, 3).await?;
        scene.apply(scene.policy(&Scene::workloads_target())).await?;
        scene.holds(&old.digest).await?;
        let new = scene.push("0.28.1").await?;
        scene.holds(&new.digest).await?;
        let writes = scene.writes_of("deployments")?.len() + scene.writes_of("pods")?.len();

        // Somebody takes the template back by hand.
        scene.apply(scene.deployment("web", 3, &old.tagged("0.28.0"))).await?;
        scene.all_run(&old.digest, 3).await?;
        scene
            .until("otel", "three pods have drifted", |status| {
                ensure!(status.stage()["drift"]["pods"] == 3, "{}", status.stage()["drift"]);
                Ok(())
            })
            .await?;
        let note = scene.event("DriftDetected").await?;
        ensure!(note.contains("0.28.1"), "{note}");
        scene.not_written_again("deployments", 1, "a hand edit is no fight").await?;
        let after = scene.writes_of("deployments")?.len() + scene.writes_of("pods")?.len();
        ensure!(after == writes, "{writes} writes before the edit, {after} after");
        scene.finish().await
    });
}

#[test]
fn k11_a_workload_that_is_deleted_in_the_middle_is_not_made_again() {
    run("k11_a_workload_that_is_deleted_in_the_middle_is_not_made_again", async |test| -> Result<()> {
        let scene = Scene::set(test, "deleted").await?;
        let old = scene.push_first().await?;
        scene.apply(scene.deployment("web", 9, &old.tagged("0.28.0"))).await?;
        scene.apply(scene.deployment("stays", 1, &old.tagged("0.28.0"))).await?;
        scene.all_run(&old.digest, 10).await?;
        let mut policy = scene.policy(&Scene::workloads_target());
        policy["spec"]["stages"][0]["waves"] = json!([{"pods": 1, "soak": "3s"}]);
        scene.apply(policy).await?;
        scene.holds(&old.digest).await?;
        let new = scene.push("0.28.1").await?;
        scene
            .until("otel", "the wave soaks", |status| {
                ensure!(status.stage()["phase"] == "Soaking", "not yet");
                Ok(())
            })
            .await?;
        let deployments: Api<Deployment> = scene.api();
        deployments.delete("web", &DeleteParams::default()).await?;
        scene.holds(&new.digest).await?;
        scene.all_run(&new.digest, 1).await?;
        let left: Vec<String> =
            deployments.list(&ListParams::default()).await?.iter().map(ResourceExt::name_any).collect();
        ensure!(left == ["stays"], "{left:?}");
        scene.finish().await
    });
}

/// Sends a recorded patch again, as the promoter; returns the API server's answer.
async fn replay(scene: &Scene<'_>, patch: &Value) -> Result<u16> {
    let client = scene.bed.client_as(&scene.namespace, "promoter").await?;
    let deployments: Api<Deployment> = Api::namespaced(client, &scene.namespace);
    let patch: json_patch::Patch = serde_json::from_value(patch.clone())?;
    match deployments.patch("web", &PatchParams::default(), &Patch::Json::<()>(patch)).await {
        Ok(_) => Ok(200),
        Err(kube::Error::Api(status)) => Ok(status.code),
        Err(error) => Err(error.into()),
    }
}

/// What the controller sent is sent again when the world has moved on: a write that was decided on too long ago.
#[test]
fn k11_k12_a_late_write_makes_no_object_and_no_container() {
    run("k11_k12_a_late_write_makes_no_object_and_no_container", async |test| -> Result<()> {
        let scene = Scene::set(test, "late").await?;
        let old = scene.push_first().await?;
        let deployment = scene.deployment("web", 1, &old.tagged("0.28.0"));
        scene.apply(deployment.clone()).await?;
        scene.all_run(&old.digest, 1).await?;
        scene.apply(scene.policy(&Scene::workloads_target())).await?;
        scene.holds(&old.digest).await?;
        let new = scene.push("0.28.1").await?;
        scene.holds(&new.digest).await?;
        let writes = scene.writes_of("deployments")?;
        let mut patch =
            writes.first().and_then(|w| w.request_object.clone()).context("no template was written")?;
        // From here on nobody but this test writes.
        scene.ours("ImagePolicy").delete("otel", &DeleteParams::default()).await?;

        let deployments: Api<Deployment> = scene.api();
        deployments.delete("web", &DeleteParams::default()).await?;
        eventually("it is gone", PATIENCE, async || {
            ensure!(deployments.get_opt("web").await?.is_none());
            Ok(())
        })
        .await?;
        ensure!(replay(&scene, &patch).await? == 404, "deleted");
        ensure!(deployments.get_opt("web").await?.is_none(), "it was made again");

        scene.apply(deployment.clone()).await?;
        ensure!(replay(&scene, &patch).await? == 422, "made again: another uid");

        // The container is renamed, and the late write even knows uid and generation.
        let mut renamed = deployment;
        renamed["spec"]["template"]["spec"]["initContainers"][0]["name"] = json!("collector");
        deployments.delete("web", &DeleteParams::default()).await?;
        eventually("it is made with another container", PATIENCE, async || {
            ensure!(deployments.get_opt("web").await?.is_none());
            scene.apply(renamed.clone()).await
        })
        .await?;
        let metadata = deployments.get("web").await?.metadata;
        for operation in patch.as_array_mut().context("no JSON patch")? {
            match operation["path"].as_str() {
                Some("/metadata/uid") => operation["value"] = json!(metadata.uid),
                Some("/metadata/generation") => operation["value"] = json!(metadata.generation),
                _ => {}
            }
        }
        ensure!(replay(&scene, &patch).await? == 422, "renamed");
        let spec = deployments.get("web").await?.spec.and_then(|s| s.template.spec).context("no template")?;
        let names: Vec<&str> = spec
            .containers
            .iter()
            .chain(spec.init_containers.iter().flatten())
            .map(|c| c.name.as_str())
            .collect();
        ensure!(names == ["app", "collector"], "{names:?}");
        let images: Vec<_> =
            spec.init_containers.iter().flatten().filter_map(|c| c.image.as_deref()).collect();
        ensure!(images == [old.tagged("0.28.0")], "{images:?}");
        scene.finish().await
    });
}
