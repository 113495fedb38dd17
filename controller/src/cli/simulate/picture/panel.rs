//! Below the lanes: the evidence against the release that was taken back, or, where nobody looked, its crashes.

use super::{LEFT, RIGHT, axis::Axis};
use crate::cli::simulate::{chronicle::Chronicle, scenario::Scenario};
use jiff::{SignedDuration, Timestamp};
use lockkeeper_core::image::Digest;
use lockkeeper_sim::{
    EvidencePoint, World,
    svg::{Svg, px},
};
use std::fmt::Write as _;

const HEIGHT: f64 = 120.0;
/// Height of a panel with its heading and its times.
pub const PANEL: f64 = HEIGHT + 48.0;

/// What the panel is about.
pub enum Panel<'a> {
    /// Points of one candidate in one stage, and its crashes there.
    Evidence { stage: usize, release: usize, points: Vec<&'a EvidencePoint>, crashes: Vec<Timestamp> },
    /// A release that crashed while nobody judged it.
    Crashes { stage: usize, release: usize, crashes: Vec<Timestamp> },
}

/// The most telling panel of a story, if there is anything to tell.
pub fn choose<'a>(scenario: &Scenario, chronicle: &Chronicle, world: &'a World) -> Option<Panel<'a>> {
    let worst = world
        .evidence
        .iter()
        .filter(|p| p.standing.crashes[0] > 0)
        .max_by(|a, b| a.standing.evidence.total_cmp(&b.standing.evidence));
    if let Some(worst) = worst {
        let release = release_of(scenario, &worst.digest)?;
        let same = |p: &&EvidencePoint| p.stage == worst.stage && p.digest == worst.digest;
        let points = world.evidence.iter().filter(same).collect();
        let crashes = chronicle.deeds.get(&(release, worst.stage)).map(|d| d.crashes.clone());
        return Some(Panel::Evidence {
            stage: worst.stage,
            release,
            points,
            crashes: crashes.unwrap_or_default(),
        });
    }
    let most = chronicle.deeds.iter().max_by_key(|(_, deeds)| deeds.crashes.len());
    let ((release, stage), deeds) = most.filter(|(_, deeds)| !deeds.crashes.is_empty())?;
    Some(Panel::Crashes { stage: *stage, release: *release, crashes: deeds.crashes.clone() })
}

fn release_of(scenario: &Scenario, digest: &Digest) -> Option<usize> {
    scenario.releases.iter().position(|known| known.release.answers_to(digest))
}

/// Draws it below `top`.
pub fn draw(svg: &mut Svg, scenario: &Scenario, panel: &Panel<'_>, top: f64) {
    let (stage, release) = match panel {
        Panel::Evidence { stage, release, .. } | Panel::Crashes { stage, release, .. } => (stage, release),
    };
    let stage = scenario.policy.stages.get(*stage).map_or("", |s| s.name.as_str());
    let name = scenario.releases.get(*release).map_or("", |known| known.name.as_str());
    let (low, high) = (top + 24.0 + HEIGHT, top + 24.0);
    match panel {
        Panel::Evidence { points, crashes, .. } => {
            let heading = format!("Evidence against {name} in {stage}, minute by minute");
            svg.text("name", [LEFT, top + 12.0], &heading);
            evidence(svg, scenario, points, crashes, [high, low]);
        }
        Panel::Crashes { crashes, .. } => {
            svg.text("name", [LEFT, top + 12.0], &format!("Crashes of {name} in {stage}, added up"));
            added_up(svg, scenario, crashes, [high, low]);
        }
    }
    svg.rect("frame", [LEFT, high, RIGHT - LEFT, HEIGHT]);
}

/// A logarithmic scale.
struct Scale {
    least: f64,
    most: f64,
    high: f64,
    low: f64,
}

impl Scale {
    fn y(&self, value: f64) -> f64 {
        let value = value.max(1e-12).log10();
        let share = (value - self.least) / (self.most - self.least).max(1e-9);
        self.low - share.clamp(0.0, 1.0) * (self.low - self.high)
    }
}

