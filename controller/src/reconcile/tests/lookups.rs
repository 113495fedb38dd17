//! Scans and answers: shared, kept, asked again.

use super::fakes::{Fake, policy};
use crate::reconcile::lookups::{Lookups, Rankings, Source};
use lockkeeper_core::{decision::Question, observed::Answer};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

const INTERVAL: Duration = Duration::from_mins(5);

struct Bench {
    fake: Arc<Fake>,
    lookups: Lookups,
}

impl Bench {
    fn new(tags: &[&str]) -> Self {
        let fake = Fake::new();
        *fake.tags.lock().unwrap() = Some(tags.iter().map(|tag| (*tag).to_owned()).collect());
        let lookups = fake.lookups();
        tokio::spawn(lookups.clone().run(CancellationToken::new()));
        Self { fake, lookups }
    }

    fn scan(&self, name: &str, secret: Option<&str>) -> crate::reconcile::lookups::Scan {
        let key = self.fake.store(name, secret);
        let stored = self.fake.policies.lock().unwrap()[&key].clone();
        self.lookups.scan(&key, &Source::of(&stored), &policy(name).image, INTERVAL)
    }

    fn listings(&self) -> Vec<String> {
        let asked = self.fake.asked.lock().unwrap();
        asked.iter().filter(|what| what.starts_with("tags")).cloned().collect()
    }
}

