//! Time from left to right.

use super::{LEFT, RIGHT};
use crate::cli::simulate::clock::Clock;
use jiff::{SignedDuration, Timestamp};
use lockkeeper_sim::svg::Svg;

/// A span of time and where it is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    pub from: Timestamp,
    pub to: Timestamp,
}

impl Axis {
    /// Where a moment is, at most at the ends.
    pub fn x(&self, at: Timestamp) -> f64 {
        let all = self.to.duration_since(self.from).as_secs_f64().max(1.0);
        let share = at.duration_since(self.from).as_secs_f64() / all;
        LEFT + share.clamp(0.0, 1.0) * (RIGHT - LEFT)
    }

    /// Lines from `top` to `bottom` at round times of the day, with their times below.
    pub fn draw(&self, svg: &mut Svg, clock: &Clock, top: f64, bottom: f64) {
        for at in self.ticks(clock) {
            let x = self.x(at);
            svg.line("grid", [x, top, x, bottom]);
            let there = at.to_zoned(clock.zone.clone());
            let midnight = there.hour() == 0 && there.minute() == 0;
            let label = there.strftime(if midnight { "%a %d %b" } else { "%H:%M" }).to_string();
            // The last one must not leave the picture.
            let (class, x) = if x > RIGHT - 14.0 { ("dim end", RIGHT + 10.0) } else { ("dim mid", x) };
            svg.text(class, [x, bottom + 14.0], &label);
        }
    }

    fn ticks(&self, clock: &Clock) -> Vec<Timestamp> {
        let all = self.to.duration_since(self.from).as_mins();
        let minutes = STEPS.into_iter().find(|step| all / step <= 12).unwrap_or(14 * 1440);
        let step = SignedDuration::from_mins(minutes);
        let first = self.from.to_zoned(clock.zone.clone()).start_of_day().map(|day| day.timestamp());
        let mut at = first.unwrap_or(self.from);
        let mut ticks = Vec::new();
        while at <= self.to {
            if at >= self.from {
                ticks.push(at);
            }
            let Ok(next) = at.checked_add(step) else { break };
            at = next;
        }
        ticks
    }
}

/// Minutes between two times that are written out.
const STEPS: [i64; 13] = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 7 * 1440];
