//! Which tags are looked at, and which part of them is the version.

use regex::Captures;

use super::pattern::{Pattern, PatternError};
use crate::image::shown;

/// `filterTags`: the tags that match, and the text taken out of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagFilter {
    pattern: Pattern,
    /// Empty: the whole tag.
    extract: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Group(usize),
}

/// Why a filter cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// The pattern is wrong.
    #[error("select.filterTags.pattern: {0}")]
    Pattern(#[from] PatternError),
    /// The template is wrong.
    #[error("select.filterTags.extract: {0}")]
    Extract(#[from] ExtractError),
}

/// Why a template cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExtractError {
    /// More than 256 bytes.
    #[error("{value} is no usable template: it has {length} bytes, at most 256 are allowed; shorten it")]
    TooLong {
        /// As shown to people.
        value: String,
        /// In bytes.
        length: usize,
    },
    /// `$` with nothing, or an unclosed `${`.
    #[error(
        "{value} is no usable template: the $ at character {at} names no group; write $1, $name or ${{name}}, and $$ \
         for a dollar sign"
    )]
    Lone {
        /// As shown to people.
        value: String,
        /// Counted from 1.
        at: usize,
    },
    /// A group that the pattern does not have.
    #[error("{value} is no usable template: the pattern has no group {group}; {fix}")]
    NoGroup {
        /// As shown to people.
        value: String,
        /// As shown to people.
        group: String,
        /// What there is, and how to end a name.
        fix: String,
    },
    /// The same text for every tag.
    #[error(
        "{value} is no usable template: it names no group, so every tag would give the same text; use $1 or $name"
    )]
    Constant {
        /// As shown to people.
        value: String,
    },
}

impl TagFilter {
    /// `extract` is empty (the whole tag) or a template with `$1`, `$name`, `${name}`, `$$`. As in Go, a name is as
    /// long as it can be: `$1x` is the group `1x`, `${1}x` the first group and an x.
    pub fn new(pattern: &str, extract: &str) -> Result<Self, FilterError> {
        let pattern = Pattern::new(pattern)?;
        let extract = template(extract, &pattern.groups())?;
        Ok(Self { pattern, extract })
    }

    /// What the tag is judged by, `None` if the pattern does not match it.
    #[must_use]
    pub fn extract(&self, tag: &str) -> Option<String> {
        let captures = self.pattern.captures(tag)?;
        if self.extract.is_empty() {
            return Some(tag.to_owned());
        }
        Some(self.extract.iter().map(|piece| piece.text(&captures)).collect())
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn pattern(&self) -> &str {
        self.pattern.as_str()
    }
}

impl Piece {
    fn text<'a>(&'a self, captures: &'a Captures<'_>) -> &'a str {
        match self {
            Self::Text(text) => text,
            Self::Group(index) => captures.get(*index).map_or("", |found| found.as_str()),
        }
    }
}

fn template(text: &str, groups: &[Option<&str>]) -> Result<Vec<Piece>, ExtractError> {
    let value = || shown(text);
    if text.len() > 256 {
        return Err(ExtractError::TooLong { value: value(), length: text.len() });
    }
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        if let Some(after) = after.strip_prefix('$') {
            pieces.push(Piece::Text("$".to_owned()));
            rest = after;
            continue;
        }
        let Some((name, after)) = group_name(after) else {
            let dollar = text.len() - after.len() - 1;
            return Err(ExtractError::Lone { value: value(), at: text[..dollar].chars().count() + 1 });
        };
        let index = match name.parse::<usize>() {
            Ok(index) => Some(index).filter(|index| *index < groups.len()),
            Err(_) => groups.iter().position(|group| *group == Some(name)),
        };
        let Some(index) = index else { return Err(no_group(text, name, groups)) };
        pieces.push(Piece::Group(index));
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    if !pieces.is_empty() && !pieces.iter().any(|piece| matches!(piece, Piece::Group(_))) {
        return Err(ExtractError::Constant { value: value() });
    }
    Ok(pieces)
}

/// The name behind a `$` and what follows it.
fn group_name(after: &str) -> Option<(&str, &str)> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let (name, rest) = match after.strip_prefix('{') {
        Some(braced) => braced.split_once('}')?,
        None => after.split_at(after.find(|c| !word(c)).unwrap_or(after.len())),
    };
    (!name.is_empty() && name.chars().all(word)).then_some((name, rest))
}

