//! Scans and answers: shared, kept, asked again.

use super::fakes::{Fake, policy};
use crate::{
    ports::{
        Depth,
        hints::{Hint, Hints as _},
    },
    reconcile::{
        lookups::{Cadence, Lookups, Rankings, Source},
        memory::Memory,
    },
};
use lockkeeper_core::{
    decision::Question,
    image::{Digest, Release},
    observed::Answer,
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

const INTERVAL: Duration = Duration::from_mins(5);
const FOLLOWED: Cadence = Cadence { interval: INTERVAL, rare: false, depth: Depth::Whole };

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

    fn resolved(&self) -> usize {
        self.fake.asked.lock().unwrap().iter().filter(|what| what.starts_with("resolve")).count()
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
    assert!(a.is(&b));
    assert_eq!(a.iter().collect::<Vec<_>>(), ["0.28.0", "0.29.0"]);
    sleep(INTERVAL * 10).await;
    let listings = bench.listings().len();
    assert!((9..=12).contains(&listings), "{listings} in ten intervals");
    assert!(bench.fake.woken.lock().unwrap().is_empty(), "the same listing is no news");
    assert!(a.is(&bench.scan("a", None).listing.unwrap()));
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
    let scopes = ["anonymous", "platform/promoter/one/-#1", "platform/promoter/two/-#1"];
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
    assert!(bench.listings().last().is_some_and(|last| last.ends_with("ecr/-#2")), "{:?}", bench.listings());
}

#[tokio::test(start_paused = true)]
async fn r15_a_rotated_password_works_on_the_next_request() {
    let bench = Bench::new(&["1.0.0"]);
    let set = |password: &str| {
        bench.fake.secrets.lock().unwrap().insert("ecr".into(), password.into());
        *bench.fake.accepted.lock().unwrap() = Some(password.into());
    };
    set("old");
    bench.scan("a", Some("ecr"));
    sleep(Duration::from_secs(1)).await;
    set("new");
    for _ in 0..60 {
        sleep(INTERVAL / 10).await;
        assert_eq!(bench.scan("a", Some("ecr")).failing, None, "nobody sees the refusal");
    }
    let listings = bench.listings();
    let refused = listings.iter().rposition(|asked| asked.ends_with("#1")).unwrap();
    assert!(listings[refused + 1..].iter().all(|asked| asked.ends_with("#2")), "{listings:?}");
    assert!(listings[refused - 1].ends_with("#1") && listings.len() > refused + 3, "{listings:?}");
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_not_answered_holds_up_no_other_lookup() {
    let bench = Bench::new(&["1.0.0"]);
    bench.fake.secrets.lock().unwrap().insert("ecr".into(), b"wrong".to_vec());
    *bench.fake.accepted.lock().unwrap() = Some("right".into());
    // One of two lookups reads the Secret, is refused, reads it again and gives up; the other is refused, too, and
    // what it reads then never comes.
    *bench.fake.reads.lock().unwrap() = Some(2);
    bench.scan("a", Some("ecr"));
    let key = bench.fake.store("b", Some("ecr"));
    let stored = bench.fake.policies.lock().unwrap()[&key].clone();
    bench.lookups.scan(&key, &Source::of(&stored), &"registry.example.com/other".parse().unwrap(), INTERVAL);
    sleep(Duration::from_secs(1)).await;
    let reads = bench.fake.asked.lock().unwrap().iter().filter(|what| what.starts_with("secret")).count();
    assert_eq!(reads, 3, "the third one hangs");
    assert_eq!(bench.scan("a", Some("ecr")).failing.unwrap().reason, "AuthFailed");
    bench.scan("c", None);
    sleep(Duration::from_secs(1)).await;
    assert!(bench.listings().iter().any(|asked| asked.ends_with("as anonymous")), "{:?}", bench.listings());
}

#[tokio::test(start_paused = true)]
async fn pull_secrets_are_used_in_their_order_after_the_policys_own() {
    let bench = Bench::new(&["1.0.0"]);
    for (name, value) in [("none", "other registry"), ("first", "1"), ("second", "2")] {
        bench.fake.secrets.lock().unwrap().insert(name.into(), value.into());
    }
    *bench.fake.pull_secrets.lock().unwrap() = vec!["none".into(), "first".into(), "second".into()];
    *bench.fake.accepted.lock().unwrap() = Some("1".into());
    let key = bench.fake.store("a", None);
    bench.fake.change(&key, |stored| stored.registry.pull_secrets_from = Some("pullers".into()));
    let scan = |secret: Option<&str>| {
        bench.fake.change(&key, |stored| stored.registry.secret = secret.map(str::to_owned));
        let stored = bench.fake.policies.lock().unwrap()[&key].clone();
        bench.lookups.scan(&key, &Source::of(&stored), &policy("a").image, INTERVAL)
    };
    scan(None);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(scan(None).listing.map(|listing| listing.len()), Some(1));
    let reads: Vec<String> =
        bench.fake.asked.lock().unwrap().iter().filter(|a| a.starts_with("secret")).cloned().collect();
    assert!(reads.iter().all(|read| read.ends_with(" as promoter")), "{reads:?}");
    // The policy's own goes first, and has another scope.
    *bench.fake.accepted.lock().unwrap() = Some("2".into());
    scan(Some("second"));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(scan(Some("second")).failing, None);
    assert!(bench.listings().last().unwrap().ends_with("platform/promoter/second/pullers#1"));
}

/// What a policy says of its registry.
type Change = fn(&mut crate::ports::RegistrySettings);

#[tokio::test(start_paused = true)]
async fn row_19_secrets_with_other_keys_name_what_is_missing() {
    let bench = Bench::new(&["1.0.0"]);
    let key = bench.fake.store("a", None);
    let scan = || {
        let stored = bench.fake.policies.lock().unwrap()[&key].clone();
        bench.lookups.scan(&key, &Source::of(&stored), &policy("a").image, INTERVAL)
    };
    let certificates: Change = |registry| registry.certificates = Some("s".into());
    let proxy: Change = |registry| registry.proxy = Some("s".into());
    let credential: Change = |registry| registry.secret = Some("s".into());
    for (change, has, parts) in [
        (certificates, "ca.pem", "spec.registry.certSecretRef: Secret platform/s: it has neither ca.crt nor"),
        (certificates, "tls.crt", "tls.crt and tls.key go together"),
        (proxy, "url", "spec.registry.proxySecretRef: Secret platform/s: it has no key address, only [url]"),
        (credential, "config", "it has no key .dockerconfigjson, only [config]; add that key"),
    ] {
        let values = [(has.to_owned(), b"c4n4ry".to_vec())].into();
        bench.fake.certificates.lock().unwrap().insert("s".into(), values);
        bench.fake.change(&key, |stored| {
            stored.registry = crate::ports::RegistrySettings::default();
            change(&mut stored.registry);
        });
        scan();
        sleep(Duration::from_secs(1)).await;
        let failing = scan().failing.unwrap();
        assert_eq!(failing.reason, "SecretUnusable", "{}", failing.message);
        assert!(
            failing.message.contains(parts) && !failing.message.contains("c4n4ry"),
            "{}",
            failing.message
        );
        bench.lookups.forget(&key);
    }
    assert!(bench.listings().is_empty());
}

#[tokio::test(start_paused = true)]
async fn r14_a_password_that_is_refused_and_was_not_rotated_is_sent_once() {
    let bench = Bench::new(&["1.0.0"]);
    bench.fake.secrets.lock().unwrap().insert("ecr".into(), b"wrong".to_vec());
    *bench.fake.accepted.lock().unwrap() = Some("right".into());
    bench.scan("a", Some("ecr"));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.scan("a", Some("ecr")).failing.unwrap().reason, "AuthFailed");
    assert_eq!(bench.listings().len(), 1);
}

fn release() -> Release {
    Release { tag: None, version: None, digest: Digest::of(b"x"), platforms: vec![], created: None }
}

/// Many policies, each with a repository of its own at one registry.
fn many(bench: &Bench, count: usize) {
    for number in 0..count {
        let key = bench.fake.store(&format!("p{number}"), None);
        let stored = bench.fake.policies.lock().unwrap()[&key].clone();
        let repository = format!("registry.example.com/otel-{number}").parse().unwrap();
        bench.lookups.scan(&key, &Source::of(&stored), &repository, INTERVAL);
    }
}

#[tokio::test(start_paused = true)]
async fn r1_a_registry_that_is_asked_too_much_is_left_alone_by_all_that_ask_it_the_same_way() {
    let bench = Bench::new(&["1.0.0"]);
    *bench.fake.throttled.lock().unwrap() = Some(Duration::from_mins(2));
    many(&bench, 100);
    sleep(Duration::from_secs(119)).await;
    assert_eq!(bench.listings().len(), 4, "those that were under way");
    // Another credential is another limit.
    bench.fake.secrets.lock().unwrap().insert("mine".into(), b"x".to_vec());
    bench.scan("other", Some("mine"));
    *bench.fake.throttled.lock().unwrap() = None;
    sleep(Duration::from_millis(100)).await;
    assert_eq!(bench.listings().len(), 5);
    sleep(Duration::from_secs(30)).await;
    assert!(bench.listings().len() >= 100, "{}", bench.listings().len());
}

#[tokio::test(start_paused = true)]
async fn r1_a_registry_that_says_few_requests_are_left_is_asked_less_before_it_refuses() {
    let bench = Bench::new(&["1.0.0"]);
    *bench.fake.eased.lock().unwrap() = Some(Duration::from_secs(10));
    many(&bench, 40);
    sleep(Duration::from_secs(99)).await;
    let listings = bench.listings().len();
    assert!((9..=44).contains(&listings), "{listings}: four at a time, every ten seconds");
    *bench.fake.eased.lock().unwrap() = None;
    sleep(Duration::from_secs(11)).await;
    assert!(bench.listings().len() >= 40);
}

#[tokio::test(start_paused = true)]
async fn scans_of_one_start_are_spread_over_the_interval() {
    let bench = Bench::new(&["1.0.0"]);
    many(&bench, 100);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.listings().len(), 100);
    // A start may take a quarter of the interval: nothing is asked twice meanwhile.
    for (quarter, expected) in [(1, 0..=0), (2, 15..=60), (3, 15..=60), (4, 15..=60)] {
        let before = bench.listings().len();
        sleep(INTERVAL * 24 / 100).await;
        let listed = bench.listings().len() - before;
        assert!(expected.contains(&listed), "{listed} in quarter {quarter}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_version_tag_names_is_asked_every_twelfth_interval() {
    let bench = Bench::new(&["1.0.0"]);
    *bench.fake.release.lock().unwrap() = Some(release());
    bench.scan("a", None);
    let stored = bench.fake.policies.lock().unwrap().values().next().unwrap().clone();
    let tag = || [Question::Tag("1.0.0".parse().unwrap())];
    let (source, image) = (Source::of(&stored), policy("a").image);
    let rare = Cadence { rare: true, ..FOLLOWED };
    bench.lookups.ask(&stored.key, &source, &image, &rare, tag());
    sleep(INTERVAL * 50).await;
    let asked = bench.resolved();
    assert!((4..=6).contains(&asked), "{asked}");
    // Followed by another policy: every interval, for both.
    bench.lookups.ask(&bench.fake.store("b", None), &source, &image, &FOLLOWED, tag());
    sleep(INTERVAL * 24).await;
    let asked = bench.resolved() - asked;
    assert!((10..=27).contains(&asked), "{asked}");
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
    bench.lookups.ask(&stored.key, &source, &image, &FOLLOWED, [Question::Tag(tag.clone())]);
    assert!(bench.lookups.answers(&stored.key, &source, &image, Depth::Whole).tags.is_empty());
    sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.lookups.answers(&stored.key, &source, &image, Depth::Whole).tags[&tag], Answer::Absent);
    sleep(INTERVAL * 4).await;
    let asked = bench.resolved();
    assert!((4..=6).contains(&asked), "{asked}");
    bench.lookups.forget(&stored.key);
    bench.fake.asked.lock().unwrap().clear();
    sleep(INTERVAL * 10).await;
    assert!(bench.fake.asked.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_asks_what_another_policy_was_told_already_is_told_too() {
    let bench = Bench::new(&["1.0.0"]);
    *bench.fake.release.lock().unwrap() = Some(release());
    let stored: Vec<_> = ["a", "b"]
        .map(|name| bench.fake.store(name, None))
        .map(|key| bench.fake.policies.lock().unwrap()[&key].clone())
        .into();
    let (image, tag): (_, lockkeeper_core::image::Tag) = (policy("a").image, "1.0.0".parse().unwrap());
    let questions = [
        Question::Tag(tag.clone()),
        Question::Digest(image.clone(), Digest::of(b"x")),
        Question::Pullable(image.clone(), Digest::of(b"x")),
    ];
    let woken = || std::mem::take(&mut *bench.fake.woken.lock().unwrap());
    for question in questions {
        for policy in &stored {
            woken();
            let ask = || {
                let source = Source::of(policy);
                bench.lookups.ask(&policy.key, &source, &image, &FOLLOWED, [question.clone()]);
            };
            ask();
            sleep(Duration::from_secs(1)).await;
            assert_eq!(woken(), std::slice::from_ref(&policy.key), "{question:?}");
            ask();
            sleep(Duration::from_secs(1)).await;
            assert!(woken().is_empty(), "once: {question:?}");
        }
    }
    // The same of what it names at this moment, where that was looked up for another reason a moment ago.
    let (policy, source) = (&stored[0], Source::of(&stored[0]));
    bench.lookups.ask(
        &policy.key,
        &source,
        &image,
        &FOLLOWED,
        [Question::Tag(tag.clone()), Question::TagNow(tag)],
    );
    assert_eq!(woken(), std::slice::from_ref(&policy.key));
    assert_eq!(bench.resolved(), 2, "a tag and a digest, whoever asks");
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
async fn what_is_known_of_a_release_is_hidden_until_it_is_as_much_as_is_wanted() {
    let bench = Bench::new(&["1.0.0"]);
    *bench.fake.release.lock().unwrap() = Some(release());
    let key = bench.fake.store("a", None);
    let stored = bench.fake.policies.lock().unwrap()[&key].clone();
    let (source, image) = (Source::of(&stored), policy("a").image);
    let known = |depth| bench.lookups.answers(&key, &source, &image, depth).tags.len();
    let ask = |depth| {
        let cadence = Cadence { depth, ..FOLLOWED };
        bench.lookups.ask(&key, &source, &image, &cadence, [Question::Tag("1.0.0".parse().unwrap())]);
    };
    ask(Depth::Identity);
    sleep(Duration::from_secs(1)).await;
    assert_eq!((known(Depth::Identity), known(Depth::Whole), bench.resolved()), (1, 0, 1));
    bench.fake.woken.lock().unwrap().clear();
    ask(Depth::Whole);
    sleep(Duration::from_secs(1)).await;
    assert_eq!((known(Depth::Identity), known(Depth::Whole), bench.resolved()), (1, 1, 2));
    assert_eq!(
        *bench.fake.woken.lock().unwrap(),
        std::slice::from_ref(&key),
        "it was hidden: now it is news"
    );
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
        bench.lookups.ask(&stored.key, &source, &image, &FOLLOWED, questions);
        bench.lookups.answers(&stored.key, &source, &image, Depth::Whole).tags_now.get(&tag).cloned()
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
    let ask = || bench.lookups.ask(&key, &source, &image, &FOLLOWED, [Question::TagNow(tag.clone())]);
    let answers = || bench.lookups.answers(&key, &source, &image, Depth::Whole);
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

#[tokio::test(start_paused = true)]
async fn row_41_p8_a_hint_looks_now_at_what_is_wanted_and_at_nothing_else() {
    let bench = Bench::new(&["1.0.0"]);
    bench.scan("a", None);
    bench.scan("b", None);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(bench.listings().len(), 1);
    let hint = |name: &str| Hint { repository: name.parse().unwrap(), below: false };
    for unknown in ["registry.example.com/otel2", "registry.example.com/ote", "other.example.com/otel"] {
        assert_eq!(bench.lookups.hint(&hint(unknown)), 0, "{unknown}");
    }
    let below = Hint { repository: "registry.example.com/otel".parse().unwrap(), below: true };
    assert_eq!((bench.lookups.hint(&hint("registry.example.com/otel")), bench.lookups.hint(&below)), (1, 1));
    sleep(Duration::from_millis(10)).await;
    assert_eq!(bench.listings().len(), 2, "at once, and once for both policies");
    // Ten thousand a second for ten seconds.
    for _ in 0..10_000 {
        for _ in 0..10 {
            bench.lookups.hint(&below);
        }
        sleep(Duration::from_millis(1)).await;
    }
    let listings = bench.listings().len();
    assert!((10..=13).contains(&listings), "{listings} in ten seconds");
    sleep(INTERVAL * 2).await;
    let later = bench.listings().len();
    assert!((listings + 1..=listings + 3).contains(&later), "{later} after {listings}: polling goes on");
}

#[tokio::test(start_paused = true)]
async fn r1_a_hint_does_not_shorten_the_pause_of_a_registry_that_fails() {
    let bench = Bench::new(&["1.0.0"]);
    *bench.fake.tags.lock().unwrap() = None;
    bench.scan("a", None);
    sleep(Duration::from_secs(1)).await;
    let hint = Hint { repository: "registry.example.com/otel".parse().unwrap(), below: false };
    for _ in 0..100 {
        bench.lookups.hint(&hint);
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(bench.listings().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_policy_looks_when_its_annotation_says_something_new() {
    let bench = Bench::new(&["1.0.0"]);
    let key = bench.fake.store("a", None);
    let mut memory = Memory::default();
    let mut asks = |at: Option<&str>| {
        bench.fake.change(&key, |stored| stored.requested_at = at.map(str::to_owned));
        let stored = bench.fake.policies.lock().unwrap()[&key].clone();
        memory.is_asked_to_look(&stored)
    };
    let said: Vec<bool> = [Some("1"), Some("1"), Some("2"), None, None, Some("2")].map(&mut asks).into();
    assert_eq!(said, [false, false, true, false, false, true]);
    bench.scan("a", None);
    sleep(Duration::from_secs(10)).await;
    bench.lookups.look_now(&key);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.listings().len(), 2);
}
