//! A real server of OpenSSH on loopback.
//!
//! Guarantees: it listens on 127.0.0.1 alone, is a process group of its own, and lets one key do what git asks for and
//! nothing else; its files are in a folder of its own.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::part::Part;
use crate::{PATIENCE, eventually, ports, programs};

/// Where a server that root runs keeps nothing; it asks for it all the same.
const EMPTY: &str = "/run/sshd";

/// The server.
pub struct Sshd {
    /// `127.0.0.1:…`.
    pub host: String,
    /// Who logs in.
    pub user: String,
    /// The private key that may.
    pub identity: String,
    server: Part,
    folder: TempDir,
}

impl Sshd {
    /// Starts it.
    pub async fn start() -> Result<Self> {
        let program = programs::folder(programs::Target::Sshd).await?.join("sshd");
        let folder = tempfile::tempdir()?;
        let (place, port) = (folder.path(), ports::free()?);
        for name in ["host", "other-host", "user"] {
            new_key(place, name).await?;
        }
        let key = std::fs::read_to_string(place.join("user.pub"))?;
        let only_git = "restrict,command=\"exec git-shell -c \\\"$SSH_ORIGINAL_COMMAND\\\"\"";
        std::fs::write(place.join("authorized_keys"), format!("{only_git} {key}"))?;
        let shown = place.display();
        let config = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {shown}/host\nPidFile none\nUsePAM no\nStrictModes no\n\
             AuthorizedKeysFile {shown}/authorized_keys\nAuthenticationMethods publickey\nPermitRootLogin yes\nAcceptEnv GIT_PROTOCOL\n"
        );
        std::fs::write(place.join("config"), &config)?;
        std::fs::write(place.join("other-config"), config.replace("/host\n", "/other-host\n"))?;
        let user = said("id", &["-un"]).await?;
        if said("id", &["-u"]).await? == "0" {
            std::fs::create_dir_all(EMPTY)?;
            std::fs::set_permissions(EMPTY, std::fs::Permissions::from_mode(0o755))?;
        }
        let server = Part::new("sshd", program, args(place, "config"), Vec::new(), place.join("sshd.log"));
        let identity = std::fs::read_to_string(place.join("user"))?;
        let this = Self { host: format!("127.0.0.1:{port}"), user, identity, server, folder };
        this.server.start().await?;
        this.answers().await?;
        Ok(this)
    }

    /// What `known_hosts` says of it.
    pub fn known_hosts(&self) -> Result<String> {
        let key = std::fs::read_to_string(self.folder.path().join("host.pub"))?;
        let (address, port) = self.host.split_once(':').context("host:port")?;
        Ok(format!("[{address}]:{port} {key}"))
    }

    /// It is started anew with another host key.
    pub async fn change_host_key(&self) -> Result<()> {
        self.server.stop().await?;
        self.server.start_as(&self.server.program, &args(self.folder.path(), "other-config")).await?;
        self.answers().await
    }

    /// Ends it.
    pub async fn stop(&self) -> Result<()> {
        self.server.stop().await
    }

    async fn answers(&self) -> Result<()> {
        eventually("sshd listens", PATIENCE, async || {
            self.server.check().await?;
            TcpStream::connect(&self.host).await?;
            Ok(())
        })
        .await
    }
}

fn args(place: &Path, config: &str) -> Vec<String> {
    vec!["-D".to_owned(), "-e".to_owned(), "-f".to_owned(), place.join(config).display().to_string()]
}

/// A key of ssh as `name` in the folder, and its public half beside it.
pub async fn new_key(folder: &Path, name: &str) -> Result<()> {
    let file = folder.join(name).display().to_string();
    said("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", &file]).await?;
    Ok(())
}

async fn said(program: &str, args: &[&str]) -> Result<String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().await;
    let output = output.with_context(|| format!("{program} could not be run"))?;
    ensure!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
