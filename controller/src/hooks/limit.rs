//! How much one receiver may ask for, and what it has asked for already.
//!
//! Guarantees: bounded memory; a receiver that is flooded delays no other, and never the looks that policies make by
//! themselves.

use std::{collections::VecDeque, time::Duration};

use lockkeeper_core::image::Digest;
use tokio::time::Instant;

/// Hooks that may come at once.
const BURST: u32 = 100;
/// And from then on, one per this long.
const PACE: Duration = Duration::from_millis(50);
/// The same body again within this long is the same hook.
const WINDOW: Duration = Duration::from_mins(10);
/// Bodies that are remembered.
const REMEMBERED: usize = 1024;

/// One receiver's.
#[derive(Debug)]
pub struct Limit {
    left: u32,
    filled: Instant,
    seen: VecDeque<(Instant, Digest)>,
}

impl Default for Limit {
    fn default() -> Self {
        Self { left: BURST, filled: Instant::now(), seen: VecDeque::new() }
    }
}

impl Limit {
    /// Whether one more may be taken now.
    pub fn take(&mut self, now: Instant) -> bool {
        let pieces = now.saturating_duration_since(self.filled).as_millis() / PACE.as_millis();
        let pieces = u32::try_from(pieces).unwrap_or(u32::MAX);
        self.left = self.left.saturating_add(pieces).min(BURST);
        self.filled = if self.left == BURST { now } else { self.filled + PACE * pieces };
        let taken = self.left > 0;
        self.left = self.left.saturating_sub(1);
        taken
    }

    /// Whether this body is new.
    pub fn is_new(&mut self, body: &[u8], now: Instant) -> bool {
        while self.seen.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > WINDOW) {
            self.seen.pop_front();
        }
        let digest = Digest::of(body);
        if self.seen.iter().any(|(_, seen)| *seen == digest) {
            return false;
        }
        if self.seen.len() == REMEMBERED {
            self.seen.pop_front();
        }
        self.seen.push_back((now, digest));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn p8_a_flood_is_cut_to_a_burst_and_a_pace() {
        let mut limit = Limit::default();
        let mut taken = 0;
        // 10,000 a second for ten seconds.
        for step in 0..100_000_u32 {
            taken += u32::from(limit.take(Instant::now()));
            if step % 10 == 9 {
                tokio::time::advance(Duration::from_millis(1)).await;
            }
        }
        assert!((290..=301).contains(&taken), "{taken}");
        tokio::time::advance(Duration::from_hours(1)).await;
        let burst = (0..1000).filter(|_| limit.take(Instant::now())).count();
        assert_eq!(burst, 100, "a quiet hour saves up no more than a burst");
    }

    #[tokio::test(start_paused = true)]
    async fn row_40_a_replay_is_the_same_hook_within_a_bounded_window() {
        let mut limit = Limit::default();
        assert!(limit.is_new(b"a", Instant::now()));
        assert!(!limit.is_new(b"a", Instant::now()));
        tokio::time::advance(WINDOW + Duration::from_secs(1)).await;
        assert!(limit.is_new(b"a", Instant::now()));
        for n in 0..2_000_u32 {
            limit.is_new(&n.to_be_bytes(), Instant::now());
        }
        assert_eq!(limit.seen.len(), REMEMBERED);
    }
}
