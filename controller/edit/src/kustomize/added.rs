//! Entries, and the list itself, where they are missing.
//!
//! Guarantees: what is added is indented and broken into lines as its neighbours are. May not change what is there.

use super::{column, texts, wanted};
use crate::{
    Change,
    check::Value,
    file::line_end,
    find::{Exact, Found, written},
    pin::Pin,
    refusal::Why,
    scalar::Written,
    session::{Session, key_of},
    tree::{Id, Kind},
};
use granit_parser::ScalarStyle;

/// A whole entry: its keys with their values as they are written, and what it means.
struct Entry {
    lines: Vec<(String, Written)>,
    value: Value,
    shown: String,
}

fn whole(session: &Session<'_>, name: &str, pin: &Pin, flow: bool, line: usize) -> Result<Entry, Why> {
    let mut all = vec![("name", name.to_owned())];
    all.extend(wanted(pin, name, None).map_err(|reason| Why::at(line, reason))?);
    let lines = texts(session, &all, flow, line)?;
    let pairs = all.iter().zip(&lines);
    let value = Value::map(
        pairs.map(|((key, value), (_, text))| ((*key).to_owned(), Value::scalar(value, text.plain))),
    );
    let shown = all.iter().map(|(key, value)| format!("{key}: {value}")).collect::<Vec<_>>().join(", ");
    Ok(Entry { lines, value, shown })
}

impl Entry {
    fn in_flow(&self) -> String {
        let pairs: Vec<String> =
            self.lines.iter().map(|(key, value)| format!("{key}: {}", value.text)).collect();
        format!("{{{}}}", pairs.join(", "))
    }

    /// As lines of a block, the first with its dash.
    fn in_block(&self, dash: &str) -> Vec<String> {
        let blank = " ".repeat(dash.chars().count());
        let line = |(n, (key, value)): (usize, &(String, Written))| {
            format!("{}{key}: {}", if n == 0 { dash } else { &blank }, value.text)
        };
        self.lines.iter().enumerate().map(line).collect()
    }

    fn change(&self, line: usize, at: &[Exact]) -> Change {
        Change { line, path: written(at), from: String::new(), to: self.shown.clone() }
    }
}

/// Adds an entry behind the last one of the list.
pub fn next_entry(session: &mut Session<'_>, list: &Found, name: &str, pin: &Pin) -> Result<(), Why> {
    let node = &session.tree.nodes[list.id];
    let (line, flow) = (node.line, matches!(node.kind, Kind::List { flow: true, .. }));
    let new = whole(session, name, pin, flow, line)?;
    let items = session.tree.items(list.id);
    let mut at = list.at.clone();
    at.push(Exact::Index(items.len()));
    let found = Found { at, ..list.clone() };
    let end = items.last().copied();
    let change = new.change(end.map_or(line, |id| session.tree.nodes[id].line), &found.at);
    if flow {
        let (at, text) = match end {
            Some(id) => (session.tree.nodes[id].span.end, format!(", {}", new.in_flow())),
            None => (node.span.start + 1, new.in_flow()),
        };
        session.meant(&found, new.value);
        session.insert(at, text, change);
        return Ok(());
    }
    let id = end.ok_or_else(|| Why::at(line, "images is empty; write images: [] first"))?;
    let dash = dash(session, id)?;
    let behind = end_of(session, id)?;
    session.meant(&found, new.value.clone());
    session.insert_lines(behind, &new.in_block(&dash), change);
    Ok(())
}

/// What stands before an item in its line.
fn dash(session: &Session<'_>, item: Id) -> Result<String, Why> {
    let node = &session.tree.nodes[item];
    let first = session
        .tree
        .entries(item)
        .first()
        .map_or(node.span.start, |(key, _)| session.tree.nodes[*key].span.start);
    let start = session.tree.text[..first].rfind('\n').map_or(0, |end| end + 1);
    let before = &session.tree.text[start..first];
    let rest = before.trim_start_matches(' ').strip_prefix('-').unwrap_or("no dash");
    if rest.chars().all(|c| c == ' ') && !rest.is_empty() {
        return Ok(before.to_owned());
    }
    Err(Why::at(node.line, "this entry is not written as `- name: …`; write it so first"))
}

