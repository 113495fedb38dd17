//! A plan for programs: the same as the text says, by name.

use super::survey::{Plan, StagePlan};
use lockkeeper_api::FieldError;
use serde_json::{Value, json};

/// What is wrong with the file.
pub fn invalid(errors: &[FieldError]) -> Value {
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    json!({"valid": false, "errors": errors})
}

/// The whole plan.
pub fn plan(plan: &Plan) -> Value {
    let policy = &plan.policy;
    let tags =
        plan.tags.as_ref().map(|(admitted, rejected)| json!({"admitted": admitted, "rejected": rejected}));
    json!({
        "valid": true,
        "policy": {"namespace": policy.namespace, "name": policy.name},
        "image": policy.image.to_string(),
        "mode": format!("{:?}", policy.mode),
        "suspend": policy.suspend,
        "serviceAccount": {"namespace": plan.identity.namespace, "name": plan.identity.service_account},
        "tags": tags,
        "candidate": plan.candidate,
        "stages": plan.stages.iter().map(stage).collect::<Vec<_>>(),
        "problems": plan.problems,
    })
}

fn stage(stage: &StagePlan) -> Value {
    let [pods, ready] = stage.pods;
    let events: Vec<Value> =
        stage.events.iter().map(|(reason, message)| json!({"reason": reason, "message": message})).collect();
    json!({
        "name": stage.name,
        "namespaces": stage.namespaces,
        "pods": {"matching": pods, "ready": ready},
        "workloads": stage.workloads,
        "images": stage.images,
        "phase": stage.status.phase,
        "reason": stage.status.reason,
        "message": stage.status.message,
        "mixed": stage.status.mixed,
        "events": events,
        "pins": stage.pins,
        "waves": stage.waves,
    })
}
