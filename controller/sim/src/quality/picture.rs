//! The two pictures of the page, drawn as the simulator draws.

use super::{DETECTORS, Detector, Kind, Noise, Result, Row, page, tables::place};
use crate::svg::{Svg, px};
use std::fmt::Write as _;

const WIDTH: f64 = 840.0;
const LEFT: f64 = 380.0;
const RIGHT: f64 = WIDTH - 24.0;
const LINE: f64 = 22.0;
/// The right end of the picture of false rollbacks.
const MOST: f64 = 0.04;

/// For each model of noise the worst share of false rollbacks of the default, against the promise.
pub fn noise(measured: &[(Row, Result)]) -> String {
    let mut svg = Svg::default();
    let mut worst: Vec<(String, f64)> = Vec::new();
    for (row, result) in measured {
        let Kind::Night(_, noise) = row.kind else { continue };
        if !row.quiet() {
            continue;
        }
        let (name, share) = (page::noise_name(noise), result.share(place(Detector::Default)));
        match worst.iter_mut().find(|(known, _)| *known == name) {
            Some((_, most)) => *most = most.max(share),
            None => worst.push((name, share)),
        }
    }
    svg.text(
        "title",
        [14.0, 24.0],
        "Good releases taken back by mistake, worst fleet of each model of noise",
    );
    let x = |share: f64| LEFT + (share / MOST).clamp(0.0, 1.0) * (RIGHT - LEFT);
    let bottom = 44.0 + LINE * f64::from(u32::try_from(worst.len()).unwrap_or(0));
    for percent in [0.0, 1.0, 3.0, 4.0] {
        svg.line("grid", [x(percent / 100.0), 40.0, x(percent / 100.0), bottom]);
        svg.text("dim mid", [x(percent / 100.0), bottom + 14.0], &format!("{percent} %"));
    }
    let mut top = 44.0;
    for (name, share) in &worst {
        svg.text("dim end", [LEFT - 8.0, top + 14.0], name);
        svg.rect("g0", [LEFT, top + 4.0, (x(*share) - LEFT).max(1.0), LINE - 8.0]);
        svg.text("dim", [x(*share) + 6.0, top + 15.0], &format!("{:.2} %", share * 100.0));
        top += LINE;
    }
    svg.line("limit", [x(0.02), 40.0, x(0.02), bottom]);
    svg.text("limit-text mid", [x(0.02), bottom + 14.0], "2 %");
    svg.document(WIDTH, bottom + 24.0, "False rollbacks by model of noise")
}

/// Median minutes by how bad the release is, for M alone and for the default, waves of 3 and of 10; both axes logarithmic.
pub fn delay(measured: &[(Row, Result)]) -> String {
    const PLOT: [f64; 4] = [70.0, 50.0, 560.0, 330.0];
    let [left, top, right, bottom] = PLOT;
    let x = |rate: f64| left + (rate / 0.5).ln() / 20.0_f64.ln() * (right - left);
    let y = |minutes: f64| bottom - minutes.max(1.0).ln() / 360.0_f64.ln() * (bottom - top);
    let mut svg = Svg::default();
    svg.text("title", [14.0, 24.0], "Minutes until a bad release is taken back (median)");
    for rate in [0.5, 1.0, 2.0, 5.0, 10.0] {
        svg.line("grid", [x(rate), top, x(rate), bottom]);
        svg.text("dim mid", [x(rate), bottom + 16.0], &format!("+{rate}/h"));
    }
    for minutes in [1.0, 3.0, 10.0, 30.0, 100.0, 360.0] {
        svg.line("grid", [left, y(minutes), right, y(minutes)]);
        svg.text("dim end", [left - 8.0, y(minutes) + 4.0], &format!("{minutes}"));
    }
    let curves = [
        (3, Detector::Martingale, "lead", "wave of 3, M of three signals"),
        (3, Detector::Default, "curve", "wave of 3, default"),
        (10, Detector::Martingale, "lead", "wave of 10, M of three signals"),
        (10, Detector::Default, "curve", "wave of 10, default"),
    ];
    for (wave, variant, class, label) in curves {
        let mut path = String::new();
        let mut end = None;
        for (row, result) in measured {
            let Kind::Night(fleet, Noise::Worse(_, extra)) = row.kind else { continue };
            let Some(minutes) = result.median(place(variant)) else { continue };
            if fleet.candidates == wave && fleet.owners == 1 && fleet.stages == 1 {
                let _ = write!(
                    path,
                    "{}{} {} ",
                    if path.is_empty() { "M" } else { "L" },
                    px(x(extra)),
                    px(y(minutes))
                );
                end = Some([x(extra), y(minutes)]);
            }
        }
        svg.path(class, path.trim_end());
        if let Some([x, y]) = end {
            svg.text("dim", [x + 10.0, y + 4.0], label);
        }
    }
    svg.rect("frame", [left, top, right - left, bottom - top]);
    svg.document(WIDTH, bottom + 30.0, "Median delay by how bad the release is")
}

const _: () = assert!(DETECTORS.len() == 7, "the page has a column for each");
