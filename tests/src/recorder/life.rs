//! One pod's life: which contents its sidecar ran and when, how it crashed, whether anything else was restarted.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod};

/// A time during which the sidecar was of some contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stay {
    /// `sha256:…`, as the kubelet reported it.
    pub digest: String,
    /// When it was first seen.
    pub from: Timestamp,
    /// When it was seen to be over; `None` while it lasts.
    pub until: Option<Timestamp>,
}

/// An end of the sidecar that nobody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crash {
    /// When it was seen.
    pub at: Timestamp,
    /// The contents that crashed.
    pub digest: String,
    /// Exit code.
    pub exit_code: i32,
}

/// Everything that was seen of one pod.
#[derive(Clone, Debug)]
pub struct Life {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// When it was seen first.
    pub born: Timestamp,
    /// The sidecar's image when the pod was seen first: what the API server made of it at birth.
    pub born_image: String,
    /// Annotation `lockkeeper.dev/pinned-by`, as it was then.
    pub pinned_by: Option<String>,
    /// What the sidecar ran, in order.
    pub stays: Vec<Stay>,
    /// Its crashes.
    pub crashes: Vec<Crash>,
    /// Restarts of the sidecar, for any reason.
    pub sidecar_restarts: i32,
    /// Restarts of all other containers together.
    pub other_restarts: i32,
    /// Condition `Ready`.
    pub ready: bool,
    /// Its deletion was asked for.
    pub deleting: bool,
    /// When it was gone.
    pub gone: Option<Timestamp>,
    /// Container id to digest, of the sidecars that ran.
    ran: BTreeMap<String, String>,
    /// Container ids of sidecars whose crash is counted.
    counted: BTreeSet<String>,
}

impl Life {
    /// A pod that was not seen before.
    #[must_use]
    pub fn begin(pod: &Pod, sidecar: &str, at: Timestamp) -> Self {
        let meta = &pod.metadata;
        let annotation = |key| meta.annotations.as_ref().and_then(|all| all.get(key)).cloned();
        Self {
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
            born: at,
            born_image: image(pod, sidecar).unwrap_or_default(),
            pinned_by: annotation("lockkeeper.dev/pinned-by"),
            stays: Vec::new(),
            crashes: Vec::new(),
            sidecar_restarts: 0,
            other_restarts: 0,
            ready: false,
            deleting: false,
            gone: None,
            ran: BTreeMap::new(),
            counted: BTreeSet::new(),
        }
    }

    /// The pod as it is now.
    pub fn see(&mut self, pod: &Pod, sidecar: &str, at: Timestamp) {
        self.deleting = pod.metadata.deletion_timestamp.is_some();
        let Some(status) = &pod.status else { return };
        let conditions = status.conditions.iter().flatten();
        self.ready = conditions.into_iter().any(|one| one.type_ == "Ready" && one.status == "True");
        let all = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
        let mut others = 0;
        for container in all {
            if container.name == sidecar {
                self.see_sidecar(container, at);
            } else {
                others += container.restart_count;
            }
        }
        // Statuses do not count down; a list that is not filled yet is no news.
        self.other_restarts = self.other_restarts.max(others);
    }

    fn see_sidecar(&mut self, status: &ContainerStatus, at: Timestamp) {
        self.sidecar_restarts = self.sidecar_restarts.max(status.restart_count);
        let now = digest(&status.image_id);
        let running = status.state.as_ref().is_some_and(|state| state.running.is_some());
        // Before a container runs, the status still speaks of the one before it.
        if running && self.runs() != Some(now) {
            self.end_stay(at);
            self.stays.push(Stay { digest: now.to_owned(), from: at, until: None });
        }
        if running && let Some(id) = &status.container_id {
            self.ran.insert(id.clone(), now.to_owned());
        }
        let both = status.state.iter().chain(&status.last_state);
        for ended in both.filter_map(|state| state.terminated.as_ref()) {
            let id = ended.container_id.clone().unwrap_or_default();
            if ended.exit_code != 0 && self.counted.insert(id.clone()) {
                let digest = self.ran.get(&id).map_or(now, String::as_str).to_owned();
                self.crashes.push(Crash { at, digest, exit_code: ended.exit_code });
            }
        }
    }

    /// The pod is gone.
    pub fn end(&mut self, at: Timestamp) {
        self.end_stay(at);
        self.gone.get_or_insert(at);
    }

    fn end_stay(&mut self, at: Timestamp) {
        if let Some(stay) = self.stays.last_mut() {
            stay.until.get_or_insert(at);
        }
    }

