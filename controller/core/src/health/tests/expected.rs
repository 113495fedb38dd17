//! The published values: computed independently of this code.

use super::{MINUTE, after, assert_close, crash, crash_on, one_per_node, place};
use crate::health::rate::upper_bound;
use crate::health::{Arm, Arms, Evidence, Promotion, alpha_of_budget, promotion_martingale, stage_evidence};

/// E with nothing left out after `x_c` and `x_b` crashes among `n_c` candidate and `n_b` baseline pods.
fn e(x_c: usize, x_b: usize, n_c: usize, n_b: usize) -> f64 {
    let nodes: Vec<usize> = (0..x_c).map(|i| i % n_c).chain((0..x_b).map(|i| n_c + i % n_b)).collect();
    after(n_c, n_b, &[&nodes]).e_plain()
}

#[test]
fn counts_have_the_published_evidence() {
    assert_close(e(3, 0, 1, 9), 387.3229);
    assert_close(e(2, 0, 1, 9), 45.5299);
    assert_close(e(3, 1, 1, 9), 47.3711);
    assert!((e(1, 9, 1, 9) - 0.2280).abs() < 5.1e-5);
    assert_close(e(3, 0, 1, 7), 214.9998);
    assert_close(e(8, 0, 1, 1), 137.2029);
    assert_close(e(1, 0, 2, 27), 7.809_541);
    assert_close(e(2, 0, 2, 27), 84.404_190);
    assert_close(e(3, 0, 9, 20), 19.529_127);
    assert_close(e(4, 0, 9, 20), 57.366_185);
    assert_close(e(0, 0, 3, 27), 1.0);
}

#[test]
fn leaving_out_the_loudest_of_three_nodes_leaves_two_of_twenty_nine() {
    assert_close(after(3, 27, &[&[0], &[1]]).e_leave_one_out(), 7.809_541);
    assert_close(after(3, 27, &[&[0, 1], &[0, 1]]).e_leave_one_out(), 84.404_190);
}

#[test]
fn leaving_out_the_loudest_of_ten_nodes_leaves_nine_of_twenty_nine() {
    assert_close(after(10, 20, &[&[0], &[1], &[2], &[3]]).e_leave_one_out(), 19.529_127);
    assert_close(after(10, 20, &[&[0, 1], &[2, 3], &[4]]).e_leave_one_out(), 57.366_185);
}

#[test]
fn a_node_that_crashes_alone_is_no_evidence_without_it() {
    let evidence = after(3, 27, &[&[0], &[0], &[0], &[0]]);
    assert!(evidence.e_plain() > 3_000.0);
    assert_close(evidence.e_leave_one_out(), 1.0);
}

/// A: 2 candidate pods beside 3; B: 1 beside 4.
fn two_strata() -> Evidence {
    let mut arms = Arms::default();
    place(&mut arms, "a", "n1", 1, 0);
    place(&mut arms, "a", "n2", 1, 0);
    place(&mut arms, "a", "n4", 0, 3);
    place(&mut arms, "b", "n3", 1, 0);
    place(&mut arms, "b", "n5", 0, 4);
    let crashes = [
        crash("a", Arm::Candidate, "n1", 0),
        crash("a", Arm::Candidate, "n1", 0),
        crash("b", Arm::Candidate, "n3", 0),
        crash("b", Arm::Baseline, "n5", 2),
    ];
    let mut evidence = Evidence::default();
    evidence.tick(1, MINUTE, &arms, &crashes);
    evidence
}

#[test]
fn strata_are_summed_in_logarithms() {
    assert_close(two_strata().e_plain(), 3.000_987);
}

#[test]
fn without_its_only_candidate_node_a_stratum_drops_out_with_its_baseline_crash() {
    let evidence = two_strata();
    let without = |node| evidence.without_node(node).expect("it was at risk in a tick with crashes");
    assert_close(without("n1"), 0.852_402);
    assert_close(without("n2"), 5.556_689);
    assert_close(without("n3"), 4.502_593);
    assert_close(evidence.e_leave_one_out(), 0.852_402);
}

