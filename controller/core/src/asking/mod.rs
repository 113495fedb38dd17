//! What would come of a request, looked at before it is made, and what came of it.
//!
//! Guarantees: pure; asks the same gates as a pass does, so that what is refused here for a reason would wait, or be
//! passed over, for that reason. Assumes no pods and no registry: what only they can tell is not refused.

mod came;
mod check;

pub use came::{Came, came_of, verified_of};

use crate::{
    facts::Facts,
    gates,
    image::{Digest, Release},
    notices::NoticesSeen,
    observed::{Answers, Catalogue, InterventionSeen, Observed, QuarantineSeen, StageSeen},
    policy::Policy,
    stage::{Entry, StageView, Wait, current_of, upstream},
    status::Status,
};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Hex digits that name a release at least.
const SHORTEST: usize = 6;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The stage it speaks of.
    pub stage: String,
    /// A documented reason.
    pub reason: &'static str,
    /// A sentence, with what to do instead.
    pub message: String,
}

/// What speaks against a request, and what it would wait for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prospect {
    /// None: it may be made.
    pub refusals: Vec<Refusal>,
    /// Per stage, what it would wait for after all.
    pub waits: Vec<(String, String)>,
}

/// What is known of a policy without its pods and its registry.
pub struct Known<'a> {
    policy: &'a Policy,
    seen: Observed,
    now: Timestamp,
}

impl<'a> Known<'a> {
    /// From what the API server holds.
    #[must_use]
    pub fn new(
        policy: &'a Policy,
        status: Status,
        quarantines: Vec<QuarantineSeen>,
        interventions: Vec<InterventionSeen>,
        now: Timestamp,
    ) -> Self {
        let seen = Observed {
            status,
            catalogue: Catalogue::default(),
            answers: Answers::default(),
            signals: BTreeMap::new(),
            notices: NoticesSeen::default(),
            deliveries: BTreeMap::new(),
            stages: policy.stages.iter().map(|_| StageSeen::default()).collect(),
            pins: Vec::new(),
            quarantines,
            interventions,
            claims: Vec::new(),
            elsewhere: Vec::new(),
        };
        Self { policy, seen, now }
    }

    /// Releases that go by this name: a version, a tag, a digest, or at least six hex digits of one.
    #[must_use]
    pub fn named(&self, name: &str) -> Vec<&Release> {
        let status = &self.seen.status;
        let in_stages = status.stages.iter().flat_map(|stage| {
            let verified = stage.verified.iter().map(|v| &v.release);
            let flight = stage.flight.iter().flat_map(|f| std::iter::once(&f.release).chain(&f.from));
            let rollback = stage.rollback.iter().flat_map(|r| std::iter::once(&r.bad).chain(&r.to));
            verified.chain(flight).chain(rollback)
        });
        let hex = name.strip_prefix("sha256:").unwrap_or(name);
        let goes_by = |release: &&Release| {
            let tag = release.tag.as_ref().is_some_and(|tag| tag.as_str() == name);
            let of_digest = |digest: &Digest| hex.len() >= SHORTEST && digest.hex().starts_with(hex);
            tag || gates::label(release) == name || release.aliases().any(of_digest)
        };
        let mut found: Vec<&Release> = Vec::new();
        for release in status.candidate.iter().chain(in_stages).filter(goes_by) {
            if !found.iter().any(|known| known.digest == release.digest) {
                found.push(release);
            }
        }
        found
    }

    /// Stages that wait for approvals, each with the release that waits.
    #[must_use]
    pub fn awaiting_approval(&self) -> Vec<(String, Release)> {
        let facts = self.facts();
        let waiting = |index: usize| {
            let view = self.view(&facts, index)?;
            let status = self.seen.status.stages.get(index)?;
            if status.flight.is_some() || status.rollback.is_some() {
                return None;
            }
            let release = upstream(&view)?;
            let here = current_of(status).is_some_and(|c| facts.same(&c.release, &release));
            let entry = Entry { release, promote: None };
            let passed_over = here
                || facts.quarantined(&self.seen.status, &entry.release)
                || gates::lower(&view, &entry.release);
            gates::approved(&view, &entry).filter(|_| !passed_over)?;
            Some((view.stage.name.clone(), entry.release))
        };
        (0..self.policy.stages.len()).filter_map(waiting).collect()
    }

    /// What a stage has in flight, or would take next, and every gate that is closed before it as far as is known here.
    #[must_use]
    pub fn coming(&self, stage: &str) -> Option<(Release, Vec<Wait>)> {
        let facts = self.facts();
        let index = self.policy.stages.iter().position(|s| s.name == stage)?;
        let view = self.view(&facts, index)?;
        let status = self.seen.status.stages.get(index)?;
        if let Some(flight) = &status.flight {
            return Some((flight.release.clone(), Vec::new()));
        }
        let release = upstream(&view)?;
        let here = current_of(status).is_some_and(|c| facts.same(&c.release, &release));
        if here || gates::lower(&view, &release) {
            return None;
        }
        let entry = Entry { release, promote: None };
        let closed = gates::closed_as_remembered(&view, &entry).collect();
        Some((entry.release, closed))
    }

    /// The Quarantine that covers a release, if one does.
    #[must_use]
    pub fn quarantine_of(&self, release: &Release) -> Option<&QuarantineSeen> {
        self.facts().quarantine_of(release)
    }

    /// The Hold in force over a stage.
    #[must_use]
    pub fn hold(&self, stage: &str) -> Option<InterventionSeen> {
        self.facts().hold(stage).cloned()
    }

    /// What speaks against `request`, and what it would wait for.
    #[must_use]
    pub fn prospect(&self, request: &InterventionSeen) -> Prospect {
        let mut with_it = self.seen.clone();
        with_it.interventions.push(request.clone());
        let (before, after) = (self.facts(), Facts::new(self.policy, &with_it, self.now));
        let mut prospect = Prospect::default();
        let all: Vec<String> = self.policy.stages.iter().map(|s| s.name.clone()).collect();
        for name in if request.stages.is_empty() { &all } else { &request.stages } {
            let index = self.policy.stages.iter().position(|stage| stage.name == *name);
            let (Some(view), Some(then)) = (
                index.and_then(|index| self.view(&before, index)),
                index.and_then(|index| {
                    StageView::gather(self.policy, index, &self.seen.status, &with_it, &after, self.now)
                }),
            ) else {
                let message = format!("{} has no stage {name}; it has {}", self.policy.name, all.join(", "));
                prospect.refusals.push(Refusal { stage: name.clone(), reason: "NoSuchStage", message });
                continue;
            };
            match check::refused(&view, request) {
                Some((reason, message)) => {
                    prospect.refusals.push(Refusal { stage: name.clone(), reason, message });
                }
                None => prospect.waits.extend(check::wait(&then, request).map(|wait| (name.clone(), wait))),
            }
        }
        prospect
    }

    fn facts(&self) -> Facts<'_> {
        Facts::new(self.policy, &self.seen, self.now)
    }

    fn view<'v>(&'v self, facts: &'v Facts<'v>, index: usize) -> Option<StageView<'v>> {
        StageView::gather(self.policy, index, &self.seen.status, &self.seen, facts, self.now)
    }
}
