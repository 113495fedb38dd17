//! A real node: kubelet, containerd and runc, as root, beside everything else on this machine.
//!
//! Guarantees: pods that name the node run as real processes; nothing of it is left (processes, mounts, cgroups) when it
//! is dropped or this process ends. Where the machine cannot, it says so loudly, and that is an error if `CI=true`.
//! Assumes: pods use `hostNetwork: true`: there is no pod network. Their address is their node's, and nodes on one machine
//! have different ones.

mod able;

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::Api;

use crate::bed::Bed;
use crate::eventually::{PATIENCE, eventually};
use crate::image::{File, Image};
use crate::janitor::Janitor;
use crate::part::Part;
use crate::{ports, programs};

const CONTAINERD: &str = include_str!("../../bed/node/containerd.toml");
const KUBELET: &str = include_str!("../../bed/node/kubelet.yaml");
const LOOPBACK: &str = include_str!("../../bed/node/10-lo.conflist");
const CLEANUP: &str = include_str!("cleanup.sh");

/// A running node. The order of the fields is the order of its end.
pub struct RealNode {
    name: String,
    kubelet: Part,
    containerd: Part,
    sidecar: Vec<u8>,
    janitor: Janitor,
}

impl RealNode {
    /// Starts a node on this bed and waits until it is Ready. `None` where the machine cannot; then stderr says why.
    pub async fn start(bed: &Bed) -> Result<Option<Self>> {
        if let Err(why) = able::check() {
            let ci = std::env::var("CI").is_ok_and(|value| value == "true");
            ensure!(!ci, "this machine cannot run a real node, and CI=true asks for it: {why}");
            // Not `eprintln`: libtest shows that only of tests that fail.
            writeln!(std::io::stderr(), "\n*** SKIPPED: this machine cannot run a real node: {why} ***\n")?;
            return Ok(None);
        }
        let bin = programs::folder(programs::Target::Node).await?;
        let node = Self::lay_out(bed, &bin).await?;
        node.containerd.start().await?;
        eventually("containerd listens", PATIENCE, async || {
            node.containerd.check().await?;
            ensure!(node.folder().join("c.sock").exists(), "no socket yet");
            Ok(())
        })
        .await?;
        node.kubelet.start().await?;
        let nodes: Api<Node> = Api::all(bed.admin().await?);
        eventually("the real node is Ready", PATIENCE, async || {
            node.kubelet.check().await?;
            let seen = nodes.get(&node.name).await?;
            let conditions = seen.status.and_then(|status| status.conditions).unwrap_or_default();
            let ready =
                conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
            ensure!(ready, "{conditions:?}");
            Ok(())
        })
        .await?;
        Ok(Some(node))
    }

    /// Writes its files; starts nothing.
    async fn lay_out(bed: &Bed, bin: &Path) -> Result<Self> {
        // Paths of sockets may have 107 bytes, so it is short.
        let folder = tempfile::Builder::new().prefix("lk-node-").tempdir()?.keep();
        let janitor = Janitor::watch(&folder, CLEANUP)?;
        let sidecar = std::fs::read(bin.join("sidecar")).context("tests/bed/build made no sidecar")?;
        let pause = program_image(&sidecar, "pause", Vec::new());
        let pause = bed.registry().push("node/pause", "1", &pause).await?;
        let logs = bed.logs().join("pods");
        let below = |name: &str| folder.join(name).display().to_string();
        let kubelet_port = ports::free()?;
        let fill = |text: &str| {
            text.replace("@DIR@", &folder.display().to_string())
                .replace("@BIN@", &bin.display().to_string())
                .replace("@LOGS@", &logs.display().to_string())
                .replace("@PAUSE@", &pause.tagged("1"))
                .replace("@ARCH@", able::architecture())
                .replace("@PORT@", &kubelet_port.to_string())
        };
        std::fs::write(folder.join("containerd.toml"), fill(CONTAINERD))?;
        std::fs::write(folder.join("kubelet.yaml"), fill(KUBELET))?;
        std::fs::create_dir(folder.join("cni"))?;
        std::fs::write(folder.join("cni/10-lo.conflist"), LOOPBACK)?;
        bed.write_kubeconfig_of("system:node:real", &folder.join("kubeconfig"))?;

        // A node that is called by an address has it: all of 127.0.0.0/8 is this machine, so each node has one of its own.
        let name = format!("127.1.{}.{}", kubelet_port >> 8, kubelet_port & 0xff);
        let search = std::env::var("PATH").unwrap_or_default();
        // containerd finds its shim, and the shim finds runc, on PATH.
        let env = vec![("PATH".to_owned(), format!("{}:/usr/sbin:/sbin:{search}", bin.display()))];
        let part = |program: &str, args: Vec<String>| {
            let log = bed.logs().join(format!("{name}-{program}.log"));
            Part::new(program, bin.join(program), args, env.clone(), log)
        };
        Ok(Self {
            kubelet: part(
                "kubelet",
                vec![
                    format!("--config={}", below("kubelet.yaml")),
                    format!("--kubeconfig={}", below("kubeconfig")),
                    format!("--root-dir={}", below("kubelet")),
                    format!("--cert-dir={}", below("certificates")),
                    format!("--hostname-override={name}"),
                ],
            ),
            containerd: part("containerd", vec![format!("--config={}", below("containerd.toml"))]),
            name,
            sidecar,
            janitor,
        })
    }

    /// Its folder, which everything of it names.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.janitor.folder()
    }

    /// What a pod says as `nodeName` to run here: the node's address.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A telemetry sidecar that really runs. Release `0.29.0` panics (exit code 2) where the container's environment says
    /// `INPUT=bare`; every other release, and 0.29.0 with another input, runs on.
    #[must_use]
    pub fn collector(&self, version: &str) -> Image {
        let release = File {
            path: "etc/collector/version".to_owned(),
            contents: format!("{version}\n").into_bytes(),
            mode: 0o644,
        };
        program_image(&self.sidecar, "collector", vec![release])
    }

    /// An application that really runs until it is asked to end.
    #[must_use]
    pub fn application(&self) -> Image {
        program_image(&self.sidecar, "app", Vec::new())
    }

    /// Ends the node in good order. Dropping it does the same with less patience.
    pub async fn stop(self) -> Result<()> {
        self.kubelet.stop().await?;
        self.containerd.stop().await
    }
}

/// An image that runs our one program in a role.
fn program_image(program: &[u8], role: &str, more: Vec<File>) -> Image {
    let program = File { path: "sidecar".to_owned(), contents: program.to_vec(), mode: 0o755 };
    let mut layers = vec![vec![program]];
    if !more.is_empty() {
        layers.push(more);
    }
    let entrypoint = vec!["/sidecar".to_owned(), role.to_owned()];
    Image { layers, entrypoint, labels: Vec::new(), ..Image::release("") }
}
