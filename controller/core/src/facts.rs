//! What holds for all stages of a policy in one pass: what is quarantined, held, known and asked for.

use crate::{
    held_back::HeldBack,
    image::{Digest, Platform, Release, Repository},
    observed::{Answer, InterventionKind, InterventionSeen, Observed, QuarantineSeen},
    policy::Policy,
    select,
    signature::Signed,
    status::Status,
};
use jiff::Timestamp;
use std::{cmp::Ordering, collections::BTreeSet};

/// Tags looked at per pass, best first.
pub const LOOK_AT: usize = 20;

/// Facts of one pass.
pub struct Facts<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// The world.
    pub seen: &'a Observed,
    /// Platforms that matter: those asked for, or those of the nodes in use.
    pub platforms: Vec<Platform>,
    /// Now.
    pub now: Timestamp,
    /// What the Quarantines of the namespace hold back.
    held_back: HeldBack<'a>,
}

impl<'a> Facts<'a> {
    /// Gathers them.
    #[must_use]
    pub fn new(policy: &'a Policy, seen: &'a Observed, now: Timestamp) -> Self {
        let platforms = if policy.select.platforms.is_empty() {
            let used: BTreeSet<Platform> =
                seen.stages.iter().flat_map(|s| s.platforms.iter().cloned()).collect();
            used.into_iter().collect()
        } else {
            policy.select.platforms.clone()
        };
        let held_back = HeldBack::new(&seen.quarantines, &known(seen), &platforms);
        Self { policy, seen, platforms, now, held_back }
    }

