//! Answers to the core's questions.
//!
//! A question stays asked: the core asks what it does not know, and must go on knowing what it was told. What a tag
//! or a digest is stays known while a refresh fails; that something can be pulled does not.

use super::{Key, Lookups, Source, What, entry::Kept};
use crate::ports::PolicyKey;
use lockkeeper_core::{
    decision::Question,
    image::Repository,
    observed::{Answer, Answers},
};
use std::time::Duration;

impl Lookups {
    /// These questions of `policy` are looked up, and kept fresh.
    pub fn ask(
        &self,
        policy: &PolicyKey,
        source: &Source,
        image: &Repository,
        interval: Duration,
        questions: impl IntoIterator<Item = Question>,
    ) {
        let keys = questions.into_iter().map(|question| {
            let (repository, what) = match question {
                Question::Tag(tag) => (image.clone(), What::Tag(tag)),
                Question::Digest(repository, digest) => (repository, What::Digest(digest)),
                Question::Pullable(repository, digest) => (repository, What::Pullable(digest)),
            };
            Key { source: source.clone(), repository, what }
        });
        self.want(policy, source, interval, keys);
    }

    /// What is known of what `policy` asked through `source`. Answers that were got through another source, before
    /// the policy was changed, are not its own any more.
    #[must_use]
    pub fn answers(&self, policy: &PolicyKey, source: &Source, image: &Repository) -> Answers {
        let state = self.lock();
        let mut answers = Answers::default();
        let keys = state.by_policy.get(policy).into_iter().flatten().filter(|key| key.source == *source);
        for key in keys {
            let Some(entry) = state.entries.get(key) else { continue };
            let failed = entry.failing.clone();
            match (&key.what, &entry.kept, failed) {
                (What::Tag(tag), Some(Kept::Release(release)), _) if key.repository == *image => {
                    answers.tags.insert(tag.clone(), known(release.clone()));
                }
                (What::Tag(tag), None, Some(failure)) if key.repository == *image => {
                    answers.tags.insert(tag.clone(), Answer::Failed(failure));
                }
                (What::Digest(digest), Some(Kept::Release(Some(release))), _) => {
                    answers.digests.insert(digest.clone(), Answer::Known(release.clone()));
                }
                // One digest may be asked for through several repositories: what is known wins.
                (What::Digest(digest), Some(Kept::Release(None)), _) => {
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

fn known<T>(value: Option<T>) -> Answer<T> {
    value.map_or(Answer::Absent, Answer::Known)
}