#[tokio::test(start_paused = true)]
async fn two_policies_share_one_listing_per_interval() {
    let bench = Bench::new(&["0.28.0", "0.29.0"]);
    assert!(bench.scan("a", None).listing.is_none(), "reading never waits");
    bench.scan("b", None);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.listings(), ["tags registry.example.com/otel as anonymous"]);
    let woken = std::mem::take(&mut *bench.fake.woken.lock().unwrap());
    assert_eq!(woken.iter().map(|key| key.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let (a, b) = (bench.scan("a", None).listing.unwrap(), bench.scan("b", None).listing.unwrap());
    assert!(Arc::ptr_eq(&a, &b));
    assert_eq!(a.iter().collect::<Vec<_>>(), ["0.28.0", "0.29.0"]);
    sleep(INTERVAL * 10).await;
    let listings = bench.listings().len();
    assert!((9..=12).contains(&listings), "{listings} in ten intervals");
    assert!(bench.fake.woken.lock().unwrap().is_empty(), "the same listing is no news");
    assert!(Arc::ptr_eq(&a, &bench.scan("a", None).listing.unwrap()));
}

#[tokio::test(start_paused = true)]
async fn i12_r23_policies_with_credentials_of_their_own_share_nothing() {
    let bench = Bench::new(&["1.0.0"]);
    for name in ["one", "two"] {
        bench.fake.secrets.lock().unwrap().insert(name.into(), name.into());
    }
    bench.scan("a", Some("one"));
    bench.scan("b", Some("two"));
    bench.scan("c", None);
    sleep(Duration::from_secs(1)).await;
    let mut listings = bench.listings();
    listings.sort();
    let scopes = ["anonymous", "platform/promoter/one#1", "platform/promoter/two#1"];
    assert_eq!(listings, scopes.map(|scope| format!("tags registry.example.com/otel as {scope}")));
}

#[tokio::test(start_paused = true)]
async fn r10_i8_a_listing_that_fails_keeps_the_last_one_and_says_since_when() {
    let bench = Bench::new(&["1.0.0"]);
    bench.scan("a", None);
    sleep(Duration::from_secs(1)).await;
    *bench.fake.tags.lock().unwrap() = None;
    sleep(INTERVAL * 2).await;
    let scan = bench.scan("a", None);
    assert_eq!(scan.listing.unwrap().len(), 1);
    let failing = scan.failing.unwrap();
    assert_eq!(failing.reason, "AuthFailed");
    sleep(INTERVAL * 4).await;
    assert_eq!(bench.scan("a", None).failing.unwrap().since, failing.since);
    *bench.fake.tags.lock().unwrap() = Some(vec!["1.0.0".into(), "1.1.0".into()]);
    sleep(INTERVAL * 2).await;
    let scan = bench.scan("a", None);
    assert_eq!((scan.listing.unwrap().len(), scan.failing), (2, None));
}

#[tokio::test(start_paused = true)]
async fn r15_a_rotated_password_is_read_again_after_a_refusal_without_a_restart() {
    let bench = Bench::new(&["1.0.0"]);
    bench.fake.secrets.lock().unwrap().insert("ecr".into(), b"old".to_vec());
    bench.scan("a", Some("ecr"));
    sleep(Duration::from_secs(1)).await;
    *bench.fake.tags.lock().unwrap() = None;
    sleep(INTERVAL).await;
    bench.fake.secrets.lock().unwrap().insert("ecr".into(), b"new".to_vec());
    *bench.fake.tags.lock().unwrap() = Some(vec!["1.0.0".into()]);
    sleep(INTERVAL).await;
    assert_eq!(bench.scan("a", Some("ecr")).failing, None);
    assert!(bench.listings().last().is_some_and(|last| last.ends_with("ecr#2")), "{:?}", bench.listings());
}

#[tokio::test(start_paused = true)]
async fn bad_input_19_a_missing_secret_names_the_field_and_the_key() {
    let bench = Bench::new(&["1.0.0"]);
    bench.scan("a", Some("missing"));
    sleep(Duration::from_secs(1)).await;
    let failing = bench.scan("a", Some("missing")).failing.unwrap();
    assert_eq!(failing.reason, "SecretUnreadable");
    for part in ["spec.registry.secretRef", "platform/missing", ".dockerconfigjson", "kubectl create secret"]
    {
        assert!(failing.message.contains(part), "{part}: {}", failing.message);
    }
    assert!(bench.listings().is_empty(), "never anonymously instead");
}

#[tokio::test(start_paused = true)]
async fn questions_stay_asked_and_a_forgotten_policy_asks_nothing() {
    let bench = Bench::new(&["1.0.0"]);
    bench.scan("a", None);
    let stored = bench.fake.policies.lock().unwrap().values().next().unwrap().clone();
    let (source, image) = (Source::of(&stored), policy("a").image);
    let tag: lockkeeper_core::image::Tag = "1.0.0".parse().unwrap();
    bench.lookups.ask(&stored.key, &source, &image, INTERVAL, [Question::Tag(tag.clone())]);
    assert!(bench.lookups.answers(&stored.key, &source, &image).tags.is_empty());
    sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.lookups.answers(&stored.key, &source, &image).tags[&tag], Answer::Absent);
    sleep(INTERVAL * 4).await;
    let asked = bench.fake.asked.lock().unwrap().iter().filter(|what| what.starts_with("resolve")).count();
    assert!((4..=6).contains(&asked), "{asked}");
    bench.lookups.forget(&stored.key);
    bench.fake.asked.lock().unwrap().clear();
    sleep(INTERVAL * 10).await;
    assert!(bench.fake.asked.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_listing_is_ordered_once_per_generation() {
    let bench = Bench::new(&["0.28.0", "0.29.0", "latest"]);
    bench.scan("a", None);
    sleep(Duration::from_secs(1)).await;
    let listing = bench.scan("a", None).listing.unwrap();
    let (rankings, policy) = (Rankings::default(), Arc::new(policy("a")));
    let key = bench.fake.store("a", None);
    let first = rankings.get(&key, &policy, &listing).await.unwrap();
    assert_eq!(first.best_first[0].tag.as_str(), "0.29.0");
    assert!(Arc::ptr_eq(&first, &rankings.get(&key, &policy, &listing).await.unwrap()));
    let changed = Arc::new(lockkeeper_core::policy::Policy { generation: 2, ..(*policy).clone() });
    assert!(!Arc::ptr_eq(&first, &rankings.get(&key, &changed, &listing).await.unwrap()));
}

#[tokio::test(start_paused = true)]
async fn what_a_tag_names_at_this_moment_costs_one_request_and_is_told_even_if_it_is_the_same() {
    let bench = Bench::new(&["1.0.0"]);
    bench.scan("a", None);
    let stored = bench.fake.policies.lock().unwrap().values().next().unwrap().clone();
    let (source, image) = (Source::of(&stored), policy("a").image);
    let tag: lockkeeper_core::image::Tag = "1.0.0".parse().unwrap();
    let both = || [Question::Tag(tag.clone()), Question::TagNow(tag.clone())];
    let ask = |questions: Vec<Question>| {
        bench.lookups.ask(&stored.key, &source, &image, INTERVAL, questions);
        bench.lookups.answers(&stored.key, &source, &image).tags_now.get(&tag).cloned()
    };
    let asked = || bench.fake.asked.lock().unwrap().iter().filter(|what| what.starts_with("resolve")).count();
    ask(vec![Question::Tag(tag.clone())]);
    sleep(Duration::from_secs(200)).await;
    assert_eq!((ask(both().into()), asked()), (None, 1), "of long ago");
    bench.fake.woken.lock().unwrap().clear();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(asked(), 2);
    assert_eq!(*bench.fake.woken.lock().unwrap(), std::slice::from_ref(&stored.key), "the same, and told");
    for _ in 0..20 {
        assert_eq!(ask(both().into()), Some(Answer::Absent));
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(asked(), 2, "one request, however many passes ask");
}

#[tokio::test(start_paused = true)]
async fn i8_while_a_tag_cannot_be_looked_up_again_what_it_names_at_this_moment_is_a_failure() {
    let bench = Bench::new(&["1.0.0"]);
    let key = bench.fake.store("a", None);
    let stored = bench.fake.policies.lock().unwrap()[&key].clone();
    let (source, image) = (Source::of(&stored), policy("a").image);
    let tag: lockkeeper_core::image::Tag = "1.0.0".parse().unwrap();
    let ask = || bench.lookups.ask(&key, &source, &image, INTERVAL, [Question::TagNow(tag.clone())]);
    let answers = || bench.lookups.answers(&key, &source, &image);
    ask();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(answers().tags_now[&tag], Answer::Absent);
    bench.fake.unreachable.store(true, Ordering::SeqCst);
    sleep(Duration::from_secs(150)).await;
    ask();
    sleep(Duration::from_secs(1)).await;
    assert!(matches!(answers().tags_now[&tag], Answer::Failed(_)), "{:?}", answers().tags_now);
    assert_eq!(answers().tags[&tag], Answer::Absent, "what was known stays known");
    bench.fake.unreachable.store(false, Ordering::SeqCst);
    sleep(Duration::from_secs(61)).await;
    assert_eq!(answers().tags_now[&tag], Answer::Absent);
}
