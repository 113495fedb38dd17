//! An image as files: an OCI image layout, which every tool that copies images reads.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::release::Attached;
use super::{Built, INDEX};

/// Writes an image, and what refers to it, into a folder that is made anew.
pub(crate) fn write(folder: &Path, name: &str, built: &Built, attached: &Attached) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| format!("{} cannot be emptied", folder.display()))?;
    }
    let blobs = folder.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).with_context(|| format!("{} cannot be made", blobs.display()))?;
    let all = built.blobs.iter().chain(&built.manifests).chain(&attached.blobs);
    for blob in all.chain([&built.index, &attached.manifest]) {
        let digest = blob.digest();
        let hex = digest.strip_prefix("sha256:").context("a digest of another kind")?;
        std::fs::write(blobs.join(hex), &blob.bytes)?;
    }
    let mut image = built.index.descriptor();
    image["annotations"] = json!({"org.opencontainers.image.ref.name": name});
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [image, attached.entry()]});
    std::fs::write(folder.join("index.json"), serde_json::to_vec(&index)?)?;
    std::fs::write(folder.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    Ok(())
}
