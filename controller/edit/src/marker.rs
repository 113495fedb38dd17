//! `marker`: values that a comment beside them marks, as Flux has them.
//!
//! Guarantees: `{"$imagepolicy": "namespace:name"}` marks a whole reference, with `:name` the repository, `:tag` the tag,
//! `:digest` the digest. A marker beside no value, or beside several, is refused; those of other policies are left alone.

use crate::{
    find::{self, Exact, Found},
    path::{Path, Step},
    pin::Pin,
    refusal::Why,
    session::Session,
    tree::{Comment, Kind, MARKER, Tree},
};
use lockkeeper_core::image::shown;
use serde_json::Value;
use std::str::FromStr;

/// Whose markers: `namespace:name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marked(String);

impl Marked {
    /// The markers of a policy.
    #[must_use]
    pub fn policy(namespace: &str, name: &str) -> Self {
        Self(format!("{namespace}:{name}"))
    }
}

impl FromStr for Marked {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains(':') => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(format!(
                "{} is not namespace:name, as the marker {{\"{MARKER}\": …}} has it",
                shown(text)
            )),
        }
    }
}

/// Which part of a reference is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Whole,
    Name,
    Tag,
    Digest,
}

pub fn edit(
    session: &mut Session<'_>,
    policy: &Marked,
    pin: &Pin,
    document: Option<usize>,
) -> Result<(), Why> {
    let documents = find::documents(&session.tree, document)?;
    let mut places = Vec::new();
    for comment in &session.tree.comments {
        if let Some(part) = part(comment, policy)? {
            let found = marked(&session.tree, comment)?;
            if documents.contains(&found.document) {
                places.push((found, part, comment.line));
            }
        }
    }
    for (found, part, line) in places {
        let old = session.tree.scalar(found.id).unwrap_or_default();
        let value = match part {
            Part::Whole => pin.reference_for(old),
            Part::Name => pin.repository_for(old),
            Part::Tag => pin.need_tag(),
            Part::Digest => pin.need_digest(),
        };
        let value = value.map_err(|reason| Why::at(line, reason))?;
        session.set(&found, &value)?;
    }
    Ok(())
}

/// What a comment marks for a policy, if anything.
fn part(comment: &Comment, policy: &Marked) -> Result<Option<Part>, Why> {
    let text = comment.text.trim();
    if !text.starts_with('{') {
        return Ok(None);
    }
    let read: Option<Value> = serde_json::from_str(text).ok();
    let Some(name) = read.as_ref().and_then(|read| read[MARKER].as_str()) else {
        let reason = format!("a marker is written {{\"{MARKER}\": \"namespace:name\"}}, not {}", shown(text));
        return Err(Why::at(comment.line, reason));
    };
    let Some(rest) = name.strip_prefix(policy.0.as_str()) else { return Ok(None) };
    match rest {
        "" => Ok(Some(Part::Whole)),
        ":name" => Ok(Some(Part::Name)),
        ":tag" => Ok(Some(Part::Tag)),
        ":digest" => Ok(Some(Part::Digest)),
        rest if rest.starts_with(':') => {
            let reason =
                format!("{} is no part of an image; write :name, :tag, :digest or none", shown(rest));
            Err(Why::at(comment.line, reason))
        }
        // Another policy, whose name begins like this one's.
        _ => Ok(None),
    }
}

/// The one value that ends in the comment's line before it.
fn marked(tree: &Tree<'_>, comment: &Comment) -> Result<Found, Why> {
    let beside = tree.nodes.iter().enumerate().filter(|(_, node)| {
        !node.is_key
            && node.last_line == comment.line
            && node.span.end <= comment.start
            && matches!(node.kind, Kind::Scalar { .. } | Kind::Alias { .. })
    });
    let beside: Vec<usize> = beside.map(|(id, _)| id).collect();
    let [id] = beside[..] else {
        let reason = match beside.len() {
            0 => "the marker stands beside no value; put it behind the value, in the same line".to_owned(),
            many => format!("the marker stands beside {many} values; write each into a line of its own"),
        };
        return Err(Why::at(comment.line, reason));
    };
    let document = tree.nodes[id].document;
    let missing = || Why::at(comment.line, "the marked value is in no document");
    let root = tree.documents.get(document).and_then(|document| document.root).ok_or_else(missing)?;
    let mut at = Vec::new();
    if !way(tree, root, id, &mut at) {
        return Err(Why::at(comment.line, "the marked value is part of a key; it cannot be edited"));
    }
    // Following the way finds anchors and aliases on it.
    if at.is_empty() {
        return Ok(Found { id, document, at });
    }
    find::one(tree, &Path::of(at.iter().map(step).collect()), Some(document + 1))
}

fn step(exact: &Exact) -> Step {
    match exact {
        Exact::Key(key) => Step::Key(key.clone()),
        Exact::Index(index) => Step::Index(*index),
    }
}

/// The way from a node down to another. Nesting is bounded by the parser.
fn way(tree: &Tree<'_>, from: usize, to: usize, at: &mut Vec<Exact>) -> bool {
    if from == to {
        return true;
    }
    let entries = tree
        .entries(from)
        .iter()
        .filter_map(|(key, value)| Some((*value, Exact::Key(tree.scalar(*key)?.to_owned()))));
    let items = tree.items(from).iter().enumerate().map(|(index, item)| (*item, Exact::Index(index)));
    let mut below: Vec<(usize, Exact)> = entries.chain(items).collect();
    // Children come after their parent and in order: the last one that begins before it holds it.
    below.retain(|(id, _)| *id <= to);
    let Some((id, exact)) = below.pop() else { return false };
    at.push(exact);
    way(tree, id, to, at)
}
