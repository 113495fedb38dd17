//! Reading the workspace's own sources, for tests of its rules. Lines, not syntax trees: what rustfmt writes is
//! regular enough, and the rules are tested themselves.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The folder of the workspace.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// One file.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its path from the workspace's folder, with `/`.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// Every Rust file under `folder`, by name.
pub fn sources(folder: &str) -> Vec<Source> {
    let read = |path: String| {
        let text = fs::read_to_string(repository().join(&path)).expect("a file that was listed");
        Source { path, text }
    };
    let found: Vec<Source> = files(folder, "rs").into_iter().map(read).collect();
    assert!(!found.is_empty(), "no sources in {folder}");
    found
}

/// Paths of the files under `folder` with this extension, sorted.
pub fn files(folder: &str, extension: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(repository().join(&folder)) else { continue };
        for entry in entries.flatten() {
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                if !path.ends_with("/target") {
                    folders.push(path);
                }
            } else if entry.path().extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Targets of the links in a Markdown text that name a file.
pub fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for part in text.split("](").skip(1) {
        let target: String = part.chars().take_while(|c| !matches!(c, ')' | ' ' | '\n')).collect();
        if !target.is_empty()
            && !target.contains("://")
            && !target.starts_with(['#', '<'])
            && !target.starts_with("mailto:")
        {
            found.push(target);
        }
    }
    found
}

impl Source {
    /// Whether the whole file is a test, or a test's helper.
    pub fn is_test(&self) -> bool {
        let under_src = self.path.split_once("/src/").map_or(self.path.as_str(), |(_, rest)| rest);
        let mut parts = under_src.split('/');
        parts.any(|part| {
            part == "tests" || part == "tests.rs" || part == "test_support" || part.ends_with("_tests.rs")
        }) || self.path.contains("/tests/")
    }

    /// The first part of its module path.
    pub fn top_module(&self) -> &str {
        let under_src = self.path.split_once("/src/").map_or(self.path.as_str(), |(_, rest)| rest);
        let first = under_src.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// How many modules deep it is.
    fn depth(&self) -> usize {
        let under_src = self.path.split_once("/src/").map_or(self.path.as_str(), |(_, rest)| rest);
        let parts = under_src.split('/').count();
        if under_src.ends_with("mod.rs") { parts - 1 } else { parts }
    }

    /// Its lines without inline test modules, numbered from 1. Comments are lines, too.
    pub fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut in_tests = false;
        let mut attribute = false;
        self.text.lines().enumerate().filter_map(move |(index, line)| {
            if in_tests {
                in_tests = line != "}";
                return None;
            }
            if attribute {
                attribute = false;
                in_tests = line.ends_with('{');
                return None;
            }
            if line == "#[cfg(test)]" {
                attribute = true;
                return None;
            }
            Some((index + 1, line))
        })
    }

    /// Its functions with a body: first line, name, number of lines. Closing braces stand where rustfmt puts them.
    pub fn functions(&self) -> Vec<(usize, String, usize)> {
        let lines: Vec<(usize, &str)> = self.code().collect();
        let mut found = Vec::new();
        for (at, (number, line)) in lines.iter().enumerate() {
            let code = line.trim_start();
            let Some((before, after)) = code.split_once("fn ") else { continue };
            let keywords = ["pub", "pub(crate)", "pub(super)", "const", "async", "extern", "unsafe"];
            if !before.split_whitespace().all(|word| keywords.contains(&word)) {
                continue;
            }
            let name: String = after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let close = format!("{}}}", &line[..line.len() - code.len()]);
            let signature = lines[at..].iter().position(|(_, l)| l.ends_with(['{', ';', '}'])).unwrap_or(0);
            if !lines[at + signature].1.ends_with('{') {
                continue;
            }
            if let Some(length) = lines[at..].iter().position(|(_, l)| *l == close) {
                found.push((*number, name, length + 1));
            }
        }
        found
    }

    /// Modules of its own crate, and crates of ours, that its code names: `(line, name)` in order.
    pub fn modules_used(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        // The code as one text, with the line of every byte's start known by counting.
        let mut text = String::new();
        let mut numbers = Vec::new();
        for (number, line) in self.code() {
            let code = line.split("//").next().unwrap_or_default();
            numbers.push((text.len(), number));
            text.push_str(code);
            text.push('\n');
        }
        let line_of = |at: usize| numbers.iter().rev().find(|(start, _)| *start <= at).map_or(0, |(_, n)| *n);
        let escape = "super::".repeat(self.depth());
        for lead in ["crate::", escape.as_str()] {
            for (at, _) in text.match_indices(lead) {
                let before = text[..at].chars().next_back();
                if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                    continue;
                }
                let rest = &text[at + lead.len()..];
                for name in first_names(rest) {
                    // `super::{…}` at this depth names the crate's root only if it is a module, thus lower case.
                    if name != "super" && name != "self" && name.chars().all(|c| c.is_lowercase() || c == '_')
                    {
                        found.push((at, name));
                    }
                }
            }
        }
        for name in ["lockkeeper_core", "lockkeeper_api"] {
            found.extend(text.match_indices(&format!("{name}::")).map(|(at, _)| (at, name.to_owned())));
        }
        found.sort();
        found.dedup();
        found.into_iter().map(|(at, name)| (line_of(at), name)).collect()
    }

    /// Which of these crates are named anywhere in the file.
    pub fn crates_used<'n>(&self, names: &[&'n str]) -> Vec<(usize, &'n str)> {
        let mut found = Vec::new();
        for (index, line) in self.text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for name in names {
                let whole = |at: usize| {
                    let before = code[..at].chars().next_back();
                    before.is_none_or(|c| !(c.is_alphanumeric() || c == '_' || c == ':' || c == '/'))
                };
                if code.match_indices(&format!("{name}::")).any(|(at, _)| whole(at)) {
                    found.push((index + 1, *name));
                }
            }
        }
        found
    }
}

/// The first names of a path or of a group of paths: `a::b` gives a, `{a::{x, y}, b}` gives a and b.
fn first_names(rest: &str) -> Vec<String> {
    let name =
        |text: &str| -> String { text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect() };
    let Some(group) = rest.strip_prefix('{') else { return vec![name(rest)] };
    let (mut depth, mut names, mut start) = (1, Vec::new(), true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => {
                start = true;
                continue;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if start && !c.is_whitespace() {
            names.push(name(&group[at..]));
            start = false;
        }
    }
    names.retain(|n| !n.is_empty());
    names
}
