//! Every CEL rule of every kind refuses, with its own message at its own field; so do the structural limits.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use e2e::{Test, run};
use kube::api::PostParams;
use serde_json::{Value, json};

use super::{DIGEST, OTHER, api, installed, object, pin_spec, policy_spec, refusal};

/// Kind, field without indices, message.
type Rule = (String, String, String);

#[test]
fn every_rule_refuses_with_its_message() {
    run("every_rule_refuses_with_its_message", async |test| {
        installed(test).await?;
        let namespace = test.namespace("rules").await?;
        let mut seen = BTreeSet::new();
        for (kind, spec) in refused_at_creation() {
            seen.extend(creation(test, &namespace, kind, "x", &spec).await?);
        }
        seen.extend(creation(test, &namespace, "ImagePolicy", &"n".repeat(64), &policy_spec()).await?);
        for (number, (kind, before, after)) in refused_at_change().into_iter().enumerate() {
            seen.extend(change(test, &namespace, kind, &format!("o{number}"), &before, &after).await?);
        }
        let unseen: Vec<Rule> = rules().difference(&seen).cloned().collect();
        ensure!(unseen.is_empty(), "no case breaks these rules: {unseen:#?}");
        Ok(())
    });
}

/// Rows of bad input that a limit of the schema refuses, and the field that the server names.
#[test]
fn the_limits_of_the_schema_refuse_with_the_field() {
    run("the_limits_of_the_schema_refuse_with_the_field", async |test| {
        installed(test).await?;
        let namespace = test.namespace("limits").await?;
        let named = |name: &str| json!({"name": name, "targets": policy_spec()["stages"][0]["targets"]});
        for (pointer, value, field) in [
            ("/mode", json!("Turbo"), "spec.mode"),
            ("/image", json!(""), "spec.image"),
            ("/image", json!("a".repeat(513)), "spec.image"),
            ("/interval", json!("5"), "spec.interval"),
            ("/interval", json!(5), "spec.interval"),
            ("/select/semver/range", json!("1".repeat(257)), "spec.select.semver.range"),
            ("/select", json!({"digest": {"tag": "a".repeat(129)}}), "spec.select.digest.tag"),
            ("/stages", json!([]), "spec.stages"),
            ("/stages", json!([named("dev"), named("dev")]), "spec.stages[1]"),
            ("/stages/0/name", json!(""), "spec.stages[0].name"),
            ("/stages/0/targets", json!([]), "spec.stages[0].targets"),
            (
                "/stages/0/targets/0/pods/selector/matchLabels",
                json!({}),
                "spec.stages[0].targets[0].pods.selector.matchLabels",
            ),
            (
                "/stages/0/targets/0/pods/maxUnavailable",
                json!("101%"),
                "spec.stages[0].targets[0].pods.maxUnavailable",
            ),
            ("/stages/0/targets/0/pods/maxMoving", json!(0), "spec.stages[0].targets[0].pods.maxMoving"),
            ("/stages/0/waves", json!([{"pods": 0, "soak": "1m"}]), "spec.stages[0].waves[0].pods"),
            ("/stages/0/waves", json!([{"pods": "few", "soak": "1m"}]), "spec.stages[0].waves[0].pods"),
            ("/stages/0/approval", json!({"required": 0}), "spec.stages[0].approval.required"),
            ("/pullFrom", json!(vec!["a/b"; 9]), "spec.pullFrom"),
        ] {
            let mut spec = policy_spec();
            set(&mut spec, pointer, value.clone());
            let made = object("ImagePolicy", "x", &spec)?;
            let dry = PostParams { dry_run: true, ..PostParams::default() };
            let answer = api(&test.admin, &namespace, "ImagePolicy").create(&dry, &made).await;
            let status = refusal(answer).with_context(|| format!("{pointer} = {value}"))?;
            let causes = status.details.map(|details| details.causes).unwrap_or_default();
            let found: Vec<&str> = causes.iter().map(|cause| cause.field.as_str()).collect();
            ensure!(found.contains(&field), "{pointer} = {value}: {found:?}");
        }
        Ok(())
    });
}

#[test]
fn what_is_right_is_taken() {
    run("what_is_right_is_taken", async |test| {
        installed(test).await?;
        let namespace = test.namespace("right").await?;
        let example: Value = serde_saphyr::from_str(include_str!("../../../docs/reference/example.yaml"))?;
        for (kind, spec) in [
            ("ImagePolicy", example["spec"].clone()),
            ("ImagePolicy", policy_spec()),
            ("ImagePin", pin_spec(DIGEST)),
            ("Quarantine", json!({"digest": DIGEST})),
            (
                "Quarantine",
                json!({"contents": [DIGEST, OTHER], "reason": "Degraded", "policy": "otel", "stage": "dev"}),
            ),
            ("Intervention", json!({"action": "Hold", "reason": "freeze", "requestedBy": "alice"})),
            ("Intervention", approval()),
        ] {
            let dry = PostParams { dry_run: true, ..PostParams::default() };
            let made = api(&test.admin, &namespace, kind).create(&dry, &object(kind, "x", &spec)?).await;
            let made = made.with_context(|| format!("{kind}: {spec}"))?;
            ensure!(
                made.data["spec"] == spec,
                "nothing is dropped and nothing is added: {}",
                made.data["spec"]
            );
        }
        Ok(())
    });
}

