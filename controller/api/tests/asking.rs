//! What would come of a request, and what came of it, for fixed statuses: every refusal once.

use lockkeeper_api::{ImagePolicy, parse};
use lockkeeper_core::{
    asking::{Came, Known, Prospect, came_of, verified_of},
    image::{Digest, Release},
    observed::{InterventionKind, InterventionSeen, QuarantineSeen, Skip},
    policy::Policy,
    stage::heard_id,
    status::{Flight, HealthMemory, Phase, Rollback, Source, StageStatus, Status, Step, Verified},
};
use std::collections::{BTreeMap, BTreeSet};

const POLICY: &str = "
apiVersion: lockkeeper.dev/v1alpha1
kind: ImagePolicy
metadata: {name: otel, namespace: platform}
spec:
  image: registry.example.com/otel
  mode: Enforce
  select: {semver: {range: '>=0.28.0'}}
  stages:
    - {name: dev, targets: [{pods: {selector: {matchLabels: {app: a}}}}]}
    - name: prod
      approval: {required: 2}
      windows: [{cron: '0 9 * * MON', duration: 1h}]
      targets: [{pods: {namespaces: [prod], selector: {matchLabels: {app: a}}}}]
";

fn policy(change: impl FnOnce(&mut ImagePolicy)) -> Policy {
    let mut policy: ImagePolicy = serde_saphyr::from_str(POLICY).unwrap();
    change(&mut policy);
    parse(&policy).unwrap()
}

fn at(text: &str) -> jiff::Timestamp {
    text.parse().unwrap()
}

fn now() -> jiff::Timestamp {
    at("2026-11-22T12:00:00Z")
}

fn release(version: &str) -> Release {
    Release {
        tag: Some(version.parse().unwrap()),
        version: Some(version.into()),
        digest: Digest::of(version.as_bytes()),
        platforms: vec![],
        created: None,
    }
}

fn verified(version: &str, hash: &str, source: Source) -> Verified {
    Verified {
        release: release(version),
        source,
        at: now(),
        hash: hash.into(),
        rules_out: String::new(),
        log_e: 0.0,
        guard_until: None,
    }
}

/// dev has verified 0.29.0, prod runs the adopted 0.28.0.
fn status(policy: &Policy) -> Status {
    let stage = |index: usize, verified: Vec<Verified>| StageStatus {
        name: policy.stages[index].name.clone(),
        current: verified.last().map(|v| v.release.digest.clone()),
        verified,
        ..StageStatus::default()
    };
    let hash = &policy.stages[0].hash;
    let dev = vec![verified("0.28.0", hash, Source::Adopted), verified("0.29.0", hash, Source::Verified)];
    Status {
        candidate: Some(release("0.29.0")),
        stages: vec![stage(0, dev), stage(1, vec![verified("0.28.0", "", Source::Adopted)])],
        ..Status::default()
    }
}

fn request(kind: InterventionKind, stage: &str, version: Option<&str>) -> InterventionSeen {
    InterventionSeen {
        id: "platform/asked".into(),
        kind,
        stages: vec![stage.into()],
        digest: version.map(|version| release(version).digest),
        requested_by: "alice".into(),
        reason: "a test".into(),
        skip: BTreeSet::new(),
        created: now(),
        not_after: None,
    }
}

fn quarantine(version: &str) -> QuarantineSeen {
    QuarantineSeen {
        name: "bad".into(),
        digests: BTreeSet::from([release(version).digest]),
        reason: "CrashLoop".into(),
        policy: None,
        stage: None,
    }
}

fn flight(version: &str) -> Flight {
    Flight {
        release: release(version),
        from: Some(release("0.28.0")),
        attempt: "a-1".into(),
        entered: now(),
        soaking_since: None,
        step: Step::All,
        step_since: now(),
        waves: vec![],
        ready_at_entry: 3,
        unready_at_entry: 0,
        members: 3,
        replaced: 0,
        healthy_seconds: 0,
        clock: None,
        no_data_since: None,
        skip_window: false,
        promoted_by: None,
        health: HealthMemory::default(),
    }
}

