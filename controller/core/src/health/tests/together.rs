//! Restarts and gauges against one limit.

use super::{after, one_per_node};
use crate::health::{
    Arm, Gauge, GaugeAlarm, Joint, Margin, Promotion, Reading, Together, Verdict, stage_evidence,
};

const ALPHA: f64 = 0.015;
const WORSE: Reading = Reading::Pair { candidate: 1.5, baseline: 1.0 };
const FAIR: Reading = Reading::Pair { candidate: 1.0, baseline: 1.0 };
const WORSE_POD: Reading = Reading::OnePod { candidate: 1.5, baseline: 1.0 };

fn gauge(readings: &[(usize, Reading)]) -> Gauge {
    let mut gauge = Gauge::new(360);
    let all = readings.iter().flat_map(|(count, reading)| std::iter::repeat_n(*reading, *count));
    for (tick, reading) in (0..).zip(all) {
        gauge.tick(tick, reading, &Margin::default());
    }
    gauge
}

fn first_of(total_levels: usize) -> Promotion {
    Promotion { total_levels, ..Promotion::default() }
}

fn judge(restarts: &[&[usize]], gauges: &[Gauge], prior: &Promotion) -> Joint {
    let (restarts, arms) = (after(3, 27, restarts), one_per_node(3, 27));
    let gauges = gauges.iter().map(|gauge| ("p95", gauge)).collect();
    Together { restarts: &restarts, gauges }.judge(&arms, prior, ALPHA)
}

#[test]
fn a_gauge_that_is_worse_in_eleven_ticks_of_eleven_takes_back_and_in_ten_does_not_yet() {
    let found = judge(&[], &[gauge(&[(11, WORSE)])], &first_of(1));
    let Joint::Worse(GaugeAlarm { signal, worse, ticks, promotion, limit }) = found else {
        panic!("{found:?}")
    };
    assert_eq!((signal.as_str(), worse, ticks), ("p95", 11, 11));
    assert!(promotion >= limit && (limit - 1.0 / ALPHA).abs() < 1e-9, "{promotion} of {limit}");
    let early = judge(&[], &[gauge(&[(8, WORSE)])], &first_of(1));
    assert!(matches!(early, Joint::Restarts(Verdict::Healthy)), "{early:?}");
}

#[test]
fn the_limit_of_one_signal_is_where_the_promotion_reaches_its_own() {
    let (quiet, alpha) = (after(3, 27, &[]), ALPHA);
    let earlier = Promotion { done: vec![0.5], beside: vec![2.0], total_levels: 3 };
    for prior in [first_of(1), first_of(3), earlier] {
        let gauge = gauge(&[(9, WORSE)]);
        let together = Together { restarts: &quiet, gauges: vec![("p95", &gauge), ("errors", &gauge)] };
        let against = together.against(&gauge, &prior, alpha);
        assert!((against.evidence - gauge.e()).abs() < 1e-12);
        let restarts = together.restarts_against(&prior, alpha);
        for stage in [
            [(0.5, 1.0), (0.25, against.limit), (0.25, 1.0)],
            [(0.5, restarts.limit), (0.25, 1.0), (0.25, 1.0)],
        ] {
            let reached = prior.martingale(stage_evidence(&stage));
            assert!((reached - 1.0 / alpha).abs() < 1e-6, "{prior:?}: {reached}");
        }
    }
    let never = Together { restarts: &quiet, gauges: Vec::new() }.against(&gauge(&[]), &first_of(1), 0.0);
    assert!(never.limit.is_infinite());
}

#[test]
fn one_budget_covers_all_signals_and_stages() {
    // The same eleven ticks are a third of the evidence of one of three stages, and a fifth beside three quiet signals.
    let worse = || gauge(&[(11, WORSE)]);
    let quiet = || gauge(&[(11, FAIR)]);
    let staged = judge(&[], &[worse()], &first_of(3));
    assert!(matches!(staged, Joint::Restarts(Verdict::Healthy)), "{staged:?}");
    let beside = judge(&[], &[worse(), quiet(), quiet(), quiet(), quiet(), quiet()], &first_of(1));
    assert!(matches!(beside, Joint::Restarts(Verdict::Healthy)), "{beside:?}");
}

#[test]
fn weak_evidence_of_restarts_and_of_a_gauge_adds_up_and_the_louder_has_the_word() {
    let crashes: &[&[usize]] = &[&[0], &[1], &[2], &[0], &[1]];
    let alone = after(3, 27, crashes).e_leave_one_out();
    assert!(alone > 1.0 / ALPHA, "{alone}");
    let both = judge(crashes, &[gauge(&[(3, WORSE)])], &first_of(1));
    assert!(matches!(both, Joint::Restarts(Verdict::Degraded { .. })), "{both:?}");
    let louder = judge(&[&[0], &[1], &[2]], &[gauge(&[(14, WORSE)])], &first_of(1));
    assert!(matches!(louder, Joint::Worse(_)), "{louder:?}");
}

#[test]
fn silence_and_one_pod_hold_and_page_and_take_nothing_back() {
    for doubt in [Reading::CandidateSilent, WORSE_POD] {
        let found = judge(&[], &[gauge(&[(200, doubt)])], &first_of(1));
        assert!(matches!(found, Joint::Suspect(_)), "{doubt:?}: {found:?}");
        let some = judge(&[], &[gauge(&[(5, FAIR), (4, doubt)])], &first_of(1));
        assert!(matches!(some, Joint::Restarts(Verdict::Healthy)), "{doubt:?}: {some:?}");
    }
}

#[test]
fn what_earlier_stages_showed_convicts_nobody_without_evidence_here() {
    let prior = Promotion { done: vec![60.0], beside: Vec::new(), total_levels: 2 };
    let quiet = judge(&[], &[gauge(&[(30, FAIR)])], &prior);
    assert!(matches!(quiet, Joint::Restarts(Verdict::Healthy)), "{quiet:?}");
}

#[test]
fn without_gauges_nothing_changes() {
    let crashes: &[&[usize]] = &[&[0], &[1], &[2], &[0], &[1]];
    let (restarts, arms) = (after(3, 27, crashes), one_per_node(3, 27));
    let together = Together { restarts: &restarts, gauges: Vec::new() };
    assert!((together.evidence() / restarts.e_leave_one_out() - 1.0).abs() < 1e-9);
    assert_eq!(
        together.judge(&arms, &first_of(1), ALPHA),
        Joint::Restarts(restarts.verdict(&arms, &first_of(1), ALPHA))
    );
    assert_eq!(arms.count(Arm::Candidate), 3);
}
