//! What works beside the passes: a pass gives it something to ask or to do, and a later one sees what came of it.

use super::{
    deliveries::Deliveries, last_words::LastWords, lookups::Lookups, measurements::Measurements,
    notices::Notices,
};
use crate::ports::PolicyKey;
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// All of it. Clones share one state.
#[derive(Clone)]
pub struct Background {
    /// What registries say.
    pub lookups: Lookups,
    /// What is measured.
    pub measurements: Measurements,
    /// What people outside are told.
    pub notices: Notices,
    /// What repositories say, and are given.
    pub deliveries: Deliveries,
    /// What containers said when they died.
    pub last_words: LastWords,
}

impl Background {
    /// A policy is gone.
    pub fn forget(&self, key: &PolicyKey) {
        self.lookups.forget(key);
        self.measurements.forget(key);
        self.notices.forget(key);
        self.deliveries.forget(key);
        self.last_words.forget(key);
    }
}

/// Does what is due until `stop`, so many things at once. `next` gives the next thing, or when there will be one; it is
/// asked again when something ended, when `changed` says so, and then. What is under way at the end is dropped.
pub(super) async fn work<Work, Doing>(
    stop: &CancellationToken,
    parallel: usize,
    changed: &Notify,
    mut next: impl FnMut() -> Result<Work, Option<Instant>>,
    mut begin: impl FnMut(Work) -> Doing,
) where
    Doing: Future<Output = ()> + Send + 'static,
{
    let mut running: JoinSet<()> = JoinSet::new();
    while !stop.is_cancelled() {
        let mut due = None;
        while running.len() < parallel {
            match next() {
                Ok(work) => {
                    running.spawn(begin(work));
                }
                Err(at) => {
                    due = at;
                    break;
                }
            }
        }
        let slept = async {
            match due {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            Some(_) = running.join_next() => {}
            () = changed.notified() => {}
            () = slept => {}
        }
    }
    running.shutdown().await;
}
