//! What is wrong with a selection, with the field's path in front.

use super::filter::FilterError;
use super::pattern::PatternError;
use super::range::RangeError;
use crate::image::{PlatformError, TagError};

/// Why a selection cannot be used. Every message begins with the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// The range.
    #[error("select.semver.range: {0}")]
    Range(#[from] RangeError),
    /// The followed tag.
    #[error("select.digest.tag: {0}")]
    DigestTag(#[from] TagError),
    /// The followed tag holds no image.
    #[error(
        "select.digest.tag: \"{tag}\" is the tag of a signature or attestation, not of an image; name another"
    )]
    DigestReferrer {
        /// The tag.
        tag: String,
    },
    /// Pattern or template.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// One of the patterns.
    #[error("select.ignoreTags[{index}]: {error}")]
    Ignore {
        /// Counted from 0, as in the field's path.
        index: usize,
        /// What is wrong.
        error: PatternError,
    },
    /// Too many of them.
    #[error("select.ignoreTags: {count} patterns are too many, at most 32 are allowed; join some with |")]
    TooManyIgnored {
        /// Patterns.
        count: usize,
    },
    /// One of the platforms.
    #[error("select.platforms[{index}]: {error}")]
    Platform {
        /// Counted from 0, as in the field's path.
        index: usize,
        /// What is wrong.
        error: PlatformError,
    },
    /// A filter where there is only one tag.
    #[error(
        "select.filterTags: \"{pattern}\" has no meaning with select.digest, which follows the one tag \"{tag}\"; \
         remove one of them"
    )]
    FilterWithDigest {
        /// The pattern.
        pattern: String,
        /// The tag.
        tag: String,
    },
    /// The followed tag would be ignored.
    #[error(
        "select.ignoreTags[{index}]: \"{pattern}\" matches \"{tag}\", the tag that select.digest follows; remove one \
         of them"
    )]
    IgnoredDigest {
        /// Counted from 0, as in the field's path.
        index: usize,
        /// The pattern.
        pattern: String,
        /// The tag.
        tag: String,
    },
    /// None, or too many.
    #[error("select.newestBuild.discoveryLimit: {value} is out of bounds; use 1 to 200")]
    DiscoveryLimit {
        /// As written.
        value: usize,
    },
    /// Below zero, or longer than ten years.
    #[error("select.minimumReleaseAge: {value} is out of bounds; use 0s to 87600h")]
    Age {
        /// As a duration is written.
        value: String,
    },
}
