//! `digest: {tag: latest}`: every new contents of a tag is a candidate, and goes through the stages in order.

use anyhow::{Context as _, Result, ensure};
use e2e::install::apply_object;
use e2e::scene::Scene;
use e2e::{Image, PATIENCE, Pushed, eventually, run};
use serde_json::{Value, json};

/// Lets the scene's promoter write in another namespace.
async fn consent(scene: &Scene<'_>, namespace: &str) -> Result<()> {
    let group = "rbac.authorization.k8s.io";
    let metadata = json!({"name": "promoter", "namespace": namespace});
    let role = json!({
        "apiVersion": format!("{group}/v1"), "kind": "Role", "metadata": metadata,
        "rules": [
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["patch"]},
            {"apiGroups": ["lockkeeper.dev"], "resources": ["imagepins"], "verbs": ["create", "update", "delete"]},
        ],
    });
    let binding = json!({
        "apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": metadata,
        "roleRef": {"apiGroup": group, "kind": "Role", "name": "promoter"},
        "subjects": [{"kind": "ServiceAccount", "name": "promoter", "namespace": scene.namespace}],
    });
    for object in [role, binding] {
        apply_object(&scene.admin, object).await?;
    }
    Ok(())
}

fn stage(name: &str, namespace: &str) -> Value {
    json!({
        "name": name, "soak": "3s",
        "targets": [{"pods": {
            "namespaces": [namespace], "selector": {"matchLabels": {"telemetry": "otel"}}, "containers": ["otel"],
        }}],
    })
}

/// Pushes contents of their own, to which `latest` points from now on.
async fn latest(scene: &Scene<'_>, contents: &str) -> Result<Pushed> {
    let image = Image::release(&format!("{contents} of {}", scene.namespace));
    scene.bed.registry().push(&format!("{}/otel", scene.namespace), "latest", &image).await
}

#[test]
fn what_a_tag_names_goes_from_stage_to_stage() {
    run("what_a_tag_names_goes_from_stage_to_stage", async |test| -> Result<()> {
        let dev = Scene::set(test, "tag-dev").await?;
        let namespace = test.namespace("tag-prod").await?;
        consent(&dev, &namespace).await?;
        let old = latest(&dev, "one").await?;
        dev.apply(dev.deployment("shop", 2, &old.tagged("latest"))).await?;
        let mut shop = dev.deployment("shop", 2, &old.tagged("latest"));
        shop["metadata"]["namespace"] = json!(namespace);
        apply_object(&dev.admin, shop).await?;
        let prod =
            Scene { namespace: namespace.clone(), app: dev.app.clone(), admin: dev.admin.clone(), ..dev };
        let dev = Scene { namespace: dev.namespace, app: dev.app, admin: dev.admin, ..prod };
        dev.all_run(&old.digest, 2).await?;
        prod.all_run(&old.digest, 2).await?;
        let mut policy = dev.policy(&Scene::pods_target());
        policy["spec"]["select"] = json!({"digest": {"tag": "latest"}});
        policy["spec"]["stages"] = json!([stage("dev", &dev.namespace), stage("prod", &prod.namespace)]);
        dev.apply(policy).await?;
        both_hold(&dev, &old).await?;

        let new = latest(&dev, "two").await?;
        both_hold(&dev, &new).await?;
        dev.all_run(&new.digest, 2).await?;
        prod.all_run(&new.digest, 2).await?;
        let (there, here) = (dev.writes_of("pods")?, prod.writes_of("pods")?);
        let last = there.last().context("no move in dev")?;
        let first = here.first().context("no move in prod")?;
        ensure!(last.request_received_timestamp < first.request_received_timestamp, "prod came before dev");
        for pin in prod.ours("ImagePin").list(&kube::api::ListParams::default()).await? {
            let spec = &pin.data["spec"];
            ensure!(
                spec["digest"] == new.digest && spec["tag"].is_null(),
                "a mutable tag is not pinned: {spec:#}"
            );
        }
        dev.finish().await
    });
}

async fn both_hold(scene: &Scene<'_>, release: &Pushed) -> Result<()> {
    let policies = scene.ours("ImagePolicy");
    eventually(&format!("both stages hold {}", release.digest), PATIENCE, async || {
        scene.controller.check().await?;
        let status = policies.get("otel").await?.data["status"].clone();
        for stage in status["stages"].as_array().context("no stages yet")? {
            ensure!(stage["phase"] == "Idle" && stage["current"] == release.digest, "{status:#}");
        }
        Ok(())
    })
    .await
}
