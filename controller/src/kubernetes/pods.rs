//! How a running pod is moved: one JSON patch that tests what it expects before it replaces images.
//!
//! Guarantees: a pod that was replaced, edited or already moved is not touched (K11, K12); nothing but `image` of the
//! named containers and one annotation changes (I11); other annotations stay whatever happens meanwhile.

use lockkeeper_api::names::MOVED;
use lockkeeper_core::{
    decision::{ImageChange, PodMove},
    observed::ContainerKind,
};
use serde_json::{Value, json};

/// The patch. `annotated`: the pod has an annotations map, as last seen at `seen_version`.
///
/// Without one the map is added, which would replace a map that somebody else added meanwhile; the test of the
/// resourceVersion forbids that. A metadata change does not move the generation.
#[must_use]
pub fn patch(mv: &PodMove, annotated: bool, seen_version: &str) -> Value {
    let mut ops = vec![test("/metadata/uid", &json!(mv.key.uid))];
    match mv.generation {
        Some(generation) => ops.push(test("/metadata/generation", &json!(generation))),
        None => ops.push(test("/metadata/resourceVersion", &json!(mv.resource_version))),
    }
    ops.extend(image_ops("/spec", &mv.containers));
    if annotated {
        ops.push(json!({"op": "add", "path": format!("/metadata/annotations/{}", escaped(MOVED)), "value": mv.mark}));
    } else {
        ops.push(test("/metadata/resourceVersion", &json!(seen_version)));
        ops.push(json!({"op": "add", "path": "/metadata/annotations", "value": {MOVED: mv.mark}}));
    }
    Value::Array(ops)
}

/// Tests of all names and old images, then the replacements. `pod_spec` is a JSON pointer.
pub(super) fn image_ops(pod_spec: &str, changes: &[ImageChange]) -> Vec<Value> {
    let at = |change: &ImageChange, field: &str| {
        let list = match change.kind {
            ContainerKind::Main => "containers",
            ContainerKind::Sidecar | ContainerKind::Init => "initContainers",
        };
        format!("{pod_spec}/{list}/{}/{field}", change.index)
    };
    let tests = changes.iter().flat_map(|change| {
        [test(&at(change, "name"), &json!(change.name)), test(&at(change, "image"), &json!(change.from))]
    });
    let replacements = changes
        .iter()
        .map(|change| json!({"op": "replace", "path": at(change, "image"), "value": change.to}));
    tests.chain(replacements).collect()
}

pub(super) fn test(path: &str, value: &Value) -> Value {
    json!({"op": "test", "path": path, "value": value})
}

/// A key as part of a JSON pointer (RFC 6901).
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockkeeper_core::{decision::Purpose, observed::ObjectKey};

    fn mv(generation: Option<i64>) -> PodMove {
        PodMove {
            key: ObjectKey {
                namespace: "prod".into(),
                name: "app-1".into(),
                uid: "u".into(),
                ..ObjectKey::default()
            },
            generation,
            resource_version: "7".into(),
            containers: vec![ImageChange {
                kind: ContainerKind::Sidecar,
                index: 1,
                name: "otel".into(),
                from: "otel:latest".into(),
                to: "otel@sha256:00".into(),
            }],
            mark: "a-1/otel:latest/0/1".into(),
            stage: "prod".into(),
            purpose: Purpose::Promote,
        }
    }

    fn pod() -> Value {
        json!({
            "metadata": {"uid": "u", "generation": 3, "resourceVersion": "7", "annotations": {"other": "kept"}},
            "spec": {"containers": [{"name": "app", "image": "app:1"}],
                     "initContainers": [{"name": "setup", "image": "s:1"}, {"name": "otel", "image": "otel:latest"}]}
        })
    }

    /// The patch's own semantics, by a library that follows RFC 6902 as the API server does.
    fn applied(pod: &Value, patch: &Value) -> Option<Value> {
        let mut pod = pod.clone();
        let patch: json_patch::Patch = serde_json::from_value(patch.clone()).unwrap();
        json_patch::patch(&mut pod, &patch).ok().map(|()| pod)
    }

    #[test]
    fn the_patch_tests_before_it_replaces() {
        assert_eq!(
            patch(&mv(Some(3)), true, "7"),
            json!([
                {"op": "test", "path": "/metadata/uid", "value": "u"},
                {"op": "test", "path": "/metadata/generation", "value": 3},
                {"op": "test", "path": "/spec/initContainers/1/name", "value": "otel"},
                {"op": "test", "path": "/spec/initContainers/1/image", "value": "otel:latest"},
                {"op": "replace", "path": "/spec/initContainers/1/image", "value": "otel@sha256:00"},
                {"op": "add", "path": "/metadata/annotations/lockkeeper.dev~1moved", "value": "a-1/otel:latest/0/1"}
            ])
        );
    }

    #[test]
    fn only_the_image_and_one_annotation_change() {
        let mut expected = pod();
        expected["spec"]["initContainers"][1]["image"] = json!("otel@sha256:00");
        expected["metadata"]["annotations"][MOVED] = json!("a-1/otel:latest/0/1");
        assert_eq!(applied(&pod(), &patch(&mv(Some(3)), true, "7")).unwrap(), expected);
    }

    #[test]
    fn a_pod_without_annotations_gets_the_map_only_if_nobody_else_made_one() {
        let mut bare = pod();
        bare["metadata"].as_object_mut().unwrap().remove("annotations");
        let patch = patch(&mv(Some(3)), false, "7");
        assert_eq!(
            applied(&bare, &patch).unwrap()["metadata"]["annotations"],
            json!({MOVED: "a-1/otel:latest/0/1"})
        );
        let mut meanwhile = pod();
        meanwhile["metadata"]["resourceVersion"] = json!("8");
        assert_eq!(applied(&meanwhile, &patch), None, "another's annotations are not lost");
    }

    #[test]
    fn k11_k12_anything_else_than_expected_changes_nothing() {
        for (name, path, value) in [
            ("made again", "/metadata/uid", json!("other")),
            ("spec changed, A to B to A", "/metadata/generation", json!(5)),
            ("container renamed", "/spec/initContainers/1/name", json!("otlp")),
            ("container moved", "/spec/initContainers", json!([{"name": "otel", "image": "otel:latest"}])),
            ("image changed", "/spec/initContainers/1/image", json!("otel:2")),
        ] {
            let mut pod = pod();
            *pod.pointer_mut(path).unwrap() = value;
            assert_eq!(applied(&pod, &patch(&mv(Some(3)), true, "7")), None, "{name}");
        }
    }

    #[test]
    fn an_old_server_without_generations_is_fenced_by_resource_version() {
        let mut pod = pod();
        pod["metadata"].as_object_mut().unwrap().remove("generation");
        assert!(applied(&pod, &patch(&mv(None), true, "7")).is_some());
        pod["metadata"]["resourceVersion"] = json!("8");
        assert_eq!(applied(&pod, &patch(&mv(None), true, "7")), None);
    }
}
