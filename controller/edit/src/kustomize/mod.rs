//! `kustomize`: the entry of a kustomization's `images`.
//!
//! Guarantees: the entry is found by its name, or by the repository that it stands for; `newName`, `newTag` and `digest`
//! are set, and added in the style of the file where they are missing. A file that is no kustomization is refused: an
//! `images` added to it would mean nothing.

mod added;

use crate::{
    Change,
    check::Value,
    find::{self, Exact, Found, written},
    pin::Pin,
    refusal::Why,
    scalar::{self, Place, Written},
    session::{Session, key_of},
    tree::{Id, Kind, Tree},
};
use added::{first_entry, new_list, next_entry};
use granit_parser::ScalarStyle;
use lockkeeper_core::image::shown;

/// The kinds that have `images`.
const KINDS: [&str; 2] = ["Kustomization", "Component"];

pub fn edit(
    session: &mut Session<'_>,
    file: &str,
    pin: &Pin,
    name: Option<&str>,
    document: Option<usize>,
) -> Result<(), Why> {
    let root = root(session, file, document)?;
    let name_of_entry = name.unwrap_or_else(|| pin.repository());
    let Some((_, list)) = session.tree.entry(root.id, "images") else {
        return new_list(session, &root, name_of_entry, pin);
    };
    let list = root.below(list, "images");
    let node = &session.tree.nodes[list.id];
    if let Some(line) = session.tree.aliased.get(&list.id).copied() {
        return Err(Why::at(
            node.line,
            format!("images has an anchor that line {line} uses; write it out first"),
        ));
    }
    match &node.kind {
        Kind::List { .. } => {}
        Kind::Scalar { value, style: ScalarStyle::Plain } if node.span.is_empty() || value == "null" => {
            return first_entry(session, &root, &list, name_of_entry, pin);
        }
        _ => {
            return Err(Why::at(
                node.line,
                format!("images is {}, not a list", session.tree.called(list.id)),
            ));
        }
    }
    match entry(&session.tree, &list, pin, name)? {
        Some(found) => existing(session, &found, pin),
        None => next_entry(session, &list, name_of_entry, pin),
    }
}

/// The document that is a kustomization.
fn root(session: &Session<'_>, file: &str, document: Option<usize>) -> Result<Found, Why> {
    let tree = &session.tree;
    let roots: Vec<Found> = find::documents(tree, document)?
        .into_iter()
        .filter_map(|document| Some(Found { id: tree.documents[document].root?, document, at: Vec::new() }))
        .filter(|root| matches!(tree.nodes[root.id].kind, Kind::Map { .. }))
        .collect();
    let kind = |root: &&Found| session.text_at(root.id, "kind").is_some_and(|kind| KINDS.contains(&kind));
    let sure: Vec<&Found> = roots.iter().filter(kind).collect();
    match (&sure[..], &roots[..]) {
        ([one], _) => Ok((*one).clone()),
        ([], [one]) => {
            if let Some(kind) = tree.get(one.id, "kind") {
                let name = tree.scalar(kind).unwrap_or_default();
                let line = tree.nodes[kind].line;
                return Err(Why::at(line, format!("is a {}, no kustomization", shown(name))));
            }
            let base = file.rsplit(['/', '\\']).next().unwrap_or(file);
            let known = ["kustomization.yaml", "kustomization.yml", "Kustomization", "-"];
            if known.contains(&base)
                || tree.get(one.id, "images").is_some()
                || tree.get(one.id, "resources").is_some()
            {
                return Ok(one.clone());
            }
            Err(Why::at(
                tree.nodes[one.id].line,
                "is no kustomization: it has neither kind, resources nor images",
            ))
        }
        ([], []) => Err(Why::file("holds no kustomization")),
        _ => Err(Why::file("has several documents that could be meant; say which")),
    }
}

/// The entry that is meant: by its name where one is given, else by the repository that it names.
fn entry(tree: &Tree<'_>, list: &Found, pin: &Pin, name: Option<&str>) -> Result<Option<Found>, Why> {
    let text = |item: Id, key: &str| tree.get(item, key).and_then(|id| tree.scalar(id)).unwrap_or_default();
    let mut found = Vec::new();
    for (index, item) in tree.items(list.id).iter().copied().enumerate() {
        let node = &tree.nodes[item];
        let matches = match name {
            Some(name) => text(item, "name") == name,
            None => pin.is_same(text(item, "name")) || pin.is_same(text(item, "newName")),
        };
        if matches {
            if let Some(line) = tree.aliased.get(&item) {
                return Err(Why::at(node.line, format!("this entry has an anchor that line {line} uses")));
            }
            let mut at = list.at.clone();
            at.push(Exact::Index(index));
            found.push(Found { id: item, document: list.document, at });
        }
    }
    if found.len() > 1 {
        let lines: Vec<String> = found.iter().map(|one| tree.nodes[one.id].line.to_string()).collect();
        let reason =
            format!("images has {} entries for this image (lines {})", found.len(), lines.join(", "));
        return Err(Why::at(tree.nodes[found[0].id].line, reason + "; name the one that is meant"));
    }
    Ok(found.pop())
}

