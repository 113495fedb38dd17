use super::{found::explain, text::render};
use crate::cli::{known::Loaded, output::Paint, when::When};
use jiff::{Timestamp, tz::TimeZone};
use lockkeeper_api::{ImagePolicy, Intervention, Quarantine};
use lockkeeper_core::status::Status;
use serde_json::{Value, json};

const POLICY: &str = "
apiVersion: lockkeeper.dev/v1alpha1
kind: ImagePolicy
metadata: {name: otel, namespace: platform, uid: u-1}
spec:
  image: registry.example.com/otel
  mode: Enforce
  select: {semver: {range: '>=0.28.0'}}
  stages:
    - {name: dev, targets: [{pods: {selector: {matchLabels: {app: a}}}}]}
    - name: prod
      approval: {required: 1}
      windows: [{cron: '0 9 * * MON', duration: 1h}]
      targets: [{pods: {namespaces: [prod], selector: {matchLabels: {app: a}}}}]
";

fn digest(n: u8) -> String {
    format!("sha256:{}", format!("{n:02x}").repeat(32))
}

fn release(version: &str, n: u8) -> Value {
    json!({"tag": version, "version": version, "digest": digest(n)})
}

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

/// dev has verified 0.29.0; prod runs the adopted 0.28.0 and is where `prod` says.
fn loaded(prod: &Value) -> Loaded {
    let object: ImagePolicy = serde_saphyr::from_str(POLICY).unwrap();
    let policy = lockkeeper_api::parse(&object).unwrap();
    let verified = |version: &str, n: u8, source: &str, hash: &str, rules_out: &str| {
        json!({
            "release": release(version, n), "source": source, "at": "2026-11-22T10:00:00Z", "hash": hash,
            "rulesOut": rules_out,
        })
    };
    let ruled_out = "no restart in 6.3 pod-hours: fewer than 0.48 per pod-hour, 95 %";
    let mut here = json!({
        "name": "prod", "phase": "Idle", "current": digest(28), "since": "2026-11-22T11:00:00Z",
        "verified": [verified("0.28.0", 28, "Adopted", "", "")],
    });
    for (key, value) in prod.as_object().unwrap() {
        here[key] = value.clone();
    }
    let status: Status = serde_json::from_value(json!({
        "phase": "Waiting",
        "candidate": release("0.29.0", 29),
        "tags": [
            {"tag": "0.31.0", "reason": "Quarantined", "message": "CrashLoop; `kubectl delete quar q` would release it"},
            {"tag": "0.29.0", "reason": "Candidate"},
            {"tag": "0.32.0-rc1", "reason": "Prerelease", "message": "it is a pre-release"},
        ],
        "stages": [
            {
                "name": "dev", "phase": "Idle", "reason": "Verified", "current": digest(29),
                "message": format!("0.29.0 is verified: {ruled_out}"),
                "verified": [verified("0.29.0", 29, "Verified", &policy.stages[0].hash, ruled_out)],
            },
            here,
        ],
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "x", "message": "prod: waits",
            "lastTransitionTime": "2026-11-22T11:00:00Z",
        }],
        "effective": {"interval": "5m"},
    }))
    .unwrap();
    Loaded { object, policy, status, quarantines: vec![], interventions: vec![] }
}

fn text(loaded: &Loaded) -> String {
    let when = When { now: now(), zone: TimeZone::UTC };
    render(&explain(loaded, now()), &when, Paint::PLAIN)
}

fn contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
}

#[test]
fn a_stage_that_waits_for_people_says_the_command_and_what_comes_after() {
    let text = text(&loaded(&json!({
        "reason": "ApprovalRequired", "message": "0 of 1 approvals for 0.29.0",
    })));
    contains(
        &text,
        &[
            "ImagePolicy platform/otel: Waiting\n  prod: waits\n",
            "image: registry.example.com/otel, mode Enforce",
            "registry: asked every 5m",
            "Candidate 0.29.0",
            "0.31.0       Quarantined   CrashLoop",
            "0.32.0-rc1   Prerelease    it is a pre-release",
            "Stage dev: Idle, runs 0.29.0 (1d1d1d1d1d1d)",
            "since: Verified 10:00 (2h ago): no restart in 6.3 pod-hours: fewer than 0.48 per pod-hour, 95 %",
            "Stage prod: Idle, runs 0.28.0 (1c1c1c1c1c1c)",
            "next: 0.29.0 (1d1d1d1d1d1d)",
            "reason: ApprovalRequired: approvals are missing, since 11:00 (1h ago)",
            &format!("command: lockkeeper approve otel -n platform --stage prod --digest {}", digest(29)),
            "also closed: WindowClosed: outside its windows until 2026-11-23T09:00:00Z",
            "may return to: 0.28.0",
        ],
    );
    assert!(!text.contains("0.29.0       Candidate"), "{text}");
}

