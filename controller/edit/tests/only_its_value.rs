//! An edit changes only its value, or refuses: over documents of random shape in random styles.

use lockkeeper_edit::{Edit, Marked, Path, Pin, edit};
use proptest::prelude::*;

/// A value, with the style that it is written in.
#[derive(Clone, Debug)]
enum Node {
    Text { value: String, style: u8, comment: bool, anchor: bool },
    List { items: Vec<Node>, flow: bool, indented: bool },
    Map { values: Vec<Node>, flow: bool },
}

const WORDS: &[&str] = &[
    "old",
    "nginx:1.27",
    "1.20",
    "on",
    "null",
    "a b",
    "it's",
    "x \"y\"",
    "ghcr.io/a/b@sha256:00",
    "12:30",
    "-x",
    "#",
    "ž",
    "{{ x }}",
    "",
    "true",
    "false",
    "7",
    "8",
    "a: b",
    "[x]",
    "*a",
    "\\",
];

fn text() -> impl Strategy<Value = Node> {
    (prop::sample::select(WORDS), 0_u8..4, any::<bool>(), prop::bool::weighted(0.1)).prop_map(
        |(value, style, comment, anchor)| Node::Text { value: value.to_owned(), style, comment, anchor },
    )
}

fn node() -> impl Strategy<Value = Node> {
    text().prop_recursive(4, 24, 4, |below| {
        prop_oneof![
            (prop::collection::vec(below.clone(), 1..4), prop::bool::weighted(0.3), any::<bool>())
                .prop_map(|(items, flow, indented)| Node::List { items, flow, indented }),
            (prop::collection::vec(below, 1..4), prop::bool::weighted(0.3))
                .prop_map(|(values, flow)| Node::Map { values, flow }),
        ]
    })
}

/// The writer of the test: lines of YAML, each ending as it likes.
struct Writer {
    out: String,
    anchors: usize,
}

impl Writer {
    fn scalar(&mut self, value: &str, style: u8, anchor: bool) -> String {
        let is_plain =
            value.chars().all(|c| c.is_ascii_alphanumeric() || ":./@".contains(c)) && !value.is_empty();
        let text = match style {
            0 | 1 if is_plain => value.to_owned(),
            2 => format!("'{}'", value.replace('\'', "''")),
            _ => format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")),
        };
        self.anchors += usize::from(anchor);
        if anchor { format!("&a{} {text}", self.anchors) } else { text }
    }

    fn line(&mut self, parts: &[&str]) {
        self.out.extend(parts.iter().copied());
    }

    fn flow(&mut self, node: &Node) -> String {
        match node {
            Node::Text { value, style, anchor, .. } => self.scalar(value, *style, *anchor),
            Node::List { items, .. } => {
                let items: Vec<String> = items.iter().map(|item| self.flow(item)).collect();
                format!("[{}]", items.join(", "))
            }
            Node::Map { values, .. } => {
                let pairs = values.iter().enumerate().map(|(n, value)| format!("k{n}: {}", self.flow(value)));
                format!("{{ {} }}", pairs.collect::<Vec<_>>().join(",   "))
            }
        }
    }

    /// Writes a node after its key or dash, which stand in the line already.
    fn block(&mut self, node: &Node, indent: usize) {
        let blank = " ".repeat(indent);
        match node {
            Node::Text { value, style, comment, anchor } => {
                let text = self.scalar(value, *style, *anchor);
                let comment = if *comment { "   # old: {} and 'more'" } else { "" };
                self.line(&[" ", &text, comment, "\n"]);
            }
            Node::List { flow: true, .. } | Node::Map { flow: true, .. } => {
                let text = self.flow(node);
                self.line(&[" ", &text, "\n"]);
            }
            Node::List { items, indented, .. } => {
                self.out += "\n";
                let deeper = if *indented { indent + 2 } else { indent };
                for item in items {
                    self.line(&[&" ".repeat(deeper), "-"]);
                    self.block(item, deeper + 4);
                }
            }
            Node::Map { values, .. } => {
                self.out += "\n";
                for (n, value) in values.iter().enumerate() {
                    let n = n.to_string();
                    self.line(&[&blank, "# before k", &n, "\n", &blank, "  k", &n, ":"]);
                    self.block(value, indent + 2);
                }
            }
        }
    }
}

