//! The parts of Kubernetes objects that are read, as they are on the wire.
//!
//! Guarantees: what is not named here is skipped while parsing and never kept; every field may be missing. Assumes
//! the API server's own types were validated by it. Kinds that people define are read leniently elsewhere.

use jiff::Timestamp;
use serde::{Deserialize, de::IgnoredAny};
use std::collections::BTreeMap;

/// The kubelet's mark on mirror pods.
pub const MIRROR: &str = "kubernetes.io/config.mirror";

/// `metadata`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    /// Name.
    pub name: String,
    /// Namespace, empty for cluster-wide objects.
    pub namespace: String,
    /// uid.
    pub uid: String,
    /// resourceVersion.
    pub resource_version: String,
    /// Generation.
    pub generation: Option<i64>,
    /// Creation.
    pub creation_timestamp: Option<Timestamp>,
    /// Set while it is being deleted.
    pub deletion_timestamp: Option<Timestamp>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations; none if the object has no such map.
    pub annotations: Option<BTreeMap<String, String>>,
    /// Owners.
    pub owner_references: Vec<OwnerRef>,
}

impl Meta {
    /// One annotation.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&String> {
        self.annotations.as_ref()?.get(key)
    }

    /// The owner that controls this object.
    #[must_use]
    pub fn controller(&self) -> Option<&OwnerRef> {
        self.owner_references.iter().find(|owner| owner.controller)
    }
}

/// One of `metadata.ownerReferences`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerRef {
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Whether it is the one that controls the object.
    pub controller: bool,
}

/// An object of which only metadata counts.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct OnlyMeta {
    /// `metadata`.
    pub metadata: Meta,
}

/// A Pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// `metadata`.
    pub metadata: Meta,
    /// `spec`.
    pub spec: PodSpec,
    /// `status`.
    pub status: PodStatus,
}

/// `spec` of a Pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// Where it runs.
    pub node_name: String,
    /// `Always`, `OnFailure` or `Never`.
    pub restart_policy: String,
    /// Containers.
    pub containers: Vec<Container>,
    /// Init containers, native sidecars among them.
    pub init_containers: Vec<Container>,
}

/// A container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Name.
    pub name: String,
    /// Image.
    pub image: String,
    /// `Always` makes an init container a native sidecar.
    pub restart_policy: Option<String>,
}

/// `status` of a Pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// Phase.
    pub phase: String,
    /// Conditions.
    pub conditions: Vec<PodCondition>,
    /// Of `spec.containers`.
    pub container_statuses: Vec<ContainerStatus>,
    /// Of `spec.initContainers`.
    pub init_container_statuses: Vec<ContainerStatus>,
}

/// A pod's condition.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PodCondition {
    /// Which.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False`, `Unknown`.
    pub status: String,
}

/// What the kubelet says of one container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus {
    /// Name.
    pub name: String,
    /// Ready.
    pub ready: bool,
    /// Restarts; negative never occurs, the API's type is signed.
    pub restart_count: i64,
    /// The container that the state speaks of.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// What it runs.
    #[serde(rename = "imageID")]
    pub image_id: String,
    /// Now.
    pub state: State,
    /// Before.
    pub last_state: State,
}

/// A container's state: at most one of these is set.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct State {
    /// It runs.
    pub running: Option<IgnoredAny>,
    /// It waits.
    pub waiting: Option<Waiting>,
    /// It ended.
    pub terminated: Option<Terminated>,
}

/// Why a container waits.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Waiting {
    /// Such as `CrashLoopBackOff`.
    pub reason: String,
}

/// How a container ended.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Terminated {
    /// Exit code.
    pub exit_code: i32,
    /// Such as `Error` or `OOMKilled`.
    pub reason: String,
    /// What the container wrote into its termination message, or its last lines of log where it asks for that.
    pub message: String,
    /// When.
    pub finished_at: Option<Timestamp>,
    /// Which container.
    #[serde(rename = "containerID")]
    pub container_id: String,
}

/// A Namespace.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Namespace {
    /// `metadata`.
    pub metadata: Meta,
    /// `status`.
    pub status: Phase,
}

/// A status of which only the phase counts.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Phase {
    /// Phase.
    pub phase: String,
}

/// A `PodDisruptionBudget`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Budget {
    /// `metadata`.
    pub metadata: Meta,
    /// `spec`.
    pub spec: BudgetSpec,
    /// `status`.
    pub status: BudgetStatus,
}

/// `spec` of a budget.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct BudgetSpec {
    /// Which pods; none selects nothing, an empty one all.
    pub selector: Option<Selector>,
}

/// `status` of a budget.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BudgetStatus {
    /// How many pods may be disrupted now; none until its controller has looked.
    pub disruptions_allowed: Option<i64>,
}

/// A label selector.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Selector {
    /// All of these.
    pub match_labels: BTreeMap<String, String>,
    /// And all of these.
    pub match_expressions: Vec<Requirement>,
}

/// One requirement of a selector.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// `In`, `NotIn`, `Exists`, `DoesNotExist`.
    pub operator: String,
    /// Values of `In` and `NotIn`.
    pub values: Vec<String>,
}

impl Selector {
    /// Whether these labels are selected. An operator that is not known selects, so that a budget is never missed.
    #[must_use]
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        has_all(labels, &self.match_labels)
            && self.match_expressions.iter().all(|r| {
                let value = labels.get(&r.key);
                match r.operator.as_str() {
                    "In" => value.is_some_and(|v| r.values.contains(v)),
                    "NotIn" => value.is_none_or(|v| !r.values.contains(v)),
                    "Exists" => value.is_some(),
                    "DoesNotExist" => value.is_none(),
                    _ => true,
                }
            })
    }
}

/// Whether `labels` has every one of `wanted`.
#[must_use]
pub fn has_all(labels: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_follow_the_api() {
        let labels = BTreeMap::from([("app".to_owned(), "a".to_owned())]);
        for (selector, selected) in [
            (r"{}", true),
            (r#"{"matchLabels":{"app":"a"}}"#, true),
            (r#"{"matchLabels":{"app":"b"}}"#, false),
            (r#"{"matchExpressions":[{"key":"app","operator":"In","values":["a","b"]}]}"#, true),
            (r#"{"matchExpressions":[{"key":"app","operator":"NotIn","values":["a"]}]}"#, false),
            (r#"{"matchExpressions":[{"key":"x","operator":"NotIn","values":["a"]}]}"#, true),
            (r#"{"matchExpressions":[{"key":"x","operator":"Exists"}]}"#, false),
            (r#"{"matchExpressions":[{"key":"x","operator":"DoesNotExist"}]}"#, true),
        ] {
            let parsed: Selector = serde_json::from_str(selector).unwrap();
            assert_eq!(parsed.selects(&labels), selected, "{selector}");
        }
    }
}
