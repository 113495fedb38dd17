//! `make bench-registry`: what registries and the controller cost each other. Prints a table; asserts no time.
//!
//! Policies over repositories of a synthetic registry of ours, against the bed's API server. The stages match no pod:
//! what is measured is listing, selecting and reporting. CPU and memory are the kernel's figures of the controller's
//! process, from its start; requests and bytes are counted by the registry. May not: be run by a test.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use e2e::install::{CONTROLLER, GROUP, apply_object, install};
use e2e::meter::Meter;
use e2e::synthetic::{Counted, Synthetic};
use e2e::{Bed, Controller, Settings, ports};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::api::{ApiResource, DynamicObject, ListParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::json;
use tokio::time::sleep;

const HOME: &str = "bench";
/// Requests to the API server at once.
const AT_ONCE: usize = 20;
/// The longest first pass.
const LONG: Duration = Duration::from_mins(10);

/// What is measured.
#[derive(Parser)]
struct Args {
    /// Policies, one semver range each.
    #[arg(long, default_value_t = 1_000)]
    policies: usize,
    /// Repositories that they share evenly.
    #[arg(long, default_value_t = 1_000)]
    repositories: usize,
    /// Tags of each repository, in pages of at most 1,000.
    #[arg(long, default_value_t = 500)]
    tags: usize,
    /// Seconds of the policies' interval.
    #[arg(long, default_value_t = 60)]
    interval: u64,
    /// Intervals at rest that are measured, after two that are not.
    #[arg(long, default_value_t = 3)]
    rest: u32,
}

#[tokio::main]
async fn main() -> Result<()> {
    let filter = tracing_subscriber::EnvFilter::new("warn,kube_client=off");
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter).init();
    let args = Args::parse();
    ensure!(args.policies > 0 && args.repositories > 0, "--policies and --repositories must be more than 0");
    let bed = Bed::start(Settings { controllers: false, scheduler: false }).await?;
    let measured = measure(&bed, &args).await;
    if measured.is_err() {
        bed.keep_logs()?;
    }
    measured?;
    bed.stop().await
}

async fn measure(bed: &Bed, args: &Args) -> Result<()> {
    install(bed).await?;
    let registry = Synthetic::start(args.tags).await?;
    let admin = bed.admin().await?;
    let policies = policies(&admin, &registry, args).await?;

    let address = format!("127.0.0.1:{}", ports::free()?);
    let flags = ["run", "--allow-host", &registry.host, "--http-addr", &address, "--log-format", "human"];
    let begun = Instant::now();
    let controller = Controller::start(bed, "lockkeeper", CONTROLLER, &flags, &[]).await?;
    while chosen(&policies).await? < args.policies {
        controller.check().await?;
        ensure!(
            begun.elapsed() < LONG,
            "{} of {} policies have a candidate",
            chosen(&policies).await?,
            args.policies
        );
        sleep(Duration::from_millis(250)).await;
    }
    let wall = begun.elapsed();
    let meter = Meter::new(bed, &controller, &address).await?;
    let first = meter.read().await?;
    let asked = registry.counted();
    println!(
        "{} policies, {} repositories, {} tags each, interval {} s\n",
        args.policies, args.repositories, args.tags, args.interval
    );
    println!(
        "| What | Wall, s | CPU, s | Requests | of them listings (304) | manifests, HEAD, configs | Body bytes | RSS, MiB (peak) |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    row("first pass, start included", wall, first.cpu_seconds, &asked, (first.rss_mib, first.peak_mib));
    println!("\n{:.2} requests per policy\n", requests_per(&asked, args.policies));
    if args.rest == 0 {
        return controller.terminate().await;
    }
    let interval = Duration::from_secs(args.interval);
    sleep(interval * 2).await;
    let (before, asked, begun) = (meter.read().await?, registry.counted(), Instant::now());
    sleep(interval * args.rest).await;
    let (after, now) = (meter.read().await?, registry.counted());
    let cpu = after.cpu_seconds - before.cpu_seconds;
    let what = format!("at rest, {} intervals", args.rest);
    row(&what, begun.elapsed(), cpu, &now.since(&asked), (after.rss_mib, after.peak_mib));
    println!("\n{} scans in {} intervals", now.since(&asked).scans, args.rest);
    controller.check().await?;
    controller.terminate().await
}

fn row(what: &str, wall: Duration, cpu: f64, asked: &Counted, (rss, peak): (f64, f64)) {
    println!(
        "| {what} | {:.1} | {cpu:.2} | {} | {} ({}) | {}, {}, {} | {} | {rss:.0} ({peak:.0}) |",
        wall.as_secs_f64(),
        asked.requests(),
        asked.listings,
        asked.unchanged,
        asked.manifests,
        asked.heads,
        asked.blobs,
        asked.bytes,
    );
}

fn requests_per(asked: &Counted, policies: usize) -> f64 {
    // Both are far below 2^52.
    f64::from(u32::try_from(asked.requests()).unwrap_or(u32::MAX))
        / f64::from(u32::try_from(policies).unwrap_or(1))
}

/// Makes the policies, before there is a controller.
async fn policies(admin: &Client, registry: &Synthetic, args: &Args) -> Result<Api<DynamicObject>> {
    apply_object(admin, json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": HOME}})).await?;
    let kind = GroupVersionKind::gvk(GROUP, "v1alpha1", "ImagePolicy");
    let resource = ApiResource::from_gvk_with_plural(&kind, "imagepolicies");
    let api: Api<DynamicObject> = Api::namespaced_with(admin.clone(), HOME, &resource);
    let all = (0..args.policies).map(|number| {
        let (api, resource) = (api.clone(), resource.clone());
        let spec = json!({
            "image": format!("{}/bench/repository-{}", registry.host, number % args.repositories),
            "interval": format!("{}s", args.interval),
            "registry": {"insecure": true},
            "select": {"semver": {"range": ">=1.0.0"}},
            "stages": [{"name": "only", "targets": [{"pods": {
                "selector": {"matchLabels": {"app": format!("app-{number}")}}, "containers": ["app"]}}]}],
        });
        async move {
            let object =
                DynamicObject::new(&format!("policy-{number}"), &resource).data(json!({"spec": spec}));
            api.create(&PostParams::default(), &object).await.context("a policy was refused").map(drop)
        }
    });
    stream::iter(all).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    Ok(api)
}

/// How many policies have a candidate.
async fn chosen(policies: &Api<DynamicObject>) -> Result<usize> {
    let all = policies.list(&ListParams::default()).await?;
    Ok(all.iter().filter(|policy| policy.data["status"]["candidate"]["tag"].is_string()).count())
}
