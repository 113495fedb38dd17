//! Tags.

use std::fmt;
use std::str::FromStr;

use super::{shown, text_type};

/// Longest tag that the OCI distribution specification allows, in characters.
const LONGEST: usize = 128;

/// A tag as a registry may hold it: a letter, digit or `_`, then at most 127 letters, digits, `_`, `.` or `-`.
/// The text is kept as it is (`v1.2` stays `v1.2`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

/// Why a text is no tag.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    /// Nothing there.
    #[error("\"\" is no tag: it is empty; name a tag such as 1.2.3")]
    Empty,
    /// More than 128 characters.
    #[error("{value} is no tag: it has {length} characters, at most 128 are allowed; use a shorter one")]
    Length {
        /// As shown to people.
        value: String,
        /// In characters.
        length: usize,
    },
    /// Starts with `.` or `-`.
    #[error("{value} is no tag: it may not start with {found}; start it with a letter, a digit or _")]
    Start {
        /// As shown to people.
        value: String,
        /// As shown to people.
        found: String,
    },
    /// A character that no tag may have.
    #[error(
        "{value} is no tag: {found} at character {at} is not allowed; use ASCII letters, digits, _, . and - only"
    )]
    Character {
        /// As shown to people.
        value: String,
        /// As shown to people.
        found: String,
        /// Counted from 1.
        at: usize,
    },
}

impl Tag {
    /// As it is in the registry.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Why this text is no tag; cheaper than making one.
    pub fn check(text: &str) -> Result<(), TagError> {
        // Listings are long, and nearly all of what they hold is right.
        let fine = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        if text.len() <= LONGEST
            && text.as_bytes().first().is_some_and(|first| !matches!(first, b'.' | b'-'))
            && text.as_bytes().iter().all(fine)
        {
            return Ok(());
        }
        let value = || shown(text);
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        let Some(first) = text.chars().next() else { return Err(TagError::Empty) };
        if text.len() > LONGEST && text.chars().count() > LONGEST {
            return Err(TagError::Length { value: value(), length: text.chars().count() });
        }
        if let Some((n, c)) = text.chars().enumerate().find(|(_, c)| !allowed(*c)) {
            let found = shown(c.encode_utf8(&mut [0; 4]));
            return Err(TagError::Character { value: value(), found, at: n + 1 });
        }
        if matches!(first, '.' | '-') {
            return Err(TagError::Start { value: value(), found: shown(&text[..1]) });
        }
        Ok(())
    }
}

impl FromStr for Tag {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        Self::check(text)?;
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_type!(
    Tag,
    "Tag",
    "A tag: at most 128 letters, digits, underscores, dots and hyphens, not starting with a dot or hyphen.",
    "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$",
    128
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_keep_their_text() {
        for text in ["latest", "v1.2.3", "1", "_x", "2025.07.03", &"a".repeat(128)] {
            assert_eq!(text.parse::<Tag>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn row_3_long_tag_is_a_length_error() {
        let message = "a".repeat(129).parse::<Tag>().unwrap_err().to_string();
        assert!(message.contains("129 characters, at most 128"), "{message}");
        assert!(message.chars().count() < 250, "{message}");
    }

    #[test]
    fn row_28_line_breaks_are_refused_and_escaped() {
        let message = "1.2\r\nX-Evil: 1".parse::<Tag>().unwrap_err().to_string();
        assert!(message.contains("\"\\r\" at character 4"), "{message}");
        assert!(!message.contains(char::is_control), "{message}");
    }

    #[test]
    fn other_mistakes_name_the_character() {
        for (text, part) in [
            ("", "empty"),
            (".1", "\".\""),
            ("-1", "\"-\""),
            ("1 2", "character 2"),
            ("1🔒", "\"🔒\""),
            ("a+b", "\"+\""),
        ] {
            let message = text.parse::<Tag>().unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }
}
