//! The files that are made from the kinds: `crds/`, their copies in the chart, the reference of every field.
//!
//! `UPDATE=1 cargo test -p lockkeeper-api --test generated` writes them; without it a difference fails.

mod reference;

use lockkeeper_api::names;
use lockkeeper_core::health::{Arm, Arms, Crash, Evidence, Stratum};
use serde_json::Value;
use std::{collections::BTreeSet, fs, path::PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Compares one file, or writes it.
fn check(path: &str, wanted: &str) {
    let file = root().join(path);
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, wanted).unwrap();
        return;
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == wanted,
        "{path} is not what the kinds say; write it anew by: UPDATE=1 cargo test -p lockkeeper-api --test generated"
    );
}

/// No file but these may lie there: a kind that is gone must not stay installed.
fn nothing_else(folder: &str, names: &[String]) {
    for entry in fs::read_dir(root().join(folder)).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(names.contains(&name), "{folder}/{name} belongs to no kind; remove it");
    }
}

#[test]
fn the_crds_and_their_copies_are_up_to_date() {
    let crds = lockkeeper_api::crds();
    assert_eq!(crds.len(), 4);
    for folder in ["crds", "charts/lockkeeper/files/crds"] {
        for (name, yaml) in &crds {
            check(&format!("{folder}/{name}"), yaml);
        }
        nothing_else(folder, &crds.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
    }
}

#[test]
fn the_reference_of_the_fields_is_up_to_date() {
    check("docs/reference/fields.md", &reference::page());
}

#[test]
fn the_reference_of_the_interventions_is_up_to_date() {
    let known: Vec<&str> = lockkeeper_api::intervention::ACTIONS.iter().map(|action| action.name).collect();
    let definitions = lockkeeper_api::definitions();
    let (_, kind) = definitions.iter().find(|(name, _)| name.starts_with("interventions")).unwrap();
    let path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/action/enum";
    assert_eq!(kind.pointer(path).unwrap(), &serde_json::json!(known), "every action is explained");
    check("docs/reference/interventions.md", &reference::interventions::page());
}

#[test]
fn the_texts_of_the_crds_read_back_as_the_definitions() {
    for ((name, yaml), (_, definition)) in lockkeeper_api::crds().iter().zip(lockkeeper_api::definitions()) {
        let read: Value = serde_saphyr::from_str(yaml).unwrap();
        assert_eq!(read, definition, "{name}");
    }
}

/// The server drops what the schema does not know: everything that a status can hold must be in it, and in the
/// example that the tests against a real server store and read back.
#[test]
fn the_schema_knows_everything_a_status_can_hold() {
    let mut example: Value = serde_json::from_str(include_str!("full-status.json")).unwrap();
    example["stages"][0]["flight"]["health"]["evidence"] = serde_json::to_value(evidence()).unwrap();
    let read: lockkeeper_api::PolicyStatus = serde_json::from_value(example.clone()).unwrap();
    assert_eq!(read.unreadable, None);
    let written = serde_json::to_value(&read).unwrap();

    let definitions = lockkeeper_api::definitions();
    let (_, policy) = definitions.iter().find(|(name, _)| name.starts_with("imagepolicies")).unwrap();
    let schema = &policy["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"];
    let (mut known, mut held) = (BTreeSet::new(), BTreeSet::new());
    fields_of(schema, "status", &mut known);
    keys_of(&written, schema, "status", &mut held);
    let unknown: Vec<_> = held.difference(&known).collect();
    assert!(unknown.is_empty(), "the server would drop these: {unknown:?}");
    let missing: Vec<_> = known.difference(&held).collect();
    assert!(missing.is_empty(), "tests/full-status.json has nothing for these fields: {missing:?}");
}

/// Evidence with crashes on several nodes and on one.
fn evidence() -> Evidence {
    let stratum = Stratum::new("prod", "Deployment", "app", "t");
    let mut evidence = Evidence::default();
    for (tick, nodes) in [(1, ["n0", "n1"]), (2, ["n0", "n0"])] {
        let mut arms = Arms::default();
        for (number, node) in nodes.into_iter().enumerate() {
            arms.add(&stratum, Arm::Candidate, node, &format!("c{number}"));
            arms.add(&stratum, Arm::Baseline, node, &format!("b{number}"));
        }
        let crash = Crash {
            stratum: stratum.clone(),
            arm: Arm::Candidate,
            node: "n0".into(),
            pod: "c0".into(),
            fingerprint: None,
        };
        evidence.tick(tick, 0.5, &arms, &[crash]);
    }
    evidence
}

fn fields_of(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let below = format!("{path}.{name}");
        fields_of(field, &below, found);
        found.insert(below);
    }
    if schema["items"].is_object() {
        fields_of(&schema["items"], path, found);
    }
}

