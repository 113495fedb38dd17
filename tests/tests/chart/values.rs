//! The schema of the values: every value is described, and bad ones are refused with a message that names them.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use e2e::helm::{Helm, chart};
use serde_json::Value;

use crate::alone;

pub fn schema() -> Result<Value> {
    let text = std::fs::read_to_string(chart().join("values.schema.json"))?;
    serde_json::from_str(&text).context("values.schema.json")
}

pub fn values() -> Result<Value> {
    let text = std::fs::read_to_string(chart().join("values.yaml"))?;
    serde_saphyr::from_str(&text).context("values.yaml")
}

#[test]
fn every_value_is_described_and_nothing_else() {
    alone(async {
        let (mut described, mut given) = (BTreeSet::new(), BTreeSet::new());
        let (schema, values) = (schema()?, values()?);
        fields(&schema, "", &mut described)?;
        paths(&schema, &values, "", &mut given);
        let undescribed: Vec<_> = given.difference(&described).collect();
        ensure!(undescribed.is_empty(), "values without a word in the schema: {undescribed:?}");
        let unknown: Vec<_> = described.difference(&given).map(String::as_str).collect();
        // Keys below a selector, and what helm itself passes on.
        let known = [
            "global",
            "pinAtBirth.namespaceSelector.matchExpressions",
            "pinAtBirth.namespaceSelector.matchLabels",
        ];
        ensure!(unknown == known, "words without a value: {unknown:?}");
        Ok(())
    });
}

/// Every field of the schema; each must say what it is, and refuse what it does not know.
fn fields(schema: &Value, path: &str, found: &mut BTreeSet<String>) -> Result<()> {
    ensure!(schema["additionalProperties"] == false, "{path}: a misspelt value would be taken");
    for (name, field) in schema["properties"].as_object().context("no properties")? {
        let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let about = field["description"].as_str().unwrap_or_default();
        ensure!(about.len() > 10 && about.ends_with('.'), "{below} is not described: {about:?}");
        if field["properties"].is_object() {
            fields(field, &below, found)?;
        }
        found.insert(below);
    }
    Ok(())
}

fn paths(schema: &Value, values: &Value, path: &str, found: &mut BTreeSet<String>) {
    for (name, value) in values.as_object().into_iter().flatten() {
        let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        if schema["properties"][name]["properties"].is_object() {
            paths(&schema["properties"][name], value, &below, found);
        }
        found.insert(below);
    }
}

#[test]
fn bad_values_are_refused_by_name() {
    alone(async {
        let helm = Helm::alone().await?;
        let wrong = [
            ("replicas=many", "at '/replicas': got string, want integer"),
            ("replicas=-1", "at '/replicas': minimum"),
            ("image.tag=a b", "at '/image/tag': 'a b' does not match pattern"),
            ("image.digest=sha256:1", "at '/image/digest'"),
            (
                "pinAtBirth.failurePolicy=Maybe",
                "at '/pinAtBirth/failurePolicy': value must be one of 'Ignore', 'Fail'",
            ),
            ("pinAtBirth.webhook.port=443", "at '/pinAtBirth/webhook/port'"),
            ("pinAtBirth.apiVersion=v2", "at '/pinAtBirth/apiVersion'"),
            ("controller.logFormat=xml", "at '/controller/logFormat': value must be one of 'json', 'human'"),
            ("controller.workloadKinds[0]=Rollout", "at '/controller/workloadKinds/0'"),
            ("controller.podLimit=0", "at '/controller/podLimit'"),
            ("rbac.impersonateIn[0]=Not_A_Name", "at '/rbac/impersonateIn/0'"),
            ("leaderElection.leaseDuration=soon", "at '/leaderElection/leaseDuration'"),
            ("http.port=80", "at '/http/port'"),
            ("networkPolicy.egressPorts[0]=https", "at '/networkPolicy/egressPorts/0'"),
            ("serviceMonitor.interval=often", "at '/serviceMonitor/interval'"),
            ("replica=3", "additional properties 'replica' not allowed"),
            ("controller.enable=false", "at '/controller': additional properties 'enable' not allowed"),
        ];
        for (value, message) in wrong {
            let chart = chart().display().to_string();
            let said = helm.refusal(&["template", "lockkeeper", &chart, "--set", value]).await?;
            ensure!(said.contains(message), "{value}: {said}");
        }
        Ok(())
    });
}
