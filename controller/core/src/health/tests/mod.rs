//! Tests of the health engine: published values, properties, verdicts, and a seeded simulation.

mod expected;
mod fast;
mod gauges;
mod missing;
mod properties;
mod simulated;
mod together;
mod verdicts;

use super::{Arm, Arms, Crash, Evidence, Stratum};

const MINUTE: f64 = 1.0 / 60.0;

fn stratum(name: &str) -> Stratum {
    Stratum::new("prod", "Deployment", name, "7d4b9")
}

/// Adds pods `<stratum>-<node>-<arm><number>`.
fn place(arms: &mut Arms, stratum_name: &str, node: &str, candidates: usize, baselines: usize) {
    for (arm, pods) in [(Arm::Candidate, candidates), (Arm::Baseline, baselines)] {
        for number in 0..pods {
            arms.add(&stratum(stratum_name), arm, node, &pod(stratum_name, node, arm, number));
        }
    }
}

fn pod(stratum_name: &str, node: &str, arm: Arm, number: usize) -> String {
    format!("{stratum_name}-{node}-{arm:?}{number}")
}

fn crash(stratum_name: &str, arm: Arm, node: &str, number: usize) -> Crash {
    Crash {
        stratum: stratum(stratum_name),
        arm,
        node: node.to_owned(),
        pod: pod(stratum_name, node, arm, number),
        fingerprint: None,
    }
}

/// One application, one pod per node: the candidate on `n0…`, the baseline on the nodes after it.
fn one_per_node(candidates: usize, baselines: usize) -> Arms {
    let mut arms = Arms::default();
    for node in 0..candidates + baselines {
        let is_candidate = node < candidates;
        place(&mut arms, "app", &format!("n{node}"), usize::from(is_candidate), usize::from(!is_candidate));
    }
    arms
}

/// A crash of the only pod on node `n<node>` of [`one_per_node`].
fn crash_on(node: usize, candidates: usize) -> Crash {
    let arm = if node < candidates { Arm::Candidate } else { Arm::Baseline };
    crash("app", arm, &format!("n{node}"), 0)
}

/// The evidence after one tick per list of crashed nodes, in [`one_per_node`].
fn after(candidates: usize, baselines: usize, ticks: &[&[usize]]) -> Evidence {
    let arms = one_per_node(candidates, baselines);
    let mut evidence = Evidence::default();
    for (tick, nodes) in (1..).zip(ticks) {
        let crashes: Vec<Crash> = nodes.iter().map(|node| crash_on(*node, candidates)).collect();
        evidence.tick(tick, MINUTE, &arms, &crashes);
    }
    evidence
}

#[track_caller]
fn assert_close(found: f64, expected: f64) {
    let tolerance = 1e-6 * expected.abs().max(1.0);
    // Published with four decimals where the value is large.
    let tolerance = if expected > 10.0 { tolerance.max(5.1e-5) } else { tolerance.max(5.1e-7) };
    assert!((found - expected).abs() <= tolerance, "found {found}, expected {expected}");
}
