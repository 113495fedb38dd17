//! Puts the controller's binary into an OCI image, without a container engine: `make image`.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Parser;
use e2e::Registry;
use e2e::image::programs;
use e2e::image::release::{Parts, Release};

/// Makes the image of the controller as an OCI image layout, and pushes it where asked. The environment variables
/// `REGISTRY_USER` and `REGISTRY_PASSWORD` are the login; a registry that wants more than a name and a password gets the layout by
/// a tool of its own (`skopeo copy oci:…`, `crane push …`).
#[derive(Parser)]
struct Args {
    /// The static binary.
    #[arg(long)]
    binary: PathBuf,
    /// The certificates that the image trusts.
    #[arg(long, default_value = "/etc/ssl/certs/ca-certificates.crt")]
    roots: PathBuf,
    /// A program of this machine that the image has, too, with its libraries; may be repeated. Targets in Git need git,
    /// git-remote-https and, over SSH, ssh, ssh-keygen and sh.
    #[arg(long = "program")]
    programs: Vec<PathBuf>,
    /// When the sources were made, RFC 3339; the same sources make the same image.
    #[arg(long, default_value = "1970-01-01T00:00:00Z")]
    created: String,
    /// Where the layout goes; what is there is removed.
    #[arg(long)]
    layout: PathBuf,
    /// Where it is pushed, as `host/repository:tag`.
    #[arg(long)]
    push: Option<String>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let read =
        |path: &PathBuf| std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()));
    let release = Release::new(&Parts {
        binary: read(&args.binary)?,
        libraries: Vec::new(),
        programs: programs::of(&args.programs)?,
        roots: read(&args.roots)?,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        created: args.created,
    })?;
    release.write(&args.layout)?;
    println!("{} {} bytes in {}", release.digest(), release.size(), args.layout.display());
    let Some(target) = args.push else { return Ok(()) };
    let (host, rest) = target.split_once('/').context("--push is host/repository:tag")?;
    let (path, tag) = rest.rsplit_once(':').context("--push is host/repository:tag")?;
    let login = std::env::var("REGISTRY_USER").ok().zip(std::env::var("REGISTRY_PASSWORD").ok());
    release.push(&Registry::new(host).with_login(login), path, tag).await?;
    println!("pushed {host}/{path}:{tag}@{}", release.digest());
    Ok(())
}
