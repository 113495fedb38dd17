use super::{
    super::{
        output::Paint,
        table::{Columns, header},
        when::When,
    },
    View,
};
use jiff::{Timestamp, tz::TimeZone};
use lockkeeper_api::ImagePolicy;
use lockkeeper_core::{
    conditions::Condition,
    image::{Digest, Release},
    status::{Flight, HealthMemory, Phase, Source, StageStatus, Status, Step, Verified},
};

fn policy(status: Option<Status>) -> ImagePolicy {
    let mut policy = ImagePolicy::default();
    policy.metadata.namespace = Some("platform".into());
    policy.metadata.name = Some("otel".into());
    policy.metadata.creation_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at("2026-11-22T11:18:30Z")));
    policy.status = status.map(Into::into);
    policy
}

fn release(version: &str) -> Release {
    Release {
        tag: None,
        version: Some(version.into()),
        digest: Digest::of(version.as_bytes()),
        platforms: vec![],
        created: None,
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn verified(version: &str) -> Verified {
    Verified {
        release: release(version),
        source: Source::Verified,
        at: at("2026-11-22T00:00:00Z"),
        hash: String::new(),
        rules_out: String::new(),
        log_e: 0.0,
        guard_until: None,
    }
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Condition {
    Condition {
        kind: kind.into(),
        status: status.into(),
        reason: reason.into(),
        message: message.into(),
        last_transition_time: Timestamp::UNIX_EPOCH,
        observed_generation: 1,
    }
}

/// Three stages: at rest, soaking, waiting for people.
fn three() -> Status {
    let stage = |name: &str, runs: &str| StageStatus {
        name: name.into(),
        current: Some(release(runs).digest),
        verified: vec![verified(runs)],
        reason: "Verified".into(),
        ..StageStatus::default()
    };
    let flight = Flight {
        release: release("0.31.0"),
        from: Some(release("0.30.0")),
        attempt: "a-1".into(),
        entered: Timestamp::UNIX_EPOCH,
        soaking_since: None,
        step: Step::All,
        step_since: Timestamp::UNIX_EPOCH,
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
    };
    let soaking = StageStatus {
        phase: Phase::Soaking,
        reason: "Soaking".into(),
        message: "0.31.0 soaks".into(),
        until: Some(at("2026-11-22T14:30:00Z")),
        flight: Some(flight),
        ..stage("staging", "0.30.0")
    };
    let waiting = StageStatus {
        reason: "ApprovalRequired".into(),
        message: "0 of 1 approvals for 0.30.0".into(),
        ..stage("prod", "0.28.0")
    };
    Status {
        phase: "Soaking".into(),
        stages: vec![stage("dev", "0.31.0"), soaking, waiting],
        conditions: vec![condition("Ready", "False", "Soaking", "staging: 0.31.0 soaks")],
        ..Status::default()
    }
}

fn rendered(policies: &[ImagePolicy], wide: bool, namespaces: bool, paint: Paint) -> String {
    let when = When { now: at("2026-11-22T13:18:30Z"), zone: TimeZone::UTC };
    let view = View { when, namespaces };
    let mut rows = vec![header(&view.header(wide))];
    rows.extend(policies.iter().flat_map(|policy| view.rows(policy, wide)));
    Columns::default().lines(&rows, paint)
}

#[test]
fn a_policy_is_one_line_with_its_stages_in_a_row() {
    let text = rendered(&[policy(Some(three()))], false, true, Paint::PLAIN);
    let expected = "\
NAMESPACE   POLICY   STAGES                                                                      PHASE     READY   UNTIL               AGE   MESSAGE
platform    otel     dev 0.31.0 · staging 0.30.0 → 0.31.0 soaking 1h 11m · prod 0.28.0   Soaking   False   14:30 (in 1h 11m)   2h    staging: 0.31.0 soaks
";
    let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(squeezed(&text), squeezed(expected), "{text}");
}

#[test]
fn wide_is_a_line_per_stage_with_what_it_waits_for_and_until_when() {
    let text = rendered(&[policy(Some(three()))], true, false, Paint::PLAIN);
    let lines: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split("   ").map(str::trim).filter(|c| !c.is_empty()).collect())
        .collect();
    assert_eq!(lines[0], ["POLICY", "STAGE", "PHASE", "RUNS", "CANDIDATE", "WAITS FOR", "UNTIL", "MESSAGE"]);
    assert_eq!(lines[1], ["otel", "dev", "Idle", "0.31.0", "-", "Verified", "-"]);
    assert_eq!(
        lines[2],
        ["otel", "staging", "Soaking", "0.30.0", "0.31.0", "Soaking", "14:30 (in 1h 11m)", "0.31.0 soaks"]
    );
    assert_eq!(lines[3][..6], ["otel", "prod", "Idle", "0.28.0", "-", "ApprovalRequired"]);
}

#[test]
fn colours_are_around_what_is_there_without_them() {
    let policies = [policy(Some(three()))];
    let plain = rendered(&policies, false, false, Paint::PLAIN);
    let coloured = rendered(&policies, false, false, Paint::COLOURED);
    assert!(!plain.contains('\u{1b}') && coloured.contains("\u{1b}[36mstaging"), "{coloured}");
    let mut bare = String::new();
    for part in coloured.split('\u{1b}') {
        bare.push_str(part.split_once('m').filter(|_| part.starts_with('[')).map_or(part, |(_, rest)| rest));
    }
    assert_eq!(bare, plain);
}

#[test]
fn a_policy_that_is_wrong_or_new_says_so() {
    let wrong = condition("Stalled", "True", "InvalidSpec", "spec.interval: 5 has no unit");
    let ready = condition("Ready", "False", "InvalidSpec", "spec.interval: 5 has no unit");
    let wrong = policy(Some(Status { conditions: vec![wrong, ready], ..Status::default() }));
    for wide in [false, true] {
        let text = rendered(&[wrong.clone(), policy(None)], wide, false, Paint::PLAIN);
        assert!(text.contains("InvalidSpec: spec.interval: 5 has no unit"), "{text}");
        assert!(text.contains("not looked at yet"), "{text}");
    }
}

#[test]
fn what_people_wrote_brings_no_control_characters() {
    let mut status = three();
    status.conditions[0].message = "held by mallory (\u{1b}[2J\nboo)".into();
    let text = rendered(&[policy(Some(status))], false, false, Paint::PLAIN);
    assert!(text.contains("held by mallory ( [2J boo)") && text.lines().count() == 2, "{text}");
}