#[test]
fn a_wait_with_an_end_says_when_and_how_to_pass_it() {
    let text = text(&loaded(&json!({
        "reason": "WindowClosed", "message": "outside its windows", "until": "2026-11-23T09:00:00Z",
    })));
    contains(&text, &["until: Mon 23 Nov 09:00 (in 21h)", "--skip Window", "also closed: ApprovalRequired"]);
}

#[test]
fn a_soak_says_its_evidence() {
    let text = text(&loaded(&json!({
        "phase": "Soaking", "reason": "Soaking", "message": "0.29.0 in wave 1 of 1 (3 pods)",
        "until": "2026-11-22T12:30:00Z",
        "flight": {
            "release": release("0.29.0", 29), "attempt": "a-1", "entered": "2026-11-22T11:00:00Z", "step": "wave 0",
            "stepSince": "2026-11-22T11:00:00Z", "waves": [{"pods": 3, "soakSeconds": 3600}], "readyAtEntry": 12,
            "unreadyAtEntry": 0, "healthySeconds": 1800, "health": {"crashes": [1, 0]},
        },
    })));
    contains(
        &text,
        &[
            "Stage prod: Soaking, runs 0.28.0",
            "evidence: wave 1 of 1 (3 pods); 30m of 1h healthy; 1 crashes, 0 beside it; nothing to compare with",
            "until: 12:30 (in 30m)",
        ],
    );
}

#[test]
fn a_hold_names_who_and_why_and_the_resume_that_ends_it() {
    let mut loaded = loaded(&json!({"reason": "Held", "message": "held by alice"}));
    let hold: Intervention = serde_json::from_value(json!({
        "apiVersion": "lockkeeper.dev/v1alpha1", "kind": "Intervention",
        "metadata": {"name": "freeze", "namespace": "platform", "creationTimestamp": "2026-11-22T11:00:00Z"},
        "spec": {
            "action": "Hold", "reason": "load test", "requestedBy": "alice", "policyRef": {"name": "otel"},
            "stages": ["prod"], "notAfter": "2026-11-22T14:00:00Z",
        },
    }))
    .unwrap();
    loaded.interventions.push(hold);
    let whole = text(&loaded);
    contains(
        &whole,
        &[
            "held: by alice until 14:00 (in 2h): load test (platform/freeze)",
            "command: lockkeeper resume otel -n platform --stage prod",
        ],
    );
    loaded.interventions[0].spec.stages.clear();
    contains(&text(&loaded), &["command: lockkeeper resume otel -n platform --reason"]);
}

#[test]
fn a_quarantine_shows_its_evidence_and_the_command_that_releases_it() {
    let mut loaded = loaded(&json!({"reason": "Quarantined", "message": "0.29.0 is quarantined"}));
    let quarantine: Quarantine = serde_json::from_value(json!({
        "apiVersion": "lockkeeper.dev/v1alpha1", "kind": "Quarantine",
        "metadata": {"name": "0-29-0-x", "namespace": "platform"},
        "spec": {"digest": digest(29), "tag": "0.29.0", "reason": "CrashLoop", "evidence": "3 pods crash"},
    }))
    .unwrap();
    loaded.quarantines.push(quarantine);
    contains(&text(&loaded), &["Quarantined\n  0-29-0-x (0.29.0): CrashLoop: 3 pods crash"]);
}

#[test]
fn programs_get_the_same_by_name() {
    let found = explain(&loaded(&json!({"reason": "ApprovalRequired"})), now());
    let value = serde_json::to_value(&found).unwrap();
    assert_eq!(value["candidate"]["version"], "0.29.0");
    assert_eq!(value["stages"][1]["coming"]["digest"], digest(29));
    assert_eq!(value["stages"][1]["reason"], "ApprovalRequired");
    assert!(value["stages"][1]["command"].as_str().unwrap().starts_with("lockkeeper approve otel"));
    assert_eq!(value["stages"][0]["runs"]["source"], "Verified");
    assert_eq!(value["tags"][0]["reason"], "Quarantined");
}

#[test]
fn a_policy_that_nobody_has_looked_at_says_so() {
    let mut loaded = loaded(&json!({}));
    loaded.status = Status::default();
    contains(&text(&loaded), &["not looked at yet; does the controller run?", "No candidate"]);
}
