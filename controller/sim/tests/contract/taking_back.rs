//! Taking back.

use super::{Story, crash_at_start, stages, waves};
use crate::common::{REPOSITORY, wave};
use jiff::SignedDuration;
use lockkeeper_core::{
    decision::Action,
    observed::{Answer, InterventionKind},
    status::Phase,
};
use lockkeeper_sim::{Effect, release};

/// Two verified releases above what was adopted: 0.28, 0.29, 0.30 runs.
fn with_history(pods: usize) -> Story {
    let mut story = Story::prod(pods);
    for name in ["0.29.0", "0.30.0"] {
        story.good(name);
        story.pass(40);
        assert_eq!(story.runs(name), pods, "{}", story.history());
    }
    story
}

#[test]
fn a_persons_quarantine_takes_back_everywhere() {
    let mut story = Story::new(stages(&["dev", "prod"]), &[("dev", "api", 2), ("prod", "api", 4)]).minutes(1);
    story.good("0.29.0");
    story.pass(60);
    assert_eq!(story.runs("0.29.0"), 6);
    story.world.quarantine_by_person(&release("0.29.0"));
    story.pass(10);
    assert_eq!((story.runs("0.28.0"), story.world.quarantines.len()), (6, 1), "{}", story.history());
    assert_eq!((story.told("RolledBack"), story.reason(0).0), (2, Phase::Idle));
}

#[test]
fn evidence_takes_back_that_stage_and_those_after_it() {
    let names = ["dev", "staging", "prod"];
    let mut story =
        Story::new(stages(&names), &[("dev", "api", 2), ("staging", "api", 2), ("prod", "api", 4)])
            .minutes(1);
    let bad = story.good("0.29.0");
    story.pass(60);
    assert_eq!(story.runs("0.29.0"), 8);
    // The guard of staging finds it; prod is after it, dev before.
    let behaviour = lockkeeper_sim::Behaviour { only_in: ["staging".to_owned()].into(), ..crash_at_start() };
    story.world.behaviours.insert(bad.digest, behaviour);
    for pod in 0..story.world.pods.len() {
        story.world.pods[pod].up_at = story.world.pods[pod].up_at.or(Some(story.world.now));
    }
    story.pass(20);
    assert_eq!((story.runs("0.29.0"), story.runs("0.28.0")), (2, 6), "{}", story.history());
    assert_eq!(story.reason(0), (Phase::Idle, "RunsQuarantined"));
    // And a newer release flows (L4).
    story.good("0.30.0");
    story.pass(90);
    assert_eq!(story.runs("0.30.0"), 8);
}

#[test]
fn r18_a_target_that_was_garbage_collected_is_passed_over() {
    let mut story = with_history(4);
    story.world.collect_garbage(&release("0.29.0").digest);
    story.ask(InterventionKind::RollBack, "prod", None, "kim");
    story.pass(10);
    assert_eq!(story.runs("0.28.0"), 4, "{}", story.history());
    assert_eq!(story.world.pins[0].spec.digest, release("0.28.0").digest);
}

#[test]
fn r18_without_a_safe_target_the_stage_is_blocked_and_nothing_is_written() {
    let mut story = with_history(4);
    story.world.collect_garbage(&release("0.29.0").digest);
    story.world.collect_garbage(&release("0.28.0").digest);
    let moves = story.moves().len();
    story.ask(InterventionKind::RollBack, "prod", None, "kim");
    story.pass(60);
    assert_eq!(story.reason(0), (Phase::Blocked, "NoSafeDigest"));
    assert_eq!((story.moves().len(), story.told("Blocked")), (moves, 1));
    // A digest that is there again is taken without anybody's word.
    story.world.push(&release("0.29.0"), &["0.29.0"], lockkeeper_sim::Behaviour::default());
    story.pass(10);
    assert_eq!(story.runs("0.29.0"), 4, "{}", story.history());
}

#[test]
fn a_person_may_choose_what_to_return_to() {
    let mut story = Story::prod(4);
    story.ask(InterventionKind::RollBack, "prod", None, "kim");
    story.pass(10);
    assert_eq!(story.reason(0), (Phase::Blocked, "NoSafeDigest"));
    story.ask(InterventionKind::Adopt, "prod", Some(&release("0.27.0")), "kim");
    story.pass(10);
    assert_eq!(story.runs("0.27.0"), 4, "{}", story.history());
}

