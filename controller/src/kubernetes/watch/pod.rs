//! A Pod, trimmed at arrival to what promotion and health need.
//!
//! Guarantees: a death that `restartCount` has not counted is seen once, whatever state the kubelet shows it in; a
//! container that ended because its pod ends is no death. Owners, budgets and rollouts are added when a view is made.

use crate::kubernetes::wire::{self, ContainerStatus, MIRROR, OwnerRef, Terminated};
use lockkeeper_api::{
    FieldError,
    names::{IGNORE, MOVED, PINNED_BY},
};
use lockkeeper_core::{
    image::digest_of_image_id,
    observed::{ContainerKind, ContainerSeen, Moved, ObjectKey, Owner, PodPhase, PodSeen},
};
use std::collections::BTreeMap;

/// What is kept of a pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodEntry {
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The object that controls it: a `ReplicaSet`, not yet the Deployment behind it.
    pub owner: Option<OwnerRef>,
    /// `metadata.annotations` exists, so an annotation can be added to it.
    pub annotated: bool,
    /// Everything that the pod alone tells.
    pub seen: PodSeen,
}

impl PodEntry {
    /// Whether nothing but the resourceVersion differs.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        // Most changes are in the containers: those are told apart without a copy.
        if self.seen.containers != other.seen.containers {
            return false;
        }
        let mut other = other.clone();
        other.seen.resource_version.clone_from(&self.seen.resource_version);
        *self == other
    }
}

/// Trim a pod.
#[must_use]
pub fn trim(pod: wire::Pod) -> PodEntry {
    let meta = &pod.metadata;
    let owner = meta.controller().cloned();
    let ending = meta.deletion_timestamp.is_some();
    let phase = phase(&pod.status.phase);
    let restarts = !ending && !matches!(phase, PodPhase::Succeeded | PodPhase::Failed);
    let (moved, malformed) = mark(meta.annotation(MOVED));
    let seen = PodSeen {
        key: ObjectKey {
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            uid: meta.uid.clone(),
            ..ObjectKey::default()
        },
        generation: meta.generation.filter(|generation| *generation > 0),
        resource_version: meta.resource_version.clone(),
        owner: Owner { template: template_hash(&meta.labels), ..Owner::default() },
        node: pod.spec.node_name.clone(),
        created: meta.creation_timestamp,
        deleting: ending,
        phase,
        ready: pod.status.conditions.iter().any(|c| c.kind == "Ready" && c.status == "True"),
        mirror: meta.annotation(MIRROR).is_some(),
        of_job: owner.as_ref().is_some_and(|owner| owner.kind == "Job"),
        ignored: meta.labels.contains_key(IGNORE),
        moved,
        malformed,
        pinned_by: meta.annotation(PINNED_BY).cloned(),
        containers: containers(&pod, restarts),
        ..PodSeen::default()
    };
    PodEntry { owner, annotated: meta.annotations.is_some(), seen, labels: pod.metadata.labels }
}

/// The mark of a move, or what is wrong with it: one that cannot be read counts as none.
fn mark(text: Option<&String>) -> (Option<Moved>, Option<String>) {
    let Some(text) = text else { return (None, None) };
    match text.parse() {
        Ok(moved) => (Some(moved), None),
        Err(error) => {
            let path = format!("metadata.annotations[{MOVED}]");
            let error = FieldError::new(path, text, format_args!("is {error}"), "remove the annotation");
            (None, Some(error.to_string()))
        }
    }
}

fn phase(text: &str) -> PodPhase {
    match text {
        "Running" => PodPhase::Running,
        "Succeeded" => PodPhase::Succeeded,
        "Failed" => PodPhase::Failed,
        "Unknown" => PodPhase::Unknown,
        _ => PodPhase::Pending,
    }
}

/// Deployments write `pod-template-hash`, `StatefulSets` and `DaemonSets` `controller-revision-hash`.
fn template_hash(labels: &BTreeMap<String, String>) -> String {
    ["pod-template-hash", "controller-revision-hash", "rollouts-pod-template-hash"]
        .iter()
        .find_map(|key| labels.get(*key))
        .cloned()
        .unwrap_or_default()
}

fn containers(pod: &wire::Pod, restarts: bool) -> Vec<ContainerSeen> {
    let main = pod.spec.containers.iter().enumerate().map(|(index, container)| {
        let restarts = restarts && pod.spec.restart_policy != "Never";
        // OnFailure starts a container again only after a failure.
        let only_failures = pod.spec.restart_policy == "OnFailure";
        let status = pod.status.container_statuses.iter().find(|s| s.name == container.name);
        seen(container, ContainerKind::Main, index, status, restarts, only_failures)
    });
    let init = pod.spec.init_containers.iter().enumerate().map(|(index, container)| {
        let sidecar = container.restart_policy.as_deref() == Some("Always");
        let kind = if sidecar { ContainerKind::Sidecar } else { ContainerKind::Init };
        let status = pod.status.init_container_statuses.iter().find(|s| s.name == container.name);
        seen(container, kind, index, status, restarts, !sidecar)
    });
    main.chain(init).collect()
}

