//! The chart with the real helm against a real API server: what it renders, what it refuses, and a release's life.

#[path = "chart/alerts.rs"]
mod alerts;
#[path = "chart/generated.rs"]
mod generated;
#[path = "chart/life.rs"]
mod life;
#[path = "chart/rendered.rs"]
mod rendered;
#[path = "chart/values.rs"]
mod values;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// The objects of a rendered text.
fn objects(text: &str) -> Result<Vec<Value>> {
    let all: Vec<Value> = serde_saphyr::from_multiple(text).context("what helm rendered is no YAML")?;
    Ok(all.into_iter().filter(|object| !object.is_null()).collect())
}

/// The object of that kind and name.
fn find<'o>(objects: &'o [Value], kind: &str, name: &str) -> Result<&'o Value> {
    let found = objects.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.with_context(|| format!("no {kind} {name}"))
}

/// Runs what needs no bed.
fn alone<F: Future<Output = Result<()>>>(test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.unwrap_or_else(|error| panic!("no runtime: {error}"));
    runtime.block_on(test).unwrap_or_else(|error| panic!("{error:#}"));
}
