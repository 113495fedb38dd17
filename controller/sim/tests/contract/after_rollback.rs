//! Whether a rollback helped: watched on the pods that were put back, and said once.

use super::*;
use lockkeeper_core::{
    decision::EventType,
    health::Margin,
    signals::{Compare, Server, Signal, Source, Template},
    status::Help,
};
use lockkeeper_sim::Measured;

const WORDS: [&str; 3] = ["RollbackHelped", "RollbackDidNotHelp", "RollbackUnclear"];

/// Thirty pods; a wave of three gets a release that crashes, until it is being taken back.
fn taken_back(rate: f64, signals: Vec<Signal>) -> Story {
    let mut policy = stages(&["prod"]);
    waves(&mut policy, &[common::wave(3, 120)]);
    policy.stages[0].max_soak = SignedDuration::from_hours(24);
    policy.signals = signals;
    let mut story = Story::new(policy, &[("prod", "api", 30)]).minutes(1);
    if rate == 0.0 {
        story.world.measured = Measured::Worse;
    }
    story.push("0.29.0", crashes(rate));
    for _ in 0..120 {
        story.pass(1);
        if story.told("RolledBack") == 1 {
            return story;
        }
    }
    panic!("not taken back: {}", story.history());
}

fn said(story: &Story) -> [usize; 3] {
    WORDS.map(|word| story.told(word))
}

fn help(story: &Story) -> (Help, &str) {
    let after = story.stage(0).after_rollback.as_ref().expect("it is watched");
    (after.help, &after.message)
}

#[test]
fn crashes_that_are_over_say_that_it_helped() {
    let mut story = taken_back(12.0, Vec::new());
    assert_eq!((help(&story).0, said(&story)), (Help::Watching, [0; 3]));
    story.pass(60);
    let (help, message) = help(&story);
    assert_eq!((help, said(&story)), (Help::Helped, [1, 0, 0]), "{}", story.history());
    let start = "the rollback of 0.29.0 helped: 0.28.0 had no crash in ";
    assert!(message.starts_with(start) && message.contains("0.29.0 "), "{message}");
    story.pass(60);
    assert_eq!(said(&story), [1, 0, 0], "said once");
}

#[test]
fn crashes_that_go_on_say_that_it_did_not_help_and_what_a_person_can_do_and_nothing_is_undone() {
    let mut story = taken_back(12.0, Vec::new());
    let stable = release("0.28.0").digest;
    story.world.behaviours.insert(stable, crashes(12.0));
    story.pass(60);
    let (help, message) = help(&story);
    assert_eq!((help, said(&story)), (Help::DidNotHelp, [0, 1, 0]), "{}", story.history());
    for part in ["did not help", "the cause may lie elsewhere", "deleting Quarantine", "since, 0.29.0 "] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(
        (story.world.quarantines.len(), story.told("RolledBack")),
        (1, 1),
        "no rollback of a rollback"
    );
    let warned =
        story.world.records.iter().any(
            |r| matches!(&r.what, Effect::Told(e) if e.reason == WORDS[1] && e.kind == EventType::Warning),
        );
    assert!(warned);
}

#[test]
fn one_pod_alone_that_crashes_on_says_nothing() {
    let mut story = taken_back(12.0, Vec::new());
    let moved: std::collections::BTreeSet<String> = story.moves().into_iter().map(|(pod, _)| pod).collect();
    let pod = story.world.pods.iter().find(|p| moved.iter().any(|m| m.ends_with(&p.name))).unwrap();
    story.world.broken_nodes = [pod.node.clone()].into();
    story.pass(30);
    assert_eq!(said(&story), [0; 3], "{}", story.history());
}

#[test]
fn what_cannot_be_told_in_six_hours_is_said_to_be_unclear() {
    let mut story = taken_back(12.0, Vec::new());
    // Nobody who was put back is left to tell: the owner goes.
    story.world.owners[0].replicas = 0;
    story.world.pods.clear();
    story.pass(6 * 60 + 5);
    assert_eq!((help(&story).0, said(&story)), (Help::Unclear, [0, 0, 1]), "{}", story.history());
}

#[test]
fn a_release_that_is_verified_meanwhile_ends_the_watch_in_silence() {
    let mut policy = stages(&["prod"]);
    policy.stages[0].waves = Some(vec![common::wave(3, 120)]);
    let mut story = taken_back(12.0, Vec::new());
    story.world.policy.stages[0].waves = Some(Vec::new());
    story.world.policy.stages[0].soak = SignedDuration::from_secs(60);
    story.good("0.30.0");
    story.world.pods.iter_mut().for_each(|pod| pod.moved = None);
    story.pass(30);
    assert_eq!(story.reason(0), (Phase::Idle, "Verified"), "{}", story.history());
    assert_eq!(said(&story), [0; 3], "{}", story.history());
    assert!(story.stage(0).after_rollback.is_none());
}

#[test]
fn a_signal_is_asked_again_with_the_pods_that_were_put_back() {
    let query = Template::parse(r#"p95{pod=~"$(pods)"}"#).unwrap();
    let server = Server::Prometheus("http://prometheus.monitoring:9090".to_owned());
    let source = Source { server, query, secret: None, delay: SignedDuration::ZERO };
    let signal = Signal { name: "p95".to_owned(), source, compare: Compare::Beside(Margin::default()) };
    for (measured, expected, text) in [
        (Measured::Alike, Help::Helped, "signal p95 is worse than beside them in 0 of 11 ticks"),
        (Measured::Worse, Help::DidNotHelp, "did not help: with 0.28.0, signal p95 is worse"),
        (Measured::Failing, Help::Watching, ""),
    ] {
        let mut story = taken_back(0.0, vec![signal.clone()]);
        story.world.measured = measured;
        story.pass(30);
        let (help, message) = help(&story);
        assert_eq!(help, expected, "{}", story.history());
        assert!(message.contains(text), "{message}");
    }
}
