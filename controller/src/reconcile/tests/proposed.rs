//! Branches that are changed by requests: what is pushed is asked for, once, and what is open is brought up to date.

use super::fakes::Fake;
use crate::{
    ports::{
        Fence, Identity, PolicyKey,
        forges::{Forges, Request, Wanted},
        git::{Branches, Errand, GitAccess, GitError},
        signals::SignalAccess,
    },
    reconcile::deliveries::Deliveries,
};
use futures::{FutureExt as _, future::BoxFuture};
use lockkeeper_core::{
    git::{
        self, Commit, CommitStyle, Delivery, Files, FilesSeen, Place, Proposal, PullRequest, Remote,
        RequestSeen, RequestState,
    },
    image::Digest,
    observed::Answer,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// A forge and its repository: requests by branch, and what the branches hold.
#[derive(Default)]
pub struct Forge {
    requests: Mutex<BTreeMap<String, Request>>,
    pushed: Mutex<BTreeMap<String, BTreeSet<String>>>,
    log: Mutex<Vec<String>>,
    fails: Mutex<Option<GitError>>,
}

impl Forges for Forge {
    fn newest<'a>(
        &'a self,
        _: &'a SignalAccess,
        _: &'a Remote,
        branch: &'a str,
    ) -> BoxFuture<'a, Result<Option<Request>, GitError>> {
        let found = self.requests.lock().unwrap().get(branch).cloned();
        async { Ok(found) }.boxed()
    }

    fn bring<'a>(
        &'a self,
        _: &'a SignalAccess,
        _: &'a Remote,
        wanted: Wanted<'a>,
        open: Option<Request>,
        _: &'a Fence,
    ) -> BoxFuture<'a, Result<Request, GitError>> {
        if let Some(failed) = self.fails.lock().unwrap().take() {
            return async { Err(failed) }.boxed();
        }
        let doing = if open.is_some() { "changed" } else { "opened" };
        self.log.lock().unwrap().push(format!("{doing} {}", wanted.title));
        let (number, url) = (String::from("1"), format!("https://forge/{}", wanted.branch));
        let (id, text, state) = (String::new(), wanted.text.to_owned(), RequestState::Open);
        let request = Request { number, id, url, state, text };
        self.requests.lock().unwrap().insert(wanted.branch.to_owned(), request.clone());
        async { Ok(request) }.boxed()
    }

    fn close<'a>(
        &'a self,
        _: &'a SignalAccess,
        _: &'a Remote,
        open: &'a Request,
        _: &'a Fence,
    ) -> BoxFuture<'a, Result<(), GitError>> {
        self.log.lock().unwrap().push(format!("closed {}", open.url));
        for request in self.requests.lock().unwrap().values_mut() {
            request.state = RequestState::Closed;
        }
        async { Ok(()) }.boxed()
    }
}

impl Branches for Forge {
    fn visit<'a>(
        &'a self,
        _: &'a GitAccess,
        _: &'a Remote,
        errands: &'a [Errand],
        _: &'a Fence,
    ) -> BoxFuture<'a, Result<Vec<FilesSeen>, GitError>> {
        let mut pushed = self.pushed.lock().unwrap();
        let seen = errands.iter().map(|Errand { delivery, due }| {
            let marks = pushed.entry(delivery.own_branch().unwrap()).or_default();
            if due.as_ref().is_some_and(|due| !due.only_closes) {
                marks.insert(delivery.mark());
            }
            let ready = marks.contains(&delivery.mark());
            let proposal = Some(Proposal { ready, request: None });
            let files = Files::Differ(vec![place()]);
            FilesSeen { own: None, files, undone_by: None, rejected: None, proposal }
        });
        let seen = seen.collect();
        async { Ok(seen) }.boxed()
    }
}

fn place() -> Place {
    Place { file: "f".into(), path: "p".into(), from: "x:1".into() }
}

fn delivery(number: u32) -> Delivery {
    let request = PullRequest {
        forge: git::Forge::Gitea,
        address: None,
        secret: None,
        prefix: "lockkeeper".into(),
        labels: Vec::new(),
        reviewers: Vec::new(),
        auto_merge: None,
    };
    let url = "https://git.example.com/a/b".into();
    Delivery {
        id: format!("a-1/{number}"),
        policy: ("platform".into(), "otel".into()),
        stage: "prod".into(),
        remote: Remote {
            url,
            branch: "main".into(),
            secret: None,
            style: CommitStyle::default(),
            request: Some(Box::new(request)),
        },
        edits: Vec::new(),
        repositories: vec!["ghcr.io/a/otel".parse().unwrap()],
        tag: Some("1.2".parse().unwrap()),
        digest: Digest::of(b"new"),
    }
}

