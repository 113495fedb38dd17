//! The end of a dead container's log is read beside the passes, once and within bounds, and only who may is told its line.

use super::fakes::{Fake, flight, policy};
use crate::{
    ports::{PolicyKey, StoredPolicy},
    reconcile::last_words::LastWords,
};
use jiff::Timestamp;
use lockkeeper_core::{
    image::Digest,
    observed::{ContainerSeen, Moved, ObjectKey, PodPhase, PodSeen, StageSeen},
    status::{StageStatus, Status},
};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

const PANIC: &str = "INFO up\npanic: no such tenant, token=c4n4ry\n\ngoroutine 1 [running]:\nmain.main()\n";
const SAID: &str = "exit 2 (Error): panic: no such tenant, token=***";

struct Desk {
    fake: Arc<Fake>,
    service: LastWords,
    stored: StoredPolicy,
    status: Status,
    key: PolicyKey,
}

impl Desk {
    fn new() -> Self {
        let fake = Arc::new(Fake::default());
        let key = fake.store("otel", None);
        let stored = fake.policies.lock().unwrap()[&key].clone();
        let stage = StageStatus { flight: Some(flight()), ..StageStatus::default() };
        let status = Status { stages: vec![stage], ..Status::default() };
        Self { service: LastWords::new(fake.clone(), fake.clone()), fake, stored, status, key }
    }

    fn says(&self, pod: &str, log: &str) {
        self.fake.logs.lock().unwrap().insert(pod.to_owned(), log.to_owned());
    }

    /// One pass: how the pods died, as far as it knows.
    fn pass(&self, pods: &[PodSeen]) -> Vec<String> {
        let mut stages = [StageSeen { pods: pods.to_vec(), ..StageSeen::default() }];
        self.service.show(&self.stored, &policy("otel"), &self.status, &mut stages);
        stages[0].pods.iter().map(|pod| pod.containers[0].death.clone().unwrap_or_default()).collect()
    }

    /// Lets the service work until nothing moves: everything in this world answers at once.
    async fn works(&self) {
        let stop = CancellationToken::new();
        let running = tokio::spawn(self.service.clone().run(stop.clone()));
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        stop.cancel();
        running.await.unwrap();
    }

    fn reads(&self) -> Vec<String> {
        std::mem::take(&mut *self.fake.asked.lock().unwrap())
    }
}

/// A pod of the candidate whose container panicked in minute `minute` of the flight, and runs again.
fn crashed(name: &str, minute: i64) -> PodSeen {
    let died = Timestamp::from_second(flight().entered.as_second() + minute * 60).unwrap();
    let mut container = ContainerSeen {
        name: "otel".into(),
        image: format!("registry.example.com/otel@{}", Digest::of(b"x")),
        up: true,
        restarts: 1,
        died: Some(died),
        ..ContainerSeen::default()
    };
    container.died_of(2, "Error", "");
    PodSeen {
        key: ObjectKey {
            namespace: "prod".into(),
            name: name.into(),
            uid: format!("uid-{name}"),
            ..ObjectKey::default()
        },
        phase: PodPhase::Running,
        containers: vec![container],
        ..PodSeen::default()
    }
}

