//! What a container died of, as a name that is the same for the same cause.
//!
//! Guarantees: bounded; what differs from crash to crash (numbers, addresses, ids, quoted text, times) is not in it.
//! Assumes nothing of the message: it is written by whatever crashed.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{bounded, stable_hash};

/// Bytes of a message that are looked at: the kubelet keeps 4 KiB.
const MAX_MESSAGE: usize = 4096;
const MAX_NAME_BYTES: usize = 120;
/// Bytes of the line that people see.
const MAX_LINE: usize = 160;

/// The name of a cause: container, exit code, reason, and the hash of the message without what varies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// From what the kubelet says of a dead container. An empty message is one of its own.
    #[must_use]
    pub fn new(container: &str, exit_code: i32, reason: &str, message: &str) -> Self {
        let hash = stable_hash(&normalised(message));
        Self(bounded(&format!("{container}/{exit_code}/{reason}/{hash:016x}"), MAX_NAME_BYTES))
    }

    /// The text that is kept in the status.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The line of a message that says why, for people: the first that names a panic or an error, else the last that is not empty.
#[must_use]
pub fn telling_line(message: &str) -> Option<String> {
    let lines = || message.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = cause(lines()).or_else(|| lines().next_back())?;
    let clean: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let clean = masked(&clean);
    let mut end = clean.len().min(MAX_LINE);
    while !clean.is_char_boundary(end) {
        end -= 1;
    }
    Some(clean[..end].to_owned())
}

/// The line without what looks like a secret: after `password=`, `token: `, `Bearer `, and before the `@` of an address.
fn masked(line: &str) -> String {
    const NAMES: [&str; 8] =
        ["password", "passwd", "token", "secret", "apikey", "api_key", "authorization", "credential"];
    let mut hide_next = false;
    let mut out = String::with_capacity(line.len());
    for word in line.split(' ') {
        let lower = word.to_lowercase();
        let hidden = std::mem::take(&mut hide_next) && !word.is_empty();
        let assigned =
            lower.find(['=', ':']).filter(|at| NAMES.iter().any(|name| lower[..*at].contains(name)));
        // After `authorization:` comes the scheme, and then what counts.
        hide_next =
            matches!(lower.as_str(), "bearer" | "basic") || assigned.is_some_and(|at| at + 1 == lower.len());
        if !out.is_empty() {
            out.push(' ');
        }
        match (word.rsplit_once('@'), word.find(['=', ':'])) {
            _ if hide_next => out.push_str(word),
            _ if hidden => out.push_str("***"),
            (_, Some(at)) if assigned.is_some() => out.extend([&word[..=at], "***"]),
            (Some((_, host)), _) if word.contains("://") => out.extend(["***@", host]),
            _ => out.push_str(word),
        }
    }
    out
}

/// How runtimes begin the line that names the cause.
const CAUSES: [&str; 10] = [
    "panic:",
    "panicked at",
    "fatal error:",
    "exception in thread",
    "caused by:",
    "traceback",
    "uncaught",
    "unhandled",
    "fatal:",
    "error:",
];

fn cause<'a>(mut lines: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    lines.find(|line| {
        let line = line.to_lowercase();
        CAUSES.iter().any(|cause| line.contains(cause))
    })
}

/// The message without what varies from crash to crash, words separated by single blanks. Only lines up to the
/// first frame of a stack count: how deep it is and where code lies in memory is not the cause.
fn normalised(message: &str) -> String {
    let mut end = message.len().min(MAX_MESSAGE);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    let kept: Vec<String> = message[..end]
        .lines()
        .map(str::trim)
        // What follows is stacks, of any number of threads.
        .take_while(|line| !STACKS.iter().any(|begin| line.starts_with(begin)))
        .filter(|line| !line.is_empty() && !is_frame(line))
        .map(without_what_varies)
        .filter(|line| !line.is_empty())
        .collect();
    kept.join("\n")
}

/// With these lines the stacks begin, of Go and of Rust.
const STACKS: [&str; 2] = ["goroutine ", "stack backtrace"];

