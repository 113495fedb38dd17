//! People, publishers and other hands.

use super::{Story, stages, waves};
use crate::common::{REPOSITORY, wave};
use jiff::SignedDuration;
use lockkeeper_core::{
    image::Digest,
    observed::InterventionKind,
    policy::DriftMode,
    select::{Order, Selection},
    status::Phase,
};
use lockkeeper_sim::{Behaviour, release};

fn at(name: &str) -> String {
    format!("{REPOSITORY}@{}", release(name).digest)
}

/// Six pods, 0.29.0 verified.
fn verified() -> Story {
    let mut story = Story::prod(6);
    story.good("0.29.0");
    story.pass(40);
    assert_eq!(story.reason(0), (Phase::Idle, "Verified"));
    story
}

#[test]
fn k13_a_hand_edit_is_drift_and_is_not_fought() {
    let mut story = verified();
    let moves = story.moves().len();
    story.world.edit_pod(0, &at("0.28.0"));
    story.pass(60);
    assert_eq!((story.stage(0).drift.pods, story.told("DriftDetected")), (1, 1));
    assert_eq!(story.moves().len(), moves);
    assert!(story.stage(0).drift.examples[0].starts_with("prod/api-"));
}

#[test]
fn drift_is_repaired_three_times_per_owner_and_then_contested() {
    let mut story = verified();
    story.world.policy.stages[0].drift = DriftMode::Repair;
    for round in 1..=5 {
        story.world.edit_pod(0, &at("0.28.0"));
        story.pass(10);
        assert_eq!(story.runs("0.29.0"), if round <= 3 { 6 } else { 5 }, "round {round}");
    }
    assert_eq!(story.told("Contested"), 1);
}

#[test]
fn unknown_contents_are_neither_drift_nor_right() {
    let mut story = verified();
    let unknown = Digest::of(b"nobody knows");
    story.world.set_registry(false);
    story.world.pods[0].running = Some(unknown.clone());
    story.world.pods[0].image = format!("{REPOSITORY}@{unknown}");
    story.pass(10);
    assert_eq!(story.stage(0).drift.pods, 0);
}

#[test]
fn k19_pods_born_unpinned_are_put_right_and_counted_once() {
    let mut story = verified();
    story.world.settings.pins_at_birth = false;
    story.world.push(&release("0.30.0-rc.1"), &["0.30.0-rc.1", "latest"], Behaviour::default());
    story.world.delete_pod(0);
    story.world.delete_pod(1);
    story.world.refused_with = Some("not now".to_owned());
    story.pass(10);
    assert_eq!((story.stage(0).unpinned_births, story.runs("0.29.0")), (2, 4));
    story.world.refused_with = None;
    story.pass(10);
    assert_eq!((story.stage(0).unpinned_births, story.runs("0.29.0")), (2, 6), "{}", story.history());
}

#[test]
fn k20_a_pin_is_put_back_once_and_then_left_alone_and_named() {
    let mut story = verified();
    story.world.edit_pin(0, &release("0.28.0").digest, None);
    story.pass(5);
    assert_eq!(story.world.pins[0].spec.digest, release("0.29.0").digest);
    assert_eq!(story.told("PinPutBack"), 1);
    story.world.edit_pin(0, &release("0.28.0").digest, None);
    story.pass(60);
    assert_eq!(story.world.pins[0].spec.digest, release("0.28.0").digest, "left alone");
    assert_eq!(story.told("Contested"), 1);
    assert!(story.history().contains("kubectl-edit changes ImagePin prod/"), "{}", story.history());
}

#[test]
fn k20_a_deleted_pin_is_made_again() {
    let mut story = verified();
    story.world.delete_pin(0);
    story.pass(5);
    assert_eq!((story.world.pins.len(), story.told("PinPutBack")), (1, 1));
}

#[test]
fn k20_manual_until_is_obeyed_until_then() {
    let mut story = verified();
    let until = story.world.now + SignedDuration::from_mins(30);
    story.world.edit_pin(0, &release("0.28.0").digest, Some(until));
    story.pass(20);
    assert_eq!(story.world.pins[0].spec.digest, release("0.28.0").digest);
    assert_eq!(story.told("PinPutBack"), 0);
    story.pass(20);
    assert_eq!(story.world.pins[0].spec.digest, release("0.29.0").digest);
}

#[test]
fn a_pin_edited_in_flight_is_a_hold_and_not_undone_towards_the_candidate() {
    let mut story = Story::prod(6);
    story.good("0.29.0");
    story.pass(5);
    assert_eq!((story.reason(0).0, story.runs("0.29.0")), (Phase::Soaking, 6));
    story.world.edit_pin(0, &release("0.28.0").digest, None);
    story.pass(60);
    assert_eq!(story.world.pins[0].spec.digest, release("0.28.0").digest);
    assert_eq!(story.reason(0), (Phase::Soaking, "SoakPaused"), "{}", story.stage(0).message);
    assert!(story.stage(0).message.contains("changed by hand"), "{}", story.stage(0).message);
    assert_eq!(story.told("EditedByHand"), 1);
    story.ask(InterventionKind::Resume, "prod", None, "kim");
    story.pass(30);
    assert_eq!(story.reason(0), (Phase::Idle, "Verified"), "{}", story.history());
    assert_eq!(story.world.pins[0].spec.digest, release("0.29.0").digest);
}

