//! Below the lanes: the evidence against the release that was taken back, of all signals together and of each, or,
//! where nobody looked, its crashes.

use super::{LEFT, RIGHT, axis::Axis};
use crate::cli::simulate::{chronicle::Chronicle, clock::Clock, scenario::Scenario};
use jiff::{SignedDuration, Timestamp};
use lockkeeper_core::{health::Against, image::Digest, signals::Signal};
use lockkeeper_sim::{
    EvidencePoint, World,
    svg::{Svg, px},
};
use std::fmt::Write as _;

const HEIGHT: f64 = 120.0;
/// Height of a panel with its heading and its times.
pub const PANEL: f64 = HEIGHT + 48.0;

/// One panel.
pub struct Panel {
    heading: String,
    what: What,
}

enum What {
    /// Evidence that grows and shrinks, against its limit.
    Evidence(Curve),
    /// Crashes of a release while nobody judged it.
    Crashes(Vec<Timestamp>),
}

/// Evidence over time.
struct Curve {
    points: Vec<(Timestamp, f64)>,
    limit: f64,
    limit_says: &'static str,
    /// Moments that are drawn at the bottom, and what they are.
    strokes: Vec<Timestamp>,
    strokes_say: &'static str,
}

/// The panels of a story, if there is anything to tell: the candidate that most spoke against.
pub fn choose(scenario: &Scenario, chronicle: &Chronicle, world: &World) -> Vec<Panel> {
    let spoke = |p: &&EvidencePoint| {
        p.standing.crashes[0] > 0 || p.standing.signals.iter().any(|signal| signal.ticks > 0)
    };
    let weaker = |a: &&EvidencePoint, b: &&EvidencePoint| a.standing.evidence.total_cmp(&b.standing.evidence);
    if let Some(worst) = world.evidence.iter().filter(spoke).max_by(weaker) {
        let same = |p: &&EvidencePoint| p.stage == worst.stage && p.digest == worst.digest;
        let points: Vec<_> = world.evidence.iter().filter(same).collect();
        return release_of(scenario, &worst.digest)
            .map(|release| evidence_panels(scenario, chronicle, worst.stage, release, &points))
            .unwrap_or_default();
    }
    let most = chronicle.deeds.iter().max_by_key(|(_, deeds)| deeds.crashes.len());
    let panel = most.filter(|(_, deeds)| !deeds.crashes.is_empty()).map(|((release, stage), deeds)| {
        let heading = format!("Crashes of {}, added up", place(scenario, *release, *stage));
        Panel { heading, what: What::Crashes(deeds.crashes.clone()) }
    });
    panel.into_iter().collect()
}

fn release_of(scenario: &Scenario, digest: &Digest) -> Option<usize> {
    scenario.releases.iter().position(|known| known.release.answers_to(digest))
}

/// `0.29.0 in prod`.
fn place(scenario: &Scenario, release: usize, stage: usize) -> String {
    let stage = scenario.policy.stages.get(stage).map_or("", |s| s.name.as_str());
    let name = scenario.releases.get(release).map_or("", |known| known.name.as_str());
    format!("{name} in {stage}")
}

const A_CRASH: &str = "each stroke at the bottom is a crash";
const A_TICK: &str = "each stroke at the bottom is a tick in which it was worse";

/// All together, then, where there is more than restarts, each by itself.
fn evidence_panels(
    scenario: &Scenario,
    chronicle: &Chronicle,
    stage: usize,
    release: usize,
    points: &[&EvidencePoint],
) -> Vec<Panel> {
    let place = place(scenario, release, stage);
    let crashes = || chronicle.deeds.get(&(release, stage)).map(|d| d.crashes.clone()).unwrap_or_default();
    let measured = points.iter().any(|p| !p.standing.signals.is_empty());
    let all = Curve {
        points: points.iter().map(|p| (p.at, p.standing.evidence)).collect(),
        limit: points.first().map_or(f64::INFINITY, |p| p.standing.limit),
        limit_says: "above it the release is taken back",
        strokes: crashes(),
        strokes_say: A_CRASH,
    };
    let of = if measured { ", of restarts and all signals" } else { "" };
    let heading = format!("Evidence against {place}{of}, minute by minute");
    let mut panels = vec![Panel { heading, what: What::Evidence(all) }];
    if !measured {
        return panels;
    }
    let restarts = points.iter().map(|p| (p.at, p.standing.restarts)).collect();
    let what = What::Evidence(Curve::own(restarts, crashes(), A_CRASH));
    panels.push(Panel { heading: "Restarts".to_owned(), what });
    for signal in &scenario.policy.signals {
        let (against, worse) = of_signal(signal, points);
        let Some((_, [bad, ticks])) = worse.last() else { continue };
        let heading = format!("Signal {}: {} in {bad} of {ticks} ticks", signal.name, signal.compare);
        let strokes = worse.windows(2).filter(|pair| pair[1].1[0] > pair[0].1[0]).map(|pair| pair[1].0);
        let what = What::Evidence(Curve::own(against, strokes.collect(), A_TICK));
        panels.push(Panel { heading, what });
    }
    panels
}

