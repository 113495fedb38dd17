//! The listing, best tag first, and every other tag with its reason.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::filter::is_referrer;
use super::number::{Number, NumberError};
use super::order::{Order, turned};
use super::range::{Answer, Range};
use super::version::{Version, VersionError};
use super::{Selection, hint, natural};
use crate::image::{Tag, shown};

/// Most candidates of one ranking. A policy looks further down than the best one only past quarantined or too young
/// releases. There are as many rankings as policies.
const MOST_RANKED: usize = 100;
/// Most rejected tags that are listed, for each reason; the status has room for fewer.
const MOST_REJECTED: usize = 8;

/// The answer about a whole listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranking {
    /// The candidates, the best first; at most 100, or as many as `newestBuild` looks at.
    pub best_first: Vec<Ranked>,
    /// How many tags are candidates: all of them.
    pub admitted: usize,
    /// The others, by reason and then by tag, numbers by value, the largest first; at most 8 for each reason.
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
    /// What was taken out of it is no number.
    NotANumber,
    /// Its image's config has no date of build that means anything.
    NoBuildDate,
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
            Self::NotANumber => "NotANumber",
            Self::NoBuildDate => "NoBuildDate",
            Self::Prerelease => "Prerelease",
            Self::OutOfRange => "OutOfRange",
        }
    }
}

/// The tags in the policy's order. The same set of tags gives the same ranking, in whatever order and however often
/// they are listed.
pub fn rank<'a>(selection: &Selection, tags: impl Iterator<Item = &'a str>) -> Ranking {
    let mut tags: Vec<&str> = tags.collect();
    tags.sort_unstable();
    tags.dedup();
    let mut accepted = Vec::new();
    let mut refused: BTreeMap<Reason, Vec<(&str, Refusal)>> = BTreeMap::new();
    for tag in tags {
        match judge(selection, tag) {
            Ok(key) => accepted.push(key),
            Err(refusal) => refused.entry(refusal.reason()).or_default().push((tag, refusal)),
        }
    }
    let admitted = accepted.len();
    let most = match selection.order {
        Order::NewestBuild { limit } => limit.max(MOST_RANKED),
        _ => MOST_RANKED,
    };
    keep_first(&mut accepted, most, |a, b| b.cmp(a));
    // Not collected in place: that would keep the memory of all that were accepted.
    let mut best_first = Vec::with_capacity(accepted.len());
    best_first.extend(accepted.into_iter().filter_map(Key::ranked));
    let rejected_counts = refused.iter().map(|(reason, tags)| (*reason, tags.len())).collect();
    let mut rejected = Vec::new();
    for mut tags in refused.into_values() {
        keep_first(&mut tags, MOST_REJECTED, |(a, _), (b, _)| natural::compare(b, a));
        rejected.extend(tags.into_iter().map(|(tag, refusal)| refusal.explained(selection, tag)));
    }
    Ranking { best_first, admitted, rejected, rejected_counts }
}

/// The first ones in this order, in order; of long lists the rest is not put in order.
fn keep_first<T>(list: &mut Vec<T>, most: usize, order: impl Fn(&T, &T) -> Ordering) {
    if list.len() > most {
        list.select_nth_unstable_by(most, &order);
        list.truncate(most);
    }
    list.sort_unstable_by(order);
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
pub(super) struct Key<'a> {
    value: Value<'a>,
    tag: &'a str,
}

/// What is compared. Within one ranking all are of one kind.
#[derive(PartialEq, Eq)]
enum Value<'a> {
    Version(Version),
    Text {
        text: Cow<'a, str>,
        descending: bool,
    },
    Number {
        number: Number,
        text: Cow<'a, str>,
        descending: bool,
    },
    /// Nothing is known yet: by what the tag's text suggests.
    Hint,
    /// The followed tag.
    Followed,
}

