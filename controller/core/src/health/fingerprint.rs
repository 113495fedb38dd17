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
/// Rust says what happened on the line after that, Python on the last of all.
#[must_use]
pub fn telling_line(message: &str) -> Option<String> {
    let lines: Vec<&str> = message.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines.last()?;
    let line = match cause(&lines) {
        None => (*last).to_owned(),
        Some(at) if lines[at].to_lowercase().starts_with("traceback") => (*last).to_owned(),
        Some(at) if lines[at].contains(" panicked at ") && lines[at].ends_with(':') => {
            [lines[at], lines.get(at + 1).copied().unwrap_or_default()].join(" ")
        }
        Some(at) => lines[at].to_owned(),
    };
    let clean: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let clean = masked(&clean);
    let mut end = clean.len().min(MAX_LINE);
    while !clean.is_char_boundary(end) {
        end -= 1;
    }
    Some(clean[..end].to_owned())
}

/// The line without what looks like a secret: after `password=`, `token: `, `--secret `, `Bearer `, before the `@` of an address,
/// and what is made as keys and tokens are.
fn masked(line: &str) -> String {
    let mut hide_next = false;
    let mut out = String::with_capacity(line.len());
    for word in line.split(' ') {
        let hidden = std::mem::take(&mut hide_next) && !word.is_empty();
        if !out.is_empty() {
            out.push(' ');
        }
        let lower = word.to_ascii_lowercase();
        let value = assigned(&lower);
        // After `authorization:` comes the scheme, and then what counts.
        let scheme = |text: &str| matches!(text.trim_matches(['"', '\'']), "bearer" | "basic");
        hide_next = scheme(value.map_or(lower.as_str(), |at| &lower[at..]))
            || value == Some(lower.len())
            || (lower.starts_with("--") && value.is_none() && names_a_secret(&lower));
        match value {
            _ if hide_next => out.push_str(word),
            Some(at) => out.extend([&word[..at], "***"]),
            None if hidden || looks_like_a_key(word) => out.push_str("***"),
            None => match word.rsplit_once('@') {
                Some((_, host)) if word.contains("://") => out.extend(["***@", host]),
                _ => out.push_str(word),
            },
        }
    }
    out
}

fn names_a_secret(lower: &str) -> bool {
    const NAMES: [&str; 10] = [
        "password",
        "passwd",
        "token",
        "secret",
        "apikey",
        "api_key",
        "api-key",
        "authorization",
        "credential",
        "signature",
    ];
    NAMES.iter().any(|name| lower.contains(name))
}

/// Where the value begins that is assigned to what names a secret.
fn assigned(lower: &str) -> Option<usize> {
    let signs = lower.match_indices(['=', ':']).map(|(at, _)| at);
    signs.map(|at| at + 1).find(|at| names_a_secret(&lower[..*at]))
}

/// Keys and tokens of clouds and forges, and what is long and has capitals, small letters and digits in one run.
fn looks_like_a_key(word: &str) -> bool {
    const BEGINS: [&str; 7] = ["eyJ", "AKIA", "ASIA", "ghp_", "github_pat_", "glpat-", "xox"];
    word.split(|c: char| !(c.is_ascii_alphanumeric() || "+_-=".contains(c))).any(|run| {
        let has = |kind: fn(&u8) -> bool| run.bytes().any(|b| kind(&b));
        let mixed = has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit);
        (run.len() >= 24 && mixed) || (run.len() >= 16 && BEGINS.iter().any(|begin| run.starts_with(begin)))
    })
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

fn cause(lines: &[&str]) -> Option<usize> {
    lines.iter().position(|line| {
        let line = line.to_lowercase();
        CAUSES.iter().any(|cause| line.contains(cause))
    })
}

/// With these a runtime begins its last words, and no logger a line of its own.
const LAST: [&str; 7] = [
    "panic: ",
    "fatal error: ",
    "runtime: out of memory",
    "exception in thread ",
    "traceback (most recent call last)",
    "uncaught ",
    "terminating due to java.lang.",
];

/// The last words of a process in the end of its log: what its runtime wrote when it died, from there to the end. What a
/// logger wrote before is no cause, and neither is an end without such words.
#[must_use]
pub fn last_words(log: &str) -> Option<String> {
    let lines: Vec<&str> = log.lines().collect();
    let begins = |n: usize| {
        let line = lines[n].trim().to_lowercase();
        let framed = |at: usize| lines.get(at).is_some_and(|next| next.trim_start().starts_with("at "));
        LAST.iter().any(|begin| line.starts_with(begin))
            || (line.starts_with("thread '") && line.contains(" panicked at "))
            // Node: the name of an error, and a stack below it.
            || (is_error(lines[n]) && framed(n + 1))
    };
    let at = (0..lines.len()).rev().find(|n| begins(*n))?;
    // It went on: what it said there is not what it died of.
    if lines[at + 1..].iter().any(|line| is_logged(line)) {
        return None;
    }
    let words = lines[at..].join("\n");
    let mut end = words.len().min(MAX_MESSAGE);
    while !words.is_char_boundary(end) {
        end -= 1;
    }
    Some(words[..end].to_owned())
}

