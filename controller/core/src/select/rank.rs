//! The listing, best tag first, and every other tag with its reason.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::filter::is_referrer;
use super::order::Order;
use super::range::{Answer, Range};
use super::version::{Version, VersionError};
use super::{Selection, hint, natural};
use crate::image::{Tag, shown};

/// Most candidates of one ranking. A policy looks further down than the best one only past quarantined or too young
/// releases.
const MOST_RANKED: usize = 1000;
/// Most rejected tags that are listed, for each reason.
const MOST_REJECTED: usize = 200;

/// The answer about a whole listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranking {
    /// The candidates, the best first; at most 1000.
    pub best_first: Vec<Ranked>,
    /// The others, by reason and then by tag, numbers by value, the largest first; at most 200 for each reason.
    pub rejected: Vec<Rejected>,
    /// How many distinct tags were rejected, by reason: all of them.
    pub rejected_counts: BTreeMap<Reason, usize>,
}

/// A candidate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ranked {
    /// As it is in the registry.
    pub tag: Tag,
    /// Its version in the policy's order; none for `digest`, where it is the time of first sight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// A tag that is no candidate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rejected {
    /// As it is in the registry; for `NotATag` as shown to people.
    pub tag: String,
    /// For programs.
    pub reason: Reason,
    /// For people: the tag, why, and what to do if it was meant.
    pub message: String,
}

/// Why a tag is no candidate. The names are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Reason {
    /// The registry listed something that no image reference can name.
    NotATag,
    /// Matched by `ignoreTags`, or the tag of a signature or attestation.
    Ignored,
    /// `digest` follows another tag.
    NotFollowed,
    /// Not matched by `filterTags.pattern`.
    Filtered,
    /// What was taken out of it is no version.
    NotAVersion,
    /// A prerelease, and the range takes none.
    Prerelease,
    /// A version outside the range.
    OutOfRange,
}

impl Reason {
    /// The stable name, as in events, metrics and `-o json`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotATag => "NotATag",
            Self::Ignored => "Ignored",
            Self::NotFollowed => "NotFollowed",
            Self::Filtered => "Filtered",
            Self::NotAVersion => "NotAVersion",
            Self::Prerelease => "Prerelease",
            Self::OutOfRange => "OutOfRange",
        }
    }
}

/// The tags in the policy's order. The same set of tags gives the same ranking, in whatever order and however often
/// they are listed.
pub fn rank<'a>(selection: &Selection, tags: impl Iterator<Item = &'a str>) -> Ranking {
    let mut tags: Vec<&str> = tags.collect();
    // The largest first: what is kept of the rejected does not depend on the registry.
    tags.sort_unstable_by(|a, b| b.cmp(a));
    tags.dedup();
    let mut accepted = Vec::new();
    let mut kept: BTreeMap<Reason, Vec<Rejected>> = BTreeMap::new();
    let mut rejected_counts = BTreeMap::new();
    for tag in tags {
        match judge(selection, tag) {
            Ok(key) => accepted.push(key),
            Err(refusal) => {
                let count: &mut usize = rejected_counts.entry(refusal.reason()).or_default();
                *count += 1;
                if *count <= MOST_REJECTED {
                    kept.entry(refusal.reason()).or_default().push(refusal.explained(selection, tag));
                }
            }
        }
    }
    accepted.sort_unstable_by(|a, b| b.cmp(a));
    accepted.truncate(MOST_RANKED);
    let best_first = accepted.into_iter().filter_map(Key::ranked).collect();
    for rejected in kept.values_mut() {
        rejected.sort_by(|a, b| natural::compare(&b.tag, &a.tag));
    }
    Ranking { best_first, rejected: kept.into_values().flatten().collect(), rejected_counts }
}

/// How two versions compare in this policy's order (I10); see [`Order::compare`].
#[must_use]
pub fn compare_versions(selection: &Selection, a: &str, b: &str) -> Option<Ordering> {
    selection.order.compare(a, b)
}

impl Selection {
    /// What [`rank`] says of one tag alone, listed or not.
    pub fn judge(&self, tag: &str) -> Result<Ranked, Rejected> {
        let explained = |refusal: Refusal| refusal.explained(self, tag);
        let key = judge(self, tag).map_err(explained)?;
        // `judge` has checked the tag.
        key.ranked().ok_or_else(|| explained(Refusal::NotATag))
    }
}

/// By what accepted tags are ordered, the best being the largest.
#[derive(PartialEq, Eq)]
struct Key<'a> {
    version: Option<Version>,
    tag: &'a str,
}

impl Ord for Key<'_> {
    /// By precedence; of equal versions the more specific tag wins, then the larger text.
    fn cmp(&self, other: &Self) -> Ordering {
        let by_version = match (&self.version, &other.version) {
            (Some(a), Some(b)) => a.precedence(b).then(a.parts.cmp(&b.parts)),
            (a, b) => a.is_some().cmp(&b.is_some()),
        };
        by_version.then_with(|| self.tag.cmp(other.tag))
    }
}

