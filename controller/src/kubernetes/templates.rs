//! How a pod template is changed: the same tested JSON patch as a pod's, at the template's place.
//!
//! Guarantees: never adds a container, never recreates an object, never touches more than the named images. It is
//! no server-side apply: that would add a container that is gone, and conflict with every `kubectl apply`.

use super::pods::{image_ops, test};
use lockkeeper_core::decision::TemplatePatch;
use serde_json::{Value, json};

/// The patch.
#[must_use]
pub fn patch(change: &TemplatePatch) -> Value {
    let mut ops = vec![
        test("/metadata/uid", &json!(change.key.uid)),
        test("/metadata/generation", &json!(change.generation)),
    ];
    ops.extend(image_ops(&change.pod_spec, &change.containers));
    Value::Array(ops)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockkeeper_core::{
        decision::{ImageChange, Purpose},
        observed::{ContainerKind, ObjectKey},
    };

    #[test]
    fn all_tests_stand_before_the_first_replacement() {
        let image = |kind, index, name: &str| ImageChange {
            kind,
            index,
            name: name.into(),
            from: "old:1".into(),
            to: "new@sha256:00".into(),
        };
        let change = TemplatePatch {
            key: ObjectKey {
                namespace: "prod".into(),
                name: "app".into(),
                uid: "u".into(),
                ..ObjectKey::default()
            },
            api_version: "batch/v1".into(),
            kind: "CronJob".into(),
            generation: 4,
            pod_spec: "/spec/jobTemplate/spec/template/spec".into(),
            containers: vec![image(ContainerKind::Main, 0, "a"), image(ContainerKind::Sidecar, 2, "b")],
            stage: "prod".into(),
            purpose: Purpose::Promote,
        };
        let spec = "/spec/jobTemplate/spec/template/spec";
        assert_eq!(
            patch(&change),
            json!([
                {"op": "test", "path": "/metadata/uid", "value": "u"},
                {"op": "test", "path": "/metadata/generation", "value": 4},
                {"op": "test", "path": format!("{spec}/containers/0/name"), "value": "a"},
                {"op": "test", "path": format!("{spec}/containers/0/image"), "value": "old:1"},
                {"op": "test", "path": format!("{spec}/initContainers/2/name"), "value": "b"},
                {"op": "test", "path": format!("{spec}/initContainers/2/image"), "value": "old:1"},
                {"op": "replace", "path": format!("{spec}/containers/0/image"), "value": "new@sha256:00"},
                {"op": "replace", "path": format!("{spec}/initContainers/2/image"), "value": "new@sha256:00"}
            ])
        );
    }
}
