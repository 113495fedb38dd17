//! What a collection that is followed is: where it is, what is kept of it, and whom a change concerns.
//!
//! Guarantees: a change wakes the policies it may concern and no others; an object that cannot be read is left out and
//! named in the log, and stops nothing else (K15).

use super::{
    shelf::{Place, Shelf, Shown},
    world::{Watch, World},
};
use crate::{
    kubernetes::wire::{self, Meta, OnlyMeta},
    ports::PolicyKey,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use std::collections::BTreeSet;

/// The policies to wake.
pub type Wake = BTreeSet<PolicyKey>;

/// An object as it arrives.
pub trait Arrives: DeserializeOwned + Clone + Send + 'static {
    /// Its metadata, if readable.
    fn meta(&self) -> Option<Meta>;
}

macro_rules! arrives {
    ($($type:ty),*) => {$(
        impl Arrives for $type {
            fn meta(&self) -> Option<Meta> {
                Some(self.metadata.clone())
            }
        }
    )*};
}
arrives!(wire::Pod, wire::Namespace, wire::Budget, OnlyMeta);

impl Arrives for Value {
    fn meta(&self) -> Option<Meta> {
        Meta::deserialize(self.get("metadata")?).ok()
    }
}

/// One collection of objects.
pub trait Collection: Send + Sync + 'static {
    /// The objects as they arrive.
    type Wire: Arrives;
    /// What is kept of each.
    type Kept: Send + Sync;

    /// Which one this is.
    fn watch(&self) -> Watch;
    /// Where it is; the first that is served counts.
    fn paths(&self) -> Vec<String>;
    /// Only metadata is asked for.
    fn metadata_only(&self) -> bool {
        false
    }
    /// Not being served is an answer.
    fn may_be_absent(&self) -> bool {
        false
    }
    /// What is kept.
    fn trim(&self, object: Self::Wire) -> Option<(Place, Self::Kept)>;
    /// Where it is kept.
    fn shelf<'a>(&self, world: &'a mut World) -> &'a mut Shelf<Self::Kept>;
    /// Whom a change concerns. `old` is what was there, the world holds what is there now.
    fn concerned(&self, world: &mut World, place: &Place, old: Option<&Self::Kept>) -> Wake;

    /// Its place.
    fn place(object: &Self::Wire) -> Option<Place> {
        object.meta().map(|meta| Place::of(&meta))
    }
    /// The watch has come this far.
    fn position(object: &Self::Wire, position: &mut Option<String>) {
        if let Some(meta) = object.meta().filter(|meta| !meta.resource_version.is_empty()) {
            *position = Some(meta.resource_version);
        }
    }
    /// The watch shows an object.
    fn show(&self, world: &mut World, place: &Place, kept: Self::Kept) -> Wake {
        match self.shelf(world).show(place, kept) {
            Shown::Kept(old) => self.concerned(world, place, old.as_ref()),
            Shown::Older => Wake::new(),
        }
    }
    /// An answer to our own write shows an object.
    fn absorb(&self, world: &mut World, place: &Place, kept: Self::Kept) -> Wake {
        match self.shelf(world).absorb(place, kept) {
            Shown::Kept(old) => self.concerned(world, place, old.as_ref()),
            Shown::Older => Wake::new(),
        }
    }
    /// The watch shows that an object is gone.
    fn remove(&self, world: &mut World, place: &Place) -> Wake {
        match self.shelf(world).remove(place) {
            Some(old) => self.concerned(world, place, Some(&old)),
            None => Wake::new(),
        }
    }
}