/// A line of a stack trace, or one that names a thread by its number.
fn is_frame(line: &str) -> bool {
    const BEGINS: [&str; 6] = ["at ", "File \"", "... ", "note: run with", "created by ", "[signal "];
    let numbered =
        line.split_once(':').is_some_and(|(n, _)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    BEGINS.iter().any(|begin| line.starts_with(begin))
        || numbered
        || line.starts_with('/')
        || line.contains("(0x")
}

fn without_what_varies(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    for word in without_quoted(line).split_whitespace() {
        let varies = word.bytes().any(|b| b.is_ascii_digit()) || word.contains("://") || looks_like_hex(word);
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(if varies { "#" } else { word });
    }
    out
}

/// What stands in quotes is data. A single quote inside of a word is an apostrophe.
fn without_quoted(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let (mut open, mut before) = (None, ' ');
    for c in line.chars() {
        let quote =
            matches!(c, '"' | '`') || (c == '\'' && (open == Some('\'') || !before.is_alphanumeric()));
        match open {
            Some(q) if q == c => open = None,
            Some(_) => {}
            None if quote => {
                open = Some(c);
                out.push('\u{2026}');
            }
            None => out.push(c),
        }
        before = c;
    }
    out
}

/// Eight or more hexadecimal digits in a row are an id, even if no decimal digit is among them.
fn looks_like_hex(word: &str) -> bool {
    word.split(|c: char| !c.is_ascii_hexdigit()).any(|run| run.len() >= 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: &str, b: &str) {
        assert_eq!(normalised(a), normalised(b));
        assert_eq!(Fingerprint::new("otel", 2, "Error", a), Fingerprint::new("otel", 2, "Error", b));
    }

    #[test]
    fn the_same_panic_is_the_same_whatever_varies() {
        // Go
        same(
            "panic: unsupported attribute value type\n\ngoroutine 57 [running]:\ngo.opentelemetry.io/x.(*Y).Do(0xc000123, 0x12)\n\t/src/y.go:88 +0x1d",
            "panic: unsupported attribute value type\n\ngoroutine 4 [running]:\ngo.opentelemetry.io/x.(*Y).Do(0xc0dead1, 0x9)\n\t/src/y.go:88 +0x1d",
        );
        same(
            "panic: runtime error: index out of range [5] with length 3",
            "panic: runtime error: index out of range [17] with length 0",
        );
        same(
            "fatal error: concurrent map writes\n[signal SIGSEGV: segmentation violation code=0x1 addr=0x0]",
            "fatal error: concurrent map writes\n[signal SIGSEGV: segmentation violation code=0x2 addr=0xbeef]",
        );
        // Rust
        same(
            "thread 'tokio-runtime-worker' panicked at src/main.rs:12:5:\ncalled `Result::unwrap()` on an `Err` value: Os { code: 111 }",
            "thread 'main' panicked at src/main.rs:12:5:\ncalled `Result::unwrap()` on an `Err` value: Os { code: 104 }",
        );
        // Java
        same(
            "Exception in thread \"worker-1\" java.lang.IllegalStateException: span 4bf92f3577b34da6 ended\n\tat io.x.Y.z(Y.java:10)\n\t... 12 more",
            "Exception in thread \"worker-9\" java.lang.IllegalStateException: span 00f067aa0ba902b7 ended\n\tat io.x.Y.q(Y.java:44)\n\tat io.x.Y.z(Y.java:10)",
        );
        // Node
        same(
            "TypeError: Cannot read properties of undefined (reading 'foo')\n    at Object.<anonymous> (/app/a.js:1:7)",
            "TypeError: Cannot read properties of undefined (reading 'bar')\n    at Module._compile (node:internal/x:1:2)",
        );
        // Python
        same(
            "Traceback (most recent call last):\n  File \"/app/x.py\", line 3, in <module>\nKeyError: 'tenant-17'",
            "Traceback (most recent call last):\n  File \"/app/y.py\", line 9, in run\nKeyError: 'tenant-4'",
        );
        same("dial tcp 10.0.3.17:4317: connection refused", "dial tcp 10.9.1.2:4317: connection refused");
        same(
            "2026-11-22T03:38:11Z ERROR exporting to https://a.example/x",
            "2026-11-22T04:00:59Z ERROR exporting to https://b.example/y",
        );
    }

    #[test]
    fn another_cause_another_container_or_another_way_to_die_is_another_fingerprint() {
        let panic = Fingerprint::new("otel", 2, "Error", "panic: unsupported attribute value type");
        for other in [
            Fingerprint::new("otel", 2, "Error", "panic: assignment to entry in nil map"),
            Fingerprint::new("app", 2, "Error", "panic: unsupported attribute value type"),
            Fingerprint::new("otel", 137, "OOMKilled", ""),
            Fingerprint::new("otel", 137, "Error", ""),
        ] {
            assert_ne!(panic, other);
        }
        // A probe that failed and memory that ran out leave no message: reason and code tell them apart.
        assert_eq!(
            Fingerprint::new("otel", 137, "OOMKilled", ""),
            Fingerprint::new("otel", 137, "OOMKilled", " \n")
        );
    }

    #[test]
    fn it_is_bounded_whatever_is_written() {
        let long = "é".repeat(100_000);
        assert!(Fingerprint::new(&long, i32::MIN, &long, &long).as_str().len() <= MAX_NAME_BYTES);
        assert!(telling_line(&long).unwrap().len() <= MAX_LINE);
        assert_eq!(telling_line(" \n\t\n"), None);
    }

    #[test]
    fn people_get_the_line_that_says_why() {
        let go = "2026/11/22 starting\npanic: unsupported attribute value type\n\ngoroutine 1 [running]:\nmain.main()";
        assert_eq!(telling_line(go).unwrap(), "panic: unsupported attribute value type");
        assert_eq!(telling_line("one\ntwo\n\n").unwrap(), "two");
        assert_eq!(telling_line("error: a\u{1b}[31mb").unwrap(), "error: a [31mb");
    }

    #[test]
    fn what_looks_like_a_secret_is_masked() {
        for (line, shown) in [
            ("fatal: password=hunter2 for bob", "fatal: password=*** for bob"),
            ("error: token: abc.def refused", "error: token: *** refused"),
            ("error: Authorization: Bearer abc.def", "error: Authorization: Bearer ***"),
            ("dial postgres://u:p@db:5432/x failed", "dial ***@db:5432/x failed"),
        ] {
            assert_eq!(telling_line(line).unwrap(), shown);
        }
    }
}
