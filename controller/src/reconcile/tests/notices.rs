//! Messages leave in their order, as the policy's account, in the background; what fails is tried again.

use super::fakes::{Fake, policy};
use crate::{
    ports::{Identity, PolicyKey},
    reconcile::notices::Notices,
};
use jiff::Timestamp;
use lockkeeper_core::{
    notices::{Delivery, Occasion, Place, Receiver, Service},
    policy::Policy,
    status::Notice,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

fn key() -> PolicyKey {
    PolicyKey { namespace: "platform".into(), name: "otel".into() }
}

fn identity() -> Identity {
    Identity { namespace: "platform".into(), service_account: "promoter".into() }
}

/// A policy with these Secrets of webhooks.
fn telling(secrets: &[&str]) -> Policy {
    let receiver = |secret: &&str| Receiver {
        name: format!("webhook/{secret}"),
        service: Service::Webhook,
        place: Place::Secret((*secret).to_owned()),
        occasions: Service::Webhook.takes().iter().copied().collect(),
        stages: std::collections::BTreeSet::new(),
    };
    Policy { notify: Some(secrets.iter().map(receiver).collect()), ..policy("otel") }
}

fn notice(id: &str, to: &[&str]) -> Notice {
    Notice {
        id: id.to_owned(),
        at: Timestamp::UNIX_EPOCH,
        occasion: Occasion::RollingBack,
        stage: "dev".to_owned(),
        message: "m".to_owned(),
        done: String::new(),
        next: String::new(),
        incident: None,
        since: None,
        to: to.iter().map(|secret| format!("webhook/{secret}")).collect(),
    }
}

struct Telling {
    fake: Arc<Fake>,
    notices: Notices,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Telling {
    fn start(secrets: &[&str]) -> Self {
        let fake = Fake::new();
        for secret in secrets {
            let values = BTreeMap::from([("url".to_owned(), b"http://c4n4ry".to_vec())]);
            fake.certificates.lock().unwrap().insert((*secret).to_owned(), values);
        }
        let (notices, stop) = (fake.notices(), CancellationToken::new());
        let task = tokio::spawn(notices.clone().run(stop.clone()));
        Self { fake, notices, stop, task }
    }

    fn tell(&self, policy: &Policy, outbox: &[Notice]) {
        self.notices.tell(&key(), &identity(), policy, outbox);
    }

    /// Until nothing moves any more without time passing.
    async fn settle(&self) {
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
    }

    fn sent(&self) -> Vec<String> {
        let log = self.fake.happened();
        log.into_iter()
            .filter_map(|line| Some(line.strip_prefix("notice ")?.split(' ').next()?.to_owned()))
            .collect()
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn messages_leave_in_their_order_and_once() {
    let telling = Telling::start(&["a"]);
    let (policy, outbox) =
        (self::telling(&["a"]), [notice("1", &["a"]), notice("2", &["a"]), notice("3", &["a"])]);
    telling.tell(&policy, &outbox);
    telling.settle().await;
    // Another pass over the same status, before the answers are stored.
    telling.tell(&policy, &outbox);
    telling.settle().await;
    assert_eq!(telling.sent(), ["1", "2", "3"]);
    let told = telling.notices.seen(&key()).told;
    assert!(told.len() == 3 && told.values().all(|one| *one == Delivery::Done), "{told:?}");
    assert_eq!(telling.fake.woken.lock().unwrap().len(), 3);
    let read = telling.fake.asked.lock().unwrap().clone();
    assert_eq!(read, ["secret a as promoter"; 3], "for every message, as the policy's account");
    telling.tell(&policy, &[]);
    assert!(telling.notices.seen(&key()).told.is_empty());
    telling.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_tried_again_later_and_what_follows_waits_for_it() {
    let telling = Telling::start(&["a"]);
    telling.fake.refused.lock().unwrap().extend(["it answered 500".to_owned(), "it answered 503".to_owned()]);
    let began = Instant::now();
    telling.tell(&self::telling(&["a"]), &[notice("1", &["a"]), notice("2", &["a"])]);
    telling.settle().await;
    assert_eq!(telling.sent(), ["1"]);
    let told = telling.notices.seen(&key()).told;
    let failing = Delivery::Failing { tries: 1, message: "it answered 500".into() };
    assert_eq!(told.values().collect::<Vec<_>>(), [&failing]);
    let mut sent = Vec::new();
    while sent.len() < 3 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        sent.extend(telling.sent());
    }
    assert_eq!(sent, ["1", "1", "2"]);
    assert!(
        began.elapsed() >= Duration::from_secs(3),
        "pauses of one and two seconds: {:?}",
        began.elapsed()
    );
    telling.end().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_keeps_up_no_other_and_no_pass() {
    let telling = Telling::start(&["a", "b"]);
    // The first read of a Secret hangs.
    *telling.fake.reads.lock().unwrap() = Some(0);
    let policy = self::telling(&["a", "b"]);
    telling.tell(&policy, &[notice("1", &["a"])]);
    telling.settle().await;
    *telling.fake.reads.lock().unwrap() = None;
    telling.tell(&policy, &[notice("1", &["a", "b"]), notice("2", &["a", "b"])]);
    telling.settle().await;
    assert_eq!(telling.sent(), ["1", "2"], "b's");
    telling.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_may_not_write_tells_nothing() {
    let telling = Telling::start(&["a"]);
    telling.fake.fenced.store(true, Ordering::SeqCst);
    telling.tell(&self::telling(&["a"]), &[notice("1", &["a"])]);
    telling.settle().await;
    assert_eq!(telling.sent(), Vec::<String>::new());
    telling.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_not_there_is_said_without_what_others_hold() {
    let telling = Telling::start(&["a"]);
    telling.tell(&self::telling(&["gone"]), &[notice("1", &["gone"])]);
    telling.settle().await;
    let told = telling.notices.seen(&key()).told;
    let Some(Delivery::Failing { message, .. }) = told.values().next() else { panic!("{told:?}") };
    assert_eq!(message, "Secret platform/gone is not there; make it");
    assert!(!telling.fake.happened().concat().contains("c4n4ry"));
    telling.end().await;
}
