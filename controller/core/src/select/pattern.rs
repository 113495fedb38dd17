//! Regular expressions that people write into policies: linear time, bounded size, errors with a position.

use std::fmt;

use regex::{Captures, Regex, RegexBuilder};

use crate::image::shown;

/// Longest pattern, in bytes.
const LONGEST: usize = 512;
/// Most memory of a compiled pattern, and of its cache, in bytes.
const LARGEST: usize = 1 << 20;

/// An unanchored regular expression. Two are equal if their texts are.
#[derive(Clone)]
pub struct Pattern(Regex);

/// Why a text is no usable pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing there: it would match every tag.
    #[error(
        "\"\" is no usable pattern: it is empty and would match every tag; leave the field out, or write one"
    )]
    Empty,
    /// More than 512 bytes.
    #[error("{value} is no usable pattern: it has {length} bytes, at most 512 are allowed; shorten it")]
    TooLong {
        /// As shown to people.
        value: String,
        /// In bytes.
        length: usize,
    },
    /// Not in the syntax.
    #[error("{value} is no regular expression: {reason} at character {at}; correct it there (RE2 syntax)")]
    Syntax {
        /// As shown to people.
        value: String,
        /// From the parser, in lower case.
        reason: String,
        /// Counted from 1.
        at: usize,
    },
    /// Repetitions of repetitions.
    #[error(
        "{value} is no usable pattern: compiled it is larger than 1 MiB; use fewer or smaller repetitions"
    )]
    TooLarge {
        /// As shown to people.
        value: String,
    },
}

impl Pattern {
    /// Compiles it. Matching takes time linear in the tag, whatever the pattern.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.len() > LONGEST {
            return Err(PatternError::TooLong { value: shown(text), length: text.len() });
        }
        if let Err(error) = regex_syntax::Parser::new().parse(text) {
            let (reason, offset) = match &error {
                regex_syntax::Error::Parse(error) => (error.kind().to_string(), error.span().start.offset),
                regex_syntax::Error::Translate(error) => {
                    (error.kind().to_string(), error.span().start.offset)
                }
                other => (other.to_string(), 0),
            };
            let at = text.get(..offset).unwrap_or(text).chars().count() + 1;
            return Err(PatternError::Syntax { value: shown(text), reason, at });
        }
        // What parses and does not compile is too large: the builder has no other error.
        let built = RegexBuilder::new(text).size_limit(LARGEST).dfa_size_limit(LARGEST).build();
        built.map(Self).map_err(|_| PatternError::TooLarge { value: shown(text) })
    }

    /// Whether it matches anywhere in the text.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub(super) fn captures<'t>(&self, text: &'t str) -> Option<Captures<'t>> {
        self.0.captures(text)
    }

    /// The names of its groups by index; the first is the whole match.
    pub(super) fn groups(&self) -> Vec<Option<&str>> {
        self.0.capture_names().collect()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        Pattern::new(text).unwrap_err().to_string()
    }

    #[test]
    fn row_8_nested_repetition_runs_on_a_linear_engine() {
        let pattern = Pattern::new("(a+)+$").unwrap();
        // 2^100 steps for a backtracking engine.
        assert!(!pattern.matches(&format!("{}b", "a".repeat(100))));
    }

    #[test]
    fn row_8_large_patterns_are_refused() {
        assert!(
            message("((a{1000}){1000}){1000}").contains("1 MiB"),
            "{}",
            message("((a{1000}){1000}){1000}")
        );
        assert!(message(&"a".repeat(513)).contains("513 bytes"));
    }

    #[test]
    fn row_9_a_mistake_has_a_position() {
        for (text, reason, at) in [
            ("[=", "unclosed character class", 1),
            ("é(a", "unclosed group", 2),
            ("a)", "unopened group", 2),
            ("ab*{", "repetition", 4),
            (r"a\1", "backreferences are not supported", 2),
            ("(?=a)", "look-around", 1),
            (r"\p{Nonsense}", "property", 1),
            ("(?P<n>a)(?P<n>b)", "duplicate capture group name", 13),
        ] {
            let message = message(text);
            assert!(
                message.contains(reason) && message.contains(&format!("at character {at};")),
                "{message}"
            );
        }
        assert!(message("").contains("empty"));
    }
}