/// What an entry has to say besides its name: newName, newTag, digest.
fn wanted(pin: &Pin, name: &str, new_name: Option<&str>) -> Result<Vec<(&'static str, String)>, String> {
    let repository = match new_name {
        Some(current) => pin.repository_for(current)?,
        None if pin.is_same(name) => name.to_owned(),
        // A name that the manifests use need not be a repository.
        None => pin.repository().to_owned(),
    };
    let mut all = Vec::new();
    if new_name.is_some() || repository != name {
        all.push(("newName", repository));
    }
    all.extend(pin.tag().map(|tag| ("newTag", tag.to_string())));
    all.extend(pin.digest().map(|digest| ("digest", digest.to_string())));
    if all.iter().all(|(key, _)| *key == "newName") {
        return Err(format!("the image {} has neither tag nor digest", shown(pin.repository())));
    }
    Ok(all)
}

fn existing(session: &mut Session<'_>, entry: &Found, pin: &Pin) -> Result<(), Why> {
    let line = session.tree.nodes[entry.id].line;
    let no = |reason: String| Why::at(line, reason);
    let name = session.text_at(entry.id, "name").unwrap_or_default().to_owned();
    let new_name = session.text_at(entry.id, "newName").map(str::to_owned);
    if session.tree.get(entry.id, "tagSuffix").is_some() {
        return Err(no("this entry has a tagSuffix, which changes every tag; take it away first".to_owned()));
    }
    let has = |key: &str| session.text_at(entry.id, key).is_some_and(|text| !text.is_empty());
    if has("newTag") {
        pin.need_tag().map_err(no)?;
    }
    if has("digest") {
        pin.need_digest().map_err(no)?;
    }
    let wanted = wanted(pin, &name, new_name.as_deref()).map_err(no)?;
    // What is missing is inserted behind the key before it, in the order of `wanted`.
    let mut behind = "name";
    let mut missing: Vec<(&'static str, Vec<(&'static str, String)>)> = Vec::new();
    for (key, value) in wanted {
        match session.tree.get(entry.id, key) {
            Some(id) => {
                session.set(&entry.below(id, key), &value)?;
                behind = key;
            }
            None => match missing.last_mut() {
                Some((at, all)) if *at == behind => all.push((key, value)),
                _ => missing.push((behind, vec![(key, value)])),
            },
        }
    }
    for (behind, all) in missing {
        insert_keys(session, entry, behind, &all)?;
    }
    Ok(())
}

/// Inserts keys into an entry, behind one that it has.
fn insert_keys(
    session: &mut Session<'_>,
    entry: &Found,
    behind: &str,
    all: &[(&'static str, String)],
) -> Result<(), Why> {
    let line = session.tree.nodes[entry.id].line;
    let (key, value) = session
        .tree
        .entry(entry.id, behind)
        .ok_or_else(|| Why::at(line, format!("this entry has no {behind}; add it first")))?;
    let flow = matches!(session.tree.nodes[entry.id].kind, Kind::Map { flow: true, .. });
    let (key, value) = (&session.tree.nodes[key], &session.tree.nodes[value]);
    if value.span.is_empty() || value.line != value.last_line || key.line != value.line {
        return Err(Why::at(value.line, format!("{behind} is not written in one line; write it so first")));
    }
    let (at, key_start) = (value.span.end, key.span.start);
    let lines = texts(session, all, flow, line)?;
    let change = Change {
        line: value.line,
        path: written(&entry.at),
        from: String::new(),
        to: all.iter().map(|(key, value)| format!("{key}: {value}")).collect::<Vec<_>>().join(", "),
    };
    for ((key, value), (_, text)) in all.iter().zip(&lines) {
        let found = Found { at: key_of(entry, key), ..entry.clone() };
        session.meant(&found, Value::scalar(value, text.plain));
    }
    if flow {
        let text =
            lines.iter().fold(String::new(), |all, (key, value)| all + ", " + key + ": " + &value.text);
        session.insert(at, text, change);
    } else {
        let indent = " ".repeat(column(session.tree.text, key_start));
        let lines: Vec<String> =
            lines.iter().map(|(key, value)| format!("{indent}{key}: {}", value.text)).collect();
        session.insert_lines(at, &lines, change);
    }
    Ok(())
}

/// Keys and values as they are written here.
fn texts(
    session: &Session<'_>,
    all: &[(&str, String)],
    flow: bool,
    line: usize,
) -> Result<Vec<(String, Written)>, Why> {
    let place = Place { style: ScalarStyle::Plain, in_flow: flow, json: session.json };
    let one = |(key, value): &(&str, String)| {
        let key = if session.json { format!("\"{key}\"") } else { (*key).to_owned() };
        Ok((key, scalar::write(value, place)?))
    };
    all.iter().map(one).collect::<Result<_, String>>().map_err(|reason| Why::at(line, reason))
}

/// How many characters stand before a place in its line.
fn column(text: &str, at: usize) -> usize {
    let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
    text[start..at].chars().count()
}
