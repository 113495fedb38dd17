//! The kubelet's back-off (`k8s.io/client-go/util/flowcontrol`): 10 s, doubled up to 300 s, forgotten after 600 s of peace.

use jiff::{SignedDuration, Timestamp};

/// The back-off of one container and one image of it.
#[derive(Clone, Debug)]
pub struct Backoff {
    scale: f64,
    entry: Option<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    wait: SignedDuration,
    updated: Timestamp,
}

impl Backoff {
    pub fn new(scale: f64) -> Self {
        Self { scale, entry: None }
    }

    fn seconds(&self, seconds: i32) -> SignedDuration {
        SignedDuration::from_secs_f64(f64::from(seconds) * self.scale)
    }

    /// Until when nothing may be tried after something ended at `event`; `None`: at once.
    pub fn until(&self, event: Timestamp) -> Option<Timestamp> {
        let entry = self.entry.filter(|entry| !self.expired(entry, event))?;
        Some(event + entry.wait)
    }

    /// Something is tried again: the next wait is longer.
    pub fn next(&mut self, event: Timestamp, now: Timestamp) {
        let wait = match self.entry {
            Some(entry) if !self.expired(&entry, event) => (entry.wait * 2).min(self.seconds(300)),
            _ => self.seconds(10),
        };
        self.entry = Some(Entry { wait, updated: now });
    }

    /// The wait in force, as messages show it: without the scale, in seconds.
    pub fn shown(&self) -> String {
        let wait = self.entry.map_or(0.0, |entry| entry.wait.as_secs_f64() / self.scale);
        #[expect(clippy::cast_possible_truncation, reason = "between 10 and 300")]
        let seconds = wait.round() as i64;
        if seconds < 60 { format!("{seconds}s") } else { format!("{}m{}s", seconds / 60, seconds % 60) }
    }

    fn expired(&self, entry: &Entry, event: Timestamp) -> bool {
        event.duration_since(entry.updated) > self.seconds(600)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).expect("a time")
    }

    #[test]
    fn it_doubles_up_to_five_minutes_and_forgets_after_ten_of_peace() {
        let mut backoff = Backoff::new(1.0);
        assert_eq!(backoff.until(at(0)), None, "the first restart is at once");
        backoff.next(at(0), at(0));
        let mut now = 1;
        for wait in [10, 20, 40, 80, 160, 300, 300] {
            assert_eq!(backoff.until(at(now)), Some(at(now + wait)));
            backoff.next(at(now), at(now + wait));
            now += wait + 1;
        }
        assert_eq!(backoff.until(at(now + 601)), None);
        backoff.next(at(now + 601), at(now + 601));
        assert_eq!(backoff.until(at(now + 602)), Some(at(now + 612)));
    }

    #[test]
    fn messages_show_it_as_a_kubelet_does() {
        let mut backoff = Backoff::new(0.1);
        backoff.next(at(0), at(0));
        assert_eq!((backoff.shown().as_str(), backoff.until(at(0))), ("10s", Some(at(1))));
        backoff.entry = Some(Entry { wait: SignedDuration::from_secs(16), updated: at(0) });
        assert_eq!(backoff.shown(), "2m40s");
    }
}
