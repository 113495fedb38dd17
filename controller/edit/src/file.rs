//! Files that are left alone as a whole: encrypted ones, templates, unfinished merges, what is no text.
//!
//! Guarantees: nothing of such a file is edited, and the reason names the line.

use crate::{
    refusal::Why,
    tree::{Kind, Tree},
};
use std::ops::Range;

/// The largest file that is read.
const LARGEST: usize = 8 * 1024 * 1024;

/// The byte order mark of UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// The text of a file after its byte order mark, and the length of that mark.
pub fn text(bytes: &[u8]) -> Result<(&str, usize), Why> {
    if bytes.len() > LARGEST {
        return Err(Why::file(format!("has more than {} MiB; it is not read", LARGEST / 1024 / 1024)));
    }
    let skip = if bytes.starts_with(MARK) { MARK.len() } else { 0 };
    let text = std::str::from_utf8(&bytes[skip..]).map_err(|error| {
        let line = bytes[..skip + error.valid_up_to()].split(|byte| *byte == b'\n').count();
        Why::at(line, "is no UTF-8; write it in UTF-8 first")
    })?;
    conflict(text)?;
    // The parsers disagree about what such a mark means: one begins a document there.
    if let Some(at) = text.find('\u{feff}') {
        let line = text[..at].split('\n').count();
        return Err(Why::at(
            line,
            "holds a byte order mark that is not its first character; take it away first",
        ));
    }
    Ok((text, skip))
}

fn conflict(text: &str) -> Result<(), Why> {
    let mark = |line: &str| {
        let line = line.trim_end_matches('\r');
        ["<<<<<<<", ">>>>>>>", "|||||||"]
            .iter()
            .any(|mark| line.strip_prefix(mark).is_some_and(|rest| rest.is_empty() || rest.starts_with(' ')))
            || line == "======="
    };
    match text.lines().position(mark) {
        Some(line) => Err(Why::at(line + 1, "holds the marks of an unfinished merge; finish it first")),
        None => Ok(()),
    }
}

/// Reads the file; what cannot be read because it is a template says so.
pub fn tree(text: &str) -> Result<Tree<'_>, Why> {
    let tree = match Tree::read(text) {
        Ok(tree) => tree,
        Err(why) => return Err(template_instead(text).unwrap_or(why)),
    };
    template(&tree)?;
    encrypted(&tree)?;
    Ok(tree)
}

fn template_instead(text: &str) -> Option<Why> {
    let line = text.lines().position(|line| line.contains("{{") || line.contains("{%"))?;
    Some(is_template(line + 1))
}

fn is_template(line: usize) -> Why {
    let reason = "is a template, not YAML: what it becomes depends on values; edit the values instead";
    Why::at(line, reason)
}

/// `{{ … }}` that is no part of a text is read as a mapping whose key is a mapping.
fn template(tree: &Tree<'_>) -> Result<(), Why> {
    let braces = |node: &&crate::tree::Node| {
        node.is_key
            && matches!(node.kind, Kind::Map { flow: true, .. })
            && tree.text[..node.span.start].ends_with('{')
    };
    match tree.nodes.iter().find(braces) {
        Some(node) => Err(is_template(node.line)),
        None => Ok(()),
    }
}

fn encrypted(tree: &Tree<'_>) -> Result<(), Why> {
    let sops =
        tree.documents.iter().filter_map(|document| tree.entry(document.root?, "sops")).find(|(_, value)| {
            ["mac", "version", "lastmodified"].iter().any(|key| tree.get(*value, key).is_some())
        });
    let line = sops.map(|(key, _)| tree.nodes[key].line).or_else(|| {
        let sealed = |value: &str| value.starts_with("ENC[AES256_GCM,");
        tree.nodes
            .iter()
            .find(|node| matches!(&node.kind, Kind::Scalar { value, .. } if sealed(value)))
            .map(|node| node.line)
    });
    match line {
        Some(line) => Err(Why::at(
            line,
            "is encrypted by SOPS: any edit would break its seal; keep the pin in a file that is not encrypted",
        )),
        None => Ok(()),
    }
}

/// Whether the whole file is JSON.
pub fn is_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '[']) && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// The line break of the line that ends at or after an offset; that of the file where it is the last.
pub fn line_end(text: &str, at: usize) -> (Range<usize>, &'static str) {
    match text[at..].find('\n') {
        Some(more) => {
            let end = at + more + 1;
            let crlf = text[..end].ends_with("\r\n");
            let width = if crlf { 2 } else { 1 };
            (end - width..end, if crlf { "\r\n" } else { "\n" })
        }
        None => {
            let crlf = text.find('\n').is_some_and(|first| text[..first].ends_with('\r'));
            (text.len()..text.len(), if crlf { "\r\n" } else { "\n" })
        }
    }
}