fn keys_of(value: &Value, schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) if schema["additionalProperties"].is_null() => {
            for (name, value) in map {
                let below = format!("{path}.{name}");
                keys_of(value, &schema["properties"][name], &below, found);
                found.insert(below);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| keys_of(value, &schema["items"], path, found)),
        _ => {}
    }
}

#[test]
fn the_admission_policies_use_the_names_of_the_code() {
    let text = fs::read_to_string(root().join("deploy/lockkeeper.yaml")).unwrap();
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let found = |kind: &str, name: &str| {
        let mut objects = objects.iter().filter(|o| o["kind"] == kind && o["metadata"]["name"] == name);
        objects.next().unwrap_or_else(|| panic!("no {kind} {name}")).clone()
    };
    let map = found("ConfigMap", names::PIN_AT_BIRTH);
    let part = |what: &str| -> Value { serde_saphyr::from_str(map["data"][what].as_str().unwrap()).unwrap() };
    let (policy, binding, webhook) = (part("policy"), part("binding"), part("webhook"));
    for (object, kind) in [
        (&policy, "MutatingAdmissionPolicy"),
        (&binding, "MutatingAdmissionPolicyBinding"),
        (&webhook, "MutatingWebhookConfiguration"),
    ] {
        assert_eq!(
            (&object["kind"], &object["metadata"]["name"]),
            (&kind.into(), &names::PIN_AT_BIRTH.into())
        );
    }
    let hook = &webhook["webhooks"][0];
    let service = &hook["clientConfig"]["service"];
    assert_eq!(service["name"], names::WEBHOOK);
    assert_eq!(service["path"], names::WEBHOOK_PATH);
    assert_eq!(service["namespace"], names::NAMESPACE);
    assert_eq!(hook["failurePolicy"], "Ignore", "pods are born while no replica answers");
    // Both leave the same namespaces alone.
    assert_eq!(hook["namespaceSelector"], binding["spec"]["matchResources"]["namespaceSelector"]);
    found("ClusterRole", names::CLUSTER_ROLE);
    found("Service", names::WEBHOOK);
    assert_eq!(binding["spec"]["policyName"], names::PIN_AT_BIRTH);
    assert_eq!(policy["spec"]["paramKind"]["apiVersion"], format!("{}/{}", names::GROUP, names::VERSION));
    let (policy, binding) = (policy.to_string(), binding.to_string());
    assert!(policy.contains(&format!("'{}' in object.metadata.labels", names::IGNORE)));
    assert!(policy.contains(&format!("jsonpatch.escapeKey('{}')", names::PINNED_BY)));
    assert!(
        binding.contains(names::NAMESPACE)
            && binding.contains("kube-system")
            && binding.contains(names::IGNORE)
    );
    let asked = found("ValidatingAdmissionPolicy", "lockkeeper-interventions").to_string();
    assert!(asked.contains(&format!("request.namespace == '{}'", names::NAMESPACE)));
    assert!(asked.contains(&format!("authorizer.group('{}')", names::GROUP)));
}
