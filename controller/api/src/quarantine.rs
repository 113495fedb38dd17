//! `Quarantine`: contents that no stage of the namespace may be given until a person deletes it.

use crate::{FieldError, parse::Errors, schema};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{CustomResource, ResourceExt};
use lockkeeper_core::{decision::QuarantineDraft, image::Digest, observed::QuarantineSeen};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

const DIGEST: &str = "^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$";

/// Contents that no stage of this namespace may be given again. Deleting it releases them. A person writes `digest`
/// alone; the controller writes all of it.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "lockkeeper.dev",
    version = "v1alpha1",
    kind = "Quarantine",
    plural = "quarantines",
    singular = "quarantine",
    shortname = "quar",
    category = "lockkeeper",
    namespaced,
    derive = "PartialEq",
    printcolumn(name = "Tag", type_ = "string", json_path = ".spec.tag"),
    printcolumn(name = "Digest", type_ = "string", json_path = ".spec.digest"),
    printcolumn(name = "Policy", type_ = "string", json_path = ".spec.policy"),
    printcolumn(name = "Stage", type_ = "string", json_path = ".spec.stage"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".spec.reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    schema::rule(
        "has(self.digest) || has(self.contents)",
        "a Quarantine names what it holds back; set digest to the image's digest, such as sha256: and 64 hex digits",
    ),
    schema::rule(
        "has(self.digest) == has(oldSelf.digest) && (!has(self.digest) || self.digest == oldSelf.digest)",
        "digest is immutable: other contents are another Quarantine; delete this one to release what it holds",
    ),
    schema::rule(
        "!has(oldSelf.contents) || (has(self.contents) && self.contents == oldSelf.contents)",
        "contents are immutable once they are set: other contents are another Quarantine; delete this one to release \
         what it holds",
    ),
]))]
pub struct QuarantineSpec {
    /// The tag it was found under, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub tag: Option<String>,
    /// Any digest of the image: its index, the manifest of a platform, or a config.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 135), regex(pattern = DIGEST))]
    pub digest: Option<String>,
    /// Digests of its platform manifests and their configs: the same contents under another tag or index are held
    /// back, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 128), inner(length(max = 135), regex(pattern = DIGEST)))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub contents: Vec<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub reason: String,
    /// What was seen, as a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 2048))]
    pub evidence: String,
    /// The policy whose evidence this is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub policy: Option<String>,
    /// The stage that was degraded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub stage: Option<String>,
    /// The person who asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub requested_by: Option<String>,
}

impl Quarantine {
    /// The object that a decision asks for.
    #[must_use]
    pub fn from_draft(namespace: &str, draft: &QuarantineDraft) -> Self {
        Self {
            metadata: ObjectMeta {
                namespace: Some(namespace.to_owned()),
                name: Some(draft.name.clone()),
                ..ObjectMeta::default()
            },
            spec: QuarantineSpec {
                tag: draft.tag.as_ref().map(ToString::to_string),
                digest: Some(draft.digest.to_string()),
                contents: draft.contents.iter().take(128).map(ToString::to_string).collect(),
                reason: cut(&draft.reason, 256),
                evidence: cut(&draft.evidence, 2048),
                policy: Some(draft.policy.clone()),
                stage: Some(draft.stage.clone()),
                requested_by: None,
            },
        }
    }

    /// The Quarantine as the core sees it, or what is wrong with its digests.
    pub fn seen(&self) -> Result<QuarantineSeen, Vec<FieldError>> {
        let mut errors = Errors::default();
        let spec = &self.spec;
        let mut digests: BTreeSet<Digest> = BTreeSet::new();
        digests
            .extend(spec.digest.as_ref().and_then(|text| errors.keep("spec.digest", text.parse::<Digest>())));
        for (n, text) in spec.contents.iter().enumerate() {
            digests.extend(errors.keep(format!("spec.contents[{n}]"), text.parse::<Digest>()));
        }
        if spec.digest.is_none() && spec.contents.is_empty() {
            errors.add(
                "spec.digest",
                "",
                "is missing: nothing says what is held back",
                "set it to the image's digest",
            );
        }
        let reason = if spec.reason.is_empty() { "a person asked for it" } else { &spec.reason };
        errors.finish(Some(QuarantineSeen {
            name: self.name_any(),
            digests,
            reason: reason.to_owned(),
            policy: spec.policy.clone(),
            stage: spec.stage.clone(),
        }))
    }
}

/// At most so many characters: the server would refuse a longer text, and a Quarantine must not be refused.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}
