//! A status that was lost.

use super::{Story, stages, waves};
use crate::common::wave;
use jiff::SignedDuration;
use lockkeeper_core::status::{Phase, Source, Status};
use lockkeeper_sim::release;

fn lose(story: &mut Story) {
    story.world.stored = Status::default();
    story.world.kill_controller();
    story.watchman.status_lost();
}

#[test]
fn pins_and_quarantines_answer_first_and_nothing_is_promoted_for_the_longest_soak() {
    let mut story = Story::prod(6);
    story.world.policy.stages[0].soak = SignedDuration::from_mins(30);
    story.good("0.29.0");
    story.pass(60);
    story.push("0.30.0", super::crash_at_start());
    story.pass(30);
    story.world.quarantine_by_person(&release("0.30.0"));
    story.pass(20);
    assert_eq!(story.runs("0.29.0"), 6, "{}", story.history());
    let (moves, quarantines) = (story.moves().len(), story.world.quarantines.len());
    lose(&mut story);
    // Most pods were replaced by hand meanwhile: the pin says what is stable, not they.
    for pod in 0..5 {
        story.world.edit_pod(pod, &format!("{}@{}", crate::common::REPOSITORY, release("0.28.0").digest));
    }
    story.good("0.31.0");
    story.pass(25);
    assert_eq!(story.stage(0).current, Some(release("0.29.0").digest), "{}", story.history());
    assert_eq!(story.stage(0).verified[0].source, Source::Restored);
    assert_eq!(story.reason(0), (Phase::Idle, "StatusRestored"));
    assert_eq!((story.moves().len(), story.world.quarantines.len()), (moves, quarantines));
    story.pass(60);
    assert_eq!(story.runs("0.31.0"), 6, "{}", story.history());
    assert!(story.world.stored.restored_at.is_none());
}

#[test]
fn an_unfinished_soak_starts_again_under_an_attempt_of_its_own() {
    let mut policy = stages(&["prod"]);
    waves(&mut policy, &[wave(3, 20)]);
    let mut story = Story::new(policy, &[("prod", "api", 12)]).minutes(1);
    story.good("0.29.0");
    story.pass(5);
    assert_eq!(story.runs("0.29.0"), 3);
    let old: Vec<String> =
        story.world.pods.iter().filter_map(|p| p.moved.as_ref().map(|m| m.attempt.clone())).collect();
    lose(&mut story);
    story.pass(20);
    assert_eq!(story.stage(0).current, Some(release("0.28.0").digest));
    let attempt = story.stage(0).flight.as_ref().map(|f| f.attempt.clone());
    assert!(attempt.is_some_and(|a| !old.contains(&a)), "{old:?} {:?}", story.stage(0).flight);
    story.pass(90);
    assert_eq!(story.runs("0.29.0"), 12, "{}", story.history());
}

#[test]
fn what_was_verified_before_soaks_again_where_a_later_stage_waits_for_it() {
    let mut story = Story::new(stages(&["dev", "prod"]), &[("dev", "api", 2), ("prod", "api", 4)]).minutes(1);
    story.world.policy.stages[1].approvals = 1;
    story.good("0.29.0");
    story.pass(40);
    assert_eq!(story.runs("0.29.0"), 2);
    lose(&mut story);
    story.world.policy.stages[1].approvals = 0;
    story.pass(120);
    assert_eq!(story.runs("0.29.0"), 6, "{}", story.history());
}
