//! What is said of which evidence, and what it does not do.

use super::{MINUTE, after, crash, crash_on, one_per_node, place};
use crate::health::{Arm, Arms, Doubt, Evidence, HoldReason, Promotion, Verdict};

const ALPHA: f64 = 0.015;

fn alone(evidence: &Evidence, arms: &Arms) -> Verdict {
    evidence.verdict(arms, &Promotion::default(), ALPHA)
}

#[test]
fn three_pods_that_all_crash_beside_quiet_ones_are_degraded() {
    let evidence = after(3, 27, &[&[0], &[1], &[2, 0], &[1]]);
    let Verdict::Degraded { alarm } = alone(&evidence, &one_per_node(3, 27)) else { panic!("an alarm") };
    assert_eq!((alarm.crashes.candidate, alarm.crashes.baseline), (5, 0));
    assert!(alarm.promotion >= alarm.limit);
    assert!(
        alarm.to_string().starts_with("5 crashes in 0.2 pod-hours of the candidate, 0 in the pods beside it")
    );
}

#[test]
fn an_alarm_stands_when_its_pods_are_gone() {
    let evidence = after(3, 27, &[&[0], &[1], &[2, 0], &[1]]);
    assert!(matches!(alone(&evidence, &Arms::default()), Verdict::Degraded { .. }));
}

#[test]
fn crashes_in_both_arms_alike_are_healthy() {
    let everybody: Vec<usize> = (0..30).collect();
    let evidence = after(3, 27, &[&everybody, &everybody, &everybody]);
    assert_eq!(alone(&evidence, &one_per_node(3, 27)), Verdict::Healthy);
}

#[test]
fn a_node_that_crashes_alone_is_never_a_rollback() {
    let evidence = after(3, 27, &[[0].as_slice(); 200]);
    let arms = one_per_node(3, 27);
    assert_eq!(alone(&evidence, &arms), Verdict::Inconclusive { why: Doubt::OneUnitOnly });
}

#[test]
fn two_crashes_are_no_alarm_however_unlikely() {
    let evidence = after(2, 10_000, &[&[0], &[1]]);
    let arms = one_per_node(2, 10_000);
    assert!(evidence.e_leave_one_out() > 66.7);
    assert_eq!(alone(&evidence, &arms), Verdict::Healthy);
    let evidence = after(2, 10_000, &[&[0], &[1, 1]]);
    assert!(matches!(alone(&evidence, &arms), Verdict::Degraded { .. }));
}

#[test]
fn of_two_pods_both_must_crash() {
    let arms = one_per_node(2, 28);
    assert_eq!(
        alone(&after(2, 28, &[[0].as_slice(); 50]), &arms),
        Verdict::Inconclusive { why: Doubt::OneUnitOnly }
    );
    // Neither does evidence of an earlier level help, even if it brings M over its limit.
    let prior = Promotion { done: vec![140.0], beside: vec![], total_levels: 2 };
    let verdict = after(2, 28, &[[0].as_slice(); 50]).verdict(&arms, &prior, ALPHA);
    assert_eq!(verdict, Verdict::Inconclusive { why: Doubt::OneUnitOnly });
    assert!(matches!(
        after(2, 28, &[&[0, 1], &[0, 1]]).verdict(&arms, &Promotion::default(), ALPHA),
        Verdict::Degraded { .. }
    ));
}

#[test]
fn one_pod_holds_and_pages() {
    let arms = one_per_node(1, 29);
    assert_eq!(alone(&after(1, 29, &[&[0], &[0]]), &arms), Verdict::Healthy);
    let evidence = after(1, 29, &[&[0], &[0], &[0]]);
    let Verdict::HoldAndPage { alarm, why } = alone(&evidence, &arms) else { panic!("a hold") };
    assert_eq!(why, HoldReason::OnePod);
    assert_eq!(alarm.crashes.candidate, 3);
}

#[test]
fn the_last_pod_of_a_wave_holds_and_pages_if_it_has_most_of_the_crashes() {
    let evidence = after(3, 27, &[[0].as_slice(); 5]);
    let mut arms = Arms::default();
    place(&mut arms, "app", "n0", 1, 9);
    assert!(matches!(alone(&evidence, &arms), Verdict::HoldAndPage { why: HoldReason::OnePod, .. }));
}

#[test]
fn crashes_of_the_first_pod_alone_hold_and_page_when_the_others_have_just_moved() {
    let evidence = after(1, 29, &[[0].as_slice(); 5]);
    let verdict = alone(&evidence, &one_per_node(3, 27));
    assert!(matches!(verdict, Verdict::HoldAndPage { why: HoldReason::OnePod, .. }));
}

#[test]
fn one_pod_after_another_is_still_one_pod() {
    let mut evidence = Evidence::default();
    let mut arms = Arms::default();
    for (tick, node) in (1..).zip(["n0", "n0", "n1", "n1"].repeat(5)) {
        arms = Arms::default();
        place(&mut arms, "app", node, 1, 9);
        evidence.tick(tick, MINUTE, &arms, &[crash("app", Arm::Candidate, node, 0)]);
    }
    assert!(evidence.e_leave_one_out() > 66.7);
    assert!(matches!(alone(&evidence, &arms), Verdict::HoldAndPage { why: HoldReason::OnePod, .. }));
}

