//! `workloads` of a kind that the installation names: the same waves, the same tested patch, and no fight.

use anyhow::{Context as _, Result, ensure};
use e2e::kinds::clone_sets;
use e2e::scene::{Scene, image, name, operations, runs};
use e2e::{PATIENCE, eventually, run};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

const PODS: usize = 9;

fn clone_set(scene: &Scene<'_>, collector: &str) -> Value {
    let labels = json!({"app": "clones", "telemetry": "otel"});
    let mut template = scene.pod_spec(collector);
    template.as_object_mut().expect("a pod spec").remove("terminationGracePeriodSeconds");
    json!({
        "apiVersion": "apps.example.com/v1", "kind": "CloneSet",
        "metadata": {"name": "clones", "labels": labels},
        // Nobody rolls the template out: pods are moved in place.
        "spec": {"replicas": PODS, "updateStrategy": {"type": "OnDelete"},
                 "template": {"metadata": {"labels": labels}, "spec": template}},
    })
}

/// The set and its pods, as its controller would make them.
async fn apply(scene: &Scene<'_>, collector: &str) -> Result<()> {
    let set = scene.apply(clone_set(scene, collector)).await?;
    let owner = json!({"apiVersion": "apps.example.com/v1", "kind": "CloneSet", "name": "clones",
                       "uid": set.uid(), "controller": true});
    for number in 0..PODS {
        let mut spec = scene.pod_spec(collector);
        spec["nodeName"] = json!(format!("sim-{}", number % 2));
        let metadata = json!({"name": format!("clones-{number}"), "labels": {"app": "clones", "telemetry": "otel"},
                              "ownerReferences": [owner]});
        scene.apply(json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})).await?;
    }
    Ok(())
}

fn target() -> Value {
    json!([{"workloads": {"kinds": ["CloneSet.apps.example.com"], "selector": {"matchLabels": {"telemetry": "otel"}}}}])
}

/// The promoter may patch the kind, too.
async fn grant(scene: &Scene<'_>) -> Result<()> {
    scene
        .apply(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "promoter"},
            "rules": [
                {"apiGroups": [""], "resources": ["pods"], "verbs": ["patch"]},
                {"apiGroups": ["apps.example.com"], "resources": ["clonesets"], "verbs": ["patch"]},
            ],
        }))
        .await?;
    Ok(())
}

/// Sends a recorded patch again, as the promoter; returns the API server's answer.
async fn replay(scene: &Scene<'_>, patch: &Value) -> Result<u16> {
    let client = scene.bed.client_as(&scene.namespace, "promoter").await?;
    let patch: json_patch::Patch = serde_json::from_value(patch.clone())?;
    let sets = clone_sets(&client, &scene.namespace);
    match sets.patch("clones", &PatchParams::default(), &Patch::Json::<()>(patch)).await {
        Ok(_) => Ok(200),
        Err(kube::Error::Api(status)) => Ok(status.code),
        Err(error) => Err(error.into()),
    }
}

