//! The flag of messages to people outside, and what is made of it.

use super::{
    Failure,
    wire::{Connection, Installation},
};
use crate::{
    kubernetes::Kubernetes,
    notify::Config,
    ports::{Fence, Wakes},
    reconcile::notices::{Notices, Parts},
    telemetry::Metrics,
};
use std::{path::PathBuf, sync::Arc};

/// Who is told of policies that name nobody themselves.
#[derive(Clone, Debug, clap::Args)]
pub struct NotifyArgs {
    /// The file that names who is told of policies without `spec.notify`; docs/guides/notify.md. Without it nobody is.
    #[arg(long, value_name = "FILE")]
    notify: Option<PathBuf>,
}

impl NotifyArgs {
    /// The service that tells.
    pub fn open(
        &self,
        connection: &Connection,
        installation: &Installation,
        (cluster, wakes): (Arc<Kubernetes>, Arc<dyn Wakes>),
        fence: Fence,
        metrics: Arc<Metrics>,
    ) -> Result<Notices, Failure> {
        let config = match &self.notify {
            None => Config::default(),
            Some(file) => {
                let wrong = |why: String| Failure::Usage(format!("--notify {}: {why}", file.display()));
                let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
                Config::parse(&text).map_err(wrong)?
            }
        };
        let notifier = Arc::new(connection.notifiers(installation, config)?);
        Ok(Notices::new(Parts { notifier, cluster, wakes, fence, metrics }))
    }
}