/// Whole numbers and truths stay what they are.
fn kind(value: &str) -> Option<&'static str> {
    match value {
        "true" | "false" => Some("truth"),
        "7" | "8" => Some("number"),
        _ => None,
    }
}

/// All ways to texts, as paths.
fn ways(node: &Node, at: &str, found: &mut Vec<(String, String)>) {
    match node {
        Node::Text { value, .. } => found.push((at.to_owned(), value.clone())),
        Node::List { items, .. } => {
            items.iter().enumerate().for_each(|(n, item)| ways(item, &format!("{at}[{n}]"), found));
        }
        Node::Map { values, .. } => {
            values.iter().enumerate().for_each(|(n, value)| ways(value, &format!("{at}.k{n}"), found));
        }
    }
}

fn file(documents: &[Node], crlf: bool, final_break: bool) -> String {
    let mut writer = Writer { out: String::new(), anchors: 0 };
    for (n, node) in documents.iter().enumerate() {
        writer.out += if n > 0 { "---\nroot:" } else { "# head\nroot:" };
        writer.block(node, 0);
    }
    let mut text = writer.out;
    if !final_break {
        text.truncate(text.trim_end_matches('\n').len());
    }
    if crlf { text.replace('\n', "\r\n") } else { text }
}

/// Values as a third parser reads them.
fn values(text: &str) -> Vec<serde_json::Value> {
    serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_edit_changes_only_its_value_or_refuses(
        documents in prop::collection::vec(node(), 1..4),
        crlf: bool,
        final_break: bool,
        which: prop::sample::Index,
        value in prop::sample::select(WORDS),
    ) {
        let before = file(&documents, crlf, final_break);
        let document = which.index(documents.len());
        let mut all = Vec::new();
        ways(&documents[document], ".root", &mut all);
        let (path, old) = &all[which.index(all.len())];
        let asked = Edit::Path { path: &path.parse::<Path>().unwrap(), value };
        match edit("f", before.as_bytes(), Some(document + 1), &asked) {
            // What is there is a template.
            Err(refusal) => prop_assert!(old.contains("{{"), "{refusal}: {before}"),
            Ok(edited) => {
                let after = String::from_utf8(edited.bytes).unwrap();
                // Bytes: one stretch of one line.
                let lines = |text: &str| text.split_inclusive('\n').map(str::to_owned).collect::<Vec<_>>();
                let (was, is) = (lines(&before), lines(&after));
                prop_assert_eq!(was.len(), is.len());
                let changed = was.iter().zip(&is).filter(|(was, is)| was != is).count();
                prop_assert!(changed <= 1, "{changed} lines: {before}\n{after}");
                prop_assert_eq!(after.ends_with('\n'), before.ends_with('\n'));
                // Values: only this one, and it is the text that was asked for.
                let mut wanted = values(&before);
                let place = wanted[document].pointer_mut(&path.replace(['.', '['], "/").replace(']', ""));
                let place = place.expect("the path is one of the document");
                let stays = !place.is_string() && kind(old).is_some() && kind(old) == kind(value);
                *place = if stays { serde_json::from_str(value).expect("JSON") } else { value.into() };
                prop_assert_eq!(values(&after), wanted, "{} -> {}: {}", path, value, after);
            }
        }
    }

    #[test]
    fn whatever_the_bytes_nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), shape in "[-a-c:#&*{}\\[\\]'\"|> \n\t\r?!%]{0,80}") {
        let path: Path = ".a".parse().unwrap();
        let pin = Pin::of_image("nginx:1".parse().unwrap());
        let policy: Marked = "a:b".parse().unwrap();
        for bytes in [&bytes[..], shape.as_bytes()] {
            for asked in [
                Edit::Path { path: &path, value: "x" },
                Edit::HelmValues { path: &path, pin: &pin },
                Edit::Kustomize { pin: &pin, name: None },
                Edit::Marker { policy: &policy, pin: &pin },
            ] {
                drop(edit("-", bytes, None, &asked));
            }
        }
    }
}
