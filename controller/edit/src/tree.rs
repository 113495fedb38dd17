//! A file as a tree whose values know their bytes.
//!
//! Guarantees: the span of a scalar is exactly what has to be replaced to change it, quotes included, anchor, tag and
//! comment excluded; where that is not certain there is no span. Keys are unique. Nesting is bounded by the parser.
//! May not change a byte.

use crate::refusal::Why;
use granit_parser::{Event, Parser, ScalarStyle, Span, StructureStyle};
use lockkeeper_core::image::shown;
use std::{collections::BTreeMap, ops::Range};

/// What is in every comment that marks a pin.
pub const MARKER: &str = "$imagepolicy";

/// A node's place in [`Tree::nodes`].
pub type Id = usize;

/// All documents of a file.
#[derive(Debug)]
pub struct Tree<'a> {
    pub text: &'a str,
    pub nodes: Vec<Node>,
    pub documents: Vec<Document>,
    pub comments: Vec<Comment>,
    /// The first line where an anchored node is used again.
    pub aliased: BTreeMap<Id, usize>,
}

/// One document.
#[derive(Debug)]
pub struct Document {
    pub root: Option<Id>,
    /// Where the next document begins, or the file ends.
    pub end: usize,
}

/// A comment that may be a marker, without its `#`.
#[derive(Debug)]
pub struct Comment {
    pub line: usize,
    pub start: usize,
    pub text: String,
}

/// One value, or one key.
#[derive(Debug)]
pub struct Node {
    pub kind: Kind,
    /// Of a scalar: what to replace. Of others: where they begin.
    pub span: Range<usize>,
    pub line: usize,
    pub last_line: usize,
    pub tag: Option<String>,
    pub is_key: bool,
    /// Whether it stands within `{}` or `[]`.
    pub in_flow: bool,
    pub document: usize,
}

/// What a node is.
#[derive(Debug)]
pub enum Kind {
    Scalar { value: String, style: ScalarStyle },
    List { items: Vec<Id>, flow: bool },
    Map { entries: Vec<(Id, Id)>, flow: bool },
    Alias { to: Id },
}

impl<'a> Tree<'a> {
    /// Reads a file without its byte order mark.
    pub fn read(text: &'a str) -> Result<Self, Why> {
        let mut reader = Reader::new(text);
        let options = granit_parser::options! { max_buffered_comment_events: usize::MAX };
        for event in Parser::new_from_str_with_options(text, options) {
            let (event, span) = event.map_err(|error| {
                Why::at(error.marker().line().max(1), format!("is no YAML: {}", error.info()))
            })?;
            reader.take(event, span)?;
        }
        Ok(reader.tree)
    }

    /// The text of a scalar.
    pub fn scalar(&self, id: Id) -> Option<&str> {
        match &self.nodes[id].kind {
            Kind::Scalar { value, .. } => Some(value),
            _ => None,
        }
    }

    /// The pairs of a mapping.
    pub fn entries(&self, id: Id) -> &[(Id, Id)] {
        match &self.nodes[id].kind {
            Kind::Map { entries, .. } => entries,
            _ => &[],
        }
    }

    /// The items of a list.
    pub fn items(&self, id: Id) -> &[Id] {
        match &self.nodes[id].kind {
            Kind::List { items, .. } => items,
            _ => &[],
        }
    }

    /// Key and value of an entry.
    pub fn entry(&self, map: Id, key: &str) -> Option<(Id, Id)> {
        self.entries(map).iter().copied().find(|(name, _)| self.scalar(*name) == Some(key))
    }

    /// The value of a key.
    pub fn get(&self, map: Id, key: &str) -> Option<Id> {
        self.entry(map, key).map(|(_, value)| value)
    }

    /// The node itself, or what an alias stands for.
    pub fn meant(&self, id: Id) -> Id {
        match self.nodes[id].kind {
            Kind::Alias { to } => to,
            _ => id,
        }
    }

    /// What a reader would call it.
    pub fn called(&self, id: Id) -> &'static str {
        match &self.nodes[id].kind {
            Kind::Scalar { style: ScalarStyle::Plain, value } if value.is_empty() => "empty",
            Kind::Scalar { style: ScalarStyle::Literal | ScalarStyle::Folded, .. } => "a block of text",
            Kind::Scalar { .. } => "a text",
            Kind::List { .. } => "a list",
            Kind::Map { .. } => "a mapping",
            Kind::Alias { .. } => "an alias",
        }
    }
}

/// A collection that is still open.
struct Open {
    id: Id,
    /// The key whose value comes next.
    key: Option<Id>,
    /// The keys so far, with their lines.
    keys: BTreeMap<String, usize>,
}

