//! What holds for every sequence of ticks.

use proptest::prelude::*;

use super::{MINUTE, crash, one_per_node, place, stratum};
use crate::health::{
    Arm, Arms, Crash, Evidence, MAX_EVIDENCE_BYTES, Promotion, Verdict, promotion_martingale,
};

/// One tick: where pods are, and which of them crash how often.
#[derive(Clone, Debug)]
struct Tick {
    arms: Arms,
    crashes: Vec<Crash>,
}

const NAMES: [&str; 3] = ["a", "b", "c"];

fn ticks() -> impl Strategy<Value = Vec<Tick>> {
    let place = (0..3_usize, 0..5_usize, 0..3_usize, 0..3_usize);
    let fall = (0..3_usize, any::<bool>(), 0..5_usize, 0..3_usize);
    let tick = (prop::collection::vec(place, 0..8), prop::collection::vec(fall, 0..5));
    let tick = tick.prop_map(|(places, falls)| {
        let mut arms = Arms::default();
        for (name, node, candidates, baselines) in places {
            place_at(&mut arms, name, node, candidates, baselines);
        }
        let crashes = falls
            .into_iter()
            .map(|(name, candidate, node, number)| {
                let arm = if candidate { Arm::Candidate } else { Arm::Baseline };
                crash(NAMES[name], arm, &format!("n{node}"), number)
            })
            .collect();
        Tick { arms, crashes }
    });
    prop::collection::vec(tick, 0..30)
}

fn place_at(arms: &mut Arms, name: usize, node: usize, candidates: usize, baselines: usize) {
    place(arms, NAMES[name], &format!("n{node}"), candidates, baselines);
}

fn run(ticks: &[Tick]) -> Evidence {
    let mut evidence = Evidence::default();
    for (number, tick) in (1..).zip(ticks) {
        evidence.tick(number, MINUTE, &tick.arms, &tick.crashes);
    }
    evidence
}

fn round_trip(evidence: &Evidence) -> Evidence {
    serde_json::from_str(&serde_json::to_string(evidence).expect("it has no maps with odd keys"))
        .expect("its own text")
}

/// E of one history from first principles, in plain arithmetic: no logarithms, no folding, everything kept.
/// `out` is the node that is left out.
fn unfolded(ticks: &[Tick], out: Option<&str>) -> f64 {
    let ratios = [1.5, 2.0, 3.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0];
    let bet = |ratio: f64| {
        let mut product = 1.0;
        for tick in ticks {
            for name in NAMES {
                let Some(nodes) = tick.arms.nodes(&stratum(name)) else { continue };
                let all_candidates: usize = nodes.values().map(|at| at.candidate.len()).sum();
                let candidates: usize = nodes
                    .iter()
                    .filter(|(node, _)| Some(node.as_str()) != out)
                    .map(|(_, at)| at.candidate.len())
                    .sum();
                let baselines: usize = nodes.values().map(|at| at.baseline.len()).sum();
                if all_candidates == 0 || candidates == 0 || baselines == 0 {
                    continue;
                }
                #[allow(clippy::cast_precision_loss, reason = "a handful of pods")]
                let (c, b) = (candidates as f64, baselines as f64);
                let (p, p0) = (ratio * c / (ratio * c + b), c / (c + b));
                for crash in tick.crashes.iter().filter(|crash| crash.stratum == stratum(name)) {
                    let counted = tick.arms.at_risk(crash);
                    product *= match crash.arm {
                        _ if !counted => 1.0,
                        Arm::Candidate if Some(crash.node.as_str()) == out => 1.0,
                        Arm::Candidate => p / p0,
                        Arm::Baseline => (1.0 - p) / (1.0 - p0),
                    };
                }
            }
        }
        product
    };
    ratios.into_iter().map(bet).sum::<f64>() / 11.0
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * a.abs().max(b.abs()).max(1e-12)
}

