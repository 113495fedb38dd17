//! `make bench-hooks`: how long it takes from a hook to the new digest in the Deployment's template. Prints a table;
//! asserts no time.
//!
//! Guarantees: everything is real but the node: API server with its controllers, registry, controller; the interval is so
//! long that nothing but the hook can have led to the pin. A span begins just before the hook is sent, after the push, and
//! ends when a watch shows the Deployment. May not: be run by a test.

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use e2e::install::{CONTROLLER, apply_object, install};
use e2e::meter::{self, Meter};
use e2e::scene::Scene;
use e2e::{Bed, Controller, PATIENCE, Settings, ports};
use futures::{Stream, TryStreamExt as _};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{WatchEvent, WatchParams};
use serde_json::json;
use tokio::time::timeout;

const SECRET: &str = "of-registry-and-controller";

/// What is measured.
#[derive(Parser)]
struct Args {
    /// Releases, one after another.
    #[arg(long, default_value_t = 200)]
    releases: usize,
}

#[tokio::main]
async fn main() -> Result<()> {
    let filter = tracing_subscriber::EnvFilter::new("warn,kube_client=off");
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter).init();
    let args = Args::parse();
    let bed = Bed::start(Settings { controllers: true, scheduler: true }).await?;
    let measured = measure(&bed, args.releases).await;
    if measured.is_err() {
        bed.keep_logs()?;
    }
    measured?;
    bed.stop().await
}

async fn measure(bed: &Bed, releases: usize) -> Result<()> {
    bed.kubelet().await?;
    install(bed).await?;
    let folder = bed.folder();
    std::fs::write(folder.join("hook-secret"), SECRET)?;
    let receivers = folder.join("receivers.yaml");
    let receiver =
        json!({"name": "registry", "kind": "Distribution", "secretFile": folder.join("hook-secret")});
    std::fs::write(&receivers, json!({"receivers": [receiver]}).to_string())?;
    let (hooks, http) = (address()?, address()?);
    let file = receivers.display().to_string();
    let registry = bed.registry();
    let flags = [
        "run",
        "--allow-host",
        registry.host(),
        "--hooks",
        &file,
        "--hooks-addr",
        &hooks,
        "--http-addr",
        &http,
    ];
    let controller = Controller::start(bed, "lockkeeper", CONTROLLER, &flags, &[]).await?;

    let admin = bed.admin().await?;
    let namespace = "bench-hooks".to_owned();
    apply_object(&admin, json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}))
        .await?;
    let scene = Scene::on(bed, admin, namespace, &controller).await?;
    let first = scene.push_first().await?;
    scene.apply(scene.deployment("shop", 2, &first.tagged("latest"))).await?;
    scene.all_run(&first.digest, 2).await?;
    let mut policy = scene.policy(&Scene::workloads_target());
    policy["spec"]["interval"] = json!("12h");
    policy["spec"]["stages"][0]["waves"] = json!([]);
    policy["spec"]["stages"][0]["soak"] = json!("1s");
    scene.apply(policy).await?;
    scene.holds(&first.digest).await.context("adoption")?;

    let meter = Meter::new(bed, &controller, &http).await?;
    let before = meter.read().await?;
    let mut spans = Vec::new();
    for number in 1..=releases {
        spans.push(release(&scene, &controller, &hooks, number).await?);
    }
    let cpu = meter.read().await?.cpu_seconds - before.cpu_seconds;
    println!("{}", meter::QUANTILES);
    meter::quantiles("a hook is sent, until the Deployment's template has the digest", spans);
    println!("\n{cpu:.2} s of CPU for {releases} releases that went through");
    controller.terminate().await
}

/// One release is pushed, and goes through.
async fn release(
    scene: &Scene<'_>,
    controller: &Controller,
    hooks: &str,
    number: usize,
) -> Result<SignedDuration> {
    let pushed = scene.push(&format!("0.28.{number}")).await?;
    let deployments = scene.api::<Deployment>();
    let watch = deployments.watch(&WatchParams::default().timeout(60), "0").await?;
    let begun = Timestamp::now();
    hook(scene, hooks, number).await?;
    let shown = timeout(PATIENCE, shows(watch, &pushed.digest)).await;
    if !matches!(shown, Ok(Ok(()))) {
        controller.check().await?;
    }
    shown.context("no pin appears")??;
    let span = Timestamp::now().duration_since(begun);
    scene.holds(&pushed.digest).await?;
    Ok(span)
}

async fn shows(watch: impl Stream<Item = kube::Result<WatchEvent<Deployment>>>, digest: &str) -> Result<()> {
    let mut watch = std::pin::pin!(watch);
    while let Some(event) = watch.try_next().await? {
        let (WatchEvent::Added(seen) | WatchEvent::Modified(seen)) = event else { continue };
        let template = seen.spec.and_then(|spec| spec.template.spec).unwrap_or_default();
        let containers = template.containers.iter().chain(template.init_containers.iter().flatten());
        if containers.filter_map(|container| container.image.as_deref()).any(|image| image.ends_with(digest))
        {
            return Ok(());
        }
    }
    anyhow::bail!("the watch ended")
}

/// As the CNCF registry notifies of a push; the same notification a second time would be no hint.
async fn hook(scene: &Scene<'_>, hooks: &str, number: usize) -> Result<()> {
    let target = json!({"repository": format!("{}/otel", scene.namespace), "tag": format!("0.28.{number}")});
    let registry = scene.bed.registry();
    let host = registry.host();
    let body = json!({"events": [{"id": number.to_string(), "action": "push", "target": target, "request": {"host": host}}]});
    let http = reqwest::Client::builder().no_proxy().build()?;
    let request = http.post(format!("http://{hooks}/hooks/registry")).bearer_auth(SECRET);
    let answer = request.body(body.to_string()).send().await?.status();
    ensure!(answer.as_u16() == 202, "the hook is answered with {answer}");
    Ok(())
}

fn address() -> Result<String> {
    Ok(format!("127.0.0.1:{}", ports::free()?))
}