struct Reader<'a> {
    tree: Tree<'a>,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Id>,
    flow: usize,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        let tree = Tree {
            text,
            nodes: Vec::new(),
            documents: Vec::new(),
            comments: Vec::new(),
            aliased: BTreeMap::new(),
        };
        Self { tree, open: Vec::new(), anchors: BTreeMap::new(), flow: 0 }
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Why> {
        match event {
            Event::DocumentStart(..) => self.begin(span),
            Event::Comment(text, _) => self.comment(&text, span),
            Event::Alias(anchor) => {
                let to = self.anchors.get(&anchor).copied();
                let to = to.ok_or_else(|| Why::at(span.start.line(), "an alias without its anchor"))?;
                self.tree.aliased.entry(to).or_insert(span.start.line());
                self.add(Kind::Alias { to }, None, span, 0)?;
            }
            Event::Scalar(value, style, anchor, tag) => {
                let kind = Kind::Scalar { value: value.into_owned(), style };
                self.add(kind, tag.map(|tag| tag.original()), span, anchor)?;
            }
            Event::SequenceStart(style, anchor, tag) => {
                let flow = style == StructureStyle::Flow;
                let kind = Kind::List { items: Vec::new(), flow };
                let id = self.add(kind, tag.map(|tag| tag.original()), span, anchor)?;
                self.enter(id, flow);
            }
            Event::MappingStart(style, anchor, tag) => {
                let flow = style == StructureStyle::Flow;
                let kind = Kind::Map { entries: Vec::new(), flow };
                let id = self.add(kind, tag.map(|tag| tag.original()), span, anchor)?;
                self.enter(id, flow);
            }
            Event::SequenceEnd | Event::MappingEnd => self.leave(span),
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, span: Span) {
        let start = span.start.byte_offset().unwrap_or_default();
        if let Some(before) = self.tree.documents.last_mut() {
            before.end = start;
        }
        let end = self.tree.text.len();
        self.tree.documents.push(Document { root: None, end });
        self.anchors.clear();
    }

    fn comment(&mut self, text: &str, span: Span) {
        if text.contains(MARKER) {
            let start = span.start.byte_offset().unwrap_or_default();
            self.tree.comments.push(Comment { line: span.start.line(), start, text: text.to_owned() });
        }
    }

    fn enter(&mut self, id: Id, flow: bool) {
        self.flow += usize::from(flow);
        self.open.push(Open { id, key: None, keys: BTreeMap::new() });
    }

    fn leave(&mut self, span: Span) {
        if let Some(open) = self.open.pop() {
            let node = &mut self.tree.nodes[open.id];
            if matches!(node.kind, Kind::List { flow: true, .. } | Kind::Map { flow: true, .. }) {
                self.flow -= 1;
                node.span.end = span.end.byte_offset().unwrap_or(node.span.end);
                node.last_line = span.end.line();
            }
        }
    }

    fn add(&mut self, kind: Kind, tag: Option<String>, span: Span, anchor: usize) -> Result<Id, Why> {
        let id = self.tree.nodes.len();
        let start = span.start.byte_offset().unwrap_or_default();
        let end = span.end.byte_offset().unwrap_or(start);
        let span_of = exact(self.tree.text, &kind, start..end);
        let is_key = self.attach(id, &kind, span.start.line())?;
        let line = span.start.line();
        let last_line = line + self.tree.text.get(span_of.clone()).map_or(0, |t| t.matches('\n').count());
        let document = self.tree.documents.len().saturating_sub(1);
        let in_flow = self.flow > 0;
        self.tree.nodes.push(Node { kind, span: span_of, line, last_line, tag, is_key, in_flow, document });
        if anchor != 0 {
            self.anchors.insert(anchor, id);
        }
        Ok(id)
    }

    /// Hangs a new node under the innermost open collection; whether it is a key there.
    fn attach(&mut self, id: Id, kind: &Kind, line: usize) -> Result<bool, Why> {
        let Some(open) = self.open.last_mut() else {
            if let Some(document) = self.tree.documents.last_mut() {
                document.root = Some(id);
            }
            return Ok(false);
        };
        let above = open.id;
        let key = match &self.tree.nodes[above].kind {
            Kind::Map { .. } => match open.key.take() {
                Some(key) => Some(key),
                None => {
                    open.key = Some(id);
                    unique(&mut open.keys, kind, line)?;
                    return Ok(true);
                }
            },
            _ => None,
        };
        match (&mut self.tree.nodes[above].kind, key) {
            (Kind::Map { entries, .. }, Some(key)) => entries.push((key, id)),
            (Kind::List { items, .. }, _) => items.push(id),
            _ => {}
        }
        Ok(false)
    }
}

/// Refuses a key that the mapping has already: which of them counts, readers of YAML do not agree on.
fn unique(keys: &mut BTreeMap<String, usize>, kind: &Kind, line: usize) -> Result<(), Why> {
    let Kind::Scalar { value, .. } = kind else { return Ok(()) };
    let Some(first) = keys.insert(value.clone(), line) else { return Ok(()) };
    let key = shown(value);
    Err(Why::at(line, format!("the key {key} is there twice, first in line {first}; remove one of them")))
}

/// The bytes of a scalar, checked against its value; empty where they are not certain.
fn exact(text: &str, kind: &Kind, span: Range<usize>) -> Range<usize> {
    let Kind::Scalar { value, style } = kind else { return span };
    let Some(raw) = text.get(span.clone()) else { return span.start..span.start };
    let certain = match style {
        ScalarStyle::Plain => raw == value || raw.contains('\n'),
        ScalarStyle::SingleQuoted => is_quoted(raw, '\''),
        ScalarStyle::DoubleQuoted => is_quoted(raw, '"'),
        ScalarStyle::Literal | ScalarStyle::Folded => true,
    };
    if certain { span } else { span.start..span.start }
}

fn is_quoted(raw: &str, quote: char) -> bool {
    raw.len() >= 2 && raw.starts_with(quote) && raw.ends_with(quote)
}
