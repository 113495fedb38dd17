//! What makes one candidate better than another.

use std::cmp::Ordering;

use jiff::Timestamp;

use super::SelectError;
use super::number::Number;
use super::range::Range;
use super::version::Version;
use crate::image::Tag;

/// Most tags whose configs are read: each costs a registry a request or two.
const MOST_DISCOVERED: usize = 200;

/// The order of a policy's candidates. Another order is another variant; whoever matches on it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// By version, within a range.
    Semver {
        /// What may be taken.
        range: Range,
    },
    /// By text, byte by byte: the last in ascending order.
    Alphabetical {
        /// The first instead.
        descending: bool,
    },
    /// By value: the largest number.
    Numerical {
        /// The smallest instead.
        descending: bool,
    },
    /// By the date of the build that the image's config holds.
    NewestBuild {
        /// How many tags have their configs read.
        limit: usize,
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

    /// From `select.newestBuild.discoveryLimit`.
    pub fn newest_build(limit: usize) -> Result<Self, SelectError> {
        if (1..=MOST_DISCOVERED).contains(&limit) {
            Ok(Self::NewestBuild { limit })
        } else {
            Err(SelectError::DiscoveryLimit { value: limit })
        }
    }

    /// How two versions of this order compare, the better being the greater: semver precedence, text, value, or the
    /// earlier time (RFC 3339). `None` if one of them is no version of this order, so that nothing can be said.
    #[must_use]
    pub fn compare(&self, a: &str, b: &str) -> Option<Ordering> {
        match self {
            Self::Semver { .. } => Some(Version::parse(a).ok()?.precedence(&Version::parse(b).ok()?)),
            Self::Alphabetical { descending } => Some(turned(a.cmp(b), *descending)),
            Self::Numerical { descending } => {
                Some(turned(Number::parse(a).ok()?.cmp(&Number::parse(b).ok()?), *descending))
            }
            Self::NewestBuild { .. } | Self::Digest { .. } => {
                Some(a.parse::<Timestamp>().ok()?.cmp(&b.parse::<Timestamp>().ok()?))
            }
        }
    }
}

/// An order, turned round if it descends.
pub(super) fn turned(order: Ordering, descending: bool) -> Ordering {
    if descending { order.reverse() } else { order }
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
        let builds = Order::newest_build(20).unwrap();
        assert_eq!(builds.compare(early, late), Some(Ordering::Less));
        for (descending, order) in [(false, Ordering::Less), (true, Ordering::Greater)] {
            assert_eq!(Order::Numerical { descending }.compare("9", "10"), Some(order));
            assert_eq!(Order::Numerical { descending }.compare("9", "x"), None);
            assert_eq!(Order::Alphabetical { descending }.compare("10", "9"), Some(order));
        }
    }

    #[test]
    fn mistakes_name_the_field() {
        for limit in [0, 201] {
            let message = Order::newest_build(limit).unwrap_err().to_string();
            assert!(message.starts_with("select.newestBuild.discoveryLimit: "), "{message}");
        }
        let message = Order::semver(">=1.0 <0.9").unwrap_err().to_string();
        assert!(message.starts_with("select.semver.range: \">=1.0 <0.9\" matches nothing"), "{message}");
        let message = Order::digest("a b").unwrap_err().to_string();
        assert!(message.starts_with("select.digest.tag: \"a b\" is no tag"), "{message}");
    }
}
