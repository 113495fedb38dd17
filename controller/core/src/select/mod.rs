//! Which tag of a listing is chosen, and why the others are not.
//!
//! Guarantees: the answer depends on the policy and on the *set* of tags only, never on the order in which a registry
//! lists them; it is total on every text; its memory is bounded by the listing. Assumes that the listing is whole (a
//! part of one is no listing). May not read a registry or a clock; knows nothing of stages, ages or quarantines.

mod builds;
mod error;
mod explain;
mod filter;
mod hint;
mod natural;
mod number;
mod order;
mod pattern;
pub mod range;
mod rank;
mod version;

use jiff::{SignedDuration, Timestamp};

pub use builds::{DISCOVERY_LIMIT, newest_first};
pub use error::SelectError;
pub use explain::{Explained, Verdict, explain};
pub use filter::{ExtractError, FilterError, TagFilter, is_referrer};
pub use order::Order;
pub use pattern::{Pattern, PatternError};
pub use rank::{Ranked, Ranking, Reason, Rejected, compare_versions, rank};
pub use version::{Version, VersionError, is_full_version};

use crate::image::{Platform, Tag};

/// Most patterns of `ignoreTags`.
const MOST_IGNORED: usize = 32;
/// Longest `minimumReleaseAge`: ten years, in hours.
const LONGEST_AGE: i64 = 87_600;

/// What a policy takes: `spec.select`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Selection {
    /// Which of two candidates is the newer.
    pub order: Order,
    /// Which tags are looked at.
    pub filter: Option<TagFilter>,
    /// Tags that are not, whatever else holds.
    pub ignore: Vec<Pattern>,
    /// What a candidate must be built for; empty: what the targets' nodes run.
    pub platforms: Vec<Platform>,
    /// How long contents must have been seen before they are taken.
    pub minimum_release_age: SignedDuration,
    /// Whether stages may go down when what runs fell out of the range.
    pub allow_downgrade: bool,
}

impl Selection {
    /// Everything else at its default.
    pub fn of(order: Order) -> Result<Self, SelectError> {
        Self::new(order, None, Vec::new(), Vec::new(), SignedDuration::ZERO, false)
    }

    /// Checks what no field shows alone.
    pub fn new(
        order: Order,
        filter: Option<TagFilter>,
        ignore: Vec<Pattern>,
        platforms: Vec<Platform>,
        minimum_release_age: SignedDuration,
        allow_downgrade: bool,
    ) -> Result<Self, SelectError> {
        if ignore.len() > MOST_IGNORED {
            return Err(SelectError::TooManyIgnored { count: ignore.len() });
        }
        if minimum_release_age.is_negative() || minimum_release_age > SignedDuration::from_hours(LONGEST_AGE)
        {
            return Err(SelectError::Age { value: format!("{minimum_release_age:#}") });
        }
        let selection = Self { order, filter, ignore, platforms, minimum_release_age, allow_downgrade };
        if let Some(tag) = selection.followed_tag() {
            selection.check_followed(tag)?;
        }
        Ok(selection)
    }

    /// From when on contents are old enough that were first seen at this time; none where no age is asked for.
    #[must_use]
    pub fn old_enough_at(&self, first_seen: Timestamp) -> Option<Timestamp> {
        let asked = Some(self.minimum_release_age).filter(|age| !age.is_zero())?;
        first_seen.checked_add(asked).ok()
    }

    /// The one tag that `digest` follows; with another order there is none.
    #[must_use]
    pub fn followed_tag(&self) -> Option<&Tag> {
        match &self.order {
            Order::Digest { tag } => Some(tag),
            Order::Semver { .. }
            | Order::Alphabetical { .. }
            | Order::Numerical { .. }
            | Order::NewestBuild { .. } => None,
        }
    }

    fn check_followed(&self, tag: &Tag) -> Result<(), SelectError> {
        let text = || tag.to_string();
        if is_referrer(tag.as_str()) {
            return Err(SelectError::DigestReferrer { tag: text() });
        }
        if let Some(filter) = &self.filter {
            return Err(SelectError::FilterWithDigest { pattern: filter.pattern().to_owned(), tag: text() });
        }
        match self.ignore.iter().enumerate().find(|(_, pattern)| pattern.matches(tag.as_str())) {
            Some((index, pattern)) => {
                Err(SelectError::IgnoredDigest { index, pattern: pattern.as_str().to_owned(), tag: text() })
            }
            None => Ok(()),
        }
    }
}

/// From `select.ignoreTags`.
pub fn ignored(patterns: &[impl AsRef<str>]) -> Result<Vec<Pattern>, SelectError> {
    if patterns.len() > MOST_IGNORED {
        return Err(SelectError::TooManyIgnored { count: patterns.len() });
    }
    let pattern = |(index, text): (usize, &_)| {
        Pattern::new(AsRef::as_ref(text)).map_err(|error| SelectError::Ignore { index, error })
    };
    patterns.iter().enumerate().map(pattern).collect()
}

/// From `select.platforms`.
pub fn platforms(texts: &[impl AsRef<str>]) -> Result<Vec<Platform>, SelectError> {
    let platform = |(index, text): (usize, &_)| {
        AsRef::<str>::as_ref(text).parse().map_err(|error| SelectError::Platform { index, error })
    };
    texts.iter().enumerate().map(platform).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(filter: Option<TagFilter>, ignore: &[&str]) -> Result<Selection, SelectError> {
        let order = Order::digest("latest")?;
        Selection::new(order, filter, ignored(ignore)?, Vec::new(), SignedDuration::ZERO, false)
    }

    #[test]
    fn lists_name_the_element() {
        let message = ignored(&["a", "[="]).unwrap_err().to_string();
        assert!(message.starts_with("select.ignoreTags[1]: \"[=\""), "{message}");
        let message = platforms(&["linux/amd64", "linux"]).unwrap_err().to_string();
        assert!(message.starts_with("select.platforms[1]: \"linux\""), "{message}");
        assert!(ignored(&["a"; 33]).unwrap_err().to_string().contains("33 patterns"));
    }

    #[test]
    fn the_followed_tag_must_be_reachable() {
        assert!(digest(None, &["^rc"]).is_ok());
        let message = digest(None, &["x", "^lat"]).unwrap_err().to_string();
        assert!(message.starts_with("select.ignoreTags[1]:") && message.contains("\"latest\""), "{message}");
        let message = digest(TagFilter::new("a", "").ok(), &[]).unwrap_err().to_string();
        assert!(message.starts_with("select.filterTags:"), "{message}");
        let message = Selection::of(Order::digest("a.sig").unwrap()).unwrap_err().to_string();
        assert!(message.starts_with("select.digest.tag:"), "{message}");
    }

    #[test]
    fn ages_are_bounded() {
        for (age, fine) in [(0, true), (72, true), (87_600, true), (87_601, false), (-1, false)] {
            let order = Order::semver("*").unwrap();
            let age = SignedDuration::from_hours(age);
            let made = Selection::new(order, None, Vec::new(), Vec::new(), age, false);
            assert_eq!(made.is_ok(), fine, "{made:?}");
        }
    }
}
