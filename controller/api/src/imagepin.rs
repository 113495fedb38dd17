//! `ImagePin`: the lock itself, parameter of the admission policy that pins pods at birth.

use crate::{names, parse::hash, schema};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kube::{CustomResource, ResourceExt};
use lockkeeper_core::{
    observed::{ClusterId, ObjectKey, PinSeen},
    pin::PinSpec,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the API server gives to new pods of its namespace. Written by the controller.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "lockkeeper.dev",
    version = "v1alpha1",
    kind = "ImagePin",
    plural = "imagepins",
    singular = "imagepin",
    shortname = "pin",
    category = "lockkeeper",
    namespaced,
    status = "ImagePinStatus",
    derive = "PartialEq",
    printcolumn(name = "Policy", type_ = "string", json_path = ".spec.policy.name"),
    printcolumn(name = "Stage", type_ = "string", json_path = ".spec.stage"),
    printcolumn(name = "Tag", type_ = "string", json_path = ".spec.tag"),
    printcolumn(name = "Digest", type_ = "string", json_path = ".spec.digest"),
    printcolumn(
        name = "Orphaned",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Orphaned\")].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(transparent)]
#[schemars(extend("x-kubernetes-validations" = [
    schema::rule(
        "self.policy.__namespace__ == oldSelf.policy.__namespace__ && self.policy.name == oldSelf.policy.name",
        "policy is immutable: a pin belongs to the policy it was made for; make another pin",
    ),
    schema::rule(
        "self.stage == oldSelf.stage",
        "stage is immutable: a pin belongs to the stage it was made for; make another pin",
    ),
]))]
pub struct ImagePinSpec(pub PinSpec);

/// What became of a pin.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ImagePinStatus {
    /// `Orphaned`: its policy is gone and it was told to stay.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

impl ImagePin {
    /// A pin as the controller writes it: marked with the hash of its spec.
    #[must_use]
    pub fn written(namespace: &str, name: &str, spec: PinSpec) -> Self {
        let written = (names::WRITTEN.to_owned(), spec_hash(&spec));
        Self {
            metadata: ObjectMeta {
                namespace: Some(namespace.to_owned()),
                name: Some(name.to_owned()),
                annotations: Some(BTreeMap::from([written])),
                ..ObjectMeta::default()
            },
            spec: ImagePinSpec(spec),
            status: None,
        }
    }

    /// The pin as the core sees it.
    ///
    /// A `manual-until` that is no time counts as none: [`manual_until`](Self::manual_until) says what is wrong.
    #[must_use]
    pub fn seen(&self) -> PinSeen {
        let annotated = self.annotations().get(names::WRITTEN);
        PinSeen {
            key: ObjectKey {
                cluster: ClusterId::default(),
                namespace: self.namespace().unwrap_or_default(),
                name: self.name_any(),
                uid: self.uid().unwrap_or_default(),
            },
            resource_version: self.resource_version().unwrap_or_default(),
            spec: self.spec.0.clone(),
            as_written: annotated == Some(&spec_hash(&self.spec.0)),
            manager: self.last_manager(),
            manual_until: self.manual_until().ok().flatten(),
            malformed: self.manual_until().err().map(|error| error.to_string()),
            orphaned: self.orphaned(),
        }
    }

    /// It says that nothing stands behind it, in annotation and condition.
    fn orphaned(&self) -> bool {
        let conditions = self.status.iter().flat_map(|status| &status.conditions);
        self.annotations().contains_key(names::ORPHANED)
            && conditions.into_iter().any(|c| c.type_ == "Orphaned" && c.status == "True")
    }

    /// Until when a person's edit is obeyed; the error says which annotation is wrong and how to write it.
    pub fn manual_until(&self) -> Result<Option<Timestamp>, crate::FieldError> {
        let Some(text) = self.annotations().get(names::MANUAL_UNTIL) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| {
            crate::FieldError::new(
                format!("metadata.annotations[{}]", names::MANUAL_UNTIL),
                text,
                "is no time",
                "write it as 2026-11-22T18:00:00Z, or remove the annotation",
            )
        })
    }

    /// The field manager that changed the spec last.
    fn last_manager(&self) -> Option<String> {
        self.managed_fields()
            .iter()
            .filter(|entry| entry.subresource.as_deref().unwrap_or_default().is_empty())
            .filter(|entry| entry.fields_v1.as_ref().is_some_and(|fields| fields.0.get("f:spec").is_some()))
            .max_by_key(|entry| entry.time.as_ref().map(|time| time.0))
            .and_then(|entry| entry.manager.clone())
    }
}

/// The hash of a pin's spec: sixteen hex digits.
#[must_use]
pub fn spec_hash(spec: &PinSpec) -> String {
    let PinSpec {
        match_labels,
        containers,
        repositories,
        only_tags,
        tag,
        digest,
        policy,
        stage,
        deletion_policy,
    } = spec;
    // A list: the order of keys in a map would depend on how serde_json is built.
    hash::short(&serde_json::json!([
        match_labels.iter().collect::<Vec<_>>(),
        containers,
        repositories,
        only_tags,
        tag,
        digest,
        [&policy.namespace, &policy.name, &policy.uid],
        stage,
        deletion_policy,
    ]))
}
