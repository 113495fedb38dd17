//! What a manifest says, checked before anything in it is used.
//!
//! Guarantees: the bytes are what the digest says, where one was asked for or announced; `Content-Type` and
//! `mediaType` agree; an index has no layers and a manifest no manifests (one document cannot be read as both).
//! Pure: no I/O.

use jiff::Timestamp;
use lockkeeper_core::image::{Digest, Platform};
use serde::Deserialize;

pub(super) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(super) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// `Accept` for manifests.
pub(super) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json";

/// Configs of images; those of charts, signatures and other artifacts say nothing about platforms.
const IMAGE_CONFIGS: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

/// Platforms per index; a status holds no more.
const PLATFORMS: usize = 64;

/// A manifest as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Manifest {
    /// Several platforms.
    Index(Vec<Entry>),
    /// One image; its config's digest.
    Image(Digest),
    /// Something else that is stored like an image.
    Artifact,
}

/// One platform of an index, attestations left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub manifest: Digest,
    /// None: the image's config says it.
    pub platform: Option<Platform>,
}

/// What an image's config says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Config {
    /// None if it does not say, or says `unknown`.
    pub platform: Option<Platform>,
    pub created: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: Option<String>,
    digest: String,
    #[serde(default)]
    platform: Option<Target>,
    #[serde(default)]
    annotations: Option<serde_json::Map<String, serde_json::Value>>,
}

#[derive(Deserialize)]
struct Target {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: Option<String>,
    #[serde(default)]
    created: Option<String>,
}

impl Target {
    fn platform(&self) -> Option<Platform> {
        if [&self.os, &self.architecture].iter().any(|part| part.as_str() == "unknown") {
            return None;
        }
        let variant = self.variant.as_deref().filter(|variant| !variant.is_empty());
        let variant = variant.map(|variant| format!("/{variant}")).unwrap_or_default();
        format!("{}/{}{variant}", self.os, self.architecture).parse().ok()
    }

    fn is_unknown(&self) -> bool {
        self.os == "unknown" || self.architecture == "unknown"
    }
}

/// The digest of bytes that were fetched.
///
/// # Errors
/// They are not what was asked for (`asked`), or not what the registry says they are (`announced`, its header).
pub(super) fn digest_of(
    bytes: &[u8],
    asked: Option<&Digest>,
    announced: Option<&str>,
) -> Result<Digest, String> {
    let own = Digest::of(bytes);
    if let Some(announced) = announced {
        let said: Digest =
            announced.parse().map_err(|_| "the Docker-Content-Digest header is no digest".to_owned())?;
        if !said.names(bytes) {
            return Err(format!("the bytes have the digest {own}, but the registry says {said}"));
        }
    }
    match asked {
        Some(asked) if !asked.names(bytes) => {
            Err(format!("the bytes have the digest {own}, but {asked} was asked for"))
        }
        Some(asked) => Ok(asked.clone()),
        None => Ok(own),
    }
}

/// Read a manifest that came with this `Content-Type`.
///
/// # Errors
/// What is wrong with it, for people.
pub(super) fn read(bytes: &[u8], content_type: Option<&str>) -> Result<Manifest, String> {
    let kind =
        content_type.and_then(|text| text.split(';').next()).unwrap_or_default().trim().to_ascii_lowercase();
    if kind.starts_with("application/vnd.docker.distribution.manifest.v1+") {
        return Err(
            "it is a manifest of schema 1, which has no digest of its own; push it again with a current \
                    tool"
                .to_owned(),
        );
    }
    let is_index = match kind.as_str() {
        OCI_INDEX | DOCKER_INDEX => true,
        OCI_MANIFEST | DOCKER_MANIFEST => false,
        _ => return Err("its Content-Type is that of no manifest".to_owned()),
    };
    let document: Document =
        serde_json::from_slice(bytes).map_err(|_| "it is not JSON of a manifest's shape".to_owned())?;
    if document.media_type.as_deref().is_some_and(|inner| !inner.eq_ignore_ascii_case(&kind)) {
        return Err("its Content-Type and its mediaType differ".to_owned());
    }
    match (is_index, document.manifests, document.config, document.layers) {
        (true, Some(entries), None, None) => index(entries),
        (false, None, Some(config), Some(_)) => image(&config),
        _ => Err("its fields are not those of its media type".to_owned()),
    }
}

fn index(entries: Vec<Descriptor>) -> Result<Manifest, String> {
    let mut platforms = Vec::new();
    for entry in entries {
        match entry.media_type.as_deref() {
            Some(OCI_MANIFEST | DOCKER_MANIFEST) | None => {}
            Some(OCI_INDEX | DOCKER_INDEX) => {
                return Err("it is an index of indexes, which is not supported".to_owned());
            }
            Some(_) => continue,
        }
        if is_attestation(&entry) || entry.platform.as_ref().is_some_and(Target::is_unknown) {
            continue;
        }
        let manifest = digest(&entry)?;
        let platform = match &entry.platform {
            None => None,
            Some(target) => {
                Some(target.platform().ok_or_else(|| "a platform in it is no os/architecture".to_owned())?)
            }
        };
        platforms.push(Entry { manifest, platform });
    }
    if platforms.len() > PLATFORMS {
        return Err(format!("it has {} platforms, at most {PLATFORMS} are supported", platforms.len()));
    }
    Ok(Manifest::Index(platforms))
}

fn is_attestation(entry: &Descriptor) -> bool {
    entry.annotations.as_ref().is_some_and(|annotations| {
        annotations.get("vnd.docker.reference.type").and_then(|value| value.as_str())
            == Some("attestation-manifest")
    })
}

fn image(config: &Descriptor) -> Result<Manifest, String> {
    let digest = digest(config)?;
    Ok(match config.media_type.as_deref() {
        Some(kind) if IMAGE_CONFIGS.contains(&kind) => Manifest::Image(digest),
        _ => Manifest::Artifact,
    })
}

fn digest(descriptor: &Descriptor) -> Result<Digest, String> {
    descriptor.digest.parse().map_err(|error| format!("a digest in it is malformed ({error})"))
}

/// Read an image's config.
///
/// # Errors
/// What is wrong with it, for people.
pub(super) fn config(bytes: &[u8]) -> Result<Config, String> {
    let target: Target =
        serde_json::from_slice(bytes).map_err(|_| "it is not JSON of a config's shape".to_owned())?;
    // A date that is none says nothing; it is only a hint.
    let created = target.created.as_deref().and_then(|text| text.parse().ok());
    Ok(Config { platform: target.platform(), created })
}

#[cfg(test)]
mod tests;
