//! The nodes of the simulated kubelet: registered, Ready, and heard of every ten seconds.

use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::task::AbortHandle;

use super::status::time;

/// One node.
#[derive(Clone, Debug)]
pub struct NodeSettings {
    /// Its name.
    pub name: String,
    /// `amd64` or `arm64`.
    pub architecture: String,
    /// How many pods the scheduler may put on it.
    pub pods: u32,
    /// Labels besides the usual ones.
    pub labels: Vec<(String, String)>,
}

impl NodeSettings {
    /// An amd64 node with room for 2,000 pods.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), architecture: "amd64".to_owned(), pods: 2_000, labels: Vec::new() }
    }
}

/// Creates the nodes; those that exist become Ready again.
pub async fn register(client: &Client, nodes: &[NodeSettings]) -> Result<()> {
    let api: Api<Node> = Api::all(client.clone());
    for node in nodes {
        let object: Node = serde_json::from_value(object(node))?;
        match api.create(&PostParams::default(), &object).await {
            Ok(_) => {}
            Err(kube::Error::Api(error)) if error.code == 409 => {
                let status = Patch::Strategic(json!({"status": status(node)}));
                api.patch_status(&node.name, &PatchParams::default(), &status).await?;
            }
            Err(error) => {
                return Err(error).with_context(|| format!("node {} cannot be registered", node.name));
            }
        }
        beat(client, &node.name)
            .await
            .with_context(|| format!("the first heartbeat of node {}", node.name))?;
    }
    Ok(())
}

/// Ends the heartbeats when dropped.
pub struct Beats(AbortHandle);

impl Drop for Beats {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Renews the nodes' leases every ten seconds. A missed beat is made up by the next: nodes are given 40 s.
pub fn keep_alive(client: Client, nodes: &[NodeSettings]) -> Beats {
    let names: Vec<String> = nodes.iter().map(|node| node.name.clone()).collect();
    let task = tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_secs(10));
        loop {
            tick.tick().await;
            for name in &names {
                if let Err(error) = beat(&client, name).await {
                    tracing::warn!(node = name, error = format!("{error:#}"), "heartbeat failed");
                }
            }
        }
    });
    Beats(task.abort_handle())
}

async fn beat(client: &Client, node: &str) -> Result<Lease> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), "kube-node-lease");
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": node, "namespace": "kube-node-lease"},
        "spec": {"holderIdentity": node, "leaseDurationSeconds": 40, "renewTime": now},
    });
    let params = PatchParams::apply("kubelet-sim").force();
    let patch = Patch::Apply(lease);
    Ok(tokio::time::timeout(Duration::from_secs(10), leases.patch(node, &params, &patch)).await??)
}

fn object(node: &NodeSettings) -> Value {
    let mut labels = json!({
        "kubernetes.io/hostname": node.name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": node.architecture,
    });
    for (key, value) in &node.labels {
        labels[key] = json!(value);
    }
    json!({"metadata": {"name": node.name, "labels": labels}, "spec": {}, "status": status(node)})
}

fn status(node: &NodeSettings) -> Value {
    let now = time(Timestamp::now());
    let resources = json!({"cpu": "10000", "memory": "100Ti", "pods": node.pods.to_string(), "ephemeral-storage": "100Ti"});
    let condition = |kind: &str, status: &str, reason: &str| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": "simulated",
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        })
    };
    json!({
        "capacity": resources,
        "allocatable": resources,
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": node.name}],
        "conditions": [
            condition("MemoryPressure", "False", "KubeletHasSufficientMemory"),
            condition("DiskPressure", "False", "KubeletHasNoDiskPressure"),
            condition("PIDPressure", "False", "KubeletHasSufficientPID"),
            condition("Ready", "True", "KubeletReady"),
        ],
        "nodeInfo": {
            "architecture": node.architecture, "operatingSystem": "linux", "kubeletVersion": "v1.36.3",
            "containerRuntimeVersion": "containerd://2.4.2", "osImage": "simulated", "kernelVersion": "simulated",
            "kubeProxyVersion": "", "machineID": node.name, "systemUUID": node.name, "bootID": node.name,
        },
    })
}
