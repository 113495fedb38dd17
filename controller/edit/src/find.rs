//! Following a path to the one place it means.
//!
//! Guarantees: exactly one value of one document is found, and changing it changes no other: aliases on the way,
//! anchored values that are used again and keys that come in through a merge are refused.

use crate::{
    path::{Path, Step},
    refusal::Why,
    tree::{Id, Kind, Tree},
};
use lockkeeper_core::image::shown;
use std::fmt::Write as _;

/// A value, and the way to it.
#[derive(Clone, Debug)]
pub struct Found {
    pub id: Id,
    pub document: usize,
    pub at: Vec<Exact>,
}

/// A step that leads to one place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exact {
    Key(String),
    Index(usize),
}

impl Found {
    /// The value of a key below it.
    pub fn below(&self, id: Id, key: &str) -> Self {
        let mut at = self.at.clone();
        at.push(Exact::Key(key.to_owned()));
        Self { id, document: self.document, at }
    }
}

/// A way as a path is written.
pub fn written(at: &[Exact]) -> String {
    at.iter().fold(String::new(), |mut text, step| {
        let step = match step {
            Exact::Key(key) => Step::Key(key.clone()),
            Exact::Index(index) => Step::Index(*index),
        };
        // Writing to a String cannot fail.
        let _ = write!(text, "{step}");
        text
    })
}

/// The documents that are meant: the one that is named, counted from 1, or all.
pub fn documents(tree: &Tree<'_>, document: Option<usize>) -> Result<Vec<usize>, Why> {
    let all = tree.documents.len();
    match document {
        None => Ok((0..all).collect()),
        Some(number) if (1..=all).contains(&number) => Ok(vec![number - 1]),
        Some(number) => {
            Err(Why::file(format!("has {all} documents, and no document {number}; they count from 1")))
        }
    }
}

/// The one place that a path means.
pub fn one(tree: &Tree<'_>, path: &Path, document: Option<usize>) -> Result<Found, Why> {
    let mut found = Vec::new();
    let mut missing = None;
    for index in documents(tree, document)? {
        let mut search = Search { tree, document: index, path, found: Vec::new(), missing: None };
        if let Some(root) = tree.documents[index].root {
            search.step(root, 0, &mut Vec::new())?;
        }
        found.append(&mut search.found);
        missing = missing.or(search.missing);
    }
    if found.len() > 1 {
        return Err(many(tree, path, &found));
    }
    let found = found.pop().ok_or_else(|| {
        missing.unwrap_or_else(|| Why::file(format!("has nothing at {path}; the file holds no value there")))
    })?;
    Ok(found)
}

fn many(tree: &Tree<'_>, path: &Path, found: &[Found]) -> Why {
    let lines: Vec<String> = found.iter().map(|one| tree.nodes[one.id].line.to_string()).take(8).collect();
    let documents = found.windows(2).any(|two| two[0].document != two[1].document);
    let then = if documents { "say which document is meant" } else { "make the path match one" };
    let reason = format!("{path} matches {} places (lines {}); {then}", found.len(), lines.join(", "));
    Why::at(tree.nodes[found[0].id].line, reason)
}

struct Search<'t, 'a> {
    tree: &'t Tree<'a>,
    document: usize,
    path: &'t Path,
    found: Vec<Found>,
    missing: Option<Why>,
}

impl Search<'_, '_> {
    fn step(&mut self, id: Id, done: usize, at: &mut Vec<Exact>) -> Result<(), Why> {
        let node = &self.tree.nodes[id];
        let place = || if at.is_empty() { "the document".to_owned() } else { written(at) };
        if let Some(line) = self.tree.aliased.get(&id) {
            let reason =
                format!("{} has an anchor that line {line} uses; the edit would change both", place());
            return Err(Why::at(node.line, reason + "; write the value out there first"));
        }
        if let Kind::Alias { to } = node.kind {
            let line = self.tree.nodes[to].line;
            let reason =
                format!("{} is an alias of the value in line {line}; write it out here first", place());
            return Err(Why::at(node.line, reason));
        }
        let Some(step) = self.path.steps().get(done) else {
            self.found.push(Found { id, document: self.document, at: at.clone() });
            return Ok(());
        };
        let next: Vec<(Id, Exact)> = match step {
            Step::Key(key) => match self.tree.get(id, key) {
                Some(value) => vec![(value, Exact::Key(key.clone()))],
                None => return self.no_key(id, key, &place()),
            },
            _ => self.items(id, step),
        };
        if next.is_empty() {
            let what = self.tree.called(id);
            let why = Why::at(node.line, format!("{} is {what} without {step}", place()));
            self.missing.get_or_insert(why);
        }
        for (id, exact) in next {
            at.push(exact);
            self.step(id, done + 1, at)?;
            at.pop();
        }
        Ok(())
    }

    /// The items of a list that a step matches.
    fn items(&self, id: Id, step: &Step) -> Vec<(Id, Exact)> {
        let matches = |(index, item): &(usize, Id)| match step {
            Step::Key(_) => false,
            Step::Each => true,
            Step::Index(wanted) => wanted == index,
            Step::Where(all) => all.iter().all(|(keys, value)| self.has(*item, keys, value)),
        };
        let items = self.tree.items(id).iter().copied().enumerate();
        items.filter(matches).map(|(index, item)| (item, Exact::Index(index))).collect()
    }

    fn has(&self, item: Id, keys: &[String], value: &str) -> bool {
        let mut id = self.tree.meant(item);
        for key in keys {
            match self.tree.get(id, key) {
                Some(below) => id = self.tree.meant(below),
                None => return false,
            }
        }
        self.tree.scalar(id) == Some(value)
    }

    fn no_key(&mut self, id: Id, key: &str, place: &str) -> Result<(), Why> {
        let node = &self.tree.nodes[id];
        let merged = self.tree.get(id, "<<").map(|value| self.tree.nodes[value].line);
        if let Some(line) = merged {
            let reason =
                format!("{} of {place} comes, if at all, through the merge in line {line}", shown(key));
            return Err(Why::at(line, reason + "; write it out, or edit where it is written"));
        }
        let keys = self.tree.entries(id).iter().filter_map(|(key, _)| self.tree.scalar(*key));
        let keys: Vec<String> = keys.take(12).map(shown).collect();
        let reason = if matches!(node.kind, Kind::Map { .. }) {
            format!("{place} has no key {}; it has {}", shown(key), keys.join(", "))
        } else {
            format!("{place} is {}, not a mapping with {}", self.tree.called(id), shown(key))
        };
        self.missing.get_or_insert(Why::at(node.line, reason));
        Ok(())
    }
}
