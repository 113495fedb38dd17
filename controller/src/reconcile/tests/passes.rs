//! Order of writes, quiescence, conflicts, isolation.

use super::fakes::{Fake, done, flight, moved};
use crate::{ports::EffectError, reconcile::queue::Outcome};
use lockkeeper_core::{
    decision::{Decision, Event, EventType, Purpose},
    observed::Observed,
    status::{Phase, StageStatus, Status},
};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::advance;

/// Begins one attempt, moves one pod, tells one event; after that nothing is left to do.
fn begin_once(seen: &Observed) -> Decision {
    let mut decision = Decision { status: seen.status.clone(), ..Decision::default() };
    if decision.status.attempts == 0 {
        decision.status.attempts = 1;
        let event = Event {
            kind: EventType::Normal,
            reason: "PromotionStarted",
            stage: None,
            message: String::new(),
        };
        decision.events.push(event);
    }
    if decision.status.attempts == 1 {
        decision.actions.push(moved("app-1", Purpose::Promote));
    }
    decision
}

fn unavailable() -> EffectError {
    EffectError::Unavailable { object: "imagepolicies/status".into(), message: "timeout".into() }
}

#[tokio::test(start_paused = true)]
async fn i6_the_status_is_written_before_the_effects_and_the_events_after() {
    let fake = Fake::new();
    let key = fake.store("otel", None);
    let reconciler = fake.reconciler(|_, seen, _| begin_once(seen));
    reconciler.pass(&key).await;
    assert_eq!(fake.happened(), ["status otel", "MovePod app-1", "event PromotionStarted"]);
}

