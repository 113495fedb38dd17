//! Workloads with a pod template.

use super::{ContainerSeen, ObjectKey};
use std::collections::BTreeMap;

/// A workload with a pod template.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkloadSeen {
    /// Identity.
    pub key: ObjectKey,
    /// Index into the stage's targets.
    pub target: usize,
    /// Kind.
    pub kind: String,
    /// Group and version, such as `apps/v1`.
    pub api_version: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// The controller has rolled the current template out to all pods.
    pub rolled_out: bool,
    /// Paused, or an `OnDelete` strategy: its template changes reach no pod by themselves.
    pub manual_rollout: bool,
    /// JSON pointer of the pod spec, such as `/spec/template/spec`.
    pub pod_spec: String,
    /// Containers of the template (running and health fields are empty).
    pub containers: Vec<ContainerSeen>,
    /// The field manager that last set each governed container's image, if it is another one.
    pub image_managers: BTreeMap<String, String>,
    /// The tool that applies this object all the time, if its marks are found (`Argo CD`, `Flux`).
    pub applied_by: Option<String>,
    /// A shape that is refused, and why (`workloadRef`).
    pub refused: Option<String>,
}
