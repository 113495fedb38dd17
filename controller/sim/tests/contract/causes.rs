//! Pods that die of what the stable release never died of.

use super::*;
use common::panics_in_prod;

const PANIC: &str = "panic: unsupported attribute value type\n\ngoroutine 7 [running]:\nmain.main()";

/// The first of three stages has thirty pods: M needs three times the evidence there.
fn world(seed: u64) -> World {
    let soak = SignedDuration::from_mins(30);
    let mut policy = policy();
    policy.stages = vec![stage("prod", &[], soak), stage("second", &[0], soak), stage("third", &[1], soak)];
    let mut world = World::new(policy, WorldSettings { seed, ..WorldSettings::default() });
    world.push(&release("0.28.0"), &["0.28.0", "latest"], Behaviour::default());
    world.add_owner(owner("prod", "api", 30));
    world.add_owner(owner("second", "api", 2));
    world.add_owner(owner("third", "api", 2));
    world
}

/// When prod is rolled back, in minutes after the release was pushed, and what people are told.
fn rolled_back(seed: u64, bad: Behaviour) -> (i64, String) {
    let mut world = world(seed);
    // The stable release has run for three days when the bad one comes.
    world.run_for(SignedDuration::from_hours(72), SignedDuration::from_mins(30));
    world.push(&release("0.29.0"), &["0.29.0", "latest"], bad);
    let pushed = world.now;
    world.run_for(SignedDuration::from_hours(9), SignedDuration::from_secs(30));
    let told = world.records.iter().find_map(|r| match &r.what {
        Effect::Told(e) if e.reason == "Degraded" => Some((r.at, e.message.clone())),
        _ => None,
    });
    let (at, message) = told.expect("6 crashes per pod-hour are found in nine hours");
    (at.duration_since(pushed).as_mins(), message)
}

#[test]
fn a_new_panic_is_taken_back_earlier_than_crashes_of_no_known_cause_and_people_read_it() {
    let mut earlier = 0;
    for seed in 1..=5 {
        let (blind, _) = rolled_back(seed, panics_in_prod(6.0));
        let panics = Behaviour { panic: Some(PANIC.to_owned()), ..panics_in_prod(6.0) };
        let (seen, message) = rolled_back(seed, panics);
        // What happens until then is the same in both worlds: the fast detector can only be the first.
        assert!(seen <= blind, "seed {seed}: {seen} min, without causes {blind} min");
        earlier += u32::from(seen < blind);
        assert!(message.contains("panic: unsupported attribute value type"), "{message}");
    }
    assert!(earlier >= 2, "earlier in {earlier} of 5 nights");
}