/// The world of one row.
struct World {
    policy: Policy,
    status: Status,
    quarantines: Vec<QuarantineSeen>,
    interventions: Vec<InterventionSeen>,
}

fn world() -> World {
    let policy = policy(|_| {});
    let status = status(&policy);
    World { policy, status, quarantines: vec![], interventions: vec![] }
}

impl World {
    fn known(&self) -> Known<'_> {
        let (quarantines, interventions) = (self.quarantines.clone(), self.interventions.clone());
        Known::new(&self.policy, self.status.clone(), quarantines, interventions, now())
    }

    fn prospect(&self, request: &InterventionSeen) -> Prospect {
        self.known().prospect(request)
    }

    /// The one refusal of a request.
    fn refusal(&self, request: &InterventionSeen) -> (&'static str, String) {
        let mut refusals = self.prospect(request).refusals;
        assert_eq!(refusals.len(), 1, "{refusals:?}");
        let refusal = refusals.remove(0);
        assert_eq!(refusal.stage, request.stages[0]);
        (refusal.reason, refusal.message)
    }
}

use InterventionKind::{Adopt, Approve, Hold, Promote, Resume, RollBack};

#[test]
fn an_approval_is_refused_where_it_would_count_for_nothing() {
    let mut world = world();
    let row = |world: &World, stage: &str, version: &str, reason: &str, part: &str| {
        let (found, message) = world.refusal(&request(Approve, stage, Some(version)));
        assert!(found == reason && message.contains(part), "{found}: {message}");
    };
    row(&world, "dev", "0.29.0", "NoApprovalNeeded", "dev asks for no approval");
    row(&world, "stage", "0.29.0", "NoSuchStage", "it has dev, prod");
    row(&world, "prod", "0.28.0", "AlreadyThere", "prod runs 0.28.0 already");
    row(&world, "prod", "0.99.0", "UnknownRelease", "sha256:");
    world.interventions.push(request(Approve, "prod", Some("0.29.0")));
    row(&world, "prod", "0.29.0", "AlreadyApproved", "alice has approved 0.29.0 for prod already; 2 people");
    world.interventions.clear();
    world.status.stages[1].refused =
        BTreeMap::from([(release("0.29.0").contents_key(), "it was not ready".into())]);
    row(&world, "prod", "0.29.0", "Refused", "it was not ready");
    world.quarantines.push(quarantine("0.29.0"));
    row(&world, "prod", "0.29.0", "Quarantined", "lockkeeper unquarantine bad");
}

#[test]
fn an_approval_says_what_it_would_wait_for_after_all() {
    let mut world = world();
    let mine = request(Approve, "prod", Some("0.29.0"));
    let waits = |world: &World| world.prospect(&mine).waits;
    assert!(waits(&world)[0].1.contains("outside its windows until"), "{:?}", waits(&world));
    world.policy = policy(|policy| policy.spec.stages[1].windows.clear());
    world.status = status(&world.policy);
    assert!(waits(&world)[0].1.contains("1 of 2 approvals"), "{:?}", waits(&world));
    world.interventions.push(InterventionSeen { requested_by: "bob".into(), ..mine.clone() });
    assert_eq!(waits(&world), []);
}

#[test]
fn what_waits_for_approval_is_what_the_stages_before_verified() {
    let mut world = world();
    assert_eq!(world.known().awaiting_approval(), [("prod".to_owned(), release("0.29.0"))]);
    world.quarantines.push(quarantine("0.29.0"));
    assert_eq!(world.known().awaiting_approval(), []);
    world.quarantines.clear();
    world.status.stages[1].flight = Some(flight("0.29.0"));
    assert_eq!(world.known().awaiting_approval(), []);
}

