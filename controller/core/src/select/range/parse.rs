//! Reading a range.

use semver::{BuildMetadata, Prerelease, Version};

use super::super::version::{build_metadata, prerelease};
use super::{Group, Operator, Term};
use crate::image::shown;

/// Longest range, in bytes, and most groups in it (as in Masterminds semver v3).
pub(super) const LONGEST: usize = 512;
const MOST_GROUPS: usize = 32;

/// Why a text is no usable range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// Nothing there.
    #[error("\"\" is no range: it is empty; write * for any release, *-0 for any version")]
    Empty,
    /// More than 512 bytes.
    #[error("{value} is no range: it has {length} bytes, at most 512 are allowed; shorten it")]
    TooLong {
        /// As shown to people.
        value: String,
        /// In bytes.
        length: usize,
    },
    /// More than 32 groups.
    #[error("{value} is no range: it has {count} parts joined by ||, at most 32 are allowed; use fewer")]
    TooManyGroups {
        /// As shown to people.
        value: String,
        /// Groups.
        count: usize,
    },
    /// Not in the grammar.
    #[error("{value} is no range: {mistake} at character {at}; write for example >=1.2.0 <2.0.0")]
    Syntax {
        /// As shown to people.
        value: String,
        /// What is wrong.
        mistake: RangeMistake,
        /// Counted from 1.
        at: usize,
    },
    /// `>=1.0 <0.9`.
    #[error(
        "{value} matches nothing: no version meets all its terms; turn a comparison round, or join with ||"
    )]
    MatchesNothing {
        /// As shown to people.
        value: String,
    },
}

/// What is wrong at one place of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeMistake {
    /// No version where one must stand.
    #[error("a version is missing")]
    NoVersion,
    /// Two terms run together, or something foreign.
    #[error("a space, a comma or || must follow")]
    NoSeparator,
    /// `>=1.0 - 2.0`.
    #[error("a hyphen range takes two plain versions, none with an operator,")]
    Hyphen,
    /// Above 2⁶⁴ − 1.
    #[error("the number is too large")]
    TooLarge,
    /// Empty or zero-padded identifiers.
    #[error("the prerelease has an empty identifier or a number that starts with 0")]
    Prerelease,
    /// Empty identifiers.
    #[error("the build metadata has an empty identifier")]
    Build,
}

pub(super) fn groups(text: &str) -> Result<Vec<Group>, RangeError> {
    if text.trim().is_empty() {
        return Err(RangeError::Empty);
    }
    if text.len() > LONGEST {
        return Err(RangeError::TooLong { value: shown(text), length: text.len() });
    }
    let count = text.split("||").count();
    if count > MOST_GROUPS {
        return Err(RangeError::TooManyGroups { value: shown(text), count });
    }
    let mut start = 0;
    let mut groups = Vec::with_capacity(count);
    for part in text.split("||") {
        let mut scan = Scan { rest: part };
        groups.push(scan.group().map_err(|mistake| RangeError::Syntax {
            value: shown(text),
            mistake,
            at: text[..start + part.len() - scan.rest.len()].chars().count() + 1,
        })?);
        start += part.len() + "||".len();
    }
    Ok(groups)
}

/// What is still to be read of one group. After a mistake it stands at it, or right behind wrong identifiers.
struct Scan<'a> {
    rest: &'a str,
}

impl<'a> Scan<'a> {
    fn group(&mut self) -> Result<Group, RangeMistake> {
        let mut terms = Vec::new();
        loop {
            self.spaces();
            self.term(&mut terms)?;
            let spaced = self.spaces();
            if self.rest.is_empty() {
                return Ok(Group { terms });
            }
            let comma = self.take(",");
            if !spaced && !comma {
                return Err(RangeMistake::NoSeparator);
            }
            if !comma && (self.rest.starts_with("- ") || self.rest == "-") {
                return Err(RangeMistake::Hyphen);
            }
        }
    }

    fn term(&mut self, terms: &mut Vec<Term>) -> Result<(), RangeMistake> {
        let operator = self.operator();
        self.spaces();
        let first = self.partial(operator.unwrap_or(Operator::Equal))?;
        if operator.is_none()
            && let Some(rest) = after_hyphen(self.rest)
        {
            self.rest = rest;
            let last = self.partial(Operator::LessOrEqual)?;
            terms.extend([Term { operator: Operator::GreaterOrEqual, ..first }, last]);
        } else {
            terms.push(first);
        }
        Ok(())
    }

    fn operator(&mut self) -> Option<Operator> {
        // The longer ones first.
        [
            ("!=", Operator::NotEqual),
            ("==", Operator::Equal),
            (">=", Operator::GreaterOrEqual),
            ("=>", Operator::GreaterOrEqual),
            ("<=", Operator::LessOrEqual),
            ("=<", Operator::LessOrEqual),
            ("~>", Operator::Tilde),
            ("=", Operator::Equal),
            (">", Operator::Greater),
            ("<", Operator::Less),
            ("~", Operator::Tilde),
            ("^", Operator::Caret),
        ]
        .into_iter()
        .find_map(|(text, operator)| self.take(text).then_some(operator))
    }

    fn partial(&mut self, operator: Operator) -> Result<Term, RangeMistake> {
        let before = self.rest;
        self.take("v");
        let mut numbers = [0; 3];
        let mut known = 0;
        let mut wild = false;
        for (n, number) in numbers.iter_mut().enumerate() {
            if n > 0 && !self.take(".") {
                break;
            }
            match self.part() {
                Ok(Some(value)) if !wild => (*number, known) = (value, known + 1),
                Ok(Some(_)) => {}
                Ok(None) => wild = true,
                Err(RangeMistake::NoVersion) if n == 0 => {
                    self.rest = before;
                    return Err(RangeMistake::NoVersion);
                }
                Err(mistake) => return Err(mistake),
            }
        }
        let pre = match self.take("-").then(|| prerelease(self.identifiers())) {
            None => Prerelease::EMPTY,
            Some(Ok(pre)) => pre,
            Some(Err(_)) => return Err(RangeMistake::Prerelease),
        };
        if self.take("+") && build_metadata(self.identifiers()).is_err() {
            return Err(RangeMistake::Build);
        }
        let [major, minor, patch] = numbers;
        Ok(Term {
            operator,
            known,
            version: Version { major, minor, patch, pre, build: BuildMetadata::EMPTY },
        })
    }

    /// A number, or `None` for a wildcard.
    fn part(&mut self) -> Result<Option<u64>, RangeMistake> {
        if ["x", "X", "*"].into_iter().any(|wildcard| self.take(wildcard)) {
            return Ok(None);
        }
        let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        if end == 0 {
            return Err(RangeMistake::NoVersion);
        }
        let value = self.rest[..end].parse().map_err(|_| RangeMistake::TooLarge)?;
        self.rest = &self.rest[end..];
        Ok(Some(value))
    }

    fn identifiers(&mut self) -> &'a str {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
        let end = self.rest.find(|c| !allowed(c)).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        text
    }

    fn take(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn spaces(&mut self) -> bool {
        let before = self.rest.len();
        self.rest = self.rest.trim_start_matches(is_space);
        self.rest.len() < before
    }
}

/// What stands behind ` - `, if that is what comes next.
fn after_hyphen(rest: &str) -> Option<&str> {
    let hyphen = rest.trim_start_matches(is_space);
    let after = hyphen.strip_prefix('-')?;
    let last = after.trim_start_matches(is_space);
    (hyphen.len() < rest.len() && last.len() < after.len()).then_some(last)
}

/// White space as regular expressions of Go mean it.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0c')
}
