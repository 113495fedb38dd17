//! `lockkeeper convert`: policies that mean what the resources of other tools mean.
//!
//! Guarantees: what it prints is read by the controller's own code before it is printed; every field of the input is
//! carried over, or named in a comment; nothing is written anywhere. The policies observe (`mode: Observe`), so applying
//! them changes nothing.

mod argo;
mod fields;
mod flux;
mod kargo;
mod keel;
mod policy;

use super::{exit::Failure, output::print, select::asked};
use fields::Fields;
use policy::Converted;
use serde_json::Value;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files with resources of Flux, Argo CD Image Updater or Kargo, or with annotations of Image Updater or Keel; - is
    /// standard input.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let mut all = Vec::new();
    for file in &args.files {
        let text = String::from_utf8_lossy(&asked::read("FILE", file)?).into_owned();
        let wrong = |error: serde_saphyr::Error| Failure::Usage(format!("FILE {}: {error}", file.display()));
        all.extend(serde_saphyr::from_multiple::<Value>(&text).map_err(wrong)?);
    }
    let text = converted(all).map_err(Failure::Usage)?;
    match text {
        Some(text) => print(&text),
        None => Err(Failure::NoMatch("nothing that can be converted is in the files".to_owned())),
    }
}

/// The policies of all objects as one text; none where there are none.
fn converted(documents: Vec<Value>) -> Result<Option<String>, String> {
    let objects: Vec<Value> = documents.into_iter().flat_map(items).collect();
    let mut policies = flux::convert(&objects)?;
    for object in &objects {
        policies.extend(argo::updater(object)?);
        policies.extend(argo::annotations(object)?);
        policies.extend(kargo::convert(object)?);
        policies.extend(keel::convert(object)?);
    }
    if policies.is_empty() {
        return Ok(None);
    }
    let mut texts = Vec::new();
    for policy in policies {
        texts.push(read_again(&policy)?);
    }
    Ok(Some(texts.join("---\n")))
}

/// The objects of a list as `kubectl get -o yaml` prints it.
fn items(document: Value) -> Vec<Value> {
    match document {
        Value::Object(mut fields) if fields.contains_key("items") => match fields.remove("items") {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        },
        Value::Null => Vec::new(),
        document => vec![document],
    }
}

/// The policy's text, once the controller's own code has read it.
fn read_again(policy: &Converted) -> Result<String, String> {
    let text = policy.text();
    let read =
        lockkeeper_api::policy_from_yaml(&text, "default").and_then(|object| lockkeeper_api::parse(&object));
    match read {
        Ok(_) => Ok(text),
        Err(errors) => {
            let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
            Err(format!("{}: what it means is no valid ImagePolicy: {}", policy.from, lines.join("\n")))
        }
    }
}

/// What an object is: group without version, and kind.
fn kind(object: &Value) -> (&str, &str) {
    let version = object["apiVersion"].as_str().unwrap_or_default();
    let group = version.split_once('/').map_or("", |(group, _)| group);
    (group, object["kind"].as_str().unwrap_or_default())
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn namespace(object: &Value) -> &str {
    object["metadata"]["namespace"].as_str().unwrap_or("default")
}

/// A shell pattern as a regular expression of whole tags.
fn of_glob(pattern: &str) -> String {
    let mut text = String::from("^");
    for c in pattern.chars() {
        match c {
            '*' => text.push_str(".*"),
            '?' => text.push('.'),
            '[' | ']' | '-' => text.push(c),
            c => text.push_str(&regex_escaped(c)),
        }
    }
    text + "$"
}

fn regex_escaped(c: char) -> String {
    if "\\.+()|{}^$#&~".contains(c) { format!("\\{c}") } else { c.to_string() }
}

#[cfg(test)]
mod tests;
