//! Removes a temporary folder when this process ends, however it ends.
//!
//! A shell waits for the end of a pipe that only this process holds. A `keep` file in the folder saves its `logs`.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context as _, Result};

const SCRIPT: &str = r#"
trap '' HUP INT TERM
cat > /dev/null
if [ -n "$2" ]; then sh -c "$2" sh "$1"; fi
for try in 1 2 3 4 5 6 7 8 9 10; do
  if [ -e "$1/keep" ]; then
    find "$1" -mindepth 1 -maxdepth 1 ! -name logs ! -name keep -exec rm -rf {} + 2> /dev/null && exit 0
  else
    rm -rf "$1" 2> /dev/null && exit 0
  fi
  sleep 0.5
done
"#;

/// Guards one folder.
pub struct Janitor {
    folder: PathBuf,
    shell: Child,
    pipe: Option<ChildStdin>,
}

impl Janitor {
    /// Watches `folder`. `first` is shell text that runs before the folder is removed; `$1` is the folder.
    pub fn watch(folder: &Path, first: &str) -> Result<Self> {
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "janitor"])
            .arg(folder)
            .arg(first)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("sh could not be started to clean up after this process")?;
        let pipe = shell.stdin.take();
        Ok(Self { folder: folder.to_owned(), shell, pipe })
    }

    /// The folder it guards.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// From now on the folder's logs are kept.
    pub fn keep_logs(&self) -> Result<()> {
        std::fs::write(self.folder.join("keep"), "").context("cannot mark the logs to be kept")
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        drop(self.pipe.take());
        // It ends by itself soon; its status tells nothing.
        let _status = self.shell.wait();
    }
}