proptest! {
    #[test]
    fn the_folded_evidence_is_the_unfolded(ticks in ticks()) {
        let evidence = run(&ticks);
        prop_assert!(near(evidence.e_plain(), unfolded(&ticks, None)));
        for node in ["n0", "n1", "n2", "n3", "n4"] {
            if let Some(without) = evidence.without_node(node) {
                prop_assert!(near(without, unfolded(&ticks, Some(node))), "without {node}: {without}");
            } else {
                // A node that was never at risk when something crashed has no part in the evidence.
                prop_assert!(near(evidence.e_plain(), unfolded(&ticks, Some(node))));
            }
        }
    }

    #[test]
    fn the_order_within_a_tick_changes_nothing(ticks in ticks(), seed in any::<u64>()) {
        let mut shuffled = ticks.clone();
        for tick in &mut shuffled {
            let length = tick.crashes.len().max(1);
            tick.crashes.rotate_left(usize::try_from(seed).unwrap_or(7) % length);
            if seed % 2 == 0 { tick.crashes.reverse(); }
        }
        prop_assert_eq!(run(&ticks), run(&shuffled));
    }

    #[test]
    fn a_restart_in_the_middle_changes_nothing(ticks in ticks(), cut in 0..30_usize) {
        let mut evidence = Evidence::default();
        for (number, tick) in (1..).zip(&ticks) {
            if usize::try_from(number).unwrap() == cut {
                evidence = round_trip(&evidence);
            }
            evidence.tick(number, MINUTE, &tick.arms, &tick.crashes);
        }
        prop_assert_eq!(round_trip(&evidence), run(&ticks));
    }

    #[test]
    fn a_tick_given_again_changes_nothing(ticks in ticks(), again in 0..30_usize) {
        let mut evidence = run(&ticks);
        let before = evidence.clone();
        if let Some(tick) = ticks.get(again) {
            evidence.tick(i64::try_from(again).unwrap() + 1, MINUTE, &tick.arms, &tick.crashes);
        }
        prop_assert_eq!(evidence, before);
    }

    #[test]
    fn leaving_one_out_never_beats_leaving_out_any_single_node(ticks in ticks()) {
        let evidence = run(&ticks);
        let least = ["n0", "n1", "n2", "n3", "n4"].iter().filter_map(|node| evidence.without_node(node)).reduce(f64::min);
        prop_assert!(near(evidence.nodes_smallest(), least.unwrap_or(evidence.e_plain())));
    }

    #[test]
    fn given_the_total_the_evidence_is_one_on_average_under_equal_rates(
        candidates in 1..12_usize, baselines in 1..30_usize, crashes in 1..9_usize,
    ) {
        #[allow(clippy::cast_precision_loss, reason = "a handful of pods")]
        let p0 = candidates as f64 / (candidates + baselines) as f64;
        let arms = one_per_node(candidates, baselines);
        let (mut mean, mut without) = (0.0, 0.0);
        let mut choose = 1.0;
        for of_candidate in 0..=crashes {
            let mut evidence = Evidence::default();
            let list: Vec<Crash> = (0..crashes)
                .map(|i| if i < of_candidate { super::crash_on(i % candidates, candidates) } else { super::crash_on(candidates, candidates) })
                .collect();
            evidence.tick(1, MINUTE, &arms, &list);
            let (of_c, of_b) = (i32::try_from(of_candidate).unwrap(), i32::try_from(crashes - of_candidate).unwrap());
            let chance = choose * p0.powi(of_c) * (1.0 - p0).powi(of_b);
            mean += chance * evidence.e_plain();
            without += chance * evidence.e_leave_one_out();
            choose *= f64::from(of_b) / f64::from(of_c + 1);
        }
        prop_assert!(near(mean, 1.0), "{mean}");
        prop_assert!(without <= 1.0 + 1e-6 || candidates == 1, "{without}");
    }

    #[test]
    fn any_evidence_gives_a_verdict_and_no_number_is_lost(
        ticks in ticks(), done in prop::collection::vec(prop::num::f64::ANY, 0..4),
        beside in prop::collection::vec(prop::num::f64::ANY, 0..4), total_levels in 0..6_usize, alpha in prop::num::f64::ANY,
    ) {
        let evidence = run(&ticks);
        for e in [evidence.e_plain(), evidence.e_leave_one_out()] {
            prop_assert!(e.is_finite() && e >= 0.0);
        }
        let m = promotion_martingale(&done, total_levels);
        prop_assert!(m.is_finite() && m >= 0.0, "{m}");
        let prior = Promotion { done, beside, total_levels };
        let m = prior.martingale(evidence.e_leave_one_out());
        prop_assert!(m.is_finite() && m >= 0.0, "{m}");
        let verdict = evidence.verdict(&Arms::default(), &prior, alpha);
        if evidence.events().candidate < 3 {
            let alarmed = matches!(verdict, Verdict::Degraded { .. } | Verdict::HoldAndPage { .. });
            prop_assert!(!alarmed);
        }
    }

    #[test]
    fn a_tick_of_no_length_is_no_tick(hours in prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(0.0), -1e300..0.0_f64]) {
        let mut evidence = Evidence::default();
        evidence.tick(5, hours, &one_per_node(3, 27), &[super::crash_on(0, 3)]);
        prop_assert_eq!(evidence, Evidence::default());
    }
}

#[test]
fn the_largest_numbers_do_not_overflow() {
    let arms = one_per_node(2, 2);
    let mut evidence = Evidence::default();
    let crashes: Vec<Crash> = (0..2).flat_map(|node| vec![super::crash_on(node, 2); 5_000]).collect();
    for tick in [i64::MIN, -1, 0, i64::MAX] {
        evidence.tick(tick, f64::MAX, &arms, &crashes);
    }
    assert!(evidence.e_plain().is_finite() && evidence.e_plain() > 1e290);
    assert!(evidence.e_leave_one_out().is_finite());
    assert_eq!(evidence.rules_out_per_pod_hour().map(f64::is_finite), Some(true));
    assert_eq!(round_trip(&evidence), evidence);
}

