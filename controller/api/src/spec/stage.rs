//! `spec.stages` as they are on the wire.

use super::git::{GitTarget, Observe};
use crate::{bounds, schema};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An environment with targets, gates before it and health while it soaks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [schema::rule(
    "!has(self.soak) || !has(self.maxSoak) || duration(self.maxSoak) >= duration(self.soak)",
    "maxSoak must be at least soak, or no release could ever be verified; lengthen it",
)]))]
pub struct Stage {
    /// Its name, unique in the policy.
    #[schemars(length(min = 1, max = 63))]
    #[schemars(extend("x-kubernetes-validations" = schema::label_name("stage")))]
    pub name: String,
    /// The stages above that must have verified a release before it enters here; an empty list means none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::STAGES), inner(length(min = 1, max = 63)))]
    pub after: Option<Vec<String>>,
    /// What is pinned.
    #[schemars(length(min = 1, max = bounds::TARGETS))]
    pub targets: Vec<Target>,
    /// Healthy time over the whole stage before a release is verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 20))]
    #[schemars(extend("x-kubernetes-validations" = schema::duration(bounds::SOAK)))]
    pub soak: Option<String>,
    /// Longest wall time of a soak; then the stage is Blocked (Inconclusive).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 20))]
    #[schemars(extend("x-kubernetes-validations" = schema::duration(bounds::SOAK)))]
    pub max_soak: Option<String>,
    /// People who must approve a release before it enters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// When a release may be given to this stage. Without any: always.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::WINDOWS))]
    pub windows: Vec<Window>,
    /// The parts of the stage that get the release first; an empty list means none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::WAVES))]
    pub waves: Option<Vec<Wave>>,
    /// Who takes a release back. Automatic: the controller. Recommend: a person, told with evidence and the command.
    /// Manual: a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["Automatic", "Recommend", "Manual"]))]
    pub rollback: Option<String>,
    /// What happens to pods that run other contents than the stage should. Report: it is said. Repair: they are put
    /// right within the budgets.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["Report", "Repair"]))]
    pub drift: Option<String>,
}

/// People who must approve a release before it enters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// How many distinct people.
    #[schemars(range(min = 1, max = bounds::APPROVALS))]
    pub required: i64,
}

/// A recurring span of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// When it begins: minute, hour, day of month, month, day of week, such as 0 9 * * MON-THU.
    #[schemars(length(min = 9, max = 100))]
    pub cron: String,
    /// How long it lasts.
    #[schemars(length(min = 2, max = 20))]
    #[schemars(extend("x-kubernetes-validations" = schema::duration(bounds::WINDOW)))]
    pub duration: String,
    /// Where the clock hangs: an IANA name such as `America/New_York`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: Option<String>,
    /// Allow: releases enter only within (one of) these. Deny: nothing enters within these; they win.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["Allow", "Deny"]))]
    pub kind: Option<String>,
}

/// A part of the stage that gets the release before the rest does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Wave {
    /// How many pods have the release when this wave is complete: a number, or a share of the Ready pods such as 25%,
    /// rounded up.
    #[schemars(schema_with = "amount")]
    pub pods: IntOrString,
    /// Healthy time before the next wave.
    #[schemars(length(min = 2, max = 20))]
    #[schemars(extend("x-kubernetes-validations" = schema::duration(bounds::SOAK)))]
    pub soak: String,
}

/// One thing that is pinned.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [schema::rule(
    "(has(self.pods) ? 1 : 0) + (has(self.workloads) ? 1 : 0) + (has(self.git) ? 1 : 0) == 1",
    "a target is exactly one of pods, workloads and git; set one of them, and make another target for the others",
), schema::rule(
    "has(self.git) == has(self.observe)",
    "observe names the pods that a git target's files lead to; give it with git, and with nothing else",
)]))]
pub struct Target {
    /// Pods, wherever they came from: at birth and in place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods: Option<PodsTarget>,
    /// Pod templates; their pods get the waves in place before the template is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workloads: Option<WorkloadsTarget>,
    /// Files of a repository, which another tool applies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git: Option<GitTarget>,
    /// With `git`: the pods that its files lead to. The waves are made on them in place, where the policy's
    /// account may patch pods; the soak over the whole stage starts when all of them have the release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observe: Option<Observe>,
}

/// The pods that match, the containers that run one of the policy's repositories.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = namespaces_rule()))]
pub struct PodsTarget {
    /// Namespaces by name. With neither this nor namespaceSelector: the policy's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::NAMESPACES), inner(length(min = 1, max = 63)))]
    pub namespaces: Vec<String>,
    /// Namespaces by label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// The pods.
    pub selector: LabelSelector,
    /// Names of the containers, where the repository is not enough to tell them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::CONTAINERS), inner(length(min = 1, max = 63)))]
    pub containers: Vec<String>,
    /// `InPlace`: running pods are moved, too. `AtBirth`: only new pods get the release.
    #[serde(rename = "move", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["InPlace", "AtBirth"]))]
    pub movement: Option<String>,
    /// Pods of each owning workload that may be unready at once: a number, or a share such as 25%, rounded down but
    /// at least one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "amount")]
    pub max_unavailable: Option<IntOrString>,
    /// Pods of the whole stage that may be on the move at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = bounds::MOVING))]
    pub max_moving: Option<i64>,
}

/// Kinds with a pod template.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = namespaces_rule()))]
pub struct WorkloadsTarget {
    /// Namespaces by name. With neither this nor namespaceSelector: the policy's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::NAMESPACES), inner(length(min = 1, max = 63)))]
    pub namespaces: Vec<String>,
    /// Namespaces by label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// The workloads, by their own labels.
    pub selector: LabelSelector,
    /// Names of the containers, where the repository is not enough to tell them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::CONTAINERS), inner(length(min = 1, max = 63)))]
    pub containers: Vec<String>,
    /// Which kinds, as Kind or Kind.group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::KINDS), inner(length(min = 1, max = 316)))]
    pub kinds: Vec<String>,
    /// Pods of each workload that may be unready at once: a number, or a share such as 25%, rounded down but at least
    /// one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "amount")]
    pub max_unavailable: Option<IntOrString>,
    /// Pods of the whole stage that may be on the move at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = bounds::MOVING))]
    pub max_moving: Option<i64>,
}

/// Objects by their labels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LabelSelector {
    /// Labels, all of which must match. At least one.
    #[schemars(schema_with = "labels")]
    pub match_labels: BTreeMap<String, String>,
}

pub(super) fn namespaces_rule() -> serde_json::Value {
    serde_json::json!([schema::rule(
        "!has(self.namespaces) || !has(self.namespaceSelector)",
        "namespaces are either named or selected by label; remove namespaces or namespaceSelector",
    )])
}

fn labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "minProperties": 1,
        "maxProperties": bounds::LABELS,
        "additionalProperties": { "type": "string", "maxLength": 63 },
    })
}

/// A number, or a share. A CEL rule over both kinds would be charged for the longest request there can be, so the
/// pattern speaks for itself.
fn amount(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "x-kubernetes-int-or-string": true,
        "minimum": 1,
        "maximum": bounds::PODS,
        "pattern": "^([1-9][0-9]?|100)%$",
    })
}
