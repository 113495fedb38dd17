//! The objects of one collection, by namespace and name.
//!
//! Guarantees: an older version never replaces a newer one, in whatever order watch events and our own writes'
//! answers arrive; a relist removes what is gone (K4) and keeps what was written after it. Assumes resourceVersions of
//! one collection are numbers that grow, as Kubernetes defines since 1.35 and etcd always did; one that is no number
//! counts as 0 and is believed when the watch shows it.

use crate::kubernetes::wire::Meta;
use std::collections::BTreeMap;

/// One object's place and version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Namespace, empty for cluster-wide objects.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Version.
    pub version: u64,
}

impl Place {
    /// Of an object.
    #[must_use]
    pub fn of(meta: &Meta) -> Self {
        Self {
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            version: version(&meta.resource_version),
        }
    }
}

/// A resourceVersion as a number.
#[must_use]
pub fn version(text: &str) -> u64 {
    text.parse().unwrap_or_default()
}

/// What became of an object that was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown<T> {
    /// It is kept now; what was there before.
    Kept(Option<T>),
    /// A newer one is here, or was.
    Older,
}

/// The objects of one collection.
#[derive(Debug)]
pub struct Shelf<T> {
    kept: BTreeMap<String, BTreeMap<String, (u64, T)>>,
    /// The newest version that the watch itself has shown.
    shown: u64,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self { kept: BTreeMap::new(), shown: 0 }
    }
}

impl<T> Shelf<T> {
    /// One object.
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<&T> {
        Some(&self.kept.get(namespace)?.get(name)?.1)
    }

    /// All of a namespace, by name.
    pub fn in_namespace<'a>(
        &'a self,
        namespace: &str,
    ) -> impl Iterator<Item = (&'a str, &'a T)> + use<'a, T> {
        self.kept.get(namespace).into_iter().flatten().map(|(name, (_, kept))| (name.as_str(), kept))
    }

    /// All, by namespace and name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &T)> {
        self.kept.iter().flat_map(|(namespace, named)| {
            named.iter().map(move |(name, (_, kept))| (namespace.as_str(), name.as_str(), kept))
        })
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept.values().map(BTreeMap::len).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// What the watch shows.
    pub fn show(&mut self, place: &Place, value: T) -> Shown<T> {
        self.shown = self.shown.max(place.version);
        self.put(place, value)
    }

    /// What an answer to our own write says: taken only if the watch has not shown anything as new yet, because it
    /// may already have shown that the object is gone.
    pub fn absorb(&mut self, place: &Place, value: T) -> Shown<T> {
        if place.version <= self.shown { Shown::Older } else { self.put(place, value) }
    }

    fn put(&mut self, place: &Place, value: T) -> Shown<T> {
        let named = self.kept.entry(place.namespace.clone()).or_default();
        match named.get_mut(&place.name) {
            Some((version, _)) if *version > place.version => Shown::Older,
            Some(old) => Shown::Kept(Some(std::mem::replace(old, (place.version, value)).1)),
            None => {
                named.insert(place.name.clone(), (place.version, value));
                Shown::Kept(None)
            }
        }
    }

    /// The watch shows that it is gone. Returns it, if it was here and no newer one is.
    pub fn remove(&mut self, place: &Place) -> Option<T> {
        self.shown = self.shown.max(place.version);
        let named = self.kept.get_mut(&place.namespace)?;
        if place.version > 0 && named.get(&place.name)?.0 > place.version {
            return None;
        }
        let gone = named.remove(&place.name)?.1;
        if named.is_empty() {
            self.kept.remove(&place.namespace);
        }
        Some(gone)
    }

    /// The places of what a complete list at version `listed` does not hold and that is not newer than it.
    #[must_use]
    pub fn missing(&self, listed: u64, present: &std::collections::BTreeSet<(String, String)>) -> Vec<Place> {
        let mut gone = Vec::new();
        for (namespace, named) in &self.kept {
            for (name, (version, _)) in named {
                if *version <= listed && !present.contains(&(namespace.clone(), name.clone())) {
                    gone.push(Place { namespace: namespace.clone(), name: name.clone(), version: listed });
                }
            }
        }
        gone
    }

    /// A bookmark: the watch has come this far.
    pub fn bookmark(&mut self, version: u64) {
        self.shown = self.shown.max(version);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn at(name: &str, version: u64) -> Place {
        Place { namespace: "ns".into(), name: name.into(), version }
    }

    #[test]
    fn k5_an_older_version_never_replaces_a_newer_one() {
        let mut shelf = Shelf::default();
        assert_eq!(shelf.show(&at("a", 5), "five"), Shown::Kept(None));
        assert_eq!(shelf.absorb(&at("a", 9), "nine"), Shown::Kept(Some("five")));
        assert_eq!(shelf.show(&at("a", 7), "seven"), Shown::Older, "the watch lags behind our write");
        assert_eq!(shelf.get("ns", "a"), Some(&"nine"));
        assert_eq!(shelf.show(&at("a", 9), "nine again"), Shown::Kept(Some("nine")));
    }

    #[test]
    fn the_answer_to_a_write_makes_no_ghost_of_an_object_that_the_watch_saw_go() {
        let mut shelf = Shelf::default();
        shelf.show(&at("a", 5), ());
        shelf.remove(&at("a", 10));
        assert_eq!(shelf.absorb(&at("a", 9), ()), Shown::Older);
        assert!(shelf.is_empty());
    }

    #[test]
    fn a_deletion_does_not_remove_the_object_that_was_made_again() {
        let mut shelf = Shelf::default();
        shelf.absorb(&at("a", 12), "new");
        assert_eq!(shelf.remove(&at("a", 10)), None);
        assert_eq!(shelf.get("ns", "a"), Some(&"new"));
        assert_eq!(shelf.remove(&at("a", 13)), Some("new"));
        assert_eq!(shelf.len(), 0);
    }

    #[test]
    fn k4_a_relist_names_what_is_gone_and_keeps_what_is_newer() {
        let mut shelf = Shelf::default();
        for (name, version) in [("kept", 3), ("gone", 4), ("written-since", 30)] {
            shelf.show(&at(name, version), ());
        }
        let present = BTreeSet::from([("ns".to_owned(), "kept".to_owned())]);
        let gone: Vec<_> = shelf.missing(20, &present).into_iter().map(|place| place.name).collect();
        assert_eq!(gone, ["gone"]);
    }

    #[test]
    fn versions_that_are_no_numbers_are_believed_when_shown() {
        let mut shelf = Shelf::default();
        shelf.show(&at("a", version("abc")), 1);
        assert_eq!(shelf.show(&at("a", version("abd")), 2), Shown::Kept(Some(1)));
        assert_eq!(shelf.absorb(&at("a", version("abe")), 3), Shown::Older);
        assert_eq!(shelf.remove(&at("a", 0)), Some(2));
    }
}
