//! Whether pods are pinned at birth: the admission policy and its binding. Who keeps them is told of every change.

use super::{
    collection::{Collection, Wake},
    shelf::{Place, Shelf},
    world::{Watch, World},
};
use crate::kubernetes::birth::plan::Version;
use lockkeeper_api::names;
use lockkeeper_core::observed::{BirthForm, BirthPinning};
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::Notify;

/// Mutating admission policies: whether one has `ImagePins` as its parameters.
#[derive(Default)]
pub struct AdmissionPolicies(pub Arc<Notify>);

/// Bindings of mutating admission policies: which policy they bind.
#[derive(Default)]
pub struct AdmissionBindings(pub Arc<Notify>);

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
        self.0.notify_one();
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
        self.0.notify_one();
        let new = world.admission_bindings.get("", &place.name);
        if old.is_some() && old == new { Wake::new() } else { world.all_policies() }
    }
}

impl World {
    /// Whether a mechanism pins pods at birth; none while that is not known.
    #[must_use]
    pub fn birth_pinning(&self) -> Option<BirthPinning> {
        let stale = self.stale_watches();
        if stale.contains_key(&Watch::AdmissionPolicies) || stale.contains_key(&Watch::AdmissionBindings) {
            return None;
        }
        let bound = |policy: &str| self.admission_bindings.in_namespace("").any(|(_, bound)| bound == policy);
        let mut policies = self.admission_policies.in_namespace("").filter(|(_, pins)| **pins);
        let installed = policies.any(|(name, _)| bound(name));
        let policy = match self.birth_policy {
            Some(Version::V1beta1) => BirthForm::V1beta1,
            _ => BirthForm::V1,
        };
        let by = installed.then_some(policy).or_else(|| self.birth_webhook.then_some(BirthForm::Webhook));
        Some(by.map_or(BirthPinning::Missing, BirthPinning::By))
    }
}
