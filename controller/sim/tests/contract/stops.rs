//! Ways to stop, one meaning each.

use super::{Story, crash_at_start, stages, waves};
use crate::common::wave;
use lockkeeper_core::{
    observed::InterventionKind,
    policy::{Mode, RollbackMode, Window, WindowKind},
    status::Phase,
};
use lockkeeper_sim::release;
use std::str::FromStr as _;

/// Twelve pods, three of them on a candidate that soaks.
fn soaking() -> Story {
    let mut policy = stages(&["prod"]);
    waves(&mut policy, &[wave(3, 60)]);
    let mut story = Story::new(policy, &[("prod", "api", 12)]).minutes(1);
    story.good("0.29.0");
    story.pass(10);
    assert_eq!((story.reason(0).0, story.runs("0.29.0")), (Phase::Soaking, 3));
    story
}

/// The candidate that soaks turns bad.
fn turn_bad(story: &mut Story) {
    story.world.behaviours.insert(release("0.29.0").digest, crash_at_start());
}

fn never() -> Window {
    Window {
        cron: croner::Cron::from_str("0 0 1 1 *").unwrap(),
        duration: jiff::SignedDuration::from_secs(1),
        time_zone: jiff::tz::TimeZone::UTC,
        kind: WindowKind::Allow,
    }
}

fn writes(story: &Story) -> usize {
    story.moves().len() + story.world.pins.len() + story.world.quarantines.len()
}

#[test]
fn observe_decides_and_reports_and_writes_nothing() {
    let mut policy = stages(&["prod"]);
    policy.mode = Mode::Observe;
    let mut story = Story::new(policy, &[("prod", "api", 3)]).minutes(5);
    story.good("0.29.0");
    story.pass(30);
    assert_eq!(writes(&story), 0);
    assert_eq!(story.reason(0), (Phase::Idle, "Observing"));
    assert!(story.stage(0).message.contains("0.29.0 would enter now"), "{}", story.stage(0).message);
    // Drift is reported, too.
    story.world.edit_pod(0, &format!("{}@{}", crate::common::REPOSITORY, release("0.27.0").digest));
    story.pass(5);
    assert_eq!((story.stage(0).drift.pods, story.told("DriftDetected")), (1, 1));
    assert_eq!(writes(&story), 0);
}

#[test]
fn suspend_stops_all_writes_and_says_what_is_left_half_way() {
    let mut story = soaking();
    let before = writes(&story);
    story.world.policy.suspend = true;
    turn_bad(&mut story);
    story.pass(60);
    assert_eq!(writes(&story), before, "not even a rollback");
    assert!(story.stage(0).message.contains("left half-way: 0.29.0"), "{}", story.stage(0).message);
    story.world.policy.suspend = false;
    story.pass(30);
    assert_eq!(story.runs("0.28.0"), 12, "{}", story.history());
}

#[test]
fn what_a_stage_is_blocked_by_outlives_a_suspension() {
    for (suspend, mode) in [(true, Mode::Enforce), (false, Mode::Observe)] {
        let mut story = soaking();
        story.world.policy.stages[0].rollback = RollbackMode::Recommend;
        turn_bad(&mut story);
        story.pass(120);
        let blocked = (Phase::Blocked, "RollbackRecommended");
        assert_eq!(story.reason(0), blocked);
        let moves = story.moves().len();
        (story.world.policy.suspend, story.world.policy.mode) = (suspend, mode);
        story.pass(30);
        assert_eq!(story.reason(0), blocked);
        (story.world.policy.suspend, story.world.policy.mode) = (false, Mode::Enforce);
        story.pass(30);
        assert_eq!((story.reason(0), story.moves().len()), (blocked, moves), "{}", story.history());
        story.ask(InterventionKind::RollBack, "prod", None, "kim");
        story.pass(30);
        assert_eq!((story.runs("0.28.0"), story.world.quarantines.len()), (12, 1), "{}", story.history());
    }
}

#[test]
fn under_a_hold_nothing_is_widened_and_the_rollback_is_armed() {
    let mut story = soaking();
    story.ask(InterventionKind::Hold, "prod", None, "kim");
    story.pass(120);
    assert_eq!(story.runs("0.29.0"), 3, "the wave has soaked, and waits");
    assert_eq!(story.reason(0), (Phase::Applying, "Held"));
    turn_bad(&mut story);
    story.pass(30);
    assert_eq!((story.runs("0.28.0"), story.world.quarantines.len()), (12, 1), "{}", story.history());
}

#[test]
fn outside_of_the_windows_nothing_is_widened_and_the_rollback_is_armed() {
    let mut story = soaking();
    story.world.policy.stages[0].windows = vec![never()];
    story.pass(600);
    assert_eq!(
        story.runs("0.29.0"),
        3,
        "not even after maxSoak: waiting for a window is no attempt that fails"
    );
    assert_eq!(story.reason(0), (Phase::Applying, "WindowClosed"));
    turn_bad(&mut story);
    story.pass(30);
    assert_eq!((story.runs("0.28.0"), story.world.quarantines.len()), (12, 1), "{}", story.history());
}

#[test]
fn a_window_that_opens_lets_the_release_go_on_with_its_whole_soak() {
    let mut story = soaking();
    story.world.policy.stages[0].windows = vec![never()];
    story.pass(600);
    story.world.policy.stages[0].windows = Vec::new();
    story.pass(30);
    assert_eq!(story.reason(0), (Phase::Idle, "Verified"), "{}", story.history());
}

#[test]
fn a_resume_ends_a_hold() {
    let mut story = Story::prod(3);
    story.ask(InterventionKind::Hold, "prod", None, "kim");
    story.good("0.29.0");
    story.pass(30);
    assert_eq!(story.reason(0), (Phase::Idle, "Held"));
    story.ask(InterventionKind::Resume, "prod", None, "lee");
    story.pass(30);
    assert_eq!(story.runs("0.29.0"), 3);
}

#[test]
fn recommended_rollbacks_are_said_once_and_a_person_does_them() {
    for mode in [RollbackMode::Recommend, RollbackMode::Manual] {
        let mut story = soaking();
        story.world.policy.stages[0].rollback = mode;
        turn_bad(&mut story);
        story.pass(120);
        assert_eq!(story.reason(0), (Phase::Blocked, "RollbackRecommended"));
        assert!(story.stage(0).message.contains("action RollBack"), "{}", story.stage(0).message);
        assert_eq!((story.told("Degraded"), story.world.quarantines.len()), (1, 0));
        assert_eq!(story.moves().len(), 3, "nothing is taken back, nothing is widened");
        story.ask(InterventionKind::RollBack, "prod", None, "kim");
        story.pass(30);
        assert_eq!((story.runs("0.28.0"), story.world.quarantines.len()), (12, 1), "{}", story.history());
    }
}
