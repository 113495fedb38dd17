//! A story as a picture: SVG, wide enough for a README, legible in light and in dark mode.
//!
//! Guarantees: follows from its input alone; every text in it is escaped; one element per line, so that two pictures
//! can be compared.

mod axis;
mod lanes;
mod marks;
mod panel;

use super::{chronicle::Chronicle, chronicle::Teller, clock::span, scenario::Scenario, summary::Summary};
use axis::Axis;
use lanes::{LANE, short};
use lockkeeper_core::status::Phase;
use lockkeeper_sim::{World, svg::Svg};
use marks::{MARKS, Mark};

const WIDTH: f64 = 840.0;
const LEFT: f64 = 92.0;
const RIGHT: f64 = WIDTH - 18.0;
/// Rows for the steps of the scenario.
const ROWS: usize = 4;
const ROW: f64 = 15.0;

/// Draws a story.
#[must_use]
pub fn svg(scenario: &Scenario, chronicle: &Chronicle, summary: &Summary, world: &World) -> String {
    let mut svg = Svg::default();
    let axis = Axis { from: scenario.clock.start, to: scenario.end };
    svg.text("title", [14.0, 24.0], &short(&scenario.title, 90));
    let mut y = 42.0;
    for line in headlines(scenario, summary) {
        svg.text("dim", [14.0, y], &short(&line, 130));
        y += 15.0;
    }
    y += 6.0;
    let stages = number(scenario.policy.stages.len());
    let rows = steps(&mut svg, scenario, chronicle, &axis, y, stages * LANE);
    y += rows + 4.0;
    let bottom = y + stages * LANE - 6.0;
    axis.draw(&mut svg, &scenario.clock, y + 8.0, bottom);
    for stage in 0..scenario.policy.stages.len() {
        lanes::draw(&mut svg, scenario, chronicle, &axis, stage, y);
        y += LANE;
    }
    y = bottom + 30.0;
    for panel in panel::choose(scenario, chronicle, world) {
        panel::draw(&mut svg, scenario, &panel, y);
        y += panel::PANEL;
    }
    y = legend(&mut svg, scenario, chronicle, y + 8.0);
    svg.document(WIDTH, y + 8.0, &scenario.title)
}

/// One line per bad release: what a person would ask first.
fn headlines(scenario: &Scenario, summary: &Summary) -> Vec<String> {
    let one = |bad: &super::summary::Bad| {
        let name = &scenario.releases[bad.release].name;
        // The stage where it crashed most, or that it reached last.
        let place = bad.places.iter().max_by_key(|(stage, _, _, crashes)| (*crashes, *stage));
        let place = place.map(|(stage, ever, all, crashes)| {
            let stage = scenario.policy.stages.get(*stage).map_or("", |s| s.name.as_str());
            format!("{ever} of {all} pods that {stage} had ever ran it, {crashes} crashes")
        });
        let after = |at: Option<jiff::Timestamp>| Some(span(at?.duration_since(bad.began?)));
        let decided = after(bad.decided).map(|d| format!(", rollback {d} after the {}", bad.counted_from()));
        let gone = match after(bad.gone) {
            Some(gone) => format!(", gone after {gone}"),
            None if bad.began.is_some() => ", never gone".to_owned(),
            None => String::new(),
        };
        format!("{name}: {}{}{gone}", place.unwrap_or_default(), decided.unwrap_or_default())
    };
    summary.bad.iter().take(3).map(one).collect()
}

/// A step of the scenario above the lanes.
struct Label {
    x: f64,
    /// Where its text begins.
    from: f64,
    text: String,
    row: Option<usize>,
}