#[tokio::test(start_paused = true)]
async fn i6_without_a_stored_status_there_is_no_effect_and_the_decision_never_was() {
    let fake = Fake::new();
    let key = fake.store("otel", None);
    let seen_attempts = Arc::new(Mutex::new(Vec::new()));
    let notes = seen_attempts.clone();
    let reconciler = fake.reconciler(move |_, seen, _| {
        notes.lock().unwrap().push(seen.status.attempts);
        begin_once(seen)
    });
    fake.status_failures.lock().unwrap().push_back(unavailable());
    assert_eq!(reconciler.pass(&key).await, Outcome::Failed);
    assert_eq!(fake.happened(), ["status otel"]);
    reconciler.pass(&key).await;
    assert_eq!(fake.happened(), ["status otel", "MovePod app-1", "event PromotionStarted"]);
    assert_eq!(*seen_attempts.lock().unwrap(), [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn i7_nothing_new_is_no_write() {
    let fake = Fake::new();
    let key = fake.store("otel", None);
    let reconciler = fake.reconciler(|_, seen, _| {
        let mut status = seen.status.clone();
        status.phase = "Idle".into();
        Decision { status, ..Decision::default() }
    });
    assert_eq!(
        reconciler.pass(&key).await,
        done(Some(Duration::from_secs(1))),
        "what follows is decided soon"
    );
    assert_eq!(fake.happened(), ["status otel"]);
    for _ in 0..5 {
        advance(Duration::from_mins(10)).await;
        assert_eq!(reconciler.pass(&key).await, done(None));
    }
    assert_eq!(fake.happened(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn k7_after_a_conflict_it_waits_for_the_watch_and_goes_on_from_what_is_stored() {
    let fake = Fake::new();
    let key = fake.store("otel", None);
    let reconciler = fake.reconciler(|_, seen, _| {
        let mut status = seen.status.clone();
        status.attempts += 1;
        Decision { status, ..Decision::default() }
    });
    fake.status_failures.lock().unwrap().push_back(EffectError::Outdated("otel".into()));
    assert_eq!(reconciler.pass(&key).await, Outcome::Failed);
    assert_eq!(reconciler.pass(&key).await, Outcome::Failed, "the watch shows nothing newer yet");
    assert_eq!(fake.happened(), ["status otel"]);
    fake.change(&key, |stored| Arc::make_mut(&mut stored.status).attempts = 40);
    assert!(matches!(reconciler.pass(&key).await, Outcome::Done { .. }));
    assert_eq!(fake.policies.lock().unwrap()[&key].status.attempts, 41);
}

#[tokio::test(start_paused = true)]
async fn a_status_that_somebody_else_changed_counts_and_a_changed_spec_loses_nothing() {
    let fake = Fake::new();
    let key = fake.store("otel", None);
    let seen_by_decide = Arc::new(AtomicU64::new(0));
    let note = seen_by_decide.clone();
    let reconciler = fake.reconciler(move |_, seen, _| {
        let mut status = seen.status.clone();
        note.store(status.attempts, Ordering::SeqCst);
        if status.attempts == 0 {
            status.attempts = 7;
        }
        Decision { status, ..Decision::default() }
    });
    reconciler.pass(&key).await;
    fake.change(&key, |stored| stored.generation = 2);
    reconciler.pass(&key).await;
    assert_eq!(seen_by_decide.load(Ordering::SeqCst), 7);
    fake.change(&key, |stored| Arc::make_mut(&mut stored.status).attempts = 3);
    reconciler.pass(&key).await;
    assert_eq!(seen_by_decide.load(Ordering::SeqCst), 3);
    // Deleted and made again under the same name.
    fake.change(&key, |stored| {
        stored.uid = "another".into();
        stored.status = Arc::default();
    });
    reconciler.pass(&key).await;
    assert_eq!(seen_by_decide.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn k5_an_older_copy_from_the_watch_does_not_take_the_status_back() {
    let fake = Fake::new();
    let key = fake.store("otel", None);
    let old = fake.policies.lock().unwrap()[&key].clone();
    let seen_by_decide = Arc::new(AtomicU64::new(0));
    let note = seen_by_decide.clone();
    let reconciler = fake.reconciler(move |_, seen, _| {
        note.store(seen.status.attempts, Ordering::SeqCst);
        begin_once(seen)
    });
    reconciler.pass(&key).await;
    fake.policies.lock().unwrap().insert(key.clone(), old);
    reconciler.pass(&key).await;
    assert_eq!(seen_by_decide.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn i9_without_the_fence_nothing_is_written() {
    let fake = Fake::new();
    let key = fake.store("otel", None);
    let reconciler = fake.reconciler(|_, seen, _| begin_once(seen));
    fake.fenced.store(true, Ordering::SeqCst);
    reconciler.pass(&key).await;
    assert_eq!(fake.happened(), Vec::<String>::new());
}

fn soaking(seconds: i64, crashes: u32) -> Status {
    let mut flight = flight();
    flight.healthy_seconds = seconds;
    flight.health.crashes = [crashes, 0];
    let stage = StageStatus {
        name: "dev".into(),
        phase: Phase::Soaking,
        flight: Some(flight),
        ..StageStatus::default()
    };
    Status { stages: vec![stage], ..Status::default() }
}

#[tokio::test(start_paused = true)]
async fn counters_are_written_seldom_and_sooner_after_a_crash() {
    let fake = Fake::new();
    let key = fake.store("otel", None);
    let next = Arc::new(Mutex::new(soaking(0, 0)));
    let script = next.clone();
    let reconciler = fake.reconciler(move |_, _, _| Decision {
        status: script.lock().unwrap().clone(),
        ..Decision::default()
    });
    reconciler.pass(&key).await;
    assert_eq!(fake.happened(), ["status otel"], "the flight itself");

    *next.lock().unwrap() = soaking(60, 0);
    advance(Duration::from_mins(1)).await;
    assert_eq!(reconciler.pass(&key).await, done(Some(Duration::from_mins(4))), "counters are due then");
    assert_eq!(fake.happened(), Vec::<String>::new());
    advance(Duration::from_mins(4)).await;
    reconciler.pass(&key).await;
    assert_eq!(fake.happened(), ["status otel"]);

    *next.lock().unwrap() = soaking(70, 1);
    advance(Duration::from_secs(4)).await;
    assert_eq!(reconciler.pass(&key).await, done(Some(Duration::from_secs(6))));
    assert_eq!(fake.happened(), Vec::<String>::new());
    advance(Duration::from_secs(6)).await;
    reconciler.pass(&key).await;
    assert_eq!(fake.happened(), ["status otel"]);

    *next.lock().unwrap() = soaking(75, 1);
    advance(Duration::from_secs(5)).await;
    reconciler.pass(&key).await;
    reconciler.flush().await;
    assert_eq!(fake.happened(), ["status otel"], "the end of the process stores what is in memory");
    assert_eq!(fake.policies.lock().unwrap()[&key].status.stages, soaking(75, 1).stages);
}

#[tokio::test(start_paused = true)]
async fn i14_k15_a_policy_that_is_wrong_says_so_once_keeps_its_flight_and_delays_no_other() {
    let fake = Fake::new();
    let (wrong, good) = (fake.store("wrong", None), fake.store("good", None));
    let reconciler = fake.reconciler(|_, seen, _| begin_once(seen));
    fake.change(&wrong, |stored| {
        stored.status = Arc::new(soaking(60, 0));
        stored.policy = Err(vec!["spec.interval: 5 has no unit; write 5m".into()]);
    });
    reconciler.pass(&wrong).await;
    reconciler.pass(&wrong).await;
    reconciler.pass(&good).await;
    assert_eq!(fake.happened(), ["status wrong", "status good", "MovePod app-1", "event PromotionStarted"]);
    let status = fake.policies.lock().unwrap()[&wrong].status.clone();
    assert_eq!(status.stages, soaking(60, 0).stages);
    let stalled = status.conditions.iter().find(|c| c.kind == "Stalled").unwrap();
    assert_eq!((stalled.status.as_str(), stalled.reason.as_str()), ("True", "InvalidSpec"));
    assert_eq!(stalled.message, "spec.interval: 5 has no unit; write 5m");
}

#[tokio::test(start_paused = true)]
async fn bad_input_15_a_selector_that_matches_too_many_pods_is_refused() {
    let fake = Fake::new();
    let key = fake.store("otel", None);
    let reconciler = fake.reconciler(|_, seen, _| begin_once(seen));
    *fake.pods.lock().unwrap() = 4;
    reconciler.pass(&key).await;
    assert_eq!(fake.happened(), ["status otel"], "nothing is moved");
    let status = fake.policies.lock().unwrap()[&key].status.clone();
    let stalled = status.conditions.iter().find(|c| c.kind == "Stalled").unwrap();
    assert_eq!(stalled.reason, "TooManyPods");
    assert!(
        stalled.message.starts_with("spec.stages[0].targets: stage dev matches 4 pods"),
        "{}",
        stalled.message
    );
    *fake.pods.lock().unwrap() = 3;
    reconciler.pass(&key).await;
    assert_eq!(fake.happened(), ["status otel", "MovePod app-1", "event PromotionStarted"]);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_is_slept_for_from_now() {
    let fake = Fake::new();
    let key = fake.store("otel", None);
    let reconciler = fake.reconciler(|_, seen, now| Decision {
        status: seen.status.clone(),
        next_deadline: Some(now + jiff::SignedDuration::from_secs(90)),
        ..Decision::default()
    });
    assert_eq!(reconciler.pass(&key).await, done(Some(Duration::from_secs(90))));
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_is_gone_is_forgotten() {
    let fake = Fake::new();
    let key = fake.store("otel", None);
    let reconciler = fake.reconciler(|_, seen, _| begin_once(seen));
    reconciler.pass(&key).await;
    fake.policies.lock().unwrap().clear();
    assert_eq!(reconciler.pass(&key).await, Outcome::Gone);
}
