//! Waves, batches, soaks.

use super::{Story, crashes, never_ready, stages, waves};
use crate::common::wave;
use jiff::SignedDuration;
use lockkeeper_core::{observed::InterventionKind, policy::Amount, policy::Target, status::Phase};
use lockkeeper_sim::release;
use std::collections::{BTreeMap, BTreeSet};

/// The pods that run 0.29.0: by owner, and their nodes.
fn members(story: &Story) -> (BTreeMap<String, usize>, BTreeSet<String>) {
    let (mut owners, mut nodes) = (BTreeMap::new(), BTreeSet::new());
    let new = release("0.29.0");
    for pod in story.world.pods.iter().filter(|p| p.running.as_ref() == Some(&new.digest)) {
        *owners.entry(story.world.owners[pod.owner].name.clone()).or_default() += 1;
        nodes.insert(pod.node.clone());
    }
    (owners, nodes)
}

fn story(wave_pods: u32, owners: &[(&str, &str, usize)]) -> Story {
    let mut policy = stages(&["prod"]);
    waves(&mut policy, &[wave(wave_pods, 60)]);
    Story::new(policy, owners).minutes(1)
}

#[test]
fn a_wave_is_spread_over_owners_and_nodes() {
    let mut story = story(3, &[("prod", "a", 6), ("prod", "b", 6), ("prod", "c", 6)]);
    story.good("0.29.0");
    story.pass(10);
    let (owners, nodes) = members(&story);
    assert_eq!(owners.values().copied().collect::<Vec<_>>(), [1, 1, 1]);
    assert!(nodes.len() >= 2, "{nodes:?}");
}

#[test]
fn a_wave_leaves_every_owner_one_pod_to_compare_with() {
    let mut story = story(9, &[("prod", "a", 2), ("prod", "b", 2), ("prod", "c", 6)]);
    story.world.policy.stages[0].targets.iter_mut().for_each(|t| {
        let Target::Pods(t) = t else { return };
        t.max_unavailable = Amount::Percent(100);
    });
    story.good("0.29.0");
    story.pass(20);
    let (owners, _) = members(&story);
    assert_eq!(owners, BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 1), ("c".to_owned(), 5)]));
    assert_eq!(story.reason(0).0, Phase::Soaking, "as many as there may be is all of the wave");
}

#[test]
fn the_first_pod_is_ready_before_another_is_moved() {
    let mut story = story(3, &[("prod", "a", 12)]);
    story.world.settings.pull_seconds = 150;
    story.good("0.29.0");
    story.pass(2);
    assert_eq!(story.moves().len(), 1);
    story.pass(3);
    assert_eq!(story.moves().len(), 3);
}

#[test]
fn max_unavailable_binds_waves_too() {
    let mut story = story(6, &[("prod", "a", 12)]);
    story.world.settings.pull_seconds = 150;
    story.good("0.29.0");
    let mut most = 0;
    for _ in 0..40 {
        story.pass(1);
        most = most.max(story.world.pods.iter().filter(|p| !p.up).count());
    }
    assert_eq!(most, 3, "25 % of twelve");
    assert_eq!(story.runs("0.29.0"), 6);
}

#[test]
fn a_stage_of_fewer_than_eight_pods_has_no_waves_and_goes_in_batches() {
    let mut story = Story::new(
        {
            let mut policy = stages(&["prod"]);
            policy.stages[0].waves = None;
            policy
        },
        &[("prod", "api", 7)],
    );
    story.good("0.29.0");
    story.pass(5);
    assert_eq!(story.runs("0.29.0"), 7);
    assert_eq!(story.told("Widening"), 0);
}

#[test]
fn wave_pods_that_go_away_are_topped_up_and_too_many_of_them_hold() {
    let mut story = story(2, &[("prod", "a", 12)]);
    story.good("0.29.0");
    story.pass(10);
    for round in 0..3 {
        let gone = story.world.pods.iter().position(|p| p.moved.is_some()).unwrap();
        story.world.delete_pod(gone);
        story.pass(5);
        assert_eq!(story.runs("0.29.0"), if round < 2 { 2 } else { 1 }, "round {round}");
    }
    assert!(story.stage(0).message.contains("wave pods went away"), "{:?}", story.stage(0));
}

#[test]
fn the_soak_counts_healthy_time_only() {
    let mut story = story(2, &[("prod", "a", 12)]);
    story.good("0.29.0");
    story.pass(10);
    let seconds = |story: &Story| story.stage(0).flight.as_ref().unwrap().healthy_seconds;
    let before = seconds(&story);
    let unready = story.world.pods.iter().position(|p| p.moved.is_some()).unwrap();
    story.world.pods[unready].app_down = true;
    story.pass(20);
    assert!(seconds(&story) <= before + 60, "{before} -> {}", seconds(&story));
    assert_eq!(story.reason(0), (Phase::Soaking, "SoakPaused"));
    story.world.pods[unready].app_down = false;
    story.world.set_watches(false);
    story.pass(20);
    assert!(seconds(&story) <= before + 120);
    story.world.set_watches(true);
    story.pass(50);
    assert!(matches!(story.stage(0).phase, Phase::Soaking));
    story.pass(40);
    assert_eq!(story.reason(0), (Phase::Idle, "Verified"));
}