#[test]
fn one_node_without_a_baseline_pod_holds_and_pages() {
    let mut arms = Arms::default();
    place(&mut arms, "app", "n0", 3, 0);
    place(&mut arms, "app", "n1", 0, 27);
    let mut evidence = Evidence::default();
    for tick in 1..=5 {
        let crashes: Vec<_> = (0..3).map(|number| crash("app", Arm::Candidate, "n0", number)).collect();
        evidence.tick(tick, MINUTE, &arms, &crashes);
    }
    let Verdict::HoldAndPage { why, .. } = alone(&evidence, &arms) else { panic!("a hold") };
    assert_eq!(why, HoldReason::OneNodeWithoutBaseline);

    // With pods of the stable release on that node the same crashes are a rollback.
    place(&mut arms, "app", "n0", 3, 5);
    for tick in 6..=10 {
        let crashes: Vec<_> = (0..3).map(|number| crash("app", Arm::Candidate, "n0", number)).collect();
        evidence.tick(tick, MINUTE, &arms, &crashes);
    }
    assert!(matches!(alone(&evidence, &arms), Verdict::Degraded { .. }));
}

#[test]
fn with_no_stable_pod_left_there_is_nothing_to_compare_with() {
    let arms = one_per_node(3, 0);
    let mut evidence = Evidence::default();
    evidence.tick(1, MINUTE, &arms, &[crash_on(0, 3), crash_on(1, 3)]);
    assert_eq!(alone(&evidence, &arms), Verdict::Inconclusive { why: Doubt::NothingToCompareWith });
    assert_eq!(evidence, {
        let mut quiet = Evidence::default();
        quiet.tick(1, MINUTE, &arms, &[]);
        quiet.with_candidate_crashes(2)
    });
}

#[test]
fn with_no_candidate_pod_there_is_no_data() {
    assert_eq!(alone(&Evidence::default(), &one_per_node(0, 30)), Verdict::NoData);
    assert_eq!(alone(&Evidence::default(), &one_per_node(3, 27)), Verdict::Healthy);
}

#[test]
fn applications_are_never_pooled() {
    // One application always crashes, and the candidate happens to run in it more than elsewhere.
    let mut arms = Arms::default();
    for node in 0..4 {
        place(&mut arms, "broken", &format!("b{node}"), usize::from(node < 3), usize::from(node == 3));
    }
    for node in 0..26 {
        place(&mut arms, "fine", &format!("f{node}"), usize::from(node == 0), usize::from(node > 0));
    }
    let mut evidence = Evidence::default();
    for tick in 1..=100 {
        let node = format!("b{}", tick % 4);
        let arm = if tick % 4 == 3 { Arm::Baseline } else { Arm::Candidate };
        evidence.tick(tick, MINUTE, &arms, &[crash("broken", arm, &node, 0)]);
    }
    assert_eq!((evidence.events().candidate, evidence.events().baseline), (75, 25));
    assert_eq!(alone(&evidence, &arms), Verdict::Healthy);
}

#[test]
fn only_pods_that_were_at_risk_at_the_start_of_the_tick_count() {
    let arms = one_per_node(3, 27);
    let mut evidence = Evidence::default();
    let mut stranger = crash_on(0, 3);
    stranger.pod = "born-in-this-tick".into();
    let elsewhere = crash("another-app", Arm::Candidate, "n0", 0);
    evidence.tick(1, MINUTE, &arms, &[stranger, elsewhere]);
    assert_eq!((evidence.events().candidate, evidence.events().baseline), (0, 0));
    assert_eq!(evidence.e_plain().to_bits(), 1.0_f64.to_bits());
}

#[test]
fn a_smaller_budget_needs_more_and_none_at_all_never_alarms() {
    let arms = one_per_node(3, 27);
    let evidence = after(3, 27, &[&[0], &[1], &[2, 0], &[1]]);
    let m = evidence.e_leave_one_out();
    assert!(matches!(
        evidence.verdict(&arms, &Promotion::default(), 1.0 / (m * 0.999)),
        Verdict::Degraded { .. }
    ));
    for alpha in [1.0 / (m * 1e9), 0.0, -1.0, f64::NAN] {
        assert_eq!(evidence.verdict(&arms, &Promotion::default(), alpha), Verdict::Healthy, "alpha {alpha}");
    }
}

#[test]
fn the_newest_crashes_are_kept_for_people() {
    let ticks: Vec<Vec<usize>> = (0..20).map(|tick| vec![tick % 3]).collect();
    let ticks: Vec<&[usize]> = ticks.iter().map(Vec::as_slice).collect();
    let evidence = after(3, 27, &ticks);
    assert_eq!(evidence.recent().len(), 12);
    let last = evidence.recent().last().expect("twelve");
    assert_eq!((last.tick, last.node.as_str(), last.arm), (20, "n1", Arm::Candidate));
    assert_eq!((last.candidate_pods, last.baseline_pods), (3, 27));
    assert_eq!(evidence.last_tick(), Some(20));
}
