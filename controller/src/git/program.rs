//! One call of the `git` program.
//!
//! Guarantees: it reads no configuration but ours, runs no hook, filter or helper, asks nobody, speaks one protocol only, follows
//! no redirect and uses no proxy; a credential is in its environment, never on its command line; it ends at its
//! deadline, with everything that it started; what it prints is bounded. May not: know what is asked of it.

use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, Command},
    time::timeout,
};

/// Longest time of a call that reads or writes files only.
pub const LOCAL: Duration = Duration::from_secs(30);
/// Most bytes that a call may print.
const CAP: u64 = 64 * 1024 * 1024;
/// Most bytes of its complaints that are read.
const COMPLAINTS: u64 = 16 * 1024;

/// What is set for every call.
const CONFIG: &[(&str, &str)] = &[
    ("core.hooksPath", "/dev/null"),
    ("core.attributesFile", "/dev/null"),
    ("core.excludesFile", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.askPass", ""),
    ("log.mailmap", "false"),
    ("credential.helper", ""),
    ("commit.gpgSign", "false"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("fetch.recurseSubmodules", "false"),
    ("protocol.version", "2"),
    ("protocol.allow", "never"),
    ("http.followRedirects", "false"),
    ("http.proxy", ""),
    ("http.sslVerify", "true"),
    ("http.lowSpeedLimit", "1"),
    ("http.lowSpeedTime", "20"),
    ("push.recurseSubmodules", "no"),
    ("remote.origin.promisor", "true"),
    ("remote.origin.partialCloneFilter", "blob:none"),
];

/// A git directory, and what its calls are given.
#[derive(Clone)]
pub struct Program {
    folder: PathBuf,
    /// Further configuration: the remote's address, credential and authority.
    config: Vec<(String, String)>,
    /// The one protocol that is spoken.
    protocol: &'static str,
}

/// What a call printed.
pub struct Printed {
    /// On standard output.
    pub bytes: Vec<u8>,
    /// On standard error, without control characters.
    pub complaints: String,
    /// How it ended.
    pub status: ExitStatus,
}

/// Why a call gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// It could not be run at all.
    #[error("the program git could not be run: {0}; is it installed beside the controller?")]
    NotRun(#[from] std::io::Error),
    /// It did not end in time.
    #[error("git {call} did not end within {limit:?}")]
    TooLong {
        /// Its first argument.
        call: String,
        /// The deadline.
        limit: Duration,
    },
    /// It printed more than is read.
    #[error("git {0} printed more than {CAP} bytes; name a smaller folder")]
    TooMuch(String),
    /// It failed.
    #[error("git {call} failed: {complaints}")]
    Failed {
        /// Its first argument.
        call: String,
        /// What it said.
        complaints: String,
    },
}

/// Kills the group of a program that is not waited for any more.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may have ended by itself: there is nobody to tell.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Program {
    /// Calls in this git directory.
    #[must_use]
    pub fn new(folder: PathBuf, config: Vec<(String, String)>, protocol: &'static str) -> Self {
        Self { folder, config, protocol }
    }

    /// The git directory.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs git to its end, whatever that is.
    pub async fn run(
        &self,
        arguments: &[&str],
        input: &[u8],
        environment: &[(&str, &str)],
        limit: Duration,
    ) -> Result<Printed, CallError> {
        let call = || arguments.first().copied().unwrap_or_default().to_owned();
        let mut child = self.command(arguments, environment).spawn()?;
        let mut group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
        let ended = timeout(limit, talk(&mut child, input)).await;
        let (bytes, complaints, status) = ended.map_err(|_| CallError::TooLong { call: call(), limit })??;
        if bytes.len() as u64 > CAP {
            return Err(CallError::TooMuch(call()));
        }
        group.0 = None;
        Ok(Printed { bytes, complaints: plain(&complaints), status })
    }

    /// Runs git and returns what it printed, if it succeeded.
    pub async fn output(
        &self,
        arguments: &[&str],
        input: &[u8],
        environment: &[(&str, &str)],
        limit: Duration,
    ) -> Result<Vec<u8>, CallError> {
        let Printed { bytes, complaints, status } = self.run(arguments, input, environment, limit).await?;
        if status.success() {
            return Ok(bytes);
        }
        Err(CallError::Failed { call: arguments.first().copied().unwrap_or_default().to_owned(), complaints })
    }

    fn command(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
        let mut command = Command::new("git");
        command.args(arguments).current_dir(&self.folder).env_clear();
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command
            .env("GIT_DIR", &self.folder)
            .env("HOME", &self.folder)
            .env("LC_ALL", "C")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ALLOW_PROTOCOL", self.protocol)
            .env("GIT_LITERAL_PATHSPECS", "1");
        let own = self.config.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let mut count = 0;
        for (key, value) in CONFIG.iter().copied().chain(own) {
            command
                .env(format!("GIT_CONFIG_KEY_{count}"), key)
                .env(format!("GIT_CONFIG_VALUE_{count}"), value);
            count += 1;
        }
        command.env("GIT_CONFIG_COUNT", count.to_string());
        command.envs(environment.iter().copied());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        command
    }
}

async fn talk(child: &mut Child, input: &[u8]) -> std::io::Result<(Vec<u8>, Vec<u8>, ExitStatus)> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            // One that ends early does not read to the end: its status says why.
            let _ = stdin.write_all(input).await;
        }
    };
    let (mut bytes, mut complaints) = (Vec::new(), Vec::new());
    let read = async {
        match stdout {
            Some(stdout) => stdout.take(CAP + 1).read_to_end(&mut bytes).await,
            None => Ok(0),
        }
    };
    let listen = async {
        match stderr {
            Some(mut stderr) => {
                (&mut stderr).take(COMPLAINTS).read_to_end(&mut complaints).await?;
                tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await
            }
            None => Ok(0),
        }
    };
    let ((), read, listened) = futures::join!(write, read, listen);
    read?;
    listened?;
    Ok((bytes, complaints, child.wait().await?))
}

/// One line without control characters, in at most 400 characters.
fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let text = lines.collect::<Vec<_>>().join("; ");
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(400).collect()
}
