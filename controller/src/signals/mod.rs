//! Adapters that measure signals: one file for each kind of server, over one kind of connection.
//!
//! Guarantees: what is said in [`door`] of every request; each file says what of an answer counts.

mod cloud_watch;
mod datadog;
mod door;
mod prometheus;
mod webhook;

pub use cloud_watch::CloudWatch;
pub use datadog::Datadog;
pub use door::{Door, Tls};
pub use prometheus::Prometheus;
pub use webhook::Webhook;

use crate::ports::{
    cloud::Account,
    signals::{Measure, Measured, SignalAccess, SignalError, SignalSource},
};
use futures::future::BoxFuture;
use lockkeeper_core::signals::Server;
use std::sync::Arc;

/// All kinds of servers.
pub struct Servers {
    prometheus: Prometheus,
    webhook: Webhook,
    datadog: Datadog,
    cloud_watch: CloudWatch,
    /// Who runs Jobs; none where nobody may.
    jobs: Option<Arc<dyn SignalSource>>,
}

impl Servers {
    /// Nothing is dialled yet.
    #[must_use]
    pub fn new(door: Door) -> Self {
        let door = Arc::new(door);
        Self {
            prometheus: Prometheus::new(Arc::clone(&door)),
            webhook: Webhook::new(Arc::clone(&door)),
            datadog: Datadog::new(Arc::clone(&door)),
            cloud_watch: CloudWatch::new(door),
            jobs: None,
        }
    }

    /// Jobs are run by this one.
    #[must_use]
    pub fn with_jobs(self, jobs: Arc<dyn SignalSource>) -> Self {
        Self { jobs: Some(jobs), ..self }
    }

    fn of(&self, server: &Server) -> &dyn SignalSource {
        match server {
            Server::Prometheus(_) => &self.prometheus,
            Server::Webhook(_) => &self.webhook,
            Server::Datadog(_) => &self.datadog,
            Server::CloudWatch(_) => &self.cloud_watch,
            Server::Job(_) => self.jobs.as_deref().unwrap_or(&NoJobs),
        }
    }
}

impl SignalSource for Servers {
    fn measure<'a>(
        &'a self,
        access: &'a SignalAccess,
        measure: Measure<'a>,
    ) -> BoxFuture<'a, Result<Option<Measured>, SignalError>> {
        self.of(measure.server).measure(access, measure)
    }

    fn audience(&self, server: &Server, account: &Account) -> Result<String, SignalError> {
        self.of(server).audience(server, account)
    }
}

/// Where no Job may be run.
struct NoJobs;

impl SignalSource for NoJobs {
    fn measure<'a>(
        &'a self,
        _: &'a SignalAccess,
        measure: Measure<'a>,
    ) -> BoxFuture<'a, Result<Option<Measured>, SignalError>> {
        let error = SignalError::other(format!("{} cannot be run from here", measure.server));
        Box::pin(async { Err(error) })
    }
}

/// The server is of another kind: only a mistake of ours comes here.
fn misled(server: &Server) -> SignalError {
    SignalError::other(format!("{server} is asked in another way; please report this"))
}

#[cfg(test)]
mod tests;
