//! Whether a version meets one term: `constraints.go` of Masterminds semver v3.5.0, function by function.
//!
//! Assumes that prereleases were dealt with for the whole group.

use std::cmp::Ordering;

use semver::Version;

use super::{Operator, Term};

impl Term {
    pub(super) fn holds(&self, version: &Version) -> bool {
        match self.operator {
            Operator::Equal if self.known == 3 => self.compare(version) == Ordering::Equal,
            Operator::Equal | Operator::Tilde => self.tilde(version),
            Operator::NotEqual => self.not_equal(version),
            Operator::Greater => self.greater(version),
            Operator::Less => self.compare(version) == Ordering::Less,
            Operator::GreaterOrEqual => self.compare(version) != Ordering::Less,
            Operator::LessOrEqual => self.less_or_equal(version),
            Operator::Caret => self.caret(version),
        }
    }

    /// The version, compared with the term's.
    fn compare(&self, version: &Version) -> Ordering {
        version.cmp_precedence(&self.version)
    }

    fn not_equal(&self, version: &Version) -> bool {
        let term = &self.version;
        match self.known {
            1 => version.major != term.major,
            2 if (version.major, version.minor) != (term.major, term.minor) => true,
            // `!=1.2` is about releases: 1.2.3-rc.1 is none of them.
            2 => version.pre != term.pre,
            _ => self.compare(version) != Ordering::Equal,
        }
    }

    fn greater(&self, version: &Version) -> bool {
        let term = &self.version;
        match self.known {
            1 => version.major > term.major,
            2 => (version.major, version.minor) > (term.major, term.minor),
            _ => self.compare(version) == Ordering::Greater,
        }
    }

    fn less_or_equal(&self, version: &Version) -> bool {
        let term = &self.version;
        match self.known {
            3 => self.compare(version) != Ordering::Greater,
            1 => version.major <= term.major,
            // `<=*` is `<=0.0` there, and so here.
            _ => (version.major, version.minor) <= (term.major, term.minor),
        }
    }

    fn tilde(&self, version: &Version) -> bool {
        let term = &self.version;
        let any = matches!(self.known, 0 | 3) && (term.major, term.minor, term.patch) == (0, 0, 0);
        self.compare(version) != Ordering::Less
            && (any || version.major == term.major && (self.known == 1 || version.minor == term.minor))
    }

    fn caret(&self, version: &Version) -> bool {
        let term = &self.version;
        if self.compare(version) == Ordering::Less || version.major != term.major {
            return false;
        }
        if term.major > 0 || self.known == 1 {
            return true;
        }
        if term.minor > 0 || self.known == 2 {
            return version.minor == term.minor;
        }
        // `^*` is `^0.0.0` there: Masterminds' table says any, its code says this.
        version.minor == 0 && version.patch == term.patch
    }
}