#[tokio::test(start_paused = true)]
async fn the_line_of_a_death_is_read_once_as_the_policys_account_and_the_policy_woken() {
    let desk = Desk::new();
    desk.says("a", PANIC);
    let pods = [crashed("a", 1)];
    assert_eq!(desk.pass(&pods), ["exit 2 (Error)"], "no pass waits for a log");
    desk.works().await;
    assert_eq!(desk.reads(), ["log a as promoter"]);
    assert_eq!(*desk.fake.woken.lock().unwrap(), std::slice::from_ref(&desk.key));
    assert_eq!(desk.pass(&pods), [SAID], "with what looks like a secret masked");
    tokio::time::advance(Duration::from_hours(1)).await;
    // Down again, it is the same death.
    let mut down = pods.clone();
    down[0].containers[0].up = false;
    assert_eq!(desk.pass(&down), [SAID]);
    desk.works().await;
    assert!(desk.reads().is_empty(), "a death is read once");
    // The next death of the same container is another one.
    assert_eq!(desk.pass(&[crashed("a", 2)]), ["exit 2 (Error)"]);
    desk.works().await;
    assert_eq!(desk.reads(), ["log a as promoter"]);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_tells_nothing_gives_no_line_and_is_not_read_again() {
    let desk = Desk::new();
    desk.says("a", "INFO request done\nERROR error: cannot reach the database\n");
    for _ in 0..3 {
        assert_eq!(desk.pass(&[crashed("a", 1)]), ["exit 2 (Error)"]);
        desk.works().await;
    }
    assert_eq!(desk.reads().len(), 1);
    assert!(desk.fake.woken.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_the_right_nothing_is_said_and_it_is_tried_again_after_a_while() {
    let desk = Desk::new();
    let pods: Vec<PodSeen> = (1..=9).map(|n| crashed(&format!("a{n}"), n)).collect();
    for _ in 0..9 {
        assert_eq!(desk.pass(&pods), vec!["exit 2 (Error)"; 9]);
        desk.works().await;
        tokio::time::advance(Duration::from_mins(1)).await;
    }
    let reads = desk.reads();
    assert!((1..=4).contains(&reads.len()), "{reads:?}");
    assert!(desk.fake.woken.lock().unwrap().is_empty());
    // Granted: the next look after ten minutes finds it.
    desk.says("a9", PANIC);
    tokio::time::advance(Duration::from_mins(2)).await;
    desk.pass(&pods);
    desk.works().await;
    assert_eq!(desk.pass(&pods)[8], SAID);
}

#[tokio::test(start_paused = true)]
async fn of_many_deaths_four_a_minute_are_read_and_two_hundred_remembered() {
    let desk = Desk::new();
    let pods: Vec<PodSeen> = (0..300).map(|n| crashed(&format!("a{n}"), n)).collect();
    for pod in &pods {
        desk.says(&pod.key.name, PANIC);
    }
    for _ in 0..5 {
        desk.pass(&pods);
        desk.works().await;
    }
    // The newest first.
    assert_eq!(
        desk.reads(),
        ["log a299 as promoter", "log a298 as promoter", "log a297 as promoter", "log a296 as promoter"]
    );
    for _ in 0..100 {
        tokio::time::advance(Duration::from_mins(1)).await;
        desk.pass(&pods);
        desk.works().await;
    }
    assert_eq!(desk.reads().len(), 196, "as long as 200 are shown, no other is read");
    assert_eq!(desk.pass(&pods).iter().filter(|death| *death == SAID).count(), 200);
}

#[tokio::test(start_paused = true)]
async fn only_crashes_of_what_the_stage_watches_are_read() {
    let desk = Desk::new();
    let of = |change: &dyn Fn(&mut PodSeen)| {
        let mut pod = crashed("a", 1);
        change(&mut pod);
        pod
    };
    let moved = |deaths_before| {
        Some(Moved { attempt: "a-1".into(), from: "x".into(), deaths_before, at: flight().entered })
    };
    let image = |image: String| move |pod: &mut PodSeen| pod.containers[0].image.clone_from(&image);
    desk.says("a", PANIC);
    let stable = image(format!("registry.example.com/otel@{}", Digest::of(b"y")));
    let foreign = image(format!("registry.example.com/other@{}", Digest::of(b"x")));
    for (what, pod) in [
        ("before the flight", crashed("a", -1)),
        ("of the release before", of(&stable)),
        ("not governed", of(&foreign)),
        ("killed by our move", of(&|pod| pod.moved = moved(0))),
        ("being deleted", of(&|pod| pod.deleting = true)),
        ("out of memory", of(&|pod| pod.containers[0].died_of(137, "OOMKilled", ""))),
        ("a failed probe", of(&|pod| pod.containers[0].died_of(137, "Error", ""))),
        ("with a message", of(&|pod| pod.containers[0].died_of(2, "Error", "panic: x"))),
    ] {
        desk.pass(&[pod]);
        desk.works().await;
        assert!(desk.reads().is_empty(), "{what}");
    }
    desk.pass(&[of(&|pod| (pod.moved, pod.containers[0].restarts) = (moved(0), 2))]);
    desk.works().await;
    assert_eq!(desk.reads(), ["log a as promoter"], "a crash after the move");
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_is_gone_is_forgotten() {
    let desk = Desk::new();
    desk.says("a", PANIC);
    desk.pass(&[crashed("a", 1)]);
    desk.service.forget(&desk.key);
    desk.works().await;
    assert!(desk.reads().is_empty(), "what nobody wants any more is not read");
}