/// What the scenario does: a line through all lanes each, and a text where there is room for it.
fn steps(
    svg: &mut Svg,
    scenario: &Scenario,
    chronicle: &Chronicle,
    axis: &Axis,
    top: f64,
    lanes: f64,
) -> f64 {
    let labels = labels(scenario, chronicle, axis);
    let used = labels.iter().filter_map(|label| label.row).max().map_or(0, |row| row + 1);
    let height = ROW * number(used);
    for Label { x, from, text, row } in &labels {
        let y = top + ROW * row.map_or(number(used), number);
        svg.line("guide", [*x, if row.is_some() { y + 13.0 } else { y }, *x, top + height + lanes]);
        if row.is_some() {
            let (class, at) = if from < x { ("dim end", x + 2.0) } else { ("dim", x - 2.0) };
            svg.text(class, [at, y + 10.0], text);
        }
    }
    height
}

fn labels(scenario: &Scenario, chronicle: &Chronicle, axis: &Axis) -> Vec<Label> {
    let mut ends = [-100.0_f64; ROWS];
    let mut labels = Vec::new();
    for line in chronicle.lines.iter().filter(|line| line.from == Teller::Script) {
        let x = axis.x(line.at);
        let clock = line.at.to_zoned(scenario.clock.zone.clone()).strftime("%H:%M");
        let text = short(&format!("{clock} {}", line.text), 60);
        let width = number(text.chars().count()) * 6.0;
        // Near the right edge a text ends at its line.
        let from = if x + width > WIDTH { x - width } else { x };
        let free = |row: &usize| ends[*row] < from - 8.0;
        // Best a row with no text to the right of it in the rows below: its line crosses none.
        let clean = (0..ROWS).find(|row| (*row..ROWS).all(|below| free(&below)));
        let row = clean.or_else(|| (0..ROWS).find(free)).filter(|_| from > 0.0);
        if let Some(row) = row {
            ends[row] = from + width;
        }
        labels.push(Label { x, from, text, row });
    }
    labels
}

/// A count; far below where a double would lose one.
fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Entries side by side, in as many rows as it takes.
fn legend(svg: &mut Svg, scenario: &Scenario, chronicle: &Chronicle, top: f64) -> f64 {
    let (mut x, mut y) = (LEFT, top + 6.0);
    let mut entry = |svg: &mut Svg, text: &str, draw: &dyn Fn(&mut Svg, [f64; 2])| {
        let width = 24.0 + number(text.chars().count()) * 6.3;
        if x + width > RIGHT + 10.0 {
            x = LEFT;
            y += 18.0;
        }
        draw(svg, [x + 6.0, y]);
        svg.text("dim", [x + 16.0, y + 4.0], text);
        x += width;
    };
    for (index, known) in scenario.releases.iter().enumerate() {
        if chronicle.deeds.iter().any(|((r, _), deeds)| *r == index && !deeds.uids.is_empty()) {
            let class = lanes::class(scenario, index);
            entry(svg, &short(&known.name, 30), &|svg, [x, y]| {
                svg.rect(class, [x - 5.0, y - 5.0, 10.0, 10.0]);
            });
        }
    }
    let crashed = chronicle.deeds.values().any(|deeds| !deeds.crashes.is_empty());
    if crashed {
        entry(svg, "crash", &|svg, [x, y]| svg.line("crash", [x, y - 5.0, x, y + 5.0]));
    }
    for (phase, class, text) in PHASES {
        let seen = chronicle.tracks.iter().any(|t| t.phases.iter().any(|(_, p)| *p == Some(phase)));
        if seen {
            entry(svg, text, &|svg, [x, y]| svg.rect(class, [x - 6.0, y - 2.5, 12.0, 5.0]));
        }
    }
    for (mark, text) in MARKS {
        if chronicle.lines.iter().any(|line| Mark::of(line) == Some(mark)) {
            entry(svg, text, &|svg, at| mark.draw(svg, at));
        }
    }
    y + 12.0
}

const PHASES: [(Phase, &str, &str); 4] = [
    (Phase::Applying, "apply", "applying"),
    (Phase::Soaking, "soak", "soaking"),
    (Phase::RollingBack, "back", "rolling back"),
    (Phase::Blocked, "block", "blocked"),
];
