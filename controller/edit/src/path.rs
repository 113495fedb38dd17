//! The path of one value in a document: `.spec.containers[?(@.name=="otel")].image`.
//!
//! Guarantees: what parses is written back in one spelling that parses to the same. Keys are never split at dots that
//! are escaped (`.annotations.example\.com/image`) or in brackets (`['example.com/image']`). A path says nothing about
//! how many places it matches; whoever follows it demands exactly one.

use lockkeeper_core::image::shown;
use std::{fmt, str::FromStr};

/// Steps from the document's root to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(Vec<Step>);

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The value of a key.
    Key(String),
    /// The item at a position, counted from 0.
    Index(usize),
    /// The items that have all of these values: keys below the item (none: the item itself), and the text there.
    Where(Vec<(Vec<String>, String)>),
    /// Every item.
    Each,
}

/// Why a text is no path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path {value} is wrong at character {position}: {reason}")]
pub struct PathError {
    value: String,
    position: usize,
    reason: String,
}

impl Path {
    /// Its steps, from the root. At least one.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// A path of these steps.
    pub(crate) fn of(steps: Vec<Step>) -> Self {
        Self(steps)
    }

    /// The path of the value that holds this one, if that is not the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let (_, above) = self.0.split_last()?;
        (!above.is_empty()).then(|| Self(above.to_vec()))
    }

    /// The key that it ends with.
    #[must_use]
    pub fn last_key(&self) -> Option<&str> {
        match self.0.last() {
            Some(Step::Key(key)) => Some(key),
            _ => None,
        }
    }
}

impl FromStr for Path {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let mut reader = Reader { text: text.chars().collect(), at: 0 };
        reader.path().map(Self).map_err(|reason| PathError {
            value: shown(text),
            position: reader.at + 1,
            reason,
        })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| write!(f, "{step}"))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write_key(f, key),
            Self::Index(index) => write!(f, "[{index}]"),
            Self::Each => f.write_str("[*]"),
            Self::Where(all) => {
                f.write_str("[?(")?;
                for (n, (keys, value)) in all.iter().enumerate() {
                    f.write_str(if n == 0 { "@" } else { " && @" })?;
                    keys.iter().try_for_each(|key| write_key(f, key))?;
                    write!(f, "==\"{}\"", escaped(value, '"'))?;
                }
                f.write_str(")]")
            }
        }
    }
}

/// As short as it can be: bare where every character is plain.
fn write_key(f: &mut fmt::Formatter<'_>, key: &str) -> fmt::Result {
    if !key.is_empty() && key.chars().all(is_bare) {
        write!(f, ".{key}")
    } else {
        write!(f, "['{}']", escaped(key, '\''))
    }
}

fn is_bare(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '/' | '$')
}

fn escaped(text: &str, quote: char) -> String {
    text.chars()
        .flat_map(|c| [(c == quote || c == '\\').then_some('\\'), Some(c)].into_iter().flatten())
        .collect()
}

struct Reader {
    text: Vec<char>,
    at: usize,
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    /// Whether the next character is this one, which is then behind us.
    fn take(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        self.at += usize::from(found);
        found
    }

    fn need(&mut self, c: char) -> Result<(), String> {
        if self.take(c) { Ok(()) } else { Err(format!("`{c}` is missing")) }
    }

    fn spaces(&mut self) {
        while self.take(' ') {}
    }

    fn path(&mut self) -> Result<Vec<Step>, String> {
        self.take('$');
        let mut steps = Vec::new();
        while self.peek().is_some() {
            if self.take('[') {
                steps.push(self.bracket()?);
            } else {
                // The dot before the first key may be left out.
                if !self.take('.') && !steps.is_empty() {
                    return Err("`.` or `[` is missing".to_owned());
                }
                steps.push(Step::Key(self.key()?));
            }
        }
        if steps.is_empty() {
            return Err("it names no value; write it as .spec.image".to_owned());
        }
        Ok(steps)
    }

    fn key(&mut self) -> Result<String, String> {
        let mut key = String::new();
        while let Some(c) = self.peek() {
            match c {
                '.' | '[' => break,
                ']' | '(' | ')' | '=' | '"' | '\'' | ' ' | '*' => {
                    return Err(format!("a key with `{c}` is written as ['…']"));
                }
                '\\' => {
                    self.at += 1;
                    key.push(self.peek().ok_or("nothing follows the `\\`")?);
                }
                c => key.push(c),
            }
            self.at += 1;
        }
        if key.is_empty() { Err("a key is missing".to_owned()) } else { Ok(key) }
    }

    /// What stands between brackets; the opening one is behind us.
    fn bracket(&mut self) -> Result<Step, String> {
        self.spaces();
        let step = match self.peek() {
            Some('\'' | '"') => Step::Key(self.quoted()?),
            Some('*') => {
                self.at += 1;
                Step::Each
            }
            Some('?') => {
                self.at += 1;
                self.filter()?
            }
            Some(c) if c.is_ascii_digit() => Step::Index(self.index()?),
            Some('-') => return Err("positions are counted from 0, from the beginning".to_owned()),
            _ => {
                let (key, value) = self.short_filter()?;
                Step::Where(vec![(vec![key], value)])
            }
        };
        self.spaces();
        self.need(']')?;
        Ok(step)
    }

    fn index(&mut self) -> Result<usize, String> {
        let digits: String = self.text[self.at..].iter().take_while(|c| c.is_ascii_digit()).collect();
        let index = digits.parse().map_err(|_| "the position is too large".to_owned())?;
        self.at += digits.len();
        Ok(index)
    }

