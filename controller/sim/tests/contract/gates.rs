//! What must hold before a candidate enters a stage.

use super::{Story, stages};
use jiff::SignedDuration;
use lockkeeper_core::{
    decision::Question,
    observed::{Answer, InterventionKind, Skip},
    status::{Phase, Source},
};
use lockkeeper_sim::{Behaviour, release};

const ALL: [(&str, &str, usize); 3] = [("dev", "api", 2), ("staging", "api", 2), ("prod", "api", 4)];

#[test]
fn approvals_are_of_distinct_people_and_of_one_digest() {
    let mut story = Story::prod(3);
    story.world.policy.stages[0].approvals = 2;
    let good = story.good("0.29.0");
    story.ask(InterventionKind::Approve, "prod", Some(&release("0.28.0")), "ann");
    story.ask(InterventionKind::Approve, "prod", Some(&good), "kim");
    story.ask(InterventionKind::Approve, "prod", Some(&good), "kim");
    story.pass(60);
    assert_eq!(story.reason(0), (Phase::Idle, "ApprovalRequired"));
    assert_eq!(story.told("ApprovalRequired"), 1);
    assert!(story.moves().is_empty());
    story.ask(InterventionKind::Approve, "prod", Some(&good), "lee");
    story.pass(60);
    assert_eq!(story.runs("0.29.0"), 3);
    // The next release needs its own.
    story.good("0.30.0");
    story.pass(60);
    assert_eq!(story.reason(0), (Phase::Idle, "ApprovalRequired"));
    assert_eq!(story.runs("0.29.0"), 3);
}

#[test]
fn a_release_waits_for_its_age_unless_a_person_passes_the_gate() {
    let mut policy = stages(&["prod"]);
    policy.select.minimum_release_age = SignedDuration::from_hours(2);
    let mut story = Story::new(policy, &[("prod", "api", 3)]).minutes(5);
    let good = story.good("0.29.0");
    story.pass(110);
    assert_eq!(story.reason(0), (Phase::Idle, "TooYoung"));
    assert!(story.moves().is_empty());
    let tag = story.world.stored.tags[0].clone();
    let until = story.stage(0).until.expect("it is known until when");
    assert_eq!((tag.tag.as_str(), tag.reason.as_str()), ("0.29.0", "TooYoung"));
    assert!(tag.message.ends_with(&format!("too young until {until}")), "{}", tag.message);
    story.pass(60);
    assert_eq!(story.runs("0.29.0"), 3);
    assert_eq!(story.world.stored.tags[0].reason, "Candidate");
    let urgent = story.good("0.30.0");
    story.pass(2);
    story.promote("prod", &urgent, &[Skip::Age]);
    story.pass(30);
    assert_eq!(story.runs("0.30.0"), 3);
    assert!(story.stage(0).verified.iter().any(|v| v.release.digest == good.digest));
}

#[test]
fn stages_work_as_a_pipeline() {
    let mut policy = stages(&["dev", "prod"]);
    policy.stages[1].soak = SignedDuration::from_hours(2);
    policy.stages[1].max_soak = SignedDuration::from_hours(5);
    let mut story = Story::new(policy, &[("dev", "api", 2), ("prod", "api", 4)]).minutes(1);
    story.good("0.30.0");
    story.pass(40);
    assert_eq!(story.reason(1).0, Phase::Soaking);
    story.good("0.31.0");
    story.pass(40);
    assert_eq!((story.runs("0.31.0"), story.runs("0.30.0")), (2, 4), "dev went on, prod still soaks");
    story.pass(300);
    assert_eq!(story.runs("0.31.0"), 6);
    assert!(story.stage(1).verified.iter().any(|v| v.release.digest == release("0.30.0").digest));
}

#[test]
fn a_stage_takes_what_all_of_its_predecessors_verified() {
    let mut policy = stages(&["dev", "staging", "prod"]);
    policy.stages[1].after = Vec::new();
    policy.stages[1].soak = SignedDuration::from_hours(1);
    policy.stages[2].after = vec![0, 1];
    let mut story = Story::new(policy, &ALL).minutes(1);
    story.good("0.29.0");
    story.pass(50);
    assert_eq!(story.reason(0), (Phase::Idle, "Verified"));
    assert_eq!((story.runs("0.29.0"), story.reason(2).0), (4, Phase::Idle), "staging still soaks");
    story.pass(60);
    assert_eq!(story.runs("0.29.0"), 8);
}

