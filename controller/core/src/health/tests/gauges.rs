//! The paired sign test: published values, what is missing, and its round trip.

use proptest::prelude::*;

use super::assert_close;
use crate::health::{Direction, Gauge, Margin, Reading};

const BAD: Reading = Reading::Pair { candidate: 1.5, baseline: 1.0 };
const GOOD: Reading = Reading::Pair { candidate: 1.05, baseline: 1.0 };

fn after(ticks: impl IntoIterator<Item = Reading>) -> Gauge {
    let mut gauge = Gauge::new(360);
    for (tick, reading) in (1..).zip(ticks) {
        gauge.tick(tick, reading, &Margin::default());
    }
    gauge
}

/// E0 of so many ticks: E without its second half, which is given by the sums of Shiryaev and Roberts.
fn e0(worse: usize, not_worse: usize) -> f64 {
    let signs = std::iter::repeat_n(true, worse).chain(std::iter::repeat_n(false, not_worse));
    let gauge = after(signs.clone().map(|worse| if worse { BAD } else { GOOD }));
    let second = [0.6, 0.7, 0.8, 0.9, 0.97]
        .map(|p| signs.clone().fold(0.0, |r: f64, worse| (r + 1.0) * 2.0 * if worse { p } else { 1.0 - p }));
    2.0 * gauge.e() - second.iter().sum::<f64>() / 5.0 / 360.0
}

#[test]
fn signs_have_the_published_evidence() {
    assert!((e0(9, 0) - 136.4276).abs() < 2e-4, "{}", e0(9, 0));
    assert!((e0(12, 2) - 25.5313).abs() < 2e-4, "{}", e0(12, 2));
    assert!((e0(10, 10) - 0.1703).abs() < 1e-4, "{}", e0(10, 10));
    assert_close(after([]).e(), 0.5);
}

#[test]
fn what_turns_bad_late_is_found_by_the_second_half() {
    let gauge = after(std::iter::repeat_n(GOOD, 180).chain(std::iter::repeat_n(BAD, 30)));
    assert!(gauge.e() > 1e5, "{}", gauge.e());
    let first_half = [0.6_f64, 0.7, 0.8, 0.9, 0.97]
        .map(|p| (2.0 * p).powi(30) * (2.0 - 2.0 * p).powi(180))
        .iter()
        .sum::<f64>();
    assert!(first_half < 1.0, "{first_half}");
}

#[test]
fn after_its_last_tick_the_second_half_stands_still() {
    let mut gauge = Gauge::new(5);
    let mut before = 0.0;
    for tick in 1..=30 {
        gauge.tick(tick, if tick <= 5 { BAD } else { GOOD }, &Margin::default());
        if tick == 5 {
            before = gauge.e();
        }
    }
    // The first half falls to nothing, the second stays; it never grows without bound either.
    assert!(gauge.e() < before && gauge.e() > 0.1, "{before} {}", gauge.e());
}

#[test]
fn ties_and_what_is_within_the_margin_are_not_worse() {
    let margin = Margin::default();
    assert!(!margin.worse(0.0, 0.0) && !margin.worse(1.1, 1.0) && margin.worse(1.11, 1.0));
    let lower = Margin { direction: Direction::LowerIsWorse, share: 0.1 };
    assert!(!lower.worse(0.0, 0.0) && !lower.worse(0.95, 1.0) && lower.worse(0.9, 1.0));
}

#[test]
fn m2_what_is_missing_or_no_number_is_no_evidence() {
    let nan = |candidate, baseline| Reading::Pair { candidate, baseline };
    let useless = [
        Reading::Missing,
        nan(f64::NAN, 1.0),
        nan(1.0, f64::NAN),
        nan(f64::INFINITY, 1.0),
        nan(1.0, f64::NEG_INFINITY),
        nan(-1.0, 1.0),
        nan(1.0, -1.0),
    ];
    let gauge = after(useless.into_iter().cycle().take(5_000));
    assert_close(gauge.e(), 0.5);
    assert_close(gauge.e_with_doubt(), 0.5);
    assert_eq!(gauge.counts(), (0, 0));
}

#[test]
fn a_candidate_that_alone_is_silent_counts_for_the_page_only() {
    let gauge = after(std::iter::repeat_n(Reading::CandidateSilent, 40));
    assert_close(gauge.e(), 0.5);
    assert!(gauge.e_with_doubt() > 1e6);
    // What was measured before and after counts in both.
    let mixed = after([BAD, GOOD, Reading::CandidateSilent, BAD]);
    assert_close(mixed.e(), after([BAD, GOOD, BAD]).e());
    assert_close(mixed.e_with_doubt(), after([BAD, GOOD, BAD, BAD]).e());
}

fn readings() -> impl Strategy<Value = Vec<Reading>> {
    let value = prop_oneof![prop::num::f64::ANY, 0.0..10.0_f64];
    let reading = prop_oneof![
        4 => (value.clone(), value).prop_map(|(candidate, baseline)| Reading::Pair { candidate, baseline }),
        1 => Just(Reading::CandidateSilent),
        1 => Just(Reading::Missing),
    ];
    prop::collection::vec(reading, 0..300)
}

proptest! {
    #[test]
    fn a_restart_or_a_tick_given_twice_changes_nothing(readings in readings(), cut in 0..300_usize) {
        let whole = after(readings.clone());
        let mut gauge = Gauge::new(360);
        for (tick, reading) in (1..).zip(&readings) {
            if usize::try_from(tick).unwrap() == cut {
                gauge = serde_json::from_str(&serde_json::to_string(&gauge).unwrap()).unwrap();
            }
            gauge.tick(tick, *reading, &Margin::default());
            gauge.tick(tick, BAD, &Margin::default());
        }
        prop_assert_eq!(&gauge, &whole);
        for e in [whole.e(), whole.e_with_doubt()] {
            prop_assert!(e.is_finite() && e >= 0.0, "{e}");
        }
    }

    /// Fair under "worse with a chance of one half": the mean over all continuations of one tick is at most what was.
    #[test]
    fn one_more_tick_is_a_fair_bet(readings in readings()) {
        let gauge = after(readings.clone());
        let next = |reading| after(readings.iter().copied().chain([reading])).e();
        let mean = f64::midpoint(next(BAD), next(GOOD));
        // The second half may gain 1/T per tick, which is what its share of the stake pays for.
        let (_, counted) = gauge.counts();
        let may_gain = if counted < 360 { 0.5 / 360.0 } else { 0.0 };
        prop_assert!(mean <= (gauge.e() + may_gain) * (1.0 + 1e-6), "{mean} {}", gauge.e());
    }
}