/// A line that a logger begins: with a date, a level, or as JSON. What a runtime says when it dies begins otherwise.
fn is_logged(line: &str) -> bool {
    const BEGINS: [&str; 10] =
        ["{\"", "INFO", "WARN", "ERROR", "DEBUG", "TRACE", "level=", "time=", "ts=", "msg="];
    let line = line.trim_start_matches('[');
    let bytes = line.as_bytes();
    let digits = |from: usize| bytes.get(from..from + 4).is_some_and(|d| d.iter().all(u8::is_ascii_digit));
    // 2026-11-23 and 2026/11/23; of klog, I1123 03:38:01.
    let dated = digits(0) && matches!(bytes.get(4), Some(b'-' | b'/'));
    let klog =
        matches!(bytes.first(), Some(b'I' | b'W' | b'E' | b'F')) && digits(1) && bytes.get(5) == Some(&b' ');
    dated || klog || BEGINS.iter().any(|begin| line.starts_with(begin))
}

/// `TypeError: …` or `Error [ERR_X]: …` at the beginning of a line.
fn is_error(line: &str) -> bool {
    let name = line.split([':', ' ']).next().unwrap_or_default();
    (name.ends_with("Error") || name.ends_with("Exception")) && line.contains(": ")
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
        // Python, chained; Java, memory; Node with a code.
        same(
            "Traceback (most recent call last):\n  File \"/a.py\", line 3, in f\nRuntimeError: no tenant 17 in shard 3",
            "Traceback (most recent call last):\n  File \"/a.py\", line 88, in g\nRuntimeError: no tenant 4 in shard 11",
        );
        same(
            "java.lang.OutOfMemoryError: Java heap space\nDumping heap to java_pid1.hprof ...",
            "java.lang.OutOfMemoryError: Java heap space\nDumping heap to java_pid7.hprof ...",
        );
        same(
            "Error: listen EADDRINUSE: address already in use :::8080",
            "Error: listen EADDRINUSE: address already in use :::9090",
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

    /// As the runtimes print them: Go 1.24, Rust 1.95, Java 21, Node 22, Python 3.13.
    const REAL: [(&str, &str, &str); 12] = [
        (
            "Go",
            "2026/11/23 03:38:01 listening\npanic: unsupported attribute value type\n\ngoroutine 57 [running]:\nmain.main()\n\t/src/main.go:8 +0x1d\nexit status 2",
            "panic: unsupported attribute value type",
        ),
        (
            "Go, nil",
            "panic: runtime error: invalid memory address or nil pointer dereference\n[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x47b1d2]\n\ngoroutine 1 [running]:\nmain.main()\n\t/src/main.go:5 +0x12",
            "panic: runtime error: invalid memory address or nil pointer dereference",
        ),
        (
            "Go, maps",
            "fatal error: concurrent map writes\n\ngoroutine 18 [running]:\ninternal/runtime/maps.fatal({0x4c3f7a?, 0x0?})",
            "fatal error: concurrent map writes",
        ),
        (
            "Rust",
            "INFO ready\n\nthread 'main' (4711) panicked at src/main.rs:4:17:\nindex out of bounds: the len is 3 but the index is 99\nnote: run with `RUST_BACKTRACE=1` environment variable to display a backtrace",
            "thread 'main' (4711) panicked at src/main.rs:4:17: index out of bounds: the len is 3 but the index is 99",
        ),
        (
            "Java",
            "Exception in thread \"main\" java.lang.IllegalStateException: span ended\n\tat io.x.Y.z(Y.java:10)\nCaused by: java.io.IOException: broken\n\t... 12 more",
            "Exception in thread \"main\" java.lang.IllegalStateException: span ended",
        ),
        (
            "Java, memory",
            "Terminating due to java.lang.OutOfMemoryError: Java heap space",
            "Terminating due to java.lang.OutOfMemoryError: Java heap space",
        ),
        (
            "Node",
            "listening on 8080\n/app/index.js:3\n    throw new TypeError(\"boom\");\n    ^\n\nTypeError: boom\n    at Object.<anonymous> (/app/index.js:3:9)\n    at Module._compile (node:internal/modules/cjs/loader:1554:14)\n\nNode.js v22.14.0",
            "TypeError: boom",
        ),
        (
            "Node, code",
            "node:events:485\n      throw er; // Unhandled 'error' event\n      ^\n\nError: listen EADDRINUSE: address already in use :::8080\n    at Server.setupListenHandle [as _listen2] (node:net:1937:16)",
            "Error: listen EADDRINUSE: address already in use :::8080",
        ),
        (
            "Python",
            "INFO:root:up\nTraceback (most recent call last):\n  File \"/app/x.py\", line 3, in <module>\n    f()\n    ~^^\nKeyError: 'tenant-17'",
            "KeyError: 'tenant-17'",
        ),
        (
            "Python, chained",
            "Traceback (most recent call last):\n  File \"/app/x.py\", line 3, in <module>\nKeyError: 'a'\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"/app/x.py\", line 5, in <module>\nRuntimeError: no tenant",
            "RuntimeError: no tenant",
        ),
        ("Go, again", "panic: first [recovered]\n\tpanic: second\n\ngoroutine 1 [running]:", "panic: second"),
        (
            "Go, memory",
            "runtime: out of memory: cannot allocate 4194304-byte block (3221225472 in use)\nfatal error: out of memory",
            "fatal error: out of memory",
        ),
    ];

    #[test]
    fn the_end_of_a_log_gives_the_line_that_a_person_needs() {
        for (runtime, log, line) in REAL {
            let words = last_words(log).unwrap_or_else(|| panic!("{runtime}: no words in {log}"));
            assert_eq!(telling_line(&words).as_deref(), Some(line), "{runtime}");
            // What was logged before is not in it.
            assert_eq!(
                last_words(&format!("2026-11-23T03:38:00Z ERROR retrying: error: x\n{log}")),
                Some(words)
            );
        }
    }

    #[test]
    fn what_a_logger_wrote_or_what_was_killed_has_no_last_words() {
        for log in [
            "",
            // Killed for memory, or by a probe that failed: the log just ends.
            "INFO request done\nINFO request done",
            "level=error msg=\"panic: is what I log\"",
            "ERROR error: cannot reach the database; retrying",
            "shutting down: signal: terminated",
            "Error: no stack below this",
            // It went on after that, and ended for another reason.
            "Exception in thread \"worker-1\" java.lang.IllegalStateException: x\n\tat io.x.Y.z(Y.java:10)\n2026-11-23 03:38:01 INFO up",
            "Traceback (most recent call last):\n  File \"/app/x.py\", line 3\nKeyError: 'a'\nINFO:root:next",
            "thread 'worker' panicked at src/main.rs:4:17:\nindex out of bounds\n[2026-11-23T03:38:01Z INFO app] next",
            "panic: recovered\n{\"level\":\"info\",\"msg\":\"next\"}",
            "panic: recovered\nI1123 03:38:01.000000       1 main.go:8] next",
        ] {
            assert_eq!(last_words(log), None, "{log}");
        }
        let long = format!("panic: {}", "é".repeat(10_000));
        assert!(last_words(&long).unwrap().len() <= MAX_MESSAGE);
    }

    #[test]
    fn what_looks_like_a_secret_is_masked() {
        for (line, shown) in [
            ("fatal: password=hunter2 for bob", "fatal: password=*** for bob"),
            ("error: token: abc.def refused", "error: token: *** refused"),
            ("error: Authorization: Bearer abc.def", "error: Authorization: Bearer ***"),
            ("dial postgres://u:p@db:5432/x failed", "dial ***@db:5432/x failed"),
            ("panic: GET https://h/x?token=abc&y=1: 403", "panic: GET https://h/x?token=*** 403"),
            ("error: authorization=Bearer abc.def", "error: authorization=Bearer ***"),
            ("error: {\"password\":\"x\"} refused", "error: {\"password\":*** refused"),
            ("panic: exec login --password hunter2 x", "panic: exec login --password *** x"),
            ("panic: bad key AKIAIOSFODNN7EXAMPLE!", "panic: bad key ***"),
            ("panic: eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln is old", "panic: *** is old"),
            ("panic: wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY", "panic: ***"),
            // What people need stays.
            (
                "panic: app-7d9c6bf5d4-x2x7q on sha256:e3b0c44298fc1c149afbf4c8",
                "panic: app-7d9c6bf5d4-x2x7q on sha256:e3b0c44298fc1c149afbf4c8",
            ),
            ("java.lang.IllegalStateException: x", "java.lang.IllegalStateException: x"),
        ] {
            assert_eq!(telling_line(line).unwrap(), shown);
        }
    }
}
