//! How a value is written so that every reader of YAML takes it for the same text.
//!
//! Guarantees: the style of the old value stays where it can; what YAML 1.1 or 1.2 would read as something else than a
//! text is quoted; in JSON everything is quoted. Assumes that values are one line.

use granit_parser::ScalarStyle;
use lockkeeper_core::image::shown;
use regex::Regex;
use std::sync::LazyLock;

/// Plain texts that some reader takes for a number, a truth, a date, nothing or a merge.
#[allow(clippy::expect_used, reason = "the pattern is a constant, and tests read it")]
static NO_TEXT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?x)^(?:
            ~ | (?i:null) | (?i:y|n|yes|no|on|off|true|false) | << | =
            | [-+]?[0-9][0-9_]*                                      # 7, 007, 1_000
            | [-+]?0(?:[xX][0-9a-fA-F_]+ | [oO][0-7_]+ | [bB][01_]+)
            | [-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9_]+|[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?
            | [-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?       # 12:30:45 is a number to the base of 60
            | [-+]?\.(?i:inf) | \.(?i:nan)
            | [0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:(?:[Tt]|[\ \t]+)[0-9].*)?
        )$",
    )
    .expect("a valid pattern")
});

/// Whole numbers that every reader keeps, and nobody writes with an exponent.
#[allow(clippy::expect_used, reason = "the pattern is a constant, and tests read it")]
static WHOLE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("^(?:0|-?[1-9][0-9]{0,14})$").expect("a valid pattern"));

/// Where a value is written.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub style: ScalarStyle,
    /// Within `{}` or `[]`.
    pub in_flow: bool,
    /// The file is JSON.
    pub json: bool,
}

/// A value as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub text: String,
    /// Without quotes.
    pub plain: bool,
}

/// Writes a text.
pub fn write(value: &str, place: Place) -> Result<Written, String> {
    if let Some(c) = value.chars().find(|c| c.is_control()) {
        return Err(format!("the value {} holds {}; a value is one line", shown(value), c.escape_default()));
    }
    let quoted = |text| Ok(Written { text, plain: false });
    // Readers of YAML 1.1 end a line at these.
    let breaks = value.contains(['\u{2028}', '\u{2029}', '\u{feff}']);
    match place.style {
        ScalarStyle::SingleQuoted if !breaks => quoted(format!("'{}'", value.replace('\'', "''"))),
        ScalarStyle::Plain if !place.json && !breaks && is_plain(value, place.in_flow) => {
            Ok(Written { text: value.to_owned(), plain: true })
        }
        _ => quoted(in_double_quotes(value)),
    }
}

/// Writes a value that replaces a plain one of the same kind: a whole number or a truth stays what it is.
pub fn of_same_kind(old: &str, new: &str) -> Option<Written> {
    let truth = |text: &str| matches!(text, "true" | "false");
    let same = WHOLE.is_match(old) && WHOLE.is_match(new) || truth(old) && truth(new);
    same.then(|| Written { text: new.to_owned(), plain: true })
}

fn in_double_quotes(value: &str) -> String {
    let mut text = String::from("\"");
    for c in value.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\u{2028}' => text.push_str("\\u2028"),
            '\u{2029}' => text.push_str("\\u2029"),
            '\u{feff}' => text.push_str("\\ufeff"),
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

/// Whether it may stand without quotes and is a text then.
fn is_plain(value: &str, in_flow: bool) -> bool {
    let starts_badly = |c: char| "-?:,[]{}#&*!|>'\"%@`".contains(c);
    let breaks_off = value.contains(": ") || value.contains(" #") || value.ends_with(':');
    let dashes = value.starts_with("...");
    let spaces = value.starts_with(' ') || value.ends_with(' ');
    let flow = in_flow && value.contains([',', '[', ']', '{', '}']);
    !(value.is_empty()
        || value.starts_with(starts_badly)
        || breaks_off
        || dashes
        || spaces
        || flow
        || NO_TEXT.is_match(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(value: &str) -> String {
        write(value, Place { style: ScalarStyle::Plain, in_flow: false, json: false }).unwrap().text
    }

    #[test]
    fn traps_of_yaml_are_quoted() {
        for value in [
            "1.20",
            "1",
            "007",
            "0o7",
            "0x1F",
            "0b101",
            "1_000",
            "1e3",
            "1.5E+3",
            ".5",
            "5.",
            "+12",
            "-3",
            ".inf",
            "-.INF",
            ".nan",
            "on",
            "Off",
            "y",
            "N",
            "yes",
            "NO",
            "true",
            "False",
            "null",
            "~",
            "Null",
            "",
            "<<",
            "=",
            "12:30",
            "12:30:45",
            "1:2.5",
            "2026-11-22",
            "2026-11-22T10:00:00Z",
            "2026-11-22 10:00:00",
            "1234567e8",
            "*a",
            "&a",
            "!a",
            "%a",
            "@a",
            "`a",
            "-a",
            "- a",
            "?a",
            "a: b",
            "a:",
            "a #b",
            " a",
            "a ",
            "#a",
            "'a",
            "\"a",
            "[a",
            "{a",
            "|",
            ">",
            ",a",
            "---",
            "...",
            "]a",
            "}a",
            ":a",
        ] {
            let text = plain(value);
            assert!(text.starts_with('"') && text.ends_with('"'), "{value}: {text}");
        }
    }

    #[test]
    fn other_texts_stay_plain() {
        for value in [
            "1.2.3",
            "v1.20",
            "1.20-rc.1",
            "nginx:1.27",
            "a/b:1@sha256:00",
            "sha256:0123",
            "latest",
            "1.2.3+b",
            "a#b",
            "a:b",
            "main-7",
            "0.1.x",
            "onwards",
            "nullable",
            "2026.11.22",
            "1.20@sha256:00",
        ] {
            assert_eq!(plain(value), value);
        }
    }

    #[test]
    fn the_style_stays() {
        let in_style =
            |value, style| write(value, Place { style, in_flow: false, json: false }).unwrap().text;
        assert_eq!(in_style("it's", ScalarStyle::SingleQuoted), "'it''s'");
        assert_eq!(in_style("a\"\\", ScalarStyle::DoubleQuoted), r#""a\"\\""#);
        let flow = |value| {
            write(value, Place { style: ScalarStyle::Plain, in_flow: true, json: false }).unwrap().text
        };
        assert_eq!((flow("a,b"), flow("a:1")), ("\"a,b\"".to_owned(), "a:1".to_owned()));
        let json = |value| write(value, Place { style: ScalarStyle::Plain, in_flow: true, json: true });
        assert_eq!(json("v2").unwrap().text, "\"v2\"");
        for value in ["a\nb", "a\u{0}", "a\u{85}b"] {
            assert!(
                write(value, Place { style: ScalarStyle::DoubleQuoted, in_flow: false, json: false })
                    .is_err()
            );
        }
    }

    #[test]
    fn numbers_and_truths_stay_what_they_are_where_nothing_is_lost() {
        assert_eq!(of_same_kind("2", "3").map(|w| w.text), Some("3".to_owned()));
        assert_eq!(of_same_kind("true", "false").map(|w| w.text), Some("false".to_owned()));
        for (old, new) in
            [("1.19", "1.20"), ("v1", "2"), ("2", "007"), ("2", "true"), ("off", "on"), ("1", "1e3")]
        {
            assert_eq!(of_same_kind(old, new), None, "{old} {new}");
        }
    }
}
