//! What Quarantines hold back, said the same by whoever asks: the controller, and people who try a selection.
//!
//! Guarantees: decision 20. A Quarantine covers a release by any digest that it names, and by any manifest or config of
//! the release that it names: the same contents under another index or tag are held back, too. Pure.

use crate::{
    image::{Digest, Platform, Release},
    observed::QuarantineSeen,
};
use std::collections::BTreeSet;

/// Quarantines, each with what is known of the contents that it names.
#[derive(Clone, Debug)]
pub struct HeldBack<'a> {
    quarantines: &'a [QuarantineSeen],
    /// Beside each Quarantine: what the releases that it names consist of, as far as they are known.
    contents: Vec<BTreeSet<Digest>>,
}

impl<'a> HeldBack<'a> {
    /// `known` are the releases of which anything is known, `platforms` those in use.
    #[must_use]
    pub fn new<'r>(
        quarantines: &'a [QuarantineSeen],
        known: &(impl Iterator<Item = &'r Release> + Clone),
        platforms: &[Platform],
    ) -> Self {
        let contents = quarantines.iter().map(|q| contents_of(q, known.clone(), platforms)).collect();
        Self { quarantines, contents }
    }

    /// The Quarantine that covers a release, if one does.
    #[must_use]
    pub fn of(&self, release: &Release) -> Option<&'a QuarantineSeen> {
        let mut all = self.quarantines.iter().zip(&self.contents);
        all.find(|(q, contents)| q.covers(release) || release.shares_any(contents)).map(|(q, _)| q)
    }

    /// Digests of people's Quarantines of whose contents nothing is known.
    pub fn unknown(&self) -> impl Iterator<Item = (&'a QuarantineSeen, &'a Digest)> {
        let unknown = self.quarantines.iter().zip(&self.contents).filter(|(_, c)| c.is_empty());
        unknown.filter_map(|(q, _)| Some((q, q.alone()?)))
    }
}

impl QuarantineSeen {
    /// The one digest that a person's Quarantine names: what that is has to be asked for.
    #[must_use]
    pub fn alone(&self) -> Option<&Digest> {
        self.digests.first().filter(|_| self.policy.is_none() && self.digests.len() == 1)
    }

    /// Why a tag is not taken, and what would release it.
    #[must_use]
    pub fn refuses(&self) -> String {
        format!("{}; `kubectl delete quar {}` would release it", self.reason, self.name)
    }
}

/// The manifests and configs of the releases that a Quarantine names by their own digest, as far as they are known.
fn contents_of<'r>(
    quarantine: &QuarantineSeen,
    known: impl Iterator<Item = &'r Release>,
    platforms: &[Platform],
) -> BTreeSet<Digest> {
    known
        .filter(|r| quarantine.digests.iter().any(|d| r.answers_to(d)) && !r.platforms.is_empty())
        .flat_map(|r| {
            // What names the index means all of it; what names a manifest means that.
            if quarantine.digests.contains(&r.digest) {
                r.identity_on(platforms)
            } else {
                r.aliases().filter(|d| quarantine.digests.contains(*d)).cloned().collect()
            }
        })
        .collect()
}
