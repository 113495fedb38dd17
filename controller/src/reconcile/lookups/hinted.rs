//! Looks that somebody asked for: a hook from outside, or a person by an annotation.
//!
//! Guarantees: they come before the interval is over, and not more often than once in [`APART`] per lookup; what a
//! registry asked to be left alone with is left alone; a repository that no policy wants to know of costs nothing.

use super::{
    Key, Lookups, State,
    entry::{Entry, Kept},
};
use crate::ports::{
    PolicyKey,
    hints::{Hint, Hints},
};
use lockkeeper_core::signature::Signed;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// The least time between two looks, however often somebody asks.
const APART: Duration = Duration::from_secs(1);

impl Hints for Lookups {
    fn hint(&self, hint: &Hint) -> usize {
        let mut state = self.lock();
        let nearby = state.by_repository.range(hint.repository.clone()..);
        // Names that begin alike stand together.
        let near = nearby.take_while(|(repository, _)| repository.path().starts_with(hint.repository.path()));
        let concerned = near.filter(|(repository, _)| hint.concerns(repository));
        let keys: Vec<Arc<Key>> = concerned.flat_map(|(_, keys)| keys).cloned().collect();
        let looks = state.look_now(&keys);
        drop(state);
        self.shared.changed.notify_one();
        looks
    }
}

impl Lookups {
    /// Looks soon at what this policy wants to know and that may have changed.
    pub fn look_now(&self, policy: &PolicyKey) {
        let mut state = self.lock();
        let keys = state.by_policy.get(policy).into_iter().flatten();
        let keys: Vec<Arc<Key>> = keys.filter(|key| key.what.changes()).cloned().collect();
        state.look_now(&keys);
        drop(state);
        self.shared.changed.notify_one();
    }
}

impl State {
    fn look_now(&mut self, keys: &[Arc<Key>]) -> usize {
        let now = Instant::now();
        let mut looks = 0;
        for key in keys {
            let Some(entry) = self.entries.get_mut(key) else { continue };
            looks += 1;
            if entry.running {
                entry.again = true;
            } else if entry.queued {
                // Its turn comes anyway.
            } else if let Some(at) = entry.at_a_hint(now) {
                self.set_due(key, Some(at));
            }
        }
        looks
    }
}

impl Entry {
    /// When to look after a hint; none: when it is due anyway.
    pub(super) fn at_a_hint(&self, now: Instant) -> Option<Instant> {
        // A good signature does not become a bad one by a push.
        let trusted = matches!(self.kept, Some(Kept::Signed(Some(Signed::Trusted(_)))));
        if self.failures > 0 || trusted {
            return None;
        }
        let at = self.began.map_or(now, |began| now.max(began + APART));
        Some(self.due.map_or(at, |due| due.min(at)))
    }

    /// Whether it was told of something while under way; asked once.
    pub(super) fn take_again(&mut self) -> bool {
        std::mem::take(&mut self.again)
    }
}
