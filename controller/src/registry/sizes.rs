//! How large an image is: what only people ask.
//!
//! Guarantees: sizes stand in manifests that were hashed here.

use std::collections::BTreeMap;

use lockkeeper_core::image::{Digest, Release, Repository};
use serde::Deserialize;

use super::resolve::{bytes_of, not_used};
use super::{OciRegistry, Session};
use crate::ports::{RegistryAccess, RegistryError};

/// Compressed bytes, as they are pulled: configs and layers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// By manifest; one that is not in this repository is missing.
    pub by_manifest: BTreeMap<Digest, u64>,
    /// All of them; what they share counts once.
    pub all: u64,
}

#[derive(Deserialize)]
struct Pulled {
    config: Part,
    layers: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    digest: String,
    #[serde(default)]
    size: u64,
}

impl OciRegistry {
    /// How large a release is.
    ///
    /// # Errors
    /// A manifest of it could not be read.
    pub async fn sizes(
        &self,
        access: &RegistryAccess,
        repository: &Repository,
        release: &Release,
    ) -> Result<Sizes, RegistryError> {
        let session = self.session(access)?;
        session.within(repository, sizes(&session, repository, release)).await
    }
}

async fn sizes(
    session: &Session,
    repository: &Repository,
    release: &Release,
) -> Result<Sizes, RegistryError> {
    let (mut sizes, mut parts) = (Sizes::default(), BTreeMap::new());
    let platforms = release.platforms.iter().map(|platform| &platform.manifest);
    let own = Some(&release.digest).filter(|_| release.platforms.is_empty());
    for digest in platforms.chain(own) {
        let Some(Pulled { config, layers }) = pulled(session, repository, digest).await? else { continue };
        let own: BTreeMap<String, u64> =
            layers.into_iter().chain([config]).map(|part| (part.digest, part.size)).collect();
        sizes.by_manifest.insert(digest.clone(), sum(own.values()));
        parts.extend(own);
    }
    sizes.all = sum(parts.values());
    Ok(sizes)
}

/// What a manifest says of sizes is anything at all.
fn sum<'a>(sizes: impl Iterator<Item = &'a u64>) -> u64 {
    sizes.fold(0, |all, size| all.saturating_add(*size))
}

/// What a manifest names; none: it is not there.
async fn pulled(
    session: &Session,
    repository: &Repository,
    digest: &Digest,
) -> Result<Option<Pulled>, RegistryError> {
    let what = &format!("the manifest {repository}@{digest}");
    let Some((_, reply)) = bytes_of(session, repository, digest.as_str(), what, Some(digest)).await? else {
        return Ok(None);
    };
    let document = serde_json::from_slice(&reply.body);
    document.map(Some).map_err(|_| not_used(what, &reply, "it is not JSON of a manifest's shape"))
}
