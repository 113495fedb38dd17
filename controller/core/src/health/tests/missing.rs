//! A million looks at data that is missing, partial or failing: nothing is taken back, and nobody is paged for it.

use super::{MINUTE, crash, place};
use crate::health::{
    Arm, Arms, Crash, Evidence, FastLimits, Fingerprint, Fingerprints, Gauge, Joint, Margin, Promotion,
    Reading, Room, Together, Verdict,
};

const LOOKS: u64 = 1_000_000;

/// Numbers that are different every time and the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % n).unwrap()
    }
}

/// Arms of which one is missing, or both, or of which each application has only one.
fn partial() -> Vec<Arms> {
    let mut all = vec![Arms::default(); 5];
    place(&mut all[1], "a", "n0", 3, 0);
    place(&mut all[2], "a", "n0", 0, 27);
    place(&mut all[3], "a", "n0", 3, 0);
    place(&mut all[3], "b", "n1", 0, 27);
    place(&mut all[4], "a", "n0", 2, 0);
    place(&mut all[4], "a", "n2", 1, 0);
    all
}

#[test]
fn i8_a_million_looks_at_missing_or_partial_data_take_nothing_back() {
    let (arms, mut dice, limits) = (partial(), Dice(8), FastLimits::of_budget(0.02));
    let (mut evidence, mut fast, mut gauge) = (Evidence::default(), Fingerprints::default(), Gauge::new(360));
    let prior = Promotion { total_levels: 1, ..Promotion::default() };
    let useless = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0];
    for look in 0..LOOKS {
        if look % 1_000 == 0 {
            (evidence, fast, gauge) = (Evidence::default(), Fingerprints::default(), Gauge::new(360));
        }
        let tick = i64::try_from(look % 1_000).unwrap();
        let arms = &arms[dice.below(5)];
        // Crashes of the candidate with nothing to compare with, of pods that nobody knows, in time that is none.
        let crashes: Vec<Crash> = (0..dice.below(4))
            .map(|number| Crash {
                fingerprint: Some(Fingerprint::new("otel", 2, "Error", "panic: new")),
                ..crash(["a", "b"][dice.below(2)], Arm::Candidate, ["n0", "n2"][number % 2], dice.below(4))
            })
            .collect();
        let hours = [MINUTE, MINUTE, f64::NAN, f64::INFINITY, 0.0, -1.0][dice.below(6)];
        evidence.tick(tick, hours, arms, &crashes);
        fast.tick_within(Room::WHOLE, hours, arms, &crashes);
        let value = useless[dice.below(4)];
        let reading = match dice.below(3) {
            0 => Reading::Missing,
            1 => Reading::Pair { candidate: value, baseline: 1.0 },
            _ => Reading::Pair { candidate: 2.0, baseline: value },
        };
        gauge.tick(tick, reading, &Margin::default());
        let verdict = evidence.verdict(arms, &prior, 0.015);
        assert!(
            matches!(verdict, Verdict::Inconclusive { .. } | Verdict::NoData),
            "look {look}: {verdict:?}"
        );
        assert_eq!(fast.alarm(&evidence, &limits), None, "look {look}");
        assert!(gauge.e() <= 1.0 && gauge.e_with_doubt() <= 1.0, "look {look}: {gauge:?}");
    }
}

#[test]
fn i8_the_same_crashes_with_both_arms_are_taken_back() {
    let mut arms = Arms::default();
    place(&mut arms, "a", "n0", 2, 9);
    place(&mut arms, "a", "n2", 1, 9);
    let mut evidence = Evidence::default();
    for tick in 0..20 {
        let node = ["n0", "n2"][usize::try_from(tick % 2).unwrap()];
        evidence.tick(tick, MINUTE, &arms, &[crash("a", Arm::Candidate, node, 0)]);
    }
    let prior = Promotion { total_levels: 1, ..Promotion::default() };
    assert!(matches!(evidence.verdict(&arms, &prior, 0.015), Verdict::Degraded { .. }));
}

#[test]
fn i8_a_million_looks_at_gauges_without_both_values_take_nothing_back_together_with_restarts() {
    let (arms, mut dice) = (partial(), Dice(9));
    let restarts = Evidence::default();
    let prior = Promotion { total_levels: 1, ..Promotion::default() };
    let mut gauge = Gauge::new(360);
    let useless = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0];
    for look in 0..LOOKS {
        if look % 1_000 == 0 {
            gauge = Gauge::new(360);
        }
        let value = useless[dice.below(4)];
        let reading = match dice.below(5) {
            0 => Reading::Missing,
            1 => Reading::CandidateSilent,
            2 => Reading::Pair { candidate: value, baseline: 1.0 },
            3 => Reading::OnePod { candidate: 2.0, baseline: value },
            _ => Reading::OnePod { candidate: 2.0, baseline: 1.0 },
        };
        gauge.tick(i64::try_from(look % 1_000).unwrap(), reading, &Margin::default());
        if look % 10 == 0 {
            let together = Together { restarts: &restarts, gauges: vec![("p95", &gauge)] };
            let found = together.judge(&arms[dice.below(5)], &prior, 0.015);
            assert!(!matches!(found, Joint::Worse(_)), "look {look}: {found:?}");
            assert!(gauge.e() <= 1.0 && gauge.counts() == (0, 0), "look {look}");
        }
    }
}
