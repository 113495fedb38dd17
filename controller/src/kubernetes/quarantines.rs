//! How a Quarantine is made: by the controller itself, in the policy's namespace, so that every policy there obeys it.
//!
//! Guarantees: made once however often it is asked for (its name follows from the contents); one of that name that is
//! there already counts as made only if it covers the same contents.

use lockkeeper_core::{decision::QuarantineDraft, observed::QuarantineSeen};

/// Whether a Quarantine that exists holds back everything that the draft would.
#[must_use]
pub fn covers(seen: &QuarantineSeen, draft: &QuarantineDraft) -> bool {
    std::iter::once(&draft.digest).chain(&draft.contents).all(|digest| seen.digests.contains(digest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockkeeper_core::image::Digest;

    #[test]
    fn one_of_the_same_name_that_holds_less_is_not_the_same() {
        let draft = QuarantineDraft {
            name: "q".into(),
            tag: None,
            digest: Digest::of(b"index"),
            contents: [Digest::of(b"amd64"), Digest::of(b"arm64")].into(),
            reason: String::new(),
            evidence: String::new(),
            policy: "otel".into(),
            stage: "prod".into(),
        };
        let mut seen = QuarantineSeen {
            name: "q".into(),
            digests: [Digest::of(b"index"), Digest::of(b"amd64"), Digest::of(b"arm64"), Digest::of(b"more")]
                .into(),
            reason: String::new(),
            policy: None,
            stage: None,
        };
        assert!(covers(&seen, &draft));
        seen.digests.remove(&Digest::of(b"arm64"));
        assert!(!covers(&seen, &draft));
    }
}
