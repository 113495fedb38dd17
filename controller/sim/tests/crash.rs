//! P1: the controller is killed after every single effect of the incident's replay, and started again.

mod common;

use common::{
    REPOSITORY,
    incident::{walk, world, world_through_git, world_through_requests},
};
use lockkeeper_core::git::RequestState;
use lockkeeper_sim::{Effect, World, release};

/// Kills it after every write of every pass that did something; the clean run, at its end.
fn killed_everywhere(world: &World) -> World {
    let mut effects = 0;
    let ends = walk(world, |pass, ends| {
        // One branch per write after which the controller dies; of passes that only move a clock on, after the first.
        let kills = if pass.acted { 1..=pass.writes } else { 1..=usize::from(pass.telling) };
        for k in kills {
            let (mut branch, mut oracle) = pass.before.clone();
            assert!(branch.reconcile(Some(k)).killed);
            oracle.look(&branch);
            effects += usize::from(pass.acted);
            ends.judge(branch, oracle);
        }
    });
    ends.are_all_the_same();
    let all = ends.clean.records.iter().filter(|r| is_write(&r.what)).count();
    assert!(effects > all, "{effects} positions for {all} effects");
    ends.clean
}

#[test]
fn p1_killed_after_every_single_effect_the_end_is_the_same() {
    killed_everywhere(&world());
}

#[test]
fn p1_through_git_waves_in_place_then_one_commit_each_and_no_commit_of_what_did_not_soak() {
    let clean = killed_everywhere(&world_through_git());
    let bad = release("0.29.0");
    let (mut given, mut put_back) = (0, 0);
    for record in &clean.records {
        if let Effect::Moved { pod, from, to } = &record.what
            && pod.starts_with("prod/")
        {
            given += usize::from(to.contains(bad.digest.as_str()));
            put_back += usize::from(from.contains(bad.digest.as_str()));
        }
    }
    assert!(given >= 2 && put_back >= 2, "waves and the way back are on running pods: {given}, {put_back}");
    let commits: Vec<&str> = clean.branches.commits.iter().map(|(_, says)| says.as_str()).collect();
    let good = format!("{REPOSITORY}:0.29.1@{}", release("0.29.1").digest);
    assert_eq!(commits, [good], "what did not soak in the waves was never committed");
}

#[test]
fn p1_through_git_what_turns_out_bad_after_the_commit_goes_back_in_place_and_by_one_commit() {
    let mut start = world_through_git();
    start.policy.stages[2].waves = Some(Vec::new());
    let clean = killed_everywhere(&start);
    let says = |name: &str| format!("{REPOSITORY}:{name}@{}", release(name).digest);
    let commits: Vec<String> = clean.branches.commits.iter().map(|(_, says)| says.clone()).collect();
    assert_eq!(commits, [says("0.29.0"), says("0.28.0"), says("0.29.1")], "one each");
    let at = |wanted: fn(&Effect) -> bool| clean.records.iter().find(|r| wanted(&r.what)).map(|r| r.at);
    let back = at(|e| matches!(e, Effect::Committed { takes_back: true, .. })).unwrap();
    let put_back = at(|e| matches!(e, Effect::Moved { pod, .. } if pod.starts_with("prod/"))).unwrap();
    assert!(put_back <= back, "pods are put back beside the commit: {put_back} and {back}");
}

#[test]
fn p1_through_requests_each_release_is_one_request_and_goes_back_by_one_that_is_merged() {
    let mut start = world_through_requests();
    start.policy.stages[2].waves = Some(Vec::new());
    let clean = killed_everywhere(&start);
    let says = |name: &str| format!("{REPOSITORY}:{name}@{}", release(name).digest);
    let commits: Vec<String> = clean.branches.commits.iter().map(|(_, says)| says.clone()).collect();
    assert_eq!(commits, [says("0.29.0"), says("0.28.0"), says("0.29.1")], "one each");
    let states: Vec<RequestState> = clean.branches.requests.iter().map(|request| request.state).collect();
    assert_eq!(states, [RequestState::Merged; 3], "no other one was ever open");
}

fn is_write(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::Moved { .. }
            | Effect::Committed { .. }
            | Effect::Pinned { .. }
            | Effect::Unpinned { .. }
            | Effect::Orphaned { .. }
            | Effect::Quarantined { .. }
    )
}
