//! Images made in memory, the registry they are pushed to, and the one image of this project.
//!
//! Guarantees: what is pushed is a valid OCI image index with one manifest per platform, real config and layers; two
//! images with different releases or files share no platform manifest and no config.

mod bill;
mod layout;
pub mod programs;
mod registry;
pub mod release;
mod sign;

use std::io::Write as _;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub use registry::{Manifest, Registry};
pub use sign::SigningKey;

pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// A file in a layer.
#[derive(Clone, Debug)]
pub struct File {
    /// Without a leading slash.
    pub path: String,
    /// Its bytes.
    pub contents: Vec<u8>,
    /// Its mode, `0o755` for a program.
    pub mode: u32,
}

/// What an image is made of.
#[derive(Clone, Debug)]
pub struct Image {
    /// `created` of the config, RFC 3339.
    pub created: String,
    /// `linux/amd64`, `linux/arm64`, …: one manifest each.
    pub platforms: Vec<String>,
    /// The layers' files, lowest layer first.
    pub layers: Vec<Vec<File>>,
    /// The config's `Entrypoint`.
    pub entrypoint: Vec<String>,
    /// Labels of the config.
    pub labels: Vec<(String, String)>,
    /// What else the config says of how it runs: `User`, `Cmd`, …
    pub settings: serde_json::Map<String, Value>,
    /// Layers are compressed.
    pub compressed: bool,
    /// Where set, the index holds an attestation manifest with this text: another index digest, the same contents.
    pub attestation: Option<String>,
}

impl Image {
    /// A small image of linux/amd64 and linux/arm64 whose contents are this release's alone.
    #[must_use]
    pub fn release(version: &str) -> Self {
        let file = File {
            path: "etc/collector/version".to_owned(),
            contents: format!("{version}\n").into_bytes(),
            mode: 0o644,
        };
        Self {
            created: "2026-01-01T00:00:00Z".to_owned(),
            platforms: vec!["linux/amd64".to_owned(), "linux/arm64".to_owned()],
            layers: vec![vec![file]],
            entrypoint: Vec::new(),
            labels: vec![("org.opencontainers.image.version".to_owned(), version.to_owned())],
            settings: serde_json::Map::new(),
            compressed: false,
            attestation: None,
        }
    }
}

/// What a push made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// `host/path`, without tag or digest.
    pub repository: String,
    /// The index's digest: what a tag points to and what a pod's `imageID` ends with.
    pub digest: String,
    /// Platform and digest of each platform manifest, attestations left out.
    pub platforms: Vec<(String, String)>,
    /// The configs' digests, in the same order.
    pub configs: Vec<String>,
}

impl Pushed {
    /// `host/path@sha256:…`.
    #[must_use]
    pub fn pinned(&self) -> String {
        format!("{}@{}", self.repository, self.digest)
    }

    /// `host/path:tag`.
    #[must_use]
    pub fn tagged(&self, tag: &str) -> String {
        format!("{}:{tag}", self.repository)
    }
}

/// `sha256:…` of some bytes.
#[must_use]
pub fn digest_of(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = "sha256:".to_owned();
    for byte in Sha256::digest(bytes) {
        let _infallible = write!(text, "{byte:02x}");
    }
    text
}

/// A blob to be pushed, with the descriptor that points to it.
pub(crate) struct Blob {
    pub bytes: Vec<u8>,
    pub media_type: &'static str,
}

impl Blob {
    pub fn new(bytes: Vec<u8>, media_type: &'static str) -> Self {
        Self { bytes, media_type }
    }

    fn json(value: &Value, media_type: &'static str) -> Result<Self> {
        Ok(Self::new(serde_json::to_vec(value)?, media_type))
    }

    pub fn digest(&self) -> String {
        digest_of(&self.bytes)
    }

    fn descriptor(&self) -> Value {
        json!({"mediaType": self.media_type, "digest": self.digest(), "size": self.bytes.len()})
    }
}