#[test]
fn a_promotion_is_refused_where_it_would_be_passed_over() {
    let mut world = world();
    let mut fix = request(Promote, "prod", Some("0.30.0"));
    let (reason, message) = world.refusal(&fix);
    assert!(reason == "NotVerified" && message.contains("dev has not verified it; --skip Soak"), "{message}");
    fix.skip.insert(Skip::Soak);
    assert_eq!(world.prospect(&fix).refusals, [], "what was pushed a moment ago is not known yet");
    assert_eq!(world.refusal(&request(Promote, "prod", Some("0.28.0"))).0, "AlreadyThere");
    world.status.stages[1].flight = Some(flight("0.29.0"));
    assert!(world.prospect(&fix).waits[0].1.contains("0.29.0 is in flight"));
    world.quarantines.push(quarantine("0.30.0"));
    assert_eq!(world.refusal(&fix).0, "Quarantined", "forgotten by the status");
    world.status.candidate = Some(release("0.30.0"));
    assert_eq!(world.refusal(&fix).0, "Quarantined");
    world.policy.suspend = true;
    assert_eq!(world.refusal(&fix).0, "Suspended");
    world.policy = policy(|policy| policy.spec.mode = None);
    assert_eq!(world.refusal(&fix).0, "Observing");
}

#[test]
fn a_rollback_needs_something_to_take_back_and_something_to_go_back_to() {
    let mut world = world();
    assert_eq!(world.prospect(&request(RollBack, "dev", None)).refusals, []);
    assert_eq!(world.refusal(&request(RollBack, "dev", Some("0.28.0"))).0, "NotHere");
    let (reason, message) = world.refusal(&request(RollBack, "prod", None));
    assert!(reason == "NoSafeDigest" && message.contains("0.28.0"), "{message}");
    world.quarantines.push(quarantine("0.28.0"));
    assert_eq!(world.refusal(&request(RollBack, "dev", None)).0, "NoSafeDigest");
    world.status.stages[0].phase = Phase::RollingBack;
    assert_eq!(world.refusal(&request(RollBack, "dev", None)).0, "RollingBack");
    world.status.stages[1] = StageStatus { name: "prod".into(), ..StageStatus::default() };
    assert_eq!(world.refusal(&request(RollBack, "prod", None)).0, "NothingRuns");
}

#[test]
fn adopt_chooses_only_where_nothing_is_chosen_and_resume_needs_something_to_end() {
    let mut world = world();
    let adopt = request(Adopt, "prod", Some("0.29.0"));
    assert_eq!(world.refusal(&adopt).0, "NotMixed");
    world.status.stages[1] = StageStatus { name: "prod".into(), ..StageStatus::default() };
    assert_eq!(world.prospect(&adopt).refusals, []);

    let resume = request(Resume, "dev", None);
    assert_eq!(world.refusal(&resume).0, "NothingToResume");
    let hold = InterventionSeen { created: at("2026-11-22T11:00:00Z"), ..request(Hold, "dev", None) };
    assert_eq!(world.prospect(&hold).refusals, []);
    world.interventions.push(hold);
    assert_eq!(world.prospect(&resume).refusals, []);
    // What was resumed stays so, however long ago.
    let long_ago = at("2026-11-22T11:30:00Z");
    world.interventions.push(InterventionSeen {
        created: long_ago,
        not_after: Some(long_ago),
        ..resume.clone()
    });
    assert_eq!(world.refusal(&resume).0, "NothingToResume");
}

#[test]
fn releases_go_by_version_tag_and_the_beginning_of_a_digest() {
    let world = world();
    let digest = release("0.29.0").digest;
    for name in ["0.29.0", digest.as_str(), digest.short(), &digest.hex()[..6]] {
        let known = world.known();
        let found = known.named(name);
        assert_eq!(found, [&release("0.29.0")], "{name}");
    }
    for name in ["0.30.0", "", &digest.hex()[..5], "sha256:"] {
        assert!(world.known().named(name).is_empty(), "{name}");
    }
}

fn taken_back(version: &str, reason: &str) -> Rollback {
    Rollback {
        before: lockkeeper_core::status::Lived::default(),
        bad: release(version),
        to: None,
        attempt: "a-2".into(),
        since: now(),
        reason: reason.into(),
        message: String::new(),
        quarantine: None,
        clean_since: None,
        then_blocked: None,
    }
}

