//! The lock itself: what an `ImagePin` says, and when two of them may meet.

use crate::image::{Digest, Tag};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the API server gives to new pods of its namespace: the parameters of the admission policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PinSpec {
    /// Labels of the pods, all of which must match.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 16))]
    #[schemars(extend("additionalProperties" = {"type": "string", "maxLength": 63}))]
    pub match_labels: BTreeMap<String, String>,
    /// Names of the containers; absent means every container of these repositories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), inner(length(max = 63)))]
    pub containers: Option<Vec<String>>,
    /// Repositories, in every spelling that pods may use.
    #[schemars(length(min = 1, max = 64), inner(length(max = 512)))]
    pub repositories: Vec<String>,
    /// Only images with these tags and no digest; absent means every image of these repositories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), inner(length(max = 128)))]
    pub only_tags: Option<Vec<Tag>>,
    /// The tag that is written beside the digest; absent for a mutable one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    /// What they are given.
    pub digest: Digest,
    /// The policy that holds this pin.
    pub policy: PinOwner,
    /// The stage that holds this pin.
    #[schemars(length(max = 63))]
    pub stage: String,
    /// What becomes of this pin when the policy is deleted.
    pub deletion_policy: PinDeletion,
}

/// Whose pin it is. Copied here so that a pin outlives its policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PinOwner {
    /// Namespace.
    #[schemars(length(max = 63))]
    pub namespace: String,
    /// Name.
    #[schemars(length(max = 253))]
    pub name: String,
    /// uid.
    #[schemars(length(max = 64))]
    pub uid: String,
}

/// What becomes of a pin when its policy is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PinDeletion {
    /// It stays, marked Orphaned.
    Retain,
    /// It goes.
    Release,
}
