//! A p95 beside its peers', tick by tick, and what the engine says of it.

use super::draw::{exponential, normal, poisson};
use super::night::MINUTES;
use crate::Random;
use lockkeeper_core::health::{
    Arm, Arms, Crash, Direction, Evidence, Gauge, Margin, Reading, Stratum, evidence_of_health,
    stage_evidence,
};

/// How a p95 of three pods beside twenty-seven behaves in one stage of one night.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GaugeNight {
    /// The margin.
    pub margin: f64,
    /// Correlation of one tick's noise with the next.
    pub autocorrelation: f64,
    /// How much the places of the candidate's pods differ from the others' (standard deviation of the logarithm).
    pub placement: f64,
    /// The candidate's p95 is so many times what it should be …
    pub factor: f64,
    /// … from this minute on.
    pub from: usize,
}

/// Noise of the logarithm of one arm's p95 in one tick: few requests for the candidate, many for its peers.
const NOISE: [f64; 2] = [0.10, 0.035];

/// The readings of one night: the load of the day is in both.
fn readings(night: &GaugeNight, random: &mut Random) -> Vec<Reading> {
    let place = night.placement * normal(random);
    let (mut noise, keep) = ([0.0, 0.0], night.autocorrelation);
    let fresh = (1.0 - keep * keep).sqrt();
    for (n, size) in noise.iter_mut().zip(NOISE) {
        *n = size * normal(random);
    }
    (0..MINUTES)
        .map(|minute| {
            for (n, size) in noise.iter_mut().zip(NOISE) {
                *n = keep * *n + fresh * size * normal(random);
            }
            let worse = if minute >= night.from { night.factor } else { 1.0 };
            Reading::Pair { candidate: worse * f64::exp(place + noise[0]), baseline: f64::exp(noise[1]) }
        })
        .collect()
}

/// The minute after whose tick E reaches `limit`, counted from the onset, if it does.
#[must_use]
pub fn gauge_found(night: &GaugeNight, limit: f64, random: &mut Random) -> Option<usize> {
    let margin = Margin { direction: Direction::HigherIsWorse, share: night.margin };
    let mut gauge = Gauge::new(MINUTES as u64);
    for (minute, (tick, reading)) in (1..).zip(readings(night, random)).enumerate() {
        gauge.tick(tick, reading, &margin);
        if gauge.e() >= limit {
            return Some((minute + 1).saturating_sub(night.from));
        }
    }
    None
}

/// Minutes until 100 is reached by crashes alone (2 per pod-hour more), by a p95 that is a fifth higher alone, and by the mean
/// of both; three pods beside twenty-seven, nothing left out.
#[must_use]
pub fn mean_of_signals(random: &mut Random) -> [Option<f64>; 3] {
    let slow = GaugeNight { margin: 0.1, autocorrelation: 0.0, placement: 0.0, factor: 1.2, from: 0 };
    let margin = Margin::default();
    let (mut gauge, mut evidence, mut found) = (Gauge::new(MINUTES as u64), Evidence::default(), [None; 3]);
    let stratum = Stratum::new("prod", "Deployment", "app", "t0");
    let mut arms = Arms::default();
    for pod in 0..30 {
        let arm = if pod < 3 { Arm::Candidate } else { Arm::Baseline };
        arms.add(&stratum, arm, &format!("n{pod}"), &format!("p{pod}"));
    }
    let mut next: Vec<f64> = (0..30).map(|pod| exponential(random) / rate(pod)).collect();
    for ((tick, reading), minute) in (1_i64..).zip(readings(&slow, random)).zip(1_u32..) {
        let end = f64::from(minute) / 60.0;
        let mut crashes = Vec::new();
        for (pod, due) in next.iter_mut().enumerate().filter(|(_, due)| **due < end) {
            let arm = if pod < 3 { Arm::Candidate } else { Arm::Baseline };
            let (node, name) = (format!("n{pod}"), format!("p{pod}"));
            crashes.push(Crash { stratum: stratum.clone(), arm, node, pod: name, fingerprint: None });
            *due = end + 75.0 / 3600.0 + exponential(random) / rate(pod);
        }
        gauge.tick(tick, reading, &margin);
        evidence.tick(tick, 1.0 / 60.0, &arms, &crashes);
        let (crash, slow) = (evidence.e_plain(), gauge.e());
        let both = stage_evidence(&[(0.5, crash), (0.5, slow)]);
        for (found, e) in found.iter_mut().zip([crash, slow, both]) {
            if found.is_none() && e >= 100.0 {
                *found = Some(end * 60.0);
            }
        }
    }
    found
}

fn rate(pod: usize) -> f64 {
    if pod < 3 { 2.005 } else { 0.005 }
}

/// Whether a release that crashes exactly at the rate that is asked for ever passes in 24 hours of three pods, looked at
/// every minute.
#[must_use]
pub fn passes(rate: f64, random: &mut Random) -> bool {
    let mut crashes = 0;
    (1..=1_440_u32).any(|minute| {
        crashes += poisson(random, rate * 3.0 / 60.0);
        evidence_of_health(crashes, f64::from(minute) * 3.0 / 60.0, rate) >= 20.0
    })
}
