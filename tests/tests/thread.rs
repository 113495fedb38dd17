//! The thinnest thread through all of it: one policy, one stage, one Deployment; adopted, pinned, promoted.

use anyhow::{Context as _, Result, ensure};
use e2e::install::{apply_object, install, promoter, start_controller};
use e2e::recorder::Recorder;
use e2e::{Image, PATIENCE, Test, eventually, run};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Value, json};

fn deployment(namespace: &str, app: &str, sidecar: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "shop", "namespace": namespace},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "shop"}},
            "template": {
                "metadata": {"labels": {"app": "shop"}},
                "spec": {
                    "containers": [{"name": "app", "image": app}],
                    "initContainers": [{"name": "otel", "image": sidecar, "restartPolicy": "Always"}],
                },
            },
        },
    })
}

fn policy(namespace: &str, image: &str) -> Value {
    json!({
        "apiVersion": "lockkeeper.dev/v1alpha1", "kind": "ImagePolicy",
        "metadata": {"name": "otel", "namespace": namespace},
        "spec": {
            "image": image,
            "registry": {"insecure": true},
            "interval": "2s",
            "mode": "Enforce",
            "select": {"semver": {"range": ">=0.28.0"}},
            "serviceAccountName": "promoter",
            "stages": [{
                "name": "only",
                "soak": "3s",
                "targets": [{"pods": {"selector": {"matchLabels": {"app": "shop"}}, "containers": ["otel"]}}],
            }],
            "health": {"tick": "1s", "warmUp": "1s"},
        },
    })
}

fn of(test: &Test, kind: &str, plural: &str, namespace: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("lockkeeper.dev", "v1alpha1", kind);
    Api::namespaced_with(test.admin.clone(), namespace, &ApiResource::from_gvk_with_plural(&kind, plural))
}

#[test]
fn a_release_is_adopted_pinned_and_promoted() {
    run("a_release_is_adopted_pinned_and_promoted", async |test| -> Result<()> {
        test.bed.kubelet().await?;
        install(test.bed).await?;
        let namespace = test.namespace("thread").await?;
        let recorder = Recorder::start(test.admin.clone(), &[&namespace], "otel");
        let registry = test.bed.registry();
        let app = registry.push("thread/app", "1", &Image::release("the application")).await?;
        let old = registry.push("thread/otel", "0.28.0", &Image::release("0.28.0")).await?;
        registry.tag("thread/otel", "0.28.0", "latest").await?;
        promoter(&test.admin, &namespace).await?;
        apply_object(&test.admin, deployment(&namespace, &app.tagged("1"), &old.tagged("latest"))).await?;
        let all_run = async |digest: &str| {
            eventually(&format!("three Ready pods run {digest}"), PATIENCE, async || {
                let record = recorder.record();
                let seen: Vec<_> = record.present(&namespace).map(|life| (life.ready, life.runs())).collect();
                ensure!(seen == [(true, Some(digest)); 3], "{seen:?}");
                Ok(())
            })
            .await
        };
        all_run(&old.digest).await?;

        let controller = start_controller(test.bed, "lockkeeper").await?;
        apply_object(&test.admin, policy(&namespace, &old.repository)).await?;
        let policies = of(test, "ImagePolicy", "imagepolicies", &namespace);
        let pins = of(test, "ImagePin", "imagepins", &namespace);
        let pinned_to = async |digest: &str| {
            eventually(&format!("the stage holds {digest}, and so does its pin"), PATIENCE, async || {
                controller.check().await?;
                let status = policies.get("otel").await?.data["status"].clone();
                let stage = &status["stages"][0];
                ensure!(stage["phase"] == "Idle" && stage["current"] == digest, "{status:#}");
                let list = pins.list(&kube::api::ListParams::default()).await?;
                let digests: Vec<_> = list.iter().map(|pin| pin.data["spec"]["digest"].clone()).collect();
                ensure!(digests == [json!(digest)], "pins: {digests:?}");
                Ok(())
            })
            .await
        };
        pinned_to(&old.digest).await.context("adoption")?;
        let record = recorder.record();
        ensure!(record.lives.values().all(|life| life.sidecar_restarts == 0), "adoption restarted something");

        let new = registry.push("thread/otel", "0.28.1", &Image::release("0.28.1")).await?;
        all_run(&new.digest).await.context("promotion")?;
        pinned_to(&new.digest).await.context("verification")?;
        let record = recorder.record();
        ensure!(record.lives.len() == 3, "pods were replaced: {:?}", record.lives);
        for life in record.lives.values() {
            ensure!(
                life.sidecar_restarts == 1 && life.other_restarts == 0 && life.crashes.is_empty(),
                "{life:?}"
            );
        }
        controller.terminate().await
    });
}
