//! Writes the status: before the effects that rest on it, and no more often than it says something.
//!
//! Guarantees: what effects rest on is stored before they happen, or they do not happen (I6); counters are written at
//! most every ten seconds after a crash and else every five minutes; nothing new is no write (I7).

use super::{
    change::{Change, material},
    memory::Memory,
};
use crate::{
    ports::{EffectError, Fence, Policies, StoredPolicy},
    telemetry::Metrics,
};
use lockkeeper_core::status::Status;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Between writes of counters after a crash.
const AFTER_CRASH: Duration = Duration::from_secs(10);
/// Between writes of counters.
const COUNTERS: Duration = Duration::from_mins(5);

/// The status could not be stored: nothing may rest on it.
#[derive(Debug, thiserror::Error)]
#[error("the status could not be written, so nothing was done: {source}")]
pub struct ReportError {
    /// Why.
    #[from]
    source: EffectError,
}

impl ReportError {
    /// For metrics.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self.source {
            EffectError::Outdated(_) => "StatusConflict",
            EffectError::Fenced => "Fenced",
            _ => "StatusWrite",
        }
    }
}

/// What became of a new status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reported {
    /// How it differs from the stored one (before a write).
    pub change: Change,
    /// It was written.
    pub wrote: bool,
    /// When counters that were kept back are due.
    pub due: Option<Instant>,
}

/// How statuses are written.
pub struct Pen<'a> {
    /// Where.
    pub policies: &'a dyn Policies,
    /// The right to write.
    pub fence: &'a Fence,
    /// Counts.
    pub metrics: &'a Metrics,
}

impl Pen<'_> {
    /// Keeps `status`: stores it if that is due, and remembers it.
    pub async fn report(
        &self,
        stored: &StoredPolicy,
        memory: &mut Memory,
        status: Status,
    ) -> Result<Reported, ReportError> {
        let now = Instant::now();
        let change = material(&memory.stored, &status);
        let due = match change {
            Change::Nothing => None,
            Change::Counters { soon } => {
                let pause = if soon { AFTER_CRASH } else { COUNTERS };
                // Without a write of ours since the start, the stored counters are of unknown age: write them now.
                Some(memory.written.map_or(now, |at| at + pause))
            }
            Change::Material => Some(now),
        };
        if due.is_none_or(|at| at > now) {
            let same = *memory.stored == status;
            memory.latest = if same { Arc::clone(&memory.stored) } else { Arc::new(status) };
            return Ok(Reported { change, wrote: false, due });
        }
        self.write(stored, memory, Arc::new(status)).await?;
        Ok(Reported { change, wrote: true, due: None })
    }

    /// Stores what is in memory only, at the end of this process.
    pub async fn flush(&self, stored: &StoredPolicy, memory: &mut Memory) -> Result<bool, ReportError> {
        if material(&memory.stored, &memory.latest) == Change::Nothing {
            return Ok(false);
        }
        let latest = Arc::clone(&memory.latest);
        self.write(stored, memory, latest).await?;
        Ok(true)
    }

    async fn write(
        &self,
        stored: &StoredPolicy,
        memory: &mut Memory,
        status: Arc<Status>,
    ) -> Result<(), ReportError> {
        if !self.fence.holds() {
            return Err(EffectError::Fenced.into());
        }
        let written = self.policies.write_status(self.fence, stored, &memory.resource_version, &status).await;
        self.metrics.status_write(written.as_ref().map(|_| ()));
        match written {
            Ok(version) => {
                self.metrics.stored(&stored.key, &memory.stored, &status);
                memory.wrote(status, version, Instant::now());
                Ok(())
            }
            Err(error) => {
                if matches!(error, EffectError::Outdated(_)) {
                    memory.conflicted();
                }
                Err(error.into())
            }
        }
    }
}
