//! Workloads with a pod template, trimmed at arrival: what `workloads` targets write, and whether a rollout is on.
//!
//! One path for every kind: kinds differ only in where the pod spec stands. Read leniently, because kinds may be
//! custom resources.

use crate::kubernetes::wire::Meta;
use jiff::Timestamp;
use lockkeeper_api::names::FIELD_MANAGER;
use lockkeeper_core::observed::{ContainerKind, ContainerSeen, ObjectKey, WorkloadSeen};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// A kind with a pod template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadKind {
    /// API group, empty for the core group.
    pub group: String,
    /// Version.
    pub version: String,
    /// Kind.
    pub kind: String,
    /// Plural, as in URLs.
    pub plural: String,
    /// JSON pointer of the pod spec.
    pub pod_spec: String,
}

impl WorkloadKind {
    fn new(group: &str, kind: &str, plural: &str, pod_spec: &str) -> Self {
        Self {
            group: group.to_owned(),
            version: "v1".to_owned(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
            pod_spec: pod_spec.to_owned(),
        }
    }

    /// The kinds that every cluster has and whose templates may change. Jobs are not among them: theirs may not.
    #[must_use]
    pub fn builtin() -> Vec<Self> {
        let template = "/spec/template/spec";
        vec![
            Self::new("apps", "Deployment", "deployments", template),
            Self::new("apps", "StatefulSet", "statefulsets", template),
            Self::new("apps", "DaemonSet", "daemonsets", template),
            Self::new("batch", "CronJob", "cronjobs", "/spec/jobTemplate/spec/template/spec"),
        ]
    }

    /// Such as `apps/v1`.
    #[must_use]
    pub fn api_version(&self) -> String {
        match self.group.as_str() {
            "" => self.version.clone(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// `Kind.group`, or `Kind` in the core group.
    #[must_use]
    pub fn name(&self) -> String {
        match self.group.as_str() {
            "" => self.kind.clone(),
            group => format!("{}.{group}", self.kind),
        }
    }

    /// Where all of them are.
    #[must_use]
    pub fn path(&self) -> String {
        match self.group.as_str() {
            "" => format!("/api/{}/{}", self.version, self.plural),
            group => format!("/apis/{group}/{}/{}", self.version, self.plural),
        }
    }

    /// Where those of a namespace are.
    #[must_use]
    pub fn path_in(&self, namespace: &str) -> String {
        match self.group.as_str() {
            "" => format!("/api/{}/namespaces/{namespace}/{}", self.version, self.plural),
            group => format!("/apis/{group}/{}/namespaces/{namespace}/{}", self.version, self.plural),
        }
    }

    /// Whether a target's `Kind` or `Kind.group` means this kind.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        match name.split_once('.') {
            Some((kind, group)) => kind == self.kind && group == self.group,
            None => name == self.kind,
        }
    }
}

/// What is kept of a workload.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkloadEntry {
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// A rollout of its own is under way.
    pub rolling: bool,
    /// Everything that a view needs.
    pub seen: WorkloadSeen,
}

/// Trim a workload; none if its metadata cannot be read.
#[must_use]
pub fn trim(kind: &WorkloadKind, object: &Value) -> Option<(Meta, WorkloadEntry)> {
    let meta = Meta::deserialize(object.get("metadata")?).ok()?;
    let generation = meta.generation.unwrap_or_default();
    let spec = object.get("spec").unwrap_or(&Value::Null);
    let manual = manual_rollout(kind, spec);
    let rolled_out = rolled_out(kind, generation, object);
    let containers = object.pointer(&kind.pod_spec).map(template_containers).unwrap_or_default();
    let managed = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    let managers = managed.map(|fields| image_managers(&kind.pod_spec, fields)).unwrap_or_default();
    let seen = WorkloadSeen {
        key: ObjectKey {
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            uid: meta.uid.clone(),
            ..ObjectKey::default()
        },
        kind: kind.kind.clone(),
        api_version: kind.api_version(),
        generation,
        rolled_out,
        manual_rollout: manual,
        pod_spec: kind.pod_spec.clone(),
        containers,
        applied_by: applied_by(&meta, managed.map_or(&[], Vec::as_slice)),
        image_managers: managers,
        refused: spec.get("workloadRef").map(|_| {
            "its pod template is another object's (spec.workloadRef); target that object instead".to_owned()
        }),
        ..WorkloadSeen::default()
    };
    let entry = WorkloadEntry { labels: meta.labels.clone(), rolling: !rolled_out && !manual, seen };
    Some((meta, entry))
}

fn manual_rollout(kind: &WorkloadKind, spec: &Value) -> bool {
    // A CronJob's template reaches pods with its next Job, and only by that.
    kind.kind != "CronJob"
        && (spec.get("paused") == Some(&Value::Bool(true))
            || spec.pointer("/updateStrategy/type").and_then(Value::as_str) == Some("OnDelete"))
}

/// Whether the current template has reached all pods, by the counts that the kind's controller reports.
fn rolled_out(kind: &WorkloadKind, generation: i64, object: &Value) -> bool {
    if kind.kind == "CronJob" {
        return true;
    }
    let number = |pointer: &str| object.pointer(pointer).and_then(whole);
    if number("/status/observedGeneration").is_some_and(|observed| observed < generation) {
        return false;
    }
    if let Some(desired) = number("/status/desiredNumberScheduled") {
        return number("/status/updatedNumberScheduled").unwrap_or(0) >= desired;
    }
    let wanted = number("/spec/replicas").unwrap_or(1);
    // Pods of a StatefulSet below the partition keep the old template on purpose.
    let partition = number("/spec/updateStrategy/rollingUpdate/partition").unwrap_or(0);
    let updated = number("/status/updatedReplicas").unwrap_or(0);
    let all = number("/status/replicas").unwrap_or(0);
    updated >= wanted - partition.min(wanted) && (partition > 0 || all <= updated)
}

/// A number; Argo Rollouts write `observedGeneration` as a string.
fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

fn template_containers(pod_spec: &Value) -> Vec<ContainerSeen> {
    let list = |field: &str| pod_spec.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |container: &Value, field: &str| {
        container.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let seen = |container: &Value, kind, index| ContainerSeen {
        name: text(container, "name"),
        image: text(container, "image"),
        kind,
        index,
        ..ContainerSeen::default()
    };
    let main = list("containers");
    let main = main.iter().enumerate().map(|(index, c)| seen(c, ContainerKind::Main, index));
    let init = list("initContainers");
    let init = init.iter().enumerate().map(|(index, c)| {
        let sidecar = text(c, "restartPolicy") == "Always";
        seen(c, if sidecar { ContainerKind::Sidecar } else { ContainerKind::Init }, index)
    });
    main.chain(init).collect()
}

/// Who last set each container's image, other managers than this one, from `metadata.managedFields`.
fn image_managers(pod_spec: &str, entries: &[Value]) -> BTreeMap<String, String> {
    let path: String = pod_spec.split('/').skip(1).fold(String::new(), |path, part| path + "/f:" + part);
    let mut newest: BTreeMap<String, (Option<Timestamp>, String)> = BTreeMap::new();
    for entry in entries {
        let Some(fields) = entry.pointer(&format!("/fieldsV1{path}")) else { continue };
        let manager = entry.get("manager").and_then(Value::as_str).unwrap_or_default();
        let time = entry.get("time").and_then(Value::as_str).and_then(|time| time.parse().ok());
        for list in ["f:containers", "f:initContainers"] {
            let Some(containers) = fields.get(list).and_then(Value::as_object) else { continue };
            for (key, fields) in containers {
                // The key of a keyed list's entry: k:{"name":"otel"}.
                let name = key.strip_prefix("k:").and_then(|key| serde_json::from_str::<Value>(key).ok());
                let Some(name) = name.as_ref().and_then(|key| key.get("name")?.as_str()) else { continue };
                if fields.get("f:image").is_some() && newest.get(name).is_none_or(|(at, _)| *at <= time) {
                    newest.insert(name.to_owned(), (time, manager.to_owned()));
                }
            }
        }
    }
    newest
        .into_iter()
        .map(|(name, (_, manager))| (name, manager))
        .filter(|(_, manager)| manager != FIELD_MANAGER)
        .collect()
}

/// The tool that applies this object all the time, by the marks it leaves.
fn applied_by(meta: &Meta, managed: &[Value]) -> Option<String> {
    let managers = || managed.iter().filter_map(|entry| entry.get("manager")?.as_str());
    let argo = meta.annotation("argocd.argoproj.io/tracking-id").is_some()
        || meta.labels.contains_key("argocd.argoproj.io/instance")
        || managers().any(|m| m.starts_with("argocd-"));
    let flux = meta.labels.keys().any(|key| {
        key.starts_with("kustomize.toolkit.fluxcd.io/") || key.starts_with("helm.toolkit.fluxcd.io/")
    }) || managers().any(|m| m == "kustomize-controller" || m == "helm-controller");
    match (argo, flux) {
        (true, _) => Some("Argo CD".to_owned()),
        (_, true) => Some("Flux".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn kind(name: &str) -> WorkloadKind {
        WorkloadKind::builtin().into_iter().find(|kind| kind.is(name)).unwrap()
    }

    fn trimmed(name: &str, patch: &Value) -> WorkloadEntry {
        let mut value = json!({
            "metadata": {"name": "app", "namespace": "prod", "uid": "u", "generation": 4, "labels": {"app": "a"}},
            "spec": {"replicas": 3, "template": {"spec": {
                "containers": [{"name": "app", "image": "app:1"}],
                "initContainers": [{"name": "otel", "image": "otel:1", "restartPolicy": "Always"},
                                   {"name": "setup", "image": "setup:1"}]}}},
            "status": {"observedGeneration": 4, "replicas": 3, "updatedReplicas": 3}
        });
        json_patch::merge(&mut value, patch);
        trim(&kind(name), &value).unwrap().1
    }

    #[test]
    fn a_template_shows_its_containers_and_where_they_stand() {
        let entry = trimmed("Deployment", &json!({}));
        let containers: Vec<_> = entry
            .seen
            .containers
            .iter()
            .map(|c| (c.name.as_str(), c.kind, c.index, c.image.as_str()))
            .collect();
        assert_eq!(
            containers,
            [
                ("app", ContainerKind::Main, 0, "app:1"),
                ("otel", ContainerKind::Sidecar, 0, "otel:1"),
                ("setup", ContainerKind::Init, 1, "setup:1")
            ]
        );
        assert_eq!(entry.seen.api_version, "apps/v1");
        assert_eq!(entry.seen.pod_spec, "/spec/template/spec");
        let cron = trimmed(
            "CronJob",
            &json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": {
            "containers": [{"name": "job", "image": "job:1"}]}}}}}}),
        );
        assert_eq!(cron.seen.containers[0].name, "job");
        assert!(cron.seen.rolled_out && !cron.rolling);
    }

    #[test]
    fn a_rollout_is_seen_by_the_counts_of_its_controller() {
        for (name, kind, patch, rolled_out, rolling) in [
            ("still", "Deployment", json!({}), true, false),
            ("not yet observed", "Deployment", json!({"status": {"observedGeneration": 3}}), false, true),
            ("half way", "Deployment", json!({"status": {"updatedReplicas": 2}}), false, true),
            ("old pods left", "Deployment", json!({"status": {"replicas": 4}}), false, true),
            (
                "paused half way",
                "Deployment",
                json!({"spec": {"paused": true}, "status": {"updatedReplicas": 0}}),
                false,
                false,
            ),
            (
                "below its partition",
                "StatefulSet",
                json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": 2}}}, "status": {"updatedReplicas": 1}}),
                true,
                false,
            ),
            (
                "deleted by hand only",
                "StatefulSet",
                json!({"spec": {"updateStrategy": {"type": "OnDelete"}}, "status": {"updatedReplicas": 0}}),
                false,
                false,
            ),
            (
                "nodes left",
                "DaemonSet",
                json!({"status": {"desiredNumberScheduled": 3, "updatedNumberScheduled": 2}}),
                false,
                true,
            ),
            (
                "scaled to nothing",
                "Deployment",
                json!({"spec": {"replicas": 0}, "status": {"replicas": 0, "updatedReplicas": null}}),
                true,
                false,
            ),
        ] {
            let entry = trimmed(kind, &patch);
            assert_eq!((entry.seen.rolled_out, entry.rolling), (rolled_out, rolling), "{name}");
        }
    }

    #[test]
    fn k14_the_manager_that_last_set_an_image_is_named() {
        let field = |manager: &str, time: &str, list: &str, container: &str| {
            json!({"manager": manager, "time": time, "fieldsV1": {"f:spec": {"f:template": {"f:spec":
                {list: {format!("k:{{\"name\":\"{container}\"}}"): {"f:image": {}}}}}}}})
        };
        let entry = trimmed(
            "Deployment",
            &json!({"metadata": {"managedFields": [
                field("kubectl", "2026-01-02T00:00:00Z", "f:containers", "app"),
                field("helm", "2026-01-01T00:00:00Z", "f:containers", "app"),
                field("helm", "2026-01-01T00:00:00Z", "f:initContainers", "otel"),
                field("lockkeeper", "2026-01-03T00:00:00Z", "f:initContainers", "otel")
            ]}}),
        );
        assert_eq!(entry.seen.image_managers, BTreeMap::from([("app".to_owned(), "kubectl".to_owned())]));
    }

    #[test]
    fn tools_that_apply_all_the_time_are_known_by_their_marks() {
        for (patch, tool) in [
            (json!({}), None),
            (json!({"annotations": {"argocd.argoproj.io/tracking-id": "x"}}), Some("Argo CD")),
            (json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "x"}}), Some("Flux")),
            (json!({"managedFields": [{"manager": "helm-controller", "fieldsV1": {}}]}), Some("Flux")),
            (json!({"managedFields": [{"manager": "argocd-controller", "fieldsV1": {}}]}), Some("Argo CD")),
        ] {
            assert_eq!(trimmed("Deployment", &json!({"metadata": patch})).seen.applied_by.as_deref(), tool);
        }
    }

    #[test]
    fn a_template_of_another_object_is_refused() {
        let entry = trimmed("Deployment", &json!({"spec": {"workloadRef": {"kind": "Deployment"}}}));
        assert!(entry.seen.refused.unwrap().contains("workloadRef"));
    }
}
