//! A kubelet without a container runtime: nodes that exist only in the API, pods that only their status tells of.
//!
//! Guarantees: what it writes is what a kubelet writes (states, restart counts, back-offs, conditions, phases, one
//! container restarted when its image changes), and the image of every container is looked up in the real registry.
//! What a container does is decided by its image's contents, by [`Rule`]s; without one it starts and stays ready.
//! Assumes: pods are bound to its nodes by a scheduler or by their makers; registries speak plain HTTP, or have a mirror
//! that does.
//! May not: know of Lockkeeper.

mod backoff;
mod container;
mod driver;
mod images;
mod machine;
mod nodes;
mod script;
mod status;
#[cfg(test)]
mod tests;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use kube::{Client, Config};
use tokio::sync::oneshot;

pub use nodes::NodeSettings;
pub use script::{Rule, Rules, Script};

/// What a simulated kubelet is started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The nodes it plays.
    pub nodes: Vec<NodeSettings>,
    /// By what the back-offs of a kubelet (10 s to 300 s) are multiplied: 0.1 makes them 1 s to 30 s.
    pub back_off_scale: f64,
    /// Of the random crashes.
    pub seed: u64,
    /// Which host is asked, over plain HTTP, instead of one that images name: containerd's registry mirrors.
    pub mirrors: BTreeMap<String, String>,
}

impl Settings {
    /// `count` nodes named `<prefix>-0` and so on.
    #[must_use]
    pub fn nodes(prefix: &str, count: usize) -> Self {
        let nodes = (0..count).map(|number| NodeSettings::named(&format!("{prefix}-{number}"))).collect();
        Self { nodes, back_off_scale: 0.1, seed: 1, mirrors: BTreeMap::new() }
    }
}

/// A running kubelet with a thread of its own. Dropping it stops it; its nodes and pods stay in the API as they are.
pub struct Kubelet {
    rules: Arc<Rules>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<Result<()>>>,
}

impl Kubelet {
    /// Starts it and returns when its nodes are registered.
    pub async fn start(config: Config, settings: Settings) -> Result<Self> {
        crate::install_crypto_provider();
        let rules = Arc::new(Rules::default());
        let (stop, stopped) = oneshot::channel();
        let (ready, registered) = oneshot::channel();
        let for_thread = Arc::clone(&rules);
        let thread = std::thread::Builder::new().name("kubelet".to_owned()).spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            let work = async move {
                let client = Client::try_from(config)?;
                nodes::register(&client, &settings.nodes).await?;
                let _beats = nodes::keep_alive(client.clone(), &settings.nodes);
                // Whoever waits for this may have given up.
                let _unheard = ready.send(());
                driver::run(client, settings, for_thread).await
            };
            runtime.block_on(async {
                tokio::select! {
                    ended = work => ended,
                    _ = stopped => Ok(()),
                }
            })
        })?;
        if registered.await.is_err() {
            // Its thread has ended, or ends now.
            let outcome = thread.join().map_err(|_| anyhow::anyhow!("the simulated kubelet panicked"))?;
            outcome.context("the simulated kubelet did not start")?;
            anyhow::bail!("the simulated kubelet ended before its nodes were registered");
        }
        Ok(Self { rules, stop: Some(stop), thread: Some(thread) })
    }

    /// An error if it has ended by itself.
    pub fn check(&self) -> Result<()> {
        anyhow::ensure!(
            !self.thread.as_ref().is_none_or(std::thread::JoinHandle::is_finished),
            "the simulated kubelet has ended"
        );
        Ok(())
    }

    /// What the images do. May be changed at any time; running containers follow.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // It may have ended already.
            let _ended = stop.send(());
        }
        if let Some(thread) = self.thread.take()
            && let Ok(Err(error)) = thread.join()
        {
            eprintln!("the simulated kubelet had ended before: {error:#}");
        }
    }
}
