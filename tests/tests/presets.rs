//! The presets of docs/guides/presets.md on the pages of tests/presets, evaluated by the real promtool: on a healthy page none
//! of a policy's signals is worse, on a bad one exactly those that are named here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use e2e::install::checkout;
use e2e::promtool::Promtool;
use serde_json::{Value, json};

/// Policy, page, and the signals that are worse on it.
const CASES: &[(&str, &str, &[&str])] = &[
    ("otel-collector", "healthy", &[]),
    ("otel-collector", "failing", &["failed-exports", "spans-out"]),
    ("otel-collector", "refusing", &["refused-spans"]),
    // What hangs has not failed yet; the series of what was sent is not even there.
    ("otel-collector", "stuck", &["full-queue", "spans-out"]),
    ("envoy", "healthy", &[]),
    ("envoy", "errors", &["server-errors"]),
    // Envoy answers 503 in the place of who cannot.
    ("envoy", "resets", &["resets", "server-errors"]),
    ("envoy", "pending", &["pending-overflow", "server-errors"]),
    ("fluent-bit", "healthy", &[]),
    ("fluent-bit", "retrying", &["retries"]),
    ("fluent-bit", "dropping", &["dropped-records"]),
];

const GUIDE: &str = "docs/guides/presets.md";

/// The signals of every policy in the guide.
fn presets() -> Result<BTreeMap<String, Vec<Value>>> {
    let text = std::fs::read_to_string(checkout(GUIDE))?;
    let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    let mut found = BTreeMap::new();
    for block in blocks {
        let policy: Value = serde_saphyr::from_str(block).context(GUIDE)?;
        let name = policy["metadata"]["name"].as_str().context("a policy without a name")?;
        let signals = policy["spec"]["health"]["signals"].as_array().context("no signals")?;
        found.insert(name.to_owned(), signals.clone());
    }
    Ok(found)
}

/// A page's lines as series: name and labels, and the value.
fn page(program: &str, page: &str, when: &str) -> Result<BTreeMap<String, f64>> {
    let path = checkout(&format!("tests/tests/presets/{program}.{page}.{when}.txt"));
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').with_context(|| line.to_owned())?;
            Ok((series.to_owned(), value.parse()?))
        })
        .collect()
}

/// A minute between the two pages as Prometheus has it from a pod that it scrapes every 15 s.
fn scraped(program: &str, name: &str, pod: &str) -> Result<Vec<Value>> {
    let before = page(program, name, "before")?;
    let after = page(program, name, "after")?;
    let series = after.into_iter().map(|(series, to)| {
        // What was not there yet had not been counted.
        let from = before.get(&series).copied().unwrap_or(0.0);
        let labelled = series.replacen('{', &format!("{{namespace=\"prod\",pod=\"{pod}\","), 1);
        json!({"series": labelled, "values": format!("{from}+{}x4", (to - from) / 4.0)})
    });
    Ok(series.collect())
}

/// The question whether the candidate is worse, as an expression that is 1 or 0, or nothing without a value.
fn worse(signal: &Value) -> Result<String> {
    let query = signal["prometheus"]["query"].as_str().context("no query")?;
    let of = |pods: &str| {
        let mut query = query.to_owned();
        for (variable, value) in [("$(pods)", pods), ("$(namespace)", "prod"), ("$(window)", "1m")] {
            query = query.replace(variable, value);
        }
        query
    };
    let (candidate, stable, compare) = (of("candidate-0"), of("stable-0"), &signal["compare"]);
    if let Some(limit) = compare["limit"].as_str() {
        return Ok(format!("({candidate}) > bool {limit}"));
    }
    let margin = compare["margin"].as_str().and_then(|margin| margin.strip_suffix('%'));
    let margin: f64 = margin.context("a margin in per cent")?.parse()?;
    Ok(if compare["direction"] == "LowerIsWorse" {
        format!("({candidate}) < bool ({stable}) * {}", 1.0 - margin / 100.0)
    } else {
        format!("({candidate}) > bool ({stable}) * {}", 1.0 + margin / 100.0)
    })
}

#[tokio::test]
async fn each_preset_says_something_on_its_bad_pages_and_nothing_on_the_healthy_one() -> Result<()> {
    let presets = presets()?;
    let promtool = Promtool::new().await?;
    let mut tests = Vec::new();
    for (program, name, wanted) in CASES {
        let signals = presets.get(*program).with_context(|| format!("{GUIDE} has no {program}"))?;
        let mut series = scraped(program, name, "candidate-0")?;
        series.extend(scraped(program, "healthy", "stable-0")?);
        let mut named = BTreeSet::new();
        let mut questions = Vec::new();
        for signal in signals {
            let signal_name = signal["name"].as_str().context("a signal without a name")?;
            named.insert(signal_name);
            let answer = u8::from(wanted.contains(&signal_name));
            questions.push(json!({
                "expr": worse(signal)?, "eval_time": "1m",
                "exp_samples": [{"labels": "{}", "value": answer}],
            }));
        }
        ensure!(wanted.iter().all(|signal| named.contains(signal)), "{program}: {wanted:?} of {named:?}");
        tests.push(json!({
            "name": format!("{program}: {name}"), "interval": "15s", "input_series": series,
            "promql_expr_test": questions,
        }));
    }
    let file = json!({"rule_files": [], "evaluation_interval": "15s", "tests": tests});
    promtool.write("tests.json", &serde_json::to_string(&file)?)?;
    promtool.run(&["test", "rules", "tests.json"], "").await?;
    Ok(())
}

#[tokio::test]
async fn every_preset_is_an_expression_and_is_tried_or_said_not_to_be() -> Result<()> {
    let promtool = Promtool::new().await?;
    let guide = std::fs::read_to_string(checkout(GUIDE))?;
    let mut rules = String::from("groups:\n- name: presets\n  rules:\n");
    for (program, signals) in presets()? {
        let tried = CASES.iter().any(|(name, _, _)| *name == program);
        let row = guide.lines().find(|line| line.starts_with(&format!("| `{program}` |")));
        let row = row.with_context(|| format!("{program} is not in the table"))?;
        ensure!(tried != row.contains("not tried"), "{row}");
        for signal in &signals {
            let name = signal["name"].as_str().context("no name")?;
            ensure!(row.contains(&format!("`{name}`")), "{program}: {name} is not in the table");
            writeln!(rules, "  - {{record: x, expr: {}}}", json!(worse(signal)?))?;
        }
    }
    promtool.write("rules.yaml", &rules)?;
    promtool.run(&["check", "rules", "rules.yaml"], "").await?;
    Ok(())
}
