//! The last look: the file after an edit, read by another parser, differs in nothing but what was meant.
//!
//! Guarantees: an edit that this does not confirm is refused. The parser is a port of libyaml, the ancestor of the one
//! that kubectl, kustomize, Helm and Flux read these files with, and shares no code with the one that finds the place;
//! JSON is read by a JSON parser. Aliases are followed, so a change that reaches another place is seen, and bounded, so
//! that a few lines cannot grow without end.

use crate::{find::Exact, refusal::Why};
use libyaml_safer::{Event, EventData, Parser, ScalarStyle};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// Most values of a file, aliases followed.
const MOST: usize = 500_000;

/// Deepest nesting, aliases followed.
const DEEPEST: usize = 512;

/// A value as a reader sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// Plain ones may be something else than a text.
    Scalar {
        text: String,
        plain: bool,
        tag: Option<String>,
    },
    List(Vec<Value>),
    /// Sorted: their order means nothing.
    Map(Vec<(Value, Value)>),
}

/// What an edit is meant to change.
#[derive(Clone, Debug)]
pub struct Change {
    pub document: usize,
    pub at: Vec<Exact>,
    pub to: Value,
}

impl Value {
    pub fn scalar(text: &str, plain: bool) -> Self {
        Self::Scalar { text: text.to_owned(), plain, tag: None }
    }

    /// A mapping of texts.
    pub fn map(entries: impl IntoIterator<Item = (String, Self)>) -> Self {
        let mut entries: Vec<(Self, Self)> =
            entries.into_iter().map(|(key, value)| (Self::scalar(&key, true), value)).collect();
        entries.sort();
        Self::Map(entries)
    }
}

/// Confirms that `after` is `before` with these changes.
pub fn confirm(before: &str, after: &str, json: bool, changes: &[Change]) -> Result<(), Why> {
    let mut wanted = read(before, json)?;
    let got = read(after, json).map_err(|why| Why {
        reason: format!("could not be read after the edit, so nothing is changed: {}", why.reason),
        ..why
    })?;
    for change in changes {
        let root = wanted.get_mut(change.document);
        root.and_then(|root| set(root, &change.at, &change.to))
            .ok_or_else(|| Why::file("is read in two ways by two parsers; write it more simply"))?;
    }
    if wanted == got {
        return Ok(());
    }
    let reason = "would change in more than one place, as another parser reads it; nothing is changed";
    Err(Why::file(format!("{reason}; write the place more simply")))
}

fn read(text: &str, json: bool) -> Result<Vec<Value>, Why> {
    if !json {
        // The port panics where a block of text ends without a line break; there might be more of this kind, and none
        // may end the process.
        let text = format!("{text}{}", if text.ends_with('\n') { "" } else { "\n" });
        return std::panic::catch_unwind(|| yaml(&text))
            .unwrap_or_else(|_| Err(Why::file("cannot be read by a second parser; write it more simply")));
    }
    let value: Json = serde_json::from_str(text)
        .map_err(|error| Why::at(error.line().max(1), format!("is no JSON: {error}")))?;
    Ok(vec![of_json(&value)])
}

fn of_json(value: &Json) -> Value {
    match value {
        Json::String(text) => Value::scalar(text, false),
        Json::Array(items) => Value::List(items.iter().map(of_json).collect()),
        Json::Object(fields) => Value::map(fields.iter().map(|(name, value)| (name.clone(), of_json(value)))),
        other => Value::scalar(&other.to_string(), true),
    }
}

/// Puts a value where a path leads: in place of another, or as a new entry or the next item.
fn set(value: &mut Value, at: &[Exact], to: &Value) -> Option<()> {
    let Some((step, rest)) = at.split_first() else {
        *value = to.clone();
        return Some(());
    };
    match (value, step) {
        (Value::List(items), Exact::Index(index)) => {
            if *index == items.len() && rest.is_empty() {
                items.push(to.clone());
                return Some(());
            }
            set(items.get_mut(*index)?, rest, to)
        }
        (Value::Map(entries), Exact::Key(key)) => {
            let found = entries
                .iter_mut()
                .find(|(name, _)| matches!(name, Value::Scalar { text, .. } if text == key));
            if let Some((_, value)) = found {
                return set(value, rest, to);
            }
            if !rest.is_empty() {
                return None;
            }
            entries.push((Value::scalar(key, true), to.clone()));
            entries.sort();
            Some(())
        }
        _ => None,
    }
}

/// A collection that is still open.
struct Open {
    value: Value,
    key: Option<Value>,
    anchor: Option<String>,
}

#[derive(Default)]
struct Builder {
    documents: Vec<Value>,
    open: Vec<Open>,
    anchors: BTreeMap<String, (Value, Extent)>,
    count: usize,
}

fn yaml(text: &str) -> Result<Vec<Value>, Why> {
    let mut bytes = text.as_bytes();
    let mut parser = Parser::new();
    parser.set_input_string(&mut bytes);
    let mut builder = Builder::default();
    loop {
        let event = parser.parse().map_err(|error| {
            let line = error.problem_mark().map(|mark| usize::try_from(mark.line).unwrap_or(0) + 1);
            Why { line, reason: format!("is no YAML for kubectl and others: {}", error.problem()) }
        })?;
        if matches!(event.data, EventData::StreamEnd) {
            return Ok(builder.documents);
        }
        let line = usize::try_from(event.start_mark.line).unwrap_or(0) + 1;
        builder.take(event).map_err(|reason| Why::at(line, reason))?;
    }
}

