//! A policy on its way out, with its comments.

use lockkeeper_core::image::Provider;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// A policy that means what something else did.
#[derive(Debug, Default)]
pub struct Converted {
    /// What it was made from.
    pub from: String,
    pub name: String,
    pub namespace: String,
    pub image: String,
    pub interval: Option<String>,
    pub suspend: bool,
    pub secret: Option<String>,
    pub provider: Option<Provider>,
    pub insecure: bool,
    /// The fields of `select`, in their order.
    pub select: Vec<(&'static str, Value)>,
    /// The target of the one stage; without it: pods by a label that a person has to check.
    pub target: Option<Value>,
    /// What differs: at a field of the policy, or on the whole (empty).
    pub notes: Vec<(&'static str, String)>,
}

impl Converted {
    /// Notes what differs.
    pub fn note(&mut self, field: &'static str, text: impl Into<String>) {
        self.notes.push((field, text.into()));
    }

    /// Notes several things on the whole.
    pub fn notes(&mut self, texts: Vec<String>) {
        self.notes.extend(texts.into_iter().map(|text| ("", text)));
    }

    /// As a file.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(out, "# From {}.", one_line(&self.from));
        self.comments(&mut out, "", "");
        out.push_str("apiVersion: lockkeeper.dev/v1alpha1\nkind: ImagePolicy\nmetadata:\n");
        let _ = writeln!(out, "  name: {}\n  namespace: {}\nspec:", json!(self.name), json!(self.namespace));
        self.field(&mut out, "image", &json!(self.image));
        if let Some(interval) = &self.interval {
            self.field(&mut out, "interval", &json!(interval));
        }
        self.comments(&mut out, "  ", "mode");
        out.push_str(
            "  # Decides and reports, and writes nothing, until this is Enforce.\n  mode: Observe\n",
        );
        if self.suspend {
            self.field(&mut out, "suspend", &json!(true));
        }
        let mut registry = serde_json::Map::new();
        if let Some(secret) = &self.secret {
            registry.insert("secretRef".to_owned(), json!({"name": secret}));
        }
        if let Some(provider) = self.provider {
            registry.insert("provider".to_owned(), json!(provider.word()));
        }
        if self.insecure {
            registry.insert("insecure".to_owned(), json!(true));
        }
        if registry.is_empty() {
            self.comments(&mut out, "  ", "registry");
        } else {
            self.field(&mut out, "registry", &Value::Object(registry));
        }
        self.comments(&mut out, "  ", "select");
        out.push_str("  select:\n");
        for (name, value) in &self.select {
            let _ = writeln!(out, "    {name}: {value}");
        }
        self.stage(&mut out);
        out
    }

    fn field(&self, out: &mut String, name: &str, value: &Value) {
        self.comments(out, "  ", name);
        let _ = writeln!(out, "  {name}: {value}");
    }

    fn comments(&self, out: &mut String, indent: &str, field: &str) {
        for (_, text) in self.notes.iter().filter(|(of, _)| *of == field) {
            let _ = writeln!(out, "{indent}# {}", one_line(text));
        }
    }

    fn stage(&self, out: &mut String) {
        out.push_str("  # One stage, as it was; add those before it, and each gets a release when the one above verified it.\n");
        out.push_str("  stages:\n  - name: all\n    targets:\n");
        self.comments(out, "    ", "targets");
        let target = self.target.clone().unwrap_or_else(|| {
            out.push_str("    # CHECK: the labels of the pods that run this image.\n");
            json!({"pods": {"selector": {"matchLabels": {"app.kubernetes.io/name": self.name}}}})
        });
        let _ = writeln!(out, "    - {target}");
    }
}

/// A comment is one line, whatever came in.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c })
        .collect()
}

/// A name that an object may have.
pub fn object_name(text: &str) -> String {
    let name: String = text
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(63)
        .collect();
    name.trim_matches('-').to_owned()
}
