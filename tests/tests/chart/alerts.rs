//! The alerts as the chart installs them, on recorded series, judged by the real promtool: each fires when it should, and not
//! when it only nearly should.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use e2e::helm::{Helm, chart};
use e2e::install::checkout;
use e2e::promtool::Promtool;
use serde_json::{Value, json};

use crate::{alone, find, objects};

/// One recording, a value a minute.
struct Case {
    alert: &'static str,
    /// Series and values, as promtool writes them.
    series: &'static [(&'static str, &'static str)],
    /// When it is looked at.
    at: &'static str,
    /// The labels that the alert has then besides its severity; none: it does not fire.
    fires: Option<&'static [(&'static str, &'static str)]>,
}

const PROD: &[(&str, &str)] = &[("namespace", "platform"), ("policy", "otel"), ("stage", "prod")];
const BLOCKED: &str =
    r#"lockkeeper_stage_phase{namespace="platform",policy="otel",stage="prod",phase="Blocked",instance="a"}"#;
const ROLLING_BACK: &str = r#"lockkeeper_stage_phase{namespace="platform",policy="otel",stage="prod",phase="RollingBack",instance="a"}"#;
const ROLLBACKS: &str = r#"lockkeeper_rollbacks_total{namespace="platform",policy="otel",stage="prod",reason="CrashLoop",instance="a"}"#;
const DRIFTED: &str =
    r#"lockkeeper_drifted_pods{namespace="platform",policy="otel",stage="prod",instance="a"}"#;
const STALE: &str = r#"lockkeeper_watch_stale_seconds{kind="Pods",instance="a"}"#;
const LOOKUPS: &str = r#"lockkeeper_registry_requests_total{kind="tags",outcome="ok",instance="a"}"#;
const ABSENT: &str = r#"lockkeeper_registry_requests_total{kind="manifest",outcome="NotFound",instance="a"}"#;
const FAILED: &str = r#"lockkeeper_registry_requests_total{kind="tags",outcome="Unreachable",instance="a"}"#;
const UNWRITTEN: &str = r#"lockkeeper_status_writes_total{outcome="Forbidden",instance="a"}"#;
const OUTDATED: &str = r#"lockkeeper_status_writes_total{outcome="Outdated",instance="a"}"#;
const LEADER_A: &str = r#"lockkeeper_leader{instance="a"}"#;
const LEADER_B: &str = r#"lockkeeper_leader{instance="b"}"#;
const WAIT_A: &str = r#"lockkeeper_queue_wait_seconds{instance="a"}"#;
const WAIT_B: &str = r#"lockkeeper_queue_wait_seconds{instance="b"}"#;

const fn case(
    alert: &'static str,
    series: &'static [(&'static str, &'static str)],
    at: &'static str,
    fires: Option<&'static [(&'static str, &'static str)]>,
) -> Case {
    Case { alert, series, at, fires }
}

const CASES: &[Case] = &[
    case("LockkeeperNobodyLeads", &[(LEADER_A, "1 0x10"), (LEADER_B, "0x10")], "5m", Some(&[])),
    // No replica runs: nothing is scraped.
    case("LockkeeperNobodyLeads", &[(WAIT_A, "0 _x10")], "5m", Some(&[])),
    // A hand-over that one scrape saw.
    case("LockkeeperNobodyLeads", &[(LEADER_A, "1x4 0x10"), (LEADER_B, "0x5 1x10")], "6m", None),
    case("LockkeeperTwoLead", &[(LEADER_A, "1x10"), (LEADER_B, "0 1x10")], "5m", Some(&[])),
    case("LockkeeperTwoLead", &[(LEADER_A, "1x5 0x10"), (LEADER_B, "0x4 1x10")], "6m", None),
    case("LockkeeperStageBlocked", &[(BLOCKED, "0 1x20")], "17m", Some(PROD)),
    case("LockkeeperStageBlocked", &[(BLOCKED, "0 1x10 0x10")], "17m", None),
    // The first one ever: the series is there, at zero, before it.
    case(
        "LockkeeperRolledBack",
        &[(ROLLBACKS, "0x5 1x10")],
        "8m",
        Some(&[("namespace", "platform"), ("policy", "otel"), ("stage", "prod"), ("reason", "CrashLoop")]),
    ),
    // One of yesterday.
    case("LockkeeperRolledBack", &[(ROLLBACKS, "1x40")], "30m", None),
    case("LockkeeperRollbackTakesLong", &[(ROLLING_BACK, "0 1x40")], "35m", Some(PROD)),
    case("LockkeeperRollbackTakesLong", &[(ROLLING_BACK, "0 1x25 0x20")], "35m", None),
    case("LockkeeperDrift", &[(DRIFTED, "2x90")], "70m", Some(PROD)),
    // Put right within the hour.
    case("LockkeeperDrift", &[(DRIFTED, "2x50 0x40")], "70m", None),
    case("LockkeeperWatchStale", &[(STALE, "0+60x20")], "15m", Some(&[("kind", "Pods")])),
    case("LockkeeperWatchStale", &[(STALE, "0+60x7 0x20")], "15m", None),
    case("LockkeeperRegistryFails", &[(LOOKUPS, "0+1x90"), (FAILED, "0+2x90")], "70m", Some(&[])),
    // What a registry does not have is an answer.
    case(
        "LockkeeperRegistryFails",
        &[(LOOKUPS, "0+2x90"), (ABSENT, "0+9x90"), (FAILED, "0+1x90")],
        "70m",
        None,
    ),
    case("LockkeeperStatusNotWritten", &[(UNWRITTEN, "0+1x60")], "40m", Some(&[("outcome", "Forbidden")])),
    // Somebody else wrote first: decided anew.
    case("LockkeeperStatusNotWritten", &[(OUTDATED, "0+9x60"), (UNWRITTEN, "0x60")], "40m", None),
    case("LockkeeperQueueStuck", &[(LEADER_A, "1x20"), (WAIT_A, "0+60x20")], "15m", Some(&[])),
    // A standby makes no passes, and its queue says nothing.
    case(
        "LockkeeperQueueStuck",
        &[(LEADER_A, "1x20"), (WAIT_A, "2x20"), (LEADER_B, "0x20"), (WAIT_B, "900x20")],
        "15m",
        None,
    ),
];