/// Where the last value of an item ends.
fn end_of(session: &Session<'_>, item: Id) -> Result<usize, Why> {
    let node = &session.tree.nodes[item];
    let last = match &node.kind {
        Kind::Map { entries, flow: false } => entries.last().map_or(item, |(_, value)| *value),
        _ => item,
    };
    let last = &session.tree.nodes[last];
    let plain = match &last.kind {
        Kind::Scalar { style, .. } => !matches!(style, ScalarStyle::Literal | ScalarStyle::Folded),
        Kind::Map { flow, .. } | Kind::List { flow, .. } => *flow,
        Kind::Alias { .. } => false,
    };
    if !plain || last.span.is_empty() {
        return Err(Why::at(last.line, "the last entry of images does not end in a text of one line"));
    }
    Ok(last.span.end)
}

/// `images:` is there, and empty.
pub fn first_entry(
    session: &mut Session<'_>,
    root: &Found,
    list: &Found,
    name: &str,
    pin: &Pin,
) -> Result<(), Why> {
    let node = &session.tree.nodes[list.id];
    let line = node.line;
    let key = session.tree.entry(root.id, "images").map_or(list.id, |(key, _)| key);
    let key = &session.tree.nodes[key];
    let block = matches!(session.tree.nodes[root.id].kind, Kind::Map { flow: false, .. });
    if !node.span.is_empty() || !block {
        return Err(Why::at(line, "images is null; write images: [] first"));
    }
    let dash = format!("{}- ", " ".repeat(column(session.tree.text, key.span.start)));
    let at = key.span.end;
    let new = whole(session, name, pin, false, line)?;
    session.meant(list, Value::List(vec![new.value.clone()]));
    session.insert_lines(at, &new.in_block(&dash), new.change(line, &list.at));
    Ok(())
}

/// There is no `images`: the list is added at the end of the document.
pub fn new_list(session: &mut Session<'_>, root: &Found, name: &str, pin: &Pin) -> Result<(), Why> {
    let tree = &session.tree;
    let (text, node) = (tree.text, &tree.nodes[root.id]);
    let at = key_of(root, "images");
    let found = Found { at: at.clone(), ..root.clone() };
    let Kind::Map { entries, flow } = &node.kind else {
        return Err(Why::at(node.line, "is no kustomization"));
    };
    let new = whole(session, name, pin, *flow, node.line)?;
    let change = new.change(node.last_line, &at);
    let meant = Value::List(vec![new.value.clone()]);
    if *flow {
        let last = entries.last().ok_or_else(|| Why::at(node.line, "is an empty kustomization"))?.1;
        let key = if session.json { "\"images\"" } else { "images" };
        let end = tree.nodes[last].span.end;
        session.meant(&found, meant);
        session.insert(end, format!(", {key}: [{}]", new.in_flow()), change);
        return Ok(());
    }
    let end = tree.documents[root.document].end;
    if text[..end].trim_end().ends_with("\n...") {
        return Err(Why::at(node.line, "ends with `...`; add images: [] first"));
    }
    let (_, eol) = line_end(text, 0);
    let first = tree.nodes[entries.first().map_or(root.id, |(key, _)| *key)].span.start;
    let indent = " ".repeat(column(text, first));
    let mut lines = vec![format!("{indent}images:")];
    lines.extend(new.in_block(&format!("{indent}- ")));
    let lines = lines.join(eol);
    // The file's last line keeps having, or not having, its line break.
    let ends = text[..end].is_empty() || text[..end].ends_with('\n');
    let text = if ends { format!("{lines}{eol}") } else { format!("{eol}{lines}") };
    session.meant(&found, meant);
    session.insert(end, text, change);
    Ok(())
}