/// All that one image is, in the order in which a registry wants it.
pub(crate) struct Built {
    pub blobs: Vec<Blob>,
    pub manifests: Vec<Blob>,
    pub index: Blob,
    pub platforms: Vec<(String, String)>,
    pub configs: Vec<String>,
}

pub(crate) fn build(image: &Image) -> Result<Built> {
    let layers = image.layers.iter().map(|files| layer(files)).collect::<Result<Vec<_>>>()?;
    let diff_ids: Vec<String> = layers.iter().map(Blob::digest).collect();
    let layers =
        if image.compressed { layers.iter().map(compressed).collect::<Result<Vec<_>>>()? } else { layers };
    let layer_descriptors: Vec<Value> = layers.iter().map(Blob::descriptor).collect();
    let labels: serde_json::Map<String, Value> =
        image.labels.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    let mut settings = image.settings.clone();
    settings.insert("Entrypoint".to_owned(), json!(image.entrypoint));
    settings.insert("Labels".to_owned(), Value::Object(labels));
    let (mut blobs, mut manifests, mut entries) = (layers, Vec::new(), Vec::new());
    let (mut platforms, mut configs) = (Vec::new(), Vec::new());
    for platform in &image.platforms {
        let (os, architecture) =
            platform.split_once('/').with_context(|| format!("platform {platform:?}"))?;
        let config = Blob::json(
            &json!({
                "created": image.created, "os": os, "architecture": architecture,
                "config": settings,
                "rootfs": {"type": "layers", "diff_ids": diff_ids},
            }),
            CONFIG,
        )?;
        let manifest = Blob::json(
            &json!({
                "schemaVersion": 2, "mediaType": MANIFEST,
                "config": config.descriptor(), "layers": layer_descriptors,
            }),
            MANIFEST,
        )?;
        let mut entry = manifest.descriptor();
        entry["platform"] = json!({"os": os, "architecture": architecture});
        entries.push(entry);
        platforms.push((platform.clone(), manifest.digest()));
        configs.push(config.digest());
        blobs.push(config);
        manifests.push(manifest);
    }
    if let Some(text) = &image.attestation {
        let (statement, manifest) = attestation(text)?;
        let mut entry = manifest.descriptor();
        entry["platform"] = json!({"os": "unknown", "architecture": "unknown"});
        entry["annotations"] = json!({
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": platforms.first().map(|(_, digest)| digest),
        });
        entries.push(entry);
        blobs.extend(statement);
        manifests.push(manifest);
    }
    let index = Blob::json(&json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}), INDEX)?;
    Ok(Built { blobs, manifests, index, platforms, configs })
}

/// An in-toto statement as buildkit pushes it: its config and layer, and the manifest.
fn attestation(text: &str) -> Result<(Vec<Blob>, Blob)> {
    let statement = Blob::json(
        &json!({"_type": "https://in-toto.io/Statement/v0.1", "note": text}),
        "application/vnd.in-toto+json",
    )?;
    let config = Blob::json(&json!({"os": "unknown", "architecture": "unknown", "config": {}}), CONFIG)?;
    let manifest = Blob::json(
        &json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": config.descriptor(), "layers": [statement.descriptor()],
        }),
        MANIFEST,
    )?;
    Ok((vec![config, statement], manifest))
}

/// The same layer, smaller. The same bytes become the same bytes: the header holds no time and no name.
fn compressed(layer: &Blob) -> Result<Blob> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(&layer.bytes)?;
    Ok(Blob::new(packer.finish()?, LAYER_GZIP))
}

/// One layer, an uncompressed tar.
fn layer(files: &[File]) -> Result<Blob> {
    let mut archive = tar::Builder::new(Vec::new());
    for file in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(u64::try_from(file.contents.len())?);
        header.set_mode(file.mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_cksum();
        archive
            .append_data(&mut header, &file.path, file.contents.as_slice())
            .with_context(|| format!("file {:?} of a layer", file.path))?;
    }
    Ok(Blob::new(archive.into_inner()?, LAYER))
}