struct Table {
    forge: Arc<Forge>,
    service: Deliveries,
    key: PolicyKey,
    stop: CancellationToken,
}

impl Drop for Table {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Table {
    async fn of(deliveries: &[Delivery]) -> Self {
        let (fake, forge, stop) = (Fake::new(), Arc::new(Forge::default()), CancellationToken::new());
        let fence = Fence::new(fake.clone());
        let both = (forge.clone() as Arc<dyn Branches>, forge.clone() as Arc<dyn Forges>);
        let service = Deliveries::new(both, fake.clone(), fake.clone(), fake.clone(), fence);
        tokio::spawn(service.clone().run(stop.clone()));
        let key = PolicyKey { namespace: "platform".into(), name: "otel".into() };
        let identity = Identity { namespace: "platform".into(), service_account: "promoter".into() };
        service.ask(&key, &identity, deliveries.iter().cloned().collect());
        sleep(Duration::from_millis(10)).await;
        Self { forge, service, key, stop }
    }

    async fn commit(&self, deliveries: &[Delivery], only_closes: bool) {
        let commit = |delivery: &Delivery| Commit {
            delivery: delivery.clone(),
            expects: vec![place()],
            takes_back: false,
            only_closes,
        };
        self.service.commit(&self.key, deliveries.iter().map(commit).collect());
        sleep(Duration::from_secs(1)).await;
    }

    fn seen(&self, delivery: &Delivery) -> (Option<RequestSeen>, bool) {
        match &self.service.answers(&self.key)[delivery] {
            Answer::Known(seen) => {
                (seen.proposal.clone().and_then(|proposal| proposal.request), seen.rejected.is_some())
            }
            other => panic!("{other:?}"),
        }
    }

    fn log(&self) -> Vec<String> {
        self.forge.log.lock().unwrap().clone()
    }
}

#[tokio::test(start_paused = true)]
async fn what_two_targets_of_a_stage_want_is_one_request_and_closing_it_is_seen() {
    let both = [delivery(0), delivery(1)];
    let table = Table::of(&both).await;
    assert_eq!(table.seen(&both[0]), (None, false));
    table.commit(&both, false).await;
    assert_eq!(table.log(), ["opened Bring 2 images to their releases"]);
    for one in &both {
        let (seen, _) = table.seen(one);
        assert!(seen.is_some_and(|seen| seen.brings && seen.state == RequestState::Open));
    }
    table.forge.requests.lock().unwrap().values_mut().for_each(|r| r.state = RequestState::Closed);
    sleep(Duration::from_secs(20)).await;
    assert!(table.seen(&both[1]).0.is_some_and(|seen| seen.brings && seen.state == RequestState::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_begun_before_a_crash_is_ended_and_not_made_again() {
    let one = [delivery(0)];
    let table = Table::of(&one).await;
    // Pushed and opened, without its mark: then the controller was killed.
    let (branch, url) = (one[0].own_branch().unwrap(), "https://forge/1".to_owned());
    let (number, id, text) = ("1".to_owned(), String::new(), "no mark".to_owned());
    let begun = Request { number, id, url, state: RequestState::Open, text };
    table.forge.requests.lock().unwrap().insert(branch, begun);
    table.commit(&one, false).await;
    assert_eq!(table.log(), ["changed otel: promote ghcr.io/a/otel:1.2 in prod"]);
    table.commit(&one, true).await;
    assert_eq!(table.log()[1..], ["closed https://forge/lockkeeper/platform/otel/prod/main"]);
    assert!(table.seen(&one[0]).0.is_some_and(|seen| seen.state == RequestState::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_forge_that_refuses_is_said_and_asked_again_with_a_pause() {
    let one = [delivery(0)];
    let table = Table::of(&one).await;
    let refused = GitError { reason: "Failed", message: "no such reviewer".into() };
    *table.forge.fails.lock().unwrap() = Some(refused);
    table.commit(&one, false).await;
    assert_eq!((table.seen(&one[0]), table.log().len()), ((None, true), 0));
    table.commit(&one, false).await;
    assert_eq!(table.log().len(), 0, "not before its pause is over");
    sleep(Duration::from_secs(3)).await;
    assert_eq!(table.log().len(), 1);
    assert!(!table.seen(&one[0]).1, "what was refused is no more");
}
