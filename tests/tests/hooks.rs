//! A release that is pushed is looked at now: by a notification of the real registry, by a person's annotation.

use anyhow::{Context as _, Result, ensure};
use e2e::install::{PATIENT_LEADER, install, start_controller_at};
use e2e::scene::Scene;
use e2e::{Bed, Controller, PATIENCE, eventually, ports, run};
use serde_json::{Value, json};

const SECRET: &str = "of-registry-and-controller";

/// A replica that takes hooks.
struct Replica {
    controller: Controller,
    /// Where.
    hooks: String,
}

async fn replica(bed: &Bed, name: &str) -> Result<Replica> {
    let folder = bed.folder();
    std::fs::write(folder.join("hook-secret"), format!("{SECRET}\n"))?;
    let receivers = folder.join("receivers.yaml");
    let receiver =
        json!({"name": "registry", "kind": "Distribution", "secretFile": folder.join("hook-secret")});
    std::fs::write(&receivers, json!({"receivers": [receiver]}).to_string())?;
    let hooks = format!("127.0.0.1:{}", ports::free()?);
    let file = receivers.display().to_string();
    let args = [&PATIENT_LEADER[..], &["--hooks", &file, "--hooks-addr", &hooks]].concat();
    let env = [("POD_NAME", name), ("HOSTNAME", name)];
    let controller =
        start_controller_at(bed, bed.server(), &format!("lockkeeper-{name}"), &args, &env).await?;
    Ok(Replica { controller, hooks })
}

impl Replica {
    /// Waits until its metrics say so.
    async fn says(&self, line: &str) -> Result<()> {
        eventually(line, PATIENCE, async || {
            self.controller.check().await?;
            let (_, metrics) = self.controller.get("/metrics").await?;
            ensure!(metrics.lines().any(|seen| seen == line), "it does not:\n{}", self.controller.log()?);
            Ok(())
        })
        .await
    }

    async fn post(&self, authorization: &str, body: &Value) -> Result<u16> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        let url = format!("http://{}/hooks/registry", self.hooks);
        let request = http.post(url).header("authorization", authorization).body(body.to_string());
        Ok(request.send().await?.status().as_u16())
    }
}

/// The registry, started again so that it tells this replica of what is pushed.
async fn notifies(bed: &Bed, replica: &Replica) -> Result<()> {
    let file = bed.folder().join("registry.yaml");
    let text = std::fs::read_to_string(&file)?;
    let endpoint = json!({
        "name": "lockkeeper", "url": format!("http://{}/hooks/registry", replica.hooks),
        "headers": {"Authorization": [format!("Bearer {SECRET}")]},
        "timeout": "1s", "threshold": 3, "backoff": "1s",
    });
    std::fs::write(&file, format!("{text}notifications: {}\n", json!({"endpoints": [endpoint]})))?;
    bed.registry_part().stop().await?;
    bed.registry_part().start().await?;
    eventually("the registry answers", PATIENCE, async || bed.registry().ping().await).await
}

#[test]
fn what_the_registry_tells_is_looked_at_long_before_the_interval_is_over() {
    run(
        "what_the_registry_tells_is_looked_at_long_before_the_interval_is_over",
        async |test| -> Result<()> {
            let bed = test.bed;
            bed.kubelet().await?;
            install(bed).await?;
            let leader = replica(bed, "first").await?;
            leader.says("lockkeeper_leader 1").await.context("the first replica")?;
            let standby = replica(bed, "second").await?;
            standby.says("lockkeeper_leader 0").await.context("the second replica")?;

            let namespace = test.namespace("hooks").await?;
            let scene = Scene::on(bed, test.admin.clone(), namespace, &leader.controller).await?;
            let first = scene.push_first().await?;
            scene.apply(scene.deployment("shop", 2, &first.tagged("latest"))).await?;
            scene.all_run(&first.digest, 2).await?;
            let mut policy = scene.policy(&Scene::pods_target());
            // Nothing below waits so long.
            policy["spec"]["interval"] = json!("2h");
            scene.apply(policy).await?;
            scene.holds(&first.digest).await.context("adoption")?;

            // The registry tells the replica that stands by; that one passes it on.
            notifies(bed, &standby).await?;
            let second = scene.push("0.28.1").await?;
            scene.holds(&second.digest).await.context("by a notification")?;
            let (_, metrics) = standby.controller.get("/metrics").await?;
            ensure!(
                metrics.contains(r#"lockkeeper_hooks_total{receiver="registry",outcome="relayed"}"#),
                "{metrics}"
            );
            let (_, metrics) = leader.controller.get("/metrics").await?;
            ensure!(
                metrics.contains(r#"lockkeeper_hooks_total{receiver="registry",outcome="accepted"}"#),
                "{metrics}"
            );

            // Forged, or true and old: nothing of it is believed.
            let writes = scene.writes_of("imagepins")?.len();
            let target = json!({"repository": format!("{}/otel", scene.namespace), "tag": "9.9.9", "digest": "sha256:00"});
            let event = json!({"events": [{"action": "push", "target": target, "request": {"host": bed.registry().host()}}]});
            ensure!(leader.post("Bearer of-somebody-else", &event).await? == 401);
            ensure!(leader.post(&format!("Bearer {SECRET}"), &event).await? == 202);
            scene.not_written_again("imagepins", writes, "a hook is a hint").await?;

            // No hook any more: a person asks.
            bed.registry_part().stop().await?;
            let file = bed.folder().join("registry.yaml");
            let text = std::fs::read_to_string(&file)?;
            std::fs::write(
                &file,
                text.lines()
                    .filter(|line| !line.starts_with("notifications"))
                    .fold(String::new(), |all, line| all + line + "\n"),
            )?;
            bed.registry_part().start().await?;
            eventually("the registry answers", PATIENCE, async || bed.registry().ping().await).await?;
            let third = scene.push("0.28.2").await?;
            let asks =
                json!({"metadata": {"annotations": {"lockkeeper.dev/requestedAt": "2026-11-22T03:38:00Z"}}});
            let patch = kube::api::Patch::Merge(&asks);
            scene.ours("ImagePolicy").patch("otel", &kube::api::PatchParams::default(), &patch).await?;
            scene.holds(&third.digest).await.context("by the annotation")?;
            scene.finish().await
        },
    );
}
