//! Which policies reach into a namespace, and which are rivals: they share a namespace and a repository, so that a
//! container could be both's.
//!
//! Guarantees: what one policy costs here does not grow with the number of policies that it has nothing to do with; to walk
//! over its rivals compares no names.

use super::collection::Wake;
use crate::ports::PolicyKey;
use lockkeeper_core::{image::Repository, policy::Mode};
use std::collections::{BTreeMap, BTreeSet};

/// The index.
#[derive(Debug, Default)]
pub struct Reach {
    namespaces: BTreeMap<String, BTreeSet<PolicyKey>>,
    /// Who promotes from a repository in a namespace.
    sharing: BTreeMap<Repository, BTreeMap<String, BTreeMap<PolicyKey, Mode>>>,
    policies: BTreeMap<PolicyKey, Reached>,
}

/// What one policy reaches.
#[derive(Clone, Debug)]
pub struct Reached {
    /// Its targets' namespaces, whether they exist or not.
    pub namespaces: BTreeSet<String>,
    /// What it promotes from.
    pub repositories: BTreeSet<Repository>,
    /// Whether it writes.
    pub mode: Mode,
}

impl Reach {
    /// The policies that reach into a namespace.
    pub fn reaching(&self, namespace: &str) -> impl Iterator<Item = &PolicyKey> {
        self.namespaces.get(namespace).into_iter().flatten()
    }

    /// The rivals of a policy that promotes from these repositories and reaches into these namespaces, itself left out. One
    /// that shares several comes several times.
    pub fn rivals<'i, 'p>(
        &'i self,
        key: &'p PolicyKey,
        repositories: impl IntoIterator<Item = &'p Repository>,
        namespaces: &'p BTreeSet<String>,
    ) -> impl Iterator<Item = (&'i PolicyKey, Mode)> {
        let sharing = repositories.into_iter().filter_map(|repository| self.sharing.get(repository));
        let sharing = sharing.flat_map(move |within| namespaces.iter().filter_map(|name| within.get(name)));
        sharing.flatten().filter(move |(other, _)| *other != key).map(|(other, mode)| (other, *mode))
    }

    /// A policy came, went or got another spec. Returns whose rival it was or is.
    pub fn set(&mut self, key: &PolicyKey, now: Option<Reached>) -> Wake {
        let mut rivals = Wake::new();
        if let Some(was) = self.policies.remove(key) {
            rivals.extend(self.keys_of_rivals(key, &was));
            for namespace in &was.namespaces {
                self.leave(namespace, key, &was.repositories);
            }
        }
        let Some(reached) = now else { return rivals };
        rivals.extend(self.keys_of_rivals(key, &reached));
        for namespace in &reached.namespaces {
            self.enter(namespace, key, &reached.repositories, reached.mode);
        }
        self.policies.insert(key.clone(), reached);
        rivals
    }

    /// A namespace came, went or got other labels: it is these policies that reach into it now. Returns all that do, or did.
    pub fn set_namespace(&mut self, name: &str, reaching: BTreeSet<PolicyKey>) -> Wake {
        let mut woken = self.namespaces.get(name).cloned().unwrap_or_default();
        for key in woken.difference(&reaching) {
            let Some(mut reached) = self.policies.remove(key) else { continue };
            reached.namespaces.remove(name);
            self.leave(name, key, &reached.repositories);
            self.policies.insert(key.clone(), reached);
        }
        for key in reaching.difference(&woken) {
            let Some(mut reached) = self.policies.remove(key) else { continue };
            reached.namespaces.insert(name.to_owned());
            self.enter(name, key, &reached.repositories, reached.mode);
            self.policies.insert(key.clone(), reached);
        }
        woken.extend(reaching);
        woken
    }

    fn keys_of_rivals(&self, key: &PolicyKey, reached: &Reached) -> Wake {
        let rivals = self.rivals(key, &reached.repositories, &reached.namespaces);
        rivals.map(|(rival, _)| rival.clone()).collect()
    }

    fn enter(&mut self, namespace: &str, key: &PolicyKey, repositories: &BTreeSet<Repository>, mode: Mode) {
        self.namespaces.entry(namespace.to_owned()).or_default().insert(key.clone());
        for repository in repositories {
            let within = self.sharing.entry(repository.clone()).or_default();
            within.entry(namespace.to_owned()).or_default().insert(key.clone(), mode);
        }
    }

