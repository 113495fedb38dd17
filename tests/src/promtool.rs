//! The real promtool, as a person runs it.
//!
//! Guarantees: it sees one folder of its own, which is gone when this is; what it said is in the error.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;

use crate::programs;

/// promtool, with a folder of its own.
pub struct Promtool {
    program: PathBuf,
    folder: TempDir,
}

impl Promtool {
    /// promtool and an empty folder.
    pub async fn new() -> Result<Self> {
        let program = programs::folder(programs::Target::Prometheus).await?.join("promtool");
        Ok(Self { program, folder: tempfile::tempdir()? })
    }

    /// Where it runs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file into its folder.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        std::fs::write(self.folder.path().join(name), text).with_context(|| format!("cannot write {name}"))
    }

    /// What it printed, with `input` on its standard input; its complaint is the error.
    pub async fn run(&self, args: &[&str], input: &str) -> Result<String> {
        let mut command = tokio::process::Command::new(&self.program);
        command.args(args).current_dir(self.folder.path()).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("promtool could not be run")?;
        let mut stdin = child.stdin.take().context("no standard input")?;
        // One that reads nothing closes it.
        drop(stdin.write_all(input.as_bytes()).await);
        drop(stdin);
        let output = child.wait_with_output().await?;
        let said = [&output.stdout, &output.stderr]
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            .concat();
        if !output.status.success() {
            bail!("promtool {}: {}", args.join(" "), said.trim());
        }
        Ok(said)
    }
}
