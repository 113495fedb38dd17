//! The `filterTags` that somebody probably wants whose tags hold versions in other words.

use std::fmt::Write as _;

use super::version::Version;
use crate::image::shown;

/// First identifiers of true prereleases; anything else that begins with a letter is probably the name of a variant.
const PRERELEASES: [&str; 11] =
    ["alpha", "beta", "rc", "pre", "dev", "snapshot", "nightly", "canary", "next", "preview", "milestone"];

/// For `1.2.3-alpine`: a sentence part with the pattern, or nothing where it looks like a prerelease.
pub(super) fn for_prerelease(tag: &str, version: &Version) -> String {
    let pre = version.number.pre.as_str();
    let word: String =
        pre.chars().take_while(char::is_ascii_alphabetic).collect::<String>().to_ascii_lowercase();
    let short = matches!(word.as_str(), "" | "a" | "b" | "c" | "m");
    if short || PRERELEASES.contains(&word.as_str()) {
        return String::new();
    }
    let Some(numbers) = tag.strip_suffix(&format!("-{pre}")) else { return String::new() };
    let prefix = if numbers.starts_with('v') { "v" } else { "" };
    format!(
        "; if -{} is a variant, {}",
        shown(pre).trim_matches('"'),
        pattern(prefix, version.parts, &format!("-{pre}"))
    )
}

/// For `release-1.2.3`: a sentence part with the pattern, or nothing where no version is in it.
pub(super) fn for_no_version(tag: &str) -> String {
    let digit = |c: char| c.is_ascii_digit();
    let mut from = 0;
    while let Some(start) = tag[from..].find(digit).map(|n| from + n) {
        let rest = &tag[start..];
        let length = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let numbers = rest[..length].trim_end_matches('.');
        let parts = numbers.split('.').count();
        if (2..=3).contains(&parts) && numbers.split('.').all(|n| !n.is_empty()) {
            let suffix = &rest[numbers.len()..];
            return format!(
                "; if it holds one, {}",
                pattern(&tag[..start], u8::try_from(parts).unwrap_or(3), suffix)
            );
        }
        from = start + length;
    }
    String::new()
}

fn pattern(prefix: &str, parts: u8, suffix: &str) -> String {
    let mut numbers = String::from(r"\d+");
    for _ in 1..parts {
        numbers.push_str(r"\.\d+");
    }
    let mut text = String::from("set select.filterTags to {pattern: '^");
    // Writing to a String cannot fail.
    let _ = write!(text, "{}({numbers}){}$', extract: '$1'}}", escaped(prefix), escaped(suffix));
    text
}

/// Tags hold letters, digits, `_`, `-` and `.`; only the dot means more in a pattern.
fn escaped(tag_part: &str) -> String {
    tag_part.replace('.', r"\.")
}
