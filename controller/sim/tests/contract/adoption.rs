//! How a stage without a history begins.

use super::{Story, owner, stages};
use crate::common::{REPOSITORY, wave};
use lockkeeper_core::{observed::InterventionKind, status::Phase};
use lockkeeper_sim::release;

/// So many pods on `latest` (0.28.0), and so many whose template says 0.27.0.
fn mix(latest: usize, explicit: usize) -> Story {
    mix_of(latest, explicit).minutes(1)
}

fn mix_of(latest: usize, explicit: usize) -> Story {
    let mut story = Story::new(stages(&["prod"]), &[("prod", "api", latest)]);
    let mut other = owner("prod", "old", explicit);
    other.image = format!("{REPOSITORY}:0.27.0");
    story.world.add_owner(other);
    story
}

#[test]
fn four_in_five_are_adopted_and_no_explicit_version_is_changed() {
    let mut story = mix(8, 2);
    assert_eq!(story.reason(0), (Phase::Idle, "Adopted"));
    let only = story.world.pins[0].spec.only_tags.clone().unwrap();
    assert_eq!(only.iter().map(ToString::to_string).collect::<Vec<_>>(), ["latest"]);
    assert_eq!(story.world.pins[0].spec.digest, release("0.28.0").digest);
    // Both kinds are born again as they were.
    story.world.delete_pod(0);
    story.world.delete_pod(9);
    story.pass(5);
    assert_eq!((story.runs("0.28.0"), story.runs("0.27.0")), (8, 2));
    assert!(story.moves().is_empty(), "adoption restarts nothing");
    assert_eq!(story.stage(0).drift.pods, 2, "drift is reported");
}

#[test]
fn repair_does_not_change_an_explicit_version_either() {
    let mut story = mix(8, 2);
    story.world.policy.stages[0].drift = lockkeeper_core::policy::DriftMode::Repair;
    story.world.delete_pod(9);
    story.pass(10);
    assert_eq!(story.runs("0.27.0"), 2);
    assert!(story.moves().is_empty());
}

#[test]
fn less_than_four_in_five_is_mixed_and_nothing_is_pinned_until_a_person_chooses() {
    let mut story = mix_of(7, 3);
    // Selection's candidate would enter at once: hold it, so that only adoption is looked at.
    story.ask(InterventionKind::Hold, "prod", None, "kim");
    story.pass(5);
    assert!(story.world.pins.is_empty());
    assert_eq!(story.stage(0).mixed.len(), 2, "{:?}", story.stage(0).mixed);
    story.ask(InterventionKind::Adopt, "prod", Some(&release("0.28.0")), "kim");
    story.pass(2);
    assert_eq!(story.stage(0).current, Some(release("0.28.0").digest));
    assert_eq!(story.world.pins.len(), 1);
    assert!(story.stage(0).mixed.is_empty());
    assert!(story.moves().is_empty());
}

#[test]
fn the_first_promotion_brings_a_mix_together() {
    let mut story = mix(5, 5);
    story.good("0.29.0");
    story.pass(60);
    assert_eq!(story.runs("0.29.0"), 10, "{}", story.history());
    assert!(story.world.pins[0].spec.only_tags.is_none());
}

#[test]
fn explicit_versions_get_no_pin_before_the_first_promotion_is_over() {
    let mut policy = stages(&["prod"]);
    super::waves(&mut policy, &[wave(2, 10)]);
    let mut story = Story::new(policy, &[]);
    let mut all = owner("prod", "api", 10);
    all.image = format!("{REPOSITORY}:0.28.0");
    story.world.add_owner(all);
    story.pass(1);
    assert_eq!(story.reason(0), (Phase::Idle, "Adopted"));
    assert!(story.world.pins.is_empty());
    story.good("0.29.0");
    story.pass(5);
    assert_eq!(story.runs("0.29.0"), 2);
    assert!(story.world.pins.is_empty(), "a wave pins nobody");
    story.pass(60);
    assert_eq!(story.world.pins[0].spec.digest, release("0.29.0").digest);
    assert_eq!(story.runs("0.29.0"), 10);
}

#[test]
fn a_rollback_in_the_first_wave_pins_no_explicit_version() {
    let mut policy = stages(&["prod"]);
    super::waves(&mut policy, &[wave(3, 10)]);
    let mut story = Story::new(policy, &[]);
    let mut all = owner("prod", "api", 12);
    all.image = format!("{REPOSITORY}:0.28.0");
    story.world.add_owner(all);
    story.pass(1);
    story.push("0.29.0", super::crash_at_start());
    story.pass(60);
    assert_eq!(story.runs("0.28.0"), 12, "{}", story.history());
    assert!(story.world.pins.is_empty());
}

#[test]
fn without_a_ready_pod_nothing_is_adopted_nor_promoted() {
    let mut story = Story::new(stages(&["prod"]), &[("prod", "api", 3)]);
    story.world.pods.iter_mut().for_each(|p| p.app_down = true);
    story.pass(30);
    assert_eq!(story.reason(0), (Phase::Idle, "NoReadyPods"));
    assert!(story.moves().is_empty() && story.world.pins.is_empty());
}

#[test]
fn a_version_above_the_range_is_known_by_its_tag_and_never_lowered() {
    let mut policy = stages(&["prod"]);
    policy.select =
        lockkeeper_core::select::Selection::of(lockkeeper_core::select::Order::semver("<0.28.0").unwrap())
            .unwrap();
    let mut story = Story::new(policy, &[]);
    let mut all = owner("prod", "api", 3);
    all.image = format!("{REPOSITORY}:0.28.0");
    story.world.add_owner(all);
    story.pass(30);
    assert_eq!(story.reason(0), (Phase::Idle, "OutOfRange"), "{}", story.history());
    assert_eq!(story.runs("0.28.0"), 3);
    story.world.policy.select.allow_downgrade = true;
    story.watchman = lockkeeper_sim::watchman::Watchman::default();
    story.pass(60);
    assert_eq!(story.runs("0.27.0"), 3, "{}", story.history());
}

#[test]
fn a_pin_is_written_once_at_adoption_with_its_tag() {
    let story = Story::prod(4);
    let pins: Vec<_> = story
        .world
        .records
        .iter()
        .filter_map(|r| match &r.what {
            lockkeeper_sim::Effect::Pinned { spec, .. } => Some(spec.tag.as_ref().map(ToString::to_string)),
            _ => None,
        })
        .collect();
    assert_eq!(pins, [Some("0.28.0".to_owned())]);
}

#[test]
fn pins_do_not_wait_for_a_tag_that_nobody_has() {
    let mut story = Story::new(stages(&["prod"]), &[]);
    let nameless = release("nameless");
    story.world.push(&nameless, &["edge"], lockkeeper_sim::Behaviour::default());
    let mut owner = super::owner("prod", "api", 4);
    owner.image = format!("{}:edge", crate::common::REPOSITORY);
    story.world.add_owner(owner);
    story.ask(InterventionKind::Hold, "prod", None, "kim");
    story.pass(2);
    assert_eq!(story.world.pins.len(), 1, "{}", story.history());
    assert_eq!(story.world.pins[0].spec.digest, nameless.digest);
}
