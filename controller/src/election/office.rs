//! What the rest of this process knows of the election: the fence, and whether all is well with it.
//!
//! Guarantees: the fence is closed from its deadline on by the clock alone, even if the election's task never runs again;
//! once closed for good it never opens. A standby is well as long as it sees that somebody leads.

use super::{Candidate, Timing};
use crate::ports::{
    FenceCheck, Vital,
    lease::{Leader, Steady},
};
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;

/// The election's task turns every few seconds; silent for so much longer than it may be, it is stuck.
const STUCK: Duration = Duration::from_mins(1);
/// With no leader to be seen for this long, something is wrong that a new process may put right.
const LEADERLESS: Duration = Duration::from_mins(15);

/// The one place where this process looks up whether it leads.
#[derive(Debug)]
pub struct Office {
    steady: Arc<dyn Steady>,
    /// None: there is no election; this process is the only one.
    timing: Option<Timing>,
    state: Mutex<State>,
    leads: watch::Sender<bool>,
    closed: AtomicBool,
}

#[derive(Debug)]
struct State {
    until: Duration,
    turned: Duration,
    /// When somebody was last seen to lead: this process, or another that renewed.
    led: Duration,
    looked: bool,
    /// Where the one that leads takes hooks.
    hooks: Option<SocketAddr>,
    trouble: Option<String>,
}

impl Office {
    /// Of a process that takes part in an election; it does not lead yet.
    #[must_use]
    pub fn elected(steady: Arc<dyn Steady>, timing: Timing) -> Self {
        Self::new(steady, Some(timing), false)
    }

    /// Of a process that is the only one.
    #[must_use]
    pub fn sole(steady: Arc<dyn Steady>) -> Self {
        Self::new(steady, None, true)
    }

    fn new(steady: Arc<dyn Steady>, timing: Option<Timing>, leads: bool) -> Self {
        let now = steady.elapsed();
        let state =
            State { until: Duration::ZERO, turned: now, led: now, looked: false, hooks: None, trouble: None };
        let (leads, _) = watch::channel(leads);
        Self { steady, timing, state: Mutex::new(state), leads, closed: AtomicBool::new(false) }
    }

    /// Returns once this process leads.
    pub async fn leads(&self) {
        let mut leads = self.leads.subscribe();
        // The sender is here: it cannot be gone.
        let _never_gone = leads.wait_for(|leads| *leads).await;
    }

    /// No effect begins after this.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// The election's task has turned.
    pub(super) fn turned(&self, candidate: &Candidate, now: Duration) {
        let mut state = self.lock();
        state.turned = now;
        state.until = candidate.until().unwrap_or_default();
        state.trouble = candidate.trouble().map(str::to_owned);
        if let Some((lease, since)) = candidate.seen() {
            state.looked = true;
            state.hooks = lease.and_then(|lease| lease.holder.as_ref().and(lease.hooks));
            if lease.is_some_and(|lease| lease.holder.is_some()) {
                state.led = state.led.max(since);
            }
        }
        let leads = state.until > now;
        drop(state);
        self.leads.send_if_modified(|before| std::mem::replace(before, leads) != leads);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leaderless(&self, limit: Duration) -> Result<(), String> {
        let state = self.lock();
        let silent = self.steady.elapsed().saturating_sub(state.led);
        if silent <= limit {
            return Ok(());
        }
        let why = state.trouble.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        Err(format!("no replica was seen to lead for {} s{why}", silent.as_secs()))
    }
}

impl FenceCheck for Office {
    fn holds(&self) -> bool {
        self.left().is_some()
    }

    fn left(&self) -> Option<Duration> {
        if self.closed.load(Ordering::SeqCst) {
            return None;
        }
        let Some(timing) = &self.timing else { return Some(Duration::MAX) };
        let until = self.lock().until;
        until.checked_sub(self.steady.elapsed()).filter(|left| *left > timing.margin())
    }
}

impl Leader for Office {
    fn address(&self) -> Option<SocketAddr> {
        self.lock().hooks
    }
}

impl Vital for Office {
    fn alive(&self) -> Result<(), String> {
        let Some(timing) = &self.timing else { return Ok(()) };
        let silent = self.steady.elapsed().saturating_sub(self.lock().turned);
        if silent > timing.retry() + timing.limit() + STUCK {
            return Err(format!("the election did not turn for {} s", silent.as_secs()));
        }
        self.leaderless(LEADERLESS)
    }

    fn ready(&self) -> Result<(), String> {
        let Some(timing) = &self.timing else { return Ok(()) };
        if !self.lock().looked {
            let trouble = self.lock().trouble.clone();
            let why = trouble.map(|why| format!(": {why}")).unwrap_or_default();
            return Err(format!("waits for its first look at the Lease{why}"));
        }
        self.leaderless(timing.lease() * 2)
    }
}

/// The machine's time since it was started, suspensions included: a leader that slept must not think that it leads.
#[derive(Clone, Copy, Debug)]
pub struct Boottime;

impl Steady for Boottime {
    fn elapsed(&self) -> Duration {
        use rustix::time::{ClockId, clock_gettime};
        #[cfg(target_os = "linux")]
        let clock = ClockId::Boottime;
        // Elsewhere this clock goes on while the machine sleeps.
        #[cfg(not(target_os = "linux"))]
        let clock = ClockId::Monotonic;
        Duration::try_from(clock_gettime(clock)).unwrap_or_default()
    }
}
