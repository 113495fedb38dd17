//! The published simulations again, with this code: seeded, in virtual time.
//!
//! Pods are one per node; a crashed container is away for 75 s; a tick is a minute; a run lasts six hours. All
//! figures are synthetic.

use super::{MINUTE, crash_on, one_per_node};
use crate::health::{Arms, Evidence, Promotion, Verdict};

const HOURS: f64 = 6.0;
const AWAY_HOURS: f64 = 75.0 / 3600.0;
const ALPHA: f64 = 0.015;
/// Crashes per pod-hour of a good release in the published table of detection times.
const BASE: f64 = 0.005;

/// Marsaglia's xorshift64*: small, seeded, and the same everywhere.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn unit(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = u32::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32).expect("32 bits are left");
        (f64::from(bits) + 0.5) / 4_294_967_296.0
    }

    fn exponential(&mut self) -> f64 {
        -self.unit().ln()
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Gamma with this shape (below one) and mean 1: Marsaglia and Tsang 2000.
    fn gamma(&mut self, shape: f64) -> f64 {
        let d = shape + 1.0 - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && self.unit().ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v * self.unit().powf(1.0 / shape) / shape;
            }
        }
    }
}

struct Fleet {
    arms: Arms,
    candidates: usize,
}

impl Fleet {
    fn new(candidates: usize, baselines: usize) -> Self {
        Self { arms: one_per_node(candidates, baselines), candidates }
    }

    /// The minute of the crash after whose tick the evidence satisfies `stop`, if one does within six hours.
    fn first(&self, random: &mut Random, rates: &[f64], stop: impl Fn(&Evidence) -> bool) -> Option<f64> {
        let falls = falls(random, rates);
        let mut evidence = Evidence::default();
        for now in falls.chunk_by(|a, b| a.tick() == b.tick()) {
            let crashes: Vec<_> = now.iter().map(|fall| crash_on(fall.node, self.candidates)).collect();
            let last = now.last()?;
            evidence.tick(last.tick(), MINUTE, &self.arms, &crashes);
            if stop(&evidence) {
                return Some(last.minute);
            }
        }
        None
    }
}

/// One crash: when, and of the pod on which node.
struct Fall {
    minute: f64,
    node: usize,
}

impl Fall {
    #[allow(clippy::cast_possible_truncation, reason = "at most 360")]
    fn tick(&self) -> i64 {
        self.minute as i64 + 1
    }
}

/// The crashes of one run in time order; `rates` are per hour, by node.
fn falls(random: &mut Random, rates: &[f64]) -> Vec<Fall> {
    let mut all = Vec::new();
    for (node, rate) in rates.iter().enumerate() {
        let mut hours = random.exponential() / rate;
        while hours < HOURS {
            all.push(Fall { minute: hours * 60.0, node });
            hours += AWAY_HOURS + random.exponential() / rate;
        }
    }
    all.sort_by(|a, b| a.minute.total_cmp(&b.minute));
    all
}

fn rolls_back(fleet: &Fleet) -> impl Fn(&Evidence) -> bool {
    let prior = Promotion { total_levels: 1, ..Promotion::default() };
    move |evidence| matches!(evidence.verdict(&fleet.arms, &prior, ALPHA), Verdict::Degraded { .. })
}

/// The share of runs that roll back although the candidate is no worse.
fn false_rollbacks(fleet: &Fleet, runs: u32, rates: impl Fn(&mut Random) -> Vec<f64>) -> f64 {
    let stop = rolls_back(fleet);
    let mut random = Random::new(2026);
    let alarms = (0..runs)
        .filter(|_| {
            let rates = rates(&mut random);
            fleet.first(&mut random, &rates, &stop).is_some()
        })
        .count();
    f64::from(u32::try_from(alarms).unwrap()) / f64::from(runs)
}

fn assert_rare(share: f64, runs: u32, what: &str) {
    let limit = ALPHA + 3.0 * (ALPHA * (1.0 - ALPHA) / f64::from(runs)).sqrt();
    assert!(share <= limit, "{what}: {share} of {runs} runs, limit {limit}");
}

/// Six hours at 3 and at 10 of 30 pods and three base rates, with the rates that `model` gives to the pods.
fn assert_seldom_taken_back(model: impl Fn(&mut Random, f64) -> Vec<f64>) {
    const RUNS: u32 = 300;
    for (candidates, baselines) in [(3, 27), (10, 20)] {
        let fleet = Fleet::new(candidates, baselines);
        for base in [0.005, 0.05, 0.2] {
            let share = false_rollbacks(&fleet, RUNS, |random| model(random, base));
            assert_rare(share, RUNS, &format!("{candidates} of 30, base {base}"));
        }
    }
}

#[test]
fn a_candidate_that_is_no_worse_is_seldom_taken_back() {
    assert_seldom_taken_back(|_, base| vec![base; 30]);
}

#[test]
fn nor_is_it_when_every_pod_has_a_rate_of_its_own() {
    assert_seldom_taken_back(|random, base| (0..30).map(|_| base * random.gamma(0.3)).collect());
}

#[test]
fn nor_is_it_when_one_of_its_pods_is_bad() {
    assert_seldom_taken_back(|_, base| {
        let mut rates = vec![base; 30];
        rates[0] += 6.0;
        rates
    });
}

#[test]
fn one_bad_pod_would_alarm_without_leaving_it_out() {
    let fleet = Fleet::new(3, 27);
    let mut random = Random::new(7);
    let mut rates = vec![0.05; 30];
    rates[0] += 6.0;
    for _ in 0..50 {
        assert!(fleet.first(&mut random, &rates, |evidence| evidence.e_plain() >= 1.0 / ALPHA).is_some());
    }
}

/// The median minute of the crash that brings E to 200, on at least three crashes; a run that never gets there counts
/// as the longest. (The tick that counts the crash ends up to a minute later.)
fn median(candidates: usize, extra: f64) -> f64 {
    const RUNS: usize = 601;
    let fleet = Fleet::new(candidates, 30 - candidates);
    let rates: Vec<f64> = (0..30).map(|node| if node < candidates { BASE + extra } else { BASE }).collect();
    let mut random = Random::new(1);
    let found = |evidence: &Evidence| evidence.e_leave_one_out() >= 200.0 && evidence.events().candidate >= 3;
    let mut minutes: Vec<f64> =
        (0..RUNS).map(|_| fleet.first(&mut random, &rates, found).unwrap_or(f64::INFINITY)).collect();
    minutes.sort_by(f64::total_cmp);
    minutes[RUNS / 2]
}

#[test]
fn a_bad_release_is_found_as_fast_as_published() {
    let published =
        [(3, 2.0, 59.0), (3, 6.0, 20.0), (3, 10.0, 12.0), (10, 2.0, 25.0), (10, 6.0, 9.0), (10, 10.0, 5.0)];
    for (candidates, extra, published) in published {
        let found = median(candidates, extra);
        println!("{candidates} of 30, +{extra}: {found:.1} min, published {published}");
        let off = (found - published).abs() / published;
        assert!(off <= 0.15, "{candidates} of 30, +{extra} per pod-hour: {found} min, published {published}");
    }
}
