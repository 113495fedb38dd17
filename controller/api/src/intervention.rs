//! `Intervention`: one thing a person asked for.

use crate::{
    FieldError, defaults,
    parse::{Errors, scalar},
    schema,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, ResourceExt};
use lockkeeper_core::{
    image::Digest,
    observed::{InterventionKind, InterventionSeen, Skip},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

const DIGEST: &str = "^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$";
const KINDS: [(&str, InterventionKind); 6] = [
    ("Approve", InterventionKind::Approve),
    ("Adopt", InterventionKind::Adopt),
    ("Hold", InterventionKind::Hold),
    ("Resume", InterventionKind::Resume),
    ("Promote", InterventionKind::Promote),
    ("RollBack", InterventionKind::RollBack),
];
const SKIPS: [(&str, Skip); 4] =
    [("Age", Skip::Age), ("Window", Skip::Window), ("Approval", Skip::Approval), ("Soak", Skip::Soak)];

/// What may be asked for, as people read of it.
#[derive(Clone, Copy, Debug)]
pub struct Action {
    /// The word in `spec.action`.
    pub name: &'static str,
    /// What it does, in short.
    pub means: &'static str,
    /// The rest of it.
    pub more: &'static str,
    /// The command that makes it.
    pub command: &'static str,
    /// A reason that somebody may have.
    pub because: &'static str,
}

const fn action(
    name: &'static str,
    command: &'static str,
    because: &'static str,
    means: &'static str,
    more: &'static str,
) -> Action {
    Action { name, means, more, command, because }
}

/// All of them, in the order of [`InterventionSpec::action`].
pub const ACTIONS: &[Action] = &[
    action(
        "Approve",
        "approve",
        "release notes read",
        "lets one release into stages that ask for approval",
        "It is bound to the digest: a newer release needs another approval. Distinct people are counted, up to `approval.required` \
         of the stage. It may be given before the release waits.",
    ),
    action(
        "Adopt",
        "adopt",
        "the version before last week",
        "says which release a stage shall run that has none of its own",
        "For a stage that is `Mixed`, and for one that is Blocked in the middle of a rollback without a safe release to return to. \
         What is adopted may be returned to, and does not count as verified.",
    ),
    action(
        "Hold",
        "hold",
        "load test",
        "widens nothing until it is resumed, or until `notAfter`",
        "Candidates are still chosen, and what turns out bad is still taken back. Without `policyRef` it holds all policies of its \
         namespace; in the namespace of the installation all of the cluster.",
    ),
    action(
        "Resume",
        "resume",
        "load test is over",
        "ends the holds made before it, refusals, and Blocked",
        "What it ended stays ended, also after it has expired. A stage that gave a release back without a quarantine may be given it \
         again; one that is Blocked goes on.",
    ),
    action(
        "Promote",
        "promote",
        "CVE-2026-1234",
        "gives stages a release past the gates that it names",
        "`skip` names `Age`, `Window`, `Approval` and `Soak` (of the stages before). The release still goes in waves, is still judged, \
         and the history says who asked. A quarantined one is refused. What is in flight is finished first.",
    ),
    action(
        "RollBack",
        "rollback",
        "spans are lost",
        "takes stages back to their stable release, and quarantines what they had",
        "With `digest` only if that is what the stage has: otherwise nothing happens. A window or a hold does not stop it.",
    ),
];

/// One thing a person asked for, bound to policy, stages and digest. The same name and digest twice is one request.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "lockkeeper.dev",
    version = "v1alpha1",
    kind = "Intervention",
    plural = "interventions",
    singular = "intervention",
    category = "lockkeeper",
    namespaced,
    derive = "PartialEq",
    printcolumn(name = "Action", type_ = "string", json_path = ".spec.action"),
    printcolumn(name = "Policy", type_ = "string", json_path = ".spec.policyRef.name"),
    printcolumn(name = "Stages", type_ = "string", json_path = ".spec.stages"),
    printcolumn(name = "By", type_ = "string", json_path = ".spec.requestedBy"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".spec.reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    schema::rule("self == oldSelf", "an Intervention is immutable: it is one request; make another one"),
    schema::rule(
        "!(self.action in ['Approve', 'Adopt', 'Promote']) || has(self.digest)",
        "Approve, Adopt and Promote are bound to one release; set digest",
    ),
    schema::rule(
        "self.action in ['Hold', 'Resume'] || has(self.policyRef)",
        "only Hold and Resume may speak of all policies; set policyRef.name",
    ),
    schema::rule(
        "!(self.action in ['Approve', 'Adopt', 'Promote', 'RollBack']) || has(self.stages)",
        "Approve, Adopt, Promote and RollBack are bound to stages; set stages",
    ),
    schema::rule(
        "has(self.policyRef) || !has(self.stages)",
        "stages belong to a policy; set policyRef.name, or remove stages",
    ),
    schema::rule("self.action == 'Promote' || !has(self.skip)", "only Promote passes gates; remove skip"),
]))]
pub struct InterventionSpec {
    /// Approve: let this digest into these stages. Adopt: this digest is what a Mixed stage should run. Hold: no
    /// widening writes. Resume: end holds and refusals. Promote: an urgent fix. `RollBack`: take the stages back.
    #[schemars(extend("enum" = KINDS.map(|(word, _)| word)))]
    pub action: String,
    /// The policy. Without it (Hold and Resume only): all policies of the namespace, in the installation's own
    /// namespace all of the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_ref: Option<PolicyRef>,
    /// The stages it is bound to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 63)))]
    pub stages: Vec<String>,
    /// The release it is bound to: the digest that a pin would name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 135), regex(pattern = DIGEST))]
    pub digest: Option<String>,
    /// Gates that a Promote passes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 4))]
    #[schemars(extend("x-kubernetes-list-type" = "set", "items" = schema::words(&SKIPS.map(|(word, _)| word))))]
    pub skip: Vec<String>,
    /// Why; it is kept in the history.
    #[schemars(length(min = 1, max = 1024))]
    pub reason: String,
    /// Who asks: the name by which the API server knows the person. The API server fills it in where it is left out, and
    /// refuses another person's.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(min = 1, max = 256))]
    pub requested_by: String,
    /// When it stops to count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Time>,
}