    /// The Quarantine that covers a release, if one does.
    #[must_use]
    pub fn quarantine_of(&self, release: &Release) -> Option<&'a QuarantineSeen> {
        self.held_back.of(release)
    }

    /// What people's Quarantines name by one digest alone: what that is has to be asked for, and asked for again.
    pub fn named_alone(&self) -> impl Iterator<Item = &'a Digest> {
        self.seen.quarantines.iter().filter_map(QuarantineSeen::alone)
    }

    /// A Quarantine of which nobody has said yet what it holds back.
    #[must_use]
    pub fn unknown_quarantine(&self) -> Option<(&'a QuarantineSeen, &'a Digest)> {
        self.held_back.unknown().find(|(_, digest)| {
            // The registry says that there is none: then that is all that can be known.
            !matches!(self.seen.answers.digests.get(digest), Some(Answer::Absent))
        })
    }

    /// It is quarantined, or a rollback that has begun in this very pass quarantines it before anything is written.
    #[must_use]
    pub fn quarantined(&self, life: &Status, release: &Release) -> bool {
        let begun = life.stages.iter().filter_map(|s| s.rollback.as_ref()).filter(|r| r.quarantine.is_some());
        self.quarantine_of(release).is_some() || begun.into_iter().any(|r| self.same(&r.bad, release))
    }

    /// Two digests of one release.
    #[must_use]
    pub fn same(&self, a: &Release, b: &Release) -> bool {
        a.digest == b.digest || a.same_contents(b, &self.platforms)
    }

    /// The release that a digest belongs to, if the status tells: then nobody has to be asked.
    #[must_use]
    pub fn remembered<'l>(&self, life: &'l Status, digest: &Digest) -> Option<&'l Release> {
        let in_stages = life.stages.iter().flat_map(|s| {
            let verified = s.verified.iter().map(|v| &v.release);
            let moving = s.flight.iter().map(|f| &f.release).chain(s.rollback.iter().map(|r| &r.bad));
            verified.chain(moving)
        });
        in_stages.chain(life.candidate.iter()).find(|r| r.answers_to(digest) && !r.platforms.is_empty())
    }

    /// The release that a digest belongs to, as far as anything is known of it.
    #[must_use]
    pub fn release_of(&self, life: &Status, digest: &Digest) -> Option<Release> {
        let known = |r: &Release| r.answers_to(digest);
        if let Some(r) = self.remembered(life, digest) {
            return Some(r.clone());
        }
        let tags = self.seen.answers.tags.values().filter_map(|a| match a {
            Answer::Known(r) => Some(r),
            Answer::Absent | Answer::Failed(_) => None,
        });
        if let Some(r) = tags.clone().find(|r| known(r)) {
            return Some(r.clone());
        }
        match self.seen.answers.digests.get(digest)? {
            // The same contents under a tag tell the version, too.
            Answer::Known(r) => {
                Some(tags.clone().find(|t| self.same(t, r)).cloned().unwrap_or_else(|| r.clone()))
            }
            Answer::Absent => Some(Release {
                tag: None,
                version: None,
                digest: digest.clone(),
                platforms: Vec::new(),
                created: None,
            }),
            Answer::Failed(_) => None,
        }
    }

    /// Every tag that may tell the version of what runs has been looked at.
    #[must_use]
    pub fn tags_looked_at(&self) -> bool {
        self.seen.catalogue.ranking.as_ref().is_some_and(|ranking| {
            ranking.best_first.iter().take(LOOK_AT).all(|r| self.seen.answers.tags.contains_key(&r.tag))
        })
    }

    /// Whether a digest can be fetched through a repository, if that has been looked up.
    #[must_use]
    pub fn pullable(&self, repository: &Repository, digest: &Digest) -> Option<&'a Answer<()>> {
        self.seen.answers.pullable.get(&(repository.clone(), digest.clone()))
    }

    /// Who signed a digest, if that has been looked up.
    #[must_use]
    pub fn signed(&self, digest: &Digest) -> Option<&'a Answer<Signed>> {
        self.seen.answers.signed.get(digest)
    }

    /// Interventions of a kind that concern a stage and have not expired.
    pub fn interventions(
        &self,
        kind: InterventionKind,
        stage: &str,
    ) -> impl Iterator<Item = &'a InterventionSeen> {
        let now = self.now;
        self.seen.interventions.iter().filter(move |i| {
            i.kind == kind
                && i.not_after.is_none_or(|until| now < until)
                && (i.stages.is_empty() || i.stages.iter().any(|s| s == stage))
        })
    }

    /// The Hold in force over a stage: one that no later Resume ended. What a Resume ended stays ended: an old Hold does
    /// not come back when the Resume expires.
    #[must_use]
    pub fn hold(&self, stage: &str) -> Option<&'a InterventionSeen> {
        let here = |i: &&InterventionSeen| i.stages.is_empty() || i.stages.iter().any(|s| s == stage);
        let all = self.seen.interventions.iter().filter(|i| i.kind == InterventionKind::Resume);
        let resumed = all.filter(here).map(|i| i.created).max();
        self.interventions(InterventionKind::Hold, stage)
            .find(|hold| resumed.is_none_or(|at| hold.created > at))
    }

    /// The urgent fix a person asked for in this stage, newest first, if any.
    #[must_use]
    pub fn promote(&self, stage: &str) -> Option<&'a InterventionSeen> {
        self.interventions(InterventionKind::Promote, stage).max_by_key(|i| i.created)
    }

    /// How two releases stand in the policy's order; `None` where the order cannot tell.
    #[must_use]
    pub fn compare(&self, life: &Status, a: &Release, b: &Release) -> Option<Ordering> {
        if self.same(a, b) {
            return Some(Ordering::Equal);
        }
        if matches!(self.policy.select.order, select::Order::Digest { .. }) {
            let first = |r: &Release| {
                let key = r.contents_key();
                life.first_seen.iter().find(|f| f.contents == key).map(|f| f.at)
            };
            return match (first(a), first(b)) {
                (Some(a), Some(b)) => Some(a.cmp(&b)),
                _ => None,
            };
        }
        match (&a.version, &b.version) {
            (Some(a), Some(b)) => select::compare_versions(&self.policy.select, a, b),
            _ => Some(a.created?.cmp(&b.created?)),
        }
    }

    /// Selection admits the release's tag: it did not fall out of the range.
    #[must_use]
    pub fn in_range(&self, release: &Release) -> bool {
        release.tag.as_ref().is_some_and(|tag| {
            !select::rank(&self.policy.select, [tag.as_str()].into_iter()).best_first.is_empty()
        })
    }
}

/// Every release of which anything is known.
fn known(seen: &Observed) -> impl Iterator<Item = &Release> + Clone {
    let remembered = seen.status.stages.iter().flat_map(|s| {
        let verified = s.verified.iter().map(|v| &v.release);
        verified.chain(s.flight.iter().map(|f| &f.release)).chain(s.rollback.iter().map(|r| &r.bad))
    });
    let answers = &seen.answers;
    let told = answers.tags.values().chain(answers.digests.values()).filter_map(|answer| match answer {
        Answer::Known(release) => Some(release),
        Answer::Absent | Answer::Failed(_) => None,
    });
    remembered.chain(seen.status.candidate.iter()).chain(told)
}
