//! What is due and waits for room: fair between servers (registries, servers of signals), and between the tenants of one.
//!
//! Guarantees: of one registry so many are under way at most; registries take turns, and so do the tenants of a
//! registry, however many lookups one of them has waiting. May not: know what is looked up.

use std::collections::{BTreeMap, VecDeque};

/// Lookups under way for one registry: one that hangs leaves room for others.
pub const PER_REGISTRY: usize = 4;

/// Waiting lookups.
#[derive(Debug)]
pub struct Lanes<K> {
    lanes: BTreeMap<String, Lane<K>>,
    /// The registry that had its turn last.
    last: String,
}

#[derive(Debug)]
struct Lane<K> {
    /// In the order of their turns; none is empty.
    tenants: VecDeque<(String, VecDeque<K>)>,
    running: usize,
}

impl<K> Default for Lanes<K> {
    fn default() -> Self {
        Self { lanes: BTreeMap::new(), last: String::new() }
    }
}

impl<K> Default for Lane<K> {
    fn default() -> Self {
        Self { tenants: VecDeque::new(), running: 0 }
    }
}

impl<K> Lanes<K> {
    /// One more waits.
    pub fn push(&mut self, registry: &str, tenant: &str, key: K) {
        if !self.lanes.contains_key(registry) {
            self.lanes.insert(registry.to_owned(), Lane::default());
        }
        let Some(lane) = self.lanes.get_mut(registry) else { return };
        match lane.tenants.iter_mut().find(|(name, _)| name == tenant) {
            Some((_, waiting)) => waiting.push_back(key),
            None => lane.tenants.push_back((tenant.to_owned(), VecDeque::from([key]))),
        }
    }

    /// The next that may begin; it counts as under way until [`Lanes::done`].
    pub fn pop(&mut self) -> Option<K> {
        let free = |lane: &Lane<K>| lane.running < PER_REGISTRY && !lane.tenants.is_empty();
        let after = self
            .lanes
            .range::<str, _>((std::ops::Bound::Excluded(self.last.as_str()), std::ops::Bound::Unbounded));
        let registry = after.chain(self.lanes.iter()).find(|(_, lane)| free(lane))?.0.clone();
        let lane = self.lanes.get_mut(&registry)?;
        let (tenant, mut waiting) = lane.tenants.pop_front()?;
        let key = waiting.pop_front();
        if !waiting.is_empty() {
            lane.tenants.push_back((tenant, waiting));
        }
        lane.running += 1;
        self.last = registry;
        key
    }

    /// One of this registry is over.
    pub fn done(&mut self, registry: &str) {
        let Some(lane) = self.lanes.get_mut(registry) else { return };
        lane.running = lane.running.saturating_sub(1);
        if lane.running == 0 && lane.tenants.is_empty() {
            self.lanes.remove(registry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(lanes: &mut Lanes<String>) -> Vec<String> {
        std::iter::from_fn(|| lanes.pop()).collect()
    }

    #[test]
    fn registries_take_turns_and_each_has_its_own_room() {
        let mut lanes = Lanes::default();
        for number in 0..6 {
            lanes.push("slow.example", "a", format!("slow {number}"));
        }
        lanes.push("fast.example", "a", "fast 0".into());
        lanes.push("fast.example", "a", "fast 1".into());
        assert_eq!(all(&mut lanes), ["fast 0", "slow 0", "fast 1", "slow 1", "slow 2", "slow 3"]);
        lanes.done("fast.example");
        assert!(lanes.pop().is_none(), "what hangs leaves no room to its own registry only");
        lanes.push("fast.example", "a", "fast 2".into());
        assert_eq!(lanes.pop().as_deref(), Some("fast 2"));
        lanes.done("slow.example");
        assert_eq!(lanes.pop().as_deref(), Some("slow 4"));
    }

    #[test]
    fn a_tenant_with_a_thousand_lookups_delays_another_by_one() {
        let mut lanes = Lanes::default();
        for number in 0..1000 {
            lanes.push("r.example", "many", format!("many {number}"));
        }
        lanes.push("r.example", "few", "few 0".into());
        assert_eq!(all(&mut lanes), ["many 0", "few 0", "many 1", "many 2"]);
    }

    #[test]
    fn nothing_is_kept_of_a_registry_that_nobody_waits_for() {
        let mut lanes = Lanes::default();
        lanes.push("r.example", "a", String::new());
        assert_eq!(all(&mut lanes).len(), 1);
        lanes.done("r.example");
        assert!(lanes.lanes.is_empty());
    }
}