    /// The contents of the sidecar that runs, or ran last and will run again.
    #[must_use]
    pub fn runs(&self) -> Option<&str> {
        self.stays.last().filter(|stay| stay.until.is_none()).map(|stay| stay.digest.as_str())
    }

    /// Whether it ever ran these contents.
    #[must_use]
    pub fn ever_ran(&self, digest: &str) -> bool {
        self.stays.iter().any(|stay| stay.digest == digest)
    }
}

/// The image of a container, as the spec has it.
fn image(pod: &Pod, name: &str) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let mut all = spec.init_containers.iter().flatten().chain(&spec.containers);
    let found: &Container = all.find(|container| container.name == name)?;
    found.image.clone()
}

/// `sha256:…` of `host/path@sha256:…`, or the text itself.
#[must_use]
pub fn digest(image: &str) -> &str {
    image.rsplit_once('@').map_or(image, |(_, digest)| digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn pod(image: &str, status: &Value) -> Pod {
        let mut sidecar =
            json!({"name": "otel", "image": image, "ready": true, "restartCount": 0, "imageID": ""});
        for (key, value) in status.as_object().expect("an object") {
            sidecar[key] = value.clone();
        }
        serde_json::from_value(json!({
            "metadata": {"uid": "1", "name": "a", "namespace": "prod"},
            "spec": {"containers": [], "initContainers": [{"name": "otel", "image": image}]},
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{"name": "app", "image": "app", "imageID": "", "ready": true, "restartCount": 0}],
                "initContainerStatuses": [sidecar],
            },
        }))
        .expect("a pod")
    }

    fn running(digest: &str, id: &str) -> Value {
        json!({
            "imageID": format!("r/otel@{digest}"), "containerID": id,
            "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
        })
    }

    fn ended(id: &str, code: i32) -> Value {
        json!({"terminated": {"exitCode": code, "containerID": id}})
    }

    #[test]
    fn a_move_is_no_crash_and_a_crash_is_counted_once() {
        let mut life = Life::begin(&pod("r/otel:latest", &json!({})), "otel", at(0));
        assert_eq!((life.born_image.as_str(), life.runs()), ("r/otel:latest", None));
        life.see(&pod("r/otel:latest", &running("sha256:old", "c1")), "otel", at(1));
        // We change the image: the old container ends with 0.
        let mut moved = running("sha256:bad", "c2");
        moved["lastState"] = ended("c1", 0);
        moved["restartCount"] = json!(1);
        life.see(&pod("r/otel@sha256:bad", &moved), "otel", at(2));
        assert!(life.crashes.is_empty());
        // It crashes, waits, and runs again: three statuses, one crash.
        let mut ended_now = json!({"imageID": "r/otel@sha256:bad", "containerID": "c2", "restartCount": 1});
        ended_now["state"] = ended("c2", 2);
        life.see(&pod("r/otel@sha256:bad", &ended_now), "otel", at(3));
        ended_now["state"] = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        ended_now["lastState"] = ended("c2", 2);
        life.see(&pod("r/otel@sha256:bad", &ended_now), "otel", at(4));
        assert_eq!(life.runs(), Some("sha256:bad"), "it will run again");
        let mut again = running("sha256:bad", "c3");
        again["lastState"] = ended("c2", 2);
        life.see(&pod("r/otel@sha256:bad", &again), "otel", at(5));
        assert_eq!(life.crashes, [Crash { at: at(3), digest: "sha256:bad".into(), exit_code: 2 }]);
        // Taken back.
        life.see(&pod("r/otel@sha256:old", &running("sha256:old", "c4")), "otel", at(6));
        life.end(at(7));
        let stays: Vec<_> =
            life.stays.iter().map(|stay| (stay.digest.as_str(), stay.from, stay.until)).collect();
        assert_eq!(
            stays,
            [
                ("sha256:old", at(1), Some(at(2))),
                ("sha256:bad", at(2), Some(at(6))),
                ("sha256:old", at(6), Some(at(7))),
            ]
        );
        assert!(life.ever_ran("sha256:bad") && life.runs().is_none());
        assert_eq!(life.other_restarts, 0);
    }

    #[test]
    fn a_crash_that_is_only_seen_after_the_move_belongs_to_the_old_contents() {
        let mut life = Life::begin(&pod("r/otel:latest", &json!({})), "otel", at(0));
        life.see(&pod("r/otel", &running("sha256:bad", "c1")), "otel", at(1));
        let mut moved = running("sha256:good", "c2");
        moved["lastState"] = ended("c1", 2);
        life.see(&pod("r/otel", &moved), "otel", at(2));
        assert_eq!(life.crashes[0].digest, "sha256:bad");
    }
}