#[test]
fn a_pod_edited_in_flight_is_a_hold_and_not_undone_towards_the_candidate() {
    let mut policy = stages(&["prod"]);
    waves(&mut policy, &[wave(3, 60)]);
    let mut story = Story::new(policy, &[("prod", "api", 12)]).minutes(1);
    story.good("0.29.0");
    story.pass(10);
    let moves = story.moves().len();
    let member = story.world.pods.iter().position(|p| p.moved.is_some()).unwrap();
    story.world.edit_pod(member, &at("0.28.0"));
    story.pass(30);
    assert_eq!((story.runs("0.29.0"), story.moves().len()), (2, moves), "held");
    assert_eq!(story.told("EditedByHand"), 1, "{}", story.history());
    story.ask(InterventionKind::Resume, "prod", None, "kim");
    story.pass(30);
    assert_eq!(story.runs("0.29.0"), 3, "another pod takes its place");
    assert_eq!(story.world.pods[member].running, Some(release("0.28.0").digest));
}

#[test]
fn r16_a_version_tag_that_moves_is_one_alarm_and_a_hold() {
    let mut story = verified();
    let mut other = release("0.29.0 again");
    other.tag = "0.29.0".parse().ok();
    other.version = Some("0.29.0".to_owned());
    for _ in 0..3 {
        story.world.push(&other, &["0.29.0"], Behaviour::default());
        story.pass(20);
        story.world.push(&release("0.29.0"), &["0.29.0"], Behaviour::default());
        story.pass(20);
    }
    assert_eq!(story.told("TagMoved"), 1);
    assert!(story.world.stored.moved_tags.is_empty(), "it is back");
    assert_eq!((story.runs("0.29.0"), story.moves().len()), (6, 6));
    // A person takes the new contents, by digest; then it is what the tag is.
    story.world.push(&other, &["0.29.0"], Behaviour::default());
    story.pass(5);
    assert_eq!(story.world.stored.moved_tags.len(), 1);
    story.promote("prod", &other, &[]);
    story.pass(60);
    assert_eq!(story.world.running(&other), 6, "{}", story.history());
    story.world.interventions.clear();
    story.pass(10);
    assert!(story.world.stored.moved_tags.is_empty());
    assert_eq!(story.told("TagMoved"), 1);
}

#[test]
fn r17_a_tag_that_was_deleted_holds_what_it_named_before_the_next_stage() {
    let mut story = Story::new(stages(&["dev", "prod"]), &[("dev", "api", 2), ("prod", "api", 4)]).minutes(1);
    story.good("0.29.0");
    story.pass(5);
    story.world.delete_tag("0.29.0");
    story.pass(60);
    assert_eq!((story.runs("0.29.0"), story.runs("0.28.0")), (2, 4), "{}", story.history());
    assert_eq!(story.reason(1), (Phase::Idle, "TagGone"));
    assert_eq!(story.reason(0), (Phase::Idle, "Verified"), "what runs is untouched");
}

#[test]
fn r19_the_same_contents_under_another_index_are_the_same_release() {
    let mut story = verified();
    let mut again = release("0.29.0");
    again.digest = Digest::of(b"attested");
    story.world.push(&again, &["0.29.0", "latest"], Behaviour::default());
    story.pass(60);
    assert_eq!((story.moves().len(), story.told("TagMoved")), (6, 0));
    // And a quarantine survives it.
    story.world.quarantine_by_person(&release("0.29.0"));
    story.pass(10);
    assert_eq!(story.runs("0.28.0"), 6);
    again.digest = Digest::of(b"attested again");
    story.world.push(&again, &["0.29.0", "latest"], Behaviour::default());
    story.pass(60);
    assert_eq!(story.runs("0.28.0"), 6);
}

#[test]
fn r16_a_followed_tag_that_flaps_does_not_go_back() {
    let mut policy = stages(&["prod"]);
    policy.select = Selection::of(Order::Digest { tag: "latest".parse().unwrap() }).unwrap();
    let mut story = Story::new(policy, &[("prod", "api", 3)]).minutes(5);
    story.good("0.29.0");
    story.pass(40);
    assert_eq!(story.runs("0.29.0"), 3, "{}", story.history());
    let moves = story.moves().len();
    for name in ["0.28.0", "0.29.0", "0.28.0"] {
        let old = release(name);
        story.world.push(&old, &["latest"], Behaviour::default());
        story.pass(40);
    }
    assert_eq!((story.runs("0.29.0"), story.moves().len()), (3, moves));
    story.good("0.30.0");
    story.pass(40);
    assert_eq!(story.runs("0.30.0"), 3);
}

#[test]
fn the_same_intervention_twice_is_one_request() {
    let mut story = verified();
    story.good("0.30.0");
    story.pass(40);
    story.ask(InterventionKind::RollBack, "prod", Some(&release("0.30.0")), "kim");
    let again = story.world.interventions.clone();
    story.pass(10);
    assert_eq!(story.runs("0.29.0"), 6);
    story.world.interventions = again;
    story.good("0.31.0");
    story.pass(60);
    assert_eq!(story.runs("0.31.0"), 6, "{}", story.history());
}

#[test]
fn r18_a_pod_born_unpinned_is_not_moved_to_what_the_registry_has_no_more() {
    let mut story = Story::prod(4);
    story.good("0.29.0");
    story.pass(60);
    story.ask(InterventionKind::Hold, "prod", None, "kim");
    let moves = story.moves().len();
    story.world.settings.pins_at_birth = false;
    story.world.push(&release("0.28.0"), &["latest"], lockkeeper_sim::Behaviour::default());
    story.world.collect_garbage(&release("0.29.0").digest);
    story.world.delete_pod(0);
    story.pass(20);
    assert_eq!((story.moves().len(), story.stage(0).unpinned_births), (moves, 1), "{}", story.history());
    // There again: put right.
    story.world.push(&release("0.29.0"), &["0.29.0"], lockkeeper_sim::Behaviour::default());
    story.pass(20);
    assert_eq!((story.moves().len(), story.runs("0.29.0")), (moves + 1, 4), "{}", story.history());
}
