//! The election as it runs, over a Lease in memory, in virtual time.

use super::usual;
use crate::{
    election::{Election, End, Office},
    ports::{
        Clock, FenceCheck,
        lease::{LeaseAnswer, LeaseRequest, LeaseSeen, Leases, Steady},
    },
    telemetry::Metrics,
};
use futures::future::BoxFuture;
use jiff::Timestamp;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Well,
    Fails,
    Hangs,
}

/// An API server that holds one Lease.
struct Server {
    lease: Mutex<Option<LeaseSeen>>,
    mood: Mutex<Mood>,
    changes: watch::Sender<u64>,
}

impl Server {
    fn new() -> Arc<Self> {
        let (changes, _) = watch::channel(1);
        Arc::new(Self { lease: Mutex::default(), mood: Mutex::new(Mood::Well), changes })
    }

    fn put(&self, lease: Option<LeaseSeen>) {
        *self.lease.lock().unwrap() = lease;
        self.changes.send_modify(|changes| *changes += 1);
    }

    fn holder(&self) -> Option<String> {
        self.lease.lock().unwrap().as_ref()?.holder.clone()
    }

    fn serve(&self, request: &LeaseRequest) -> LeaseAnswer {
        let stored = self.lease.lock().unwrap().clone();
        match request {
            LeaseRequest::Look => stored.map_or(LeaseAnswer::Absent, LeaseAnswer::Shows),
            LeaseRequest::Write(draft) => {
                let there = stored.map(|lease| (lease.uid, lease.version));
                if there != draft.over {
                    return LeaseAnswer::Conflict;
                }
                let version = (*self.changes.borrow() + 1).to_string();
                let lease = LeaseSeen {
                    uid: there.map_or_else(|| format!("u{version}"), |(uid, _)| uid),
                    version,
                    holder: draft.holder.clone(),
                    lasts: Some(draft.lasts),
                    renewed: Some(draft.renewed),
                    acquired: Some(draft.acquired),
                    transitions: draft.transitions,
                    hooks: None,
                };
                self.put(Some(lease.clone()));
                LeaseAnswer::Shows(lease)
            }
        }
    }
}

impl Leases for Server {
    fn ask<'a>(&'a self, request: &'a LeaseRequest) -> BoxFuture<'a, LeaseAnswer> {
        Box::pin(async move {
            sleep(Duration::from_millis(5)).await;
            let mood = *self.mood.lock().unwrap();
            match mood {
                Mood::Well => self.serve(request),
                Mood::Fails => LeaseAnswer::Unknown("503".into()),
                Mood::Hangs => std::future::pending().await,
            }
        })
    }

    fn changed<'a>(&'a self, version: Option<&'a str>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let mut changes = self.changes.subscribe();
            let Some(version) = version else { return std::future::pending().await };
            let newer = changes.wait_for(|now| now.to_string() != version).await;
            assert!(newer.is_ok());
        })
    }
}

#[derive(Debug)]
struct Paused(Instant);

impl Steady for Paused {
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
}

struct Replica {
    office: Arc<Office>,
    leave: CancellationToken,
    task: JoinHandle<End>,
}

fn replica(server: &Arc<Server>, name: &str) -> Replica {
    let steady = Arc::new(Paused(Instant::now()));
    let office = Arc::new(Office::elected(Arc::clone(&steady) as _, usual()));
    let election = Election {
        leases: Arc::clone(server) as _,
        clock: Arc::new(Fixed),
        steady,
        timing: usual(),
        identity: name.to_owned(),
        office: Arc::clone(&office),
        metrics: Arc::new(Metrics::new()),
    };
    let leave = CancellationToken::new();
    let task = tokio::spawn(election.run(leave.clone()));
    Replica { office, leave, task }
}

/// How long it takes until this one leads.
async fn leads(replica: &Replica) -> Duration {
    let began = Instant::now();
    timeout(Duration::from_mins(5), replica.office.leads()).await.expect("nobody leads");
    assert!(replica.office.holds());
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn one_leads_and_hands_over_within_moments_when_it_leaves() {
    let server = Server::new();
    let a = replica(&server, "a");
    let waited = leads(&a).await;
    assert!((15.0..16.0).contains(&waited.as_secs_f64()), "nobody knows whether somebody led: {waited:?}");
    let b = replica(&server, "b");
    sleep(Duration::from_mins(10)).await;
    assert!(a.office.holds() && !b.office.holds(), "it renews, and the other waits");
    a.office.close();
    a.leave.cancel();
    let waited = leads(&b).await;
    assert!(waited < Duration::from_millis(300), "{waited:?}");
    assert_eq!(a.task.await.unwrap(), End::Left);
    assert_eq!(server.holder().as_deref(), Some("b"));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_killed_is_followed_after_the_lease() {
    let server = Server::new();
    let a = replica(&server, "a");
    leads(&a).await;
    let b = replica(&server, "b");
    sleep(Duration::from_secs(61)).await;
    a.task.abort();
    let waited = leads(&b).await;
    assert!((13.0..18.0).contains(&waited.as_secs_f64()), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn p3_renewals_that_fail_or_hang_end_the_leader_before_another_leads() {
    for mood in [Mood::Fails, Mood::Hangs] {
        let server = Server::new();
        let a = replica(&server, "a");
        leads(&a).await;
        let b = replica(&server, "b");
        sleep(Duration::from_secs(10)).await;
        *server.mood.lock().unwrap() = mood;
        let began = Instant::now();
        let end = a.task.await.unwrap();
        assert!(matches!(&end, End::Lost(why) if why.contains("could not be renewed")), "{mood:?}: {end:?}");
        assert!(began.elapsed() <= Duration::from_secs(11), "{:?}", began.elapsed());
        assert!(!a.office.holds() && !b.office.holds());
        *server.mood.lock().unwrap() = Mood::Well;
        leads(&b).await;
        assert!(!a.office.holds());
    }
}

#[tokio::test(start_paused = true)]
async fn p3_a_short_outage_and_a_deleted_lease_change_nothing() {
    let server = Server::new();
    let a = replica(&server, "a");
    leads(&a).await;
    let b = replica(&server, "b");
    for _ in 0..20 {
        sleep(Duration::from_secs(5)).await;
        server.put(None);
        sleep(Duration::from_secs(5)).await;
        *server.mood.lock().unwrap() = Mood::Fails;
        sleep(Duration::from_secs(4)).await;
        *server.mood.lock().unwrap() = Mood::Well;
    }
    sleep(Duration::from_secs(5)).await;
    assert!(a.office.holds() && !b.office.holds() && !a.task.is_finished());
    assert_eq!(server.holder().as_deref(), Some("a"));
}
