//! The image of the controller: its static binary, the roots that it trusts, and the programs that were asked for.
//!
//! Guarantees: the same files make the same bytes, layers and manifests included; no shell unless it is asked for, no
//! package manager, no user but one without rights; a binary that would need a loader is refused.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{Blob, Built, File, Image, MANIFEST, Registry, bill, build, layout};

/// Whose image it is inside: nobody.
pub const USER: u32 = 65534;
/// Where the binary is.
pub const BINARY: &str = "usr/local/bin/lockkeeper";

/// What it is made of.
pub struct Parts {
    /// The static binary.
    pub binary: Vec<u8>,
    /// For a binary that is not: the loader and the libraries that it needs, at the paths at which it looks for them.
    pub libraries: Vec<File>,
    /// Programs beside it with their libraries ([`super::programs::of`]).
    pub programs: Vec<File>,
    /// The certificates that it trusts, PEM.
    pub roots: Vec<u8>,
    /// Its version.
    pub version: String,
    /// Of the sources, RFC 3339: the clock of the build is nowhere in it.
    pub created: String,
}

/// The image, ready to be written and pushed.
pub struct Release {
    built: Built,
    attached: Attached,
    version: String,
}

/// A document that refers to an image.
pub(crate) struct Attached {
    pub blobs: Vec<Blob>,
    pub manifest: Blob,
    /// The image's digest.
    pub subject: String,
    /// What it is.
    kind: &'static str,
}

const CYCLONE_DX: &str = "application/vnd.cyclonedx+json";

impl Attached {
    /// A document of this media type, and the descriptor of what it refers to.
    pub(crate) fn new(kind: &'static str, document: Vec<u8>, to: &Value) -> Result<Self> {
        let empty = Blob::new(b"{}".to_vec(), "application/vnd.oci.empty.v1+json");
        let document = Blob::new(document, kind);
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": kind,
            "config": empty.descriptor(), "layers": [document.descriptor()], "subject": to,
        });
        let manifest = Blob::new(serde_json::to_vec(&manifest)?, MANIFEST);
        let subject = to["digest"].as_str().context("a descriptor without a digest")?.to_owned();
        Ok(Self { blobs: vec![empty, document], manifest, subject, kind })
    }

    /// As lists of referrers have it.
    pub(crate) fn entry(&self) -> Value {
        let mut entry = self.manifest.descriptor();
        entry["artifactType"] = json!(self.kind);
        entry
    }
}

impl Release {
    /// Makes it.
    pub fn new(parts: &Parts) -> Result<Self> {
        has_its_loader(&parts.binary, &parts.libraries)?;
        ensure!(
            parts.roots.windows(27).any(|part| part == b"-----BEGIN CERTIFICATE-----"),
            "the roots hold no certificate; name a PEM file such as /etc/ssl/certs/ca-certificates.crt"
        );
        let built = build(&image(parts))?;
        let attached = Attached::new(CYCLONE_DX, bill::of(parts)?, &built.index.descriptor())?;
        Ok(Self { built, attached, version: parts.version.clone() })
    }

    /// Its digest.
    #[must_use]
    pub fn digest(&self) -> String {
        self.built.index.digest()
    }

    /// Bytes that a node pulls.
    #[must_use]
    pub fn size(&self) -> usize {
        self.built.blobs.iter().map(|blob| blob.bytes.len()).sum()
    }

    /// Writes it as an OCI image layout.
    pub fn write(&self, folder: &Path) -> Result<()> {
        layout::write(folder, &self.version, &self.built, &self.attached)
    }

    /// Pushes it, and its bill of materials behind it.
    pub async fn push(&self, registry: &Registry, path: &str, tag: &str) -> Result<()> {
        registry.push_built(path, tag, &self.built).await?;
        registry.attach(path, &self.attached).await
    }
}

fn image(parts: &Parts) -> Image {
    let file =
        |path: &str, contents: &[u8], mode| File { path: path.to_owned(), contents: contents.to_vec(), mode };
    let passwd = format!("nobody:x:{USER}:{USER}:nobody:/:/none\n");
    let group = format!("nobody:x:{USER}:\n");
    let mut base = vec![
        file("etc/group", group.as_bytes(), 0o644),
        // Names are looked up in /etc/hosts first, then in DNS.
        file("etc/nsswitch.conf", b"hosts: files dns\n", 0o644),
        file("etc/passwd", passwd.as_bytes(), 0o644),
        file("etc/ssl/certs/ca-certificates.crt", &parts.roots, 0o644),
    ];
    base.extend(parts.libraries.iter().cloned());
    let settings = json!({
        "User": format!("{USER}:{USER}"), "Cmd": ["run"], "WorkingDir": "/", "ExposedPorts": {"8080/tcp": {}},
        "Env": ["PATH=/usr/local/bin:/usr/bin:/bin"],
    });
    let mut layers = vec![base, vec![file(BINARY, &parts.binary, 0o755)]];
    if !parts.programs.is_empty() {
        layers.insert(1, parts.programs.clone());
    }
    let label = |key: &str, value: &str| (format!("org.opencontainers.image.{key}"), value.to_owned());
    Image {
        created: parts.created.clone(),
        platforms: vec![format!("linux/{}", architecture())],
        // What changes least is lowest.
        layers,
        entrypoint: vec![format!("/{BINARY}")],
        labels: vec![
            label("licenses", "Apache-2.0"),
            label("title", "lockkeeper"),
            label("url", "https://lockkeeper.dev"),
            label("version", &parts.version),
        ],
        settings: settings.as_object().cloned().unwrap_or_default(),
        compressed: true,
        attestation: None,
    }
}

/// As OCI names what this was compiled for.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// In this image there is no loader and no library but these.
fn has_its_loader(binary: &[u8], libraries: &[File]) -> Result<()> {
    ensure!(
        binary.starts_with(b"\x7fELF\x02\x01"),
        "the binary is no 64-bit little-endian ELF file; build it by `make image`"
    );
    let number = |at: usize, bytes: usize| -> Result<usize> {
        let end = at.checked_add(bytes).context("the ELF header is broken")?;
        let part = binary.get(at..end).context("the ELF header is cut off")?;
        Ok(part.iter().rev().fold(0, |sum, byte| (sum << 8) | usize::from(*byte)))
    };
    let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    for entry in 0..count {
        let at = table.saturating_add(entry * size);
        // PT_INTERP
        if number(at, 4)? == 3 {
            let (from, length) = (number(at + 8, 8)?, number(at + 32, 8)?);
            let loader = binary.get(from..from.saturating_add(length)).unwrap_or_default();
            let loader = String::from_utf8_lossy(loader);
            let loader = loader.trim_end_matches('\0');
            ensure!(
                libraries.iter().any(|library| format!("/{}", library.path) == loader),
                "the binary needs the loader {loader}, which is not in the image; build it by `make image`, which links it statically"
            );
        }
    }
    Ok(())
}
