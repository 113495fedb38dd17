//! `health.signals`: what somebody else measures.

use super::*;
use lockkeeper_core::{
    health::{Direction, Margin},
    signals::{Compare, Job, Server, Signal, Source, Template},
};
use lockkeeper_sim::Measured;

fn signal(name: &str, compare: Compare) -> Signal {
    let query = Template::parse(r#"p95{pod=~"$(pods)"}"#).unwrap();
    let server = Server::Prometheus("http://prometheus.monitoring:9090".to_owned());
    let source = Source { server, query, secret: None, delay: SignedDuration::ZERO };
    Signal { name: name.to_owned(), source, compare }
}

pub(super) fn beside() -> Signal {
    signal("p95", Compare::Beside(Margin::default()))
}

/// Thirty pods of one owner in one stage; a wave of three for half an hour, then all.
pub(super) fn story(signals: Vec<Signal>) -> Story {
    let mut policy = stages(&["prod"]);
    waves(&mut policy, &[common::wave(3, 30)]);
    policy.stages[0].max_soak = SignedDuration::from_hours(24);
    policy.signals = signals;
    let mut story = Story::new(policy, &[("prod", "api", 30)]).minutes(1);
    story.good("0.29.0");
    story
}

#[test]
fn a_release_whose_only_sign_is_a_worse_value_is_taken_back_from_the_first_wave() {
    let limit = signal("errors", Compare::Limit(Direction::HigherIsWorse, 0.5));
    for signal in [beside(), limit] {
        let mut story = story(vec![signal]);
        story.world.measured = Measured::Worse;
        story.pass(45);
        assert_eq!((story.runs("0.28.0"), story.runs("0.29.0")), (30, 0), "{}", story.history());
        let moved: std::collections::BTreeSet<String> =
            story.moves().into_iter().map(|(pod, _)| pod).collect();
        assert_eq!(moved.len(), 3, "{moved:?}");
        assert_eq!((story.told("Degraded"), story.world.quarantines.len()), (1, 1));
        let evidence = &story.world.quarantines[0];
        assert!(
            story.history().contains("the pods beside it in")
                || story.history().contains("above the limit 0.5 in"),
            "{}",
            story.history()
        );
        assert!(evidence.covers(&release("0.29.0")));
    }
}

#[test]
fn a_release_that_is_alike_is_verified_and_the_sentence_says_what_was_compared() {
    let mut story = story(vec![beside()]);
    story.pass(90);
    assert_eq!(story.reason(0), (Phase::Idle, "Verified"), "{}", story.stage(0).message);
    let rules_out = &story.stage(0).verified.last().unwrap().rules_out;
    assert!(rules_out.contains("signal p95: worse in 0 of "), "{rules_out}");
}

#[test]
fn m1_m2_without_data_nothing_is_widened_verified_or_quarantined_until_the_release_is_put_back() {
    for measured in [Measured::Failing, Measured::Nothing, Measured::Hanging] {
        let mut story = story(vec![beside()]);
        story.world.measured = measured;
        story.pass(180);
        assert_eq!(story.runs("0.29.0"), 3, "{measured:?}: {}", story.history());
        assert_eq!(story.reason(0), (Phase::Soaking, "NoData"), "{measured:?}: {}", story.stage(0).message);
        assert!(story.stage(0).message.contains("signal p95 has no data"), "{}", story.stage(0).message);
        assert_eq!(story.told("NoData"), 1, "told once");
        let soaked = story.stage(0).flight.as_ref().unwrap().healthy_seconds;
        assert!(soaked < 900, "{measured:?}: the clock stood still after {soaked} s");
        // health.noDataMax: put back, and nobody is blamed.
        story.pass(240);
        assert_eq!(story.stage(0).reason, "Inconclusive", "{measured:?}: {}", story.stage(0).message);
        assert!(story.world.quarantines.is_empty());
        assert_eq!((story.runs("0.28.0"), story.told("Degraded")), (30, 0), "{measured:?}");
    }
}

fn job() -> Signal {
    let server = Server::Job(Job { from: "smoke".to_owned(), deadline: SignedDuration::from_mins(10) });
    let source = Source { server, query: Template::default(), secret: None, delay: SignedDuration::ZERO };
    Signal { name: "smoke".to_owned(), source, compare: Compare::Verdict }
}

#[test]
fn a_job_that_says_degraded_takes_the_release_back_at_once_and_one_that_ends_well_lets_it_go_on() {
    let mut bad = story(vec![job()]);
    bad.world.measured = Measured::Worse;
    // The first tick is over, and no statistics is needed.
    bad.pass(8);
    assert_eq!((bad.runs("0.28.0"), bad.runs("0.29.0")), (30, 0), "{}", bad.history());
    assert_eq!((bad.told("Degraded"), bad.world.quarantines.len()), (1, 1));
    assert!(bad.history().contains("signal smoke: its Job lockkeeper-smoke-"), "{}", bad.history());

    let mut good = story(vec![job()]);
    good.pass(90);
    assert_eq!(good.reason(0), (Phase::Idle, "Verified"), "{}", good.stage(0).message);
    let rules_out = &good.stage(0).verified.last().unwrap().rules_out;
    assert!(rules_out.contains("signal smoke: its Job ended well"), "{rules_out}");
}

#[test]
fn a_job_without_a_verdict_never_promotes_and_is_found_again_after_a_restart() {
    for measured in [Measured::Failing, Measured::Nothing, Measured::Hanging] {
        let mut story = story(vec![job()]);
        story.world.measured = measured;
        story.pass(10);
        story.world.kill_controller();
        story.pass(110);
        assert_eq!(story.runs("0.29.0"), 3, "{measured:?}: {}", story.history());
        assert_eq!(story.reason(0), (Phase::Soaking, "NoData"), "{measured:?}: {}", story.stage(0).message);
        assert_eq!(story.told("Degraded") + story.told("Verified"), 0);
        story.world.measured = Measured::Alike;
        story.pass(90);
        assert_eq!(story.reason(0), (Phase::Idle, "Verified"), "{measured:?}: {}", story.history());
    }
}

#[test]
fn a_verdict_of_a_server_is_a_bad_tick_and_takes_back_with_the_others() {
    let mut judge = job();
    judge.source.server = Server::Webhook("http://judge.example".to_owned());
    let mut story = story(vec![judge]);
    story.world.measured = Measured::Worse;
    story.pass(8);
    assert_eq!(story.told("Degraded"), 0, "one bad answer takes nothing back: {}", story.history());
    story.pass(40);
    assert_eq!((story.runs("0.28.0"), story.told("Degraded")), (30, 1), "{}", story.history());
}

#[test]
fn when_data_comes_again_the_soak_goes_on() {
    let mut story = story(vec![beside()]);
    story.world.measured = Measured::Failing;
    story.pass(40);
    assert_eq!(story.reason(0).1, "NoData", "{}", story.stage(0).message);
    story.world.measured = Measured::Alike;
    story.pass(90);
    assert_eq!(story.reason(0), (Phase::Idle, "Verified"), "{}", story.history());
}

#[test]
fn a_controller_that_is_killed_all_the_time_counts_no_tick_twice() {
    let mut story = story(vec![beside()]);
    let mut last = 0;
    for _ in 0..20 {
        story.pass(2);
        story.world.kill_controller();
        let Some(flight) = &story.stage(0).flight else { continue };
        let (_, ticks) = flight.health.signals[0].gauge.counts();
        let elapsed = story.world.now.duration_since(flight.entered).as_secs() / 60;
        assert!(ticks >= last && i64::try_from(ticks).unwrap() <= elapsed, "{ticks} of {elapsed}");
        last = ticks;
    }
    assert!(last > 0, "ticks are counted all the same");
}

#[test]
fn a_signal_that_is_added_in_flight_is_for_the_next_release_and_one_that_is_removed_keeps_its_evidence() {
    let mut story = story(vec![beside()]);
    story.pass(15);
    let (_, before) = story.stage(0).flight.as_ref().unwrap().health.signals[0].gauge.counts();
    assert!(before > 0);
    story.world.policy.signals = vec![signal("other", Compare::Limit(Direction::LowerIsWorse, 1.0))];
    story.pass(5);
    let signals = &story.stage(0).flight.as_ref().unwrap().health.signals;
    assert_eq!((signals.len(), signals[0].name.as_str()), (1, "p95"));
    assert_eq!(signals[0].gauge.counts().1, before);
    story.pass(90);
    assert_eq!(story.reason(0), (Phase::Idle, "Verified"), "{}", story.stage(0).message);
}

#[test]
fn i8_in_many_nights_with_data_that_comes_and_goes_no_release_goes_on_without_it() {
    let mut looks = 0_u64;
    for seed in 0..6_u64 {
        let mut story =
            story(vec![beside(), signal("errors", Compare::Limit(Direction::HigherIsWorse, 0.5))]);
        let mut dice = lockkeeper_sim::Random::new(seed);
        for _ in 0..60 {
            let kinds = [Measured::Failing, Measured::Nothing, Measured::Hanging];
            story.world.measured = kinds[dice.below(3)];
            story.pass(3);
            looks += 6;
            if dice.below(10) == 0 {
                story.world.kill_controller();
            }
            assert!(story.runs("0.29.0") <= 3, "seed {seed}: widened; {}", story.history());
            assert_eq!(
                story.told("Degraded") + story.told("Verified"),
                0,
                "seed {seed}: {}",
                story.history()
            );
        }
    }
    assert!(looks > 1_000, "{looks}");
}
