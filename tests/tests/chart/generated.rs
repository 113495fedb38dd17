//! What is made from the chart: its README, from the schema of its values, and `deploy/lockkeeper.yaml`, for people
//! without helm (and for all other tests). `make docs` writes both.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use e2e::helm::{Helm, RELEASE, chart};
use e2e::install::{INSTALLATION, checkout};
use serde_json::Value;

use crate::alone;
use crate::values::{schema, values};

/// Compares a file of the checkout, or writes it.
fn check(path: &str, wanted: &str) -> Result<()> {
    let file = checkout(path);
    if std::env::var_os("UPDATE").is_some() {
        return std::fs::write(&file, wanted).with_context(|| path.to_owned());
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    ensure!(found == wanted, "{path} is not what the chart says; `make docs` writes it anew");
    Ok(())
}

#[test]
fn generated_readme_says_every_value() {
    alone(async {
        let mut table = String::from("| value | type | default | meaning |\n|---|---|---|---|\n");
        rows(&schema()?, &values()?, "", &mut table)?;
        let about = include_str!("about.md");
        check("charts/lockkeeper/README.md", &format!("{about}\n## Values\n\n{table}"))
    });
}

fn rows(schema: &Value, values: &Value, path: &str, table: &mut String) -> Result<()> {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let about = field["description"].as_str().unwrap_or_default().replace('|', "\\|");
        if field["properties"].is_object() {
            rows(field, &values[name], &below, table)?;
        } else if !values[name].is_null() {
            let default = serde_json::to_string(&values[name])?;
            writeln!(table, "| `{below}` | {} | `{default}` | {about} |", kind(field))?;
        }
    }
    Ok(())
}

fn kind(field: &Value) -> String {
    let word = |field: &Value| field["type"].as_str().unwrap_or("any").to_owned();
    if let Some(words) = field["enum"].as_array() {
        let words: Vec<&str> =
            words.iter().filter_map(Value::as_str).filter(|word| !word.is_empty()).collect();
        return words.join(", ");
    }
    match field["anyOf"].as_array() {
        Some(all) => all.iter().map(word).collect::<Vec<_>>().join(" or "),
        None if field["type"] == "array" => format!("list of {}", word(&field["items"])),
        None => word(field),
    }
}

#[test]
fn generated_installation_without_helm_is_what_the_chart_makes_of_no_values() {
    alone(async {
        let rendered = Helm::alone().await?.template(&chart(), &["--set", "crds.install=false"]).await?;
        let (_, namespace) = RELEASE;
        let mut text = format!(
            "# Lockkeeper without helm: crds/ first, then this. Made from charts/lockkeeper by `make docs`; not edited by hand.\n\
             apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {namespace}\n  labels: {{pod-security.kubernetes.io/enforce: restricted}}\n"
        );
        for line in rendered.lines().filter(|line| !line.starts_with("# Source: ")) {
            // Who applies this is not helm.
            if !line.contains("managed-by: Helm") {
                text.push_str(line);
                text.push('\n');
            }
        }
        check(INSTALLATION, &text)
    });
}
