//! The simulated kubelet as a process.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use clap::Parser;
use e2e::kubelet::{Kubelet, Settings};
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};

/// Plays nodes and their kubelet: real API objects, images looked up in the real registry, no containers.
#[derive(Parser)]
struct Arguments {
    /// The cluster.
    #[arg(long, env = "KUBECONFIG")]
    kubeconfig: PathBuf,
    /// How many nodes.
    #[arg(long, default_value_t = 4)]
    nodes: usize,
    /// What their names begin with.
    #[arg(long, default_value = "sim")]
    prefix: String,
    /// A JSON list of rules: what the contents of images do. Read again whenever the file changes.
    #[arg(long)]
    rules: Option<PathBuf>,
    /// By what a kubelet's back-offs (10 s to 300 s) are multiplied.
    #[arg(long, default_value_t = 0.1)]
    back_off_scale: f64,
    /// Of the random crashes.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    e2e::install_crypto_provider();
    let arguments = Arguments::parse();
    let kubeconfig = Kubeconfig::read_from(&arguments.kubeconfig)
        .with_context(|| format!("cannot read the kubeconfig {}", arguments.kubeconfig.display()))?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    let settings = Settings {
        back_off_scale: arguments.back_off_scale,
        seed: arguments.seed,
        mirrors: std::collections::BTreeMap::new(),
        ..Settings::nodes(&arguments.prefix, arguments.nodes)
    };
    let kubelet = Kubelet::start(config, settings).await?;
    tracing::info!(nodes = arguments.nodes, "the nodes are registered");
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        ended = follow(&kubelet, arguments.rules.as_deref()) => ended,
        _ = terminate.recv() => Ok(()),
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

/// Reads the rules whenever their file changes. One that cannot be read leaves the rules as they are.
async fn follow(kubelet: &Kubelet, file: Option<&Path>) -> Result<()> {
    let mut seen: Option<SystemTime> = None;
    loop {
        kubelet.check()?;
        if let Some(file) = file {
            let changed = std::fs::metadata(file).and_then(|metadata| metadata.modified()).ok();
            if changed.is_some() && changed != seen {
                seen = changed;
                if let Err(error) = kubelet.rules().load(file) {
                    tracing::error!(error = format!("{error:#}"), "the rules stay as they are");
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