#[test]
fn an_adopted_release_never_opens_the_next_gate() {
    let mut story = Story::new(stages(&["dev", "prod"]), &[("dev", "api", 2)]);
    let mut old = super::owner("prod", "api", 4);
    old.image = format!("{}:0.27.0", crate::common::REPOSITORY);
    story.world.add_owner(old);
    story.pass(120);
    assert_eq!(story.stage(0).verified[0].source, Source::Adopted);
    assert_eq!((story.runs("0.28.0"), story.runs("0.27.0")), (2, 4));
}

#[test]
fn a_changed_definition_soaks_again_before_successors_and_keeps_the_rollback_target() {
    let mut story = Story::new(stages(&["dev", "prod"]), &[("dev", "api", 2), ("prod", "api", 4)]).minutes(1);
    story.ask(InterventionKind::Hold, "prod", None, "kim");
    story.good("0.29.0");
    story.pass(30);
    assert_eq!(story.reason(0), (Phase::Idle, "Verified"));
    story.world.policy.stages[0].hash = "another".to_owned();
    story.world.policy.stages[0].soak = SignedDuration::from_mins(40);
    story.ask(InterventionKind::Resume, "prod", None, "kim");
    let moves = story.moves().len();
    story.pass(20);
    assert_eq!(story.reason(0).0, Phase::Soaking, "{}", story.history());
    assert_eq!(story.runs("0.29.0"), 2, "prod waits for the new soak");
    assert!(story.stage(0).verified.iter().any(|v| v.release.digest == release("0.29.0").digest));
    assert_eq!(story.moves().len(), moves, "nothing is moved for it");
    story.pass(60);
    assert_eq!(story.runs("0.29.0"), 6);
}

#[test]
fn what_a_repository_does_not_have_is_not_pinned() {
    let mut story = Story::prod(3);
    let good = story.good("0.29.0");
    story.world.pushed.retain(|r| r.digest != good.digest);
    story.pass(60);
    assert_eq!(story.reason(0), (Phase::Idle, "NotPullable"));
    assert!(story.moves().is_empty());
    assert_eq!(story.world.pins[0].spec.digest, release("0.28.0").digest);
}

#[test]
fn m1_r2_a_registry_that_is_down_promotes_nothing_and_lowers_nothing() {
    let mut story = Story::prod(3);
    story.good("0.29.0");
    story.world.set_registry(false);
    story.pass(60);
    assert!(story.moves().is_empty());
    story.world.set_registry(true);
    story.pass(60);
    assert_eq!(story.runs("0.29.0"), 3);
}

/// dev has verified 0.29.0, and a Hold keeps it out of prod; what its tag names was looked up a moment ago.
fn held_before_prod() -> Story {
    let mut story = Story::new(stages(&["dev", "prod"]), &[("dev", "api", 2), ("prod", "api", 4)]).minutes(1);
    story.ask(InterventionKind::Hold, "prod", None, "kim");
    story.good("0.29.0");
    story.pass(60);
    assert_eq!((story.reason(0).1, story.reason(1).1), ("Verified", "Held"));
    story
}

#[test]
fn r16_a_tag_that_moved_after_the_last_look_lets_nothing_into_the_next_stage() {
    let mut story = held_before_prod();
    // Given to other contents in the very moment in which the last gate opens.
    story.world.push(&release("0.29.0-again"), &["0.29.0"], Behaviour::default());
    story.ask(InterventionKind::Resume, "prod", None, "kim");
    story.pass(60);
    assert_eq!(story.reason(1), (Phase::Idle, "TagMoved"), "{}", story.history());
    assert_eq!((story.runs("0.29.0"), story.told("TagMoved")), (2, 1), "said once, and prod has none of it");
    // Named again as it was: it goes on.
    story.world.push(&release("0.29.0"), &["0.29.0"], Behaviour::default());
    story.pass(60);
    assert_eq!(story.runs("0.29.0"), 6, "{}", story.history());
}

#[test]
fn i8_what_a_registry_said_before_it_failed_lets_nothing_in() {
    let mut story = held_before_prod();
    story.world.set_registry(false);
    story.ask(InterventionKind::Resume, "prod", None, "kim");
    let pullable = |seen: &mut lockkeeper_core::observed::Observed| {
        // The answers of before the failure: all of them still believed.
        let known = (seen.answers.pullable.keys().cloned()).map(|key| (key, Answer::Known(()))).collect();
        seen.answers.pullable = known;
    };
    let decided = story.decide_on(pullable);
    let prod = &decided.status.stages[1];
    assert_eq!((prod.flight.is_some(), prod.reason.as_str()), (false, "Checking"), "{}", prod.message);
    story.pass(60);
    assert_eq!(story.runs("0.29.0"), 2);
    story.world.set_registry(true);
    story.pass(60);
    assert_eq!(story.runs("0.29.0"), 6, "{}", story.history());
}