impl Ord for Key<'_> {
    /// By what the policy compares; of equal versions the more specific tag wins, then the larger text.
    fn cmp(&self, other: &Self) -> Ordering {
        let by_value = match (&self.value, &other.value) {
            (Value::Version(a), Value::Version(b)) => a.precedence(b).then(a.parts.cmp(&b.parts)),
            (Value::Text { text: a, descending }, Value::Text { text: b, .. }) => {
                turned(a.cmp(b), *descending)
            }
            (Value::Number { number: a, descending, .. }, Value::Number { number: b, .. }) => {
                turned(a.cmp(b), *descending)
            }
            (Value::Hint, Value::Hint) => natural::compare(self.tag, other.tag),
            _ => Ordering::Equal,
        };
        by_value.then_with(|| self.tag.cmp(other.tag))
    }
}

impl PartialOrd for Key<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Key<'_> {
    pub(super) fn ranked(self) -> Option<Ranked> {
        let version = match self.value {
            Value::Version(version) => Some(version.number.to_string()),
            Value::Text { text, .. } | Value::Number { text, .. } => Some(text.into_owned()),
            Value::Hint | Value::Followed => None,
        };
        Some(Ranked { tag: self.tag.parse().ok()?, version })
    }
}

pub(super) fn judge<'a>(selection: &Selection, tag: &'a str) -> Result<Key<'a>, Refusal> {
    Tag::check(tag).map_err(|_| Refusal::NotATag)?;
    if is_referrer(tag) {
        return Err(Refusal::Referrer);
    }
    if let Some(index) = selection.ignore.iter().position(|pattern| pattern.matches(tag)) {
        return Err(Refusal::Ignored { index });
    }
    if let Order::Digest { tag: followed } = &selection.order {
        let followed = followed.as_str() == tag;
        return if followed { Ok(Key { value: Value::Followed, tag }) } else { Err(Refusal::NotFollowed) };
    }
    let extracted = match &selection.filter {
        Some(filter) => Some(filter.extract(tag).ok_or(Refusal::Filtered)?),
        None => None,
    };
    let refused = |cause| Refusal::Version { extracted: extracted.clone(), cause };
    let text = extracted.as_deref().map_or(Cow::Borrowed(tag), |text| Cow::Owned(text.to_owned()));
    let value = match &selection.order {
        Order::Semver { range } => Value::Version(in_range(range, &text).map_err(refused)?),
        Order::Alphabetical { descending } => Value::Text { text, descending: *descending },
        Order::Numerical { descending } => {
            let number = Number::parse(&text).map_err(|error| refused(Cause::NotANumber(error)))?;
            Value::Number { number, text, descending: *descending }
        }
        Order::NewestBuild { .. } => Value::Hint,
        Order::Digest { .. } => Value::Followed,
    };
    Ok(Key { value, tag })
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
pub(super) enum Refusal {
    NotATag,
    Referrer,
    Ignored { index: usize },
    NotFollowed,
    Filtered,
    Version { extracted: Option<String>, cause: Cause },
}

pub(super) enum Cause {
    NotAVersion(VersionError),
    NotANumber(NumberError),
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
            Self::Version { cause: Cause::NotANumber(_), .. } => Reason::NotANumber,
            Self::Version { cause: Cause::Prerelease(_), .. } => Reason::Prerelease,
            Self::Version { cause: Cause::OutOfRange, .. } => Reason::OutOfRange,
        }
    }

    pub(super) fn explained(&self, selection: &Selection, tag: &str) -> Rejected {
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
            _ => String::new(),
        };
        // With a pattern of their own people have said what a version is.
        let hint = |text: String| if extracted.is_none() { text } else { String::new() };
        match self {
            Self::NotAVersion(error) => {
                format!("{what} is no version: {error}{}", hint(hint::for_no_version(tag)))
            }
            Self::NotANumber(error) => {
                let fix = hint("; select.filterTags can take a number out of it".to_owned());
                format!("{what} is no number: {error}{fix}")
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
