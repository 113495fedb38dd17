//! Whether this process makes progress (L5) and whether it sees the cluster yet.
//!
//! Guarantees: no progress for a minute while something is due, a task that ended by itself, no watch that is
//! fresh for a quarter of an hour, or an election that is stuck fails liveness. One watch that fails does not: the others go on (K10), and a
//! restart would not help. May not: do I/O.

use super::queue::Queue;
use crate::ports::{Clock, Vital, Watches};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Without progress for this long, something is stuck.
const STUCK: Duration = Duration::from_mins(1);
/// With no fresh watch for this long, the connections themselves are suspect.
const BLIND: Duration = Duration::from_mins(15);

/// The signs of life.
pub struct Signs {
    queue: Queue,
    watches: Arc<dyn Watches>,
    clock: Arc<dyn Clock>,
    election: Arc<dyn Vital>,
    ended: Mutex<Option<String>>,
}

impl Signs {
    /// All is well so far.
    #[must_use]
    pub fn new(
        queue: Queue,
        watches: Arc<dyn Watches>,
        clock: Arc<dyn Clock>,
        election: Arc<dyn Vital>,
    ) -> Self {
        Self { queue, watches, clock, election, ended: Mutex::default() }
    }

    /// A task that must run for ever has ended (P4).
    pub fn ended(&self, task: &str) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(task.to_owned());
    }

    fn blind(&self) -> Option<String> {
        let watches = self.watches.watches();
        let now = self.clock.now();
        let newest = watches.iter().map(|watch| watch.stale_since).min_by_key(|stale| {
            // Not stale sorts first, then the watch that became stale last.
            stale.map_or((0, std::cmp::Reverse(now)), |since| (1, std::cmp::Reverse(since)))
        })??;
        let for_long = Duration::try_from(now.duration_since(newest)).unwrap_or_default();
        (for_long > BLIND).then(|| format!("no watch has been fresh for {} s", for_long.as_secs()))
    }
}

impl Vital for Signs {
    fn alive(&self) -> Result<(), String> {
        if let Some(task) = &*self.ended.lock().unwrap_or_else(PoisonError::into_inner) {
            return Err(format!("{task} has ended by itself"));
        }
        match self.queue.stuck(STUCK).or_else(|| self.blind()) {
            Some(why) => Err(why),
            None => self.election.alive(),
        }
    }

    fn ready(&self) -> Result<(), String> {
        let waits: Vec<String> = self
            .watches
            .watches()
            .into_iter()
            .filter(|watch| !watch.synced)
            .map(|watch| watch.kind)
            .collect();
        if waits.is_empty() {
            self.election.ready()
        } else {
            Err(format!("waits for the first list of {}", waits.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ports::WatchState, reconcile::queue::Outcome, reconcile::queue::Pace};
    use jiff::Timestamp;
    use tokio_util::sync::CancellationToken;

    struct Seen(Vec<(&'static str, bool, Option<i64>)>);

    impl Watches for Seen {
        fn watches(&self) -> Vec<WatchState> {
            let state = |(kind, synced, stale): &(&str, bool, Option<i64>)| WatchState {
                kind: (*kind).into(),
                synced: *synced,
                stale_since: stale.map(|s| Timestamp::from_second(s).unwrap()),
            };
            self.0.iter().map(state).collect()
        }
        fn orphaned_pins(&self) -> usize {
            0
        }
        fn birth_pinning(&self) -> Option<lockkeeper_core::observed::BirthPinning> {
            None
        }
    }

    impl Clock for Seen {
        fn now(&self) -> Timestamp {
            Timestamp::from_second(10_000).unwrap()
        }
    }

    fn signs(watches: &[(&'static str, bool, Option<i64>)]) -> Signs {
        let queue = Queue::new(Pace::default());
        let running = queue.clone();
        tokio::spawn(async move {
            running.run(|_| async { Outcome::Gone }, CancellationToken::new()).await;
        });
        let seen = Arc::new(Seen(watches.to_vec()));
        Signs::new(queue, seen.clone(), seen, Arc::new(Elects(true)))
    }

    /// An election that goes well, or does not.
    struct Elects(bool);

    impl Vital for Elects {
        fn alive(&self) -> Result<(), String> {
            if self.0 { Ok(()) } else { Err("no replica leads".into()) }
        }

        fn ready(&self) -> Result<(), String> {
            self.alive()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn l5_a_standby_is_well_though_it_makes_no_passes_and_not_without_a_leader() {
        for leader in [true, false] {
            // Nobody runs this queue.
            let queue = Queue::new(Pace::default());
            crate::ports::Wakes::wake(
                &queue,
                &crate::ports::PolicyKey { namespace: "platform".into(), name: "otel".into() },
            );
            let seen = Arc::new(Seen(vec![("Pods", true, None)]));
            let signs = Signs::new(queue, seen.clone(), seen, Arc::new(Elects(leader)));
            tokio::time::sleep(Duration::from_hours(1)).await;
            assert_eq!((signs.alive().is_ok(), signs.ready().is_ok()), (leader, leader));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn l5_k10_one_stale_watch_is_no_reason_to_restart_all_of_them_are() {
        let table = [
            (vec![], true),
            (vec![("Pods", true, None), ("Budgets", false, Some(0))], true),
            (vec![("Pods", true, Some(0)), ("Budgets", true, Some(9_900))], true),
            (vec![("Pods", true, Some(0)), ("Budgets", true, Some(9_000))], false),
        ];
        for (watches, alive) in table {
            let signs = signs(&watches);
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(signs.alive().is_ok(), alive, "{watches:?}: {:?}", signs.alive());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn p4_a_task_that_ended_fails_liveness_by_name() {
        let signs = signs(&[]);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(signs.alive().is_ok());
        signs.ended("the registry lookups");
        assert_eq!(signs.alive(), Err("the registry lookups has ended by itself".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_ready_once_every_first_list_is_complete() {
        let waiting = signs(&[("Pods", true, None), ("ImagePins", false, None)]);
        assert_eq!(waiting.ready(), Err("waits for the first list of ImagePins".into()));
        assert_eq!(signs(&[("Pods", true, None)]).ready(), Ok(()));
    }
}
