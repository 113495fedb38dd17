//! What the core costs: one decision, a year of decisions, the evidence in a status. Prints a table; asserts nothing.
//!
//! `cargo bench -p lockkeeper-sim --bench figures`. CPU time of the one thread that runs, so that whatever else the
//! machine does hardly shows; medians of many.

#[path = "../tests/common/mod.rs"]
mod common;

use common::{incident_world, owner, policy, stage};
use jiff::SignedDuration;
use lockkeeper_core::{
    decide,
    policy::Policy,
    select::{Order, Selection, rank},
};
use lockkeeper_sim::{Behaviour, World, WorldSettings, release};
use rustix::time::{ClockId, clock_gettime};
use std::{hint::black_box, time::Duration};

/// Years that are simulated.
const SEEDS: u64 = 1;
/// Releases of the year: one every two weeks.
const RELEASES: i64 = 26;

fn main() {
    println!("| What | Median | Worst | Runs |\n|---|---|---|---|");
    selection();
    if std::env::args().any(|only| only == "selection") {
        return;
    }
    let small = incident_world(7);
    let large = one_stage(5_000, 10);
    decisions("3 stages, 36 pods", small, 2_000);
    decisions("1 stage, 5,000 pods of 500 owners", large, 200);
    year();
}

/// Times a policy's look at long listings, as registries give them: versions, prereleases and builds of branches.
fn selection() {
    for (count, runs) in [(10_000, 200), (100_000, 20)] {
        let mut tags: Vec<String> = (0..count)
            .map(|n| match n % 20 {
                0 => format!("v1.{}.{}-rc.1", n / 10, n % 10),
                1 => format!("main-{:08x}", n * 2_654_435_u64),
                _ => format!("v1.{}.{}", n / 10, n % 10),
            })
            .collect();
        tags.sort();
        for (what, order) in [
            ("semver", Order::semver(">=1.0.0")),
            ("alphabetical", Ok(Order::Alphabetical { descending: false })),
        ] {
            let Ok(selection) = order.and_then(Selection::of) else { continue };
            let once = || {
                let begun = cpu();
                black_box(rank(&selection, black_box(&tags).iter().map(String::as_str)));
                cpu().saturating_sub(begun)
            };
            let times: Vec<Duration> = (0..runs).map(|_| once()).collect();
            row(&format!("one policy's selection by {what} over {count} tags"), &times);
        }
    }
}

/// Times decisions at rest, and while a candidate soaks; and measures what the latter leaves in the status.
fn decisions(what: &str, mut world: World, runs: usize) {
    run(&mut world, SignedDuration::from_hours(1));
    row(&format!("decide, {what}, at rest"), &time(&world, runs));
    world.push(&release("0.29.0"), &["0.29.0", "latest"], Behaviour::default());
    let last = world.policy.stages.len() - 1;
    let soaks =
        |world: &World| world.stored.stages[last].flight.as_ref().is_some_and(|f| f.healthy_seconds > 0);
    // The world comes first: a day is enough for every soak of this policy.
    for _ in 0..24 * 60 * 2 {
        if soaks(&world) {
            break;
        }
        run(&mut world, SignedDuration::from_secs(30));
    }
    assert!(soaks(&world), "the candidate never reached its last stage: {:#?}", world.stored.stages[last]);
    row(&format!("decide, {what}, a candidate soaks"), &time(&world, runs));
    crash_everything(&mut world, last);
    size(what, &world, last);
}

fn time(world: &World, runs: usize) -> Vec<Duration> {
    let seen = world.observe();
    let once = || {
        let begun = cpu();
        black_box(decide(black_box(&world.policy), black_box(&seen), world.now));
        cpu().saturating_sub(begun)
    };
    (0..runs).map(|_| once()).collect()
}

/// Gives every pod of the last stage's flight a counted death, the most that evidence remembers.
fn crash_everything(world: &mut World, last: usize) {
    let uids: Vec<String> = world.pods.iter().map(|pod| pod.uid.clone()).collect();
    if let Some(flight) = &mut world.stored.stages[last].flight {
        flight.health.deaths = uids.into_iter().map(|uid| (format!("{uid}/otel"), 3)).collect();
    }
}

fn size(what: &str, world: &World, last: usize) {
    let status = &world.stored;
    let all = json(status);
    let evidence = status.stages[last].flight.as_ref().map_or(0, |flight| json(&flight.health));
    println!(
        "| status, {what}, a death counted in every pod | {all} bytes, evidence {evidence} of them | | 1 |"
    );
}

/// CPU time of this thread.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

fn json(value: &impl serde::Serialize) -> usize {
    serde_json::to_vec(value).map_or(0, |bytes| bytes.len())
}

/// A policy's year: a release every two weeks, every fourth of them bad in the last stage.
fn year() {
    let mut spent = Vec::new();
    let mut passes = 0;
    for seed in 1..=SEEDS {
        let mut world = incident_world(seed);
        let begun = cpu();
        passes = 0;
        for number in 0..RELEASES {
            let version = format!("0.{}.0", 29 + number);
            let behaviour = if number % 4 == 0 { common::panics_in_prod(6.0) } else { Behaviour::default() };
            world.push(&release(&version), &[&version, "latest"], behaviour);
            passes += run(&mut world, SignedDuration::from_hours(14 * 24 + 1));
        }
        spent.push(cpu().saturating_sub(begun));
    }
    row(&format!("a policy-year: {RELEASES} releases, 36 pods, {passes} passes"), &spent);
}

/// Lets time pass from deadline to deadline; while a candidate is in flight at most a minute at once, so that pods live
/// their lives between.
fn run(world: &mut World, total: SignedDuration) -> usize {
    let end = world.now + total;
    let mut passes = 0;
    while world.now < end {
        let busy = world.stored.stages.iter().any(|stage| stage.flight.is_some() || stage.rollback.is_some());
        let most = if busy { SignedDuration::from_mins(1) } else { SignedDuration::from_hours(1) };
        let wanted = world.next_deadline.map_or(most, |at| at.duration_since(world.now).min(most));
        world.pass_time(wanted.min(end.duration_since(world.now)).max(SignedDuration::from_secs(1)));
        passes += world.settle(6) + 1;
        world.records.clear();
    }
    passes
}

/// One stage over owners of `each` pods.
fn one_stage(pods: usize, each: usize) -> World {
    let policy = Policy { stages: vec![stage("prod", &[], SignedDuration::from_mins(30))], ..policy() };
    let mut world = World::new(policy, WorldSettings { nodes: 50, ..WorldSettings::default() });
    world.push(&release("0.28.0"), &["0.28.0", "latest"], Behaviour::default());
    for number in 0..pods / each {
        world.add_owner(owner("prod", &format!("app-{number}"), each));
    }
    world
}

fn row(what: &str, times: &[Duration]) {
    let mut sorted = times.to_vec();
    sorted.sort();
    let (median, worst) = (sorted[sorted.len() / 2], sorted[sorted.len() - 1]);
    println!("| {what} | {median:.1?} | {worst:.1?} | {} |", sorted.len());
}
