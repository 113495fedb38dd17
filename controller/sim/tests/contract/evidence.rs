//! `health.require`: a soak without an alarm is not enough.

use super::*;

/// Four pods, a soak of ten minutes, `maxSoak` two hours, and a release that never crashes.
fn story(require: Option<f64>) -> Story {
    let mut policy = stages(&["prod"]);
    policy.health.require = require;
    let mut story = Story::new(policy, &[("prod", "api", 4)]).minutes(1);
    story.good("0.29.0");
    story
}

#[test]
fn without_it_a_soak_without_an_alarm_verifies() {
    let mut story = story(None);
    story.pass(25);
    assert_eq!(story.reason(0), (Phase::Idle, "Verified"), "{}", story.stage(0).message);
}

#[test]
fn with_it_the_soak_goes_on_until_the_evidence_is_in() {
    // Fewer than 1 per pod-hour: 3.15 pod-hours, 47 minutes of four pods.
    let mut story = story(Some(1.0));
    story.pass(25);
    assert_eq!(story.reason(0), (Phase::Soaking, "EvidenceShort"), "{}", story.stage(0).message);
    let stage = story.stage(0);
    assert!(stage.message.contains("restarts less than 1 times per pod-hour"), "{}", stage.message);
    assert!(stage.until.is_some());
    let (message, since) = (stage.message.clone(), stage.since);
    story.pass(15);
    assert_eq!((&story.stage(0).message, story.stage(0).since), (&message, since), "it waits in silence");
    story.pass(30);
    assert_eq!(story.reason(0), (Phase::Idle, "Verified"), "{}", story.stage(0).message);
    let rules_out = &story.stage(0).verified.last().unwrap().rules_out;
    assert!(rules_out.starts_with("no restart in 3."), "{rules_out}");
}

#[test]
fn evidence_that_does_not_come_in_time_is_inconclusive_and_nobody_is_blamed() {
    // Fewer than 0.3 would need 10.5 pod-hours; two hours of four pods are 8.
    let mut story = story(Some(0.3));
    story.pass(110);
    assert_eq!(story.reason(0), (Phase::Soaking, "EvidenceShort"));
    story.pass(30);
    assert_eq!(story.stage(0).reason, "Inconclusive", "{}", story.stage(0).message);
    assert!(story.stage(0).message.contains("has not shown within 2h"), "{}", story.stage(0).message);
    assert!(story.world.quarantines.is_empty());
    story.pass(10);
    assert_eq!((story.runs("0.28.0"), story.runs("0.29.0")), (4, 0));
}
