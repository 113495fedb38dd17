//! The definitions of the four kinds as a server takes them.
//!
//! Guarantees: structural schemas; no `nullable`, no `default`, no format that the server does not know; every
//! default is said in the field's description. `crds/` and the chart hold exactly this text (a test compares them).

use crate::{ImagePin, ImagePolicy, Intervention, Quarantine, defaults};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;
use serde_json::{Map, Value};

/// Formats that kube-apiserver 1.36 knows and that are used here; any other makes it warn.
const FORMATS: [&str; 4] = ["date-time", "double", "int32", "int64"];

/// File name and YAML of every definition, in the order of their names.
///
/// # Panics
/// Never: a tree of JSON always has a form in YAML, and a test makes it.
#[must_use]
pub fn crds() -> Vec<(String, String)> {
    definitions()
        .into_iter()
        .map(|(name, definition)| {
            let yaml = serde_saphyr::to_string(&definition).expect("a tree of JSON has a form in YAML");
            (format!("{name}.yaml"), yaml)
        })
        .collect()
}

/// The definitions themselves, by name.
///
/// # Panics
/// Never: what the derives make is fixed when this is compiled, and a test makes it.
#[must_use]
pub fn definitions() -> Vec<(String, Value)> {
    let mut found: Vec<(String, Value)> = [
        (ImagePolicy::crd(), defaults::IMAGE_POLICY),
        (ImagePin::crd(), &[][..]),
        (Quarantine::crd(), &[][..]),
        (Intervention::crd(), defaults::INTERVENTION_FIELDS),
    ]
    .into_iter()
    .map(|(crd, defaults)| definition(crd, defaults))
    .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

fn definition(crd: CustomResourceDefinition, defaults: &[(&str, &str)]) -> (String, Value) {
    let name = crd.metadata.name.clone().unwrap_or_default();
    let mut value = serde_json::to_value(crd).expect("a definition came from JSON and goes back to it");
    if let Some(schema) = value.pointer_mut("/spec/versions/0/schema/openAPIV3Schema") {
        let about = schema.pointer("/properties/spec/description").cloned();
        if let (Some(schema), Some(about)) = (schema.as_object_mut(), about) {
            schema.insert("description".to_owned(), about);
            schema.remove("title");
        }
        clean(schema, "", defaults);
    }
    (name, value)
}

/// Walks a schema with the path of its field, such as `spec.stages[].soak`.
fn clean(schema: &mut Value, path: &str, defaults: &[(&str, &str)]) {
    let Some(schema) = schema.as_object_mut() else { return };
    schema.remove("nullable");
    schema.remove("default");
    if schema.get("format").and_then(Value::as_str).is_some_and(|format| !FORMATS.contains(&format)) {
        schema.remove("format");
    }
    describe(schema, path, defaults);
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        for (name, property) in properties {
            let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            clean(property, &below, defaults);
        }
    }
    for (key, suffix) in [("items", "[]"), ("additionalProperties", "{}")] {
        if let Some(inner) = schema.get_mut(key) {
            clean(inner, &format!("{path}{suffix}"), defaults);
        }
    }
}

/// The description on one line, without the marks of rustdoc, with the default behind it.
fn describe(schema: &mut Map<String, Value>, path: &str, defaults: &[(&str, &str)]) {
    let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ").replace('`', "");
    if let Some((_, default)) = defaults.iter().find(|(field, _)| *field == path) {
        text = format!("{text} Default: {default}.");
    }
    if !text.is_empty() {
        schema.insert("description".to_owned(), text.trim().into());
    }
}