#[test]
fn when_an_application_rolls_its_old_stratum_stays_in_the_sum() {
    let mut evidence = Evidence::default();
    let (mut old, mut new) = (Arms::default(), Arms::default());
    place(&mut old, "old", "n0", 1, 0);
    place(&mut old, "old", "n1", 0, 4);
    place(&mut new, "new", "n0", 1, 0);
    place(&mut new, "new", "n1", 0, 4);
    for tick in 1..=6 {
        evidence.tick(tick, MINUTE, &old, &[crash("old", Arm::Baseline, "n1", 0)]);
    }
    for tick in 7..=9 {
        evidence.tick(tick, MINUTE, &new, &[crash("new", Arm::Candidate, "n0", 0)]);
    }
    assert_close(evidence.e_plain(), 0.493_636);

    let mut reset = Evidence::default();
    reset.tick(
        1,
        MINUTE,
        &new,
        &[crash("new", Arm::Candidate, "n0", 0), crash("new", Arm::Candidate, "n0", 0)],
    );
    reset.tick(2, MINUTE, &new, &[crash("new", Arm::Candidate, "n0", 0)]);
    assert_close(reset.e_plain(), 62.046_786);
}

#[test]
fn a_promotion_of_one_level_needs_its_evidence_and_of_three_the_first_needs_three_times_that() {
    let with_two_at_one = |e| stage_evidence(&[(0.5, e), (0.25, 1.0), (0.25, 1.0)]);
    let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-4, "{found}, {expected}");
    close(promotion_martingale(&[with_two_at_one(132.3333)], 1), 66.6667);
    close(promotion_martingale(&[with_two_at_one(395.0)], 3), 66.6667);
    close(promotion_martingale(&[1.0, 1.0, with_two_at_one(395.0)], 3), 198.0);
    // Alone, restarts have all the weight.
    close(stage_evidence(&[(0.5, 200.0)]), 200.0);
    close(promotion_martingale(&[200.0], 3), 202.0 / 3.0);
}

#[test]
fn weak_evidence_of_an_earlier_level_counts_on_in_the_next() {
    // (20·5 + 5 + 1) / 3
    assert_close(promotion_martingale(&[20.0, 5.0], 3), 106.0 / 3.0);
    let prior = Promotion { done: vec![20.0], beside: vec![], total_levels: 3 };
    assert_close(prior.martingale(5.0), 106.0 / 3.0);
}

#[test]
fn stages_that_soak_together_are_averaged_not_multiplied() {
    let prior = Promotion { done: vec![2.0], beside: vec![1.0, 4.0], total_levels: 2 };
    // The level's mean is (1 + 4 + 7)/3 = 4, and M = (2·4 + 4)/2.
    assert_close(prior.martingale(7.0), 6.0);
}

#[test]
fn evidence_that_is_no_number_says_nothing() {
    assert_close(promotion_martingale(&[f64::NAN], 1), 1.0);
    assert_close(promotion_martingale(&[f64::NAN, 5.0], 2), 5.0);
    assert_close(stage_evidence(&[(0.5, f64::NAN), (0.5, 3.0), (f64::NAN, 9.0), (0.0, 9.0)]), 2.0);
    assert_close(stage_evidence(&[]), 1.0);
    assert_close(promotion_martingale(&[-3.0], 1), 0.0);
}

#[test]
fn before_anything_happened_m_is_one() {
    assert_close(promotion_martingale(&[], 3), 1.0);
    assert_close(promotion_martingale(&[], 0), 1.0);
    assert_close(Promotion::default().martingale(1.0), 1.0);
}

#[test]
fn the_default_budget_of_two_percent_gives_m_one_and_a_half() {
    assert_close(alpha_of_budget(0.02), 0.015);
    assert_close(alpha_of_budget(7.0), 0.75);
    assert_close(alpha_of_budget(-1.0), 0.0);
    assert_close(alpha_of_budget(f64::NAN), 0.0);
}

#[test]
fn the_poisson_bound_is_the_tabulated_one() {
    // Half of the 95th percentile of a chi-square with 2(x+1) degrees of freedom.
    for (events, bound) in
        [(0, 2.995_732), (1, 4.743_865), (2, 6.295_794), (10, 16.962_22), (100, 118.079_27)]
    {
        assert!((upper_bound(events) - bound).abs() < 1e-4, "{events}: {}", upper_bound(events));
    }
    let (exact, near) = (upper_bound(1_000), upper_bound(1_001));
    assert!(
        near > exact && near - exact < 2.0,
        "no step where the approximation takes over: {exact}, {near}"
    );
    assert!(upper_bound(u64::MAX).is_finite());
}

