//! The flags of hooks, and what is made of them.

use super::{
    Failure,
    wire::{Connection, Installation, SystemClock},
};
use crate::{
    election::Office,
    hooks::{Desk, Parts, config::Config, relay::Relay},
    ports::{Fence, hints::Hints},
    telemetry::Metrics,
};
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};
use tokio::net::TcpListener;

/// Where those who release images tell us so.
#[derive(Clone, Debug, clap::Args)]
pub struct HookArgs {
    /// The file that names the receivers of hooks; docs/guides/hooks.md. Without it none are taken.
    #[arg(long, value_name = "FILE")]
    hooks: Option<PathBuf>,
    /// Where hooks are taken.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8082")]
    hooks_addr: SocketAddr,
    /// This replica's address for the other ones: a hook that reaches one that stands by is passed on to the leader.
    #[arg(long, value_name = "IP", env = "POD_IP")]
    pod_ip: Option<IpAddr>,
}

impl HookArgs {
    /// Where the leader takes hooks that other replicas pass on, if it takes any.
    pub fn for_others(&self) -> Option<SocketAddr> {
        self.hooks.as_ref()?;
        let listens = Some(self.hooks_addr.ip()).filter(|ip| !ip.is_unspecified());
        Some(SocketAddr::new(self.pod_ip.or(listens)?, self.hooks_addr.port()))
    }

    /// Begins to listen, if there is a file.
    pub async fn open(
        &self,
        connection: &Connection,
        installation: &Installation,
        hints: Arc<dyn Hints>,
        (fence, office): (Fence, Arc<Office>),
        metrics: Arc<Metrics>,
    ) -> Result<Option<(Desk, TcpListener)>, Failure> {
        let Some(file) = &self.hooks else { return Ok(None) };
        let wrong = |why: String| Failure::Usage(format!("--hooks {}: {why}", file.display()));
        let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
        let config = Config::parse(&text).map_err(wrong)?;
        let relay = Relay::new(fence, office).map_err(|error| Failure::Failed(error.to_string()))?;
        let google = connection.google(installation)?;
        let desk = Desk::new(config, Parts { hints, google, relay, clock: Arc::new(SystemClock), metrics });
        let listener = TcpListener::bind(self.hooks_addr).await.map_err(|error| {
            Failure::Failed(format!("--hooks-addr {}: cannot listen there: {error}", self.hooks_addr))
        })?;
        Ok(Some((desk, listener)))
    }
}
