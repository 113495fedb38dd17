//! Whose signature a release must have, and what is known of it.
//!
//! Guarantees: a pattern must match the whole text, so that `github.com/acme` admits nobody else's
//! `evil.example/github.com/acme`. May not: verify anything; that is the work of an adapter.

use crate::select::{Pattern, PatternError};

/// `spec.select.verify`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verify {
    /// Who must have signed.
    pub signer: Signer,
    /// Whether what a rollback returns to must be signed, too.
    pub on_rollback: bool,
}

/// Who must have signed a release.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signer {
    /// Whoever has the private half of one of the public keys in this Secret of the policy's namespace.
    Keys {
        /// The Secret's name.
        secret: String,
    },
    /// Somebody whom an identity provider vouched for when the release was signed.
    Keyless {
        /// The identity provider, such as `https://token.actions.githubusercontent.com`.
        issuer: Wanted,
        /// Who it was, such as an e-mail address or the URL of a workflow.
        subject: Wanted,
    },
}

impl Signer {
    /// The Secret that holds the keys, if there are keys.
    #[must_use]
    pub fn secret(&self) -> Option<&str> {
        match self {
            Self::Keys { secret } => Some(secret),
            Self::Keyless { .. } => None,
        }
    }
}

/// What a text must be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wanted {
    /// This.
    Exactly(String),
    /// Whatever this pattern matches as a whole.
    Like(Whole),
}

impl Wanted {
    /// Whether `text` is one that is wanted.
    #[must_use]
    pub fn admits(&self, text: &str) -> bool {
        match self {
            Self::Exactly(wanted) => wanted == text,
            Self::Like(pattern) => pattern.matches(text),
        }
    }

    /// As people wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Exactly(wanted) => wanted,
            Self::Like(pattern) => pattern.as_str(),
        }
    }
}

/// A pattern that must match the whole text. Only its text is kept, so that it can be a part of keys: it is compiled when
/// a signature is judged, which is seldom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Whole(String);

impl Whole {
    /// Compiles it.
    ///
    /// # Errors
    /// It is no pattern, or becomes another one when it is anchored.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        // By itself first: a bracket too many in it must not close the one that is put around it.
        Pattern::new(text)?;
        anchored(text)?;
        Ok(Self(text.to_owned()))
    }

    /// Whether it matches all of `text`.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        // It compiled when it was made; what does not, matches nothing.
        anchored(&self.0).is_ok_and(|pattern| pattern.matches(text))
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn anchored(text: &str) -> Result<Pattern, PatternError> {
    Pattern::new(&format!("^(?:{text})$"))
}

/// What signatures a digest has. That it has none is [`Answer::Absent`](crate::observed::Answer::Absent).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signed {
    /// One is of the signer that is asked for: who that was, in words.
    Trusted(String),
    /// It has some, and none of them is: why not, in words.
    Foreign(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_the_whole_text_or_not_at_all() {
        for (pattern, text, admits) in [
            ("https://github.com/acme/.*", "https://github.com/acme/app", true),
            ("github.com/acme/.*", "https://github.com/acme/app", false),
            ("a|b", "b", true),
            ("a|b", "bc", false),
            ("^a$", "a", true),
            ("(?m)^a$", "b\na", false),
            ("a", "a\n", false),
        ] {
            assert_eq!(Wanted::Like(Whole::new(pattern).unwrap()).admits(text), admits, "{pattern} {text:?}");
        }
        assert!(Wanted::Exactly("a.c".into()).admits("a.c") && !Wanted::Exactly("a.c".into()).admits("abc"));
    }

    #[test]
    fn a_bracket_too_many_is_refused() {
        for pattern in ["a)|(b", "(", "[", "", "(?x)a # comment"] {
            assert!(Whole::new(pattern).is_err(), "{pattern}");
        }
    }
}
