//! The four kinds of Lockkeeper that are followed.

use super::{
    collection::{Collection, Wake},
    own::{self, InterventionEntry, ParsedPolicies, PinEntry},
    shelf::{Place, Shelf},
    world::{Watch, World},
};
use crate::ports::{PolicyKey, StoredPolicy};
use lockkeeper_core::observed::QuarantineSeen;
use serde_json::Value;
use std::sync::Arc;

/// `ImagePolicies`.
pub struct Policies(pub Arc<ParsedPolicies>);

impl Collection for Policies {
    type Wire = Value;
    type Kept = Arc<StoredPolicy>;

    fn watch(&self) -> Watch {
        Watch::Policies
    }
    fn paths(&self) -> Vec<String> {
        vec![own::path("imagepolicies")]
    }
    fn trim(&self, object: Value) -> Option<(Place, Arc<StoredPolicy>)> {
        let (meta, stored) = self.0.stored(object)?;
        Some((Place::of(&meta), Arc::new(stored)))
    }
    fn shelf<'a>(&self, world: &'a mut World) -> &'a mut Shelf<Arc<StoredPolicy>> {
        &mut world.policies
    }
    fn concerned(&self, world: &mut World, place: &Place, old: Option<&Arc<StoredPolicy>>) -> Wake {
        let key = PolicyKey { namespace: place.namespace.clone(), name: place.name.clone() };
        let new = world.policies.get(&key.namespace, &key.name);
        if new.is_none() {
            self.0.forget(&key);
        }
        let mut woken = match (old, new) {
            // Only its status changed: nobody else's business.
            (Some(old), Some(new)) if (&old.uid, old.generation) == (&new.uid, new.generation) => Wake::new(),
            _ => world.policy_changed(&key),
        };
        woken.insert(key);
        woken
    }
}

/// `ImagePins`.
pub struct Pins;

impl Collection for Pins {
    type Wire = Value;
    type Kept = PinEntry;

    fn watch(&self) -> Watch {
        Watch::Pins
    }
    fn paths(&self) -> Vec<String> {
        vec![own::path("imagepins")]
    }
    fn trim(&self, object: Value) -> Option<(Place, PinEntry)> {
        let (meta, entry) = own::pin(&object)?;
        Some((Place::of(&meta), entry))
    }
    fn shelf<'a>(&self, world: &'a mut World) -> &'a mut Shelf<PinEntry> {
        &mut world.pins
    }
    fn concerned(&self, world: &mut World, place: &Place, old: Option<&PinEntry>) -> Wake {
        let new = world.pins.get(&place.namespace, &place.name);
        old.into_iter().chain(new).map(PinEntry::policy).collect()
    }
}

/// Quarantines.
pub struct Quarantines;

impl Collection for Quarantines {
    type Wire = Value;
    type Kept = QuarantineSeen;

    fn watch(&self) -> Watch {
        Watch::Quarantines
    }
    fn paths(&self) -> Vec<String> {
        vec![own::path("quarantines")]
    }
    fn trim(&self, object: Value) -> Option<(Place, QuarantineSeen)> {
        let (meta, seen) = own::quarantine(&object)?;
        Some((Place::of(&meta), seen))
    }
    fn shelf<'a>(&self, world: &'a mut World) -> &'a mut Shelf<QuarantineSeen> {
        &mut world.quarantines
    }
    fn concerned(&self, world: &mut World, place: &Place, _: Option<&QuarantineSeen>) -> Wake {
        world.policies_of(&place.namespace)
    }
}

/// Interventions.
pub struct Interventions;

impl Collection for Interventions {
    type Wire = Value;
    type Kept = InterventionEntry;

    fn watch(&self) -> Watch {
        Watch::Interventions
    }
    fn paths(&self) -> Vec<String> {
        vec![own::path("interventions")]
    }
    fn trim(&self, object: Value) -> Option<(Place, InterventionEntry)> {
        let (meta, entry) = own::intervention(&object)?;
        Some((Place::of(&meta), entry))
    }
    fn shelf<'a>(&self, world: &'a mut World) -> &'a mut Shelf<InterventionEntry> {
        &mut world.interventions
    }
    fn concerned(&self, world: &mut World, place: &Place, old: Option<&InterventionEntry>) -> Wake {
        let new = world.interventions.get(&place.namespace, &place.name);
        let either: Vec<&InterventionEntry> = old.into_iter().chain(new).collect();
        let concerned = |stored: &StoredPolicy| {
            let (key, own) = (&stored.key, &world.own_namespace);
            either.iter().any(|entry| entry.object.concerns(&key.namespace, &key.name, &stored.uid, own))
        };
        let all = world.policies.iter().filter(|(_, _, stored)| concerned(stored));
        all.map(|(_, _, stored)| stored.key.clone()).collect()
    }
}
