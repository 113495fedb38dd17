//! The oracle can see: each check is shown a trace that breaks what it guards, and must say so.

mod common;

use common::{incident_world, panics_in_prod};
use jiff::SignedDuration;
use lockkeeper_core::status::{Flight, HealthMemory, Phase, Rollback, Source, Step, Verified};
use lockkeeper_sim::{
    Behaviour, Effect, Record, World, release,
    watchman::{Watchman, run_until, settle},
};

/// A world at rest on 0.28.0, and an oracle that found nothing wrong with it.
fn at_rest() -> (World, Watchman) {
    let (mut world, mut watchman) = (incident_world(3), Watchman::default());
    let end = world.now + SignedDuration::from_mins(5);
    settle(&mut world, &mut watchman, 10);
    run_until(&mut world, &mut watchman, end, SignedDuration::from_mins(1));
    assert_eq!(watchman.violations, Vec::<String>::new());
    (world, watchman)
}

/// What the oracle says of this change to a world that was fine.
fn says(doctor: impl FnOnce(&mut World)) -> Vec<String> {
    let (mut world, mut watchman) = at_rest();
    doctor(&mut world);
    watchman.look(&world);
    watchman.violations
}

fn sees(id: &str, doctor: impl FnOnce(&mut World)) {
    let said = says(doctor);
    assert!(said.iter().any(|what| what.contains(&format!(" {id}: "))), "{id} is not among {said:#?}");
}

/// A pod of prod is given this image, as if the controller had done it.
fn moved(world: &mut World, image: &str) {
    let pod = world.pods.iter().find(|p| world.owners[p.owner].namespace == "prod").unwrap();
    let what =
        Effect::Moved { pod: format!("prod/{}", pod.name), from: pod.image.clone(), to: image.to_owned() };
    world.records.push(Record { at: world.now, what });
}

fn digest_image(name: &str) -> String {
    format!("{}@{}", common::REPOSITORY, release(name).digest)
}

fn flight(world: &World, name: &str) -> Flight {
    Flight {
        release: release(name),
        from: Some(release("0.28.0")),
        attempt: "0f1e2d3c-77".to_owned(),
        entered: world.now,
        soaking_since: None,
        step: Step::All,
        step_since: world.now,
        waves: Vec::new(),
        ready_at_entry: 30,
        unready_at_entry: 0,
        members: 0,
        replaced: 0,
        healthy_seconds: 0,
        clock: None,
        no_data_since: None,
        skip_window: false,
        promoted_by: None,
        health: HealthMemory::default(),
    }
}

/// The stored status says that 0.29.0 is in this stage.
fn enter(world: &mut World, stage: usize) {
    let flight = flight(world, "0.29.0");
    world.push(&release("0.29.0"), &["0.29.0"], Behaviour::default());
    world.stored.stages[stage].flight = Some(flight);
    world.stored.stages[stage].phase = Phase::Applying;
}

fn roll_back(world: &mut World, to: &str) {
    world.stored.stages[2].phase = Phase::RollingBack;
    world.stored.stages[2].rollback = Some(Rollback {
        before: lockkeeper_core::status::Lived::default(),
        bad: release("0.29.0"),
        to: Some(release(to)),
        attempt: "0f1e2d3c-78".to_owned(),
        since: world.now,
        reason: "CrashLoop".to_owned(),
        message: String::new(),
        quarantine: None,
        clean_since: None,
        then_blocked: None,
    });
}

fn verify(world: &mut World, stage: usize) {
    let verified = Verified {
        release: release("0.29.0"),
        source: Source::Verified,
        at: world.now,
        hash: String::new(),
        rules_out: String::new(),
        log_e: 0.0,
        guard_until: None,
    };
    world.stored.stages[stage].verified.push(verified);
}

#[test]
fn nothing_is_said_of_a_world_that_is_fine() {
    assert_eq!(says(|_| {}), Vec::<String>::new());
}

#[test]
fn i1_another_candidate_in_flight() {
    let (mut world, mut watchman) = at_rest();
    enter(&mut world, 0);
    watchman.look(&world);
    world.stored.stages[0].flight = Some(flight(&world, "0.30.0"));
    watchman.look(&world);
    assert!(watchman.violations.iter().any(|what| what.contains(" I1: ")), "{:#?}", watchman.violations);
}

#[test]
fn i2_a_candidate_enters_before_its_predecessor_verified_it_or_is_verified_without_a_flight() {
    sees("I2", |world| enter(world, 1));
    sees("I2", |world| verify(world, 1));
}

#[test]
fn i3_a_pod_is_given_a_tag_or_no_image_at_all() {
    for image in [format!("{}:0.28.0", common::REPOSITORY), "UPPER CASE".to_owned()] {
        sees("I3", |world| moved(world, &image));
    }
}

#[test]
fn i4_what_is_quarantined_is_given_to_a_pod() {
    sees("I4", |world| {
        world.quarantine_by_person(&release("0.28.0"));
        moved(world, &digest_image("0.28.0"));
    });
    sees("I4", |world| {
        world.quarantine_index_by_person(&release("0.29.0").digest);
        enter(world, 0);
    });
}

#[test]
fn i5_a_rollback_goes_to_what_was_never_verified_there() {
    sees("I5", |world| roll_back(world, "0.27.0"));
    // And one that goes on though it is quarantined.
    let (mut world, mut watchman) = at_rest();
    roll_back(&mut world, "0.28.0");
    world.quarantine_by_person(&release("0.28.0"));
    watchman.look(&world);
    watchman.look(&world);
    let said = watchman.violations;
    assert!(said.iter().any(|what| what.contains("a quarantined release")), "{said:#?}");
}

