//! Effects that fail: what goes on, what stops, what is tried again.

use super::fakes::{Fake, moved, quarantine, right};
use crate::reconcile::queue::Outcome;
use lockkeeper_core::{
    decision::{Action, Decision, Purpose},
    observed::MissingRight,
};
use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};
use tokio::time::advance;

/// Decides these actions again and again, and notes what it was shown.
#[derive(Clone, Default)]
struct Script {
    actions: Arc<Mutex<Vec<Action>>>,
    rights: Arc<Mutex<Vec<MissingRight>>>,
    refusals: Arc<Mutex<Vec<String>>>,
}

impl Script {
    fn of(actions: Vec<Action>) -> Self {
        Self { actions: Arc::new(Mutex::new(actions)), ..Self::default() }
    }

    fn reconciler(&self, fake: &Arc<Fake>) -> crate::reconcile::Reconciler {
        let script = self.clone();
        fake.reconciler(move |_, seen, _| {
            script.rights.lock().unwrap().clone_from(&seen.stages[0].missing_rights);
            script.refusals.lock().unwrap().clone_from(&seen.stages[0].refusals);
            let actions = script.actions.lock().unwrap().clone();
            Decision { status: seen.status.clone(), actions, ..Decision::default() }
        })
    }
}

fn fail(fake: &Fake, name: &str, how: &'static str) {
    fake.effect_failures.lock().unwrap().insert(name.into(), how);
}

#[tokio::test(start_paused = true)]
async fn what_takes_a_release_back_goes_on_when_one_of_it_fails() {
    for how in ["Refused", "Outdated", "Unavailable"] {
        let fake = Fake::new();
        let key = fake.store("otel", None);
        let all = ["a", "b", "c"].map(|name| moved(name, Purpose::TakeBack)).to_vec();
        fail(&fake, "a", how);
        Script::of(all).reconciler(&fake).pass(&key).await;
        assert_eq!(fake.happened(), ["MovePod a", "MovePod b", "MovePod c"], "{how}");
    }
}

#[tokio::test(start_paused = true)]
async fn i4_nothing_is_taken_back_while_its_quarantine_cannot_be_made() {
    let fake = Fake::new();
    let key = fake.store("otel", None);
    fail(&fake, "q", "Unavailable");
    let script = Script::of(vec![quarantine("q"), moved("a", Purpose::TakeBack)]);
    let reconciler = script.reconciler(&fake);
    assert_eq!(reconciler.pass(&key).await, Outcome::Failed);
    assert_eq!(fake.happened(), ["WriteQuarantine q"]);
    fake.effect_failures.lock().unwrap().clear();
    reconciler.pass(&key).await;
    assert_eq!(fake.happened(), ["WriteQuarantine q", "MovePod a"]);
}

#[tokio::test(start_paused = true)]
async fn k1_nothing_is_given_a_candidate_while_the_api_server_does_not_answer() {
    let fake = Fake::new();
    let key = fake.store("otel", None);
    fail(&fake, "a", "Unavailable");
    let pin = |name: &str| Action::DeletePin {
        key: lockkeeper_core::observed::ObjectKey { name: name.into(), ..Default::default() },
        resource_version: "1".into(),
        stage: "dev".into(),
    };
    let all = vec![moved("a", Purpose::TakeBack), pin("p"), moved("b", Purpose::TakeBack)];
    assert_eq!(Script::of(all).reconciler(&fake).pass(&key).await, Outcome::Failed);
    assert_eq!(fake.happened(), ["MovePod a", "MovePod b"]);
}

#[tokio::test(start_paused = true)]
async fn a_missing_right_is_shown_until_it_is_granted_and_not_tried_meanwhile() {
    let fake = Fake::new();
    let key = fake.store("otel", None);
    fail(&fake, "a", "Forbidden");
    let script = Script::of(vec![moved("a", Purpose::Promote), moved("b", Purpose::Promote)]);
    let reconciler = script.reconciler(&fake);
    reconciler.pass(&key).await;
    assert_eq!(fake.happened().len(), 2, "both were under way");
    fake.effect_failures.lock().unwrap().insert("b".into(), "Forbidden");
    reconciler.pass(&key).await;
    fake.happened();
    for _ in 0..20 {
        advance(Duration::from_secs(30)).await;
        reconciler.pass(&key).await;
        assert_eq!(*script.rights.lock().unwrap(), [right()]);
    }
    assert_eq!(fake.happened(), Vec::<String>::new(), "the right is asked for, not tried");
    assert!((9..=11).contains(&fake.reviews.load(Ordering::SeqCst)), "once a minute");
    fake.granted.store(true, Ordering::SeqCst);
    fake.effect_failures.lock().unwrap().clear();
    advance(Duration::from_mins(1)).await;
    reconciler.pass(&key).await;
    assert_eq!(fake.happened(), ["MovePod a", "MovePod b"]);
    assert!(script.rights.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn decision_17_what_takes_back_is_tried_every_ten_seconds_whatever_is_missing() {
    let fake = Fake::new();
    let key = fake.store("otel", None);
    fail(&fake, "a", "Forbidden");
    let script = Script::of(vec![moved("a", Purpose::TakeBack)]);
    let reconciler = script.reconciler(&fake);
    assert_eq!(reconciler.pass(&key).await, Outcome::Done { next: Some(Duration::from_secs(10)) });
    for _ in 0..9 {
        advance(Duration::from_secs(5)).await;
        reconciler.pass(&key).await;
    }
    assert_eq!(fake.happened().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn k21_a_refusal_concerns_one_object_is_shown_and_ends_with_a_success() {
    let fake = Fake::new();
    let key = fake.store("otel", None);
    fail(&fake, "a", "Refused");
    let script = Script::of(vec![moved("a", Purpose::Promote), moved("b", Purpose::Promote)]);
    let reconciler = script.reconciler(&fake);
    reconciler.pass(&key).await;
    fake.happened();
    reconciler.pass(&key).await;
    assert_eq!(fake.happened(), ["MovePod b"], "the other one goes on");
    assert_eq!(*script.refusals.lock().unwrap(), ["a was refused: no"]);
    fake.effect_failures.lock().unwrap().clear();
    advance(Duration::from_mins(1)).await;
    reconciler.pass(&key).await;
    assert_eq!(fake.happened(), ["MovePod a", "MovePod b"]);
    reconciler.pass(&key).await;
    assert!(script.refusals.lock().unwrap().is_empty());
}