impl Builder {
    fn take(&mut self, event: Event) -> Result<(), String> {
        match event.data {
            EventData::DocumentStart { .. } => self.anchors.clear(),
            EventData::Alias { anchor } => {
                let (value, extent) =
                    self.anchors.get(&anchor).cloned().ok_or("an alias without its anchor")?;
                self.count(extent.values)?;
                if self.open.len() + extent.levels > DEEPEST {
                    return Err(format!("is nested more than {DEEPEST} deep once its aliases are followed"));
                }
                self.add(value);
            }
            EventData::Scalar { anchor, tag, value, style, .. } => {
                self.count(1)?;
                let plain = style == ScalarStyle::Plain;
                let value = Value::Scalar { text: value, plain, tag };
                self.anchored(anchor, &value);
                self.add(value);
            }
            EventData::SequenceStart { anchor, .. } => self.begin(Value::List(Vec::new()), anchor)?,
            EventData::MappingStart { anchor, .. } => self.begin(Value::Map(Vec::new()), anchor)?,
            EventData::SequenceEnd | EventData::MappingEnd => {
                if let Some(mut open) = self.open.pop() {
                    if let Value::Map(entries) = &mut open.value {
                        entries.sort();
                    }
                    self.anchored(open.anchor, &open.value);
                    self.add(open.value);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn count(&mut self, more: usize) -> Result<(), String> {
        self.count += more;
        if self.count > MOST {
            return Err(format!("has more than {MOST} values once its aliases are followed"));
        }
        Ok(())
    }

    fn begin(&mut self, value: Value, anchor: Option<String>) -> Result<(), String> {
        self.count(1)?;
        self.open.push(Open { value, key: None, anchor });
        Ok(())
    }

    fn anchored(&mut self, anchor: Option<String>, value: &Value) {
        if let Some(anchor) = anchor {
            self.anchors.insert(anchor, (value.clone(), extent(value)));
        }
    }

    fn add(&mut self, value: Value) {
        let Some(open) = self.open.last_mut() else {
            self.documents.push(value);
            return;
        };
        match (&mut open.value, open.key.take()) {
            (Value::Map(entries), Some(key)) => entries.push((key, value)),
            (Value::Map(_), None) => open.key = Some(value),
            (Value::List(items), _) => items.push(value),
            (Value::Scalar { .. }, _) => {}
        }
    }
}

/// How large a value is.
#[derive(Clone, Copy, Debug, Default)]
struct Extent {
    values: usize,
    levels: usize,
}

fn extent(value: &Value) -> Extent {
    let below: Vec<&Value> = match value {
        Value::Scalar { .. } => Vec::new(),
        Value::List(items) => items.iter().collect(),
        Value::Map(entries) => entries.iter().flat_map(|(key, value)| [key, value]).collect(),
    };
    let all = below.into_iter().map(extent).fold(Extent::default(), |sum, one| Extent {
        values: sum.values + one.values,
        levels: sum.levels.max(one.levels),
    });
    Extent { values: all.values + 1, levels: all.levels + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(key: &str, to: &str) -> Change {
        Change { document: 0, at: vec![Exact::Key(key.to_owned())], to: Value::scalar(to, true) }
    }

    #[test]
    fn only_what_is_meant_may_differ() {
        let meant = [change("a", "x")];
        confirm("a: 1\nb: 2\n", "a: x\nb: 2\n", false, &meant).unwrap();
        for after in [
            "a: x\nb: 3\n",
            "a: y\nb: 2\n",
            "a: 'x'\nb: 2\n",
            "a: x\n",
            "a: x\nb: 2\nc: 3\n",
            "a: x\n---\nb: 2\n",
            "a: [x",
        ] {
            assert!(confirm("a: 1\nb: 2\n", after, false, &meant).is_err(), "{after}");
        }
        let json = r#"{"a": "1", "b": 2}"#;
        let meant = [Change { to: Value::scalar("x", false), ..change("a", "") }];
        confirm(json, r#"{"a": "x", "b": 2}"#, true, &meant).unwrap();
        assert!(confirm(json, r#"{"a": "x", "b": 2.5}"#, true, &meant).is_err());
        assert!(confirm(json, r#"{"a": "x", "b": 2"#, true, &meant).is_err());
    }

    #[test]
    fn a_change_that_an_alias_carries_elsewhere_is_seen() {
        let (before, after) = ("a: &x 1\nb: *x\n", "a: &x y\nb: *x\n");
        assert!(confirm(before, after, false, &[change("a", "y")]).is_err());
        confirm(before, after, false, &[change("a", "y"), change("b", "y")]).unwrap();
    }

    #[test]
    fn row_35_an_alias_bomb_is_not_followed() {
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
        for n in 1..10 {
            let aliases = vec![format!("*a{}", n - 1); 9].join(",");
            bomb = format!("{bomb}a{n}: &a{n} [{aliases}]\n");
        }
        let why = confirm(&bomb, &bomb, false, &[]).unwrap_err();
        assert!(why.reason.contains("once its aliases are followed") && why.line.is_some(), "{why:?}");
    }

    #[test]
    fn row_35_aliases_do_not_nest_without_end() {
        let mut deep = String::from("a0: &a0 x\n");
        for n in 1..40 {
            let (open, close) = ("[".repeat(200), "]".repeat(200));
            deep = format!("{deep}a{n}: &a{n} {open}*a{}{close}\n", n - 1);
        }
        let why = confirm(&deep, &deep, false, &[]).unwrap_err();
        assert!(why.reason.contains("nested more than 512 deep"), "{why:?}");
    }
}
