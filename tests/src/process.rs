//! One child process: its log, its exit, its end.
//!
//! Guarantees: a child is killed by the kernel when this process ends, however it ends (`PR_SET_PDEATHSIG`, set by
//! util-linux's `setpriv`); a signal never reaches another process that was given the same number (pidfd).
//! Assumes: `setpriv` is installed. What a child starts itself is the child's to end.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
pub use rustix::process::Signal;
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};
use tokio::sync::watch;

/// A started child. Dropping the last clone kills it.
#[derive(Clone)]
pub struct Process {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    pid: u32,
    handle: OwnedFd,
    log: PathBuf,
    exit: watch::Receiver<Option<ExitStatus>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // An error says that it is gone already.
        let _gone = pidfd_send_signal(&self.handle, Signal::KILL);
    }
}

type Job = (Command, mpsc::Sender<std::io::Result<Child>>);

/// The parent-death signal follows the *thread* that forked, so all children are forked by one that never ends.
fn spawner() -> &'static mpsc::Sender<Job> {
    static SPAWNER: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    SPAWNER.get_or_init(|| {
        let (jobs, queue) = mpsc::channel::<Job>();
        std::thread::spawn(move || {
            for (mut command, reply) in queue {
                // Whoever asked may have given up; then the child is dropped unwatched, and dies with this process.
                let _unheard = reply.send(command.spawn());
            }
        });
        jobs
    })
}

impl Process {
    /// Starts `program` with `args` and `env` added to this process's environment; both outputs are appended to `log`.
    pub fn spawn(
        name: &str,
        program: &Path,
        args: &[String],
        env: &[(String, String)],
        log: &Path,
    ) -> Result<Self> {
        if !program.is_file() {
            bail!("{name}: there is no program at {}", program.display());
        }
        let out = File::options().create(true).append(true).open(log)?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(args);
        // Everything is on loopback, whatever proxy this machine uses.
        for proxy in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
            command.env_remove(proxy);
        }
        command.envs(env.iter().map(|(key, value)| (key, value)));
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        // A group of its own: Ctrl-C in the terminal ends the test process, and that ends the child.
        command.process_group(0);
        let (reply, answer) = mpsc::channel();
        spawner().send((command, reply)).context("the thread that starts processes is gone")?;
        let mut child = answer
            .recv()
            .context("the thread that starts processes is gone")?
            .with_context(|| format!("{name}: setpriv could not be run; install the package util-linux"))?;
        let pid = child.id();
        let number = Pid::from_raw(i32::try_from(pid)?).context("a process number is never 0")?;
        let handle = pidfd_open(number, PidfdFlags::empty())
            .with_context(|| format!("{name}: pidfd_open failed; the test bed needs Linux 5.3 or newer"))?;
        let (exited, exit) = watch::channel(None);
        std::thread::spawn(move || {
            if let Ok(status) = child.wait() {
                exited.send_replace(Some(status));
            }
        });
        let inner = Inner { name: name.to_owned(), pid, handle, log: log.to_owned(), exit };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// What it was called at its start.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Its process number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.inner.pid
    }

    /// How it ended, if it has.
    #[must_use]
    pub fn exit_status(&self) -> Option<ExitStatus> {
        *self.inner.exit.borrow()
    }

    /// Sends a signal. One that comes after its end is no error.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        match pidfd_send_signal(&self.inner.handle, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("signal {signal:?} to {}", self.inner.name)),
        }
    }

    /// Waits for its end.
    pub async fn exited(&self) -> Result<ExitStatus> {
        let mut exit = self.inner.exit.clone();
        let status = exit.wait_for(Option::is_some).await.context("the process could not be waited for")?;
        status.context("wait_for returned without a status")
    }

    /// Asks it to end (SIGTERM), and kills it after `grace`.
    pub async fn stop(&self, grace: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        if let Ok(status) = tokio::time::timeout(grace, self.exited()).await {
            return status;
        }
        self.kill().await
    }

    /// Kills it (SIGKILL) and waits for its end.
    pub async fn kill(&self) -> Result<ExitStatus> {
        self.signal(Signal::KILL)?;
        self.exited().await
    }

    /// The last part of its log, for messages.
    #[must_use]
    pub fn log_tail(&self) -> String {
        tail(&self.inner.log).unwrap_or_else(|error| format!("(no log: {error})"))
    }
}

/// The last 4,000 bytes of a file.
fn tail(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let from = file.metadata()?.len().saturating_sub(4_000);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
