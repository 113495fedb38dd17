//! The edits of one file: collected first, then made all at once, then checked.
//!
//! Guarantees: all or nothing; bytes outside of what was replaced or inserted stay; equal values are no change.

use crate::{
    Change, Edited, check,
    file::{self, line_end},
    find::{Exact, Found, written},
    refusal::Why,
    scalar::{self, Place, Written},
    tree::{Kind, Tree},
};
use granit_parser::ScalarStyle;
use std::ops::Range;

/// One file that is being edited.
pub struct Session<'a> {
    pub tree: Tree<'a>,
    pub json: bool,
    splices: Vec<Splice>,
    meant: Vec<check::Change>,
    changes: Vec<Change>,
    found: usize,
}

struct Splice {
    range: Range<usize>,
    text: String,
}

impl<'a> Session<'a> {
    pub fn begin(text: &'a str) -> Result<Self, Why> {
        Ok(Self {
            tree: file::tree(text)?,
            json: file::is_json(text),
            splices: Vec::new(),
            meant: Vec::new(),
            changes: Vec::new(),
            found: 0,
        })
    }

    /// Writes a text in place of a scalar.
    pub fn set(&mut self, found: &Found, value: &str) -> Result<(), Why> {
        self.replace(found, value, |_| None)
    }

    /// The same, where a whole number or a truth that replaces one stays what it is.
    pub fn set_as_given(&mut self, found: &Found, value: &str) -> Result<(), Why> {
        self.replace(found, value, |old| scalar::of_same_kind(old, value))
    }

    fn replace(
        &mut self,
        found: &Found,
        value: &str,
        plain: impl FnOnce(&str) -> Option<Written>,
    ) -> Result<(), Why> {
        self.found += 1;
        let node = &self.tree.nodes[found.id];
        let path = written(&found.at);
        let no = |reason: String| Why::at(node.line, reason);
        let Kind::Scalar { value: old, style } = &node.kind else {
            return Err(no(format!("{path} is {}, not a text", self.tree.called(found.id))));
        };
        if old == value && *style != ScalarStyle::Plain {
            return Ok(());
        }
        if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) || node.line != node.last_line {
            return Err(no(format!("{path} is a text of several lines; write it in one line first")));
        }
        if let Some(tag) = &node.tag {
            return Err(no(format!("{path} has the tag {tag}; take it away first")));
        }
        if old.contains("{{") {
            return Err(no(format!("{path} is a template; edit what it is made from")));
        }
        if node.span.is_empty() {
            return Err(no(format!("{path} is empty; write \"\" there first")));
        }
        let place = Place { style: *style, in_flow: node.in_flow, json: self.json };
        let kept = if *style == ScalarStyle::Plain { plain(old) } else { None };
        let new = kept.map_or_else(|| scalar::write(value, place), Ok).map_err(no)?;
        if self.tree.text[node.span.clone()] == new.text {
            return Ok(());
        }
        let change = Change { line: node.line, path, from: old.clone(), to: value.to_owned() };
        let splice = Splice { range: node.span.clone(), text: new.text };
        self.changes.push(change);
        self.splices.push(splice);
        self.meant(found, check::Value::scalar(value, new.plain));
        Ok(())
    }

    /// Says what a change is meant to be, for the last look.
    pub fn meant(&mut self, found: &Found, to: check::Value) {
        self.meant.push(check::Change { document: found.document, at: found.at.clone(), to });
    }

    /// Inserts text at a place within a line.
    pub fn insert(&mut self, at: usize, text: String, change: Change) {
        self.found += 1;
        self.splices.push(Splice { range: at..at, text });
        self.changes.push(change);
    }

    /// Inserts whole lines after the line in which `at` stands, with that line's own line break.
    pub fn insert_lines(&mut self, at: usize, lines: &[String], change: Change) {
        let (end, eol) = line_end(self.tree.text, at);
        let lines = lines.join(eol);
        let text = if end.is_empty() { format!("{eol}{lines}") } else { format!("{lines}{eol}") };
        self.insert(end.end, text, change);
    }

    /// A place that holds already what it should.
    pub fn saw(&mut self) {
        self.found += 1;
    }

    /// Makes the edits and looks whether they did what was meant, and nothing else.
    pub fn finish(mut self) -> Result<(String, Edited), Why> {
        let text = self.tree.text;
        // Stable: what is inserted at one place stays in its order.
        self.splices.sort_by_key(|splice| (splice.range.start, splice.range.end));
        let mut after = String::with_capacity(text.len() + 256);
        let mut done = 0;
        for splice in &self.splices {
            let kept = text.get(done..splice.range.start);
            after.push_str(kept.ok_or_else(|| Why::file("two edits meet at one place; nothing is changed"))?);
            after.push_str(&splice.text);
            done = splice.range.end;
        }
        after.push_str(&text[done..]);
        if !self.splices.is_empty() {
            check::confirm(text, &after, self.json, &self.meant)?;
        }
        self.changes.sort_by_key(|change| change.line);
        Ok((after, Edited { bytes: Vec::new(), changes: self.changes, found: self.found }))
    }

    /// The text of a scalar at a key, if it is there.
    pub fn text_at(&self, map: usize, key: &str) -> Option<&str> {
        self.tree.scalar(self.tree.get(map, key)?)
    }
}

/// The way to a key, from the way to its mapping.
pub fn key_of(map: &Found, key: &str) -> Vec<Exact> {
    let mut at = map.at.clone();
    at.push(Exact::Key(key.to_owned()));
    at
}
