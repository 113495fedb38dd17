//! What makes one candidate better than another.

use std::cmp::Ordering;

use jiff::Timestamp;

use super::SelectError;
use super::range::Range;
use super::version::Version;
use crate::image::Tag;

/// The order of a policy's candidates. Another order is another variant; whoever matches on it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// By version, within a range.
    Semver {
        /// What may be taken.
        range: Range,
    },
    /// By first sight: every new contents of one tag is a candidate.
    Digest {
        /// The tag that is followed.
        tag: Tag,
    },
}

impl Order {
    /// From `select.semver.range`.
    pub fn semver(range: &str) -> Result<Self, SelectError> {
        Ok(Self::Semver { range: range.parse()? })
    }

    /// From `select.digest.tag`.
    pub fn digest(tag: &str) -> Result<Self, SelectError> {
        Ok(Self::Digest { tag: tag.parse()? })
    }

    /// How two versions of this order compare: semver precedence, or the earlier first sight (RFC 3339). `None` if
    /// one of them is no version of this order, so that nothing can be said.
    #[must_use]
    pub fn compare(&self, a: &str, b: &str) -> Option<Ordering> {
        match self {
            Self::Semver { .. } => Some(Version::parse(a).ok()?.precedence(&Version::parse(b).ok()?)),
            Self::Digest { .. } => Some(a.parse::<Timestamp>().ok()?.cmp(&b.parse::<Timestamp>().ok()?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_in_their_own_order() {
        let semver = Order::semver("*").unwrap();
        assert_eq!(semver.compare("1.10", "v1.9.9"), Some(Ordering::Greater));
        assert_eq!(semver.compare("1.0", "1.0.0+a"), Some(Ordering::Equal));
        assert_eq!(semver.compare("1.0.0-rc.1", "1.0.0"), Some(Ordering::Less));
        assert_eq!(semver.compare("latest", "1.0.0"), None);
        let digest = Order::digest("latest").unwrap();
        let (early, late) = ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.5Z");
        assert_eq!(digest.compare(early, late), Some(Ordering::Less));
        assert_eq!(digest.compare(early, "1.0.0"), None);
    }

    #[test]
    fn mistakes_name_the_field() {
        let message = Order::semver(">=1.0 <0.9").unwrap_err().to_string();
        assert!(message.starts_with("select.semver.range: \">=1.0 <0.9\" matches nothing"), "{message}");
        let message = Order::digest("a b").unwrap_err().to_string();
        assert!(message.starts_with("select.digest.tag: \"a b\" is no tag"), "{message}");
    }
}