#[test]
fn a_tag_is_looked_up_once_more_only_when_nothing_else_is_in_the_way() {
    let mut story = held_before_prod();
    let asks = |story: &Story| story.world.questions.iter().any(|q| matches!(q, Question::TagNow(_)));
    assert!(!asks(&story), "a Hold is in the way");
    story.ask(InterventionKind::Resume, "prod", None, "kim");
    story.world.reconcile(None);
    assert!(asks(&story) && story.stage(1).flight.is_none());
    story.world.reconcile(None);
    assert!(story.stage(1).flight.is_some());
    story.world.reconcile(None);
    assert!(!asks(&story), "it is in");
}

#[test]
fn a_promote_without_the_soak_goes_straight_to_its_stage_and_is_judged_there() {
    let mut story = Story::new(stages(&["dev", "staging", "prod"]), &ALL).minutes(1);
    for stage in ["dev", "staging"] {
        story.ask(InterventionKind::Hold, stage, None, "kim");
    }
    let fix = story.good("0.29.0");
    story.pass(2);
    story.promote("prod", &fix, &[Skip::Soak]);
    story.pass(40);
    assert_eq!(story.runs("0.29.0"), 4);
    assert_eq!(story.reason(2), (Phase::Idle, "Verified"));
    assert!(story.history().contains("asked for by kim"));
    // What runs there is newer than what comes down the pipeline: nothing to do, and no trouble.
    story.pass(60);
    assert_eq!(story.reason(2), (Phase::Idle, "Verified"));
}

#[test]
fn r20_a_release_without_the_platform_in_use_is_refused_before_the_first_stage() {
    let mut story = Story::prod(3);
    story.world.policy.select.platforms = vec!["linux/arm64".parse().unwrap()];
    story.good("0.29.0");
    story.pass(30);
    assert!(story.moves().is_empty());
    assert!(story.told("PlatformMissing") >= 1);
}

#[test]
fn the_older_claim_keeps_the_pods_and_a_rollback_is_never_stopped_by_one() {
    let mut story = Story::prod(10);
    super::waves(&mut story.world.policy, &[crate::common::wave(3, 60)]);
    story.push("0.29.0", Behaviour { crashes_per_hour: 0.0, ..Behaviour::default() });
    story.pass(5);
    assert_eq!(story.reason(0).0, Phase::Soaking);
    let claim = |age: &str| lockkeeper_core::observed::Claim {
        policy: "other/policy".to_owned(),
        age: (age.parse().unwrap(), "a".to_owned()),
        stage: "prod".to_owned(),
        what: lockkeeper_core::observed::Claimed::Pods {
            namespace: "prod".to_owned(),
            match_labels: crate::common::labels(),
            repositories: [story.world.policy.image.clone()].into(),
            containers: std::collections::BTreeSet::new(),
        },
    };
    // The world's policy was created at the epoch.
    let older = claim("1960-01-01T00:00:00Z");
    let younger = claim("2020-01-01T00:00:00Z");
    story.world.delete_pod(0);
    story.world.pods.iter_mut().filter(|p| p.moved.is_some()).for_each(|p| p.deleting = true);
    let widened = |claims: Vec<_>| super::pods_moved(&story.decide_on(|seen| seen.claims = claims));
    assert_eq!(widened(vec![younger]), 1);
    assert_eq!(widened(vec![older.clone()]), 0);
    // Taken back all the same.
    let mut story = story;
    story.world.pods.iter_mut().for_each(|p| p.deleting = false);
    story.world.quarantine_by_person(&release("0.29.0"));
    let begun = story.decide_on(|seen| seen.claims = vec![older.clone()]);
    let back = story.decide_on(|seen| {
        seen.claims = vec![older.clone()];
        seen.status = begun.status.clone();
        let key = (story.world.policy.image.clone(), release("0.28.0").digest);
        seen.answers.pullable.insert(key, lockkeeper_core::observed::Answer::Known(()));
    });
    assert!(super::pods_moved(&back) > 0, "{:?}", back.status.stages[0]);
}
