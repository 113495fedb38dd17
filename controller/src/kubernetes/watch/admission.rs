//! Whether pods are pinned at birth: the admission policy and its binding.

use super::{
    collection::{Collection, Wake},
    shelf::{Place, Shelf},
    world::{Watch, World},
};
use lockkeeper_api::names;
use serde_json::Value;

/// Mutating admission policies: whether one has `ImagePins` as its parameters.
pub struct AdmissionPolicies;

/// Bindings of mutating admission policies: which policy they bind.
pub struct AdmissionBindings;

/// v1 is served since Kubernetes 1.36.
fn admission_paths(plural: &str) -> Vec<String> {
    ["v1", "v1beta1"]
        .iter()
        .map(|version| format!("/apis/admissionregistration.k8s.io/{version}/{plural}"))
        .collect()
}

impl Collection for AdmissionPolicies {
    type Wire = Value;
    type Kept = bool;

    fn watch(&self) -> Watch {
        Watch::AdmissionPolicies
    }
    fn paths(&self) -> Vec<String> {
        admission_paths("mutatingadmissionpolicies")
    }
    fn may_be_absent(&self) -> bool {
        true
    }
    fn trim(&self, object: Value) -> Option<(Place, bool)> {
        let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let pins = text("/spec/paramKind/kind") == "ImagePin"
            && text("/spec/paramKind/apiVersion").starts_with(&format!("{}/", names::GROUP));
        Some((Self::place(&object)?, pins))
    }
    fn shelf<'a>(&self, world: &'a mut World) -> &'a mut Shelf<bool> {
        &mut world.admission_policies
    }
    fn concerned(&self, world: &mut World, place: &Place, old: Option<&bool>) -> Wake {
        let new = world.admission_policies.get("", &place.name);
        if old.is_some() && old == new { Wake::new() } else { world.all_policies() }
    }
}

impl Collection for AdmissionBindings {
    type Wire = Value;
    type Kept = String;

    fn watch(&self) -> Watch {
        Watch::AdmissionBindings
    }
    fn paths(&self) -> Vec<String> {
        admission_paths("mutatingadmissionpolicybindings")
    }
    fn may_be_absent(&self) -> bool {
        true
    }
    fn trim(&self, object: Value) -> Option<(Place, String)> {
        let policy = object.pointer("/spec/policyName")?.as_str()?.to_owned();
        Some((Self::place(&object)?, policy))
    }
    fn shelf<'a>(&self, world: &'a mut World) -> &'a mut Shelf<String> {
        &mut world.admission_bindings
    }
    fn concerned(&self, world: &mut World, place: &Place, old: Option<&String>) -> Wake {
        let new = world.admission_bindings.get("", &place.name);
        if old.is_some() && old == new { Wake::new() } else { world.all_policies() }
    }
}