#[test]
fn k11_k12_k13_a_kind_of_the_installations_own_is_promoted_and_never_fought_over() {
    run("k11_k12_k13_a_kind_of_the_installations_own_is_promoted_and_never_fought_over", async |test| {
        let scene = Scene::set(test, "clones").await?;
        grant(&scene).await?;
        let old = scene.push_first().await?;
        apply(&scene, &old.tagged("0.28.0")).await?;
        scene.all_run(&old.digest, PODS).await?;
        scene.apply(scene.policy(&target())).await?;
        scene.holds(&old.digest).await.context("adoption")?;
        ensure!(scene.writes_of("clonesets")?.is_empty() && scene.writes_of("pods")?.is_empty());

        let new = scene.push("0.28.1").await?;
        scene.holds(&new.digest).await.context("promotion")?;
        scene.all_run(&new.digest, PODS).await?;
        let templates = scene.writes_of("clonesets")?;
        ensure!(templates.len() == 1, "{templates:#?}");
        let written = operations(&templates[0]);
        for wanted in [
            ("test", "/metadata/uid"),
            ("test", "/metadata/generation"),
            ("test", "/spec/template/spec/initContainers/0/name"),
            ("test", "/spec/template/spec/initContainers/0/image"),
            ("replace", "/spec/template/spec/initContainers/0/image"),
        ] {
            ensure!(
                written.iter().any(|(op, path)| (op.as_str(), path.as_str()) == wanted),
                "{wanted:?}: {written:?}"
            );
        }
        let waves = scene.writes_of("pods")?;
        let template_at = &templates[0].request_received_timestamp;
        let before = waves.iter().filter(|event| event.request_received_timestamp < *template_at).count();
        ensure!(
            (before, waves.len()) == (2, PODS),
            "a wave of two before the template: {before} of {}",
            waves.len()
        );
        not_fought(&scene, &old.digest, &old.tagged("0.28.0")).await.context("K13")?;
        let patch = templates[0].request_object.clone().context("no patch")?;
        late(&scene, &old.tagged("0.28.0"), patch).await.context("K11, K12")?;
        scene.finish().await
    });
}

/// K13: somebody edits a pod by hand.
async fn not_fought(scene: &Scene<'_>, digest: &str, collector: &str) -> Result<()> {
    let edit = json!({"spec": {"initContainers": [{"name": "otel", "image": collector}]}});
    scene.api::<Pod>().patch("clones-0", &PatchParams::default(), &Patch::Strategic(edit)).await?;
    let writes = scene.writes_of("pods")?.len();
    scene
        .until("otel", "the edited pod has drifted", |status| {
            ensure!(status.stage()["drift"]["pods"] == 1, "{}", status.stage()["drift"]);
            Ok(())
        })
        .await?;
    scene.not_written_again("pods", writes, "a hand edit is no fight").await?;
    scene.not_written_again("clonesets", 1, "a hand edit is no fight").await?;
    let pods = scene.pods().await?;
    let edited = pods.iter().find(|pod| name(pod) == "clones-0").context("it is gone")?;
    ensure!(runs(edited).contains(digest) && image(edited) == collector, "{}", image(edited));
    Ok(())
}

/// K11, K12: the controller's own patch again, when the world has moved on.
async fn late(scene: &Scene<'_>, collector: &str, mut patch: Value) -> Result<()> {
    scene.ours("ImagePolicy").delete("otel", &DeleteParams::default()).await?;
    let sets = clone_sets(&scene.admin, &scene.namespace);
    sets.delete("clones", &DeleteParams::default()).await?;
    eventually("it is gone", PATIENCE, async || {
        ensure!(sets.get_opt("clones").await?.is_none());
        Ok(())
    })
    .await?;
    ensure!(replay(scene, &patch).await? == 404, "deleted");
    ensure!(sets.get_opt("clones").await?.is_none(), "it was made again");

    let mut renamed = clone_set(scene, collector);
    renamed["spec"]["template"]["spec"]["initContainers"][0]["name"] = json!("collector");
    let made = scene.apply(renamed).await?;
    ensure!(replay(scene, &patch).await? == 422, "made again: another uid");
    for operation in patch.as_array_mut().context("no JSON patch")? {
        match operation["path"].as_str() {
            Some("/metadata/uid") => operation["value"] = json!(made.uid()),
            Some("/metadata/generation") => operation["value"] = json!(made.metadata.generation),
            _ => {}
        }
    }
    ensure!(replay(scene, &patch).await? == 422, "renamed");
    let left = sets.get("clones").await?;
    let containers = &left.data["spec"]["template"]["spec"]["initContainers"];
    ensure!(
        containers == &json!([{"name": "collector", "image": collector, "restartPolicy": "Always"}]),
        "{containers}"
    );
    Ok(())
}
