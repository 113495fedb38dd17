//! Which policies reach into a namespace, and which are rivals: they share a namespace and a repository, so that a
//! container could be both's.
//!
//! Guarantees: what one policy costs here does not grow with the number of policies that it has nothing to do with.

use super::collection::Wake;
use crate::ports::PolicyKey;
use lockkeeper_core::{image::Repository, policy::Policy};
use std::collections::{BTreeMap, BTreeSet};

/// The index.
#[derive(Debug, Default)]
pub struct Reach {
    namespaces: BTreeMap<String, BTreeSet<PolicyKey>>,
    repositories: BTreeMap<Repository, BTreeSet<PolicyKey>>,
    policies: BTreeMap<PolicyKey, Reached>,
}

/// What one policy reaches.
#[derive(Debug, Default)]
struct Reached {
    /// Whether they exist or not.
    namespaces: BTreeSet<String>,
    repositories: BTreeSet<Repository>,
}

impl Reach {
    /// The policies that reach into a namespace.
    pub fn reaching(&self, namespace: &str) -> impl Iterator<Item = &PolicyKey> {
        self.namespaces.get(namespace).into_iter().flatten()
    }

    /// The rivals of a policy that promotes from these repositories and reaches into these namespaces, itself left out.
    /// One that shares several repositories comes once for each.
    pub fn rivals<'a, 'r>(
        &'a self,
        key: &'a PolicyKey,
        repositories: impl IntoIterator<Item = &'r Repository>,
        namespaces: &'a BTreeSet<String>,
    ) -> impl Iterator<Item = &'a PolicyKey> {
        let sharing = repositories.into_iter().filter_map(|repository| self.repositories.get(repository));
        let meets = move |other: &PolicyKey| {
            self.policies.get(other).is_some_and(|other| !other.namespaces.is_disjoint(namespaces))
        };
        sharing.flatten().filter(move |other| *other != key && meets(other))
    }

    /// A policy came, went or got another spec; it reaches into these namespaces now. Returns whose rival it was or is.
    pub fn set(&mut self, key: &PolicyKey, now: Option<(&Policy, BTreeSet<String>)>) -> Wake {
        let was = self.policies.remove(key).unwrap_or_default();
        let mut rivals: Wake = self.rivals(key, &was.repositories, &was.namespaces).cloned().collect();
        was.namespaces.iter().for_each(|namespace| remove(&mut self.namespaces, namespace, key));
        was.repositories.iter().for_each(|repository| remove(&mut self.repositories, repository, key));
        let Some((policy, namespaces)) = now else { return rivals };
        let reached = Reached { namespaces, repositories: policy.repositories().cloned().collect() };
        for namespace in &reached.namespaces {
            self.namespaces.entry(namespace.clone()).or_default().insert(key.clone());
        }
        for repository in &reached.repositories {
            self.repositories.entry(repository.clone()).or_default().insert(key.clone());
        }
        rivals.extend(self.rivals(key, &reached.repositories, &reached.namespaces).cloned());
        self.policies.insert(key.clone(), reached);
        rivals
    }

    /// A namespace came, went or got other labels: it is these policies that reach into it now. Returns all that do, or did.
    pub fn set_namespace(&mut self, name: &str, reaching: BTreeSet<PolicyKey>) -> Wake {
        let mut woken = self.namespaces.remove(name).unwrap_or_default();
        for key in &woken {
            if let Some(reached) = self.policies.get_mut(key) {
                reached.namespaces.remove(name);
            }
        }
        for key in &reaching {
            if let Some(reached) = self.policies.get_mut(key) {
                reached.namespaces.insert(name.to_owned());
            }
        }
        woken.extend(reaching.iter().cloned());
        if !reaching.is_empty() {
            self.namespaces.insert(name.to_owned(), reaching);
        }
        woken
    }
}

/// Removes a policy from what is kept under `at`; nothing is kept that is empty.
fn remove<K: Ord>(index: &mut BTreeMap<K, BTreeSet<PolicyKey>>, at: &K, key: &PolicyKey) {
    if let Some(policies) = index.get_mut(at) {
        policies.remove(key);
        if policies.is_empty() {
            index.remove(at);
        }
    }
}