impl PartialOrd for Key<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Key<'_> {
    fn ranked(self) -> Option<Ranked> {
        let tag = self.tag.parse().ok()?;
        Some(Ranked { tag, version: self.version.map(|version| version.number.to_string()) })
    }
}

fn judge<'a>(selection: &Selection, tag: &'a str) -> Result<Key<'a>, Refusal> {
    Tag::check(tag).map_err(|_| Refusal::NotATag)?;
    if is_referrer(tag) {
        return Err(Refusal::Referrer);
    }
    if let Some(index) = selection.ignore.iter().position(|pattern| pattern.matches(tag)) {
        return Err(Refusal::Ignored { index });
    }
    let range = match &selection.order {
        Order::Digest { tag: followed } if followed.as_str() == tag => return Ok(Key { version: None, tag }),
        Order::Digest { .. } => return Err(Refusal::NotFollowed),
        Order::Semver { range } => range,
    };
    let extracted = match &selection.filter {
        Some(filter) => Some(filter.extract(tag).ok_or(Refusal::Filtered)?),
        None => None,
    };
    let version = in_range(range, extracted.as_deref().unwrap_or(tag))
        .map_err(|cause| Refusal::Version { extracted: extracted.clone(), cause })?;
    Ok(Key { version: Some(version), tag })
}

fn in_range(range: &Range, text: &str) -> Result<Version, Cause> {
    let version = Version::parse(text).map_err(Cause::NotAVersion)?;
    match range.answer(&version) {
        Answer::In => Ok(version),
        Answer::SkippedPrerelease => Err(Cause::Prerelease(version)),
        Answer::Out => Err(Cause::OutOfRange),
    }
}

/// Why not, before it is put into words.
enum Refusal {
    NotATag,
    Referrer,
    Ignored { index: usize },
    NotFollowed,
    Filtered,
    Version { extracted: Option<String>, cause: Cause },
}

enum Cause {
    NotAVersion(VersionError),
    Prerelease(Version),
    OutOfRange,
}

impl Refusal {
    fn reason(&self) -> Reason {
        match self {
            Self::NotATag => Reason::NotATag,
            Self::Referrer | Self::Ignored { .. } => Reason::Ignored,
            Self::NotFollowed => Reason::NotFollowed,
            Self::Filtered => Reason::Filtered,
            Self::Version { cause: Cause::NotAVersion(_), .. } => Reason::NotAVersion,
            Self::Version { cause: Cause::Prerelease(_), .. } => Reason::Prerelease,
            Self::Version { cause: Cause::OutOfRange, .. } => Reason::OutOfRange,
        }
    }

    fn explained(&self, selection: &Selection, tag: &str) -> Rejected {
        let name = match self {
            Self::NotATag => shown(tag).trim_matches('"').to_owned(),
            _ => tag.to_owned(),
        };
        Rejected { tag: name, reason: self.reason(), message: self.message(selection, tag) }
    }

    fn message(&self, selection: &Selection, tag: &str) -> String {
        match self {
            Self::NotATag => match Tag::check(tag) {
                Err(error) => error.to_string(),
                Ok(()) => format!("{} is no tag", shown(tag)),
            },
            Self::Referrer => {
                format!("{} is the tag of a signature or attestation, never of an image", shown(tag))
            }
            Self::Ignored { index } => format!(
                "{} is ignored: select.ignoreTags[{index}] {} matches it; change that pattern if it is wanted",
                shown(tag),
                shown(selection.ignore.get(*index).map_or("", |pattern| pattern.as_str()))
            ),
            Self::NotFollowed => format!(
                "{} is not followed: select.digest follows {} alone",
                shown(tag),
                shown(selection.followed_tag().map_or("", Tag::as_str))
            ),
            Self::Filtered => format!(
                "{} is left out: select.filterTags.pattern {} does not match it",
                shown(tag),
                shown(selection.filter.as_ref().map_or("", |filter| filter.pattern()))
            ),
            Self::Version { extracted, cause } => cause.message(selection, tag, extracted.as_deref()),
        }
    }
}

impl Cause {
    fn message(&self, selection: &Selection, tag: &str, extracted: Option<&str>) -> String {
        let what = match extracted {
            Some(text) if text != tag => format!("{} of the tag {}", shown(text), shown(tag)),
            _ => shown(tag),
        };
        let range = match &selection.order {
            Order::Semver { range } => shown(&range.to_string()),
            Order::Digest { .. } => String::new(),
        };
        // With a pattern of their own people have said what a version is.
        let hint = |text: String| if extracted.is_none() { text } else { String::new() };
        match self {
            Self::NotAVersion(error) => {
                format!("{what} is no version: {error}{}", hint(hint::for_no_version(tag)))
            }
            Self::Prerelease(version) => format!(
                "{what} is a prerelease and select.semver.range {range} takes none; a term such as >={} would let it \
                 in{}",
                version.number,
                hint(hint::for_prerelease(tag, version))
            ),
            Self::OutOfRange => format!("{what} is outside select.semver.range {range}"),
        }
    }
}

#[cfg(test)]
mod tests;