#[test]
fn a_memory_that_was_lost_does_not_go_back_to_what_is_gone() {
    let mut story = with_history(4);
    story.world.collect_garbage(&release("0.29.0").digest);
    story.ask(InterventionKind::RollBack, "prod", None, "kim");
    for _ in 0..12 {
        story.world.reconcile(Some(1));
        story.watchman.look(&story.world);
    }
    story.pass(10);
    assert_eq!(story.runs("0.28.0"), 4, "{}", story.history());
    let gone = release("0.29.0").digest;
    let back = story
        .world
        .records
        .iter()
        .rev()
        .take_while(|r| !matches!(&r.what, Effect::Told(e) if e.reason == "Verified"));
    let wrong =
        back.filter(|r| matches!(&r.what, Effect::Pinned { spec, .. } if spec.digest == gone)).count();
    assert_eq!(wrong, 0);
}

#[test]
fn a_second_rollback_within_the_hour_waits_for_a_person() {
    let mut story = Story::prod(6);
    for name in ["0.29.0", "0.30.0"] {
        let bad = story.good(name);
        story.pass(4);
        story.world.behaviours.insert(bad.digest, crash_at_start());
        story.pass(15);
    }
    assert_eq!(story.world.quarantines.len(), 2, "{}", story.history());
    assert_eq!(story.runs("0.28.0"), 6, "it is taken back all the same");
    assert_eq!(story.reason(0), (Phase::Blocked, "SecondRollback"));
    story.good("0.31.0");
    story.pass(120);
    assert_eq!(story.runs("0.31.0"), 0);
    story.ask(InterventionKind::Resume, "prod", None, "kim");
    story.pass(30);
    assert_eq!(story.runs("0.31.0"), 6);
}

#[test]
fn an_image_that_the_first_pod_cannot_pull_is_put_back_without_a_quarantine() {
    let mut story = Story::prod(12);
    waves(&mut story.world.policy, &[wave(3, 30)]);
    let good = story.good("0.29.0");
    // It was there when it was looked up, and is not when the kubelet pulls.
    story.world.reconcile(None);
    for _ in 0..6 {
        if story.moves().is_empty() {
            story.world.reconcile(None);
        }
    }
    assert_eq!(story.moves().len(), 1);
    story.watchman.look(&story.world);
    story.world.pushed.retain(|r| r.digest != good.digest);
    story.pass(5);
    assert_eq!((story.runs("0.28.0"), story.world.quarantines.len()), (12, 0), "{}", story.history());
    assert_eq!(story.reason(0), (Phase::Blocked, "NotPullable"));
    assert_eq!(story.moves().len(), 2, "one there, one back");
}

#[test]
fn a_rollback_changes_the_pin_first_then_the_pods() {
    let mut story = Story::prod(6);
    let bad = story.good("0.29.0");
    story.pass(5);
    assert_eq!(story.world.pins[0].spec.digest, bad.digest);
    story.world.behaviours.insert(bad.digest.clone(), crash_at_start());
    let before = story.world.records.len();
    story.pass(20);
    let after: Vec<&Effect> = story.world.records[before..].iter().map(|r| &r.what).collect();
    let first = |wanted: fn(&&Effect) -> bool| after.iter().position(wanted).unwrap();
    let quarantine = first(|e| matches!(e, Effect::Quarantined { .. }));
    let pin = first(|e| matches!(e, Effect::Pinned { .. }));
    let pod = first(|e| matches!(e, Effect::Moved { .. }));
    assert!(quarantine < pin && pin < pod, "{quarantine} {pin} {pod}");
}

#[test]
fn pods_that_are_ready_go_back_in_batches_and_the_others_at_once() {
    let mut story = Story::prod(12);
    story.good("0.29.0");
    story.pass(30);
    story.world.settings.pull_seconds = 120;
    for pod in &mut story.world.pods[..4] {
        pod.app_down = true;
    }
    story.world.quarantine_by_person(&release("0.29.0"));
    let before = story.moves().len();
    story.pass(1);
    // Four that are not Ready, and three (25 % of twelve) that are: the budget does not count the first four twice.
    assert!((4..=7).contains(&(story.moves().len() - before)), "{}", story.moves().len() - before);
    story.world.pods.iter_mut().for_each(|p| p.app_down = false);
    story.pass(30);
    assert_eq!(story.runs("0.28.0"), 12, "{}", story.history());
}

#[test]
fn a_rollback_stops_where_what_it_restored_does_not_get_ready() {
    let mut story = Story::prod(12);
    story.good("0.29.0");
    story.pass(30);
    story.world.behaviours.insert(release("0.28.0").digest, super::never_ready());
    story.world.quarantine_by_person(&release("0.29.0"));
    story.pass(60);
    assert_eq!(story.reason(0), (Phase::Blocked, "RollbackNotReady"), "{}", story.history());
    assert!(story.runs("0.29.0") > 0, "the rest keeps what it has");
    // It gets Ready after all: the rest follows by itself.
    story.world.behaviours.insert(release("0.28.0").digest, lockkeeper_sim::Behaviour::default());
    story.pass(30);
    assert_eq!(story.runs("0.28.0"), 12, "{}", story.history());
}

