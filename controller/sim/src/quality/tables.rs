//! The rows of the tables, and how one row is measured.

use super::{DETECTORS, Detector, Fleet, GaugeNight, Noise, gauge_found, mean_of_signals, night, passes};
use crate::Random;

/// What one row plays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A promotion, by every variant of the rule.
    Night(Fleet, Noise),
    /// A gauge alone, at E ≥ 100.
    Gauge(GaugeNight),
    /// Crashes, a gauge, and the mean of both.
    Signals,
    /// The pass rule at exactly this rate.
    Passes(f64),
}

/// One row: what it plays, and what was published.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// What it plays.
    pub kind: Kind,
    /// What the published tables say, in the order of [`Result::found`] where they say something: a share of false rollbacks in per
    /// cent, or a median in minutes.
    pub published: [Option<f64>; DETECTORS.len()],
}

/// What came out of one row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Result {
    /// Runs.
    pub runs: u32,
    /// By variant of the rule (or by signal): the minutes, sorted, of the runs in which it alarmed.
    pub found: Vec<Vec<f64>>,
}

impl Result {
    /// The share of runs in which the variant alarmed.
    #[must_use]
    pub fn share(&self, variant: usize) -> f64 {
        let found = self.found.get(variant).map_or(0, Vec::len);
        f64::from(u32::try_from(found).unwrap_or(u32::MAX)) / f64::from(self.runs.max(1))
    }

    /// The median minute over all runs, if it alarmed in more than half of them.
    #[must_use]
    pub fn median(&self, variant: usize) -> Option<f64> {
        self.found.get(variant)?.get(self.runs as usize / 2).copied()
    }
}

/// Plays a row so many times.
#[must_use]
pub fn measure(row: &Row, runs: u32, seed: u64) -> Result {
    let mut random = Random::new(seed);
    let mut found: Vec<Vec<f64>> = vec![Vec::new(); DETECTORS.len()];
    for _ in 0..runs {
        let minutes: Vec<Option<f64>> = match &row.kind {
            Kind::Night(fleet, noise) => night(fleet, *noise, &mut random).to_vec(),
            Kind::Gauge(gauge) => {
                let minute = gauge_found(gauge, 100.0, &mut random);
                vec![minute.map(|m| f64::from(u32::try_from(m).unwrap_or(u32::MAX)))]
            }
            Kind::Signals => mean_of_signals(&mut random).to_vec(),
            Kind::Passes(rate) => vec![passes(*rate, &mut random).then_some(0.0)],
        };
        for (all, minute) in found.iter_mut().zip(minutes) {
            all.extend(minute);
        }
    }
    for all in &mut found {
        all.sort_by(f64::total_cmp);
    }
    Result { runs, found }
}

/// The fleets that a row is played on: 3 and 10 of 30 pods.
const WAVES: [(usize, usize); 2] = [(3, 27), (10, 20)];
const NONE: [Option<f64>; DETECTORS.len()] = [None; DETECTORS.len()];

fn fleet((candidates, baselines): (usize, usize), owners: usize, stages: usize) -> Fleet {
    Fleet { candidates, baselines, owners, stages }
}

/// All rows, in the order of the page.
#[must_use]
pub fn rows() -> Vec<Row> {
    let mut rows = noise();
    rows.extend(detection());
    rows.extend(gauges());
    rows.push(Row { kind: Kind::Signals, published: published(&[(0, 28.0), (1, 27.0), (2, 20.0)]) });
    rows.push(Row { kind: Kind::Passes(0.5), published: published(&[(0, 4.9)]) });
    rows
}

fn published(pairs: &[(usize, f64)]) -> [Option<f64>; DETECTORS.len()] {
    let mut all = NONE;
    for (variant, value) in pairs {
        all[*variant] = Some(*value);
    }
    all
}

/// Every model of noise, on waves of 3 and 10, one and six owners, promotions of one and of three stages.
fn noise() -> Vec<Row> {
    let models = [
        Noise::Independent(0.005),
        Noise::Independent(0.05),
        Noise::Independent(0.2),
        Noise::AlwaysNew(0.2),
        Noise::Frailty(0.05),
        Noise::FrailtyNew(0.05),
        Noise::BadPod(0.05),
        Noise::BadPodNew(0.05),
        Noise::BadOwner(0.05),
        Noise::Bursts(0.05),
        Noise::EverybodyAnew(0.05),
        Noise::EverybodyAnewAndBadPod(0.05),
        Noise::TimeOfDay(0.05),
        Noise::Drift(0.05),
        Noise::Rolls(0.05),
    ];
    let mut rows = Vec::new();
    for noise in models {
        for stages in [1, 3] {
            for owners in [1, 6] {
                // One owner that is bad is all there is: nothing is told apart.
                if matches!(noise, Noise::BadOwner(_)) && owners == 1 {
                    continue;
                }
                for wave in WAVES {
                    let published = if stages == 1 && owners == 1 { robust(noise, wave) } else { NONE };
                    rows.push(Row { kind: Kind::Night(fleet(wave, owners, stages), noise), published });
                }
            }
        }
    }
    rows
}

