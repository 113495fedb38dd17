//! The hash of a stage's definition that a verification is bound to.
//!
//! Guarantees: depends on targets, waves, soak and health (decision 9) and on nothing else; writing a default down
//! changes nothing. A field that is added later must only appear here when it is not at its default, or every
//! verification is lost by an upgrade.

use super::scalar::duration_text;
use jiff::SignedDuration;
use lockkeeper_core::{
    git::FileEdit,
    image::Digest,
    policy::{Amount, HealthSettings, Movement, Namespaces, Target, Wave},
    signals::{CloudWatch, Job, Server, Signal, Source},
};
use serde_json::{Value, json};

/// Sixteen hex digits.
pub(crate) fn of_stage(
    targets: &[Target],
    waves: Option<&[Wave]>,
    soak: SignedDuration,
    health: &HealthSettings,
    signals: &[Signal],
) -> String {
    // Lists only: the order of keys in a map would depend on how serde_json is built.
    let mut definition = vec![
        json!(targets.iter().map(target).collect::<Vec<_>>()),
        json!(waves.map(|waves| {
            waves.iter().map(|w| json!([amount(w.pods), duration_text(w.soak)])).collect::<Vec<_>>()
        })),
        json!(duration_text(soak)),
        self::health(health),
    ];
    if !signals.is_empty() {
        definition.push(signals.iter().map(signal).collect());
    }
    short(&Value::Array(definition))
}

/// Of the text of some JSON: the first sixteen hex digits of its sha256.
pub(crate) fn short(value: &Value) -> String {
    Digest::of(value.to_string().as_bytes()).hex()[..16].to_owned()
}

fn target(target: &Target) -> Value {
    match target {
        Target::Pods(t) => json!([
            "pods",
            namespaces(&t.namespaces),
            pairs(&t.match_labels),
            t.containers,
            match t.movement {
                Movement::InPlace => "InPlace",
                Movement::AtBirth => "AtBirth",
            },
            amount(t.max_unavailable),
            t.max_moving,
        ]),
        Target::Workloads(t) => json!([
            "workloads",
            namespaces(&t.namespaces),
            pairs(&t.match_labels),
            t.containers,
            t.kinds,
            amount(t.max_unavailable),
            t.max_moving,
        ]),
        // The Secret is left out: a rotated credential delivers the same.
        Target::Git(t) => json!([
            "git",
            t.remote.url,
            t.remote.branch,
            t.edits.iter().map(edit).collect::<Vec<_>>(),
            namespaces(&t.namespaces),
            pairs(&t.match_labels),
            t.containers,
        ]),
    }
}

fn edit(edit: &FileEdit) -> Value {
    match edit {
        FileEdit::Kustomize { path, name } => json!(["kustomize", path, name]),
        FileEdit::HelmValues { path, image } => json!(["helmValues", path, image]),
        FileEdit::Path { path, at } => json!(["path", path, at]),
        FileEdit::Marker { path } => json!(["marker", path]),
    }
}

fn namespaces(namespaces: &Namespaces) -> Value {
    match namespaces {
        Namespaces::Own => json!(["own"]),
        Namespaces::Named(names) => json!(["named", names]),
        Namespaces::Matching(labels) => json!(["matching", pairs(labels)]),
    }
}

fn pairs(labels: &std::collections::BTreeMap<String, String>) -> Vec<(&String, &String)> {
    labels.iter().collect()
}

fn amount(amount: Amount) -> String {
    match amount {
        Amount::Count(n) => n.to_string(),
        Amount::Percent(n) => format!("{n}%"),
    }
}

/// The Secret is left out: a rotated credential measures the same.
fn signal(signal: &Signal) -> Value {
    let Signal { name, source: Source { server, query, delay, secret: _ }, compare } = signal;
    let (query, compare) = (query.to_string(), compare.to_string());
    match server {
        Server::Prometheus(address) => json!([name, address, query, compare]),
        Server::Webhook(address) => json!([name, "webhook", address, compare]),
        Server::Job(Job { from, deadline }) => json!([name, "job", from, duration_text(*deadline)]),
        Server::Datadog(site) => json!([name, "datadog", site, query, compare, duration_text(*delay)]),
        Server::CloudWatch(CloudWatch { region, metrics }) => {
            let metrics: Vec<Value> =
                metrics.iter().map(|m| json!([m.id, m.namespace, m.name, m.dimensions, m.stat])).collect();
            json!([name, "cloudWatch", region, metrics, query, compare, duration_text(*delay)])
        }
    }
}

fn health(health: &HealthSettings) -> Value {
    let HealthSettings {
        tick,
        warm_up,
        false_rollback_budget,
        no_data_after,
        no_data_max,
        ready_deadline,
        guard,
        sweep,
        require,
    } = *health;
    let durations =
        [tick, warm_up, no_data_after, no_data_max, ready_deadline, guard, sweep].map(duration_text);
    match require {
        None => json!([durations, false_rollback_budget.to_string()]),
        Some(rate) => json!([durations, false_rollback_budget.to_string(), rate.to_string()]),
    }
}
