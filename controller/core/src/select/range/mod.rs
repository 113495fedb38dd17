//! Ranges of versions, as Masterminds semver v3 (Flux, Argo CD Image Updater, Kargo) understands them.
//!
//! ```text
//! range      = group *( "||" group )            at most 32 groups, 512 bytes
//! group      = term *( separator term )         all must hold
//! separator  = "," / white space
//! term       = [ operator ] partial / partial " - " partial
//! operator   = "=" / "==" / "!=" / ">" / "<" / ">=" / "=>" / "<=" / "=<" / "~" / "~>" / "^"
//! partial    = [ "v" ] part [ "." part [ "." part ] ] [ "-" prerelease ] [ "+" build ]
//! part       = number / "x" / "X" / "*"         nothing after a wildcard counts
//! ```
//! | written | means |
//! |---|---|
//! | `1.2.3`, `=1.2.3` | exactly that version, whatever its build |
//! | `1.2`, `1.2.x`, `=1.2` | `>=1.2.0 <1.3.0` |
//! | `1`, `1.x` | `>=1.0.0 <2.0.0` |
//! | `*` | any release; `*-0`: any version |
//! | `>1.2` | `>=1.3.0`; `>1`: `>=2.0.0` |
//! | `<=1.2` | `<1.3.0`; `<=1`: `<2.0.0` |
//! | `<1.2` | `<1.2.0` |
//! | `!=1.2` | not `1.2.x`; `!=1`: not `1.x` |
//! | `1.2 - 2.3` | `>=1.2 <=2.3` |
//! | `~1.2.3`, `~>1.2.3` | `>=1.2.3 <1.3.0`; `~1.2` likewise; `~1`: `>=1.0.0 <2.0.0`; `~0.0.0`: any, as there |
//! | `^1.2.3` | `>=1.2.3 <2.0.0`; `^0.2.3`: `<0.3.0`; `^0.0.3`: `<0.0.4`; `^0.0`: `<0.1.0`; `^0`: `<1.0.0` |
//!
//! A prerelease is skipped by every group in which no term names one; one term that does (`>=1.0.0-0`) lets them
//! into its whole group.
//!
//! Guarantees: total on every text; what both accept means the same in both (tested against the answers of
//! Masterminds 3.5.0 in `testdata`); printing and reading again gives an equal range. It differs on purpose in two
//! things: `==` is accepted, and a hyphen range may stand behind another term.

mod check;
mod nothing;
mod parse;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use super::version::Version;
pub use parse::{RangeError, RangeMistake};

/// A range that at least one version can meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    groups: Vec<Group>,
}

/// Terms that must all hold.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    terms: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    operator: Operator,
    /// How many parts are numbers before the first wildcard or the end: 0 to 3.
    known: u8,
    /// The unknown parts are 0; without build.
    version: semver::Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
    Tilde,
    Caret,
}

/// What a range says about a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is in the range.
    In,
    /// It would be, if the range took prereleases.
    SkippedPrerelease,
    /// It is not in the range.
    Out,
}

impl Range {
    /// Whether the version is in the range.
    #[must_use]
    pub fn contains(&self, version: &Version) -> bool {
        self.groups.iter().any(|group| group.holds(&version.number, group.names_a_prerelease()))
    }

    /// The same, with the reason that people ask for most.
    #[must_use]
    pub fn answer(&self, version: &Version) -> Answer {
        if self.contains(version) {
            Answer::In
        } else if self.groups.iter().any(|group| group.holds(&version.number, true)) {
            Answer::SkippedPrerelease
        } else {
            Answer::Out
        }
    }
}

impl Group {
    fn names_a_prerelease(&self) -> bool {
        self.terms.iter().any(|term| !term.version.pre.is_empty())
    }

    fn holds(&self, version: &semver::Version, prereleases: bool) -> bool {
        (version.pre.is_empty() || prereleases) && self.terms.iter().all(|term| term.holds(version))
    }
}

impl FromStr for Range {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let range = Self { groups: parse::groups(text)? };
        if range.groups.iter().all(Group::matches_nothing) {
            return Err(RangeError::MatchesNothing { value: crate::image::shown(text) });
        }
        Ok(range)
    }
}

impl fmt::Display for Range {
    /// With a space between all parts; where that is longer than what is read, as short as it can be written: that is
    /// never longer than what it was read from.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups = |group: fn(&Group) -> String| self.groups.iter().map(group).collect::<Vec<_>>();
        let usual = groups(Group::written).join(" || ");
        if usual.len() <= parse::LONGEST {
            return f.write_str(&usual);
        }
        f.write_str(&groups(Group::short).join("||"))
    }
}

impl Group {
    fn written(&self) -> String {
        self.terms.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    /// `>=1 <=2` as `1 - 2`.
    fn short(&self) -> String {
        let mut terms = self.terms.iter().peekable();
        let mut all = Vec::new();
        while let Some(term) = terms.next() {
            let last = |next: &&Term| {
                term.operator == Operator::GreaterOrEqual && next.operator == Operator::LessOrEqual
            };
            all.push(match terms.next_if(last) {
                Some(last) => format!("{} - {}", term.partial(), last.partial()),
                None => term.to_string(),
            });
        }
        all.join(" ")
    }
}

impl Term {
    /// It without its operator.
    fn partial(&self) -> String {
        Self { operator: Operator::Equal, ..self.clone() }.to_string()
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.operator {
            Operator::Equal => "",
            Operator::NotEqual => "!=",
            Operator::Greater => ">",
            Operator::Less => "<",
            Operator::GreaterOrEqual => ">=",
            Operator::LessOrEqual => "<=",
            Operator::Tilde => "~",
            Operator::Caret => "^",
        })?;
        let semver::Version { major, minor, patch, pre, build: _ } = &self.version;
        match self.known {
            0 => f.write_str("*")?,
            1 => write!(f, "{major}")?,
            2 => write!(f, "{major}.{minor}")?,
            _ => write!(f, "{major}.{minor}.{patch}")?,
        }
        if pre.is_empty() { Ok(()) } else { write!(f, "-{pre}") }
    }
}