/// The rules as helm renders them.
async fn rules() -> Result<Value> {
    let text = Helm::alone().await?.template(&chart(), &["--set", "alerts.enabled=true"]).await?;
    Ok(find(&objects(&text)?, "PrometheusRule", "lockkeeper")?["spec"].clone())
}

/// Each alert by its name.
fn alerts(rules: &Value) -> Result<BTreeMap<&str, &Value>> {
    let groups = rules["groups"].as_array().context("no groups")?;
    let all = groups.iter().flat_map(|group| group["rules"].as_array().into_iter().flatten());
    Ok(all.filter_map(|rule| Some((rule["alert"].as_str()?, rule))).collect())
}

/// What promtool shall find: the alert with its labels, and its annotations with them filled in.
fn expected(rule: &Value, labels: &[(&str, &str)]) -> Result<Value> {
    let mut all: BTreeMap<&str, &str> = labels.iter().copied().collect();
    all.insert("severity", rule["labels"]["severity"].as_str().context("no severity")?);
    let mut annotations = BTreeMap::new();
    for (name, text) in rule["annotations"].as_object().context("no annotations")? {
        let mut text = text.as_str().context("no text")?.to_owned();
        for (label, value) in labels {
            text = text.replace(&format!("{{{{ $labels.{label} }}}}"), value);
        }
        ensure!(!text.contains("{{"), "{name} speaks of a label that the alert does not have: {text}");
        annotations.insert(name, text);
    }
    Ok(json!({"exp_labels": all, "exp_annotations": annotations}))
}

#[test]
fn each_alert_fires_when_it_should_and_not_when_it_nearly_should() {
    alone(async {
        let rules = rules().await?;
        let alerts = alerts(&rules)?;
        for alert in alerts.keys() {
            let of = |fires: bool| CASES.iter().any(|c| c.alert == *alert && c.fires.is_some() == fires);
            ensure!(of(true) && of(false), "{alert} needs a recording that fires, and one that does not");
        }
        let mut tests = Vec::new();
        for case in CASES {
            let rule = alerts.get(case.alert).with_context(|| format!("no alert {}", case.alert))?;
            let series: Vec<Value> = case
                .series
                .iter()
                .map(|(series, values)| json!({"series": series, "values": values}))
                .collect();
            let fires = case.fires.map(|labels| expected(rule, labels)).transpose()?;
            tests.push(json!({
                "interval": "1m", "input_series": series,
                "alert_rule_test": [{"alertname": case.alert, "eval_time": case.at, "exp_alerts": Vec::from_iter(fires)}],
            }));
        }
        let promtool = Promtool::new().await?;
        // JSON is YAML, too.
        promtool.write("rules.yaml", &serde_json::to_string_pretty(&rules)?)?;
        let file = json!({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests});
        promtool.write("tests.yaml", &serde_json::to_string_pretty(&file)?)?;
        let said = promtool.run(&["check", "rules", "rules.yaml"], "").await?;
        ensure!(said.contains(&format!("{} rules found", alerts.len())), "{said}");
        promtool.run(&["test", "rules", "tests.yaml"], "").await?;
        Ok(())
    });
}

/// `docs/reference/metrics.md` is made from the program's own registry: names, and their labels.
fn documented() -> Result<BTreeMap<String, BTreeSet<String>>> {
    let page = std::fs::read_to_string(checkout("docs/reference/metrics.md"))?;
    let rows = page.lines().filter(|line| line.starts_with("| `lockkeeper_"));
    let metrics = rows.filter_map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let labels = cells.get(3)?.split(", ").map(|label| label.trim_matches('`').to_owned());
        Some((cells.get(1)?.trim_matches('`').to_owned(), labels.filter(|l| !l.is_empty()).collect()))
    });
    Ok(metrics.collect())
}

#[test]
fn recordings_are_of_the_controller_s_own_metrics() {
    let documented = documented().expect("the reference has the metrics");
    assert!(documented.len() > 20, "{documented:?}");
    for (series, _) in CASES.iter().flat_map(|case| case.series) {
        let (name, labels) = series.trim_end_matches('}').split_once('{').expect("a series has labels");
        let labels: BTreeSet<String> = labels
            .split("\",")
            .filter_map(|pair| pair.split_once('='))
            .map(|(label, _)| label.to_owned())
            // Prometheus itself adds this one.
            .filter(|label| label != "instance")
            .collect();
        assert_eq!(documented.get(name), Some(&labels), "{series}");
    }
}