/// Published false rollbacks in per cent: nothing left out, and leave-one-out.
fn robust(noise: Noise, (candidates, _): (usize, usize)) -> [Option<f64>; DETECTORS.len()] {
    match (noise, candidates) {
        (Noise::Independent(0.005), 3) => published(&[(0, 0.02)]),
        (Noise::Independent(0.05), 3) => published(&[(0, 0.27), (1, 0.0)]),
        (Noise::Independent(0.2), 3) => published(&[(0, 0.19)]),
        (Noise::Frailty(0.05), 3) => published(&[(0, 1.6), (1, 0.03)]),
        (Noise::Frailty(0.05), 10) => published(&[(0, 2.2), (1, 0.2)]),
        (Noise::BadPod(0.05), 3) => published(&[(0, 100.0), (1, 0.2)]),
        (Noise::BadPod(0.05), 10) => published(&[(0, 100.0), (1, 0.3)]),
        (Noise::Bursts(0.05), 3) => published(&[(0, 0.2), (1, 0.0)]),
        _ => NONE,
    }
}

/// Bad releases, base rate 0.005: plain E ≥ 100, leave-one-out E ≥ 100 and E ≥ 200, M alone, M or the fast detector.
fn detection() -> Vec<Row> {
    type Medians = [[Option<f64>; 4]; 5];
    let at = |values: [f64; 4]| values.map(Some);
    let some = |a: f64, b: f64, c: f64| [Some(a), Some(b), Some(c), None];
    let tables: [(usize, usize, Medians); 4] = [
        (
            0,
            1,
            [
                some(112.0, 28.0, 10.0),
                [None, Some(62.0), Some(19.0), None],
                at([255.0, 59.0, 20.0, 12.0]),
                at([237.0, 58.0, 20.0, 12.0]),
                at([172.0, 40.0, 14.0, 8.0]),
            ],
        ),
        (
            0,
            6,
            [[None; 4], [None; 4], [None; 4], at([326.0, 78.0, 25.0, 16.0]), at([240.0, 58.0, 20.0, 12.0])],
        ),
        (
            1,
            1,
            [
                [None, Some(16.0), Some(5.0), None],
                [None, Some(23.0), Some(7.0), None],
                at([99.0, 25.0, 9.0, 5.0]),
                at([82.0, 21.0, 7.0, 5.0]),
                at([70.0, 18.0, 6.0, 4.0]),
            ],
        ),
        (1, 6, [[None; 4], [None; 4], [None; 4], at([100.0, 25.0, 8.0, 5.0]), at([82.0, 21.0, 7.0, 4.0])]),
    ];
    let mut rows = Vec::new();
    for (wave, owners, medians) in tables {
        for (index, extra) in [0.5, 2.0, 6.0, 10.0].into_iter().enumerate() {
            let mut published = NONE;
            for (slot, medians) in published.iter_mut().zip(medians) {
                *slot = medians[index];
            }
            let kind = Kind::Night(fleet(WAVES[wave], owners, 1), Noise::Worse(0.005, extra));
            rows.push(Row { kind, published });
        }
    }
    // The first stage of three needs three times the evidence.
    for extra in [0.5, 2.0, 6.0, 10.0] {
        let kind = Kind::Night(fleet(WAVES[0], 1, 3), Noise::Worse(0.005, extra));
        rows.push(Row { kind, published: NONE });
    }
    rows
}

/// A p95 alone: false alarms, then what is found, then what turns bad late.
fn gauges() -> Vec<Row> {
    let quiet = GaugeNight { margin: 0.1, autocorrelation: 0.0, placement: 0.0, factor: 1.0, from: 0 };
    let night = |night: GaugeNight, published: f64| Row {
        kind: Kind::Gauge(night),
        published: self::published(&[(0, published)]),
    };
    vec![
        night(quiet, 0.02),
        night(GaugeNight { autocorrelation: 0.5, ..quiet }, 0.2),
        night(GaugeNight { margin: 0.0, placement: 0.03, ..quiet }, 26.0),
        night(GaugeNight { margin: 0.0, placement: 0.03, autocorrelation: 0.5, ..quiet }, 41.0),
        night(GaugeNight { factor: 1.2, ..quiet }, 25.0),
        night(GaugeNight { factor: 1.5, ..quiet }, 10.0),
        night(GaugeNight { factor: 2.0, ..quiet }, 10.0),
        night(GaugeNight { factor: 1.5, from: 180, ..quiet }, 18.0),
    ]
}

impl Row {
    /// Whether an alarm would be a false one.
    #[must_use]
    pub fn quiet(&self) -> bool {
        match &self.kind {
            Kind::Night(_, noise) => !matches!(noise, Noise::Worse(..)),
            Kind::Gauge(gauge) => gauge.factor <= 1.0,
            Kind::Signals => false,
            Kind::Passes(_) => true,
        }
    }
}

/// The place of a variant in [`DETECTORS`].
#[must_use]
pub fn place(detector: Detector) -> usize {
    DETECTORS.iter().position(|d| *d == detector).unwrap_or_default()
}
