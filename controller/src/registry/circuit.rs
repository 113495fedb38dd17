//! One circuit per host: a host that mostly fails is left alone for a while, so that it costs others no time.
//!
//! Guarantees: while a circuit is open nothing is sent to its host but one trial at a time once the pause is over; the
//! pauses double from 15 s up to 5 minutes until the host has answered a whole window well; memory is bounded. An
//! answer that says "no" (401, 404, 429) is an answer: only what breaks off, times out or is a server's error counts.
//! May not: read a clock in what decides ([`Circuit`] is told the time), or try anything by itself.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::lru::Lru;

/// Outcomes that are looked at, the newest.
const WINDOW: u32 = 10;
/// Failures among them that open a circuit.
const TOO_MANY: u32 = 5;
/// The first pause, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(15);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// A trial that nothing was heard of for so long is not waited for.
const TRIAL: Duration = Duration::from_mins(1);
/// Hosts remembered; of all others nothing bad is known.
const HOSTS: usize = 1024;

/// What is known of one host.
#[derive(Clone, Copy, Debug, Default)]
struct Circuit {
    /// The newest outcomes, a bit each, the newest lowest: 1 is a failure.
    failed: u16,
    /// How many outcomes these are.
    known: u32,
    /// Pauses in a row.
    pauses: u32,
    /// Until then nothing is sent; then one trial.
    open_until: Option<Instant>,
}

impl Circuit {
    /// Whether a request may be sent now, else for how long not.
    fn enter(&mut self, now: Instant) -> Result<(), Duration> {
        let Some(until) = self.open_until else { return Ok(()) };
        if now < until {
            return Err(until.duration_since(now));
        }
        // This request is the trial; the next ones wait for what comes of it.
        self.open_until = Some(now + TRIAL);
        Ok(())
    }

    /// What came of a request.
    fn settle(&mut self, well: bool, now: Instant) {
        let mask = (1 << WINDOW) - 1;
        self.failed = ((self.failed << 1) | u16::from(!well)) & mask;
        self.known = (self.known + 1).min(WINDOW);
        if well {
            if self.open_until.take().is_some() {
                (self.failed, self.known) = (0, 1);
            }
            if self.known == WINDOW && self.failed == 0 {
                self.pauses = 0;
            }
        } else if self.open_until.is_some() || self.failed.count_ones() >= TOO_MANY {
            let pause = FIRST_PAUSE.saturating_mul(1 << self.pauses.min(10)).min(LONGEST_PAUSE);
            self.pauses = self.pauses.saturating_add(1);
            self.open_until = Some(now + pause);
        }
    }
}

/// The circuits of all hosts, shared by all accesses: what a host answers to one says how it is.
#[derive(Debug)]
pub(super) struct Circuits(Mutex<Lru<String, Circuit>>);

impl Default for Circuits {
    fn default() -> Self {
        Self(Mutex::new(Lru::new(HOSTS)))
    }
}

impl Circuits {
    /// Begin a request to this host, or how long it is left alone.
    pub(super) fn enter(&self, host: &str) -> Result<Trial<'_>, Duration> {
        self.change(host, |circuit| circuit.enter(Instant::now()))?;
        Ok(Trial { circuits: self, host: host.to_owned(), well: false })
    }

    fn change<T>(&self, host: &str, change: impl FnOnce(&mut Circuit) -> T) -> T {
        let mut circuits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = host.to_owned();
        let mut circuit = circuits.get(&key).unwrap_or_default();
        let result = change(&mut circuit);
        circuits.insert(key, circuit);
        result
    }
}

/// A request under way. Dropped without a word, as by a deadline, it has failed.
#[derive(Debug)]
pub(super) struct Trial<'c> {
    circuits: &'c Circuits,
    host: String,
    well: bool,
}

impl Trial<'_> {
    /// The host answered, whatever it said.
    pub(super) fn answered(mut self) {
        self.well = true;
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        self.circuits.change(&self.host, |circuit| circuit.settle(self.well, Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays `seconds` seconds with a request each; returns how many were sent and how many were refused.
    fn play(
        circuit: &mut Circuit,
        from: Instant,
        seconds: u64,
        fails: impl Fn(u64) -> bool,
    ) -> (usize, usize) {
        let (mut sent, mut refused) = (0, 0);
        for second in 0..seconds {
            let now = from + Duration::from_secs(second);
            match circuit.enter(now) {
                Ok(()) => {
                    sent += 1;
                    circuit.settle(!fails(second), now);
                }
                Err(_) => refused += 1,
            }
        }
        (sent, refused)
    }

    /// Heads or tails, the same every time.
    fn half(second: u64) -> bool {
        (second.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40).is_multiple_of(2)
    }

    #[test]
    fn r2_a_host_that_fails_half_the_time_for_an_hour_is_asked_little_and_then_as_before() {
        let (mut circuit, from) = (Circuit::default(), Instant::now());
        let (sent, refused) = play(&mut circuit, from, 3600, half);
        assert!(sent > 20 && sent < 400, "{sent} of 3600 were sent");
        assert_eq!(sent + refused, 3600);
        // The fault ends: after the longest pause it is asked at once again.
        let healed = from + Duration::from_hours(1) + LONGEST_PAUSE;
        assert_eq!(play(&mut circuit, healed, 600, |_| false), (600, 0));
        assert_eq!(circuit.pauses, 0);
    }

    #[test]
    fn a_failure_now_and_then_opens_nothing() {
        let (mut circuit, from) = (Circuit::default(), Instant::now());
        assert_eq!(play(&mut circuit, from, 3600, |second| second.is_multiple_of(3)), (3600, 0));
    }

    #[test]
    fn a_dead_host_gets_one_trial_per_pause_and_pauses_grow_to_five_minutes() {
        let (mut circuit, from) = (Circuit::default(), Instant::now());
        let (sent, _) = play(&mut circuit, from, 3600, |_| true);
        // Five that open it, then trials after 15, 30, 60, 120, 240 and every 300 s.
        assert_eq!(sent, 5 + 5 + (3600 - 4 - 465) / 300);
    }

    #[test]
    fn while_a_trial_is_under_way_nobody_else_is_sent() {
        let (mut circuit, now) = (Circuit::default(), Instant::now());
        for _ in 0..TOO_MANY {
            circuit.settle(false, now);
        }
        let later = now + FIRST_PAUSE;
        assert_eq!(circuit.enter(now), Err(FIRST_PAUSE));
        assert_eq!(circuit.enter(later), Ok(()));
        assert!(circuit.enter(later).is_err());
        circuit.settle(true, later);
        assert_eq!(circuit.enter(later), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_a_deadline_ends_has_failed() {
        let circuits = Circuits::default();
        for _ in 0..TOO_MANY {
            drop(circuits.enter("slow.example").unwrap());
        }
        assert_eq!(circuits.enter("slow.example").unwrap_err(), FIRST_PAUSE);
        circuits.enter("other.example").unwrap().answered();
        tokio::time::advance(FIRST_PAUSE).await;
        circuits.enter("slow.example").unwrap().answered();
        circuits.enter("slow.example").unwrap().answered();
    }
}
