//! What a kubelet reads of a pod.

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodCondition};

/// How a container runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// An init container that must end before the next starts.
    Init,
    /// An init container with `restartPolicy: Always`: a native sidecar.
    Sidecar,
    /// One of `spec.containers`.
    App,
}

/// One container's spec.
#[derive(Clone, Debug)]
pub struct ContainerView {
    pub name: String,
    pub role: Role,
    pub image: String,
    pub always_pull: bool,
    pub startup_probe: bool,
}

/// A pod's spec and the little of its metadata and status that is not the kubelet's own.
#[derive(Clone, Debug)]
pub struct PodView {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub node: String,
    pub generation: Option<i64>,
    pub deleting: bool,
    pub restart_policy: String,
    /// Init containers and sidecars in their order, then the containers.
    pub containers: Vec<ContainerView>,
    pub readiness_gates: Vec<String>,
    pub conditions: Vec<PodCondition>,
    /// The status it had when it was seen first: a kubelet that starts again goes on from there.
    pub statuses: Vec<ContainerStatus>,
    pub pod_ip: Option<String>,
    pub start_time: Option<jiff::Timestamp>,
}

impl PodView {
    pub fn of(pod: Pod) -> Result<Self> {
        let spec = pod.spec.context("a pod without a spec")?;
        let status = pod.status.unwrap_or_default();
        let init = spec.init_containers.unwrap_or_default().into_iter().map(|container| {
            let always = container.restart_policy.as_deref() == Some("Always");
            view(container, if always { Role::Sidecar } else { Role::Init })
        });
        let containers =
            init.chain(spec.containers.into_iter().map(|container| view(container, Role::App))).collect();
        let statuses =
            status.init_container_statuses.into_iter().chain(status.container_statuses).flatten().collect();
        Ok(Self {
            namespace: pod.metadata.namespace.unwrap_or_default(),
            name: pod.metadata.name.unwrap_or_default(),
            uid: pod.metadata.uid.context("a pod without a uid")?,
            node: spec.node_name.unwrap_or_default(),
            generation: pod.metadata.generation,
            deleting: pod.metadata.deletion_timestamp.is_some(),
            restart_policy: spec.restart_policy.unwrap_or_else(|| "Always".to_owned()),
            containers,
            readiness_gates: spec
                .readiness_gates
                .unwrap_or_default()
                .into_iter()
                .map(|gate| gate.condition_type)
                .collect(),
            conditions: status.conditions.unwrap_or_default(),
            statuses,
            pod_ip: status.pod_ip,
            start_time: status.start_time.map(|time| time.0),
        })
    }
}

fn view(container: Container, role: Role) -> ContainerView {
    let image = container.image.unwrap_or_default();
    ContainerView {
        name: container.name,
        role,
        always_pull: container.image_pull_policy.as_deref() == Some("Always"),
        startup_probe: container.startup_probe.is_some(),
        image,
    }
}
