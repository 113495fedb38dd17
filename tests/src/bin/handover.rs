//! How long nobody leads when the leader is told to end, and when it is killed, with the default times. Prints a table;
//! asserts no time.
//!
//! Guarantees: a span begins just before the signal is sent and ends with the moment in which the other replica's own log
//! says that its passes begin, which is after it has the Lease and has listed everything anew. Several pairs run at
//! once, each with a Lease of its own. May not: be run by a test.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use e2e::install::{CONTROLLER, apply_object, install};
use e2e::meter::{QUANTILES, quantiles};
use e2e::process::Signal;
use e2e::{Bed, Controller, PATIENCE, Settings, eventually, ports};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// What is measured.
#[derive(Parser)]
struct Args {
    /// Hand-overs by SIGTERM.
    #[arg(long, default_value_t = 100)]
    terminate: usize,
    /// Hand-overs by SIGKILL; each takes up to 20 s.
    #[arg(long, default_value_t = 100)]
    kill: usize,
    /// Pairs of replicas at once.
    #[arg(long, default_value_t = 5)]
    pairs: usize,
}

#[tokio::main]
async fn main() -> Result<()> {
    let filter = tracing_subscriber::EnvFilter::new("warn,kube_client=off");
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter).init();
    let args = Args::parse();
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
    let pairs = args.pairs.max(1);
    let share = |all: usize, number: usize| all / pairs + usize::from(number < all % pairs);
    let played = (0..pairs).map(async |number| {
        let mut pair = Pair::start(bed, number).await?;
        let told = pair.hand_over(Signal::TERM, share(args.terminate, number)).await?;
        let killed = pair.hand_over(Signal::KILL, share(args.kill, number)).await?;
        anyhow::Ok((told, killed))
    });
    let played = futures::future::try_join_all(played).await?;
    let (told, killed): (Vec<_>, Vec<_>) = played.into_iter().unzip();
    let (told, killed) = (told.concat(), killed.concat());
    println!("{QUANTILES}");
    quantiles("the leader is told to end (SIGTERM)", told);
    quantiles("the leader is killed (SIGKILL)", killed);
    Ok(())
}

/// A replica that leads, and one that stands by.
struct Pair {
    leader: Controller,
    standby: Controller,
}

impl Pair {
    async fn start(bed: &Bed, number: usize) -> Result<Self> {
        let namespace = format!("pair-{number}");
        may_elect(bed, &namespace).await?;
        let leader = replica(bed, &namespace, "a").await?;
        leads_after(&leader, 0).await?;
        let standby = replica(bed, &namespace, "b").await?;
        is_ready(&standby).await?;
        Ok(Self { leader, standby })
    }

    /// Lets the lead change hands so often.
    async fn hand_over(&mut self, signal: Signal, times: usize) -> Result<Vec<SignedDuration>> {
        let mut spans = Vec::new();
        for _ in 0..times {
            let seen = self.standby.log()?.len();
            let process = self.leader.part().running().await?;
            let begun = Timestamp::now();
            process.signal(signal)?;
            spans.push(leads_after(&self.standby, seen).await?.duration_since(begun));
            process.exited().await?;
            self.leader.restart().await?;
            is_ready(&self.leader).await?;
            std::mem::swap(&mut self.leader, &mut self.standby);
            // So that signals do not all come at the same moment between two renewals.
            tokio::time::sleep(Duration::from_millis(
                u64::from(begun.subsec_nanosecond().unsigned_abs()) / 500_000,
            ))
            .await;
        }
        Ok(spans)
    }
}

/// When its log says that passes begin, after the first `seen` bytes of it.
async fn leads_after(replica: &Controller, seen: usize) -> Result<Timestamp> {
    eventually("its passes begin", PATIENCE, async || {
        let log = replica.log()?;
        let line = log.get(seen..).unwrap_or_default().lines().find(|line| line.contains("passes begin"));
        let line: Value = serde_json::from_str(line.context("they do not")?)?;
        Ok(line["timestamp"].as_str().context("no timestamp")?.parse()?)
    })
    .await
}

async fn is_ready(replica: &Controller) -> Result<()> {
    eventually("it is Ready", PATIENCE, async || {
        let (status, body) = replica.get("/readyz").await?;
        ensure!(status == 200, "{status}: {body}");
        Ok(())
    })
    .await
}

async fn replica(bed: &Bed, namespace: &str, name: &str) -> Result<Controller> {
    let http = format!("127.0.0.1:{}", ports::free()?);
    let args = ["run", "--http-addr", &http, "--leader-elect", "--lease-namespace", namespace];
    let env = [("POD_NAME", name), ("RUST_LOG", "info")];
    Controller::start(bed, &format!("{namespace}-{name}"), CONTROLLER, &args, &env).await
}

/// The controller's rights to a Lease in a namespace, as `deploy/controller-rbac.yaml` has them for its own.
async fn may_elect(bed: &Bed, namespace: &str) -> Result<()> {
    let admin = bed.admin().await?;
    let group = "rbac.authorization.k8s.io";
    let leases = |verbs: &[&str]| json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": verbs});
    for object in [
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
        json!({
            "apiVersion": format!("{group}/v1"), "kind": "Role",
            "metadata": {"name": "lockkeeper-leader", "namespace": namespace},
            "rules": [leases(&["create", "get", "update", "watch"])],
        }),
        json!({
            "apiVersion": format!("{group}/v1"), "kind": "RoleBinding",
            "metadata": {"name": "lockkeeper-leader", "namespace": namespace},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "lockkeeper-leader"},
            "subjects": [{"kind": "ServiceAccount", "name": CONTROLLER.1, "namespace": CONTROLLER.0}],
        }),
    ] {
        apply_object(&admin, object).await?;
    }
    Ok(())
}