#[test]
fn i6_a_pod_is_moved_by_an_attempt_that_the_status_does_not_hold() {
    sees("I6", |world| moved(world, &digest_image("0.28.0")));
}

#[test]
fn i8_anything_is_done_on_stale_or_failing_data() {
    sees("I8", |world| {
        world.set_watches(false);
        moved(world, &digest_image("0.28.0"));
    });
    sees("I8", |world| {
        world.set_registry(false);
        enter(world, 0);
    });
    sees("I8", |world| {
        world.set_watches(false);
        roll_back(world, "0.28.0");
    });
    sees("I8", |world| {
        world.set_watches(false);
        let namespace = "prod".to_owned();
        world.records.push(Record { at: world.now, what: Effect::Unpinned { namespace } });
    });
    let (mut world, mut watchman) = at_rest();
    enter(&mut world, 0);
    watchman.look(&world);
    world.stored.stages[0].flight = None;
    world.stored.stages[0].phase = Phase::Idle;
    verify(&mut world, 0);
    world.set_watches(false);
    watchman.look(&world);
    assert!(watchman.violations.iter().any(|what| what.contains(" I8: ")), "{:#?}", watchman.violations);
}

#[test]
fn i10_a_stage_runs_less_than_before() {
    sees("I10", |world| {
        let mut lower = world.stored.stages[0].verified[0].clone();
        lower.release = release("0.27.0");
        world.stored.stages[0].current = Some(lower.release.digest.clone());
        world.stored.stages[0].verified.push(lower);
    });
}

#[test]
fn i11_a_pod_is_given_another_repository() {
    let image = format!("elsewhere.example.com/otel@{}", release("0.28.0").digest);
    sees("I11", |world| moved(world, &image));
}

#[test]
fn r16_a_candidate_enters_under_a_tag_that_names_something_else() {
    sees("R16", |world| {
        enter(world, 0);
        world.push(&release("0.29.0-again"), &["0.29.0"], Behaviour::default());
    });
}

#[test]
fn i7_l1_a_controller_that_goes_on_writing_has_not_come_to_rest() {
    let (mut world, mut watchman) = at_rest();
    watchman.nothing_more(&mut world);
    assert_eq!(watchman.violations, Vec::<String>::new());
    // Somebody undoes the pin before every pass, and it is written every time.
    for _ in 0..3 {
        world.pins.clear();
        watchman.nothing_more(&mut world);
    }
    assert!(watchman.violations.iter().any(|what| what.contains("I7")), "{:#?}", watchman.violations);
}

#[test]
fn l2_a_stage_waits_in_silence() {
    sees("L2", |world| world.stored.stages[0].reason.clear());
}

/// 0.29.0 panics in three pods of prod, and nobody decides anything any more.
fn nobody_acts(more: SignedDuration) -> Vec<String> {
    let (mut world, mut watchman) = at_rest();
    enter(&mut world, 2);
    world.stored.stages[2].flight.as_mut().unwrap().promoted_by = Some("kim".to_owned());
    let bad = release("0.29.0");
    world.behaviours.insert(bad.digest.clone(), panics_in_prod(6.0));
    for pod in world.pods.iter_mut().filter(|p| p.name.contains("api")).skip(10).take(3) {
        pod.image = digest_image("0.29.0");
        pod.running = Some(bad.digest.clone());
        pod.waiting = Some("CrashLoopBackOff".to_owned());
    }
    watchman.look(&world);
    world.now += more;
    watchman.look(&world);
    watchman.violations
}

#[test]
fn l3_a_release_in_a_crash_loop_goes_on() {
    assert_eq!(nobody_acts(SignedDuration::from_mins(4)), Vec::<String>::new(), "within the bound");
    let said = nobody_acts(SignedDuration::from_mins(6));
    assert!(said.iter().any(|what| what.contains(" L3: ")), "{said:#?}");
}

#[test]
fn l3_a_release_that_the_evidence_convicts_goes_on() {
    use lockkeeper_core::health::{Arm, Arms, Crash, Stratum};
    let (mut world, mut watchman) = at_rest();
    enter(&mut world, 2);
    let flight = world.stored.stages[2].flight.as_mut().unwrap();
    flight.promoted_by = Some("kim".to_owned());
    let stratum = Stratum::new("prod", "Deployment", "api", "t0");
    let mut arms = Arms::default();
    for node in 0..30 {
        let arm = if node < 5 { Arm::Candidate } else { Arm::Baseline };
        arms.add(&stratum, arm, &format!("n{node}"), &format!("p{node}"));
    }
    for tick in 1..=10 {
        let n = tick % 5;
        let crash = Crash {
            stratum: stratum.clone(),
            arm: Arm::Candidate,
            node: format!("n{n}"),
            pod: format!("p{n}"),
            fingerprint: None,
        };
        flight.health.evidence.tick(tick, 1.0 / 60.0, &arms, &[crash]);
    }
    watchman.look(&world);
    world.now += SignedDuration::from_mins(6);
    watchman.look(&world);
    assert!(watchman.violations.iter().any(|what| what.contains(" L3: ")), "{:#?}", watchman.violations);
}

#[test]
fn i13_a_status_that_is_too_large() {
    sees("I13", |world| world.stored.stages[0].message = "m".repeat(300 * 1024));
}