/// The policy that a request is for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyRef {
    /// Its name, in the same namespace.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Its uid: then a policy that was deleted and made again under the name is not meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub uid: Option<String>,
}

impl Intervention {
    /// Whether it speaks of this policy: it lies in the policy's namespace and names it or nobody, or it lies in the
    /// namespace of the installation and names nobody.
    #[must_use]
    pub fn concerns(&self, namespace: &str, name: &str, uid: &str, installation: &str) -> bool {
        let own = self.namespace().unwrap_or_default();
        match &self.spec.policy_ref {
            Some(policy) => {
                own == namespace
                    && policy.name == name
                    && policy.uid.as_deref().is_none_or(|wanted| wanted == uid)
            }
            None => own == namespace || own == installation,
        }
    }

    /// The request as the core hears it, or everything that is wrong with it.
    pub fn seen(&self) -> Result<InterventionSeen, Vec<FieldError>> {
        let mut errors = Errors::default();
        let spec = &self.spec;
        let kind = errors.word("spec.action", &spec.action, &KINDS);
        let digest = spec.digest.as_ref().and_then(|text| errors.keep("spec.digest", text.parse::<Digest>()));
        let skip: BTreeSet<Skip> = spec
            .skip
            .iter()
            .enumerate()
            .filter_map(|(n, text)| errors.word(&format!("spec.skip[{n}]"), text, &SKIPS))
            .collect();
        if let Some(kind) = kind {
            self.check(kind, &mut errors);
        }
        let created = self.creation_timestamp().map_or(Timestamp::MIN, |time| time.0);
        let seen = kind.map(|kind| InterventionSeen {
            id: format!("{}/{}", self.namespace().unwrap_or_default(), self.name_any()),
            kind,
            stages: spec.stages.clone(),
            digest,
            requested_by: spec.requested_by.clone(),
            reason: spec.reason.clone(),
            skip,
            created,
            not_after: spec.not_after.as_ref().map(|time| time.0).or_else(|| ends_by_itself(kind, created)),
        });
        errors.finish(seen)
    }

    /// What no field shows alone: the schema's rules again.
    fn check(&self, kind: InterventionKind, errors: &mut Errors) {
        use InterventionKind::{Adopt, Approve, Hold, Promote, Resume, RollBack};
        let spec = &self.spec;
        let action = &spec.action;
        if matches!(kind, Approve | Adopt | Promote) && spec.digest.is_none() {
            errors.add(
                "spec.digest",
                "",
                format_args!("is missing: {action} is bound to one release"),
                "set it",
            );
        }
        if matches!(kind, Approve | Adopt | Promote | RollBack) && spec.stages.is_empty() {
            errors.add(
                "spec.stages",
                "",
                format_args!("are missing: {action} is bound to stages"),
                "name them",
            );
        }
        if !matches!(kind, Hold | Resume) && spec.policy_ref.is_none() {
            let reason = format!("is missing: {action} cannot speak of all policies");
            errors.add("spec.policyRef", "", reason, "set policyRef.name");
        }
        if spec.policy_ref.is_none() && !spec.stages.is_empty() {
            errors.add(
                "spec.stages",
                &spec.stages.join(", "),
                "belong to no policy",
                "set policyRef.name or remove them",
            );
        }
        if kind != Promote && !spec.skip.is_empty() {
            errors.add(
                "spec.skip",
                &spec.skip.join(", "),
                format_args!("has no meaning with {action}"),
                "remove it",
            );
        }
        if spec.reason.trim().is_empty() {
            errors.add("spec.reason", &spec.reason, "says nothing", "say why: it is kept in the history");
        }
        if spec.requested_by.trim().is_empty() {
            errors.add("spec.requestedBy", &spec.requested_by, "says nothing", "name yourself");
        }
    }
}

/// A hold lasts until it is ended; everything else is forgotten after a week.
fn ends_by_itself(kind: InterventionKind, created: Timestamp) -> Option<Timestamp> {
    if kind == InterventionKind::Hold {
        return None;
    }
    created.checked_add(scalar::duration(defaults::INTERVENTION).ok()?).ok()
}
