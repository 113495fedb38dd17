//! The fields of an object, each of which has to be asked for, or is named as not carried over.

use lockkeeper_core::image::shown;
use serde_json::{Map, Value};

/// The fields of one mapping.
#[derive(Debug, Default)]
pub struct Fields {
    path: String,
    left: Map<String, Value>,
}

impl Fields {
    /// Of a value at a path; none where it is no mapping.
    pub fn of(path: &str, value: &Value) -> Self {
        Self { path: path.to_owned(), left: value.as_object().cloned().unwrap_or_default() }
    }

    /// Takes a field.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name).filter(|value| !value.is_null())
    }

    /// Takes a text, a number or a truth, as text.
    pub fn text(&mut self, name: &str) -> Option<String> {
        let text = match self.left.get(name)? {
            Value::String(text) => text.clone(),
            Value::Object(_) | Value::Array(_) | Value::Null => return None,
            other => other.to_string(),
        };
        self.left.remove(name);
        Some(text)
    }

    /// Takes a truth; a text that says so, too.
    pub fn truth(&mut self, name: &str) -> bool {
        self.text(name).is_some_and(|text| text == "true")
    }

    /// Takes a list of texts.
    pub fn texts(&mut self, name: &str) -> Vec<String> {
        let items = self.left.get(name).and_then(Value::as_array);
        let texts: Option<Vec<String>> =
            items.and_then(|items| items.iter().map(|item| item.as_str().map(str::to_owned)).collect());
        if texts.is_some() {
            self.left.remove(name);
        }
        texts.unwrap_or_default()
    }

    /// Takes a mapping.
    pub fn below(&mut self, name: &str) -> Self {
        let path = format!("{}.{name}", self.path);
        match self.left.remove(name) {
            Some(Value::Object(left)) => Self { path, left },
            Some(other) => {
                self.left.insert(name.to_owned(), other);
                Self { path, left: Map::new() }
            }
            None => Self { path, left: Map::new() },
        }
    }

    /// Whether something of it has not been taken.
    pub fn has_any(&self) -> bool {
        !self.left.is_empty()
    }

    /// What nobody took.
    pub fn rest(self) -> Vec<String> {
        let line = |(name, value): (&String, &Value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            format!("{}.{name} ({}) is not carried over", self.path, shown(&text))
        };
        self.left.iter().filter(|(_, value)| !value.is_null()).map(line).collect()
    }
}
