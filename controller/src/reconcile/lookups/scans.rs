//! Scans: what a repository lists, shared by all policies that may see it the same way, and the tags of it in one
//! policy's order.

use super::{Key, Lookups, Source, What, entry::Kept};
use crate::ports::PolicyKey;
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

/// All tags of a repository: sorted, each once, in one piece of memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// One tag a line.
    text: String,
    tags: usize,
}

impl Listing {
    /// Tags that hold a control character cannot be tags and are left out.
    #[must_use]
    pub fn new(mut tags: Vec<String>) -> Self {
        tags.retain(|tag| !tag.is_empty() && !tag.contains(char::is_control));
        tags.sort_unstable();
        tags.dedup();
        Self { tags: tags.len(), text: tags.join("\n") }
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tags
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tags == 0
    }

    /// The tags, sorted as text.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.text.lines()
    }
}

/// What is known of a repository's tags.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// The last complete listing.
    pub listing: Option<Arc<Listing>>,
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
                Some(Kept::Tags(listing)) => Some(Arc::clone(listing)),
                _ => None,
            },
            failing: entry.failing.clone(),
        });
        self.want(policy, source, interval, [(key, false)]);
        scan
    }
}

/// Listings in the order of policies: each computed once per listing and generation.
#[derive(Default)]
pub struct Rankings {
    by_policy: Mutex<BTreeMap<PolicyKey, Ranked>>,
}

struct Ranked {
    listing: Arc<Listing>,
    generation: i64,
    ranking: Arc<Ranking>,
}

impl Rankings {
    /// The tags of `listing` in the order of `policy`. An error says that the computation itself failed.
    pub async fn get(
        &self,
        key: &PolicyKey,
        policy: &Arc<Policy>,
        listing: &Arc<Listing>,
    ) -> Result<Arc<Ranking>, tokio::task::JoinError> {
        if let Some(known) = self.lock().get(key)
            && known.generation == policy.generation
            && Arc::ptr_eq(&known.listing, listing)
        {
            return Ok(Arc::clone(&known.ranking));
        }
        let ranking = if listing.len() > LONG {
            let (policy, listing) = (Arc::clone(policy), Arc::clone(listing));
            tokio::task::spawn_blocking(move || rank(&policy.select, listing.iter())).await?
        } else {
            rank(&policy.select, listing.iter())
        };
        let ranking = Arc::new(ranking);
        let (listing, generation) = (Arc::clone(listing), policy.generation);
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
