//! The scheduler: which policy gets its next pass, and when.
//!
//! Guarantees: at most one pass per policy at a time; a wake during a pass makes another one after it; wakes within
//! [`Pace::gather`] make one pass; a few passes may follow each other closely, and in the long run they are
//! [`Pace::apart`]; a policy whose passes fail waits longer and longer and delays no other;
//! memory is one entry per policy, however often it is woken. Once told to stop it begins no pass and ends when
//! those under way have ended.
//! Assumes: passes do not block a thread. May not: decide anything, do I/O, know what a pass is.

use crate::ports::{Backlog, PolicyKey, Waiting, Wakes};
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::Notify,
    task::{Id, JoinError, JoinSet},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// How fast the scheduler goes.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// A wake waits this long for others of the same policy.
    pub gather: Duration,
    /// However often it is woken, a policy gets one pass in this time, in the long run.
    pub apart: Duration,
    /// So many passes of a policy that had none for a while need not be [`Pace::apart`]: one thing often leads to the
    /// next (a listing to a manifest, a manifest to a pin), and people wait for the last of them.
    pub burst: u32,
    /// Passes at once.
    pub parallel: usize,
    /// The first pause after a failed pass; doubled (and jittered) after each further one.
    pub first_pause: Duration,
    /// The longest pause after failed passes.
    pub longest_pause: Duration,
    /// No deadline is slept for longer than this: wall clocks jump, machines are suspended.
    pub longest_sleep: Duration,
    /// How often the loop turns when nothing happens, so that it is known to live.
    pub heartbeat: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            gather: Duration::from_millis(10),
            apart: Duration::from_millis(100),
            burst: 4,
            parallel: 8,
            first_pause: Duration::from_millis(500),
            // Jitter may double it: after an outage nobody waits for more than half a minute.
            longest_pause: Duration::from_secs(15),
            longest_sleep: Duration::from_mins(10),
            heartbeat: Duration::from_secs(5),
        }
    }
}

/// How a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should; look again after this long even if nothing changes.
    Done {
        /// From the end of the pass.
        next: Option<Duration>,
    },
    /// Something failed that may work later: try again after a pause.
    Failed,
    /// There is no such policy any more.
    Gone,
}

/// The scheduler. Clones share one state.
#[derive(Clone)]
pub struct Queue {
    shared: Arc<Shared>,
}

struct Shared {
    pace: Pace,
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    entries: BTreeMap<PolicyKey, Entry>,
    /// Not running and due, soonest first.
    due: BTreeSet<(Instant, PolicyKey)>,
    /// The loop's last turn; before the first one, since when it shall run; none while it need not.
    turned: Option<Instant>,
    /// The end of the last pass.
    finished: Option<Instant>,
    ended: bool,
}

#[derive(Default)]
struct Entry {
    due: Option<Instant>,
    running: bool,
    /// Woken while running.
    again: bool,
    /// Set while passes fail.
    pauses: Option<ExponentialBackoff>,
    not_before: Option<Instant>,
    /// Where the passes would have come to if each took [`Pace::apart`] (the cell rate algorithm's arrival time).
    paced: Option<Instant>,
}

impl Wakes for Queue {
    fn wake(&self, key: &PolicyKey) {
        let now = Instant::now();
        let mut state = self.lock();
        let entry = state.entries.entry(key.clone()).or_default();
        if entry.running {
            entry.again = true;
            return;
        }
        let at = entry.after_a_wake(now, &self.shared.pace);
        let at = entry.not_before.map_or(at, |pause| at.max(pause));
        state.set_due(key, at);
        drop(state);
        self.shared.changed.notify_one();
    }
}

impl Waiting for Queue {
    fn backlog(&self) -> Backlog {
        let now = Instant::now();
        let state = self.lock();
        Backlog {
            due: state.due.iter().take_while(|(at, _)| *at <= now).count(),
            running: state.entries.values().filter(|entry| entry.running).count(),
            longest: state.due.first().map_or(Duration::ZERO, |(at, _)| now.saturating_duration_since(*at)),
        }
    }
}

impl Queue {
    /// A scheduler that knows no policy yet.
    #[must_use]
    pub fn new(pace: Pace) -> Self {
        let state = State {
            entries: BTreeMap::new(),
            due: BTreeSet::new(),
            turned: None,
            finished: None,
            ended: false,
        };
        Self { shared: Arc::new(Shared { pace, state: Mutex::new(state), changed: Notify::new() }) }
    }

    /// From now on it shall run soon: not to do so is to be stuck.
    pub fn expect(&self) {
        self.lock().turned.get_or_insert(Instant::now());
    }

