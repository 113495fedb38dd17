//! Pins that no stage stands behind any more.

use super::{Story, stages};
use lockkeeper_core::{conditions::Condition, policy::DeletionPolicy};
use lockkeeper_sim::{Effect, release};

/// Both stages have adopted 0.28.0 and pin it.
fn two_stages() -> Story {
    Story::new(stages(&["dev", "prod"]), &[("dev", "api", 2), ("prod", "api", 4)]).minutes(2)
}

/// Takes `dev` out of the policy.
fn without_dev(story: &mut Story) {
    story.world.policy.stages.remove(0);
    story.world.policy.stages[0].after = Vec::new();
    story.world.policy.generation += 1;
}

/// The namespaces of the pins, and whether each is marked.
fn pins(story: &Story) -> Vec<(String, bool)> {
    let mut pins: Vec<_> = story.world.pins.iter().map(|p| (p.key.name.clone(), p.orphaned)).collect();
    pins.sort();
    pins
}

fn condition(story: &Story) -> Option<&Condition> {
    story.world.stored.conditions.iter().find(|c| c.kind == "OrphanedPins")
}

fn named(stage: &str, orphaned: bool) -> (String, bool) {
    (format!("platform.otel.{stage}"), orphaned)
}

#[test]
fn the_pins_of_a_removed_stage_stay_marked_and_the_condition_names_them() {
    let mut story = two_stages();
    without_dev(&mut story);
    story.pass(5);
    assert_eq!(pins(&story), [named("dev", true), named("prod", false)]);
    let said = condition(&story).expect("a condition");
    assert_eq!((said.status.as_str(), said.reason.as_str()), ("True", "Retained"));
    for part in ["dev/platform.otel.dev", "stage dev", "delete pin", "deletionPolicy: Release"] {
        assert!(said.message.contains(part), "{part}: {}", said.message);
    }
    let marks = |story: &Story| {
        story.world.records.iter().filter(|r| matches!(r.what, Effect::Orphaned { .. })).count()
    };
    story.pass(30);
    assert_eq!(marks(&story), 1, "marked once");
    // New pods there go on as before.
    story.world.delete_pod(0);
    story.pass(2);
    assert_eq!(story.runs("0.28.0"), 6);
}

#[test]
fn with_release_the_pins_of_a_removed_stage_go() {
    let mut story = two_stages();
    story.world.policy.deletion_policy = DeletionPolicy::Release;
    without_dev(&mut story);
    story.pass(5);
    assert_eq!(pins(&story), [named("prod", false)]);
    assert!(condition(&story).is_none());
}

#[test]
fn i8_nothing_goes_while_the_watches_are_not_fresh_or_nothing_may_be_written() {
    let mut story = two_stages();
    story.world.policy.deletion_policy = DeletionPolicy::Release;
    without_dev(&mut story);
    story.world.set_watches(false);
    story.pass(5);
    assert_eq!(pins(&story).len(), 2);
    story.world.set_watches(true);
    story.world.policy.suspend = true;
    story.pass(5);
    assert_eq!(pins(&story), [named("dev", false), named("prod", false)]);
    assert!(condition(&story).is_some(), "said all the same");
    story.world.policy.suspend = false;
    story.pass(5);
    assert_eq!(pins(&story).len(), 1);
}

#[test]
fn a_pin_stays_until_its_successor_is_there_and_never_competes_with_it() {
    let mut story = two_stages();
    story.world.policy.stages[0].name = "development".to_owned();
    story.world.reconcile(None);
    assert_eq!(pins(&story)[0], named("dev", false), "new pods are not left without");
    story.pass(5);
    assert_eq!(pins(&story), [named("development", false), named("prod", false)]);
    assert!(condition(&story).is_none());
}

#[test]
fn a_stage_that_comes_back_takes_its_pin_back() {
    let mut story = two_stages();
    let before = story.world.policy.clone();
    without_dev(&mut story);
    story.pass(5);
    assert!(pins(&story)[0].1);
    story.world.policy = before;
    story.pass(5);
    assert_eq!(pins(&story), [named("dev", false), named("prod", false)]);
    assert!(condition(&story).is_none());
    assert_eq!(story.world.pins[0].spec.digest, release("0.28.0").digest);
}

#[test]
fn a_namespace_that_left_a_stage_is_treated_like_a_stage_that_left() {
    let mut policy = stages(&["prod"]);
    let in_namespaces = |names: &[&str]| {
        let names = names.iter().map(|n| (*n).to_owned()).collect();
        lockkeeper_core::policy::Namespaces::Named(names)
    };
    let lockkeeper_core::policy::Target::Pods(target) = &mut policy.stages[0].targets[0] else {
        panic!("a pods target")
    };
    target.namespaces = in_namespaces(&["prod", "more"]);
    let mut story = Story::new(policy, &[("prod", "api", 4), ("more", "web", 2)]).minutes(2);
    assert_eq!(pins(&story).len(), 2);
    let lockkeeper_core::policy::Target::Pods(target) = &mut story.world.policy.stages[0].targets[0] else {
        panic!("a pods target")
    };
    target.namespaces = in_namespaces(&["prod"]);
    story.pass(5);
    let marked: Vec<&str> =
        story.world.pins.iter().filter(|p| p.orphaned).map(|p| p.key.namespace.as_str()).collect();
    assert_eq!(marked, ["more"]);
}
