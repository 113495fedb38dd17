//! The real node: a sidecar that really panics, moved in place and back.

#[path = "node/incident.rs"]
mod incident;
#[path = "node/installed.rs"]
mod installed;

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use e2e::node::RealNode;
use e2e::{Bed, PATIENCE, Test, eventually, run};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;

fn container(pod: &Pod, name: &str) -> Option<ContainerStatus> {
    let status = pod.status.as_ref()?;
    let all = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    all.into_iter().find(|status| status.name == name).cloned()
}

fn ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|all| {
        all.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
    })
}

async fn until(pods: &Api<Pod>, what: &str, holds: impl Fn(&Pod) -> bool) -> Result<Pod> {
    eventually(what, PATIENCE, async || {
        let pod = pods.get("shop").await?;
        ensure!(holds(&pod), "{}", serde_json::to_string_pretty(&pod.status)?);
        Ok(pod)
    })
    .await
}

async fn set_image(pods: &Api<Pod>, image: &str) -> Result<()> {
    let patch = json!([{"op": "replace", "path": "/spec/initContainers/0/image", "value": image}]);
    let patch: json_patch::Patch = serde_json::from_value(patch)?;
    pods.patch("shop", &PatchParams::default(), &Patch::Json::<()>(patch)).await?;
    Ok(())
}

/// An application and its sidecar, whose traffic holds what 0.29.0 panics on.
async fn create(pods: &Api<Pod>, bed: &Bed, node: &RealNode, sidecar: &str) -> Result<()> {
    let app = bed.registry().push("real/app", "1", &node.application()).await?;
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "shop"},
        "spec": {
            "nodeName": node.name(),
            "hostNetwork": true,
            "automountServiceAccountToken": false,
            "tolerations": [{"operator": "Exists"}],
            "containers": [{"name": "app", "image": app.tagged("1")}],
            "initContainers": [{
                "name": "otel", "image": sidecar, "restartPolicy": "Always",
                "env": [{"name": "INPUT", "value": "bare"}],
            }],
        },
    }))?;
    pods.create(&PostParams::default(), &pod).await?;
    Ok(())
}

#[test]
fn a_sidecar_panics_and_is_taken_back_and_the_application_never_stops() {
    run("a_sidecar_panics_and_is_taken_back_and_the_application_never_stops", async |test| {
        let Some(node) = RealNode::start(test.bed).await? else { return Ok(()) };
        let pods: Api<Pod> = Api::namespaced(test.admin.clone(), &test.namespace("real").await?);
        let registry = test.bed.registry();
        let good = registry.push("real/otel", "0.28.0", &node.collector("0.28.0")).await?;
        let bad = registry.push("real/otel", "0.29.0", &node.collector("0.29.0")).await?;
        create(&pods, test.bed, &node, &good.tagged("0.28.0")).await?;
        let before = until(&pods, "the pod is ready", ready).await?;
        let application = container(&before, "app").context("app")?;
        ensure!(container(&before, "otel").context("otel")?.image_id == good.pinned());

        set_image(&pods, &bad.pinned()).await?;
        let crashed = until(&pods, "0.29.0 has panicked twice", |pod| {
            container(pod, "otel").is_some_and(|otel| {
                let last = otel.last_state.and_then(|state| state.terminated);
                otel.restart_count >= 3 && last.is_some_and(|last| last.exit_code == 2)
            })
        })
        .await?;
        let otel = container(&crashed, "otel").context("otel")?;
        ensure!(otel.image_id == bad.pinned(), "{}", otel.image_id);

        set_image(&pods, &good.pinned()).await?;
        let healed = until(&pods, "0.28.0 runs again and the pod is ready", |pod| {
            ready(pod) && container(pod, "otel").is_some_and(|otel| otel.image_id == good.pinned())
        })
        .await?;
        ensure!(container(&healed, "app") == Some(application), "the application's container was touched");

        pods.delete("shop", &DeleteParams::default().grace_period(1)).await?;
        eventually("the pod is gone", PATIENCE, async || {
            ensure!(pods.get_opt("shop").await?.is_none(), "it is there");
            Ok(())
        })
        .await?;
        node.stop().await
    });
}

/// Not a test: what `a_node_does_not_outlive_its_process` runs and kills.
#[test]
#[ignore = "run by another test"]
fn a_node_that_waits_to_be_killed() {
    if std::env::var_os("WAIT_TO_BE_KILLED").is_none() {
        return;
    }
    run("a_node_that_waits_to_be_killed", async |test: &Test| {
        let Some(node) = RealNode::start(test.bed).await? else {
            println!("\nfolder=none");
            return Ok(());
        };
        let pods: Api<Pod> = Api::namespaced(test.admin.clone(), &test.namespace("killed").await?);
        let good = test.bed.registry().push("real/otel", "0.28.0", &node.collector("0.28.0")).await?;
        create(&pods, test.bed, &node, &good.pinned()).await?;
        until(&pods, "the pod is ready", ready).await?;
        println!("\nfolder={}", node.folder().display());
        std::future::pending().await
    });
}

#[test]
fn a_node_does_not_outlive_its_process() {
    run("a_node_does_not_outlive_its_process", async |_| {
        let log = tempfile::NamedTempFile::new()?;
        let mut child = Command::new(std::env::current_exe()?)
            .env("WAIT_TO_BE_KILLED", "1")
            .args(["--ignored", "--exact", "--nocapture", "a_node_that_waits_to_be_killed"])
            .stdout(log.reopen()?)
            .spawn()?;
        let folder = eventually("the other process has a node with a pod", PATIENCE, async || {
            let text = std::fs::read_to_string(log.path())?;
            let line = text.lines().find_map(|line| line.strip_prefix("folder="));
            let ended = child.try_wait()?.is_some();
            // Ended without a word: it has failed, and there is nothing to wait for.
            let folder = line.or(ended.then_some("")).with_context(|| text.clone())?;
            Ok(folder.to_owned())
        })
        .await?;
        ensure!(!folder.is_empty(), "the other process failed: {}", std::fs::read_to_string(log.path())?);
        if folder == "none" {
            return Ok(());
        }
        // kubelet, containerd, and per container a shim or a process on a mount of this folder.
        ensure!(processes_that_name(&folder, "cmdline")? >= 3);
        child.kill()?;
        child.wait()?;
        eventually("its processes, mounts and folder are gone", PATIENCE, async || {
            for file in ["cmdline", "mountinfo"] {
                let left = processes_that_name(&folder, file)?;
                ensure!(left == 0, "{left} processes name {folder} in their {file}");
            }
            ensure!(!Path::new(&folder).exists(), "{folder} exists");
            Ok(())
        })
        .await
    });
}

/// How many processes have this text in a file of theirs in /proc.
fn processes_that_name(text: &str, file: &str) -> Result<usize> {
    let mut count = 0;
    for entry in std::fs::read_dir("/proc")? {
        let Ok(found) = std::fs::read(entry?.path().join(file)) else { continue };
        count += usize::from(String::from_utf8_lossy(&found).contains(text));
    }
    Ok(count)
}
