//! The fast detector, and the pass rule: published values and what they refuse.

use super::{MINUTE, after, assert_close, crash_on, one_per_node};
use crate::health::evidence::Room;
use crate::health::mixture::of_sums;
use crate::health::{Crash, Evidence, FastLimits, Fingerprint, Fingerprints, History, evidence_of_health};

const LIMITS: FastLimits = FastLimits { guard: 50.0, fingerprint: 200.0 };

fn panic(message: &str) -> Fingerprint {
    Fingerprint::new("otel", 2, "Error", message)
}

/// A week of `baselines` pods, with so many crashes of one cause.
fn week(baselines: u32, cause: Option<&Fingerprint>, crashes: u64) -> History {
    let mut history = History::default();
    history.watched(168.0 * f64::from(baselines));
    history.died(Room::WHOLE, cause, crashes);
    history
}

struct Both {
    evidence: Evidence,
    fast: Fingerprints,
}

/// One tick of six minutes per list of crashes (node, cause), 3 of 30 pods, one per node.
fn both(history: History, ticks: &[&[(usize, &str)]]) -> Both {
    let arms = one_per_node(3, 27);
    let mut found = Both { evidence: Evidence::default(), fast: Fingerprints::after(history) };
    for (tick, crashes) in (1..).zip(ticks) {
        let crashes: Vec<Crash> = crashes
            .iter()
            .map(|(node, cause)| Crash {
                fingerprint: if cause.is_empty() { None } else { Some(panic(cause)) },
                ..crash_on(*node, 3)
            })
            .collect();
        found.evidence.tick(tick, 6.0 * MINUTE, &arms, &crashes);
        found.fast.tick_within(Room::WHOLE, 6.0 * MINUTE, &arms, &crashes);
    }
    found
}

#[test]
fn sums_have_the_published_evidence() {
    let stable = |crashes| (crashes, 4538.7);
    assert!((of_sums((1, 0.2), stable(0)) - 2071.4646).abs() < 2e-4);
    assert!((of_sums((1, 0.2), stable(1)) - 744.9577).abs() < 2e-4);
    assert!((of_sums((1, 0.2), stable(20)) - 65.5658).abs() < 2e-4);
    for nothing in [
        ((3, 0.0), (0, 1.0)),
        ((3, 1.0), (0, 0.0)),
        ((3, f64::NAN), (0, 1.0)),
        ((3, 1.0), (0, f64::INFINITY)),
    ] {
        assert_close(of_sums(nothing.0, nothing.1), 1.0);
    }
}

#[test]
fn the_guard_opens_when_two_crashes_are_left_without_the_loudest_of_three_nodes() {
    assert!(after(3, 27, &[&[0], &[1]]).e_leave_one_out() < LIMITS.guard);
    assert!(after(3, 27, &[&[0], &[1], &[2]]).e_leave_one_out() > LIMITS.guard);
    assert!(after(10, 20, &[&[0], &[1], &[2], &[3]]).e_leave_one_out() < LIMITS.guard);
    assert!(after(10, 20, &[&[0], &[1], &[2], &[3], &[4]]).e_leave_one_out() > LIMITS.guard);
}

#[test]
fn a_panic_that_the_stable_release_never_had_alarms_at_three_crashes() {
    let found = both(week(27, None, 0), &[&[(0, "new"), (1, "new")]]);
    assert_eq!(found.fast.alarm(&found.evidence, &LIMITS), None, "the guard is closed");
    let found = both(week(27, None, 0), &[&[(0, "new"), (1, "new"), (2, "new")]]);
    let alarm = found.fast.alarm(&found.evidence, &LIMITS).expect("an alarm");
    assert_eq!(alarm.crashes, [3, 3, 0]);
    assert!(alarm.evidence > 2_000.0 && alarm.guard[0] > 50.0, "{alarm:?}");
    let text = alarm.to_string();
    assert!(
        text.starts_with(
            "3 crashes of one cause on 3 nodes in 0.3 pod-hours, which the release before had never in 4538.7"
        ),
        "{text}"
    );
    // One without any history needs more of them.
    let young = both(History::default(), &[&[(0, "new"), (1, "new"), (2, "new")]]);
    assert_eq!(young.fast.alarm(&young.evidence, &LIMITS), None);
}

