//! What workloads are told of what was done to them.

use super::fakes::{flight, moved, policy};
use crate::{
    ports::{Told, Workload},
    reconcile::tell::Telling,
};
use lockkeeper_core::{
    decision::{Action, Purpose},
    image::Digest,
    observed::{ObjectKey, Owner, PodSeen, StageSeen},
    pin::{PinDeletion, PinOwner, PinSpec},
    status::{Phase, Rollback, Source, StageStatus, Status, Verified},
};

/// Pods `<owner>-<number>` in namespace `prod`.
fn pods(owners: &[String], each: usize) -> Vec<StageSeen> {
    let pods = owners.iter().flat_map(|owner| {
        (0..each).map(move |number| PodSeen {
            key: ObjectKey {
                namespace: "prod".into(),
                name: format!("{owner}-{number}"),
                ..ObjectKey::default()
            },
            owner: Owner { kind: "Deployment".into(), name: owner.clone(), ..Owner::default() },
            ..PodSeen::default()
        })
    });
    vec![StageSeen { pods: pods.collect(), ..StageSeen::default() }]
}

fn status(change: impl FnOnce(&mut StageStatus)) -> Status {
    let mut stage = StageStatus { name: "dev".into(), phase: Phase::Applying, ..StageStatus::default() };
    change(&mut stage);
    Status { stages: vec![stage], ..Status::default() }
}

fn in_flight(attempt: &str) -> Status {
    let mut flight = flight();
    attempt.clone_into(&mut flight.attempt);
    status(|stage| stage.flight = Some(flight))
}

fn pin() -> Action {
    Action::WritePin {
        namespace: "prod".into(),
        name: "pin".into(),
        spec: PinSpec {
            match_labels: [("app".to_owned(), "a".to_owned())].into(),
            containers: None,
            repositories: vec!["registry.example.com/otel".into()],
            only_tags: None,
            tag: None,
            digest: Digest::of(b"x"),
            policy: PinOwner { namespace: "platform".into(), name: "otel".into(), uid: "u".into() },
            stage: "dev".into(),
            deletion_policy: PinDeletion::Retain,
        },
        replaces: None,
        stage: "dev".into(),
    }
}

fn shown(told: &[Told]) -> Vec<String> {
    told.iter().map(|one| format!("{} {}", one.workload.name, one.event.reason)).collect()
}

fn telling(telling: &mut Telling, status: &Status, seen: &[StageSeen], done: &[Action]) -> Vec<Told> {
    telling.of(&policy("otel"), status, seen, &done.iter().collect::<Vec<_>>())
}

#[test]
fn one_event_per_workload_and_attempt_however_many_pods_and_passes() {
    let seen = pods(&["front".into(), "back".into()], 3);
    let mut memory = Telling::default();
    let first = [moved("front-0", Purpose::Promote), moved("front-1", Purpose::Promote)];
    let told = telling(&mut memory, &in_flight("a-1"), &seen, &first);
    assert_eq!(shown(&told), ["front PromotionStarted"]);
    let workload = Workload { namespace: "prod".into(), kind: "Deployment".into(), name: "front".into() };
    assert_eq!((&told[0].workload, told[0].transition.as_str()), (&workload, "a-1"));
    let second = [moved("front-2", Purpose::Promote), moved("back-0", Purpose::Promote), pin()];
    assert_eq!(
        shown(&telling(&mut memory, &in_flight("a-1"), &seen, &second)),
        ["back PromotionStarted"],
        "the pin concerns both, and both know"
    );
    assert_eq!(
        shown(&telling(&mut memory, &in_flight("a-2"), &seen, &first)),
        ["front PromotionStarted"],
        "another attempt"
    );
    assert_eq!(shown(&telling(&mut memory, &in_flight("a-2"), &seen, &[])), Vec::<String>::new());
}

#[test]
fn who_is_told_of_what() {
    let seen = pods(&["front".into()], 1);
    let back = |quarantine: Option<&str>| {
        status(|stage| {
            stage.rollback = Some(Rollback {
                before: lockkeeper_core::status::Lived::default(),
                bad: flight().release,
                to: None,
                attempt: "a-2".into(),
                since: flight().entered,
                reason: "CrashLoop".into(),
                message: "secret-app-7 in namespace another crashed".into(),
                quarantine: quarantine.map(str::to_owned),
                clean_since: None,
                then_blocked: None,
            });
        })
    };
    let adopted = status(|stage| {
        stage.reason = "Adopted".into();
        stage.current = Some(Digest::of(b"x"));
        stage.verified = vec![Verified {
            release: flight().release,
            source: Source::Adopted,
            at: flight().entered,
            hash: String::new(),
            rules_out: String::new(),
            log_e: 0.0,
            guard_until: None,
        }];
    });
    let drifted = status(|stage| stage.drift_attempt = Some("a-3".into()));
    let idle = status(|_| {});
    for (status, action, expected) in [
        (back(Some("q")), moved("front-0", Purpose::TakeBack), Some("RolledBack")),
        (back(None), moved("front-0", Purpose::TakeBack), Some("RolledBack")),
        (back(Some("q")), pin(), Some("RolledBack")),
        (drifted, moved("front-0", Purpose::Repair), Some("DriftDetected")),
        (adopted, pin(), Some("Adopted")),
        (idle, pin(), None),
        (in_flight("a-1"), moved("of-nobody", Purpose::Promote), None),
    ] {
        let told = telling(&mut Telling::default(), &status, &seen, &[action]);
        assert_eq!(told.first().map(|one| one.event.reason), expected, "{told:?}");
        assert!(!format!("{told:?}").contains("secret-app"), "what happened elsewhere is told: {told:?}");
    }
}

#[test]
fn of_hundreds_of_workloads_fifty_are_told_and_memory_is_bounded() {
    let owners: Vec<String> = (0..300).map(|number| format!("app{number}")).collect();
    let seen = pods(&owners, 1);
    let mut memory = Telling::default();
    assert_eq!(telling(&mut memory, &in_flight("a-1"), &seen, &[pin()]).len(), 50);
    assert_eq!(telling(&mut memory, &in_flight("a-1"), &seen, &[pin()]).len(), 0);
    for attempt in 0..100 {
        telling(&mut memory, &in_flight(&format!("b-{attempt}")), &seen, &[pin()]);
    }
    assert!(memory.remembered() <= 32 * 50, "{}", memory.remembered());
}