fn approval() -> Value {
    json!({"action": "Approve", "policyRef": {"name": "otel"}, "stages": ["prod"], "digest": DIGEST,
        "reason": "looks good", "requestedBy": "alice", "notAfter": "2027-01-01T00:00:00Z"})
}

/// Specs, each with at least one mistake that a rule is for.
fn refused_at_creation() -> Vec<(&'static str, Value)> {
    let mut found = Vec::new();
    let mut policy = |changes: &[(&str, Value)]| {
        let mut spec = policy_spec();
        for (pointer, value) in changes {
            set(&mut spec, pointer, value.clone());
        }
        found.push(("ImagePolicy", spec));
    };
    for repository in ["http://a/b", "user:pw@a/b", "nginx:1.2", "MyOrg/App", "a\u{1f512}/b"] {
        policy(&[("/image", json!(repository)), ("/pullFrom", json!([repository]))]);
    }
    policy(&[
        ("/interval", json!("0s")),
        ("/serviceAccountName", json!("other/sa")),
        (
            "/registry",
            json!({
                "secretRef": {"name": "other/secret"}, "certSecretRef": {"name": "other/secret"},
                "proxySecretRef": {"name": "other/secret"}, "pullSecretsFrom": "other/account",
            }),
        ),
        ("/select", json!({"minimumReleaseAge": "-1m", "digest": {"tag": ".a b"}})),
        ("/stages/0/name", json!("Dev")),
        ("/stages/0/after", json!(["dev"])),
        ("/stages/0/soak", json!("999999h")),
        ("/stages/0/maxSoak", json!("1ns")),
        ("/stages/0/windows", json!([{"cron": "0 9 * * *", "duration": "1s"}])),
        ("/stages/0/waves", json!([{"pods": 3, "soak": "1d"}])),
    ]);
    policy(&[("/select", json!({}))]);
    policy(&[("/select", json!({"semver": {"range": "*"}, "newestBuild": {}}))]);
    policy(&[("/select", json!({"digest": {"tag": "latest"}, "filterTags": {"pattern": "x"}}))]);
    for cosign in [json!({}), json!({"keyless": {}}), json!({"secretRef": {"name": "other/secret"}})] {
        policy(&[("/select/verify", json!({"cosign": cosign}))]);
    }
    policy(&[("/stages/0/soak", json!("2h")), ("/stages/0/maxSoak", json!("1h"))]);
    let all = ["tick", "warmUp", "noDataAfter", "noDataMax", "readyDeadline", "guard", "sweep"];
    let wrong: serde_json::Map<String, Value> =
        all.into_iter().map(|field| (field.to_owned(), json!("9999h"))).collect();
    policy(&[("/health", Value::Object(wrong)), ("/health/falseRollbackBudget", json!("NaN%"))]);
    policy(&[("/health", json!({"require": {"restartsPerPodHour": "0"}}))]);
    policy(&[("/health", json!({"noDataAfter": "2h", "noDataMax": "1h"}))]);
    let prometheus = json!({"address": "ftp://p:9090", "query": "x", "secretRef": {"name": "other/s"}});
    let compare = json!({"limit": "-1", "margin": "1%"});
    let signal = json!({"name": "P95", "prometheus": prometheus, "compare": compare});
    policy(&[("/health", json!({"signals": [signal]}))]);
    let other = json!({"secretRef": {"name": "other/secret"}});
    let judge = json!({"address": "ftp://judge", "secretRef": other["secretRef"]});
    let datadog =
        json!({"site": "datadoghq.evil.com", "query": "x", "secretRef": other["secretRef"], "delay": "11m"});
    let metric = json!({"id": "result", "namespace": "a", "name": "b", "stat": "Sum"});
    let cloud = json!({
        "region": "nowhere", "expression": "m", "metrics": [metric], "secretRef": other["secretRef"], "delay": "-1s",
    });
    policy(&[(
        "/health",
        json!({"signals": [
            {"name": "a", "webhook": judge}, {"name": "b", "datadog": datadog}, {"name": "c", "cloudWatch": cloud}, {"name": "d"}, {"name": "e", "job": {"from": "Other", "deadline": "0s"}, "compare": {"limit": "1"}},
        ]}),
    )]);
    for service in ["slack", "teams", "pagerDuty", "alertmanager", "webhook"] {
        policy(&[("/notify", json!([{service: other, "stages": ["Prod"]}, {}]))]);
    }
    let everywhere = json!({
        "namespaces": ["a"],
        "namespaceSelector": {"matchLabels": {"a": "b"}},
        "selector": {"matchLabels": {"a": "b"}},
    });
    let git = json!({
        "url": "https://user@git.example.com/x", "branch": "main", "secretRef": {"name": "other/secret"},
        "pullRequest": {"provider": "bitbucket", "address": "http://forge", "labels": ["a"], "secretRef": {"name": "other/secret"}},
        "commit": {"signingSecretRef": {"name": "other/secret"}},
        "edits": [{"marker": {"path": "a"}, "kustomize": {"path": "b"}}],
    });
    let targets = json!([
        {"pods": everywhere}, {"workloads": everywhere}, {}, {"git": git, "observe": {"pods": everywhere}}, {"git": git},
    ]);
    policy(&[("/stages/0/targets", targets)]);
    let of_a_cloud = json!({"provider": "aws", "secretRef": {"name": "one"}, "insecure": true});
    policy(&[("/registry", of_a_cloud)]);

    found.push(("Quarantine", json!({"reason": "none"})));
    let asked = |action: &str, more: Value| {
        let mut spec = json!({"action": action, "reason": "r", "requestedBy": "alice"});
        for (field, value) in more.as_object().into_iter().flatten() {
            spec[field] = value.clone();
        }
        ("Intervention", spec)
    };
    found.push(asked("Approve", json!({})));
    found.push(asked("Hold", json!({"stages": ["dev"], "skip": ["Age"]})));
    found
}

