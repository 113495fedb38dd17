//! One lane per stage: signs, the share of its pods that runs each release, crashes, and the controller's phase.

use super::{LEFT, RIGHT, axis::Axis, marks::Mark, number};
use crate::cli::simulate::{
    chronicle::{Chronicle, Track},
    scenario::Scenario,
};
use jiff::Timestamp;
use lockkeeper_core::status::Phase;
use lockkeeper_sim::svg::{Svg, px};
use std::fmt::Write as _;

const SIGNS: f64 = 17.0;
const STACK: f64 = 46.0;
const CRASHES: f64 = 6.0;
const PHASES: f64 = 5.0;
/// Height of a lane, with the gap below it.
pub const LANE: f64 = SIGNS + STACK + CRASHES + PHASES + 12.0;
/// Between two signs.
const APART: f64 = 15.0;

/// The class that a release is drawn in: bad ones are red, whatever else there is.
pub fn class(scenario: &Scenario, release: usize) -> &'static str {
    let Some(known) = scenario.releases.get(release) else { return "none" };
    let alike = scenario.releases.iter().take(release).filter(|other| other.bad() == known.bad()).count();
    if known.bad() { ["b0", "b1"][alike % 2] } else { ["g0", "g1", "g2", "g3"][alike % 4] }
}

/// Draws a stage's lane below `top`.
pub fn draw(svg: &mut Svg, scenario: &Scenario, chronicle: &Chronicle, axis: &Axis, stage: usize, top: f64) {
    let Some(track) = chronicle.tracks.get(stage) else { return };
    let name = scenario.policy.stages.get(stage).map_or("", |s| s.name.as_str());
    let stack = top + SIGNS;
    let pods = track.pods.last().map_or(0, |(_, counts)| counts.iter().sum::<usize>());
    svg.text("name end", [LEFT - 10.0, stack + STACK / 2.0], &short(name, 11));
    svg.text("dim end", [LEFT - 10.0, stack + STACK / 2.0 + 14.0], &format!("{pods} pods"));
    for release in 0..=scenario.releases.len() {
        shares(svg, class(scenario, release), track, axis, release, stack);
    }
    svg.rect("frame", [LEFT, stack, RIGHT - LEFT, STACK]);
    names(svg, scenario, track, axis, stack);
    crashes(svg, chronicle, axis, stage, stack + STACK + 1.0);
    phases(svg, track, axis, stack + STACK + CRASHES + 1.0);
    signs(svg, chronicle, axis, stage, top + SIGNS / 2.0 - 1.0, stack);
}

/// Spans of the track, each with its end.
fn spans<T>(entries: &[(Timestamp, T)]) -> impl Iterator<Item = (Timestamp, Timestamp, &T)> {
    entries.windows(2).filter_map(|pair| match pair {
        [(from, what), (to, _)] => Some((*from, *to, what)),
        _ => None,
    })
}

fn shares(svg: &mut Svg, class: &str, track: &Track, axis: &Axis, release: usize, top: f64) {
    let mut path = String::new();
    let mut last: Option<(f64, f64, f64, f64)> = None;
    let mut flush = |piece: Option<(f64, f64, f64, f64)>| {
        let Some((x1, x2, y1, y2)) = piece else { return };
        // Writing to a String cannot fail.
        let _ = write!(path, "M{} {}H{}V{}H{}Z", px(x1), px(y1), px(x2.max(x1 + 0.4)), px(y2), px(x1));
    };
    for (from, to, counts) in spans(&track.pods) {
        let all = number(counts.iter().sum());
        let below = number(counts.iter().take(release).sum());
        let mine = number(counts.get(release).copied().unwrap_or(0));
        if all == 0.0 || mine == 0.0 {
            flush(last.take());
            continue;
        }
        let (bottom, high) = (top + STACK - below / all * STACK, mine / all * STACK);
        let (x1, x2, y1, y2) = (axis.x(from), axis.x(to), bottom - high, bottom);
        last = match last {
            Some((start, _, a, b)) if px(a) == px(y1) && px(b) == px(y2) => Some((start, x2, a, b)),
            other => {
                flush(other);
                Some((x1, x2, y1, y2))
            }
        };
    }
    flush(last);
    svg.path(class, &path);
}

