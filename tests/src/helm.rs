//! The real helm, as a person runs it.
//!
//! Guarantees: it reads and writes nothing of the person who runs the tests; what it said is in the error.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;

use crate::bed::Bed;
use crate::install::checkout;
use crate::programs;

/// Name and namespace of the release: what the README says.
pub const RELEASE: (&str, &str) = ("lockkeeper", "lockkeeper-system");

/// helm, with a home of its own.
pub struct Helm {
    program: PathBuf,
    home: TempDir,
}

impl Helm {
    /// helm without a cluster: to lint and to render.
    pub async fn alone() -> Result<Self> {
        let program = programs::folder(programs::Target::Helm).await?.join("helm");
        Ok(Self { program, home: tempfile::tempdir()? })
    }

    /// helm as somebody who may do everything on a bed.
    pub async fn on(bed: &Bed) -> Result<Self> {
        let helm = Self::alone().await?;
        bed.write_kubeconfig_of("admin", &helm.home.path().join("kubeconfig"))?;
        Ok(helm)
    }

    /// What it printed; its complaint is the error.
    pub async fn run(&self, args: &[&str]) -> Result<String> {
        let home = self.home.path();
        let mut command = tokio::process::Command::new(&self.program);
        command.args(args).env_clear().env("HOME", home).env("KUBECONFIG", home.join("kubeconfig"));
        let output = command.stdin(Stdio::null()).output().await.context("helm could not be run")?;
        if !output.status.success() {
            bail!("helm {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What it says when it refuses; an error if it does not.
    pub async fn refusal(&self, args: &[&str]) -> Result<String> {
        let answer = self.run(args).await;
        ensure!(answer.is_err(), "helm {} was done", args.join(" "));
        Ok(answer.err().map(|error| format!("{error:#}")).unwrap_or_default())
    }

    /// The objects that a chart becomes, as text.
    pub async fn template(&self, chart: &Path, more: &[&str]) -> Result<String> {
        let chart = chart.display().to_string();
        let (name, namespace) = RELEASE;
        let mut args = vec!["template", name, &chart, "--namespace", namespace];
        args.extend(more);
        self.run(&args).await
    }
}

/// The chart of this checkout.
#[must_use]
pub fn chart() -> PathBuf {
    checkout("charts/lockkeeper")
}