/// Kind, spec, and the spec it must not become.
fn refused_at_change() -> Vec<(&'static str, Value, Value)> {
    let changed = |spec: &Value, pointer: &str, value: Value| {
        let mut spec = spec.clone();
        set(&mut spec, pointer, value);
        spec
    };
    let pin = pin_spec(DIGEST);
    let quarantine = json!({"digest": DIGEST, "contents": [DIGEST]});
    vec![
        ("ImagePolicy", policy_spec(), changed(&policy_spec(), "/image", json!("ghcr.io/example/other"))),
        ("ImagePin", pin.clone(), changed(&pin, "/policy/name", json!("other"))),
        ("ImagePin", pin.clone(), changed(&pin, "/stage", json!("other"))),
        ("Quarantine", quarantine.clone(), changed(&quarantine, "/digest", json!(OTHER))),
        ("Quarantine", quarantine.clone(), changed(&quarantine, "/contents", json!([OTHER]))),
        ("Intervention", approval(), changed(&approval(), "/stages", json!(["dev"]))),
    ]
}

async fn creation(test: &Test, namespace: &str, kind: &str, name: &str, spec: &Value) -> Result<Vec<Rule>> {
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let answer = api(&test.admin, namespace, kind).create(&dry, &object(kind, name, spec)?).await;
    broken(kind, refusal(answer).with_context(|| format!("{kind}: {spec}"))?)
}

async fn change(
    test: &Test,
    namespace: &str,
    kind: &str,
    name: &str,
    before: &Value,
    after: &Value,
) -> Result<Vec<Rule>> {
    let api = api(&test.admin, namespace, kind);
    let mut made = api.create(&PostParams::default(), &object(kind, name, before)?).await?;
    made.data["spec"] = after.clone();
    let answer = api.replace(name, &PostParams::default(), &made).await;
    broken(kind, refusal(answer).with_context(|| format!("{kind}: {after}"))?)
}

/// The rules that a refusal speaks of; it must speak of at least one.
fn broken(kind: &str, status: kube::core::Status) -> Result<Vec<Rule>> {
    let causes = status.details.map(|details| details.causes).unwrap_or_default();
    let known = rules();
    let mut found = Vec::new();
    for cause in &causes {
        let field = without_indices(&cause.field);
        found.extend(
            known
                .iter()
                .filter(|(of, at, message)| of == kind && *at == field && cause.message.contains(message))
                .cloned(),
        );
    }
    ensure!(!found.is_empty(), "no rule speaks: {causes:?}");
    Ok(found)
}

/// All rules of all kinds, from the definitions.
fn rules() -> BTreeSet<Rule> {
    let mut found = BTreeSet::new();
    for (_, definition) in lockkeeper_api::definitions() {
        let kind = definition["spec"]["names"]["kind"].as_str().unwrap_or_default();
        walk(kind, "", &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"], &mut found);
    }
    found
}

fn walk(kind: &str, path: &str, schema: &Value, found: &mut BTreeSet<Rule>) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let message = rule["message"].as_str().unwrap_or_default();
        let path = if path.is_empty() { "<nil>" } else { path };
        found.insert((kind.to_owned(), path.to_owned(), message.to_owned()));
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        walk(kind, &below, property, found);
    }
    if schema["items"].is_object() {
        walk(kind, &format!("{path}[]"), &schema["items"], found);
    }
}

/// `spec.stages[0].soak` becomes `spec.stages[].soak`.
fn without_indices(field: &str) -> String {
    let mut parts = field.split('[');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + "[" + part.trim_start_matches(|c: char| c.is_ascii_digit()))
}

/// Sets what a JSON pointer names; a parent that is missing is made.
fn set(whole: &mut Value, pointer: &str, value: Value) {
    let (before, last) = pointer.rsplit_once('/').expect("a JSON pointer");
    match whole.pointer_mut(before) {
        Some(Value::Array(items)) => items[last.parse::<usize>().expect("an index")] = value,
        Some(parent) => parent[last] = value,
        None => set(whole, before, json!({ last: value })),
    }
}
