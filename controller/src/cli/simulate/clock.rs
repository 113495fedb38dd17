//! Where the story's clock begins, and how moments are written in a scenario and in what is told.

use super::fields::{LONGEST, Mistakes, Node};
use jiff::{SignedDuration, Timestamp, Zoned, civil, tz::TimeZone};

/// Where the story begins, and where its clocks hang.
#[derive(Clone, Debug)]
pub struct Clock {
    pub start: Timestamp,
    pub zone: TimeZone,
}

impl Default for Clock {
    /// A Monday morning, UTC.
    fn default() -> Self {
        Self {
            start: Timestamp::UNIX_EPOCH + SignedDuration::from_hours(20_458 * 24 + 9),
            zone: TimeZone::UTC,
        }
    }
}

/// `2023-05-15T17:30:00[America/New_York]`.
pub fn start(m: &mut Mistakes, node: &Node<'_>) -> Option<Clock> {
    let text = m.text(node)?;
    let Ok(zoned) = text.parse::<Zoned>() else {
        m.add(
            node,
            "is no moment in a time zone",
            "write it as 2026-03-02T09:00:00[Europe/Berlin] or …[UTC]",
        );
        return None;
    };
    Some(Clock { start: zoned.timestamp(), zone: zoned.time_zone().clone() })
}

impl Clock {
    /// A duration since the start, or a date and time on the story's clocks.
    pub fn moment(&self, m: &mut Mistakes, node: &Node<'_>) -> Option<Timestamp> {
        let text = m.text(node)?;
        let since = text.parse::<SignedDuration>().ok().and_then(|d| self.start.checked_add(d).ok());
        let civil = || {
            let there = text.parse::<civil::DateTime>().ok()?.to_zoned(self.zone.clone()).ok()?;
            Some(there.timestamp())
        };
        let Some(at) = since.or_else(civil) else {
            m.add(
                node,
                "is no moment",
                "write a duration since the start such as 1h30m, or 2026-03-02T10:30",
            );
            return None;
        };
        let after = at.duration_since(self.start);
        if after.is_negative() || after > LONGEST {
            m.add(node, "is before the start, or more than 60 days after it", "write a moment in between");
            return None;
        }
        Some(at)
    }

    /// `Tue 03:38:00`.
    #[must_use]
    pub fn shown(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%a %H:%M:%S").to_string()
    }
}

/// `4h 12m`, `19m 5s`, `40s`.
#[must_use]
pub fn span(span: SignedDuration) -> String {
    let seconds = span.as_secs().max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m {}s", seconds % 60),
        3600..86_400 => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}