fn evidence(
    svg: &mut Svg,
    scenario: &Scenario,
    points: &[&EvidencePoint],
    crashes: &[Timestamp],
    [high, low]: [f64; 2],
) {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return };
    let limit = first.standing.limit;
    let top = points.iter().map(|p| p.standing.evidence).fold(limit, f64::max);
    let bottom = points.iter().map(|p| p.standing.evidence).fold(1.0, f64::min);
    let scale = Scale {
        least: bottom.max(1e-6).log10().floor().max(-3.0),
        most: (top * 1.5).min(1e9).log10().ceil().max(1.0),
        high,
        low,
    };
    let margin = SignedDuration::from_secs(last.at.duration_since(first.at).as_secs() / 12 + 30);
    let axis = Axis { from: first.at, to: last.at.checked_add(margin).unwrap_or(last.at) };
    axis.draw(svg, &scenario.clock, high, low);
    let mut power = scale.least;
    while power <= scale.most {
        let y = scale.y(10_f64.powf(power));
        svg.line("grid", [LEFT, y, RIGHT, y]);
        svg.text("dim end", [LEFT - 8.0, y + 4.0], &label(power));
        power += 1.0;
    }
    ticks(svg, &axis, crashes, low);
    let mut path = String::new();
    for (n, point) in points.iter().enumerate() {
        let (x, y) = (px(axis.x(point.at)), px(scale.y(point.standing.evidence)));
        // Evidence holds until the next minute is counted. Writing to a String cannot fail.
        let _ = if n == 0 { write!(path, "M{x} {y}") } else { write!(path, "H{x}V{y}") };
    }
    svg.path("curve", &path);
    if limit.is_finite() {
        let y = scale.y(limit);
        svg.line("limit", [LEFT, y, RIGHT, y]);
        svg.text(
            "limit-text",
            [LEFT + 8.0, y - 5.0],
            &format!("limit {limit:.1}: above it the release is taken back"),
        );
    }
    if last.standing.evidence >= limit {
        svg.circle("bad", [axis.x(last.at), scale.y(last.standing.evidence)], 4.0);
    }
    svg.text("dim", [LEFT + 8.0, low - 14.0], "each stroke at the bottom is a crash");
}

fn ticks(svg: &mut Svg, axis: &Axis, crashes: &[Timestamp], low: f64) {
    let inside = crashes.iter().filter(|at| **at >= axis.from && **at <= axis.to);
    let path: Vec<String> = inside.map(|at| format!("M{} {}v-9", px(axis.x(*at)), px(low))).collect();
    let path = path.concat();
    svg.path("crash", &path);
}

fn label(power: f64) -> String {
    match power {
        p if (-3.5..0.0).contains(&p) => format!(
            "{:.*}",
            if p < -2.5 {
                3
            } else if p < -1.5 {
                2
            } else {
                1
            },
            10_f64.powf(p)
        ),
        p if p < 5.5 => format!("{:.0}", 10_f64.powf(p)),
        p => format!("10^{p:.0}"),
    }
}

fn added_up(svg: &mut Svg, scenario: &Scenario, crashes: &[Timestamp], [high, low]: [f64; 2]) {
    let axis = Axis { from: scenario.clock.start, to: scenario.end };
    axis.draw(svg, &scenario.clock, high, low);
    let all = f64::from(u32::try_from(crashes.len()).unwrap_or(u32::MAX));
    let mut sorted = crashes.to_vec();
    sorted.sort();
    let mut path = format!("M{} {}", px(LEFT), px(low));
    for (n, at) in (1_u32..).zip(&sorted) {
        let y = low - f64::from(n) / all.max(1.0) * (low - high) * 0.9;
        let _ = write!(path, "H{}V{}", px(axis.x(*at)), px(y));
    }
    let _ = write!(path, "H{}", px(RIGHT));
    svg.path("curve", &path);
    let y = low - (low - high) * 0.9;
    svg.text("dim end", [LEFT - 8.0, y + 4.0], &format!("{}", crashes.len()));
    svg.text("dim end", [LEFT - 8.0, low + 4.0], "0");
}