impl Curve {
    /// One signal, against what it would have to reach by itself.
    fn own(points: Of<Against>, strokes: Vec<Timestamp>, strokes_say: &'static str) -> Self {
        let limit = points.last().map_or(f64::INFINITY, |(_, against)| against.limit);
        let points = points.into_iter().map(|(at, against)| (at, against.evidence)).collect();
        Self { points, limit, limit_says: "where it takes the release back by itself", strokes, strokes_say }
    }
}

type Of<T> = Vec<(Timestamp, T)>;

/// The evidence of one signal, and its ticks so far: worse ones, and all.
fn of_signal(signal: &Signal, points: &[&EvidencePoint]) -> (Of<Against>, Of<[u64; 2]>) {
    let of = |p: &&EvidencePoint| {
        let found = p.standing.signals.iter().find(|s| s.name == signal.name)?;
        Some(((p.at, found.against), (p.at, [found.worse, found.ticks])))
    };
    points.iter().filter_map(of).unzip()
}

/// Draws it below `top`.
pub fn draw(svg: &mut Svg, scenario: &Scenario, panel: &Panel, top: f64) {
    let (low, high) = (top + 24.0 + HEIGHT, top + 24.0);
    svg.text("name", [LEFT, top + 12.0], &panel.heading);
    match &panel.what {
        What::Evidence(curve) => evidence(svg, &scenario.clock, curve, [high, low]),
        What::Crashes(crashes) => added_up(svg, scenario, crashes, [high, low]),
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
    /// From the least to the most that is drawn, in powers of ten.
    fn of(curve: &Curve, [high, low]: [f64; 2]) -> Self {
        let values = || curve.points.iter().map(|(_, value)| *value);
        let (top, bottom) = (values().fold(curve.limit, f64::max), values().fold(1.0, f64::min));
        Self {
            least: bottom.max(1e-6).log10().floor().max(-3.0),
            most: (top * 1.5).min(1e9).log10().ceil().max(1.0),
            high,
            low,
        }
    }

    fn y(&self, value: f64) -> f64 {
        let value = value.max(1e-12).log10();
        let share = (value - self.least) / (self.most - self.least).max(1e-9);
        self.low - share.clamp(0.0, 1.0) * (self.low - self.high)
    }

    fn draw(&self, svg: &mut Svg) {
        let mut power = self.least;
        while power <= self.most {
            let y = self.y(10_f64.powf(power));
            svg.line("grid", [LEFT, y, RIGHT, y]);
            svg.text("dim end", [LEFT - 8.0, y + 4.0], &label(power));
            power += 1.0;
        }
    }
}

fn evidence(svg: &mut Svg, clock: &Clock, curve: &Curve, [high, low]: [f64; 2]) {
    let Curve { points, limit, limit_says, strokes, strokes_say } = curve;
    let (Some((first, _)), Some((end, last))) = (points.first(), points.last()) else { return };
    let scale = Scale::of(curve, [high, low]);
    let margin = SignedDuration::from_secs(end.duration_since(*first).as_secs() / 12 + 30);
    let axis = Axis { from: *first, to: end.checked_add(margin).unwrap_or(*end) };
    axis.draw(svg, clock, high, low);
    scale.draw(svg);
    ticks(svg, &axis, strokes, low);
    let mut path = String::new();
    for (n, (at, value)) in points.iter().enumerate() {
        let (x, y) = (px(axis.x(*at)), px(scale.y(*value)));
        // Evidence holds until the next minute is counted. Writing to a String cannot fail.
        let _ = if n == 0 { write!(path, "M{x} {y}") } else { write!(path, "H{x}V{y}") };
    }
    svg.path("curve", &path);
    if limit.is_finite() {
        let y = scale.y(*limit);
        svg.line("limit", [LEFT, y, RIGHT, y]);
        svg.text("limit-text", [LEFT + 8.0, y - 5.0], &format!("limit {limit:.1}: {limit_says}"));
    }
    if last >= limit {
        svg.circle("bad", [axis.x(*end), scale.y(*last)], 4.0);
    }
    svg.text("dim", [LEFT + 8.0, low - 14.0], strokes_say);
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