#[test]
fn six_pod_hours_without_a_crash_rule_out_more_than_half_a_crash_per_pod_hour() {
    let arms = one_per_node(3, 27);
    let mut evidence = Evidence::default();
    assert_eq!(evidence.rules_out_per_pod_hour(), None);
    for tick in 1..=120 {
        evidence.tick(tick, MINUTE, &arms, &[]);
    }
    assert_close(evidence.candidate_pod_hours(), 6.0);
    assert_close(evidence.rules_out_per_pod_hour().unwrap(), 2.995_732_274 / 6.0);
    evidence.tick(121, MINUTE, &arms, &[crash_on(0, 3), crash_on(5, 3)]);
    assert_close(evidence.rules_out_per_pod_hour().unwrap(), 4.743_864_518 / 6.05);
}

#[test]
fn what_a_soak_rules_out_needs_no_baseline() {
    let mut arms = Arms::default();
    place(&mut arms, "app", "n0", 2, 0);
    let mut evidence = Evidence::default();
    evidence.tick(1, 0.5, &arms, &[crash("app", Arm::Candidate, "n0", 1)]);
    assert_close(evidence.rules_out_per_pod_hour().unwrap(), 4.743_864_518);
    assert_eq!(evidence.events().candidate, 0, "but it was not compared");
    assert_close(evidence.e_plain(), 1.0);
}

#[test]
fn on_one_node_pods_are_left_out_and_only_its_own_baseline_counts() {
    let mut arms = Arms::default();
    place(&mut arms, "app", "n0", 3, 4);
    place(&mut arms, "app", "n1", 0, 20);
    let mut evidence = Evidence::default();
    let crashes: Vec<_> = (0..3).map(|number| crash("app", Arm::Candidate, "n0", number)).collect();
    evidence.tick(1, MINUTE, &arms, &crashes);
    // A crash of the baseline elsewhere says nothing about this node.
    evidence.tick(2, MINUTE, &arms, &[crash("app", Arm::Baseline, "n1", 7)]);
    assert_close(evidence.e_leave_one_out(), e(2, 0, 2, 4));
    evidence.tick(3, MINUTE, &arms, &[crash("app", Arm::Baseline, "n0", 3)]);
    assert_close(evidence.e_leave_one_out(), e(2, 1, 2, 4));
    assert_close(evidence.e_plain(), e(3, 2, 3, 24));
}

#[test]
fn if_the_unit_changes_the_smaller_of_both_counts() {
    let (mut gathered, mut spread) = (Arms::default(), Arms::default());
    for (arms, second) in [(&mut gathered, "n0"), (&mut spread, "n1")] {
        place(arms, "app", "n0", 1, 4);
        arms.add(&super::stratum("app"), Arm::Candidate, second, "second");
        place(arms, "app", "n2", 0, 20);
    }
    let first = crash("app", Arm::Candidate, "n0", 0);
    let second =
        |node: &str| crate::health::Crash { node: node.into(), pod: "second".into(), ..first.clone() };
    let mut evidence = Evidence::default();
    evidence.tick(1, MINUTE, &gathered, &[first.clone(), second("n0")]);
    assert_close(evidence.e_leave_one_out(), e(1, 0, 1, 4));
    evidence.tick(2, MINUTE, &spread, &[second("n1")]);
    // Without n0 there is one crash of one pod beside 24; without the first pod there would be one more.
    assert_close(evidence.e_leave_one_out(), e(1, 0, 1, 24).min(evidence.pods_smallest()));
    assert!(evidence.e_leave_one_out() <= evidence.nodes_smallest());
    evidence.tick(3, MINUTE, &spread, &[first]);
    assert_close(evidence.e_leave_one_out(), evidence.nodes_smallest().min(evidence.pods_smallest()));
}

#[test]
fn a_baseline_crash_while_only_the_first_pod_has_moved_does_not_change_the_unit() {
    let mut first_moved = Arms::default();
    place(&mut first_moved, "app", "n0", 1, 1);
    place(&mut first_moved, "app", "n1", 0, 28);
    let mut evidence = Evidence::default();
    evidence.tick(1, MINUTE, &first_moved, &[crash("app", Arm::Baseline, "n0", 0)]);
    evidence.tick(2, MINUTE, &one_per_node(3, 27), &[crash_on(0, 3), crash_on(1, 3)]);
    assert!(evidence.pods_smallest() < 0.9 * evidence.nodes_smallest());
    assert_close(evidence.e_leave_one_out(), evidence.nodes_smallest());
}
