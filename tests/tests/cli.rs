//! The commands that people type, against a real API server and registry.

use anyhow::{Context as _, Result, ensure};
use e2e::controller::program;
use e2e::install::{apply_object, install};
use e2e::recorder::Recorder;
use e2e::{Image, PATIENCE, Test, eventually, run};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;

async fn lockkeeper(kubeconfig: &Path, args: &[&str]) -> Result<Output> {
    let mut command = tokio::process::Command::new(program()?);
    Ok(command.args(args).arg("--kubeconfig").arg(kubeconfig).output().await?)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn pod(namespace: &str, n: usize, app: &str, sidecar: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("shop-{n}"), "namespace": namespace, "labels": {"app": "shop"}},
        "spec": {
            "containers": [{"name": "app", "image": app}],
            "initContainers": [{"name": "otel", "image": sidecar, "restartPolicy": "Always"}],
        },
    })
}

fn policy(namespace: &str, image: &str, mirror: &str) -> Value {
    json!({
        "apiVersion": "lockkeeper.dev/v1alpha1", "kind": "ImagePolicy",
        "metadata": {"name": "otel", "namespace": namespace},
        "spec": {
            "image": image,
            "pullFrom": [mirror],
            "registry": {"insecure": true},
            "select": {"semver": {"range": ">=0.28.0"}},
            "stages": [{
                "name": "only",
                "soak": "1h",
                "targets": [{"pods": {"selector": {"matchLabels": {"app": "shop"}}, "containers": ["otel"]}}],
            }],
        },
    })
}

/// What the namespace's `default` ServiceAccount needs for this policy.
fn consent(namespace: &str) -> [Value; 2] {
    let group = "rbac.authorization.k8s.io";
    [
        json!({
            "apiVersion": format!("{group}/v1"), "kind": "Role",
            "metadata": {"name": "promoter", "namespace": namespace},
            "rules": [
                {"apiGroups": [""], "resources": ["pods"], "verbs": ["patch"]},
                {"apiGroups": ["lockkeeper.dev"], "resources": ["imagepins"], "verbs": ["create", "update", "delete"]},
            ],
        }),
        json!({
            "apiVersion": format!("{group}/v1"), "kind": "RoleBinding",
            "metadata": {"name": "promoter", "namespace": namespace},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "promoter"},
            "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}],
        }),
    ]
}

/// Three pods at 0.28.0 by `latest`; 0.29.0 is there, and not in the mirror.
async fn world(test: &Test) -> Result<(String, String, String)> {
    test.bed.kubelet().await?;
    install(test.bed).await?;
    let namespace = test.namespace("plan").await?;
    let recorder = Recorder::start(test.admin.clone(), &[&namespace], "otel");
    let registry = test.bed.registry();
    let app = registry.push("plan/app", "1", &Image::release("plan app")).await?;
    let old = registry.push("plan/otel", "0.28.0", &Image::release("plan 0.28.0")).await?;
    registry.tag("plan/otel", "0.28.0", "latest").await?;
    let mirror = registry.push("plan/mirror", "0.28.0", &Image::release("plan 0.28.0")).await?;
    registry.push("plan/otel", "0.29.0", &Image::release("plan 0.29.0")).await?;
    for n in 0..3 {
        apply_object(&test.admin, pod(&namespace, n, &app.tagged("1"), &old.tagged("latest"))).await?;
    }
    eventually("three Ready pods", PATIENCE, async || {
        let record = recorder.record();
        ensure!(record.present(&namespace).filter(|life| life.ready).count() == 3);
        Ok(())
    })
    .await?;
    Ok((namespace, old.repository, mirror.repository))
}

#[test]
fn plan_says_what_is_missing_and_writes_nothing() {
    run("plan_says_what_is_missing_and_writes_nothing", async |test| -> Result<()> {
        let (namespace, image, mirror) = world(test).await?;
        let (file, kubeconfig) =
            (test.bed.folder().join("policy.yaml"), test.bed.folder().join("plan.kubeconfig"));
        std::fs::write(&file, serde_saphyr::to_string(&policy(&namespace, &image, &mirror))?)?;
        test.bed.write_kubeconfig_of("admin", &kubeconfig)?;
        let host = test.bed.registry().host().to_owned();
        let file = file.to_str().context("a path that is text")?;
        let args = ["plan", "-f", file, "--allow-host", &host];

        let before = test.bed.audit_of("admin")?.len();
        let output = lockkeeper(&kubeconfig, &args).await?;
        let text = said(&output);
        ensure!(output.status.code() == Some(6), "{output:?}");
        for part in [
            "mode: Observe, so all of this would be reported and nothing written",
            "candidate: 0.29.0 (",
            "matches: 3 pods, 3 of them ready",
            ":latest (3 pods)",
            &format!("pin in {namespace}: 0.29.0@sha256:"),
            "may not patch pods in namespace",
            "may not create imagepins.lockkeeper.dev in namespace",
            &format!("{mirror} does not have"),
        ] {
            ensure!(text.contains(part), "{part} is not in:\n{text}\n{output:?}");
        }
        let after = test.bed.audit_of("admin")?;
        let reviews = ["subjectaccessreviews", "selfsubjectaccessreviews"];
        for event in after.iter().skip(before) {
            ensure!(reviews.contains(&event.object().resource.as_str()), "plan wrote: {event:?}");
        }

        let mut as_json = args.to_vec();
        as_json.extend(["-o", "json"]);
        let output = lockkeeper(&kubeconfig, &as_json).await?;
        ensure!(output.status.code() == Some(6), "{output:?}");
        let plan: Value = serde_json::from_slice(&output.stdout)?;
        ensure!(plan["candidate"]["version"] == "0.29.0" && plan["mode"] == "Observe", "{plan:#}");
        let stage = &plan["stages"][0];
        ensure!(stage["pods"] == json!({"matching": 3, "ready": 3}), "{plan:#}");
        ensure!(stage["pins"][&namespace][0]["tag"] == "0.29.0", "{plan:#}");
        let problems = plan["problems"].as_array().context("problems")?;
        ensure!(
            problems.iter().any(|one| one.as_str().is_some_and(|one| one.contains("patch pods"))),
            "{plan:#}"
        );

        for object in consent(&namespace) {
            apply_object(&test.admin, object).await?;
        }
        test.bed.registry().push("plan/mirror", "0.29.0", &Image::release("plan 0.29.0")).await?;
        let output = lockkeeper(&kubeconfig, &args).await?;
        ensure!(output.status.code() == Some(0), "{}\n{output:?}", said(&output));

        let output = lockkeeper(&kubeconfig, &["get", "-A"]).await?;
        ensure!(
            output.status.success()
                && String::from_utf8_lossy(&output.stderr).contains("there is no ImagePolicy")
        );
        apply_object(&test.admin, policy(&namespace, &image, &mirror)).await?;
        let output = lockkeeper(&kubeconfig, &["get", "otel", "-n", &namespace]).await?;
        ensure!(said(&output).contains("not looked at yet"), "{output:?}");
        let output = lockkeeper(&kubeconfig, &["get", "other", "-n", &namespace]).await?;
        ensure!(output.status.code() == Some(3), "{output:?}");
        Ok(())
    });
}
