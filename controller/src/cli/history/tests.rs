use super::{
    report::{markdown, text},
    timeline::Timeline,
};
use crate::cli::{Failure, known::Loaded, output::Paint, when::When};
use jiff::tz::TimeZone;
use k8s_openapi::api::events::v1::Event;
use lockkeeper_api::{ImagePolicy, Intervention, Quarantine};
use serde_json::{Value, json};

const BAD: &str = "sha256:2929292929292929292929292929292929292929292929292929292929292929";
const POLICY: &str = "
apiVersion: lockkeeper.dev/v1alpha1
kind: ImagePolicy
metadata: {name: otel, namespace: platform, uid: u-1}
spec:
  image: registry.example.com/otel
  select: {semver: {range: '>=0.28.0'}}
  stages: [{name: prod, targets: [{pods: {selector: {matchLabels: {app: a}}}}]}]
";

fn entry(at: &str, reason: &str, message: &str) -> Value {
    json!({"at": format!("2026-11-22T{at}Z"), "reason": reason, "stage": "prod", "message": message})
}

/// The incident, with a person who promoted it and another one who quarantined something else.
fn loaded() -> Loaded {
    let object: ImagePolicy = serde_saphyr::from_str(POLICY).unwrap();
    let policy = lockkeeper_api::parse(&object).unwrap();
    let status = json!({
        "candidate": {"tag": "0.29.0", "version": "0.29.0", "digest": BAD},
        "history": [
            entry("03:00:00", "Verified", "0.28.0 is verified in prod"),
            entry("03:38:00", "PromotionStarted", "0.28.0 → 0.29.0 enters prod, asked for by alice (urgent)"),
            entry("03:47:30", "Degraded", "0.29.0 restarts: 4 against 0"),
            entry("03:47:30", "Quarantined", "0.29.0 is held back everywhere: Quarantine 0-29-0-x; deleting it releases"),
            entry("03:48:00", "RolledBack", "0.29.0 was taken back from prod; it runs 0.28.0"),
            entry("05:00:00", "PromotionStarted", "0.28.0 → 0.29.01 enters prod"),
        ],
    });
    let promote: Intervention = serde_json::from_value(json!({
        "apiVersion": "lockkeeper.dev/v1alpha1", "kind": "Intervention",
        "metadata": {"name": "otel-promote-1", "namespace": "platform", "creationTimestamp": "2026-11-22T03:38:00Z"},
        "spec": {
            "action": "Promote", "reason": "urgent | <b>", "requestedBy": "alice", "policyRef": {"name": "otel"},
            "stages": ["prod"], "skip": ["Age"], "digest": BAD,
        },
    }))
    .unwrap();
    let quarantine = |name: &str, policy: Option<&str>| -> Quarantine {
        serde_json::from_value(json!({
            "apiVersion": "lockkeeper.dev/v1alpha1", "kind": "Quarantine",
            "metadata": {"name": name, "namespace": "platform", "creationTimestamp": "2026-11-22T06:00:00Z"},
            "spec": {"digest": BAD, "tag": "0.29.0", "reason": "advisory", "policy": policy, "requestedBy": "bob"},
        }))
        .unwrap()
    };
    Loaded {
        object,
        policy,
        status: serde_json::from_value(status).unwrap(),
        quarantines: vec![quarantine("0-29-0-x", Some("otel")), quarantine("by-hand", None)],
        interventions: vec![promote],
    }
}

fn event(at: &str, reason: &str, note: &str, uid: &str) -> Event {
    serde_json::from_value(json!({
        "metadata": {"name": "x"}, "eventTime": format!("2026-11-22T{at}.000000Z"), "reason": reason, "note": note,
        "reportingController": "lockkeeper.dev/lockkeeper", "regarding": {"uid": uid},
    }))
    .unwrap()
}

fn timeline() -> Timeline {
    let events = [
        event("02:00:00", "CandidateFound", "0.28.0 is the newest release that selection admits", "u-1"),
        event("03:47:31", "Degraded", "prod: 0.29.0 restarts: 4 against 0", "u-1"),
        event("01:00:00", "Verified", "another policy of that name", "u-0"),
    ];
    Timeline::of(&loaded(), &events)
}

#[test]
fn everything_is_told_once_and_in_time() {
    let told: Vec<String> = timeline().entries.iter().map(|e| format!("{} {}", e.what, e.by)).collect();
    assert_eq!(
        told,
        [
            "CandidateFound lockkeeper",
            "Verified lockkeeper",
            "Promote alice",
            "PromotionStarted lockkeeper",
            "Degraded lockkeeper",
            "Quarantined lockkeeper",
            "RolledBack lockkeeper",
            "PromotionStarted lockkeeper",
            "Quarantined bob",
        ]
    );
}

#[test]
fn of_one_release_it_says_how_long_each_step_took() {
    let mut timeline = timeline();
    timeline.only(&loaded(), "0.29.0").unwrap();
    assert!(timeline.entries.iter().all(|entry| !entry.message.contains("0.29.01")), "{timeline:#?}");
    assert_eq!(timeline.entries.len(), 6, "{timeline:#?}");
    let when = When { now: "2026-11-22T08:00:00Z".parse().unwrap(), zone: TimeZone::UTC };
    let page = text(&timeline, &when, Paint::PLAIN);
    for part in [
        "2026-11-22 03:47:30   prod    Degraded",
        "prod: entered 2026-11-22T03:38:00Z, found bad after 9m, gone after 10m",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
    let report = markdown(&timeline);
    for part in [
        "# otel 0.29.0 in platform\n",
        "- prod: entered 2026-11-22T03:38:00Z, found bad after 9m, gone after 10m",
        "| 2026-11-22 03:47:30 | prod | Degraded | the controller | 0.29.0 restarts: 4 against 0 |",
        "urgent \\| \\<b>",
    ] {
        assert!(report.contains(part), "{part}\n{report}");
    }
    let json = serde_json::to_value(&timeline).unwrap();
    assert_eq!((&json["release"], &json["entries"][0]["by"]), (&json!("0.29.0"), &json!("alice")));
}

#[test]
fn a_release_that_is_known_by_name_only_is_found_and_another_is_not() {
    let mut found = timeline();
    found.only(&loaded(), "0.28.0").unwrap();
    assert!(found.entries.iter().any(|entry| entry.what == "Verified"), "{found:#?}");
    assert!(matches!(timeline().only(&loaded(), "7.7.7"), Err(Failure::NoMatch(_))));
}
