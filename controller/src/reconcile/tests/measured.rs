//! Questions of signals are asked once, with the policy's own Secret, and their answers wake it.

use super::fakes::Fake;
use crate::{
    ports::{Identity, PolicyKey, signals::SignalError},
    reconcile::{measurements::Measurements, secrets::access_of},
};
use jiff::Timestamp;
use lockkeeper_core::signals::{ArmAnswer, CloudWatch, Server, SignalKey, SignalQuestion};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio_util::sync::CancellationToken;

fn key() -> PolicyKey {
    PolicyKey { namespace: "platform".into(), name: "otel".into() }
}

fn identity() -> Identity {
    Identity { namespace: "platform".into(), service_account: "promoter".into() }
}

fn question(tick: i64, secret: Option<&str>) -> SignalQuestion {
    SignalQuestion {
        key: SignalKey { attempt: "a-1".into(), signal: "p95".into(), tick },
        server: Server::Prometheus("http://prometheus:9090".into()),
        secret: secret.map(Into::into),
        at: Timestamp::UNIX_EPOCH,
        window: 60,
        candidate: "new".into(),
        baseline: Some("old".into()),
    }
}

/// Asks, lets the service work until nothing moves, and returns it.
async fn asked(fake: &Arc<Fake>, questions: impl IntoIterator<Item = SignalQuestion>) -> Measurements {
    let service = Measurements::new(fake.clone(), fake.clone(), fake.clone());
    let stop = CancellationToken::new();
    let running = tokio::spawn(service.clone().run(stop.clone()));
    service.ask(&key(), &identity(), questions.into_iter().collect());
    // Everything in this world answers at once; each turn lets every task that can go on do so.
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    running.await.unwrap();
    service
}

#[tokio::test]
async fn both_sides_are_asked_once_and_the_policy_is_woken() {
    let fake = Arc::new(Fake::default());
    fake.measured.lock().unwrap().insert("new".into(), Ok(Some(3.0)));
    let failed = SignalError { refused: false, message: "it answered 503".into() };
    fake.measured.lock().unwrap().insert("old".into(), Err(failed));
    let service = asked(&fake, [question(4, None)]).await;
    let answers = service.answers(&key());
    let answer = &answers[&question(4, None).key];
    assert_eq!(answer.candidate, ArmAnswer::Value(3.0));
    assert_eq!(answer.baseline, Some(ArmAnswer::Failed("it answered 503".into())));
    assert_eq!(*fake.woken.lock().unwrap(), [key()]);
    service.ask(&key(), &identity(), BTreeSet::from([question(4, None)]));
    assert_eq!(fake.asked.lock().unwrap().len(), 2, "{:?}", fake.asked.lock().unwrap());
    service.ask(&key(), &identity(), BTreeSet::from([question(5, None)]));
    assert!(service.answers(&key()).is_empty(), "what is not asked any more is forgotten");
    service.forget(&key());
    assert!(service.answers(&key()).is_empty());
}

#[tokio::test]
async fn the_secret_is_read_as_the_policys_account_and_once_for_many_questions() {
    let fake = Arc::new(Fake::default());
    let values = BTreeMap::from([("token".to_owned(), b"c4n4ry".to_vec())]);
    fake.certificates.lock().unwrap().insert("prom".into(), values);
    let service = asked(&fake, [question(1, Some("prom"))]).await;
    service.ask(&key(), &identity(), BTreeSet::new());
    let log = fake.asked.lock().unwrap().clone();
    assert_eq!(log[0], "secret prom as promoter");
    assert!(log[1].contains("credential: true") && !log.concat().contains("c4n4ry"), "{log:?}");
}

#[tokio::test]
async fn a_secret_that_is_not_there_is_an_answer() {
    let fake = Arc::new(Fake::default());
    let service = asked(&fake, [question(1, Some("gone"))]).await;
    let answer = service.answers(&key())[&question(1, None).key].clone();
    let ArmAnswer::Failed(why) = answer.candidate else { panic!("{answer:?}") };
    assert!(why.contains("secretRef: Secret platform/gone is not there; create it"), "{why}");
}

#[tokio::test]
async fn a_server_that_knows_accounts_is_asked_as_the_policys_own_and_no_token_is_told() {
    let fake = Arc::new(Fake::default());
    let place = CloudWatch { region: "eu-west-1".into(), metrics: Vec::new() };
    let asking = |tick| SignalQuestion { server: Server::CloudWatch(place.clone()), ..question(tick, None) };
    asked(&fake, [asking(1)]).await;
    let log = fake.asked.lock().unwrap().clone();
    assert!(log.iter().any(|line| line.starts_with("audience of CloudWatch in eu-west-1 for")), "{log:?}");
    let told = log.iter().filter(|line| line.starts_with("CloudWatch in eu-west-1 new")).collect::<Vec<_>>();
    assert!(told.len() == 1 && told[0].contains("account: Some("), "{log:?}");
}

#[test]
fn what_a_secret_says_is_checked_and_never_shown() {
    let of = |pairs: &[(&str, &[u8])]| {
        let values = pairs.iter().map(|(key, value)| ((*key).to_owned(), value.to_vec())).collect();
        access_of(&values)
    };
    let good = of(&[("username", b"u"), ("password", b"p\n"), ("header.X-Scope-OrgID", b"team")]).unwrap();
    assert_eq!(good.headers, [("X-Scope-OrgID".to_owned(), "team".to_owned())]);
    let keys = of(&[("apiKey", b"c4n4ry\n"), ("applicationKey", b"x")]).unwrap();
    assert_eq!(keys.needed("apiKey").unwrap(), "c4n4ry");
    assert!(!format!("{keys:?}").contains("c4n4ry"));
    let why = keys.needed("accessKeyId").unwrap_err().message;
    assert!(why.contains("no key accessKeyId; add it"), "{why}");
    for (pairs, part) in [
        (&[("token", &b"c4n4ry"[..]), ("username", b"u")][..], "remove one of them"),
        (&[("password", b"c4n4ry")], "no username"),
        (&[("token", b"\xff\xfe")], "is no text"),
        (&[("other", b"c4n4ry")], "add one of them"),
    ] {
        let why = of(pairs).unwrap_err();
        assert!(why.contains(part) && !why.contains("c4n4ry"), "{why}");
    }
}