/// 0.29.0 was put back, because a pod of its first wave was not Ready for too long; that pod is well again.
fn put_back() -> Story {
    let mut story = story(2, &[("prod", "a", 12)]);
    story.good("0.29.0");
    story.pass(10);
    let unready = story.world.pods.iter().position(|p| p.moved.is_some()).unwrap();
    story.world.pods[unready].app_down = true;
    story.pass(150);
    assert_eq!(story.reason(0), (Phase::Blocked, "Inconclusive"), "{}", story.history());
    assert_eq!((story.runs("0.28.0"), story.world.quarantines.len()), (12, 0));
    story.world.pods[unready].app_down = false;
    story
}

#[test]
fn a_soak_that_cannot_end_is_put_back_and_a_newer_release_enters() {
    let mut story = put_back();
    story.pass(60);
    assert_eq!(story.runs("0.29.0"), 0, "the same release does not enter again by itself");
    story.good("0.30.0");
    story.pass(120);
    assert_eq!(story.runs("0.30.0"), 12, "{}", story.history());
}

#[test]
fn a_resume_lets_the_refused_release_try_again() {
    let mut story = put_back();
    story.ask(InterventionKind::Resume, "prod", None, "kim");
    story.pass(120);
    assert_eq!(story.runs("0.29.0"), 12, "{}", story.history());
}

#[test]
fn watches_that_stay_away_for_too_long_end_in_inconclusive() {
    let mut story = story(2, &[("prod", "a", 12)]);
    story.good("0.29.0");
    story.pass(10);
    story.world.set_watches(false);
    story.pass(7 * 60);
    assert_eq!(story.runs("0.29.0"), 2, "without data nothing is put back either");
    story.world.set_watches(true);
    story.pass(10);
    assert_eq!(story.reason(0), (Phase::Blocked, "Inconclusive"), "{}", story.history());
    assert_eq!((story.runs("0.28.0"), story.world.quarantines.len()), (12, 0));
}

#[test]
fn k21_refused_moves_stop_the_wave_and_end_in_inconclusive() {
    let mut story = story(2, &[("prod", "a", 12)]);
    story.world.refused_with = Some("denied the request: images of 0.29 are not allowed".to_owned());
    story.good("0.29.0");
    story.pass(30);
    assert_eq!(story.runs("0.29.0"), 0);
    let ready = story.world.stored.conditions.iter().find(|c| c.kind == "Ready").unwrap();
    assert!(ready.message.contains("images of 0.29 are not allowed"), "{}", ready.message);
    story.pass(150);
    assert_eq!(story.reason(0), (Phase::Blocked, "Inconclusive"));
}

#[test]
fn one_pod_that_never_gets_ready_is_no_evidence_and_two_are() {
    let mut alone = Story::prod(1);
    alone.push("0.29.0", never_ready());
    alone.pass(30);
    assert_eq!(alone.reason(0), (Phase::Blocked, "NeverReady"));
    assert_eq!((alone.runs("0.28.0"), alone.world.quarantines.len()), (1, 0));

    // The first is Ready, so that the others follow; those are not.
    let mut story = story(4, &[("prod", "a", 16)]);
    story.world.settings.pull_seconds = 90;
    story.good("0.29.0");
    story.pass(2);
    assert!(story.moves().len() > 1, "the first is Ready, the others are on their way");
    let on_their_way = story.world.pods.iter_mut().filter(|p| p.moved.is_some() && !p.up);
    on_their_way.for_each(|p| p.app_down = true);
    story.pass(30);
    assert_eq!(story.world.quarantines.len(), 1, "{}", story.history());
    assert_eq!(story.runs("0.29.0"), 0);
}

#[test]
fn what_is_given_at_birth_only_is_not_verified_before_a_pod_was_born_with_it() {
    let mut story = Story::prod(3);
    story.world.policy.stages[0].targets.iter_mut().for_each(|t| {
        let Target::Pods(t) = t else { return };
        t.movement = lockkeeper_core::policy::Movement::AtBirth;
    });
    story.good("0.29.0");
    story.pass(60);
    assert!(story.moves().is_empty());
    assert_eq!(story.reason(0).0, Phase::Applying);
    story.world.delete_pod(0);
    story.pass(30);
    assert_eq!((story.runs("0.29.0"), story.reason(0).1), (1, "Verified"));
}

#[test]
fn restarts_that_we_caused_are_no_crashes() {
    let mut story = story(3, &[("prod", "a", 30)]);
    story.world.policy.health.warm_up = SignedDuration::from_secs(1);
    story.good("0.29.0");
    story.pass(120);
    assert_eq!(story.reason(0), (Phase::Idle, "Verified"), "{}", story.history());
    assert!(story.stage(0).message.contains("no restart in"), "{}", story.stage(0).message);
}

#[test]
fn m5_a_baseline_that_crashes_as_often_is_not_blamed_on_the_candidate() {
    let mut story = story(6, &[("prod", "a", 30)]);
    story.world.behaviours.insert(release("0.28.0").digest, crashes(1.5));
    story.push("0.29.0", crashes(1.5));
    story.pass(150);
    assert_eq!(story.world.quarantines.len(), 0, "{}", story.history());
}

#[test]
fn i8_a_step_that_takes_too_long_is_not_put_back_while_the_watches_are_not_fresh() {
    let mut story = Story::prod(1);
    story.push("0.29.0", never_ready());
    story.pass(3);
    assert_eq!((story.reason(0).0, story.runs("0.29.0")), (Phase::Applying, 1), "{}", story.history());
    story.world.set_watches(false);
    story.pass(4 * 60);
    assert_eq!((story.told("PutBack"), story.runs("0.29.0")), (0, 1), "{}", story.history());
    story.world.set_watches(true);
    story.pass(10);
    assert_eq!((story.told("PutBack"), story.runs("0.28.0")), (1, 1), "{}", story.history());
}
