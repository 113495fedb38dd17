//! What registries said: the listing, and answers to the questions of earlier passes.
//!
//! A failed read is a value here (`Answer::Failed`), and what was known before stays beside it.

use crate::{
    image::{Digest, Release, Repository, Tag},
    select::Ranking,
    signature::Signed,
};
use jiff::Timestamp;
use std::{collections::BTreeMap, sync::Arc};

/// The registry's listing as selection sees it.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// The tags in the policy's order; `None` until the first complete listing. Kept when a later listing fails.
    pub ranking: Option<Arc<Ranking>>,
    /// Why the newest listing failed, and since when.
    pub failing: Option<Failure>,
}

/// Why something could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The first failure in a row.
    pub since: Timestamp,
    /// A bounded category, such as `AuthFailed`, `HostDenied`, `TLSUntrusted`, `Unreachable`.
    pub reason: String,
    /// What happened, redacted.
    pub message: String,
}

/// One answer to a [`Question`](crate::decision::Question).
#[derive(Clone, Debug, PartialEq)]
pub enum Answer<T> {
    /// This is it.
    Known(T),
    /// The registry answered that there is none.
    Absent,
    /// It could not be looked up.
    Failed(Failure),
}

/// Answers to the questions of earlier passes. A missing key has not been asked yet.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// What a tag names, as far as is known: it stays while the registry cannot be asked again.
    pub tags: BTreeMap<Tag, Answer<Release>>,
    /// What a tag was found to name a moment ago; `Failed` while the newest look at it failed.
    pub tags_now: BTreeMap<Tag, Answer<Release>>,
    /// What a digest is.
    pub digests: BTreeMap<Digest, Answer<Release>>,
    /// Whether a digest can be fetched through a repository.
    pub pullable: BTreeMap<(Repository, Digest), Answer<()>>,
    /// Who signed a digest, as the policy asks for it now. What was found stays while nobody can look again.
    pub signed: BTreeMap<Digest, Answer<Signed>>,
}
