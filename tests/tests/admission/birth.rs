//! Pins at birth: what the API server makes of a new pod in a namespace with `ImagePin`s. No controller runs here.

use anyhow::{Result, ensure};
use e2e::{PATIENCE, Test, eventually, run};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};

use super::{DIGEST, OTHER, api, installed, object, pin_spec};

const OTEL: &str = "ghcr.io/example/otel";

#[test]
fn a_new_pod_gets_tag_and_digest_and_keeps_its_repository() {
    run("a_new_pod_gets_tag_and_digest_and_keeps_its_repository", async |test| {
        installed(test).await?;
        let namespace = test.namespace("birth").await?;
        let mut pin = pin_spec(DIGEST);
        pin["tag"] = json!("0.28.0");
        pin["repositories"] = json!([OTEL, "harbor.example.com:5000/ecr/otel"]);
        make(test, &namespace, "otel-dev", &pin).await?;
        pinned(test, &namespace).await?;

        let mut sidecars = pod(&json!({"app": "a"}), &["app.example.com/main:1"]);
        sidecars["spec"]["initContainers"] = json!([
            {"name": "otel", "image": format!("{OTEL}:latest"), "restartPolicy": "Always"},
            {"name": "setup", "image": "busybox:1"},
        ]);
        let born = create(test, &namespace, &sidecars).await?;
        ensure!(born["spec"]["initContainers"][0]["image"] == format!("{OTEL}:0.28.0@{DIGEST}"), "{born:#}");
        ensure!(born["spec"]["initContainers"][1]["image"] == "busybox:1");
        ensure!(born["spec"]["containers"][0]["image"] == "app.example.com/main:1");
        ensure!(born["metadata"]["annotations"]["lockkeeper.dev/pinned-by"] == "otel-dev");

        for (image, wanted) in [
            (format!("{OTEL}:0.27.0"), format!("{OTEL}:0.28.0@{DIGEST}")),
            (OTEL.to_owned(), format!("{OTEL}:0.28.0@{DIGEST}")),
            (format!("{OTEL}:0.27.0@{OTHER}"), format!("{OTEL}:0.28.0@{DIGEST}")),
            // A mirror stays the mirror, port and all.
            (
                "harbor.example.com:5000/ecr/otel:x".to_owned(),
                format!("harbor.example.com:5000/ecr/otel:0.28.0@{DIGEST}"),
            ),
            // Another repository, even one that begins alike, is another repository.
            (format!("{OTEL}-extra:1"), format!("{OTEL}-extra:1")),
            (
                "example.com/ghcr.io/example/otel:1".to_owned(),
                "example.com/ghcr.io/example/otel:1".to_owned(),
            ),
        ] {
            let born = create(test, &namespace, &pod(&json!({"app": "a"}), &[&image])).await?;
            ensure!(
                born["spec"]["containers"][0]["image"] == wanted,
                "{image}: {:#}",
                born["spec"]["containers"]
            );
            let annotated = born["metadata"]["annotations"].get("lockkeeper.dev/pinned-by").is_some();
            ensure!(annotated == (image != wanted), "{image}: {:#}", born["metadata"]);
        }
        Ok(())
    });
}

#[test]
fn what_is_not_meant_is_left_alone() {
    run("what_is_not_meant_is_left_alone", async |test| {
        installed(test).await?;
        let ignored = test.namespace_with("ignored", &[("lockkeeper.dev/ignore", "")]).await?;
        let namespace = test.namespace("left").await?;
        // Made first: whoever sees the last pin has seen these, too.
        for other in ["kube-system", &ignored] {
            make(test, other, "otel", &pin_spec(DIGEST)).await?;
        }
        make(test, &namespace, "otel", &pin_spec(DIGEST)).await?;
        pinned(test, &namespace).await?;

        let latest = format!("{OTEL}:latest");
        let ours = pod(&json!({"app": "a"}), &[&latest]);
        let labelled = pod(&json!({"app": "a", "lockkeeper.dev/ignore": "true"}), &[&latest]);
        let other = pod(&json!({"app": "b"}), &[&latest]);
        let none = pod(&json!({}), &[&latest]);
        let mut mirror = ours.clone();
        mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
        mirror["spec"]["nodeName"] = json!("n");
        for (place, pod) in [
            (namespace.as_str(), &labelled),
            (&namespace, &other),
            (&namespace, &none),
            (&namespace, &mirror),
            ("kube-system", &ours),
            (&ignored, &ours),
        ] {
            let born = create(test, place, pod).await?;
            ensure!(born["spec"]["containers"][0]["image"] == latest, "{place}: {born:#}");
            ensure!(born["metadata"]["annotations"].get("lockkeeper.dev/pinned-by").is_none());
        }
        api(&test.admin, "kube-system", "ImagePin").delete("otel", &DeleteParams::default()).await?;
        Ok(())
    });
}

