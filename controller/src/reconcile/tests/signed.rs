//! Who signed what: asked for once, kept, asked again, and never answered with what was asked for before.

use super::fakes::Fake;
use crate::{
    ports::{
        Depth, PolicyKey, Signature, StoredPolicy,
        hints::{Hint, Hints as _},
    },
    reconcile::lookups::{Asked, Cadence, Lookups, Source},
};
use lockkeeper_core::{
    decision::Question,
    image::Digest,
    observed::Answer,
    policy::Policy,
    signature::{Signed, Signer, Verify},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

const CADENCE: Cadence = Cadence { interval: Duration::from_mins(5), rare: false, depth: Depth::Whole };

struct Bench {
    fake: Arc<Fake>,
    lookups: Lookups,
    key: PolicyKey,
}

fn digest() -> Digest {
    Digest::of(b"an image")
}

fn bundle(text: &str) -> Signature {
    Signature::Bundle(text.as_bytes().to_vec().into())
}

impl Bench {
    /// A policy that asks for a signature by the keys of Secret `one`.
    fn new() -> Self {
        let fake = Fake::new();
        let lookups = fake.lookups();
        tokio::spawn(lookups.clone().run(CancellationToken::new()));
        let key = fake.store("a", None);
        let bench = Self { fake, lookups, key };
        bench.wants("one");
        for name in ["one", "two"] {
            bench.secret(name, &[("cosign.pub", name), ("cosign.key", "private")]);
        }
        bench
    }

    fn wants(&self, secret: &str) {
        self.fake.change(&self.key, |stored| {
            let mut policy = Policy::clone(stored.policy.as_ref().unwrap());
            let signer = Signer::Keys { secret: secret.to_owned() };
            policy.verify = Some(Verify { signer, on_rollback: false });
            stored.policy = Ok(Arc::new(policy));
        });
    }

    fn secret(&self, name: &str, values: &[(&str, &str)]) {
        let values = values.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()));
        self.fake.certificates.lock().unwrap().insert(name.to_owned(), values.collect());
    }

    fn signed_by(&self, texts: &[&str]) {
        *self.fake.signatures.lock().unwrap() = texts.iter().map(|text| bundle(text)).collect();
    }

    fn stored(&self) -> (StoredPolicy, Arc<Policy>) {
        let stored = self.fake.policies.lock().unwrap()[&self.key].clone();
        let policy = Arc::clone(stored.policy.as_ref().unwrap());
        (stored, policy)
    }

    /// One pass: what is known before it asks.
    fn pass(&self) -> BTreeMap<Digest, Answer<Signed>> {
        let (stored, policy) = self.stored();
        let asked = Asked::of(&stored, &policy).unwrap();
        let known = self.lookups.signed(&self.key, &Source::of(&stored), &asked);
        self.lookups.ask_all(&stored, &policy, &CADENCE, [Question::Signed(digest())]);
        known
    }

    async fn answer(&self) -> Option<Answer<Signed>> {
        self.pass();
        sleep(Duration::from_secs(1)).await;
        self.pass().remove(&digest())
    }

    fn lookups(&self) -> usize {
        self.fake.asked.lock().unwrap().iter().filter(|what| what.starts_with("signatures")).count()
    }
}