    /// Makes passes until `stop`, then waits for those under way.
    pub async fn run<P, F>(&self, pass: P, stop: CancellationToken)
    where
        P: Fn(PolicyKey) -> F,
        F: Future<Output = Outcome> + Send + 'static,
    {
        let mut running = JoinSet::new();
        let mut keys: BTreeMap<Id, PolicyKey> = BTreeMap::new();
        while !stop.is_cancelled() {
            let room = self.shared.pace.parallel.saturating_sub(running.len());
            for key in self.take_due(room) {
                let task = running.spawn(pass(key.clone()));
                keys.insert(task.id(), key);
            }
            let wake_up = self.next_turn(running.len());
            tokio::select! {
                () = stop.cancelled() => {}
                Some(ended) = running.join_next_with_id() => self.settle(&mut keys, ended),
                () = self.shared.changed.notified() => {}
                () = sleep_until(wake_up) => {}
            }
        }
        while let Some(ended) = running.join_next_with_id().await {
            self.settle(&mut keys, ended);
        }
        self.lock().ended = true;
    }

    /// Policies that are known, running or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Whether no policy is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Why no progress is made, if the loop shall run and did not turn for `limit`, or something was due and no pass
    /// ended for that long.
    #[must_use]
    pub fn stuck(&self, limit: Duration) -> Option<String> {
        let now = Instant::now();
        let state = self.lock();
        if state.ended {
            return Some("the scheduler has ended".into());
        }
        // A standby's queue only collects.
        let silent = now.duration_since(state.turned?);
        if silent > limit {
            return Some(format!("the scheduler did not turn for {} s", silent.as_secs()));
        }
        let (due, key) = state.due.first()?;
        let last = state.finished.map_or(*due, |finished| finished.max(*due));
        (now.saturating_duration_since(last) > limit).then(|| {
            format!(
                "{}/{} has been due for {} s and no pass has ended since",
                key.namespace,
                key.name,
                now.saturating_duration_since(*due).as_secs()
            )
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing below can panic half-way through a change, so a poisoned state is still whole.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_due(&self, room: usize) -> Vec<PolicyKey> {
        let now = Instant::now();
        let mut state = self.lock();
        state.turned = Some(now);
        let mut taken = Vec::new();
        while taken.len() < room {
            match state.due.first() {
                Some((at, _)) if *at <= now => {}
                _ => break,
            }
            let Some((_, key)) = state.due.pop_first() else { break };
            let entry = state.entries.entry(key.clone()).or_default();
            entry.due = None;
            entry.running = true;
            entry.again = false;
            entry.paced = Some(entry.paced.map_or(now, |paced| paced.max(now)) + self.shared.pace.apart);
            taken.push(key);
        }
        taken
    }

    /// When the loop must turn again: at the first deadline if a slot is free, at the heartbeat at the latest.
    fn next_turn(&self, running: usize) -> Instant {
        let heartbeat = Instant::now() + self.shared.pace.heartbeat;
        if running >= self.shared.pace.parallel {
            return heartbeat;
        }
        self.lock().due.first().map_or(heartbeat, |(at, _)| heartbeat.min(*at))
    }

    fn settle(&self, keys: &mut BTreeMap<Id, PolicyKey>, ended: Result<(Id, Outcome), JoinError>) {
        let (id, outcome) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                tracing::error!(%error, "a pass panicked; its policy is tried again after a pause");
                (error.id(), Outcome::Failed)
            }
        };
        let Some(key) = keys.remove(&id) else { return };
        let now = Instant::now();
        let pace = self.shared.pace;
        let mut state = self.lock();
        state.finished = Some(now);
        let Some(entry) = state.entries.get_mut(&key) else { return };
        entry.running = false;
        let again = entry.again.then(|| entry.after_a_wake(now, &pace));
        let at = match outcome {
            Outcome::Done { next } => {
                entry.pauses = None;
                entry.not_before = None;
                let next = next.map(|wait| now + wait.min(pace.longest_sleep));
                [again, next].into_iter().flatten().min()
            }
            Outcome::Failed => {
                let pause = now + entry.next_pause(&pace);
                entry.not_before = Some(pause);
                Some(pause)
            }
            Outcome::Gone => {
                if again.is_none() {
                    state.entries.remove(&key);
                }
                again
            }
        };
        if let Some(at) = at {
            state.set_due(&key, at);
        }
    }
}

impl Entry {
    /// When a wake leads to a pass.
    fn after_a_wake(&self, now: Instant, pace: &Pace) -> Instant {
        let gathered = now + pace.gather;
        // The first of a burst comes when `paced` is now at the latest.
        let credit = pace.apart * pace.burst.saturating_sub(1);
        self.paced.and_then(|paced| paced.checked_sub(credit)).map_or(gathered, |paced| gathered.max(paced))
    }

