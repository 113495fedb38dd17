//! What tests read of a policy's status and of pods.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

/// A policy's status.
pub struct Status(pub Value);

impl Status {
    /// Its first stage.
    #[must_use]
    pub fn stage(&self) -> &Value {
        &self.0["stages"][0]
    }

    /// Reason and message of a condition.
    pub fn condition(&self, kind: &str) -> (&str, &str, &str) {
        let all = self.0["conditions"].as_array().map_or(&[][..], Vec::as_slice);
        let found = all.iter().find(|condition| condition["type"] == kind);
        let text = |field: &str| found.and_then(|c| c[field].as_str()).unwrap_or_default();
        (text("status"), text("reason"), text("message"))
    }

    /// The digests of verified releases.
    pub fn verified(&self) -> Vec<&str> {
        let all = self.stage()["verified"].as_array().map_or(&[][..], Vec::as_slice);
        all.iter().filter_map(|one| one["release"]["digest"].as_str()).collect()
    }
}

/// A pod's name.
#[must_use]
pub fn name(pod: &Pod) -> String {
    pod.metadata.name.clone().unwrap_or_default()
}

/// Condition `Ready`.
#[must_use]
pub fn ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().filter_map(|status| status.conditions.as_ref()).flatten();
    conditions.into_iter().any(|one| one.type_ == "Ready" && one.status == "True")
}

/// The digests that the pod's collectors run: all its containers but `app`.
#[must_use]
pub fn runs(pod: &Pod) -> BTreeSet<String> {
    let Some(status) = &pod.status else { return BTreeSet::new() };
    let all = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
    let collectors = all.filter(|container| container.name != "app");
    collectors.map(|container| crate::recorder::digest(&container.image_id).to_owned()).collect()
}

/// The image of the collector in a pod's spec.
#[must_use]
pub fn image(pod: &Pod) -> String {
    let Some(spec) = &pod.spec else { return String::new() };
    let mut all = spec.init_containers.iter().flatten().chain(&spec.containers);
    all.find(|container| container.name == "otel").and_then(|c| c.image.clone()).unwrap_or_default()
}

/// Restarts of all containers of a pod.
#[must_use]
pub fn restarts(pod: &Pod) -> i32 {
    let Some(status) = &pod.status else { return 0 };
    let all = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
    all.map(|container| container.restart_count).sum()
}
