//! When a stage's windows let a release in: exact at both edges, also where daylight saving time changes.

use crate::policy::{Window, WindowKind};
use jiff::{SignedDuration, Timestamp};

/// Whether releases may enter now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// They may.
    Open,
    /// They may not; the time at which that may change, if one is within a year.
    Closed {
        /// See above.
        until: Option<Timestamp>,
    },
}

/// How many edges are looked at before a schedule counts as never opening.
const MAX_EDGES: usize = 1000;

/// The state at `now`: within an `Allow` window (or there is none) and within no `Deny` window.
#[must_use]
pub fn at(windows: &[Window], now: Timestamp) -> State {
    if windows.is_empty() || is_open(windows, now) {
        return State::Open;
    }
    let mut at = now;
    let horizon = now.saturating_add(SignedDuration::from_hours(24 * 366)).unwrap_or(Timestamp::MAX);
    for _ in 0..MAX_EDGES {
        let Some(edge) =
            windows.iter().filter_map(|w| next_edge(w, at)).min().filter(|edge| *edge <= horizon)
        else {
            break;
        };
        if is_open(windows, edge) {
            return State::Closed { until: Some(edge) };
        }
        at = edge;
    }
    State::Closed { until: None }
}

fn is_open(windows: &[Window], at: Timestamp) -> bool {
    let within =
        |kind| windows.iter().filter(move |w| w.kind == kind).any(|w| end_of_current(w, at).is_some());
    let any_allow = windows.iter().any(|w| w.kind == WindowKind::Allow);
    (!any_allow || within(WindowKind::Allow)) && !within(WindowKind::Deny)
}

/// The end of the occurrence that contains `at`: it begins at its cron time, inclusive, and ends exclusive.
fn end_of_current(window: &Window, at: Timestamp) -> Option<Timestamp> {
    let mut from = at.saturating_sub(window.duration).ok()?;
    // The newest occurrence that began by `at` decides; occurrences may overlap.
    let mut end = None;
    for _ in 0..MAX_EDGES {
        let Some(start) = next_start(window, from).filter(|start| *start <= at) else { break };
        let ends = start.saturating_add(window.duration).ok()?;
        if at < ends {
            end = end.max(Some(ends));
        }
        from = start;
    }
    end
}

/// The next time after `at` at which this window begins or ends.
fn next_edge(window: &Window, at: Timestamp) -> Option<Timestamp> {
    let start = next_start(window, at);
    match (end_of_current(window, at), start) {
        (Some(end), Some(start)) => Some(end.min(start)),
        (end, start) => end.or(start),
    }
}

/// The first cron time strictly after `at`.
fn next_start(window: &Window, at: Timestamp) -> Option<Timestamp> {
    let zoned = at.to_zoned(window.time_zone.clone());
    window.cron.find_next_occurrence(&zoned, false).ok().map(|z| z.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;
    use std::str::FromStr as _;

    fn window(cron: &str, hours: i64, zone: &str, kind: WindowKind) -> Window {
        Window {
            cron: croner::Cron::from_str(cron).unwrap(),
            duration: SignedDuration::from_hours(hours),
            time_zone: TimeZone::get(zone).unwrap(),
            kind,
        }
    }

    fn ts(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn c3_the_edges_are_exact() {
        let w = [window("0 9 * * MON-THU", 7, "America/New_York", WindowKind::Allow)];
        // Monday 2026-06-01, New York is at UTC-4.
        assert_eq!(
            at(&w, ts("2026-06-01T12:59:59Z")),
            State::Closed { until: Some(ts("2026-06-01T13:00:00Z")) }
        );
        assert_eq!(at(&w, ts("2026-06-01T13:00:00Z")), State::Open);
        assert_eq!(at(&w, ts("2026-06-01T19:59:59Z")), State::Open);
        assert_eq!(
            at(&w, ts("2026-06-01T20:00:00Z")),
            State::Closed { until: Some(ts("2026-06-02T13:00:00Z")) }
        );
        // Thursday evening: closed until Monday.
        assert_eq!(
            at(&w, ts("2026-06-04T20:00:00Z")),
            State::Closed { until: Some(ts("2026-06-08T13:00:00Z")) }
        );
    }

    #[test]
    fn c3_a_window_in_the_gap_of_daylight_saving_begins_after_it() {
        // 2026-03-08 02:30 does not exist in New York; clocks go from 02:00 EST to 03:00 EDT at 07:00Z.
        let w = [window("30 2 * * *", 1, "America/New_York", WindowKind::Allow)];
        assert!(matches!(at(&w, ts("2026-03-08T06:59:59Z")), State::Closed { .. }));
        assert_eq!(at(&w, ts("2026-03-08T07:30:00Z")), State::Open);
        // The repeated hour of autumn opens the window once.
        let w = [window("30 1 * * *", 1, "America/New_York", WindowKind::Allow)];
        let open = |t: &str| at(&w, ts(t)) == State::Open;
        assert!(open("2026-11-01T05:30:00Z"));
        assert!(!open("2026-11-01T06:31:00Z"));
    }

    #[test]
    fn deny_wins_and_no_window_is_always_open() {
        let allow = window("0 0 * * *", 24, "UTC", WindowKind::Allow);
        let deny = window("0 0 24 12 *", 72, "UTC", WindowKind::Deny);
        assert_eq!(at(&[], ts("2026-12-25T00:00:00Z")), State::Open);
        assert_eq!(
            at(&[allow, deny], ts("2026-12-25T00:00:00Z")),
            State::Closed { until: Some(ts("2026-12-27T00:00:00Z")) }
        );
    }
}
