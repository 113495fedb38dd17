//! Where the programs of the bed are: `tests/bed/build` makes what is missing and says so.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};

/// Which programs are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The control plane and the registry.
    ControlPlane,
    /// These, and what a real node needs.
    Node,
    /// helm alone.
    Helm,
    /// kube-apiserver of an older Kubernetes alone.
    Older,
    /// prometheus and promtool alone.
    Prometheus,
    /// zsh and fish alone.
    Shells,
    /// sshd alone.
    Sshd,
    /// Gitea alone.
    Forge,
}

impl Target {
    /// What `tests/bed/build` calls it.
    fn argument(self) -> Option<&'static str> {
        match self {
            Self::ControlPlane => None,
            Self::Node => Some("node"),
            Self::Helm => Some("helm"),
            Self::Older => Some("older"),
            Self::Prometheus => Some("prometheus"),
            Self::Shells => Some("shells"),
            Self::Sshd => Some("sshd"),
            Self::Forge => Some("forge"),
        }
    }
}

/// The folder that holds the programs, built now where they are missing. Progress goes to this process's stderr.
pub async fn folder(target: Target) -> Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("bed/build");
    let output = tokio::process::Command::new(&script)
        .args(target.argument())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .await
        .with_context(|| format!("{} could not be run", script.display()))?;
    if !output.status.success() {
        bail!("{} failed ({}); what it said is above", script.display(), output.status);
    }
    let text = String::from_utf8(output.stdout)?;
    let last = text.lines().last().context("tests/bed/build printed no folder")?;
    Ok(PathBuf::from(last))
}

/// The controller as it was at an older commit: `tests/bed/other` builds it once, and says so.
pub async fn other_controller() -> Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("bed/other");
    let mut command = tokio::process::Command::new(&script);
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().await;
    let output = output.with_context(|| format!("{} could not be run", script.display()))?;
    if !output.status.success() {
        bail!("{} failed ({}); what it said is above", script.display(), output.status);
    }
    let text = String::from_utf8(output.stdout)?;
    Ok(PathBuf::from(text.lines().last().context("tests/bed/other printed no program")?))
}