#[test]
fn with_the_registry_down_one_pod_goes_back_first() {
    let mut story = Story::prod(6);
    waves(&mut story.world.policy, &[]);
    let bad = story.good("0.29.0");
    story.pass(5);
    story.world.kill_controller();
    story.world.set_registry(false);
    story.world.quarantine_by_person(&bad);
    let before = story.moves().len();
    story.world.reconcile(None);
    story.world.reconcile(None);
    story.world.reconcile(None);
    assert_eq!(story.moves().len(), before + 1, "{:?}", story.stage(0));
    // No pod runs 0.28.0 any more, so that no node of this world has it: pulling fails until the registry is back.
    story.pass(20);
    story.world.set_registry(true);
    story.pass(20);
    assert_eq!(story.runs("0.28.0"), 6, "{}", story.history());
}

#[test]
fn a_newer_release_enters_where_there_is_no_way_back() {
    let mut story = Story::prod(4);
    story.world.quarantine_by_person(&release("0.28.0"));
    story.world.quarantine_by_person(&release("0.27.0"));
    story.pass(10);
    assert_eq!(story.reason(0), (Phase::Blocked, "NoSafeDigest"));
    story.good("0.29.0");
    story.pass(30);
    assert_eq!((story.runs("0.29.0"), story.reason(0).1), (4, "Verified"), "{}", story.history());
}

#[test]
fn a_rollback_that_is_refused_says_so_and_goes_on() {
    let mut story = Story::prod(6);
    let bad = story.good("0.29.0");
    story.pass(30);
    story.world.refused_with = Some("denied".to_owned());
    story.world.quarantine_by_person(&bad);
    story.pass(150);
    assert_eq!(story.reason(0), (Phase::Blocked, "RollbackStuck"));
    assert!(story.stage(0).message.contains("last refusal: denied"), "{}", story.stage(0).message);
    assert_eq!(story.told("Blocked"), 1);
    story.world.refused_with = None;
    story.pass(10);
    assert_eq!(story.runs("0.28.0"), 6, "{}", story.history());
}

#[test]
fn a_stray_pod_on_a_quarantined_release_goes_back_with_the_others() {
    let mut story = with_history(6);
    story.world.edit_pod(0, &format!("{REPOSITORY}@{}", release("0.29.0").digest));
    story.pass(2);
    story.world.quarantine_by_person(&release("0.29.0"));
    story.world.quarantine_by_person(&release("0.30.0"));
    story.pass(10);
    assert_eq!(story.runs("0.28.0"), 6, "{}", story.history());
}

#[test]
fn what_began_in_one_pass_binds_the_stages_after_it_in_the_same_pass() {
    let mut story = Story::new(stages(&["dev", "prod"]), &[("dev", "api", 2), ("prod", "api", 4)]).minutes(1);
    story.good("0.29.0");
    story.pass(60);
    story.world.delete_pin(1);
    story.ask(InterventionKind::RollBack, "dev", None, "kim");
    let decision = story.decide_on(|_| {});
    let bad = release("0.29.0").digest;
    let pinned =
        decision.actions.iter().any(|a| matches!(a, Action::WritePin { spec, .. } if spec.digest == bad));
    assert!(!pinned, "{:?}", decision.actions);
    assert!(matches!(decision.actions.first(), Some(Action::WriteQuarantine(_))));
    story.pass(10);
    assert_eq!(story.runs("0.28.0"), 6);
}

#[test]
fn the_guard_takes_back_what_turns_bad_after_it_was_verified_and_ends() {
    for (hours, taken_back) in [(1, true), (60, false)] {
        let mut story = Story::prod(6);
        let bad = story.good("0.29.0");
        story.pass(30);
        let end = story.world.now + SignedDuration::from_hours(hours);
        lockkeeper_sim::watchman::run_until(
            &mut story.world,
            &mut story.watchman,
            end,
            SignedDuration::from_mins(30),
        );
        story.world.behaviours.insert(bad.digest, crash_at_start());
        story.pass(30);
        assert_eq!(story.runs("0.28.0") == 6, taken_back, "after {hours} h: {}", story.history());
    }
}

/// The same platforms under another index: somebody added an attestation.
fn pushed_again(name: &str) -> lockkeeper_core::image::Release {
    let mut again = release(name);
    again.digest = lockkeeper_core::image::Digest::of(format!("{name}/attested").as_bytes());
    again
}

