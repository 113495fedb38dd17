//! Requests to merge: waited for, rejected by closing them, taken over by what is newer, closed with what is taken back.

use super::{Story, stages};
use crate::common::{REPOSITORY, incident::pull_request, labels};
use jiff::SignedDuration;
use lockkeeper_core::{
    git::{CommitStyle, FileEdit, GitTarget, Remote, RequestState},
    observed::InterventionKind,
    policy::{Namespaces, Target},
    status::Phase,
};

/// One stage of two pods whose files are changed by requests; nobody merges them by himself.
fn table() -> Story {
    let remote = Remote {
        url: "https://git.example.com/a/b".into(),
        branch: "main".into(),
        secret: None,
        style: CommitStyle::default(),
        request: Some(Box::new(pull_request())),
    };
    let mut policy = stages(&["prod"]);
    policy.stages[0].targets = vec![Target::Git(GitTarget {
        remote: remote.clone(),
        edits: vec![FileEdit::Marker { path: String::new() }],
        namespaces: Namespaces::Named(vec!["prod".to_owned()]),
        match_labels: labels(),
        containers: vec!["otel".to_owned()],
    })];
    let mut story = Story::new(policy, &[("prod", "api", 2)]);
    story.world.add_branch(remote, &format!("{REPOSITORY}:latest"));
    story.world.branches.merged_after = SignedDuration::from_hours(10_000);
    let story = story.minutes(2);
    assert_eq!(story.reason(0), (Phase::Idle, "Adopted"));
    story
}

fn states(story: &Story) -> Vec<RequestState> {
    story.world.branches.requests.iter().map(|request| request.state).collect()
}

/// Somebody merges what is open.
fn merge(story: &mut Story) {
    story.world.branches.merged_after = SignedDuration::ZERO;
    story.pass(1);
    story.world.branches.merged_after = SignedDuration::from_hours(10_000);
}

#[test]
fn a_request_is_waited_for_however_long_and_the_soak_begins_when_the_pods_have_what_was_merged() {
    let mut story = table();
    story.good("0.29.0");
    story.pass(5);
    assert_eq!(story.reason(0), (Phase::Applying, "AwaitingMerge"));
    let message = story.stage(0).message.clone();
    assert!(message.contains("https://forge/lockkeeper/platform/otel/prod/main"), "{message}");
    assert_eq!(
        (states(&story), story.told("AwaitingMerge"), story.runs("0.29.0")),
        (vec![RequestState::Open], 1, 0)
    );
    // Longer than `maxSoak`: people take their time.
    story.pass(200);
    assert_eq!(
        (story.reason(0).1, story.stage(0).message.clone(), story.told("AwaitingMerge")),
        ("AwaitingMerge", message, 1)
    );
    merge(&mut story);
    story.pass(2);
    assert_eq!(story.reason(0).0, Phase::Soaking, "{}", story.history());
    story.pass(15);
    assert_eq!((story.reason(0), states(&story)), ((Phase::Idle, "Verified"), vec![RequestState::Merged]));
    assert_eq!(story.stage(0).git.len(), 1);
}

#[test]
fn closing_a_request_rejects_the_release_for_the_stage_and_nobody_is_paged() {
    let mut story = table();
    let bad = story.good("0.29.0");
    story.pass(5);
    story.world.branches.requests[0].state = RequestState::Closed;
    story.pass(5);
    assert_eq!(story.reason(0), (Phase::Idle, "Refused"));
    assert!(story.stage(0).message.contains("was closed unmerged"), "{}", story.stage(0).message);
    assert!(story.stage(0).refused.contains_key(&bad.contents_key()));
    assert_eq!((story.told("PutBack"), story.told("RolledBack"), story.told("Blocked")), (1, 0, 0));
    story.pass(200);
    assert_eq!(states(&story), [RequestState::Closed], "it is not asked for again");
    // A newer release is another matter; and so is the same one once a person says so.
    story.ask(InterventionKind::Resume, "prod", None, "kim");
    story.pass(5);
    assert_eq!(states(&story), [RequestState::Closed, RequestState::Open]);
    story.good("0.29.1");
    story.pass(5);
    merge(&mut story);
    story.pass(15);
    assert_eq!((story.reason(0), story.runs("0.29.1")), ((Phase::Idle, "Verified"), 2));
    assert_eq!(states(&story), [RequestState::Closed, RequestState::Merged]);
}

#[test]
fn a_newer_release_takes_over_the_request_that_nobody_has_merged() {
    let mut story = table();
    story.good("0.29.0");
    story.pass(5);
    let first = story.world.branches.requests[0].clone();
    story.good("0.29.1");
    story.pass(5);
    assert_eq!(story.reason(0), (Phase::Applying, "AwaitingMerge"), "{}", story.history());
    let all = &story.world.branches.requests;
    assert!(all.len() == 1 && all[0].state == RequestState::Open && all[0].brings != first.brings, "{all:?}");
    assert!(story.stage(0).message.starts_with("0.29.1 "), "{}", story.stage(0).message);
    assert_eq!((story.told("Superseded"), story.told("RolledBack"), story.told("PutBack")), (1, 0, 0));
    assert!(story.stage(0).refused.is_empty(), "nothing is held against the older one");
    // An older one does not.
    story.world.tags.retain(|tag, _| tag.as_str() != "0.29.1");
    story.pass(10);
    assert_eq!(story.told("Superseded"), 1);
    merge(&mut story);
    story.pass(15);
    assert_eq!((story.runs("0.29.1"), states(&story)), (2, vec![RequestState::Merged]));
}

#[test]
fn what_is_quarantined_meanwhile_is_not_left_for_somebody_to_merge() {
    let mut story = table();
    let bad = story.good("0.29.0");
    story.pass(5);
    story.world.quarantine_by_person(&bad);
    story.pass(5);
    assert_eq!((states(&story), story.stage(0).phase), (vec![RequestState::Closed], Phase::Idle));
    assert!(story.world.branches.commits.is_empty());
}

#[test]
fn what_turns_out_bad_after_the_merge_goes_back_by_a_request_of_its_own() {
    let mut story = table();
    let bad = story.good("0.29.0");
    story.pass(5);
    merge(&mut story);
    story.pass(3);
    assert_eq!(story.reason(0).0, Phase::Soaking);
    story.world.quarantine_by_person(&bad);
    story.pass(5);
    assert_eq!(story.reason(0), (Phase::RollingBack, "AwaitingMerge"));
    assert_eq!(states(&story), [RequestState::Merged, RequestState::Open]);
    assert!(story.moves().iter().any(|(_, to)| to.contains("0.28.0")), "pods go back in place at once");
    // Who closes this one is told so; nothing is forced.
    story.world.branches.requests[1].state = RequestState::Closed;
    story.pass(5);
    assert_eq!(story.reason(0), (Phase::RollingBack, "Rejected"));
    story.world.branches.requests[1].state = RequestState::Open;
    merge(&mut story);
    story.pass(5);
    assert_eq!(story.reason(0), (Phase::Idle, "Adopted"), "{}", story.history());
    assert_eq!((story.runs("0.28.0"), story.told("RolledBack")), (2, 1));
}
