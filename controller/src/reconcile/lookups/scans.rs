//! Scans: what a repository lists, shared by all policies that may see it the same way, and the tags of it in one
//! policy's order.

use super::{
    Key, Lookups, Source, What,
    entry::{Cadence, Kept},
};
use crate::ports::{Depth, Listing, PolicyKey};
use lockkeeper_core::{
    image::Repository,
    observed::Failure,
    policy::Policy,
    select::{Ranking, rank},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Longer listings are ranked beside the async threads.
const LONG: usize = 5_000;

/// What is known of a repository's tags.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// The last complete listing.
    pub listing: Option<Listing>,
    /// Why the newest failed.
    pub failing: Option<Failure>,
}

impl Lookups {
    /// What is known of the tags of `repository`; from now on they are listed once per interval.
    pub fn scan(
        &self,
        policy: &PolicyKey,
        source: &Source,
        repository: &Repository,
        interval: Duration,
    ) -> Scan {
        let key = Key { source: source.clone(), repository: repository.clone(), what: What::Tags };
        let scan = self.lock().entries.get(&key).map_or_else(Scan::default, |entry| Scan {
            listing: match &entry.kept {
                Some(Kept::Tags(listing)) => Some(listing.clone()),
                _ => None,
            },
            failing: entry.failing.clone(),
        });
        self.want(policy, source, &Cadence { interval, rare: false, depth: Depth::Identity }, [(key, false)]);
        scan
    }
}

/// Listings in the order of policies: each computed once per listing and generation.
#[derive(Default)]
pub struct Rankings {
    by_policy: Mutex<BTreeMap<PolicyKey, Ranked>>,
}

struct Ranked {
    listing: Listing,
    generation: i64,
    ranking: Arc<Ranking>,
}

impl Rankings {
    /// The tags of `listing` in the order of `policy`. An error says that the computation itself failed.
    pub async fn get(
        &self,
        key: &PolicyKey,
        policy: &Arc<Policy>,
        listing: &Listing,
    ) -> Result<Arc<Ranking>, tokio::task::JoinError> {
        if let Some(known) = self.lock().get(key)
            && known.generation == policy.generation
            && known.listing.is(listing)
        {
            return Ok(Arc::clone(&known.ranking));
        }
        let ranking = if listing.len() > LONG {
            let (policy, listing) = (Arc::clone(policy), listing.clone());
            tokio::task::spawn_blocking(move || rank(&policy.select, listing.iter())).await?
        } else {
            rank(&policy.select, listing.iter())
        };
        let ranking = Arc::new(ranking);
        let (listing, generation) = (listing.clone(), policy.generation);
        self.lock().insert(key.clone(), Ranked { listing, generation, ranking: Arc::clone(&ranking) });
        Ok(ranking)
    }

    /// A policy is gone.
    pub fn forget(&self, key: &PolicyKey) {
        self.lock().remove(key);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<PolicyKey, Ranked>> {
        self.by_policy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
