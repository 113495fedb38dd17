//! What only people ask of an image: how large it is, and whether somebody signed it.
//!
//! Guarantees: sizes stand in manifests that were hashed here; "nobody signed it" is said only where the registry answered
//! for every place in which a signature of cosign may be. May not: judge what a signature is worth.

use std::collections::BTreeMap;

use http::{Method, StatusCode, header};
use lockkeeper_core::image::{Digest, Release, Repository};
use serde::{Deserialize, de::DeserializeOwned};

use super::error::{bad_answer, status};
use super::manifest::{self, OCI_INDEX};
use super::transport::{Ask, Reply};
use super::{OciRegistry, Session};
use crate::hosts::authority;
use crate::ports::{RegistryAccess, RegistryError};

/// Signatures that refer to their image by `subject`: bundles, and what cosign wrote before them.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";
const ARTIFACT: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
/// What a bundle says, where its list tells: one of another type is an attestation.
const PREDICATE: &str = "dev.sigstore.bundle.predicateType";
const SIGNS: &str = "https://sigstore.dev/cosign/sign/v1";

/// Compressed bytes, as they are pulled: configs and layers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// By manifest; one that is not in this repository is missing.
    pub by_manifest: BTreeMap<Digest, u64>,
    /// All of them; what they share counts once.
    pub all: u64,
}

/// What refers to something.
#[derive(Deserialize)]
struct Listed {
    manifests: Vec<Part>,
}

#[derive(Deserialize)]
struct Pulled {
    config: Part,
    layers: Vec<Part>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    digest: String,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    artifact_type: Option<String>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

impl Part {
    fn signs(&self) -> bool {
        let kind = self.artifact_type.as_deref().unwrap_or_default();
        let predicate = self.annotations.as_ref().and_then(|all| all.get(PREDICATE));
        kind == ARTIFACT || (kind.starts_with(BUNDLE) && predicate.is_none_or(|kind| kind == SIGNS))
    }
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

    /// Whether a signature of cosign lies beside a digest.
    ///
    /// # Errors
    /// One of the places where it may be could not be looked at, and it is at none of the others.
    pub async fn signed(
        &self,
        access: &RegistryAccess,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<bool, RegistryError> {
        let session = self.session(access)?;
        session.within(repository, signed(&session, repository, digest)).await
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
        let what = &format!("the manifest {repository}@{digest}");
        let read = document::<Pulled>(session, repository, what, digest.as_str()).await?;
        let Some(Pulled { config, layers }) = read else { continue };
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

async fn signed(session: &Session, repository: &Repository, digest: &Digest) -> Result<bool, RegistryError> {
    let what = &format!("the signatures of {repository}@{digest}");
    // The older form first: most images that are signed have it, and it is one HEAD.
    let older = match digest.as_str().strip_prefix("sha256:") {
        None => Ok(false),
        Some(hex) => there(session, repository, what, &format!("sha256-{hex}.sig")).await,
    };
    if matches!(older, Ok(true)) {
        return Ok(true);
    }
    let found = referred(session, repository, what, digest).await?;
    if found { Ok(true) } else { older }
}

async fn there(
    session: &Session,
    repository: &Repository,
    what: &str,
    tag: &str,
) -> Result<bool, RegistryError> {
    let reply = ask(session, repository, what, Method::HEAD, &format!("manifests/{tag}"), 0).await?;
    match reply.status {
        StatusCode::OK => Ok(true),
        StatusCode::NOT_FOUND => Ok(false),
        other => Err(status(what, &reply.url, other, &reply.headers)),
    }
}

/// Whether a signature refers to it, by the registry's own list or by the one that stands for it.
async fn referred(
    session: &Session,
    repository: &Repository,
    what: &str,
    digest: &Digest,
) -> Result<bool, RegistryError> {
    let cap = session.options.manifest_bytes;
    let reply = ask(session, repository, what, Method::GET, &format!("referrers/{digest}"), cap).await?;
    let kind = reply.text(header::CONTENT_TYPE.as_str()).and_then(|text| text.split(';').next());
    match reply.status {
        StatusCode::OK if kind.map(str::trim) == Some(OCI_INDEX) => {
            let listed: Listed = serde_json::from_slice(&reply.body)
                .map_err(|_| unreadable(what, &reply, "it is not JSON of an index's shape"))?;
            let found = listed.manifests.iter().any(Part::signs);
            if !found && reply.headers.contains_key(header::LINK) {
                return Err(unreadable(what, &reply, "the list of what refers to it comes in pages"));
            }
            Ok(found)
        }
        // It knows no such list: a tag stands for it.
        StatusCode::OK
        | StatusCode::NOT_FOUND
        | StatusCode::BAD_REQUEST
        | StatusCode::METHOD_NOT_ALLOWED
        | StatusCode::NOT_ACCEPTABLE
        | StatusCode::NOT_IMPLEMENTED => {
            let tag: String = digest.as_str().replacen(':', "-", 1).chars().take(6 + 1 + 64).collect();
            let listed = document::<Listed>(session, repository, what, &tag).await?;
            Ok(listed.is_some_and(|listed| listed.manifests.iter().any(Part::signs)))
        }
        other => Err(status(what, &reply.url, other, &reply.headers)),
    }
}

/// What a tag or a digest names; none: there is none.
async fn document<T: DeserializeOwned>(
    session: &Session,
    repository: &Repository,
    what: &str,
    reference: &str,
) -> Result<Option<T>, RegistryError> {
    let cap = session.options.manifest_bytes;
    let reply = ask(session, repository, what, Method::GET, &format!("manifests/{reference}"), cap).await?;
    match reply.status {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Ok(None),
        other => return Err(status(what, &reply.url, other, &reply.headers)),
    }
    let asked: Option<Digest> = reference.parse().ok();
    let announced = reply.text("docker-content-digest");
    manifest::digest_of(&reply.body, asked.as_ref(), announced)
        .map_err(|why| unreadable(what, &reply, &why))?;
    let document = serde_json::from_slice(&reply.body);
    document.map(Some).map_err(|_| unreadable(what, &reply, "it is not JSON of a manifest's shape"))
}

async fn ask(
    session: &Session,
    repository: &Repository,
    what: &str,
    method: Method,
    rest: &str,
    cap: usize,
) -> Result<Reply, RegistryError> {
    let url = session.url(repository, rest)?;
    let ask = Ask { what, method, url, accept: manifest::ACCEPT, known: None, form: None, cap };
    session.ask(repository, &ask).await
}

fn unreadable(what: &str, reply: &Reply, why: &str) -> RegistryError {
    bad_answer(what, format!("{why}; the answer of {} is not used", authority(&reply.url)))
}
