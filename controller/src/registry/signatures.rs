//! What a registry holds as signatures of a digest.
//!
//! Guarantees: "there are none" is said only by a registry that answered for both places where they may be; whatever is
//! returned stood in bytes that were hashed here, within caps on their number and size. An entry that is broken is
//! returned as such: it hides no other. May not: judge what a signature is worth.
//!
//! Bundles of Sigstore refer to the image by `subject`: they are found by the referrers API, or where a registry has
//! none, under the tag that the distribution specification puts in its place (`sha256-…`). The older form lies under
//! the tag `sha256-….sig`, one layer for each signature.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Method, StatusCode, header};
use lockkeeper_core::image::{Digest, Repository};
use serde::Deserialize;

use super::Session;
use super::error::{bad_answer, status};
use super::manifest::{self, OCI_INDEX, OCI_MANIFEST};
use super::transport::{Ask, Reply};
use crate::hosts::authority;
use crate::ports::{RegistryError, Signature, Simple};

/// Bundles' media type, up to its version.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";
/// What was signed in the older form.
const SIMPLE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// What a bundle says, where that is known from its manifest: one of another type is no signature.
const PREDICATE: &str = "dev.sigstore.bundle.predicateType";
const SIGNS: &str = "https://sigstore.dev/cosign/sign/v1";

/// Signatures of each form that are looked at.
const MOST: usize = 32;
/// Largest bundle and largest payload, in bytes.
const BUNDLE_BYTES: usize = 1024 * 1024;
const PAYLOAD_BYTES: usize = 64 * 1024;
/// Longest annotation that is kept, in bytes: a certificate with its chain, a log entry.
const ANNOTATION_BYTES: usize = 256 * 1024;

/// What a registry answers of what refers to something: an object, and nothing else.
#[derive(Deserialize)]
struct Referrers {
    manifests: Option<Vec<Descriptor>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(default)]
    manifests: Vec<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
    #[serde(default)]
    subject: Option<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    artifact_type: Option<String>,
    digest: String,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

impl Descriptor {
    fn annotation(&self, name: &str) -> Option<&String> {
        self.annotations.as_ref()?.get(name)
    }

    /// It may be a bundle with a signature: lists that stand in a registry's place do not always say the type.
    fn may_sign(&self) -> bool {
        let typed = self.artifact_type.as_ref().is_none_or(|kind| kind.starts_with(BUNDLE));
        typed && self.annotation(PREDICATE).is_none_or(|kind| kind == SIGNS)
    }
}

/// All that there is, bundles first.
pub(super) async fn of(
    session: &Session,
    repository: &Repository,
    digest: &Digest,
) -> Result<Vec<Signature>, RegistryError> {
    let ask = Asker { session, repository, digest, what: format!("the signatures of {repository}@{digest}") };
    let mut found = ask.bundles().await?;
    found.extend(ask.simple().await?);
    Ok(found)
}

struct Asker<'a> {
    session: &'a Session,
    repository: &'a Repository,
    digest: &'a Digest,
    what: String,
}

