//! Random worlds, random things that happen in them: I1–I8 and I10 after every pass, L1–L4 at the end.

mod common;

use common::chaos::{
    events::{Event, Setup, event, setup},
    play::Play,
};
use jiff::SignedDuration;
use lockkeeper_core::{
    image::Release,
    status::{Phase, StageStatus},
};
use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner},
};

/// The same cases in every run; `CASES` asks for more of them.
fn runner(cases: u32, salt: u8) -> TestRunner {
    let cases = std::env::var("CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(cases);
    let salt = std::env::var("SALT").ok().and_then(|text| text.parse().ok()).unwrap_or(salt);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 120, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[salt; 32]))
}

#[test]
fn i1_to_i10_and_l1_to_l4_hold_whatever_happens() {
    let cases = (setup(), prop::collection::vec(event(), 1..40));
    let hunting = std::env::var_os("HUNT").is_some();
    let result = runner(60, 7).run(&cases, |(setup, events)| match play(&setup, &events) {
        Err(error) if hunting => {
            println!("HUNT {error}\n{setup:?}\n{events:?}");
            Ok(())
        }
        result => result,
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

fn play(setup: &Setup, events: &[Event]) -> Result<(), TestCaseError> {
    let mut play = Play::new(setup);
    for event in events {
        play.happen(event);
        no_violation(&play)?;
    }
    let good = play.come_to_rest();
    no_violation(&play)?;
    at_rest(&mut play)?;
    for stage in &play.world.stored.stages.clone() {
        ended(stage)?;
        runs_the_good_one(&play, stage, &good)?;
    }
    Ok(())
}

fn no_violation(play: &Play) -> Result<(), TestCaseError> {
    prop_assert!(play.watchman.violations.is_empty(), "{:#?}\n{}", play.watchman.violations, told(play));
    Ok(())
}

/// L1, I7: converged, and no write any more.
fn at_rest(play: &mut Play) -> Result<(), TestCaseError> {
    for _ in 0..5 {
        play.world.pass_time(SignedDuration::from_mins(5));
        play.watchman.nothing_more(&mut play.world);
    }
    no_violation(play)
}

/// L2: every attempt ended.
fn ended(stage: &StageStatus) -> Result<(), TestCaseError> {
    prop_assert!(
        matches!(stage.phase, Phase::Idle | Phase::Blocked),
        "L2: {} is {:?} ({}): {}",
        stage.name,
        stage.phase,
        stage.reason,
        stage.message
    );
    Ok(())
}

/// L3, L4: what crash-loops was taken back or Blocked, and the newest clean release is everywhere.
fn runs_the_good_one(play: &Play, stage: &StageStatus, good: &Release) -> Result<(), TestCaseError> {
    prop_assert!(
        stage.phase != Phase::Blocked,
        "L4: {} is Blocked ({}): {}\n{}",
        stage.name,
        stage.reason,
        stage.message,
        told(play)
    );
    prop_assert!(
        stage.current.as_ref() == Some(&good.digest),
        "L4: {} does not have {}: {} {}\n{}",
        stage.name,
        good.digest,
        stage.reason,
        stage.message,
        told(play)
    );
    Ok(())
}

/// The newest history, for whoever looks at a failure.
fn told(play: &Play) -> String {
    let lines = play.world.stored.history.iter();
    let lines: Vec<String> =
        lines.map(|h| format!("{} {} {}: {}", h.at, h.stage, h.reason, h.message)).collect();
    lines.join("\n")
}
