//! Registries of clouds, opened by the identity of a policy's ServiceAccount.

use super::fakes::{Fake, policy};
use crate::{
    ports::{
        Credential, Proxy, RegistryError,
        cloud::{Account, SignIn, SignedIn},
    },
    reconcile::lookups::{Lookups, Scan, Source},
};
use futures::future::BoxFuture;
use lockkeeper_core::image::{Provider, Repository};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

const INTERVAL: Duration = Duration::from_mins(1);
const LIFE: Duration = Duration::from_hours(1);

impl SignIn for Fake {
    fn audience(&self, _: Provider, _: &Repository, account: &Account) -> Result<String, RegistryError> {
        let role = account.annotations.get("role").cloned();
        let message = format!("ServiceAccount {} has no annotation role", account.name);
        role.ok_or(RegistryError { reason: "AccountUnusable", message, retry_after: None })
    }

    fn sign_in<'a>(
        &'a self,
        _: Provider,
        repository: &'a Repository,
        account: &'a Account,
        token: &'a str,
        _: Option<&'a Proxy>,
    ) -> BoxFuture<'a, Result<SignedIn, RegistryError>> {
        let said = format!("sign in {} to {} with {token}", account.uid, repository.registry());
        self.asked.lock().unwrap().push(said);
        let refused = self.cloud.lock().unwrap().clone();
        let number = self.given.fetch_add(1, Ordering::SeqCst) + 1;
        let credential = Credential::Basic("robot".into(), format!("{}-{number}", account.uid));
        Box::pin(async move { refused.map_or(Ok(SignedIn { credential, life: LIFE }), Err) })
    }
}

struct Bench {
    fake: Arc<Fake>,
    lookups: Lookups,
}

impl Bench {
    fn new() -> Self {
        let fake = Fake::new();
        *fake.tags.lock().unwrap() = Some(vec!["1.0.0".to_owned()]);
        *fake.account.lock().unwrap() = account("uid-1");
        let lookups = fake.lookups();
        tokio::spawn(lookups.clone().run(CancellationToken::new()));
        Self { fake, lookups }
    }

    /// One look at the registry for a policy that acts as some ServiceAccount.
    fn scan(&self, name: &str, service_account: &str) -> Scan {
        let key = self.fake.store(name, None);
        self.fake.change(&key, |stored| {
            stored.registry.provider = Some(Provider::Aws);
            stored.identity.service_account = service_account.to_owned();
        });
        let stored = self.fake.policies.lock().unwrap()[&key].clone();
        self.lookups.scan(&key, &Source::of(&stored), &policy(name).image, INTERVAL)
    }

    fn count(&self, what: &str) -> usize {
        self.fake.asked.lock().unwrap().iter().filter(|asked| asked.starts_with(what)).count()
    }
}

fn account(uid: &str) -> Account {
    let annotations = [("role".to_owned(), "reader".to_owned())].into();
    Account { name: "platform/promoter".into(), uid: uid.into(), annotations }
}

#[tokio::test(start_paused = true)]
async fn a_credential_is_used_until_shortly_before_it_is_over() {
    let bench = Bench::new();
    bench.scan("a", "promoter");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.scan("a", "promoter").listing.map(|listing| listing.len()), Some(1));
    let signed: Vec<String> =
        bench.fake.asked.lock().unwrap().iter().filter(|asked| !asked.starts_with("tags")).cloned().collect();
    assert_eq!(
        signed,
        [
            "account promoter",
            "token promoter for reader",
            "sign in uid-1 to registry.example.com with c4n4ry-of-reader"
        ]
    );
    sleep(LIFE * 85 / 100).await;
    assert_eq!(bench.count("sign in"), 1);
    sleep(LIFE * 10 / 100).await;
    assert_eq!(bench.count("sign in"), 2, "a tenth before its end");
    assert_eq!(bench.scan("a", "promoter").failing, None);
}

#[tokio::test(start_paused = true)]
async fn i12_r23_what_a_service_account_was_given_is_nobody_elses() {
    let bench = Bench::new();
    bench.scan("a", "promoter");
    bench.scan("b", "promoter");
    bench.scan("c", "other");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.count("sign in"), 2, "one of them is shared by the two policies of the same account");
    assert_eq!((bench.count("token promoter"), bench.count("token other")), (1, 1));
    assert_eq!(bench.count("tags"), 2);
    // Another one of the same name is somebody else: seen when it is read again.
    *bench.fake.account.lock().unwrap() = account("uid-2");
    sleep(Duration::from_mins(12)).await;
    assert_eq!(bench.count("sign in uid-2"), 2);
}

#[tokio::test(start_paused = true)]
async fn what_a_registry_refuses_is_asked_for_anew_and_not_all_the_time() {
    let bench = Bench::new();
    *bench.fake.accepted.lock().unwrap() = Some("uid-1-2".into());
    bench.scan("a", "promoter");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.scan("a", "promoter").failing.map(|failing| failing.reason), Some("AuthFailed".into()));
    assert_eq!(bench.count("sign in"), 1, "it was given a moment ago");
    sleep(Duration::from_mins(20)).await;
    assert_eq!(bench.scan("a", "promoter").failing, None);
    assert_eq!(bench.count("sign in"), 2);
}

#[tokio::test(start_paused = true)]
async fn who_is_not_allowed_or_not_known_is_told_and_never_asks_as_nobody() {
    type Change = fn(&Fake);
    let no_right: Change = |fake| fake.no_token.store(true, Ordering::SeqCst);
    let no_role: Change = |fake| fake.account.lock().unwrap().annotations.clear();
    let refused: Change = |fake| {
        let error = RegistryError { reason: "AuthFailed", message: "sts refused".into(), retry_after: None };
        *fake.cloud.lock().unwrap() = Some(error);
    };
    let no_token_of = "spec.registry.provider: a token of ServiceAccount platform/promoter could not be read";
    for (change, reason, part) in [
        (no_right, "SecretUnreadable", no_token_of),
        (no_role, "AccountUnusable", "no annotation role"),
        (refused, "AuthFailed", "sts refused"),
    ] {
        let bench = Bench::new();
        change(&bench.fake);
        bench.scan("a", "promoter");
        sleep(Duration::from_mins(20)).await;
        let told = bench.scan("a", "promoter").failing.unwrap();
        assert_eq!(told.reason, reason);
        assert!(told.message.contains(part) && !told.message.contains("c4n4ry"), "{told:?}");
        assert_eq!(bench.count("tags"), 0);

        bench.fake.no_token.store(false, Ordering::SeqCst);
        *bench.fake.account.lock().unwrap() = account("uid-1");
        *bench.fake.cloud.lock().unwrap() = None;
        sleep(Duration::from_mins(12)).await;
        assert_eq!(bench.scan("a", "promoter").failing, None, "{part}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cloud_that_refuses_is_not_asked_by_every_lookup() {
    let bench = Bench::new();
    let refused = RegistryError { reason: "AuthFailed", message: "sts refused".into(), retry_after: None };
    *bench.fake.cloud.lock().unwrap() = Some(refused);
    for number in 0..40 {
        let key = bench.fake.store(&format!("p{number}"), None);
        bench.fake.change(&key, |stored| stored.registry.provider = Some(Provider::Gcp));
        let stored = bench.fake.policies.lock().unwrap()[&key].clone();
        let repository = format!("registry.example.com/otel-{number}").parse().unwrap();
        bench.lookups.scan(&key, &Source::of(&stored), &repository, INTERVAL);
    }
    sleep(Duration::from_secs(20)).await;
    assert_eq!(bench.count("sign in"), 1);
}
