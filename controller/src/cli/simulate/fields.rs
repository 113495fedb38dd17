//! Reading a tree of YAML field by field: every mistake names path, value, reason and what to do, and all are found.

use jiff::SignedDuration;
use lockkeeper_api::{FieldError, suggestion};
use serde_json::{Map, Value};
use std::fmt;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Node<'a> {
    pub path: String,
    pub value: &'a Value,
}

impl<'a> Node<'a> {
    pub fn new(path: impl Into<String>, value: &'a Value) -> Self {
        Self { path: path.into(), value }
    }

    /// The field `name`, if it is there and not null.
    pub fn get(&self, name: &str) -> Option<Node<'a>> {
        let value = self.value.get(name).filter(|value| !value.is_null())?;
        Some(Node::new(self.path_of(name), value))
    }

    pub fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// As people wrote it, for messages.
    fn shown(&self) -> String {
        match self.value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }
}

/// All mistakes so far.
#[derive(Debug, Default)]
pub struct Mistakes(pub Vec<FieldError>);

impl Mistakes {
    pub fn add(&mut self, node: &Node<'_>, reason: impl fmt::Display, fix: impl fmt::Display) {
        self.0.push(FieldError::new(node.path.clone(), &node.shown(), reason, fix));
    }

    /// The mistakes of something that was read on its own, under `path`.
    pub fn take(&mut self, path: &str, mistakes: Vec<FieldError>) {
        let below = |e: FieldError| FieldError { path: format!("{path}.{}", e.path), message: e.message };
        self.0.extend(mistakes.into_iter().map(below));
    }

    /// The fields of a mapping; those that are not `known` are mistakes.
    pub fn fields<'a>(&mut self, node: &Node<'a>, known: &[&str]) -> Option<&'a Map<String, Value>> {
        let fields = self.mapping(node)?;
        for name in fields.keys().filter(|name| !known.contains(&name.as_str())) {
            let fix = suggestion(name, known.iter().copied());
            self.0.push(FieldError::new(node.path_of(name), name, "is no field", fix));
        }
        Some(fields)
    }

    pub fn mapping<'a>(&mut self, node: &Node<'a>) -> Option<&'a Map<String, Value>> {
        let fields = node.value.as_object();
        if fields.is_none() {
            self.add(node, "is no mapping", "write fields, as in `name: value`");
        }
        fields
    }

    pub fn list<'a>(&mut self, node: &Node<'a>, most: usize) -> Vec<Node<'a>> {
        let Some(list) = node.value.as_array() else {
            self.add(node, "is no list", "write items, as in `- item` or `[item]`");
            return Vec::new();
        };
        if list.len() > most {
            let count = Value::from(list.len());
            self.add(
                &Node::new(node.path.clone(), &count),
                "are too many items",
                format_args!("write at most {most}"),
            );
            return Vec::new();
        }
        list.iter().enumerate().map(|(n, value)| Node::new(format!("{}[{n}]", node.path), value)).collect()
    }

    /// A field that must be there.
    pub fn needed<'a>(&mut self, node: &Node<'a>, name: &str, fix: &str) -> Option<Node<'a>> {
        let found = node.get(name);
        if found.is_none() && node.value.is_object() {
            self.0.push(FieldError::new(node.path_of(name), "", "is missing", fix));
        }
        found
    }

    pub fn text<'a>(&mut self, node: &Node<'a>) -> Option<&'a str> {
        match node.value.as_str() {
            Some(text) if text.trim().is_empty() => {
                self.add(node, "says nothing", "write some text, or leave the field out");
                None
            }
            Some(text) if text.len() > 1000 => {
                self.add(node, "is too long", "write at most 1000 bytes");
                None
            }
            Some(text) => Some(text),
            None => {
                self.add(node, "is no text", "put it in quotes");
                None
            }
        }
    }

    pub fn texts(&mut self, node: &Node<'_>, most: usize) -> Vec<String> {
        let items = self.list(node, most);
        items.iter().filter_map(|item| self.text(item).map(str::to_owned)).collect()
    }

    /// A text that something else can read; its own error says why not.
    pub fn parsed<T: std::str::FromStr<Err: fmt::Display>>(&mut self, node: &Node<'_>) -> Option<T> {
        let text = self.text(node)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.0.push(FieldError { path: node.path.clone(), message: format!("{error}") });
                None
            }
        }
    }

    pub fn flag(&mut self, node: &Node<'_>) -> Option<bool> {
        let flag = node.value.as_bool();
        if flag.is_none() {
            self.add(node, "is neither true nor false", "write true or false");
        }
        flag
    }

    /// One of two words.
    pub fn either(&mut self, node: &Node<'_>, yes: &str, no: &str) -> Option<bool> {
        let text = self.text(node)?;
        let found = (text == yes).then_some(true).or((text == no).then_some(false));
        if found.is_none() {
            self.add(node, "is not known here", format_args!("write {yes} or {no}"));
        }
        found
    }

    pub fn count(&mut self, node: &Node<'_>, least: u64, most: u64) -> Option<u64> {
        let found = node.value.as_u64().filter(|n| (least..=most).contains(n));
        if found.is_none() {
            self.add(
                node,
                "is not a number that fits",
                format_args!("write a whole number from {least} to {most}"),
            );
        }
        found
    }

    pub fn rate(&mut self, node: &Node<'_>) -> Option<f64> {
        let found = node.value.as_f64().filter(|n| (0.0..=3600.0).contains(n));
        if found.is_none() {
            self.add(node, "is no rate", "write crashes per pod and hour, from 0 to 3600");
        }
        found
    }

    pub fn duration(&mut self, node: &Node<'_>) -> Option<SignedDuration> {
        let text = self.text(node)?;
        let found = text.parse::<SignedDuration>().ok().filter(|d| !d.is_negative() && *d <= LONGEST);
        if found.is_none() {
            self.add(node, "is no duration", "write one such as 90s, 15m or 1h30m, of at most 60 days");
        }
        found
    }
}

/// Longest time that a scenario may speak of.
pub const LONGEST: SignedDuration = SignedDuration::from_hours(60 * 24);