    fn quoted(&mut self) -> Result<String, String> {
        let quote = self.peek().unwrap_or('"');
        self.at += 1;
        let mut text = String::new();
        loop {
            let c = self.peek().ok_or_else(|| format!("the closing {quote} is missing"))?;
            self.at += 1;
            match c {
                c if c == quote => return Ok(text),
                '\\' => {
                    text.push(self.peek().ok_or("nothing follows the `\\`")?);
                    self.at += 1;
                }
                c => text.push(c),
            }
        }
    }

    /// `name=otel`, as kustomize and kpt write it.
    fn short_filter(&mut self) -> Result<(String, String), String> {
        let word = |reader: &Self, end: char| -> String {
            reader.text[reader.at..].iter().take_while(|c| **c != end && **c != ']').collect()
        };
        let key = word(self, '=');
        self.at += key.chars().count();
        if key.trim().is_empty() || !self.take('=') {
            return Err("write [0], ['key'], [name=value] or [?(@.name==\"value\")]".to_owned());
        }
        self.take('=');
        self.spaces();
        if matches!(self.peek(), Some('\'' | '"')) {
            return Ok((key.trim().to_owned(), self.quoted()?));
        }
        let value = word(self, ']');
        self.at += value.chars().count();
        Ok((key.trim().to_owned(), value.trim().to_owned()))
    }

    /// `(@.name=="otel" && @.port==80)`.
    fn filter(&mut self) -> Result<Step, String> {
        self.need('(')?;
        let mut all = Vec::new();
        loop {
            self.spaces();
            self.need('@')?;
            let mut keys = Vec::new();
            loop {
                if self.take('.') {
                    keys.push(self.key_of_filter()?);
                } else if self.take('[') {
                    keys.push(self.quoted()?);
                    self.need(']')?;
                } else {
                    break;
                }
            }
            self.spaces();
            if !(self.take('=') && self.take('=')) {
                return Err("only `==` is known here".to_owned());
            }
            self.spaces();
            let value = match self.peek() {
                Some('\'' | '"') => self.quoted()?,
                _ => self.bare_value()?,
            };
            all.push((keys, value));
            self.spaces();
            if self.take(')') {
                return Ok(Step::Where(all));
            }
            if !(self.take('&') && self.take('&')) {
                return Err("`)` or `&&` is missing".to_owned());
            }
        }
    }

    fn key_of_filter(&mut self) -> Result<String, String> {
        let mut key = String::new();
        while let Some(c) = self.peek() {
            match c {
                '\\' => {
                    self.at += 1;
                    key.push(self.peek().ok_or("nothing follows the `\\`")?);
                }
                c if is_bare(c) => key.push(c),
                _ => break,
            }
            self.at += 1;
        }
        if key.is_empty() { Err("a key is missing".to_owned()) } else { Ok(key) }
    }

    fn bare_value(&mut self) -> Result<String, String> {
        let ends = |c: &char| matches!(c, ' ' | ')' | '&');
        let value: String = self.text[self.at..].iter().take_while(|c| !ends(c)).collect();
        if value.is_empty() {
            return Err("a value is missing".to_owned());
        }
        self.at += value.chars().count();
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_and_written_in_one_spelling() {
        for (text, written) in [
            (".spec.image", ".spec.image"),
            ("spec.image", ".spec.image"),
            ("$.spec.image", ".spec.image"),
            ("['spec'][\"image\"]", ".spec.image"),
            (r".annotations.example\.com/image", ".annotations['example.com/image']"),
            ("a['it\\'s']", ".a['it\\'s']"),
            ("containers[0].image", ".containers[0].image"),
            ("c[name=otel].image", ".c[?(@.name==\"otel\")].image"),
            ("c[name='a b'].image", ".c[?(@.name==\"a b\")].image"),
            ("c[?(@.name=='otel')].image", ".c[?(@.name==\"otel\")].image"),
            ("c[?(@.a.b == \"x\" && @['c.d']==80)].image", ".c[?(@.a.b==\"x\" && @['c.d']==\"80\")].image"),
            ("args[?(@=='x')]", ".args[?(@==\"x\")]"),
            ("c[*].image", ".c[*].image"),
            ("[1]", "[1]"),
        ] {
            let path: Path = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(path.to_string(), written, "{text}");
            assert_eq!(written.parse::<Path>().unwrap(), path);
        }
    }

    #[test]
    fn what_is_no_path_says_where() {
        for (text, position, part) in [
            ("", 1, "names no value"),
            ("$", 2, "names no value"),
            (".a..b", 4, "key is missing"),
            (".a.", 4, "key is missing"),
            (".a b", 3, "['…']"),
            (".a[", 4, "write [0]"),
            (".a[0", 5, "`]`"),
            (".a[-1]", 4, "from 0"),
            (".a['x", 6, "closing '"),
            (".a[?(@.b>1)]", 9, "`==`"),
            (".a[?(@.b=='x'", 14, "`)` or `&&`"),
            (".a[0]b", 6, "`.` or `[`"),
            (".a\\", 4, "`\\`"),
            (".a[99999999999999999999999]", 4, "too large"),
        ] {
            let error = text.parse::<Path>().unwrap_err();
            assert_eq!(error.position, position, "{text}: {error}");
            assert!(error.reason.contains(part), "{text}: {error}");
        }
    }
}