#[test]
fn what_came_of_it_is_read_from_the_status_alone() {
    let mut world = world();
    let came =
        |world: &World, request: &InterventionSeen| came_of(request, &world.status, &request.stages[0]);
    let approve = request(Approve, "prod", Some("0.29.0"));
    assert_eq!(came(&world, &approve), Came::Unheard);
    world.status.in_force = vec![approve.id.clone()];
    world.status.stages[1].reason = "ApprovalRequired".into();
    world.status.stages[1].message = "1 of 2 approvals".into();
    assert_eq!(came(&world, &approve), Came::Done("counted; now: 1 of 2 approvals".into()));
    world.status.stages[1].reason = "Checking".into();
    assert!(matches!(came(&world, &approve), Came::Underway(_)));
    world.status.stages[1].flight = Some(flight("0.29.0"));
    assert_eq!(came(&world, &approve), Came::Done("0.29.0 enters: all pods".into()));

    let promote = request(Promote, "prod", Some("0.29.0"));
    assert!(matches!(came(&world, &promote), Came::Underway(_)));
    world.status.heard = vec![heard_id(&promote, "prod")];
    assert_eq!(came(&world, &promote), Came::Done("0.29.0 enters: all pods".into()));
    assert!(
        matches!(came(&world, &request(Hold, "prod", None)), Came::Done(held) if held.contains("0.29.0 stays"))
    );

    let back = request(RollBack, "prod", None);
    assert!(matches!(came(&world, &back), Came::Underway(_)));
    world.status.heard = vec![heard_id(&back, "prod")];
    world.status.stages[1].flight = None;
    world.status.stages[1].phase = Phase::RollingBack;
    world.status.stages[1].rollback = Some(taken_back("0.29.0", "RequestedByPerson"));
    assert!(matches!(came(&world, &back), Came::Underway(_)));
    world.status.stages[1].phase = Phase::Blocked;
    assert!(matches!(came(&world, &back), Came::Blocked(_)));
    world.status.stages[1].rollback = None;
    world.status.stages[1].phase = Phase::Idle;
    assert_eq!(came(&world, &back), Came::Done("taken back; runs 0.28.0".into()));
}

#[test]
fn a_release_is_there_when_it_is_verified_and_not_when_it_only_entered() {
    let mut world = world();
    let promote = request(Promote, "prod", Some("0.29.0"));
    let came = |world: &World| verified_of(&promote, &world.status, "prod");
    assert_eq!(came(&world), Came::Unheard);
    world.status.heard = vec![heard_id(&promote, "prod")];
    world.status.stages[1].flight = Some(flight("0.29.0"));
    world.status.stages[1].message = "healthy for 3 of 10 min".into();
    assert_eq!(came(&world), Came::Underway("0.29.0, all pods: healthy for 3 of 10 min".into()));

    // It came to its end.
    let good = Verified { rules_out: "no restart".into(), ..verified("0.29.0", "", Source::Verified) };
    let mut ended = world.status.clone();
    ended.stages[1].flight = None;
    ended.stages[1].current = Some(good.release.digest.clone());
    ended.stages[1].verified.push(good);
    assert_eq!(verified_of(&promote, &ended, "prod"), Came::Done("0.29.0 is verified: no restart".into()));

    // It turned out bad; then it is gone.
    world.status.stages[1].phase = Phase::RollingBack;
    world.status.stages[1].rollback = Some(taken_back("0.29.0", "CrashLoop"));
    assert!(matches!(came(&world), Came::Failed(why) if why.starts_with("0.29.0 is taken back: CrashLoop")));
    world.status.stages[1].rollback = None;
    world.status.stages[1].flight = None;
    world.status.stages[1].phase = Phase::Idle;
    assert!(matches!(came(&world), Came::Failed(why) if why.starts_with("it does not run there any more")));
    world.status.stages[1].phase = Phase::Blocked;
    assert!(matches!(came(&world), Came::Blocked(_)));
}
