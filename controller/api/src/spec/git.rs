//! `git` targets as they are on the wire.

use super::{LabelSelector, SecretRef};
use crate::{bounds, schema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Files of a repository that name the image. What was decided is pushed to the branch, as one commit for everything
/// that is due there; a push is never forced.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GitTarget {
    /// The repository: `https://host/path` without a user, or `ssh://user@host/path`; without query and fragment.
    #[schemars(length(min = 10, max = bounds::ADDRESS))]
    #[schemars(extend("x-kubernetes-validations" = [schema::rule(
        "self.matches('^(https://|ssh://[A-Za-z0-9._][A-Za-z0-9._-]*@)[A-Za-z0-9.:_\\\\[\\\\]-]+/[A-Za-z0-9._~/-]+$')",
        "must be https:// with a host, an optional port and a path, or ssh:// with a user before the host, without password, \
         query and fragment; put credentials into a Secret and name it in secretRef",
    )]))]
    pub url: String,
    /// The branch that is read and pushed to.
    #[schemars(length(min = 1, max = bounds::PATH))]
    pub branch: String,
    /// A Secret of the policy's namespace, read as its `ServiceAccount`: `username` and `password`, or `token`; `ca.crt`
    /// for an authority of its own, which then is the only one that is believed. For ssh: `identity`, a private key without a
    /// passphrase, and `known_hosts`, the only keys of the server that are believed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
    /// What is edited. Every byte that is not the pin stays; whatever is not certain is refused.
    #[schemars(length(min = 1, max = bounds::EDITS))]
    pub edits: Vec<GitEdit>,
    /// What the commits are like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<GitCommit>,
    /// The branch is changed by a request that somebody merges, one for each policy and stage. Without this it is pushed to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<PullRequest>,
}

/// A request to merge. It comes from a branch of its own, which is pushed to with the target's credential, and is brought up
/// to date where it is. The stage waits until it is merged; closing it rejects the release for the stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [schema::rule(
    "self.provider != 'bitbucket' || (!has(self.labels) && !has(self.autoMerge))",
    "Bitbucket has neither labels nor a merge by itself; remove labels and autoMerge",
)]))]
pub struct PullRequest {
    /// Whose interface the forge speaks: gitea is Forgejo, too; bitbucket is Bitbucket Cloud.
    #[schemars(extend("enum" = ["github", "gitlab", "gitea", "bitbucket", "azuredevops"]))]
    pub provider: String,
    /// The interface's address, where it does not follow from the repository's: https:// with a host and a path, such as
    /// `https://git.example.com/forge/api/v1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 10, max = bounds::ADDRESS))]
    #[schemars(extend("x-kubernetes-validations" = [schema::rule(
        "self.startsWith('https://')",
        "must begin with https://, and hold no user, query and fragment",
    )]))]
    pub address: Option<String>,
    /// A Secret of the policy's namespace, read as its `ServiceAccount`, with the credential for the interface: `token`, or
    /// `username` and `password`; `ca.crt` for an authority of its own. Without this the target's own Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
    /// What the names of its branches begin with; others follow from namespace, policy, stage and branch. Where two clusters
    /// deliver to one repository, each needs its own. Default: lockkeeper.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub branch_prefix: Option<String>,
    /// Labels that it is given. They have to exist where the forge makes none by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::REQUESTED), inner(length(min = 1, max = 100)))]
    pub labels: Vec<String>,
    /// Who is asked to look at it, by the names that the forge has for them; `organization/team` for a team of GitHub.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::REQUESTED), inner(length(min = 1, max = 100)))]
    pub reviewers: Vec<String>,
    /// The forge merges it by itself, in this way, once its own rules allow that.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["Merge", "Squash", "Rebase"]))]
    pub auto_merge: Option<String>,
}

/// What commits are like.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GitCommit {
    /// What the message says before its trailers: `$(action)`, `$(policy)`, `$(namespace)`, `$(stage)`, `$(image)`, `$(tag)`,
    /// `$(digest)` and `$(attempt)` stand for what they name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = bounds::MESSAGE))]
    pub message: Option<String>,
    /// Who is named as author and committer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<GitAuthor>,
    /// A Secret of the policy's namespace, read as its `ServiceAccount`: `identity`, a private key of ssh without a passphrase,
    /// which signs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signing_secret_ref: Option<SecretRef>,
}

/// Who is named as author and committer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GitAuthor {
    /// The name.
    #[schemars(length(min = 1, max = 100))]
    pub name: String,
    /// The mail address.
    #[schemars(length(min = 1, max = 100))]
    pub email: String,
}

/// One edit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [schema::rule(
    "[has(self.kustomize), has(self.helmValues), has(self.path), has(self.marker)].filter(x, x).size() == 1",
    "an edit is exactly one of kustomize, helmValues, path and marker; set one of them, and make another edit for the others",
)]))]
pub struct GitEdit {
    /// The image's entry in `images` of a kustomization.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kustomize: Option<KustomizeEdit>,
    /// An image in the values of a chart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub helm_values: Option<HelmValuesEdit>,
    /// An image in any file of YAML or JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathEdit>,
    /// The values that comments `{"$imagepolicy": "namespace:name"}` mark for this policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub marker: Option<MarkerEdit>,
}

/// The image's entry in `images` of a kustomization; added where there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KustomizeEdit {
    /// The kustomization's folder, from the root of the repository.
    #[schemars(length(min = 1, max = bounds::PATH))]
    pub path: String,
    /// The name that the manifests use, where it is not the policy's image.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = bounds::REPOSITORY))]
    pub name: Option<String>,
}

/// An image in the values of a chart: one text, or repository, tag and digest apart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HelmValuesEdit {
    /// The file, from the root of the repository.
    #[schemars(length(min = 1, max = bounds::PATH))]
    pub path: String,
    /// Where in it, such as `.sidecar.image`.
    #[schemars(length(min = 1, max = bounds::PATH))]
    pub image: String,
}

/// An image in any file of YAML or JSON: one text, or repository, tag and digest apart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PathEdit {
    /// The file, from the root of the repository.
    #[schemars(length(min = 1, max = bounds::PATH))]
    pub path: String,
    /// Where in it, such as `.spec.containers[?(@.name=="otel")].image`.
    #[schemars(length(min = 1, max = bounds::PATH))]
    pub at: String,
}

/// Values that comments mark.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MarkerEdit {
    /// A file, or a folder with all below it, from the root of the repository.
    #[schemars(length(min = 1, max = bounds::PATH))]
    pub path: String,
}

/// What shows that something else did its part.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Observe {
    /// The pods that the files lead to.
    pub pods: ObservedPods,
}

/// Pods that show what was applied; waves are made on them in place.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = super::namespaces_rule()))]
pub struct ObservedPods {
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
}
