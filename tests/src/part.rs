//! A part of the bed that can be stopped and started again: how to start it, and the process if it runs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::sync::Mutex;

use crate::process::{Process, Signal};

/// Time between SIGTERM and SIGKILL. kube-apiserver does not end on SIGTERM once etcd is gone.
pub const GRACE: Duration = Duration::from_secs(5);

/// A program with its arguments, running or not.
pub struct Part {
    /// What it is called in messages and by its log.
    pub name: String,
    /// The program's file.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// What is added to its environment.
    pub env: Vec<(String, String)>,
    /// Where both of its outputs go.
    pub log: PathBuf,
    process: Mutex<Option<Process>>,
}

impl Part {
    /// Describes a part; nothing is started.
    #[must_use]
    pub fn new(
        name: &str,
        program: PathBuf,
        args: Vec<String>,
        env: Vec<(String, String)>,
        log: PathBuf,
    ) -> Self {
        Self { name: name.to_owned(), program, args, env, log, process: Mutex::new(None) }
    }

    /// Starts it. One that runs is an error; one that ended is started anew.
    pub async fn start(&self) -> Result<()> {
        self.start_as(&self.program, &self.args).await
    }

    /// The same with another program and other arguments, this once.
    pub async fn start_as(&self, program: &Path, args: &[String]) -> Result<()> {
        let mut process = self.process.lock().await;
        if process.as_ref().is_some_and(|running| running.exit_status().is_none()) {
            bail!("{} runs already", self.name);
        }
        *process = Some(Process::spawn(&self.name, program, args, &self.env, &self.log)?);
        Ok(())
    }

    /// SIGTERM, then SIGKILL after five seconds. Does nothing where it does not run.
    pub async fn stop(&self) -> Result<()> {
        if let Some(process) = self.process.lock().await.take() {
            process.stop(GRACE).await?;
        }
        Ok(())
    }

    /// SIGKILL. Does nothing where it does not run.
    pub async fn kill(&self) -> Result<()> {
        if let Some(process) = self.process.lock().await.take() {
            process.kill().await?;
        }
        Ok(())
    }

    /// Sends a signal, for instance `STOP` and `CONT` to freeze it.
    pub async fn signal(&self, signal: Signal) -> Result<()> {
        self.running().await?.signal(signal)
    }

    /// The process, where it was started and not stopped.
    pub async fn running(&self) -> Result<Process> {
        self.process.lock().await.clone().with_context(|| format!("{} was not started", self.name))
    }

    /// An error with the end of its log if it ended by itself.
    pub async fn check(&self) -> Result<()> {
        let process = self.running().await?;
        if let Some(status) = process.exit_status() {
            bail!(
                "{} ended by itself: {status}; the end of {}:\n{}",
                self.name,
                self.log.display(),
                process.log_tail()
            );
        }
        Ok(())
    }
}
