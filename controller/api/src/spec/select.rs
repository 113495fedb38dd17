//! `spec.select` as it is on the wire.

use super::SecretRef;
use crate::{bounds, schema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which tag is the candidate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [schema::rule(
    "[has(self.semver), has(self.alphabetical), has(self.numerical), has(self.newestBuild), has(self.digest)]\
     .filter(x, x).size() == 1",
    "exactly one of semver, alphabetical, numerical, newestBuild and digest says how the candidate is chosen; set one \
     of them",
), schema::rule(
    "!has(self.filterTags) || !has(self.digest)",
    "filterTags has no meaning with digest, which follows one tag; remove one of them",
)]))]
pub struct Select {
    /// The highest version in a range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub semver: Option<SemverSelection>,
    /// The last tag, or the first, in the order of text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alphabetical: Option<TextSelection>,
    /// The tag with the largest number, or the smallest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numerical: Option<NumberSelection>,
    /// The image that was built last, by the date in its config.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest_build: Option<BuildSelection>,
    /// Whatever one mutable tag names: every new contents is a candidate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<DigestSelection>,
    /// Which tags are looked at, and which part of them is the version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter_tags: Option<FilterTags>,
    /// Regular expressions of tags that are never candidates; they win over filterTags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 512)))]
    pub ignore_tags: Vec<String>,
    /// Platforms a candidate must be built for, such as linux/arm64. Without it: what the targets' nodes run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 3, max = 100)))]
    pub platforms: Vec<String>,
    /// How old a release must be before it enters the first stage, by the controller's own first-seen clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 20))]
    #[schemars(extend("x-kubernetes-validations" = schema::duration(bounds::RELEASE_AGE)))]
    pub minimum_release_age: Option<String>,
    /// What happens when the version that runs falls out of the range: false holds as `OutOfRange`, true goes down
    /// stage by stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_downgrade: Option<bool>,
    /// Whose signature a release must have before it enters a stage. Without it: nobody's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify: Option<Verify>,
}

/// Whose signature a release must have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verify {
    /// A signature as cosign makes it, of the very digest that is pinned, beside the image in `spec.image`: bundles by the
    /// registry's referrers or the tag that stands for them, and the older .sig tags.
    pub cosign: Cosign,
    /// Whether what a rollback returns to must be signed, too. Without it: false, what ran here once may run again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_rollback: Option<bool>,
}

/// Who signs: exactly one of `secretRef` and `keyless`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [schema::rule(
    "has(self.secretRef) != has(self.keyless)",
    "says who signs by exactly one of secretRef (public keys) and keyless (an identity); set one of them",
)]))]
pub struct Cosign {
    /// A Secret of the policy's namespace, read as its `ServiceAccount`. Each of its keys that ends in .pub holds a public
    /// key in PEM form (ECDSA P-256), such as cosign.pub; a signature by any of them counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
    /// Whoever an identity provider vouched for when the release was signed, by a certificate of Fulcio and an entry in
    /// the log of Rekor; the trusted root is the controller's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keyless: Option<Keyless>,
}

/// An identity. Issuer and subject are both needed, each exactly or by a regular expression that matches all of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [schema::rule(
    "has(self.issuer) != has(self.issuerRegExp)",
    "needs exactly one of issuer and issuerRegExp: without the identity provider anybody's word counts; set one of them",
), schema::rule(
    "has(self.subject) != has(self.subjectRegExp)",
    "needs exactly one of subject and subjectRegExp: without it everybody whom the issuer knows may sign; set one of them",
)]))]
pub struct Keyless {
    /// The identity provider, such as <https://token.actions.githubusercontent.com>.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub issuer: Option<String>,
    /// The same as a regular expression (RE2 syntax) that must match all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500))]
    pub issuer_reg_exp: Option<String>,
    /// Who signs: an e-mail address, or a URL such as that of a workflow with its branch or tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub subject: Option<String>,
    /// The same as a regular expression (RE2 syntax) that must match all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500))]
    pub subject_reg_exp: Option<String>,
}

/// The highest version in a range.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SemverSelection {
    /// A range as Flux, Argo CD Image Updater and Kargo read it, such as >=0.28.0 or 1.2.x || ^2.
    #[schemars(length(min = 1, max = 256))]
    pub range: String,
}

/// Which end of an order is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TagOrder {
    /// The last in ascending order.
    #[default]
    Asc,
    /// The first in ascending order.
    Desc,
}

/// By text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TextSelection {
    /// asc takes the last in ascending order, desc the first. Without it: asc.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<TagOrder>,
}

/// By value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NumberSelection {
    /// asc takes the largest number, desc the smallest. Without it: asc.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<TagOrder>,
}

/// By date of build.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BuildSelection {
    /// How many of the tags that pass the filters have their configs read, the newest by their text first. Without
    /// it: 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 200))]
    pub discovery_limit: Option<u32>,
}

/// Whatever one mutable tag names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DigestSelection {
    /// The tag, such as latest.
    #[schemars(length(min = 1, max = 128))]
    #[schemars(extend("x-kubernetes-validations" = [schema::rule(
        "self.matches('^[A-Za-z0-9_][A-Za-z0-9_.-]*$')",
        "must be a tag: letters, digits, _, . and -, not starting with . or -",
    )]))]
    pub tag: String,
}

/// Which tags are looked at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FilterTags {
    /// A regular expression (RE2 syntax, not anchored) that a tag must match.
    #[schemars(length(min = 1, max = 512))]
    pub pattern: String,
    /// What of the tag is the version: text with $1, $name or ${name}. Without it: the whole tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub extract: Option<String>,
}
