//! Gathers everything one pass may look at.
//!
//! Guarantees: no waiting for networks: watches and lookups are read from memory; what could not be read is a value in
//! what is returned. May not: write, decide, or leave out a failure.

use super::{
    deliveries::Deliveries,
    elsewhere::Troubles,
    last_words::LastWords,
    lookups::{Asked, Cadence, Lookups, Rankings, Scan, Source},
    measurements::Measurements,
    memory::Memory,
    notices::Notices,
};
use crate::ports::{Cluster, Depth, StoredPolicy};
use lockkeeper_core::{
    image::Tag,
    observed::{Answer, Answers, Catalogue, Observed, StageSeen},
    policy::Policy,
    select::{Order, rank},
    status::Status,
};
use std::{sync::Arc, time::Duration};

/// The policy's tags could not be put in order.
#[derive(Debug, thiserror::Error)]
#[error("the tags of {repository} could not be ordered: {source}")]
pub struct ObserveError {
    repository: String,
    source: tokio::task::JoinError,
}

/// Where it looks.
pub struct Eyes<'a> {
    /// The watches.
    pub cluster: &'a dyn Cluster,
    /// What registries said.
    pub lookups: &'a Lookups,
    /// Listings in order.
    pub rankings: &'a Rankings,
    /// What was measured; none where nothing is (a plan).
    pub measurements: Option<&'a Measurements>,
    /// What was told; none where nobody is (a plan).
    pub notices: Option<&'a Notices>,
    /// What files of repositories say; none where nobody looks (a plan).
    pub deliveries: Option<&'a Deliveries>,
    /// What containers said when they died; none where nobody reads it (a plan).
    pub last_words: Option<&'a LastWords>,
    /// What other policies show; none where nobody else is looked at (a plan).
    pub troubles: Option<&'a Troubles>,
}

impl Eyes<'_> {
    /// Everything `policy` may look at now.
    pub async fn observe(
        &self,
        stored: &StoredPolicy,
        policy: &Arc<Policy>,
        memory: &Memory,
    ) -> Result<Observed, ObserveError> {
        let source = Source::of(stored);
        let view = self.cluster.see(policy, &stored.identity);
        let depth = depth(policy, &memory.latest, &view.stages);
        let mut answers = self.lookups.answers(&stored.key, &source, &policy.image, depth);
        if let Some(asked) = Asked::of(stored, policy) {
            answers.signed = self.lookups.signed(&stored.key, &source, &asked);
        }
        let catalogue = match policy.select.followed_tag() {
            Some(tag) => followed(policy, tag, &answers),
            None => self.listed(stored, policy, &source).await?,
        };
        let mut stages = view.stages;
        memory.refusals.show(policy, &mut stages);
        if let Some(last_words) = self.last_words {
            last_words.show(stored, policy, &memory.latest, &mut stages);
        }
        Ok(Observed {
            status: (*memory.latest).clone(),
            catalogue,
            answers,
            signals: self.measurements.map(|all| all.answers(&stored.key)).unwrap_or_default(),
            notices: self.notices.map(|all| all.seen(&stored.key)).unwrap_or_default(),
            deliveries: self.deliveries.map(|all| all.answers(&stored.key)).unwrap_or_default(),
            stages,
            pins: view.pins,
            quarantines: view.quarantines,
            interventions: view.interventions,
            claims: view.claims,
            elsewhere: self.troubles.map(|all| all.of_others(&stored.key)).unwrap_or_default(),
        })
    }

    async fn listed(
        &self,
        stored: &StoredPolicy,
        policy: &Arc<Policy>,
        source: &Source,
    ) -> Result<Catalogue, ObserveError> {
        let Scan { listing, failing } =
            self.lookups.scan(&stored.key, source, &policy.image, interval(policy));
        let ranking = match listing {
            None => None,
            Some(listing) => {
                let ranking = self.rankings.get(&stored.key, policy, &listing).await;
                Some(
                    ranking
                        .map_err(|source| ObserveError { repository: policy.image.to_string(), source })?,
                )
            }
        };
        Ok(Catalogue { ranking, failing })
    }
}

/// One tag is followed: there is nothing to list, and the lookup of that tag is what may fail.
fn followed(policy: &Policy, tag: &Tag, answers: &Answers) -> Catalogue {
    let ranking = Arc::new(rank(&policy.select, std::iter::once(tag.as_str())));
    let failing = match answers.tags.get(tag) {
        Some(Answer::Failed(failure)) => Some(failure.clone()),
        Some(Answer::Known(_) | Answer::Absent) | None => None,
    };
    Catalogue { ranking: Some(ranking), failing }
}

/// How often registries are asked what tags name for this policy, and how much of that.
#[must_use]
pub fn cadence(policy: &Policy, seen: &Observed) -> Cadence {
    let rare = policy.select.followed_tag().is_none();
    Cadence { interval: interval(policy), rare, depth: depth(policy, &seen.status, &seen.stages) }
}

/// While there is nothing that could be given a release, nothing that it could be recognised by is asked for: one
/// manifest says which release a tag is.
fn depth(policy: &Policy, status: &Status, stages: &[StageSeen]) -> Depth {
    let select = &policy.select;
    let decides = matches!(select.order, Order::NewestBuild { .. })
        || !select.platforms.is_empty()
        || !select.minimum_release_age.is_zero();
    let governs = stages.iter().any(|stage| !stage.pods.is_empty() || !stage.workloads.is_empty());
    let holds = status.stages.iter().any(|stage| !stage.verified.is_empty() || stage.flight.is_some());
    if decides || governs || holds { Depth::Whole } else { Depth::Identity }
}

/// How often registries are asked for this policy.
fn interval(policy: &Policy) -> Duration {
    // The policy was checked: its interval is positive and bounded.
    Duration::try_from(policy.interval).unwrap_or(Duration::from_mins(5))
}
