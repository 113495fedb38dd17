//! Answers to the core's questions.
//!
//! A question stays asked: the core asks what it does not know, and must go on knowing what it was told. What a tag
//! or a digest is stays known while a refresh fails; that something can be pulled does not, nor what a tag names at
//! this moment.

use super::{
    Key, Lookups, Source, What,
    entry::{Cadence, Entry, Kept},
};
use crate::ports::{Depth, PolicyKey};
use lockkeeper_core::{
    decision::Question,
    image::{Release, Repository},
    observed::{Answer, Answers},
};
use std::collections::BTreeMap;
use tokio::time::Instant;

impl Lookups {
    /// These questions of `policy` are looked up, and kept fresh.
    pub fn ask(
        &self,
        policy: &PolicyKey,
        source: &Source,
        image: &Repository,
        cadence: &Cadence,
        questions: impl IntoIterator<Item = Question>,
    ) {
        let mut keys: BTreeMap<Key, bool> = BTreeMap::new();
        for question in questions {
            let (repository, what, now) = match question {
                Question::Tag(tag) => (image.clone(), What::Tag(tag), false),
                Question::TagNow(tag) => (image.clone(), What::Tag(tag), true),
                Question::Digest(repository, digest) => (repository, What::Digest(digest), false),
                Question::Pullable(repository, digest) => (repository, What::Pullable(digest), false),
                // Who is asked for stands in the policy.
                Question::Signed(_) => continue,
            };
            *keys.entry(Key { source: source.clone(), repository, what }).or_default() |= now;
        }
        self.want(policy, source, cadence, keys);
    }

    /// What is known of what `policy` asked through `source`, of releases at least as far down as `depth`. Answers that
    /// were got through another source, before the policy was changed, are not its own any more.
    #[must_use]
    pub fn answers(&self, policy: &PolicyKey, source: &Source, image: &Repository, depth: Depth) -> Answers {
        let (state, now) = (self.lock(), Instant::now());
        let mut answers = Answers::default();
        let keys = state.by_policy.get(policy).into_iter().flatten().filter(|key| key.source == *source);
        for key in keys {
            let Some(entry) = state.entries.get(key) else { continue };
            let failed = entry.failing.clone();
            let kept = entry
                .kept
                .as_ref()
                .filter(|kept| !matches!(kept, Kept::Release(Some(_), known) if *known < depth));
            if let What::Tag(tag) = &key.what
                && key.repository == *image
                && let Some(answer) = now_named(entry, kept, now)
            {
                answers.tags_now.insert(tag.clone(), answer);
            }
            match (&key.what, kept, failed) {
                (What::Tag(tag), Some(Kept::Release(release, _)), _) if key.repository == *image => {
                    answers.tags.insert(tag.clone(), known(release.clone()));
                }
                (What::Tag(tag), None, Some(failure)) if key.repository == *image => {
                    answers.tags.insert(tag.clone(), Answer::Failed(failure));
                }
                (What::Digest(digest), Some(Kept::Release(Some(release), _)), _) => {
                    answers.digests.insert(digest.clone(), Answer::Known(release.clone()));
                }
                // One digest may be asked for through several repositories: what is known wins.
                (What::Digest(digest), Some(Kept::Release(None, _)), _) => {
                    answers.digests.entry(digest.clone()).or_insert(Answer::Absent);
                }
                (What::Digest(digest), None, Some(failure)) => {
                    answers.digests.entry(digest.clone()).or_insert(Answer::Failed(failure));
                }
                (What::Pullable(digest), kept, failed) => {
                    let answer = match (kept, failed) {
                        (_, Some(failure)) => Answer::Failed(failure),
                        (Some(Kept::Exists(true)), None) => Answer::Known(()),
                        (Some(Kept::Exists(false)), None) => Answer::Absent,
                        _ => continue,
                    };
                    answers.pullable.insert((key.repository.clone(), digest.clone()), answer);
                }
                _ => {}
            }
        }
        answers
    }
}

/// What a tag names at this moment, if it was looked up a moment ago.
fn now_named(entry: &Entry, kept: Option<&Kept>, now: Instant) -> Option<Answer<Release>> {
    match (&entry.failing, kept) {
        (Some(failure), _) => Some(Answer::Failed(failure.clone())),
        (None, Some(Kept::Release(release, _))) if entry.is_fresh(now) => Some(known(release.clone())),
        _ => None,
    }
}

fn known<T>(value: Option<T>) -> Answer<T> {
    value.map_or(Answer::Absent, Answer::Known)
}