#[test]
fn a_status_that_somebody_wrote_by_hand_does_no_harm() {
    let arms = one_per_node(2, 500);
    let mut evidence = Evidence::default();
    evidence.tick(1, MINUTE, &arms, &[super::crash_on(0, 2), super::crash_on(1, 2)]);
    let mut value = serde_json::to_value(&evidence).unwrap();
    lengthen(&mut value);
    value["lastTick"] = 1.into();
    let mut evidence: Evidence = serde_json::from_value(value).unwrap();
    evidence.tick(2, f64::MAX, &arms, &[super::crash_on(0, 2), super::crash_on(1, 2)]);
    for number in [evidence.e_plain(), evidence.e_leave_one_out(), evidence.candidate_pod_hours()] {
        assert!(number.is_finite());
    }
    assert!(matches!(evidence.verdict(&arms, &Promotion::default(), 0.015), Verdict::Degraded { .. }));
    assert_eq!(serde_json::from_str::<Evidence>("{}").unwrap(), Evidence::default());
}

/// The longest names that Kubernetes allows.
fn long(prefix: &str, number: usize, length: usize) -> String {
    format!("{prefix}{number:06}{}", "x".repeat(length - prefix.len() - 6))
}

fn huge_fleet() -> Evidence {
    let mut evidence = Evidence::default();
    for tick in 0..40 {
        let name =
            crate::health::Stratum::new(&long("ns", 0, 63), "StatefulSet", &long("app", 0, 253), "7d4b9c6f8");
        let (mut arms, mut crashes) = (Arms::default(), Vec::new());
        for pod in 0..300 {
            let (node, pod) =
                (long("node", pod + usize::try_from(tick).unwrap(), 253), long("pod", pod, 317));
            arms.add(&name, Arm::Candidate, &node, &pod);
            arms.add(&name, Arm::Baseline, &node, &format!("{pod}-b"));
            crashes.push(Crash { stratum: name.clone(), arm: Arm::Candidate, node, pod, fingerprint: None });
        }
        evidence.tick(i64::MAX - 100 + tick, 1e6, &arms, &crashes);
    }
    evidence
}

#[test]
fn the_evidence_of_the_largest_fleet_fits_its_part_of_the_status() {
    let mut value = serde_json::to_value(huge_fleet()).unwrap();
    // The longest integers there are, wherever an integer is.
    lengthen(&mut value);
    let bytes = value.to_string().len();
    assert!(bytes <= MAX_EVIDENCE_BYTES, "{bytes} bytes");
    assert!(serde_json::from_value::<Evidence>(value).is_ok(), "and it can be read back");
}

fn lengthen(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Number(number) => *number = i64::MAX.into(),
        serde_json::Value::Array(list) => list.iter_mut().for_each(lengthen),
        serde_json::Value::Object(map) => map.values_mut().for_each(lengthen),
        _ => {}
    }
}

#[test]
fn in_a_large_wave_nodes_that_share_a_place_are_left_out_together() {
    // All crashes come from one node among 200, whatever place it shares.
    for bad in [0, 70, 199] {
        let arms = one_per_node(200, 600);
        let mut evidence = Evidence::default();
        for tick in 1..=20 {
            let noise = 200 + usize::try_from(tick).unwrap();
            evidence.tick(tick, MINUTE, &arms, &[super::crash_on(bad, 200), super::crash_on(noise, 200)]);
        }
        assert!(evidence.e_plain() > 5.0, "bad node {bad}: {}", evidence.e_plain());
        assert!(evidence.e_leave_one_out() < 1.0, "bad node {bad}: {}", evidence.e_leave_one_out());
    }
    // And a release that is bad everywhere is found nearly as fast as without.
    let arms = one_per_node(200, 600);
    let mut evidence = Evidence::default();
    for tick in 1..=12 {
        evidence.tick(tick, MINUTE, &arms, &[super::crash_on(usize::try_from(tick).unwrap() * 16, 200)]);
    }
    assert!(evidence.e_leave_one_out() > evidence.e_plain() / 16.0, "{}", evidence.e_leave_one_out());
}

#[test]
fn the_schema_is_one_that_kubernetes_accepts() {
    let schema = serde_json::to_string(&schemars::schema_for!(Evidence)).unwrap();
    for format in ["uint", "double", "$dynamic"] {
        assert!(!schema.contains(format), "{format} in {schema}");
    }
}

#[test]
fn with_less_room_a_bad_node_convicts_nobody_and_a_bad_release_is_found() {
    for stages in [2, 4, 8, 16] {
        let room = crate::health::Room::of(stages);
        let arms = one_per_node(30, 300);
        let mut one_bad_node = Evidence::default();
        let mut bad_release = Evidence::default();
        for tick in 1..=24 {
            let turn = usize::try_from(tick).unwrap();
            one_bad_node.tick_within(room, tick, MINUTE, &arms, &[super::crash_on(7, 30)]);
            bad_release.tick_within(room, tick, MINUTE, &arms, &[super::crash_on(turn % 30, 30)]);
        }
        assert!(one_bad_node.e_leave_one_out() <= 1.0, "{stages}: {}", one_bad_node.e_leave_one_out());
        assert!(bad_release.e_leave_one_out() > 200.0, "{stages}: {}", bad_release.e_leave_one_out());
        let before = bad_release.clone();
        bad_release.shed();
        assert!((before.e_leave_one_out() - bad_release.e_leave_one_out()).abs() < 1e-9, "{stages}");
    }
}
