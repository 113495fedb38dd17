//! Pins, Quarantines and Interventions between the wire and the core.

use jiff::Timestamp;
use lockkeeper_api::{ImagePin, Intervention, InterventionSpec, Quarantine, QuarantineSpec, names};
use lockkeeper_core::{
    decision::QuarantineDraft,
    image::Digest,
    observed::InterventionKind,
    pin::{PinDeletion, PinOwner, PinSpec},
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn pin_spec() -> PinSpec {
    PinSpec {
        match_labels: BTreeMap::from([("app".into(), "a".into())]),
        containers: None,
        repositories: vec!["ghcr.io/a/b".into()],
        only_tags: None,
        tag: Some("1.2".parse().unwrap()),
        digest: digest("good"),
        policy: PinOwner { namespace: "platform".into(), name: "otel".into(), uid: "u".into() },
        stage: "dev".into(),
        deletion_policy: PinDeletion::Retain,
    }
}

#[test]
fn a_pin_that_was_written_is_seen_as_written_until_somebody_edits_it() {
    let mut pin = ImagePin::written("dev", "otel-dev", pin_spec());
    let seen = pin.seen();
    assert!(seen.as_written);
    assert_eq!((seen.key.namespace.as_str(), seen.key.name.as_str()), ("dev", "otel-dev"));
    assert_eq!(seen.spec, pin_spec());
    // Through the wire and back nothing changes.
    pin = serde_json::from_value(serde_json::to_value(&pin).unwrap()).unwrap();
    assert!(pin.seen().as_written);

    pin.spec.0.digest = digest("edited");
    assert!(!pin.seen().as_written);
    pin.spec.0 = pin_spec();
    pin.metadata.annotations = None;
    assert!(!pin.seen().as_written, "without the annotation nobody knows who wrote it");
}

#[test]
fn every_field_of_a_pin_is_in_its_hash() {
    let plain = lockkeeper_api::imagepin::spec_hash(&pin_spec());
    let changes: [fn(&mut PinSpec); 11] = [
        |pin| pin.match_labels = BTreeMap::from([("app".into(), "b".into())]),
        |pin| pin.containers = Some(vec!["c".into()]),
        |pin| pin.repositories.push("ghcr.io/c/d".into()),
        |pin| pin.only_tags = Some(vec!["latest".parse().unwrap()]),
        |pin| pin.tag = None,
        |pin| pin.digest = digest("other"),
        |pin| pin.policy.namespace = "x".into(),
        |pin| pin.policy.name = "x".into(),
        |pin| pin.policy.uid = "x".into(),
        |pin| pin.stage = "prod".into(),
        |pin| pin.deletion_policy = PinDeletion::Release,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut pin = pin_spec();
        change(&mut pin);
        assert_ne!(lockkeeper_api::imagepin::spec_hash(&pin), plain, "change {number}");
    }
}

#[test]
fn the_manager_of_a_pin_is_the_last_that_wrote_its_spec() {
    let mut pin = serde_json::to_value(ImagePin::written("dev", "p", pin_spec())).unwrap();
    let entry = |manager: &str, time: &str, field: &str, subresource: &str| {
        json!({"manager": manager, "operation": "Update", "time": time, "subresource": subresource,
            "fieldsType": "FieldsV1", "fieldsV1": {field: {}}})
    };
    pin["metadata"]["managedFields"] = json!([
        entry("lockkeeper", "2026-11-22T10:00:00Z", "f:spec", ""),
        entry("kubectl-edit", "2026-11-22T11:00:00Z", "f:spec", ""),
        entry("annotator", "2026-11-22T12:00:00Z", "f:metadata", ""),
        entry("reporter", "2026-11-22T13:00:00Z", "f:status", "status"),
    ]);
    let pin: ImagePin = serde_json::from_value(pin).unwrap();
    assert_eq!(pin.seen().manager.as_deref(), Some("kubectl-edit"));
}

#[test]
fn row_44_a_malformed_manual_until_is_said_and_counts_as_none() {
    let mut pin = ImagePin::written("dev", "p", pin_spec());
    let annotations = pin.metadata.annotations.as_mut().unwrap();
    annotations.insert(names::MANUAL_UNTIL.into(), "2026-11-22T18:00:00Z".into());
    assert_eq!(pin.seen().manual_until, Some("2026-11-22T18:00:00Z".parse::<Timestamp>().unwrap()));
    for text in ["", "tomorrow", "2026-13-01T00:00:00Z", "x\r\ny"] {
        pin.metadata.annotations.as_mut().unwrap().insert(names::MANUAL_UNTIL.into(), text.into());
        assert_eq!(pin.seen().manual_until, None);
        let message = pin.manual_until().unwrap_err().to_string();
        assert!(
            message.contains("lockkeeper.dev/manual-until") && message.contains("write it as"),
            "{message}"
        );
        assert!(!message.contains(char::is_control), "{message}");
    }
}

#[test]
fn a_draft_becomes_a_quarantine_that_holds_the_same_back() {
    let draft = QuarantineDraft {
        name: "otel-abc".into(),
        tag: Some("0.29.0".parse().unwrap()),
        digest: digest("index"),
        contents: BTreeSet::from([digest("amd64"), digest("config")]),
        reason: "Degraded".into(),
        evidence: "é".repeat(3000),
        policy: "otel".into(),
        stage: "prod".into(),
    };
    let quarantine = Quarantine::from_draft("platform", &draft);
    assert_eq!(quarantine.spec.evidence.chars().count(), 2048, "the server takes no longer text");
    let seen = quarantine.seen().unwrap();
    assert_eq!(seen.digests, BTreeSet::from([digest("index"), digest("amd64"), digest("config")]));
    assert_eq!((seen.name.as_str(), seen.reason.as_str()), ("otel-abc", "Degraded"));
    assert_eq!((seen.policy.as_deref(), seen.stage.as_deref()), (Some("otel"), Some("prod")));
}

#[test]
fn a_person_writes_the_digest_alone() {
    let spec = QuarantineSpec { digest: Some(digest("bad").to_string()), ..QuarantineSpec::default() };
    let seen = Quarantine::new("emergency", spec).seen().unwrap();
    assert_eq!(seen.digests, BTreeSet::from([digest("bad")]));
    assert_eq!((seen.policy, seen.stage), (None, None));
    assert!(!seen.reason.is_empty());
    let found = Quarantine::new("empty", QuarantineSpec::default()).seen().unwrap_err();
    assert!(found[0].to_string().starts_with("spec.digest: "), "{found:?}");
}

fn intervention(spec: Value) -> Intervention {
    let mut spec = spec;
    for field in ["reason", "requestedBy"] {
        if spec.get(field).is_none() {
            spec[field] = json!("x");
        }
    }
    serde_json::from_value(json!({
        "metadata": {"name": "i", "namespace": "platform", "creationTimestamp": "2026-11-22T00:00:00Z"},
        "spec": spec,
    }))
    .unwrap()
}

#[test]
fn requests_are_heard_with_what_they_are_bound_to() {
    let seen = intervention(json!({
        "action": "Promote", "policyRef": {"name": "otel"}, "stages": ["prod"], "digest": digest("fix"),
        "skip": ["Age", "Soak"], "reason": "CVE", "requestedBy": "alice", "notAfter": "2026-11-23T00:00:00Z",
    }))
    .seen()
    .unwrap();
    assert_eq!((seen.id.as_str(), seen.kind), ("platform/i", InterventionKind::Promote));
    assert_eq!(seen.digest, Some(digest("fix")));
    assert_eq!((seen.stages, seen.skip.len()), (vec!["prod".to_owned()], 2));
    assert_eq!((seen.requested_by.as_str(), seen.reason.as_str()), ("alice", "CVE"));
    assert_eq!(seen.not_after, Some("2026-11-23T00:00:00Z".parse().unwrap()));
}

#[test]
fn a_request_is_forgotten_after_a_week_and_a_hold_never() {
    let hold = intervention(json!({"action": "Hold"})).seen().unwrap();
    assert_eq!(hold.not_after, None);
    let resume = intervention(json!({"action": "Resume"})).seen().unwrap();
    assert_eq!(resume.not_after, Some("2026-11-29T00:00:00Z".parse().unwrap()));
}

#[test]
fn a_request_speaks_of_its_policy_its_namespace_or_the_cluster() {
    let named = intervention(json!({"action": "Hold", "policyRef": {"name": "otel", "uid": "u"}}));
    assert!(named.concerns("platform", "otel", "u", "lockkeeper-system"));
    assert!(!named.concerns("platform", "otel", "made-again", "lockkeeper-system"));
    assert!(!named.concerns("platform", "other", "u", "lockkeeper-system"));
    assert!(!named.concerns("elsewhere", "otel", "u", "lockkeeper-system"));
    // A policy of another namespace cannot be named, from the installation's namespace neither.
    assert!(!named.concerns("elsewhere", "otel", "u", "platform"));
    let all = intervention(json!({"action": "Hold"}));
    assert!(all.concerns("platform", "otel", "u", "lockkeeper-system"));
    assert!(!all.concerns("elsewhere", "otel", "u", "lockkeeper-system"));
    assert!(
        all.concerns("elsewhere", "otel", "u", "platform"),
        "in the installation's own namespace: the cluster"
    );
}

#[test]
fn everything_wrong_with_a_request_is_said_at_once() {
    for (spec, paths) in [
        (json!({"action": "Approve"}), vec!["spec.digest", "spec.stages", "spec.policyRef"]),
        (json!({"action": "Hold", "stages": ["a"], "skip": ["Age"]}), vec!["spec.stages", "spec.skip"]),
        (
            json!({"action": "approve", "digest": "md5:00", "skip": ["Agee"]}),
            vec!["spec.action", "spec.digest", "spec.skip[0]"],
        ),
        (
            json!({"action": "Resume", "reason": " ", "requestedBy": ""}),
            vec!["spec.reason", "spec.requestedBy"],
        ),
    ] {
        let found = intervention(spec.clone()).seen().unwrap_err();
        let found: BTreeSet<&str> = found.iter().map(|error| error.path.as_str()).collect();
        assert_eq!(found, paths.into_iter().collect(), "{spec}");
    }
    let spec = InterventionSpec { action: "approve".into(), ..InterventionSpec::default() };
    let found = Intervention::new("i", spec).seen().unwrap_err();
    assert!(found[0].to_string().contains("did you mean \"Approve\"?"), "{found:?}");
}
