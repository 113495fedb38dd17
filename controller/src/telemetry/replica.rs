//! What a replica says of itself: how fresh its watches are, what waits for a pass, whether it leads, what it sees pinning
//! new pods.

use super::{Metrics, Seconds};
use crate::ports::{Backlog, WatchState};
use jiff::Timestamp;
use lockkeeper_core::observed::{BirthForm, BirthPinning};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};
use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfWatch {
    kind: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfForm {
    form: &'static str,
}

/// Gauges of a replica.
#[derive(Default)]
pub struct Replica {
    watch_synced: Family<OfWatch, Gauge>,
    watch_stale: Family<OfWatch, Seconds>,
    birth_pinning: Family<OfForm, Gauge>,
    queue_due: Gauge,
    queue_running: Gauge,
    queue_wait: Seconds,
    leader: Gauge,
    lease_transitions: Gauge,
    lease_renew_age: Seconds,
    /// When somebody renewed the Lease, as far as this process has seen.
    lease_renewed: Mutex<Option<Instant>>,
}

impl Replica {
    pub(super) fn add_to(&self, r: &mut Registry) {
        r.register("watch_synced", "1 once a watch's first list is complete", self.watch_synced.clone());
        r.register("watch_stale_seconds", "How long a watch has not been fresh", self.watch_stale.clone());
        let births = self.birth_pinning.clone();
        r.register("birth_pinning", "1 for what pins new pods (v1, v1beta1, webhook, none)", births);
        r.register("queue_due", "Policies whose pass is due and has not begun", self.queue_due.clone());
        r.register("queue_running", "Passes under way", self.queue_running.clone());
        let wait = self.queue_wait.clone();
        r.register("queue_wait_seconds", "How long the policy that waits longest has been due", wait);
        r.register("leader", "1 while this replica is the one that writes", self.leader.clone());
        let transitions = self.lease_transitions.clone();
        r.register("lease_transitions", "How often the Lease went to another replica", transitions);
        let age = self.lease_renew_age.clone();
        r.register("lease_renew_age_seconds", "How long ago some replica was seen to renew the Lease", age);
    }

    /// What is only known when somebody looks.
    pub(super) fn show(&self, watches: &[WatchState], now: Timestamp) {
        for watch in watches {
            let of = OfWatch { kind: watch.kind.clone() };
            self.watch_synced.get_or_create(&of).set(i64::from(watch.synced));
            let stale = watch.stale_since.map_or(0.0, |since| now.duration_since(since).as_secs_f64());
            self.watch_stale.get_or_create(&of).set(stale);
        }
        let renewed = *self.lease_renewed.lock().unwrap_or_else(PoisonError::into_inner);
        self.lease_renew_age.set(renewed.map_or(0.0, |at| at.elapsed().as_secs_f64()));
    }
}

impl Metrics {
    /// By what new pods are pinned; while that is not known, by nothing of these.
    pub fn birth_pinning(&self, by: Option<BirthPinning>) {
        let active = by.map(|by| match by {
            BirthPinning::By(form) => form.name(),
            BirthPinning::Missing => "none",
        });
        for form in BirthForm::ALL.map(BirthForm::name).into_iter().chain(["none"]) {
            let gauge = self.replica.birth_pinning.get_or_create(&OfForm { form });
            gauge.set(i64::from(active == Some(form)));
        }
    }

    /// What waits for a pass now.
    pub fn queue(&self, backlog: Backlog) {
        let replica = &self.replica;
        replica.queue_due.set(i64::try_from(backlog.due).unwrap_or(i64::MAX));
        replica.queue_running.set(i64::try_from(backlog.running).unwrap_or(i64::MAX));
        replica.queue_wait.set(backlog.longest.as_secs_f64());
    }

    /// Whether this replica is the one that writes.
    pub fn leads(&self, leads: bool) {
        self.replica.leader.set(i64::from(leads));
    }

    /// The Lease as it was seen, renewed so long ago.
    pub fn lease(&self, transitions: u32, age: Duration) {
        self.replica.lease_transitions.set(i64::from(transitions));
        let renewed = Instant::now().checked_sub(age);
        *self.replica.lease_renewed.lock().unwrap_or_else(PoisonError::into_inner) = renewed;
    }
}
