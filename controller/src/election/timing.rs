//! The three times of the election, and what must hold between them.

use std::time::Duration;

/// The shortest lease: one second says that it was given back.
const SHORTEST: Duration = Duration::from_secs(2);
/// The longest lease: nobody waits longer for one that its holder promised.
const LONGEST: Duration = Duration::from_mins(5);
const SHORTEST_RETRY: Duration = Duration::from_millis(50);

/// How long a lease lasts, when a leader must have renewed it, how often it tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    lease: Duration,
    deadline: Duration,
    retry: Duration,
}

impl Timing {
    /// Checked against each other; the error names the flag, the value and what to do.
    pub fn new(lease: Duration, deadline: Duration, retry: Duration) -> Result<Self, String> {
        let wrong = |flag: &str, value: Duration, why: String| Err(format!("{flag} {value:?}: {why}"));
        if lease.subsec_nanos() != 0 || !(SHORTEST..=LONGEST).contains(&lease) {
            let why = "a Lease counts whole seconds; use 2s to 5m, 15s is usual".to_owned();
            return wrong("--lease-duration", lease, why);
        }
        if deadline.is_zero() || deadline > lease * 4 / 5 {
            let why = format!(
                "a leader must have stopped well before another may begin; use at most four fifths of \
                 --lease-duration, which is {:?}",
                lease * 4 / 5
            );
            return wrong("--renew-deadline", deadline, why);
        }
        if retry < SHORTEST_RETRY || retry > deadline / 3 {
            let why = format!(
                "a leader needs three tries within --renew-deadline; use {SHORTEST_RETRY:?} to {:?}",
                deadline / 3
            );
            return wrong("--retry-period", retry, why);
        }
        Ok(Self { lease, deadline, retry })
    }

    /// After this long without a renewal another may lead.
    #[must_use]
    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// After this long without a renewal the leader has stopped.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Between two tries.
    #[must_use]
    pub fn retry(&self) -> Duration {
        self.retry
    }

    /// One request may take this long: several fit into the deadline.
    #[must_use]
    pub fn limit(&self) -> Duration {
        self.deadline / 4
    }

    /// So long before the deadline no effect begins any more: one that did could not be answered in time.
    #[must_use]
    pub fn margin(&self) -> Duration {
        self.deadline / 10
    }

    /// How long to wait for somebody who promised to have stopped after `promised`.
    #[must_use]
    pub fn of_others(&self, promised: Duration) -> Duration {
        promised.max(self.lease).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timing_that_could_have_two_leaders_or_none_is_refused_by_its_flag() {
        let s = Duration::from_secs_f64;
        assert!(Timing::new(s(15.0), s(10.0), s(2.0)).is_ok());
        assert!(Timing::new(s(2.0), s(1.6), s(0.1)).is_ok());
        for (lease, deadline, retry, flag) in [
            (1.0, 0.8, 0.1, "--lease-duration 1s: "),
            (0.5, 0.4, 0.1, "--lease-duration 500ms: "),
            (1.5, 1.0, 0.1, "--lease-duration 1.5s: "),
            (301.0, 10.0, 2.0, "--lease-duration 301s: "),
            (15.0, 12.1, 2.0, "--renew-deadline 12.1s: "),
            (15.0, 15.0, 2.0, "--renew-deadline 15s: "),
            (15.0, 0.0, 2.0, "--renew-deadline 0ns: "),
            (15.0, 10.0, 3.4, "--retry-period 3.4s: "),
            (15.0, 10.0, 0.01, "--retry-period 10ms: "),
        ] {
            let error = Timing::new(s(lease), s(deadline), s(retry)).unwrap_err();
            assert!(error.starts_with(flag) && error.contains("use "), "{error}");
        }
    }
}
