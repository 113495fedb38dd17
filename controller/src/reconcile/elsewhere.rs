//! What each policy's pods and signals show now, for the passes of the others.
//!
//! Guarantees: no I/O and no waiting; in memory only, found again by the first pass of each policy; policies without trouble
//! cost nothing. May not: decide what follows.

use crate::ports::PolicyKey;
use lockkeeper_core::observed::Elsewhere;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What all policies show.
#[derive(Default)]
pub struct Troubles {
    by_policy: Mutex<BTreeMap<PolicyKey, Arc<Elsewhere>>>,
}

impl Troubles {
    /// This is what the policy shows now.
    pub fn show(&self, key: &PolicyKey, shown: Elsewhere) {
        let mut all = self.lock();
        if shown.is_calm() {
            all.remove(key);
        } else {
            all.insert(key.clone(), Arc::new(shown));
        }
    }

    /// What the others show.
    #[must_use]
    pub fn of_others(&self, key: &PolicyKey) -> Vec<Arc<Elsewhere>> {
        let all = self.lock();
        all.iter().filter(|(other, _)| *other != key).map(|(_, shown)| Arc::clone(shown)).collect()
    }

    /// The policy is gone.
    pub fn forget(&self, key: &PolicyKey) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PolicyKey, Arc<Elsewhere>>> {
        // Nothing above can panic half-way through a change.
        self.by_policy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
