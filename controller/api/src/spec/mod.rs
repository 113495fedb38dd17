//! `ImagePolicy` as it is on the wire.
//!
//! Every scalar is kept as the text a person wrote: a value that no schema would take today still decodes, so that
//! it becomes a message about one field of one policy and never an error of the whole list. Only
//! [`parse`](crate::parse) gives these texts a meaning.

mod git;
mod health;
mod notify;
mod select;
mod signal;
mod stage;

pub use git::{
    GitAuthor, GitCommit, GitEdit, GitTarget, HelmValuesEdit, KustomizeEdit, MarkerEdit, Observe,
    ObservedPods, PathEdit, PullRequest,
};
pub use health::{Health, Require};
pub use notify::{Channel, Notifier};
pub use select::{
    BuildSelection, Cosign, DigestSelection, FilterTags, Keyless, NumberSelection, Select, SemverSelection,
    TagOrder, TextSelection, Verify,
};
pub use signal::{CloudWatch, Compare, Datadog, Job, Judge, Metric, Prometheus, Signal};
use stage::namespaces_rule;
pub use stage::{Approval, LabelSelector, PodsTarget, Stage, Target, Wave, Window, WorkloadsTarget};

use crate::{bounds, schema, status::PolicyStatus};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Says everything about one image: where its releases are found, which one is wanted, and through which stages it
/// goes.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "lockkeeper.dev",
    version = "v1alpha1",
    kind = "ImagePolicy",
    plural = "imagepolicies",
    singular = "imagepolicy",
    shortname = "lkp",
    category = "lockkeeper",
    namespaced,
    status = "PolicyStatus",
    derive = "PartialEq",
    derive = "Default",
    validation = Rule::new("self.metadata.name.size() <= 63").message("the name of an ImagePolicy has at most 63 characters; choose a shorter one"),
    printcolumn(name = "Image", type_ = "string", json_path = ".spec.image"),
    printcolumn(name = "Stages", type_ = "string", json_path = ".status.summary"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [schema::rule(
    "self.stages.all(i, s, !has(s.after) || s.after.all(a, self.stages.exists(j, p, j < i && p.name == a)))",
    "after may name only stages that stand above in the list; correct the name, or move the stage that is named up",
)]))]
pub struct ImagePolicySpec {
    /// The repository where tags are listed: registry/path, without tag and digest. Immutable.
    #[schemars(length(min = 1, max = bounds::REPOSITORY))]
    #[schemars(extend("x-kubernetes-validations" = schema::immutable_repository()))]
    pub image: String,
    /// Mirrors with the same contents that pods may use; a pin keeps the repository a pod already uses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::MIRRORS), extend("items" = schema::mirror()))]
    pub pull_from: Vec<String>,
    /// How often the registry is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 20))]
    #[schemars(extend("x-kubernetes-validations" = schema::duration(bounds::INTERVAL)))]
    pub interval: Option<String>,
    /// Observe decides and reports everything and writes nothing to targets; Enforce writes, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["Observe", "Enforce"]))]
    pub mode: Option<String>,
    /// Stops all writes to targets; the Ready condition says what is left half-way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
    /// What becomes of the pins when the policy is deleted. Retain: they stay, marked Orphaned. Release: they go.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["Retain", "Release"]))]
    pub deletion_policy: Option<String>,
    /// How the registry is reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registry: Option<Registry>,
    /// Which tag is the candidate.
    pub select: Select,
    /// The `ServiceAccount` of the policy's namespace that every write to targets is made as; its rights in a namespace
    /// are that namespace's consent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[schemars(extend("x-kubernetes-validations" = schema::own_object("ServiceAccount")))]
    pub service_account_name: Option<String>,
    /// The environments a release goes through, upstream first.
    #[schemars(length(min = 1, max = bounds::STAGES))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub stages: Vec<Stage>,
    /// How degradation is judged. Without it restarts and readiness are judged with the defaults.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// Who is told outside of the cluster. Without it: those whom the installation names; an empty list: nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::NOTIFIERS))]
    pub notify: Option<Vec<Notifier>>,
}

/// How the registry is reached.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::provider()))]
pub struct Registry {
    /// A Secret of type kubernetes.io/dockerconfigjson in the policy's namespace, read as its `ServiceAccount`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
    /// A `ServiceAccount` of the policy's namespace whose imagePullSecrets are used, too, in their order, read as the
    /// policy's own `ServiceAccount`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[schemars(extend("x-kubernetes-validations" = schema::own_object("ServiceAccount")))]
    pub pull_secrets_from: Option<String>,
    /// Instead of a Secret: the identity of the policy's `ServiceAccount` in a cloud. aws is for Amazon ECR (private and public),
    /// gcp for Google Artifact Registry, azure for Azure Container Registry; generic is for all others.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["generic", "aws", "gcp", "azure"]))]
    pub provider: Option<String>,
    /// A Secret with `ca.crt` (believed besides the controller's own authorities), or with `tls.crt` and `tls.key`
    /// (shown to the registry), or all three, in PEM form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_secret_ref: Option<SecretRef>,
    /// A Secret with `address` (http://host:port) of the proxy through which the registry is reached, and `username` and
    /// `password` if it asks for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_secret_ref: Option<SecretRef>,
    /// Plain HTTP. The installation must allow it for this host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insecure: Option<bool>,
}

/// A Secret of the policy's namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    #[schemars(extend("x-kubernetes-validations" = schema::own_object("Secret")))]
    pub name: String,
}

impl ImagePolicy {
    /// The `ServiceAccount` of its namespace that the policy acts as.
    #[must_use]
    pub fn service_account(&self) -> &str {
        self.spec.service_account_name.as_deref().unwrap_or("default")
    }

    /// How the registry is reached.
    #[must_use]
    pub fn registry(&self) -> Registry {
        self.spec.registry.clone().unwrap_or_default()
    }

    /// Whether the registry is asked over plain HTTP.
    #[must_use]
    pub fn registry_insecure(&self) -> bool {
        self.registry().insecure.unwrap_or_default()
    }
}
