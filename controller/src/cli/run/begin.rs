//! What this replica does when it begins to lead, before its first pass.
//!
//! Guarantees: passes begin with what the API server holds now, and when what a pin is obeyed by was looked at; nothing is
//! waited for for ever.

use crate::{
    kubernetes::{Kubernetes, lease::LeaseStore},
    ports::{Fence, Watches},
};
use jiff::SignedDuration;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How long passes wait for the first lists: without them every policy would be told that its watches are stale.
const FIRST_LISTS: Duration = Duration::from_secs(30);

/// Ends when passes may begin. `lease` is what this replica was elected by, if it was.
pub async fn begin(
    kubernetes: &Kubernetes,
    fence: &Fence,
    lease: Option<&LeaseStore>,
    birth_interval: SignedDuration,
    stop: &CancellationToken,
) {
    if lease.is_some() {
        // What the last leader did may not have been shown yet.
        kubernetes.look_again();
    }
    let told = async {
        let Some(lease) = lease.and_then(LeaseStore::reference) else { return };
        if let Err(error) = kubernetes.leadership_told(fence, lease).await {
            tracing::warn!(%error, "that this replica leads was not told on the Lease");
        }
    };
    tokio::join!(told, wait_for_first_lists(kubernetes, stop));
    // What a pin is obeyed by is there before the first pin.
    let births = kubernetes.pin_births(fence, birth_interval);
    let in_time = timeout(FIRST_LISTS, births).await.is_ok();
    tracing::info!(births_looked_at = in_time, "passes begin");
}

/// Waits until every watch has shown its first list and is fresh, but not for ever: one that never does holds up only what needs it.
async fn wait_for_first_lists(watches: &dyn Watches, stop: &CancellationToken) {
    let synced = async {
        while watches.watches().iter().any(|watch| !watch.synced || watch.stale_since.is_some()) {
            sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        waited = timeout(FIRST_LISTS, synced) => if waited.is_err() {
            let all = watches.watches().into_iter();
            let stale = all.filter(|watch| !watch.synced || watch.stale_since.is_some());
            let stale: Vec<String> = stale.map(|watch| watch.kind).collect();
            tracing::warn!(stale = stale.join(", "), "some watches are not fresh yet; going on without them");
        }
    }
}