    /// Nothing is kept that is empty.
    fn leave(&mut self, namespace: &str, key: &PolicyKey, repositories: &BTreeSet<Repository>) {
        if let Some(reaching) = self.namespaces.get_mut(namespace) {
            reaching.remove(key);
            if reaching.is_empty() {
                self.namespaces.remove(namespace);
            }
        }
        for repository in repositories {
            let Some(within) = self.sharing.get_mut(repository) else { continue };
            if let Some(sharing) = within.get_mut(namespace) {
                sharing.remove(key);
                if sharing.is_empty() {
                    within.remove(namespace);
                }
            }
            if within.is_empty() {
                self.sharing.remove(repository);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::btree_set, prelude::*};

    #[derive(Clone, Debug)]
    enum Step {
        Policy(u8, Option<Reached>),
        Namespace(u8, BTreeSet<u8>),
    }

    fn key(number: u8) -> PolicyKey {
        PolicyKey { namespace: "platform".into(), name: format!("p{number}") }
    }

    fn reached() -> impl Strategy<Value = Reached> {
        let all = (btree_set(0..4_u8, 0..3), btree_set(0..3_u8, 1..3), any::<bool>());
        all.prop_map(|(namespaces, repositories, writes)| Reached {
            namespaces: namespaces.iter().map(|n| format!("n{n}")).collect(),
            repositories: repositories.iter().map(|n| format!("example.org/r{n}").parse().unwrap()).collect(),
            mode: if writes { Mode::Enforce } else { Mode::Observe },
        })
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..5_u8, proptest::option::of(reached())).prop_map(|(n, now)| Step::Policy(n, now)),
            (0..4_u8, btree_set(0..5_u8, 0..5)).prop_map(|(n, keys)| Step::Namespace(n, keys)),
        ]
    }

    /// Who shares a namespace and a repository, by looking at all of them.
    fn rivals(model: &BTreeMap<PolicyKey, Reached>, key: &PolicyKey) -> BTreeMap<PolicyKey, Mode> {
        let Some(own) = model.get(key) else { return BTreeMap::new() };
        let shares = |other: &Reached| {
            !own.namespaces.is_disjoint(&other.namespaces)
                && !own.repositories.is_disjoint(&other.repositories)
        };
        let others = model.iter().filter(|(other, reached)| *other != key && shares(reached));
        others.map(|(other, reached)| (other.clone(), reached.mode)).collect()
    }

    proptest! {
        #[test]
        fn the_index_says_what_a_look_at_all_policies_says(steps in proptest::collection::vec(step(), 0..24)) {
            let (mut index, mut model) = (Reach::default(), BTreeMap::<PolicyKey, Reached>::new());
            for step in steps {
                match step {
                    Step::Policy(number, now) => {
                        let before = rivals(&model, &key(number));
                        model.remove(&key(number));
                        model.extend(now.clone().map(|now| (key(number), now)));
                        let concerned: Wake =
                            before.into_keys().chain(rivals(&model, &key(number)).into_keys()).collect();
                        prop_assert_eq!(index.set(&key(number), now), concerned);
                    }
                    Step::Namespace(number, keys) => {
                        let name = format!("n{number}");
                        let keys: BTreeSet<PolicyKey> =
                            keys.into_iter().map(key).filter(|key| model.contains_key(key)).collect();
                        for (key, reached) in &mut model {
                            if keys.contains(key) {
                                reached.namespaces.insert(name.clone());
                            } else {
                                reached.namespaces.remove(&name);
                            }
                        }
                        index.set_namespace(&name, keys);
                    }
                }
                for (key, reached) in &model {
                    let found = index.rivals(key, &reached.repositories, &reached.namespaces);
                    let found: BTreeMap<PolicyKey, Mode> =
                        found.map(|(other, mode)| (other.clone(), mode)).collect();
                    prop_assert_eq!(found, rivals(&model, key));
                }
                for name in (0..4).map(|number| format!("n{number}")) {
                    let reaching: BTreeSet<&PolicyKey> = index.reaching(&name).collect();
                    let expected = model.iter().filter(|(_, reached)| reached.namespaces.contains(&name));
                    prop_assert_eq!(reaching, expected.map(|(key, _)| key).collect::<BTreeSet<_>>());
                }
            }
            for number in 0..5 {
                index.set(&key(number), None);
            }
            prop_assert!(index.namespaces.is_empty() && index.sharing.is_empty() && index.policies.is_empty());
        }
    }
}
