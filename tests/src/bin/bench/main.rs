//! `make bench`: what the controller costs on a bed with many policies, Deployments and pods. Prints a table; asserts
//! no time.
//!
//! Guarantees: CPU and memory are the kernel's figures of the controller's process; writes are counted from the API
//! server's audit log; passes and lookups from the controller's own metrics. May not: be run by a test.

mod cluster;
mod latency;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use e2e::install::{CONTROLLER, install};
use e2e::kubelet::Settings as Nodes;
use e2e::meter::{Meter, Reading};
use e2e::{Bed, Controller, Settings};
use tokio::time::sleep;

use cluster::Cluster;

/// How long nothing must be written before the controller counts as at rest.
const QUIET: Duration = Duration::from_secs(30);

/// What is measured.
#[derive(Parser)]
struct Args {
    /// Policies, and as many Deployments.
    #[arg(long, default_value_t = 500)]
    policies: usize,
    /// Pods of all Deployments together.
    #[arg(long, default_value_t = 5_000)]
    pods: usize,
    /// Namespaces that the Deployments are spread over.
    #[arg(long, default_value_t = 10)]
    namespaces: usize,
    /// Seconds at rest that are measured.
    #[arg(long, default_value_t = 600)]
    rest: u64,
    /// Incidents that the latency from evidence to patch is taken from; 0: none.
    #[arg(long, default_value_t = 5)]
    incidents: usize,
}

#[tokio::main]
async fn main() -> Result<()> {
    let filter = tracing_subscriber::EnvFilter::new("warn,kube_client=off");
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter).init();
    let args = Args::parse();
    ensure!(args.policies > 0 && args.namespaces > 0, "--policies and --namespaces must be more than 0");
    let bed = Bed::start(Settings::default()).await?;
    let measured = measure(&bed, &args).await;
    if measured.is_err() {
        bed.keep_logs()?;
    }
    measured?;
    bed.stop().await
}

/// Says what happens, with the seconds since the beginning.
#[derive(Clone, Copy)]
pub struct Told(Instant);

impl Told {
    /// One line for people; the table alone is standard output.
    pub fn say(&self, text: &str) {
        eprintln!("{:>5} s  {text}", self.0.elapsed().as_secs());
    }
}

async fn measure(bed: &Bed, args: &Args) -> Result<()> {
    let told = Told(Instant::now());
    let kubelet = bed.start_kubelet(Nodes::nodes("node", 20)).await?;
    install(bed).await?;
    let cluster = Cluster::new(bed, args.policies, args.pods, args.namespaces).await?;
    told.say(&format!("{} Deployments with {} pods begin", args.policies, args.pods));
    cluster.build().await?;
    cluster.wait_ready(told).await?;
    kubelet.check()?;

    let address = format!("127.0.0.1:{}", free_port()?);
    let registry = bed.registry();
    let flags = ["run", "--allow-host", registry.host(), "--http-addr", &address, "--log-format", "human"];
    let controller = Controller::start(bed, "lockkeeper", CONTROLLER, &flags, &[]).await?;
    let meter = Meter::new(bed, &controller, &address).await?;
    println!(
        "| What | Seconds | Controller's CPU, s | RSS, MiB (peak) | Passes | Writes | Registry lookups |"
    );
    println!("|---|---|---|---|---|---|---|");
    let begun = Reading::blank();
    cluster.wait_adopted(told).await?;
    quiet(&meter, told).await?;
    print(&meter, "start: first lists, everything adopted and pinned", &begun).await?;

    told.say(&format!("at rest for {} s", args.rest));
    let begun = meter.read().await?;
    sleep(Duration::from_secs(args.rest)).await;
    print(&meter, "at rest", &begun).await?;

    told.say("all Deployments roll");
    let begun = meter.read().await?;
    cluster.roll().await?;
    cluster.wait_ready(told).await?;
    print(&meter, "all pods replaced by rollouts", &begun).await?;
    let begun = meter.read().await?;
    quiet(&meter, told).await?;
    print(&meter, "until nothing was written for 30 s", &begun).await?;
    controller.check().await?;
    if args.incidents > 0 {
        latency::measure(&cluster, &kubelet, args.incidents, told).await?;
        controller.check().await?;
    }
    Ok(())
}

async fn print(meter: &Meter, what: &str, begun: &Reading) -> Result<()> {
    let now = meter.read().await?;
    let spent = now.at.duration_since(begun.at).as_secs_f64();
    let since = |name: &str| now.metric(name) - begun.metric(name);
    println!(
        "| {what} | {spent:.0} | {:.2} | {:.0} ({:.0}) | {} | {} | {} |",
        now.cpu_seconds - begun.cpu_seconds,
        now.rss_mib,
        now.peak_mib,
        since("lockkeeper_passes_total"),
        meter.writes(begun.wall, now.wall)?,
        since("lockkeeper_registry_requests_total"),
    );
    Ok(())
}

/// Waits until nothing has been written for [`QUIET`].
async fn quiet(meter: &Meter, told: Told) -> Result<()> {
    let writes = |reading: &Reading| {
        reading.metric("lockkeeper_status_writes_total") + reading.metric("lockkeeper_effects_total")
    };
    let (mut last, mut since) = (writes(&meter.read().await?), Instant::now());
    let begun = Instant::now();
    while since.elapsed() < QUIET {
        sleep(Duration::from_secs(2)).await;
        let now = writes(&meter.read().await?);
        if (now - last).abs() > f64::EPSILON {
            (last, since) = (now, Instant::now());
        }
        ensure!(begun.elapsed() < Duration::from_mins(15), "it writes still after 15 minutes");
    }
    told.say("nothing is written any more");
    Ok(())
}

fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").context("no free port")?;
    Ok(listener.local_addr()?.port())
}
