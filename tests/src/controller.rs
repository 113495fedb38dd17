//! The controller as a process of its own, as it runs in a cluster: a ServiceAccount's kubeconfig, arguments, a log.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, bail};

use crate::bed::Bed;
use crate::eventually::eventually;
use crate::part::Part;
use crate::process::Signal;

/// A controller that was started on a bed. It dies with this process, or when it is dropped.
pub struct Controller {
    part: Part,
    ended: AtomicBool,
}

impl Controller {
    /// Starts it as ServiceAccount `account` (namespace, name), which must exist and have its rights. `KUBECONFIG` is
    /// set for it; `args` and `env` are the caller's. `name` names its log.
    pub async fn start(
        bed: &Bed,
        name: &str,
        account: (&str, &str),
        args: &[&str],
        env: &[(&str, &str)],
    ) -> Result<Self> {
        Self::start_at(bed, bed.server(), name, account, args, env).await
    }

    /// The same, but it finds the API server at `server`, which may be a [`Proxy`](crate::proxy::Proxy).
    pub async fn start_at(
        bed: &Bed,
        server: &str,
        name: &str,
        account: (&str, &str),
        args: &[&str],
        env: &[(&str, &str)],
    ) -> Result<Self> {
        Self::start_program_at(bed, server, program()?, name, account, args, env).await
    }

    /// The same for another version of it.
    pub async fn start_program_at(
        bed: &Bed,
        server: &str,
        program: PathBuf,
        name: &str,
        account: (&str, &str),
        args: &[&str],
        env: &[(&str, &str)],
    ) -> Result<Self> {
        let kubeconfig = bed.folder().join(format!("{name}.kubeconfig"));
        let token = bed.service_account_token(account.0, account.1).await?;
        bed.write_kubeconfig_at(&kubeconfig, &token, server)?;
        let mut whole = vec![("KUBECONFIG".to_owned(), kubeconfig.display().to_string())];
        whole.extend(env.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        let part = Part::new(name, program, args, whole, bed.logs().join(format!("{name}.log")));
        part.start().await?;
        Ok(Self { part, ended: AtomicBool::new(false) })
    }

    /// Where it serves HTTP, if it was told so.
    pub fn address(&self) -> Result<&str> {
        let args = &self.part.args;
        let flag = args.iter().position(|arg| arg == "--http-addr").context("no --http-addr")?;
        Ok(args.get(flag + 1).context("--http-addr without an address")?)
    }

    /// What it answers to a GET: the HTTP status and the body.
    pub async fn get(&self, path: &str) -> Result<(u16, String)> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        let answer = http.get(format!("http://{}{path}", self.address()?)).send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    /// The process behind it: to stop, kill, freeze and start again.
    #[must_use]
    pub fn part(&self) -> &Part {
        &self.part
    }

    /// SIGTERM; an error if it did not end by itself within five seconds, or not with status 0.
    pub async fn terminate(&self) -> Result<()> {
        let process = self.part.running().await?;
        self.ended.store(true, Ordering::Relaxed);
        process.signal(Signal::TERM)?;
        let status = eventually("the controller ends after SIGTERM", crate::PATIENCE, async || {
            process.exit_status().context("it runs still")
        })
        .await?;
        if !status.success() {
            bail!(
                "after SIGTERM the controller ended with {status}; the end of its log:\n{}",
                process.log_tail()
            );
        }
        Ok(())
    }

    /// SIGKILL.
    pub async fn kill(&self) -> Result<()> {
        self.ended.store(true, Ordering::Relaxed);
        self.part.kill().await
    }

    /// Starts it again with the same arguments, after it was ended.
    pub async fn restart(&self) -> Result<()> {
        self.part.start().await?;
        self.ended.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// An error with the end of its log if it ended and nobody had asked for that.
    pub async fn check(&self) -> Result<()> {
        if self.ended.load(Ordering::Relaxed) { Ok(()) } else { self.part.check().await }
    }

    /// Everything it has written to its outputs since its first start.
    pub fn log(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&std::fs::read(&self.part.log)?).into_owned())
    }
}

/// `LOCKKEEPER_BIN`, or the `lockkeeper` that cargo built beside this program.
pub fn program() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("LOCKKEEPER_BIN") {
        let path = PathBuf::from(path);
        if !path.is_file() {
            bail!("LOCKKEEPER_BIN is {}, and there is no file", path.display());
        }
        return Ok(path);
    }
    let me = std::env::current_exe()?;
    // target/debug/deps/a_test-0123 or target/debug/a-program
    let found =
        me.ancestors().skip(1).take(2).map(|folder| folder.join("lockkeeper")).find(|file| file.is_file());
    found.with_context(|| {
        format!(
            "there is no `lockkeeper` beside {}; run `cargo build -p lockkeeper`, or set LOCKKEEPER_BIN",
            me.display()
        )
    })
}
