//! The election: which of several replicas writes.
//!
//! Guarantees: [`Candidate`]'s rules, carried out: a request is given up in time for another try; a process that led
//! and does no more is told so once, by [`Election::run`] ending; the fence ([`Office`]) closes by itself when the
//! deadline comes, whether or not anything here runs. Wakes of followers come from a watch, but rest on looking again
//! and again. May not: write anything but the Lease, know an adapter.

mod candidate;
mod office;
mod timing;

#[cfg(test)]
mod tests;

pub use candidate::{Act, Candidate};
pub use office::{Boottime, Office};
pub use timing::Timing;

use crate::{
    ports::{
        Clock,
        lease::{LeaseAnswer, LeaseRequest, Leases, Steady},
    },
    telemetry::Metrics,
};
use std::{sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How the election ended for this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It led and does not any more: the process must end.
    Lost(String),
    /// It was told to leave.
    Left,
}

/// What an election needs.
pub struct Election {
    /// Where the Lease is.
    pub leases: Arc<dyn Leases>,
    /// For what people read in the Lease.
    pub clock: Arc<dyn Clock>,
    /// For everything that is decided.
    pub steady: Arc<dyn Steady>,
    /// How fast.
    pub timing: Timing,
    /// This process's name, which no other has.
    pub identity: String,
    /// What others of this process are told.
    pub office: Arc<Office>,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

impl Election {
    /// Takes part until it is lost, or told to leave; then the Lease is given back. Before `leave` all effects must
    /// have ended.
    pub async fn run(self, leave: CancellationToken) -> End {
        let mut candidate = Candidate::new(self.identity.clone(), self.timing);
        loop {
            if leave.is_cancelled() {
                candidate.leave();
            }
            let now = self.steady.elapsed();
            self.office.turned(&candidate, now);
            match candidate.next(now, self.clock.now()) {
                Act::Wait(until) => self.wait(&mut candidate, until.saturating_sub(now), &leave).await,
                Act::Ask(request) => self.ask(&mut candidate, &request).await,
                Act::Lost(why) => {
                    self.metrics.leads(false);
                    return End::Lost(why);
                }
                Act::Left => {
                    self.metrics.leads(false);
                    return End::Left;
                }
            }
        }
    }

    async fn wait(&self, candidate: &mut Candidate, pause: Duration, leave: &CancellationToken) {
        let version = candidate.follows().map(str::to_owned);
        let stirred = tokio::select! {
            () = sleep(pause) => false,
            () = leave.cancelled(), if !leave.is_cancelled() => false,
            () = self.leases.changed(version.as_deref()) => true,
        };
        if stirred {
            candidate.stir(self.steady.elapsed());
        }
    }

    async fn ask(&self, candidate: &mut Candidate, request: &LeaseRequest) {
        let sent = self.steady.elapsed();
        let limit = self.timing.limit();
        let answer = timeout(limit, self.leases.ask(request))
            .await
            .unwrap_or_else(|_| LeaseAnswer::Unknown(format!("no answer within {} s", limit.as_secs_f64())));
        if let LeaseAnswer::Unknown(why) = &answer {
            tracing::warn!(why, "the Lease could not be read or renewed; trying again");
        }
        let (led, now) = (candidate.until().is_some(), self.steady.elapsed());
        candidate.hear(request, sent, answer, now);
        let leads = candidate.until().is_some();
        if leads && !led {
            tracing::info!(identity = self.identity, "this replica leads");
        }
        self.metrics.leads(leads);
        if let Some((lease, since)) = candidate.seen() {
            let age = now.saturating_sub(since);
            self.metrics.lease(lease.map_or(0, |lease| lease.transitions), age);
        }
    }
}