    fn next_pause(&mut self, pace: &Pace) -> Duration {
        let pauses = self.pauses.get_or_insert_with(|| {
            ExponentialBuilder::new()
                .with_min_delay(pace.first_pause)
                .with_max_delay(pace.longest_pause)
                .without_max_times()
                .with_jitter()
                .build()
        });
        pauses.next().unwrap_or(pace.longest_pause)
    }
}

impl State {
    /// Make `key` due at `at`, or earlier if it already is.
    fn set_due(&mut self, key: &PolicyKey, at: Instant) {
        let entry = self.entries.entry(key.clone()).or_default();
        if let Some(before) = entry.due {
            if before <= at {
                return;
            }
            self.due.remove(&(before, key.clone()));
        }
        entry.due = Some(at);
        self.due.insert((at, key.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::time::sleep;

    fn key(name: &str) -> PolicyKey {
        PolicyKey { namespace: "platform".into(), name: name.into() }
    }

    /// When each pass began, in milliseconds of virtual time.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<(String, u128)>>>);

    impl Log {
        fn note(&self, key: &PolicyKey, start: Instant) {
            self.0.lock().unwrap().push((key.name.clone(), start.elapsed().as_millis()));
        }
        fn of(&self, name: &str) -> Vec<u128> {
            self.0.lock().unwrap().iter().filter(|(n, _)| n == name).map(|(_, at)| *at).collect()
        }
    }

    fn start<F>(queue: &Queue, pass: impl Fn(PolicyKey) -> F + Send + 'static) -> CancellationToken
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let (queue, token) = (queue.clone(), stop.clone());
        tokio::spawn(async move { queue.run(pass, token).await });
        stop
    }

    #[tokio::test(start_paused = true)]
    async fn many_wakes_make_one_pass_and_a_steady_stream_starves_nobody() {
        let (queue, log, began) = (Queue::new(Pace::default()), Log::default(), Instant::now());
        let seen = log.clone();
        start(&queue, move |key| {
            seen.note(&key, began);
            async { Outcome::Done { next: None } }
        });
        for _ in 0..30 {
            queue.wake(&key("a"));
            sleep(Duration::from_millis(10)).await;
        }
        sleep(Duration::from_secs(5)).await;
        let times = log.of("a");
        // Four closely, then one each 100 ms.
        assert_eq!(times, [10, 30, 50, 70, 110, 210, 310], "{times:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_wake_during_a_pass_makes_another_one_after_it_never_beside_it() {
        let queue = Queue::new(Pace::default());
        let (at_once, most, passes) =
            (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counters = (at_once.clone(), most.clone(), passes.clone());
        start(&queue, move |_| {
            let (at_once, most, passes) = counters.clone();
            async move {
                most.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                sleep(Duration::from_secs(1)).await;
                at_once.fetch_sub(1, Ordering::SeqCst);
                passes.fetch_add(1, Ordering::SeqCst);
                Outcome::Done { next: None }
            }
        });
        queue.wake(&key("a"));
        sleep(Duration::from_millis(500)).await;
        queue.wake(&key("a"));
        queue.wake(&key("a"));
        sleep(Duration::from_secs(10)).await;
        assert_eq!((most.load(Ordering::SeqCst), passes.load(Ordering::SeqCst)), (1, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_makes_a_pass_exactly_then() {
        let (queue, log, began) = (Queue::new(Pace::default()), Log::default(), Instant::now());
        let seen = log.clone();
        start(&queue, move |key| {
            seen.note(&key, began);
            let first = seen.of("a").len() == 1;
            async move { Outcome::Done { next: first.then_some(Duration::from_secs(90)) } }
        });
        queue.wake(&key("a"));
        sleep(Duration::from_mins(10)).await;
        assert_eq!(log.of("a"), vec![10, 90_010]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_far_deadline_is_checked_again_before_it_because_wall_clocks_jump() {
        let (queue, log, began) = (Queue::new(Pace::default()), Log::default(), Instant::now());
        let seen = log.clone();
        start(&queue, move |key| {
            seen.note(&key, began);
            async { Outcome::Done { next: Some(Duration::from_hours(24)) } }
        });
        queue.wake(&key("a"));
        sleep(Duration::from_secs(1300)).await;
        assert_eq!(log.of("a"), vec![10, 600_010, 1_200_010]);
    }

    #[tokio::test(start_paused = true)]
    async fn i14_p5_a_failing_policy_backs_off_and_delays_no_other() {
        let pace = Pace { parallel: 1, ..Pace::default() };
        let (queue, log, began) = (Queue::new(pace), Log::default(), Instant::now());
        let seen = log.clone();
        start(&queue, move |key| {
            seen.note(&key, began);
            async move {
                assert!(key.name != "panics", "a poison object");
                if key.name == "fails" {
                    Outcome::Failed
                } else {
                    Outcome::Done { next: Some(Duration::from_secs(10)) }
                }
            }
        });
        for name in ["fails", "panics", "good"] {
            queue.wake(&key(name));
        }
        // Watch events of a failing policy do not shorten its pause.
        for _ in 0..600 {
            queue.wake(&key("fails"));
            sleep(Duration::from_millis(100)).await;
        }
        let good: Vec<u128> = (0..6).map(|n| 10 + n * 10_000).collect();
        assert_eq!(log.of("good"), good);
        for name in ["fails", "panics"] {
            let times = log.of(name);
            assert!(times.len() >= 4 && times.len() <= 9, "{name}: {times:?}");
            let gaps: Vec<u128> = times.windows(2).map(|w| w[1] - w[0]).collect();
            assert!(gaps[0] >= 500 && gaps.last() > gaps.first(), "{name}: {gaps:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_ends_the_back_off() {
        let (queue, log, began) = (Queue::new(Pace::default()), Log::default(), Instant::now());
        let seen = log.clone();
        start(&queue, move |key| {
            seen.note(&key, began);
            let failed = seen.of("a").len() <= 5;
            async move { if failed { Outcome::Failed } else { Outcome::Done { next: None } } }
        });
        queue.wake(&key("a"));
        sleep(Duration::from_mins(5)).await;
        let passes = log.of("a").len();
        assert_eq!(passes, 6);
        let woken = began.elapsed().as_millis();
        queue.wake(&key("a"));
        sleep(Duration::from_secs(1)).await;
        assert_eq!(log.of("a").last(), Some(&(woken + 10)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_gone_policy_is_forgotten() {
        let queue = Queue::new(Pace::default());
        start(&queue, |_| async { Outcome::Gone });
        queue.wake(&key("a"));
        assert_eq!(queue.len(), 1);
        sleep(Duration::from_secs(1)).await;
        assert!(queue.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn told_to_stop_it_finishes_what_is_under_way_and_begins_nothing() {
        let (queue, log, began) = (Queue::new(Pace::default()), Log::default(), Instant::now());
        let (seen, stop) = (log.clone(), CancellationToken::new());
        let (inner, token) = (queue.clone(), stop.clone());
        let loop_ = tokio::spawn(async move {
            inner
                .run(
                    move |key| {
                        let seen = seen.clone();
                        async move {
                            sleep(Duration::from_secs(2)).await;
                            seen.note(&key, began);
                            Outcome::Done { next: Some(Duration::ZERO) }
                        }
                    },
                    token,
                )
                .await;
        });
        queue.wake(&key("a"));
        sleep(Duration::from_secs(1)).await;
        stop.cancel();
        queue.wake(&key("b"));
        loop_.await.unwrap();
        assert_eq!((log.of("a"), log.of("b")), (vec![2_010], vec![]));
        assert!(queue.stuck(Duration::from_mins(1)).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn l5_it_says_when_no_progress_is_made() {
        let limit = Duration::from_mins(1);
        let queue = Queue::new(Pace { parallel: 1, ..Pace::default() });
        sleep(Duration::from_secs(61)).await;
        assert_eq!(queue.stuck(limit), None, "a standby's only collects");
        queue.expect();
        assert_eq!(queue.stuck(limit), None, "it may wait for the first lists");
        sleep(Duration::from_secs(61)).await;
        assert!(queue.stuck(limit).is_some_and(|why| why.contains("did not turn for 61 s")));
        start(&queue, |key| async move {
            if key.name == "hangs" {
                std::future::pending::<()>().await;
            }
            Outcome::Done { next: None }
        });
        queue.wake(&key("good"));
        sleep(Duration::from_mins(5)).await;
        assert_eq!(queue.stuck(limit), None, "idle is healthy");
        queue.wake(&key("hangs"));
        sleep(Duration::from_secs(1)).await;
        queue.wake(&key("waits"));
        sleep(Duration::from_secs(50)).await;
        assert_eq!(queue.stuck(limit), None);
        sleep(Duration::from_secs(20)).await;
        let backlog = queue.backlog();
        assert_eq!((backlog.due, backlog.running, backlog.longest.as_secs()), (1, 1, 69));
        assert!(queue.stuck(limit).is_some_and(|why| why.contains("platform/waits has been due for")));
    }
}