fn seen(
    container: &wire::Container,
    kind: ContainerKind,
    index: usize,
    status: Option<&ContainerStatus>,
    restarts: bool,
    only_failures: bool,
) -> ContainerSeen {
    let mut seen = ContainerSeen {
        name: container.name.clone(),
        kind,
        index,
        image: container.image.clone(),
        ..ContainerSeen::default()
    };
    let Some(status) = status else { return seen };
    seen.running = digest_of_image_id(&status.image_id);
    seen.up = status.state.running.is_some();
    seen.ready = status.ready;
    seen.restarts = u32::try_from(status.restart_count.max(0)).unwrap_or(u32::MAX);
    seen.waiting = status.state.waiting.as_ref().map(|waiting| waiting.reason.clone());
    let ended = status.state.terminated.as_ref();
    let uncounted = ended.or_else(|| uncounted_death(status));
    seen.down_after_death = restarts && uncounted.is_some_and(|end| !only_failures || end.exit_code != 0);
    if let Some(last) = ended.or(status.last_state.terminated.as_ref()) {
        seen.died = last.finished_at;
        seen.died_of(last.exit_code, &last.reason, &last.message);
    }
    seen
}

/// A container that waits after a death: `restartCount` counts that death only when the next container exists, which
/// is when `lastState` names another container than the status does.
fn uncounted_death(status: &ContainerStatus) -> Option<&Terminated> {
    let waiting = status.state.waiting.as_ref()?;
    let last = status.last_state.terminated.as_ref()?;
    let same = !last.container_id.is_empty() && last.container_id == status.container_id;
    (same || waiting.reason == "CrashLoopBackOff").then_some(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn pod(patch: &Value) -> PodEntry {
        let mut value = json!({
            "metadata": {
                "name": "app-1", "namespace": "prod", "uid": "u", "resourceVersion": "7", "generation": 1,
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": {"app": "a", "pod-template-hash": "abc"},
                "ownerReferences": [{"kind": "ReplicaSet", "name": "app-abc", "uid": "r", "controller": true}],
                "managedFields": [{"manager": "x", "fieldsV1": {"f:spec": {}}}]
            },
            "spec": {
                "nodeName": "n1", "restartPolicy": "Always",
                "containers": [{"name": "app", "image": "ghcr.io/a/app:1"}],
                "initContainers": [
                    {"name": "setup", "image": "ghcr.io/a/setup:1"},
                    {"name": "otel", "image": "ghcr.io/a/otel:latest", "restartPolicy": "Always"}
                ]
            },
            "status": {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{"name": "app", "ready": true, "restartCount": 0,
                    "imageID": format!("ghcr.io/a/app@{D}"), "state": {"running": {"startedAt": "2026-01-01T00:00:01Z"}}}],
                "initContainerStatuses": [
                    {"name": "setup", "restartCount": 0, "imageID": D, "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}},
                    {"name": "otel", "ready": true, "restartCount": 2, "containerID": "containerd://c3", "imageID": D,
                     "state": {"running": {}},
                     "lastState": {"terminated": {"exitCode": 2, "reason": "Error", "containerID": "containerd://c2",
                                   "finishedAt": "2026-01-01T00:10:00Z"}}}
                ]
            }
        });
        json_patch::merge(&mut value, patch);
        trim(serde_json::from_value(value).unwrap())
    }

    fn otel(state: &Value) -> ContainerSeen {
        let status =
            json!({"name": "otel", "restartCount": 2, "containerID": "containerd://c3", "imageID": D});
        let mut status = status;
        json_patch::merge(&mut status, state);
        let entry = pod(&json!({"status": {"initContainerStatuses": [status]}}));
        entry.seen.containers[2].clone()
    }

    #[test]
    fn a_pod_is_trimmed_to_what_counts() {
        let entry = pod(&json!({}));
        let seen = &entry.seen;
        assert_eq!(entry.owner.as_ref().unwrap().name, "app-abc");
        assert!(!entry.annotated);
        assert_eq!(
            (seen.key.namespace.as_str(), seen.key.name.as_str(), seen.key.uid.as_str()),
            ("prod", "app-1", "u")
        );
        assert_eq!((seen.generation, seen.resource_version.as_str()), (Some(1), "7"));
        assert_eq!((seen.owner.template.as_str(), seen.node.as_str()), ("abc", "n1"));
        assert!(seen.ready && !seen.deleting && !seen.mirror && !seen.of_job && !seen.ignored);
        let kinds: Vec<_> = seen.containers.iter().map(|c| (c.name.as_str(), c.kind, c.index)).collect();
        assert_eq!(
            kinds,
            [
                ("app", ContainerKind::Main, 0),
                ("setup", ContainerKind::Init, 0),
                ("otel", ContainerKind::Sidecar, 1)
            ]
        );
        let otel = &seen.containers[2];
        assert_eq!(otel.running.as_ref().unwrap().as_str(), D);
        assert_eq!((otel.deaths(), otel.up, otel.ready), (2, true, true));
        assert_eq!(otel.death.as_deref(), Some("exit 2 (Error)"));
        assert_eq!(otel.died.unwrap().to_string(), "2026-01-01T00:10:00Z");
        assert_eq!(seen.containers[1].deaths(), 0, "an init container that completed did not die");
    }

    #[test]
    fn each_death_is_counted_once_in_whatever_state_the_kubelet_shows_it() {
        let died = json!({"exitCode": 2, "reason": "Error", "containerID": "containerd://c3"});
        for (name, state, deaths) in [
            ("just died", json!({"state": {"terminated": died}}), 3),
            (
                "crash loop",
                json!({"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": died}}),
                3,
            ),
            (
                "killed for another image that cannot be pulled",
                json!({"state": {"waiting": {"reason": "ErrImagePull"}}, "lastState": {"terminated": died}}),
                3,
            ),
            (
                "started again and counted",
                json!({"restartCount": 3, "containerID": "containerd://c4", "state": {"running": {}},
                       "lastState": {"terminated": died}}),
                3,
            ),
            (
                "first pull, nothing died yet",
                json!({"restartCount": 0, "containerID": "", "state": {"waiting": {"reason": "ErrImagePull"}}}),
                0,
            ),
        ] {
            assert_eq!(otel(&state).deaths(), deaths, "{name}");
        }
    }

    #[test]
    fn what_a_container_said_when_it_died_is_told_and_compared() {
        let said = |message: &str| {
            otel(&json!({"state": {"terminated": {"exitCode": 2, "reason": "Error", "message": message}}}))
        };
        let panic =
            said("starting\npanic: unsupported attribute value type\n\ngoroutine 7 [running]:\nmain.main()");
        assert_eq!(panic.death.as_deref(), Some("exit 2 (Error): panic: unsupported attribute value type"));
        let again =
            said("starting\npanic: unsupported attribute value type\n\ngoroutine 99 [running]:\nmain.run()");
        assert!(panic.fingerprint.is_some() && panic.fingerprint == again.fingerprint);
        assert_ne!(panic.fingerprint, said("panic: nil map").fingerprint);
        let up = otel(&json!({"restartCount": 0, "state": {"running": {}}}));
        assert_eq!((up.death, up.fingerprint), (None, None));
    }

    #[test]
    fn a_container_that_ends_with_its_pod_did_not_die() {
        let ended = json!([{"name": "app", "restartCount": 0, "state": {"terminated": {"exitCode": 143}}}]);
        for (name, patch, down) in [
            ("running on", json!({}), true),
            ("being deleted", json!({"metadata": {"deletionTimestamp": "2026-01-01T01:00:00Z"}}), false),
            ("succeeded", json!({"status": {"phase": "Succeeded"}}), false),
            ("failed", json!({"status": {"phase": "Failed"}}), false),
            ("never restarted", json!({"spec": {"restartPolicy": "Never"}}), false),
            ("failure of an OnFailure pod", json!({"spec": {"restartPolicy": "OnFailure"}}), true),
        ] {
            let mut patch = patch;
            json_patch::merge(&mut patch, &json!({"status": {"containerStatuses": ended}}));
            assert_eq!(pod(&patch).seen.containers[0].down_after_death, down, "{name}");
        }
        let done = json!({"spec": {"restartPolicy": "OnFailure"}, "status": {"containerStatuses": [
            {"name": "app", "state": {"terminated": {"exitCode": 0}}}]}});
        assert!(!pod(&done).seen.containers[0].down_after_death);
    }

    #[test]
    fn marks_labels_and_owners() {
        let entry = pod(&json!({"metadata": {
            "generation": null,
            "labels": {IGNORE: "true", "pod-template-hash": null, "controller-revision-hash": "rev"},
            "annotations": {MIRROR: "x", PINNED_BY: "pin", MOVED: "not a mark"},
            "ownerReferences": [{"kind": "Job", "name": "j", "controller": true}]
        }}));
        let seen = &entry.seen;
        assert!(entry.annotated && seen.mirror && seen.of_job && seen.ignored);
        assert_eq!(seen.owner.template, "rev");
        assert_eq!(seen.generation, None);
        assert_eq!(seen.pinned_by.as_deref(), Some("pin"));
        assert_eq!(seen.moved, None, "a malformed mark is no mark (bad input 44)");
        let wrong = seen.malformed.as_deref().unwrap();
        for part in [MOVED, "\"not a mark\"", "<attempt>/<image before>", "remove the annotation"] {
            assert!(wrong.contains(part), "{wrong}");
        }
    }

    #[test]
    fn another_resource_version_alone_is_no_change() {
        let a = pod(&json!({}));
        assert!(a.same(&pod(&json!({"metadata": {"resourceVersion": "8"}}))));
        assert!(!a.same(&pod(&json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}}))));
    }
}
