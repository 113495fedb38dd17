//! `docs/reference/interventions.md`: what may be asked for, from the table in the code, and from what its check demands.

use lockkeeper_api::{
    Intervention, InterventionSpec, defaults,
    intervention::{ACTIONS, Action, PolicyRef},
};
use std::fmt::Write as _;

const DIGEST: &str = "sha256:0d9a3b0c2f5e8e7a6d4c1b2a3f4e5d6c7b8a99887766554433221100ffeeddcc";

/// The whole page.
pub fn page() -> String {
    let mut page = format!(
        "# Interventions\n\n\
         Made from `controller/api/src/intervention.rs` by `make docs`; not edited by hand.\n\n\
         An Intervention is one thing that a person asks for. It is immutable, names the policy (and its uid), the stages and \
         the release that it is for, who asks, why, and until when it counts. The API server fills in who asks, refuses \
         another person's name, and asks the authorizer for the verb `create` on the virtual subresource below, for the \
         policy's name or for `policy:stage`. What was carried out is in `status.heard`, what counts now in \
         `status.inForce`. Without `notAfter` it counts for {}, a Hold until it is resumed.\n\n\
         Why a request is refused before it is made is in [conditions.md](conditions.md#why-a-request-is-refused), every \
         field in [fields.md](fields.md#intervention), every command in [flags.md](flags.md).\n\n\
         | action | what it does | needs | right | command |\n|---|---|---|---|---|\n",
        defaults::INTERVENTION
    );
    for action in ACTIONS {
        writeln!(
            page,
            "| `{}` | {} | {} | `imagepolicies/{}` | `lockkeeper {}` |",
            action.name,
            action.means,
            needs(action).join(", "),
            action.name.to_lowercase(),
            action.command
        )
        .unwrap();
    }
    for action in ACTIONS {
        let text = serde_saphyr::to_string(&example(action)).unwrap();
        writeln!(page, "\n## {}\n\n{}\n\n```yaml\n{}```", action.name, action.more, text).unwrap();
    }
    page
}

/// With everything that the action may have.
fn whole(action: &Action) -> Intervention {
    let mut object = Intervention::new(
        &format!("otel-{}-1", action.name.to_lowercase()),
        InterventionSpec {
            action: action.name.into(),
            policy_ref: Some(PolicyRef { name: "otel".into(), uid: None }),
            stages: vec!["prod".into()],
            digest: Some(DIGEST.into()),
            skip: if action.name == "Promote" { vec!["Soak".into(), "Window".into()] } else { vec![] },
            reason: action.because.into(),
            requested_by: "alice".into(),
            not_after: None,
        },
    );
    object.metadata.namespace = Some("platform".into());
    object
}

/// What its check does not let it go without.
fn needs(action: &Action) -> Vec<&'static str> {
    assert!(whole(action).seen().is_ok(), "{}", action.name);
    let without = |change: fn(&mut InterventionSpec)| {
        let mut object = whole(action);
        change(&mut object.spec);
        object.seen().is_err()
    };
    let mut needs = Vec::new();
    if without(|spec| (spec.policy_ref, spec.stages) = (None, vec![])) {
        needs.push("`policyRef`");
    }
    if without(|spec| spec.stages.clear()) {
        needs.push("`stages`");
    }
    if without(|spec| spec.digest = None) {
        needs.push("`digest`");
    }
    needs.push("`reason`");
    needs
}

/// With what it needs, and no more; who asks is filled in by the API server.
fn example(action: &Action) -> serde_json::Value {
    let mut object = whole(action);
    let needs = needs(action);
    if !needs.contains(&"`digest`") && action.name != "RollBack" {
        object.spec.digest = None;
    }
    object.spec.requested_by.clear();
    serde_json::to_value(object).unwrap()
}