impl Asker<'_> {
    /// GET something of the repository, whatever is answered.
    async fn get(&self, rest: &str, accept: &'static str, cap: usize) -> Result<Reply, RegistryError> {
        let url = self.session.url(self.repository, rest)?;
        let ask = Ask { what: &self.what, method: Method::GET, url, accept, known: None, sent: None, cap };
        self.session.ask(self.repository, &ask).await
    }

    fn refuse(&self, reply: &Reply, why: impl std::fmt::Display) -> RegistryError {
        bad_answer(&self.what, format!("{why}; the answer of {} is not used", authority(&reply.url)))
    }

    /// The manifest that a tag or a digest names; none: there is none.
    async fn manifest(&self, reference: &str) -> Result<Option<Document>, RegistryError> {
        let cap = self.session.options.manifest_bytes;
        let reply = self.get(&format!("manifests/{reference}"), manifest::ACCEPT, cap).await?;
        match reply.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            other => return Err(status(&self.what, &reply.url, other, &reply.headers)),
        }
        let asked: Option<Digest> = reference.parse().ok();
        let announced = reply.text("docker-content-digest");
        manifest::digest_of(&reply.body, asked.as_ref(), announced)
            .map_err(|why| self.refuse(&reply, why))?;
        let document = serde_json::from_slice(&reply.body);
        document.map(Some).map_err(|_| self.refuse(&reply, "it is not JSON of a manifest's shape"))
    }

    async fn bundles(&self) -> Result<Vec<Signature>, RegistryError> {
        let mut found = Vec::new();
        let listed = self.referrers().await?;
        let all = listed.iter().filter(|entry| entry.may_sign());
        for entry in all.take(MOST) {
            found.extend(self.bundle(entry).await?);
        }
        Ok(found)
    }

    /// What refers to the digest, by the registry's own list or by the one that stands for it.
    async fn referrers(&self) -> Result<Vec<Descriptor>, RegistryError> {
        let cap = self.session.options.manifest_bytes;
        let reply = self.get(&format!("referrers/{}", self.digest), OCI_INDEX, cap).await?;
        let kind = reply.text(header::CONTENT_TYPE.as_str()).and_then(|text| text.split(';').next());
        match reply.status {
            StatusCode::OK if kind.map(str::trim) == Some(OCI_INDEX) => {
                let list: Referrers = serde_json::from_slice(&reply.body)
                    .map_err(|_| self.refuse(&reply, "it is not JSON of an index's shape"))?;
                let listed = list.manifests.unwrap_or_default();
                if listed.iter().filter(|entry| entry.may_sign()).count() < MOST
                    && reply.headers.contains_key(header::LINK)
                {
                    return Err(self.refuse(&reply, "the list of what refers to it comes in pages"));
                }
                Ok(listed)
            }
            // It knows no such list.
            StatusCode::OK
            | StatusCode::NOT_FOUND
            | StatusCode::BAD_REQUEST
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::NOT_ACCEPTABLE
            | StatusCode::NOT_IMPLEMENTED => {
                let list = self.manifest(&stands_for(self.digest)).await?;
                Ok(list.map(|list| list.manifests).unwrap_or_default())
            }
            other => Err(status(&self.what, &reply.url, other, &reply.headers)),
        }
    }

    async fn bundle(&self, entry: &Descriptor) -> Result<Option<Signature>, RegistryError> {
        let unreadable = |why: &str| Ok(Some(Signature::Unreadable(why.to_owned())));
        if entry.media_type != OCI_MANIFEST {
            return Ok(None);
        }
        let Ok(named) = entry.digest.parse::<Digest>() else {
            return unreadable("what refers to it has no digest");
        };
        let Some(manifest) = self.manifest(named.as_str()).await? else {
            return unreadable("what refers to it is gone");
        };
        let Some(layer) = manifest.layers.iter().find(|layer| layer.media_type.starts_with(BUNDLE)) else {
            return Ok(None);
        };
        if manifest.subject.is_none_or(|subject| subject.digest != self.digest.as_str()) {
            return unreadable("a bundle is listed for it and refers to something else");
        }
        Ok(Some(match self.blob(layer, BUNDLE_BYTES).await? {
            Ok(bytes) => Signature::Bundle(bytes),
            Err(why) => Signature::Unreadable(why),
        }))
    }

    /// Signatures of the older form; there is none for digests of another algorithm.
    async fn simple(&self) -> Result<Vec<Signature>, RegistryError> {
        let Some(hex) = self.digest.as_str().strip_prefix("sha256:") else { return Ok(Vec::new()) };
        let Some(manifest) = self.manifest(&format!("sha256-{hex}.sig")).await? else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        let layers = manifest.layers.iter().filter(|layer| layer.media_type == SIMPLE);
        for layer in layers.take(MOST) {
            found.push(match self.blob(layer, PAYLOAD_BYTES).await? {
                Ok(payload) => simple(layer, payload),
                Err(why) => Signature::Unreadable(why),
            });
        }
        Ok(found)
    }

    /// A blob's bytes, or what is wrong with them.
    async fn blob(&self, layer: &Descriptor, cap: usize) -> Result<Result<Bytes, String>, RegistryError> {
        let Ok(digest) = layer.digest.parse::<Digest>() else {
            return Ok(Err("it names no digest of what was signed".to_owned()));
        };
        if usize::try_from(layer.size).is_ok_and(|size| size > cap) {
            return Ok(Err(format!("it is larger than {cap} bytes")));
        }
        let reply = self.get(&format!("blobs/{digest}"), "*/*", cap).await?;
        match reply.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(Err("its bytes are gone".to_owned())),
            other => return Err(status(&self.what, &reply.url, other, &reply.headers)),
        }
        manifest::digest_of(&reply.body, Some(&digest), None).map_err(|why| self.refuse(&reply, why))?;
        Ok(Ok(reply.body))
    }
}

fn simple(layer: &Descriptor, payload: Bytes) -> Signature {
    let text = |name: &str| layer.annotation(name).cloned();
    let all = [
        text("dev.cosignproject.cosign/signature"),
        text("dev.sigstore.cosign/certificate"),
        text("dev.sigstore.cosign/chain"),
        text("dev.sigstore.cosign/bundle"),
    ];
    if all.iter().flatten().any(|text| text.len() > ANNOTATION_BYTES) {
        return Signature::Unreadable(format!("an annotation of it is larger than {ANNOTATION_BYTES} bytes"));
    }
    let [signature, certificate, chain, log] = all;
    let Some(signature) = signature else {
        return Signature::Unreadable(
            "its annotation dev.cosignproject.cosign/signature is missing".to_owned(),
        );
    };
    Signature::Simple(Box::new(Simple { payload, signature, certificate, chain, log }))
}

/// The tag that stands for the list of what refers to a digest: at most 32 characters of the algorithm, 64 of the rest.
fn stands_for(digest: &Digest) -> String {
    let (algorithm, encoded) = digest.as_str().split_once(':').unwrap_or_default();
    let cut = |text: &str, most: usize| text.chars().take(most).collect::<String>();
    format!("{}-{}", cut(algorithm, 32), cut(encoded, 64))
}
