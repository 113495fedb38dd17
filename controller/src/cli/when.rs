//! Times and durations as people read them.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

/// Now, and where the reader is.
#[derive(Clone, Debug)]
pub struct When {
    /// Now.
    pub now: Timestamp,
    /// The reader's time zone.
    pub zone: TimeZone,
}

impl When {
    /// By this machine's clock and zone.
    #[must_use]
    pub fn here() -> Self {
        Self { now: Timestamp::now(), zone: TimeZone::system() }
    }

    /// `14:30 (in 1h 12m)`, with the day if it is another one.
    #[must_use]
    pub fn until(&self, at: Timestamp) -> String {
        let left = at.duration_since(self.now);
        let wait = match left.as_secs() {
            ..0 => "due".to_owned(),
            0..60 => "in less than a minute".to_owned(),
            _ => format!("in {}", length(left)),
        };
        format!("{} ({wait})", self.clock(at))
    }

    /// `14:30 (12m ago)`.
    #[must_use]
    pub fn since(&self, at: Timestamp) -> String {
        format!("{} ({} ago)", self.clock(at), length(self.now.duration_since(at)))
    }

    /// `14:30`, with the day if it is another one.
    #[must_use]
    pub fn clock(&self, at: Timestamp) -> String {
        let (there, here) = (at.to_zoned(self.zone.clone()), self.now.to_zoned(self.zone.clone()));
        let format = if there.date() == here.date() { "%H:%M" } else { "%a %d %b %H:%M" };
        there.strftime(format).to_string()
    }

    /// `2026-11-22 14:30:05`.
    #[must_use]
    pub fn full(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
    }

    /// How long ago, as kubectl's AGE.
    #[must_use]
    pub fn age(&self, at: Timestamp) -> String {
        length(self.now.duration_since(at))
    }
}

/// `45s`, `12m`, `1h 12m`, `3d`: two units at most.
#[must_use]
pub fn length(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m"),
        3600..172_800 if minutes % 60 == 0 => format!("{hours}h"),
        3600..172_800 => format!("{hours}h {}m", minutes % 60),
        _ => format!("{}d", hours / 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn far_and_past_ends_are_said_in_words() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let when = When { now: at("2026-11-22T23:00:00Z"), zone: TimeZone::UTC };
        let table = [
            ("2026-11-22T22:00:00Z", "22:00 (due)"),
            ("2026-11-22T23:00:30Z", "23:00 (in less than a minute)"),
            ("2026-11-22T23:40:30Z", "23:40 (in 40m)"),
            ("2026-11-23T01:05:00Z", "Mon 23 Nov 01:05 (in 2h 5m)"),
            ("2026-11-29T23:00:00Z", "Sun 29 Nov 23:00 (in 7d)"),
        ];
        for (end, said) in table {
            assert_eq!(when.until(at(end)), said);
        }
        assert_eq!(when.since(at("2026-11-22T21:00:00Z")), "21:00 (2h ago)");
        assert_eq!(when.age(at("2026-11-22T22:59:15Z")), "45s");
    }
}