fn failed(answer: Option<Answer<Signed>>) -> (String, String) {
    match answer {
        Some(Answer::Failed(failure)) => (failure.reason, failure.message),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn each_of_the_three_answers_is_kept_for_its_own_time() {
    let bench = Bench::new();
    assert_eq!(bench.answer().await, Some(Answer::Absent));
    let asked = bench.fake.asked.lock().unwrap().clone();
    assert_eq!(
        asked,
        ["secret one as promoter".to_owned(), format!("signatures {} as anonymous", digest().short())]
    );
    bench.signed_by(&["two"]);
    sleep(Duration::from_mins(6)).await;
    assert!(
        matches!(bench.answer().await, Some(Answer::Known(Signed::Foreign(_)))),
        "looked for in every interval"
    );
    bench.signed_by(&["two", "one"]);
    sleep(Duration::from_mins(6)).await;
    assert!(matches!(bench.answer().await, Some(Answer::Known(Signed::Trusted(_)))));
    let (before, woken) = (bench.lookups(), bench.fake.woken.lock().unwrap().len());
    assert_eq!(woken, 3, "told of each");
    sleep(Duration::from_hours(10)).await;
    assert_eq!(bench.lookups(), before, "a good one is believed");
    sleep(Duration::from_hours(4)).await;
    assert_eq!(bench.lookups(), before + 1, "and not for ever");
}

#[tokio::test(start_paused = true)]
async fn i8_a_registry_that_does_not_answer_is_neither_yes_nor_no_and_what_was_known_stays() {
    let bench = Bench::new();
    bench.fake.unreachable.store(true, Ordering::SeqCst);
    assert_eq!(failed(bench.answer().await).0, "Unreachable");
    bench.fake.unreachable.store(false, Ordering::SeqCst);
    bench.signed_by(&["one"]);
    sleep(Duration::from_mins(10)).await;
    assert!(matches!(bench.answer().await, Some(Answer::Known(Signed::Trusted(_)))));
    bench.fake.unreachable.store(true, Ordering::SeqCst);
    sleep(Duration::from_hours(24)).await;
    assert!(matches!(bench.answer().await, Some(Answer::Known(Signed::Trusted(_)))));
}

#[tokio::test(start_paused = true)]
async fn row_19_a_secret_without_a_public_key_says_so_and_shows_nothing() {
    let bench = Bench::new();
    bench.secret("one", &[("cosign.key", "c4n4ry"), ("password", "c4n4ry")]);
    let (reason, message) = failed(bench.answer().await);
    assert_eq!(reason, "SecretUnusable");
    assert!(
        message.contains("platform/one") && message.contains(".pub") && !message.contains("c4n4ry"),
        "{message}"
    );
    bench.fake.certificates.lock().unwrap().remove("one");
    sleep(Duration::from_mins(10)).await;
    let (reason, message) = failed(bench.answer().await);
    assert_eq!(reason, "SecretUnreadable");
    assert!(message.contains("spec.select.verify.cosign.secretRef: Secret platform/one"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn another_key_or_account_is_another_question() {
    let bench = Bench::new();
    bench.signed_by(&["one"]);
    assert!(matches!(bench.answer().await, Some(Answer::Known(Signed::Trusted(_)))));
    bench.wants("two");
    assert_eq!(bench.pass().len(), 0, "what was answered for the other key is no answer");
    assert!(matches!(bench.answer().await, Some(Answer::Known(Signed::Foreign(_)))));
    let before = bench.lookups();
    bench.fake.change(&bench.key, |stored| stored.identity.service_account = "another".to_owned());
    assert_eq!(bench.pass().len(), 0, "nor what was read as another account");
    bench.answer().await;
    assert_eq!(bench.lookups(), before + 1);
    assert!(bench.fake.asked.lock().unwrap().contains(&"secret two as another".to_owned()));
    bench.fake.change(&bench.key, |stored| {
        let policy = Policy { verify: None, ..Policy::clone(stored.policy.as_ref().unwrap()) };
        stored.policy = Ok(Arc::new(policy));
    });
    let (stored, policy) = bench.stored();
    assert_eq!(Asked::of(&stored, &policy), None);
    bench.lookups.ask_all(&stored, &policy, &CADENCE, []);
    bench.fake.asked.lock().unwrap().clear();
    sleep(Duration::from_hours(24)).await;
    assert!(bench.fake.asked.lock().unwrap().is_empty(), "nobody asks any more");
}

#[tokio::test(start_paused = true)]
async fn a_push_of_a_signature_is_seen_by_its_hook() {
    let bench = Bench::new();
    assert_eq!(bench.answer().await, Some(Answer::Absent));
    bench.signed_by(&["one"]);
    let hint = Hint { repository: "registry.example.com/otel".parse().unwrap(), below: false };
    sleep(Duration::from_secs(2)).await;
    assert_eq!(bench.lookups.hint(&hint), 1);
    sleep(Duration::from_secs(1)).await;
    assert!(matches!(bench.pass().remove(&digest()), Some(Answer::Known(Signed::Trusted(_)))));
    let before = bench.lookups();
    bench.lookups.hint(&hint);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(bench.lookups(), before, "a good one is not looked at again");
}