#[test]
fn r19_i4_a_quarantine_of_an_index_alone_holds_its_contents_back_under_another_index() {
    let mut story = Story::prod(4);
    let bad = story.good("0.29.0");
    story.pass(60);
    assert_eq!(story.runs("0.29.0"), 4);
    story.world.quarantine_index_by_person(&bad.digest);
    story.pass(20);
    assert_eq!(story.runs("0.28.0"), 4, "{}", story.history());
    // Nothing of it is in the status any more when it comes again, and the controller was started anew.
    let again = pushed_again("0.29.0");
    story.world.push(&again, &["0.29.0", "latest"], lockkeeper_sim::Behaviour::default());
    story.world.kill_controller();
    let moves = story.moves().len();
    story.pass(60);
    assert_eq!((story.world.running(&again), story.moves().len()), (0, moves), "{}", story.history());
    // Deleting the Quarantine releases it.
    story.world.quarantines.clear();
    story.pass(60);
    assert_eq!(story.world.running(&again), 4, "{}", story.history());
}

#[test]
fn i8_nothing_enters_while_nobody_can_say_what_a_quarantine_holds_back() {
    let mut story = Story::prod(4);
    story.good("0.29.0");
    let bad = pushed_again("0.29.0");
    story.world.push(&bad, &[], lockkeeper_sim::Behaviour::default());
    story.world.quarantine_index_by_person(&bad.digest);
    let entered = |failed: bool| {
        let decided = story.decide_on(|seen| {
            if failed {
                let failure = lockkeeper_core::observed::Failure {
                    since: story.world.now,
                    reason: "Unreachable".to_owned(),
                    message: "it does not answer".to_owned(),
                };
                seen.answers.digests.insert(bad.digest.clone(), Answer::Failed(failure));
            } else {
                seen.answers.digests.insert(bad.digest.clone(), Answer::Absent);
            }
            let good = release("0.29.0");
            seen.answers.tags.insert("0.29.0".parse().unwrap(), Answer::Known(good.clone()));
            seen.answers.tags_now.insert("0.29.0".parse().unwrap(), Answer::Known(good.clone()));
            let key = (story.world.policy.image.clone(), good.digest);
            seen.answers.pullable.insert(key, Answer::Known(()));
        });
        (decided.status.stages[0].flight.is_some(), decided.status.stages[0].reason.clone())
    };
    assert_eq!(entered(true), (false, "Checking".to_owned()));
    // That there is none is an answer.
    assert!(entered(false).0);
}

/// Blocked without a way back, and 0.27.0 promoted, which behaves like this.
fn promoted_out_of_blocked(behaviour: lockkeeper_sim::Behaviour) -> Story {
    let mut story = Story::prod(4);
    story.ask(InterventionKind::RollBack, "prod", None, "kim");
    story.pass(10);
    assert_eq!(story.reason(0), (Phase::Blocked, "NoSafeDigest"));
    story.world.behaviours.insert(release("0.27.0").digest, behaviour);
    story.promote("prod", &release("0.27.0"), &[]);
    story.pass(4);
    let verified = story.stage(0).verified.iter().any(|v| v.release.digest == release("0.27.0").digest);
    assert!(!verified, "nothing to return to before it was judged: {}", story.history());
    story
}

#[test]
fn i5_what_is_promoted_out_of_blocked_is_judged_first() {
    let mut story = promoted_out_of_blocked(lockkeeper_sim::Behaviour::default());
    assert_eq!(story.reason(0).0, Phase::Soaking, "{}", story.history());
    story.pass(30);
    assert_eq!((story.runs("0.27.0"), story.told("Verified")), (4, 1), "{}", story.history());
}

#[test]
fn i5_what_is_promoted_out_of_blocked_and_bad_is_never_returned_to() {
    let mut story = promoted_out_of_blocked(crash_at_start());
    story.pass(60);
    assert_eq!(story.reason(0), (Phase::Blocked, "NoSafeDigest"), "{}", story.history());
    assert_eq!((story.told("PutBack"), story.told("Verified")), (1, 0), "{}", story.history());
    // A person can still say what to return to.
    let fix = release("0.28.1");
    story.world.push(&fix, &["0.28.1"], lockkeeper_sim::Behaviour::default());
    story.ask(InterventionKind::Adopt, "prod", Some(&fix), "kim");
    story.pass(60);
    assert_eq!(story.runs("0.28.1"), 4, "{}", story.history());
}

#[test]
fn after_a_quarantine_what_the_stages_run_is_no_news() {
    let mut story = with_history(4);
    let told = story.told("CandidateFound");
    assert_eq!(told, 3, "0.28.0 before it was adopted, 0.29.0, 0.30.0");
    story.world.quarantine_by_person(&release("0.30.0"));
    story.pass(60);
    assert_eq!((story.runs("0.29.0"), story.told("CandidateFound")), (4, told), "{}", story.history());
    story.good("0.31.0");
    story.pass(1);
    assert_eq!(story.told("CandidateFound"), told + 1);
}
