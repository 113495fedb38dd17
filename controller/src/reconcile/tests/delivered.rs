//! Branches are visited once for everything that is due there, and only for what is due still.

use super::fakes::Fake;
use crate::{
    ports::{Identity, PolicyKey, git::GitError},
    reconcile::deliveries::Deliveries,
};
use lockkeeper_core::{
    git::{Commit, CommitStyle, Delivery, Files, Remote},
    image::Digest,
    observed::Answer,
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

fn key(name: &str) -> PolicyKey {
    PolicyKey { namespace: "platform".into(), name: name.into() }
}

fn delivery(policy: &str) -> Delivery {
    Delivery {
        id: format!("{policy}-1/0"),
        policy: ("platform".into(), policy.into()),
        stage: "prod".into(),
        remote: Remote {
            url: "https://git.example.com/x".into(),
            branch: "main".into(),
            secret: None,
            style: CommitStyle::default(),
            request: None,
        },
        edits: Vec::new(),
        repositories: Vec::new(),
        tag: None,
        digest: Digest::of(b"new"),
    }
}

fn commit(policy: &str) -> Vec<Commit> {
    vec![Commit { delivery: delivery(policy), expects: Vec::new(), takes_back: false, only_closes: false }]
}

/// Policies that ask; time stands still unless everything waits.
async fn asked(fake: &Arc<Fake>, policies: &[&str], account: &str) -> (Deliveries, CancellationToken) {
    let service = fake.deliveries();
    let stop = CancellationToken::new();
    tokio::spawn(service.clone().run(stop.clone()));
    let identity = Identity { namespace: "platform".into(), service_account: account.into() };
    for policy in policies {
        service.ask(&key(policy), &identity, BTreeSet::from([delivery(policy)]));
    }
    sleep(Duration::from_millis(10)).await;
    (service, stop)
}

#[tokio::test(start_paused = true)]
async fn what_is_due_at_one_branch_is_one_visit_and_wakes_whom_it_concerns() {
    let fake = Fake::new();
    let (service, stop) = asked(&fake, &["a", "b", "c"], "promoter").await;
    assert_eq!(*fake.visits.lock().unwrap(), ["main 3 []"]);
    assert_eq!(*fake.woken.lock().unwrap(), [key("a"), key("b"), key("c")]);
    fake.woken.lock().unwrap().clear();
    assert_eq!((service.commit(&key("a"), commit("a")), service.commit(&key("b"), commit("b"))), (1, 1));
    sleep(Duration::from_millis(100)).await;
    // Every pass says it again; it is due once.
    assert_eq!(service.commit(&key("a"), commit("a")), 0);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(fake.visits.lock().unwrap()[1..], ["main 2 [a-1/0 b-1/0]"]);
    assert_eq!(*fake.woken.lock().unwrap(), [key("a"), key("b")]);
    let answers = service.answers(&key("a"));
    assert!(
        matches!(&answers[&delivery("a")], Answer::Known(seen) if seen.files == Files::Say("a-1/0".into()))
    );
    service.ask(
        &key("a"),
        &Identity { namespace: "platform".into(), service_account: "promoter".into() },
        BTreeSet::new(),
    );
    assert!(service.answers(&key("a")).is_empty(), "what is not asked any more is forgotten");
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_is_not_wanted_any_more_is_not_made() {
    let fake = Fake::new();
    let (service, stop) = asked(&fake, &["a"], "promoter").await;
    service.commit(&key("a"), commit("a"));
    service.commit(&key("a"), Vec::new());
    sleep(Duration::from_secs(90)).await;
    let visits = fake.visits.lock().unwrap().clone();
    assert!(visits.len() >= 2 && visits.iter().all(|visit| visit == "main 1 []"), "{visits:?}");
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_tried_again_with_a_bound_and_says_since_when() {
    let fake = Fake::new();
    let failed = || Err(GitError { reason: "Unreachable", message: "no answer".into() });
    fake.branches.lock().unwrap().extend((0..9).map(|_| failed()));
    let (service, stop) = asked(&fake, &["a"], "promoter").await;
    let since = |service: &Deliveries| match &service.answers(&key("a"))[&delivery("a")] {
        Answer::Failed(failure) => failure.since,
        other => panic!("{other:?}"),
    };
    let first = since(&service);
    sleep(Duration::from_secs(100)).await;
    let visits = fake.visits.lock().unwrap().len();
    assert!((5..=8).contains(&visits), "2, 4, 8, 16, 32 and 60 seconds apart: {visits}");
    assert_eq!(since(&service), first);
    sleep(Duration::from_mins(10)).await;
    assert!(matches!(service.answers(&key("a"))[&delivery("a")], Answer::Known(_)));
    stop.cancel();
}