/// The name of a release where it has the stage to itself for long enough to be read.
fn names(svg: &mut Svg, scenario: &Scenario, track: &Track, axis: &Axis, top: f64) {
    let mut runs: Vec<(Timestamp, Timestamp, usize)> = Vec::new();
    for (from, to, counts) in spans(&track.pods) {
        let all: usize = counts.iter().sum();
        let most = (0..scenario.releases.len()).find(|r| all > 0 && counts[*r] * 10 >= all * 6);
        let Some(release) = most else { continue };
        match runs.last_mut() {
            Some((_, end, last)) if *last == release && *end == from => *end = to,
            _ => runs.push((from, to, release)),
        }
    }
    for (from, to, release) in runs {
        let (x1, x2) = (axis.x(from), axis.x(to));
        let name = short(&scenario.releases[release].name, 24);
        if x2 - x1 > number(name.chars().count()) * 6.5 + 8.0 {
            svg.text("on mid", [f64::midpoint(x1, x2), top + STACK / 2.0 + 4.0], &name);
        }
    }
}

fn crashes(svg: &mut Svg, chronicle: &Chronicle, axis: &Axis, stage: usize, top: f64) {
    let mut at: Vec<String> = chronicle
        .deeds
        .iter()
        .filter(|((_, s), _)| *s == stage)
        .flat_map(|(_, deeds)| deeds.crashes.iter().map(|at| px(axis.x(*at))))
        .collect();
    at.dedup();
    let path: Vec<String> = at.iter().map(|x| format!("M{x} {}v{}", px(top), px(CRASHES - 2.0))).collect();
    let path = path.concat();
    svg.path("crash", &path);
}

fn phases(svg: &mut Svg, track: &Track, axis: &Axis, top: f64) {
    for (from, to, phase) in spans(&track.phases) {
        let class = match phase {
            Some(Phase::Applying) => "apply",
            Some(Phase::Soaking) => "soak",
            Some(Phase::RollingBack) => "back",
            Some(Phase::Blocked) => "block",
            Some(Phase::Idle) | None => continue,
        };
        let (x1, x2) = (axis.x(from), axis.x(to));
        svg.rect(class, [x1, top, (x2 - x1).max(0.6), PHASES]);
    }
}

/// Signs in a row; where they would meet they move to the right, with a line to their moment.
fn signs(svg: &mut Svg, chronicle: &Chronicle, axis: &Axis, stage: usize, y: f64, stack: f64) {
    let mut signs: Vec<(f64, Mark)> = chronicle
        .lines
        .iter()
        .filter(|line| line.stage == Some(stage))
        .filter_map(|line| Some((axis.x(line.at), Mark::of(line)?)))
        .collect();
    signs.dedup_by(|a, b| a.1 == b.1 && (a.0 - b.0).abs() < 1.0);
    let mut places: Vec<f64> = Vec::new();
    for (x, _) in &signs {
        let free = places.last().map_or(*x, |last| x.max(last + APART));
        places.push(free);
    }
    // The last ones must not leave the picture: they push the others back.
    let mut most = RIGHT + 6.0;
    for place in places.iter_mut().rev() {
        *place = place.min(most);
        most = *place - APART;
    }
    for ((x, mark), place) in signs.iter().zip(&places) {
        let lead = format!("M{} {}L{} {}", px(*place), px(y + 5.0), px(*x), px(stack));
        svg.path("lead", &lead);
        mark.draw(svg, [*place, y]);
    }
}

/// At most so many characters.
pub fn short(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(most.saturating_sub(1)).collect();
    cut.push('…');
    cut
}
