//! The files and the arguments of every part of a bed.

use std::path::Path;

use anyhow::{Context as _, Result};
use aws_lc_rs::encoding::{AsDer as _, EcPrivateKeyRfc5915Der, PublicKeyX509Der};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Bed;
use super::access::Tokens;

/// Writes, with the request, what is changed; of reads only that the controller made them. Heartbeats are noise.
const AUDIT_POLICY: &str = r#"apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
  - {level: Metadata, verbs: [get, list, watch], users: ["system:serviceaccount:lockkeeper-system:lockkeeper"]}
  - {level: None, verbs: [get, list, watch]}
  - {level: None, users: ["system:apiserver"]}
  - {level: None, resources: [{group: coordination.k8s.io, resources: [leases]}], users: [kubelet-sim]}
  - {level: Metadata, users: [kubelet-sim, "system:kube-scheduler", "system:node:real"]}
  - {level: Metadata, userGroups: ["system:serviceaccounts:kube-system"]}
  - {level: Request}
"#;

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}

/// The files that do not depend on anything that runs.
pub fn write(folder: &Path, tokens: &Tokens) -> Result<()> {
    std::fs::write(folder.join("tokens.csv"), tokens.csv())?;
    std::fs::write(folder.join("audit-policy.yaml"), AUDIT_POLICY)?;
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).context("no key could be made")?;
    let private: EcPrivateKeyRfc5915Der<'_> =
        key.private_key().as_der().context("the key could not be written")?;
    let public: PublicKeyX509Der<'_> = key.public_key().as_der().context("the key could not be written")?;
    std::fs::write(folder.join("sa.key"), pem("EC PRIVATE KEY", private.as_ref())?)?;
    std::fs::write(folder.join("sa.pub"), pem("PUBLIC KEY", public.as_ref())?)?;
    let scheduler = format!(
        "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nleaderElection: {{leaderElect: false}}\n\
         clientConnection: {{kubeconfig: {}, qps: 1000, burst: 2000}}\n",
        path(folder, "kube-scheduler.kubeconfig")
    );
    std::fs::write(folder.join("kube-scheduler.yaml"), scheduler)?;
    Ok(())
}

fn pem(label: &str, der: &[u8]) -> Result<String> {
    let text = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        out.push_str(std::str::from_utf8(line)?);
        out.push('\n');
    }
    Ok(out + "-----END " + label + "-----\n")
}

/// The registry's configuration; returns its path.
pub fn write_registry(folder: &Path, host: &str) -> Result<String> {
    let text = format!(
        "version: 0.1\nlog: {{level: warn}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\nhttp: {{addr: {host}}}\n",
        path(folder, "registry")
    );
    let file = path(folder, "registry.yaml");
    std::fs::write(&file, text)?;
    Ok(file)
}

/// The kubeconfigs of the control plane's own clients; they hold the API server's certificate, so it must have started.
pub fn write_component_kubeconfigs(bed: &Bed) -> Result<()> {
    for (user, name) in [
        ("system:kube-controller-manager", "kube-controller-manager"),
        ("system:kube-scheduler", "kube-scheduler"),
    ] {
        let token = bed.tokens.of(user)?;
        bed.write_kubeconfig(&bed.folder.join(format!("{name}.kubeconfig")), token)?;
    }
    Ok(())
}

pub fn etcd_args(folder: &Path, port: u16, peer_port: u16) -> Vec<String> {
    let (client, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peer_port}"));
    vec![
        format!("--data-dir={}", path(folder, "etcd")),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        // The data lives as long as the test.
        "--unsafe-no-fsync".to_owned(),
        "--quota-backend-bytes=4294967296".to_owned(),
        "--auto-compaction-mode=periodic".to_owned(),
        "--auto-compaction-retention=5m".to_owned(),
        "--log-level=warn".to_owned(),
    ]
}

pub fn api_server_args(folder: &Path, etcd_port: u16, port: u16) -> Vec<String> {
    vec![
        format!("--etcd-servers=http://127.0.0.1:{etcd_port}"),
        format!("--secure-port={port}"),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--cert-dir={}", path(folder, "certificates")),
        format!("--service-account-key-file={}", path(folder, "sa.pub")),
        format!("--service-account-signing-key-file={}", path(folder, "sa.key")),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
        "--authorization-mode=RBAC".to_owned(),
        format!("--token-auth-file={}", path(folder, "tokens.csv")),
        format!("--audit-policy-file={}", path(folder, "audit-policy.yaml")),
        format!("--audit-log-path={}", path(folder, "logs/audit.jsonl")),
        "--max-requests-inflight=2000".to_owned(),
        "--max-mutating-requests-inflight=1000".to_owned(),
        "--allow-privileged=true".to_owned(),
        // It serves on loopback, so nobody waits for endpoints to be taken out.
        "--shutdown-delay-duration=0s".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(),
    ]
}

pub fn controllers_args(folder: &Path) -> Vec<String> {
    vec![
        format!("--kubeconfig={}", path(folder, "kube-controller-manager.kubeconfig")),
        format!("--service-account-private-key-file={}", path(folder, "sa.key")),
        format!("--root-ca-file={}", path(folder, "certificates/apiserver.crt")),
        "--use-service-account-credentials".to_owned(),
        "--leader-elect=false".to_owned(),
        "--secure-port=0".to_owned(),
        // The default limits make 16 pods a second.
        "--kube-api-qps=1000".to_owned(),
        "--kube-api-burst=2000".to_owned(),
    ]
}

pub fn scheduler_args(folder: &Path) -> Vec<String> {
    vec![format!("--config={}", path(folder, "kube-scheduler.yaml")), "--secure-port=0".to_owned()]
}