#[test]
fn what_the_stable_release_has_too_is_no_alarm() {
    let crashes: &[&[(usize, &str)]] = &[&[(0, "old"), (1, "old"), (2, "old")]];
    let known = both(week(27, Some(&panic("old")), 400), crashes);
    assert_eq!(known.fast.alarm(&known.evidence, &LIMITS), None);
    // Crashes whose cause nobody saw count as this one.
    let unknown = both(week(27, None, 400), crashes);
    assert_eq!(unknown.fast.alarm(&unknown.evidence, &LIMITS), None);
    // And those of the pods beside it.
    let beside: Vec<(usize, &str)> = (3..30).map(|node| (node, "old")).collect();
    let busy = both(week(27, None, 0), &[beside.as_slice(), beside.as_slice(), crashes[0]]);
    assert_eq!(busy.fast.alarm(&busy.evidence, &LIMITS), None);
}

#[test]
fn one_node_one_pod_or_no_cause_is_no_alarm() {
    let one_node: Vec<&[(usize, &str)]> = vec![&[(0, "new")]; 50];
    let found = both(week(27, None, 0), &one_node);
    assert_eq!(found.fast.alarm(&found.evidence, &LIMITS), None);
    // The guard is open by other crashes, the new panic is on one node alone.
    let mixed = both(week(27, None, 0), &[&[(0, ""), (1, ""), (2, ""), (0, "new"), (0, "new")]]);
    assert!(mixed.evidence.e_leave_one_out() >= LIMITS.guard);
    assert_eq!(mixed.fast.alarm(&mixed.evidence, &LIMITS), None);
}

#[test]
fn each_further_cause_needs_more() {
    let mut history = week(27, None, 0);
    for number in 0..9 {
        history.died(Room::WHOLE, Some(&panic(&format!("old {}", "x".repeat(number)))), 100);
    }
    // Two known causes come first: the new one is the third, and has to reach 200·3·4.
    let limits = FastLimits { guard: 50.0, fingerprint: 200.0 };
    let first = [(0, "old"), (1, "old x")];
    let found = both(history, &[&first, &[(0, "new"), (1, "new"), (2, "new")]]);
    let alarm = found.fast.alarm(&found.evidence, &limits).expect("an alarm");
    assert_close(alarm.limit, 2_400.0);
}

#[test]
fn however_many_causes_and_nodes_there_are_it_is_bounded_and_survives_its_round_trip() {
    let arms = one_per_node(300, 300);
    let mut fast = Fingerprints::default();
    for tick in 0..50_usize {
        let crashes: Vec<Crash> = (0..600)
            .map(|node| Crash {
                fingerprint: Some(panic(&"y".repeat((node * 7 + tick) % 97))),
                ..crash_on(node, 300)
            })
            .collect();
        fast.tick_within(Room::WHOLE, MINUTE, &arms, &crashes);
    }
    let json = serde_json::to_string(&fast).unwrap();
    assert!(json.len() < 8 * 1024, "{}", json.len());
    assert_eq!(serde_json::from_str::<Fingerprints>(&json).unwrap(), fast);
    for hours in [f64::NAN, -1.0, 0.0, f64::INFINITY] {
        let before = fast.clone();
        fast.tick_within(Room::WHOLE, hours, &arms, &[]);
        assert_eq!(fast, before);
    }
}

#[test]
fn limits_follow_the_budget() {
    assert_eq!(FastLimits::of_budget(0.02), LIMITS);
    let none = FastLimits::of_budget(0.0);
    assert!(none.guard.is_infinite() && none.fingerprint.is_infinite());
}

#[test]
fn without_a_crash_the_pass_rule_needs_three_and_a_bit_over_the_rate() {
    for rate in [0.05, 0.5, 3.0] {
        assert!(evidence_of_health(0, 3.154 / rate, rate) >= 20.0);
        assert!(evidence_of_health(0, 3.152 / rate, rate) < 20.0);
    }
    // 3 pods at 0.5 per hour: 127 minutes.
    let arms = one_per_node(3, 27);
    let mut evidence = Evidence::default();
    let mut minutes = 0;
    while !evidence.shows_fewer_than(0.5) {
        minutes += 1;
        evidence.tick(minutes, MINUTE, &arms, &[]);
    }
    assert_eq!(minutes, 127);
    assert_close(evidence.pod_hours_to_show(0.5), 0.0);
    evidence.tick(minutes + 1, MINUTE, &arms, &[crash_on(0, 3)]);
    assert!(!evidence.shows_fewer_than(0.5) && evidence.pod_hours_to_show(0.5) > 6.0);
}

#[test]
fn the_pass_rule_says_nothing_of_what_is_no_number() {
    for (hours, rate) in [(f64::NAN, 1.0), (1.0, f64::NAN), (-1.0, 1.0), (1.0, 0.0), (f64::INFINITY, 1.0)] {
        assert_close(evidence_of_health(0, hours, rate), 1.0);
    }
    assert!(evidence_of_health(u64::MAX, 1.0, 1.0) >= 0.0);
}