fn no_group(text: &str, name: &str, groups: &[Option<&str>]) -> ExtractError {
    let digits = name.find(|c: char| !c.is_ascii_digit()).unwrap_or(name.len());
    let fix = match name[..digits].parse::<usize>() {
        Ok(index) if digits < name.len() && index < groups.len() => {
            format!("if you mean the group {index}, write ${{{index}}}{}", &name[digits..])
        }
        _ => match groups.len() - 1 {
            0 => "put what is to be taken out into parentheses in the pattern".to_owned(),
            count => {
                let names: Vec<String> = groups
                    .iter()
                    .enumerate()
                    .skip(1)
                    .map(|(n, g)| format!("${}", g.unwrap_or(&n.to_string())))
                    .collect();
                let listed = names.iter().take(10).map(String::as_str).collect::<Vec<_>>().join(", ");
                format!("it has {count}: {listed}")
            }
        },
    };
    ExtractError::NoGroup { value: shown(text), group: shown(name), fix }
}

/// Tags that hold signatures, attestations and the like instead of images (cosign's suffixes, the referrers tag of
/// the OCI distribution specification): never candidates.
#[must_use]
pub fn is_referrer(tag: &str) -> bool {
    let suffix = [".sig", ".att", ".sbom"].iter().any(|suffix| tag.ends_with(suffix));
    let hex = tag.strip_prefix("sha256-").is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
    });
    suffix || hex
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extracted(pattern: &str, extract: &str, tag: &str) -> Option<String> {
        TagFilter::new(pattern, extract).unwrap().extract(tag)
    }

    #[test]
    fn patterns_are_unanchored_and_templates_take_groups() {
        for (pattern, extract, tag, text) in [
            ("^v(.*)$", "$1", "v1.2", Some("1.2")),
            ("^v(.*)$", "$1", "1.2", None),
            ("[0-9]", "", "a1b", Some("a1b")),
            (r"^(\d+\.\d+\.\d+)-alpine$", "$1", "1.2.3-alpine", Some("1.2.3")),
            ("(?P<ma>[0-9]+)_(?<mi>[0-9]+)", "$ma.${mi}.0", "x1_2", Some("1.2.0")),
            ("^(.*)_(.*)$", "${1}+$2", "1.0.0_a", Some("1.0.0+a")),
            ("^(a)|(b)$", "${2}1", "a", Some("1")),
            ("(.)", "$0$$$1", "x", Some("x$x")),
        ] {
            assert_eq!(extracted(pattern, extract, tag).as_deref(), text, "{pattern} {extract} {tag}");
        }
    }

    #[test]
    fn templates_that_cannot_work_are_refused() {
        for (pattern, extract, part) in [
            ("(a)", "$2", "it has 1: $1"),
            ("a", "$1", "parentheses"),
            ("(a)", "$1x", "write ${1}x"),
            ("(?P<n>a)(b)", "$m", "it has 2: $n, $2"),
            ("(a)", "é$", "the $ at character 2"),
            ("(a)", "${1", "the $ at character 1"),
            ("(a)", "${}", "names no group"),
            ("(a)", "$99999999999999999999999", "no group"),
            ("(a)", "1.0", "same text"),
        ] {
            let message = TagFilter::new(pattern, extract).unwrap_err().to_string();
            assert!(
                message.starts_with("select.filterTags.extract: ") && message.contains(part),
                "{message}"
            );
        }
        assert!(TagFilter::new("(a)", &"$1".repeat(200)).is_err());
    }

    #[test]
    fn row_9_a_wrong_pattern_names_the_field() {
        let message = TagFilter::new("[=", "").unwrap_err().to_string();
        assert!(
            message.starts_with("select.filterTags.pattern: ") && message.contains("character 1"),
            "{message}"
        );
    }

    #[test]
    fn referrer_tags_are_recognised() {
        let hex = "0123456789abcdef".repeat(4);
        for tag in ["1.0.sig", "1.0.att", "1.0.sbom", &format!("sha256-{hex}"), &format!("sha256-{hex}.sig")]
        {
            assert!(is_referrer(tag), "{tag}");
        }
        for tag in
            ["1.0", "sig", "sha256-abc", &format!("sha256-{}", hex.to_uppercase()), &format!("sha256-{hex}0")]
        {
            assert!(!is_referrer(tag), "{tag}");
        }
    }
}