#[test]
fn an_adopted_stage_pins_only_its_mutable_tags() {
    run("an_adopted_stage_pins_only_its_mutable_tags", async |test| {
        installed(test).await?;
        let namespace = test.namespace("only").await?;
        let mut pin = pin_spec(DIGEST);
        pin["onlyTags"] = json!(["latest", "stable"]);
        make(test, &namespace, "otel", &pin).await?;
        pinned(test, &namespace).await?;
        let pinned = format!("{OTEL}@{DIGEST}");
        for (image, wanted) in [
            (format!("{OTEL}:stable"), pinned.clone()),
            (OTEL.to_owned(), pinned),
            (format!("{OTEL}:0.27.0"), format!("{OTEL}:0.27.0")),
            (format!("{OTEL}:latest@{OTHER}"), format!("{OTEL}:latest@{OTHER}")),
        ] {
            let born = create(test, &namespace, &pod(&json!({"app": "a"}), &[&image])).await?;
            ensure!(
                born["spec"]["containers"][0]["image"] == wanted,
                "{image}: {:#}",
                born["spec"]["containers"]
            );
        }
        Ok(())
    });
}

#[test]
fn two_pins_pin_a_container_each() {
    run("two_pins_pin_a_container_each", async |test| {
        installed(test).await?;
        let namespace = test.namespace("two").await?;
        for (name, container, digest) in [("one", "c0", DIGEST), ("two", "c1", OTHER)] {
            let mut pin = pin_spec(digest);
            pin["containers"] = json!([container]);
            make(test, &namespace, name, &pin).await?;
        }
        let both = pod(&json!({"app": "a"}), &[OTEL, OTEL, OTEL]);
        eventually("both pins are seen", PATIENCE, async || {
            let born = create(test, &namespace, &both).await?;
            let images: Vec<&Value> = (0..3).map(|n| &born["spec"]["containers"][n]["image"]).collect();
            ensure!(images[0] == &format!("{OTEL}@{DIGEST}"), "{images:?}");
            ensure!(images[1] == &format!("{OTEL}@{OTHER}"), "{images:?}");
            ensure!(images[2] == OTEL, "{images:?}");
            Ok(())
        })
        .await
    });
}

fn pod(labels: &Value, images: &[&str]) -> Value {
    let containers: Vec<Value> = images
        .iter()
        .enumerate()
        .map(|(n, image)| json!({"name": format!("c{n}"), "image": image}))
        .collect();
    json!({"metadata": {"name": "p", "labels": labels}, "spec": {"containers": containers}})
}

async fn make(test: &Test, namespace: &str, name: &str, spec: &Value) -> Result<()> {
    let pin = object("ImagePin", name, spec)?;
    api(&test.admin, namespace, "ImagePin").create(&PostParams::default(), &pin).await?;
    Ok(())
}

/// Waits until the API server has seen policy, binding and this namespace's newest pin.
async fn pinned(test: &Test, namespace: &str) -> Result<()> {
    eventually("new pods are pinned", PATIENCE, async || {
        let born = create(test, namespace, &pod(&json!({"app": "a"}), &[&format!("{OTEL}:latest")])).await?;
        let image = born["spec"]["containers"][0]["image"].to_string();
        ensure!(image.contains(DIGEST), "{image}");
        Ok(())
    })
    .await
}

/// What the API server would make of a pod: admission runs in full, nothing is stored.
async fn create(test: &Test, namespace: &str, pod: &Value) -> Result<Value> {
    let pods: Api<Pod> = Api::namespaced(test.admin.clone(), namespace);
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let born = pods.create(&dry, &serde_json::from_value(pod.clone())?).await?;
    Ok(serde_json::to_value(born)?)
}
