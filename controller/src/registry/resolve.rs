//! What a tag or a digest is.
//!
//! Guarantees: every digest in a release is that of bytes fetched and hashed here, or stands in such bytes. What is
//! known by digest is not fetched again; a tag that names what it named before costs one HEAD, which registries do
//! not count; what identifies a release costs one manifest, and no more is read where no more is asked for.
//! Assumes: the caller sets a deadline around the whole.

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use lockkeeper_core::image::{Digest, PlatformImage, Release, Repository, Tag};

use super::error::{bad_answer, status};
use super::manifest::{self, Config, Entry, Manifest};
use super::transport::{Ask, Reply};
use super::{Seen, Session};
use crate::hosts::authority;
use crate::ports::{Depth, RegistryError};

const CONTENT_DIGEST: &str = "docker-content-digest";

/// What a tag names now.
pub(super) async fn tag(
    session: &Session,
    repository: &Repository,
    tag: &Tag,
    depth: Depth,
) -> Result<Option<Release>, RegistryError> {
    let what = &format!("the manifest of {repository}:{tag}");
    let reference = tag.as_str();
    if let Some(seen) = session.seen(repository, tag)
        && let Some(release) = session.known(repository, &seen.digest, depth)
    {
        match unchanged(session, repository, reference, what, &seen).await? {
            Head::Same => return Ok(Some(named(release, tag))),
            Head::Gone => {
                session.forget(repository, tag);
                return Ok(None);
            }
            Head::Unclear => {}
        }
    }
    let Some(fetched) = manifest_of(session, repository, reference, what, None).await? else {
        session.forget(repository, tag);
        return Ok(None);
    };
    let seen = Seen { digest: fetched.digest.clone(), etag: fetched.etag.clone() };
    let release = release(session, repository, what, fetched, depth).await?;
    session.saw(repository, tag, seen);
    Ok(Some(named(release, tag)))
}

/// What a digest names.
pub(super) async fn digest(
    session: &Session,
    repository: &Repository,
    digest: &Digest,
    depth: Depth,
) -> Result<Option<Release>, RegistryError> {
    if let Some(release) = session.known(repository, digest, depth) {
        return Ok(Some(release));
    }
    let what = &format!("the manifest {repository}@{digest}");
    match manifest_of(session, repository, digest.as_str(), what, Some(digest)).await? {
        None => Ok(None),
        Some(fetched) => release(session, repository, what, fetched, depth).await.map(Some),
    }
}

/// Whether a digest is there now.
pub(super) async fn exists(
    session: &Session,
    repository: &Repository,
    digest: &Digest,
) -> Result<bool, RegistryError> {
    let what = &format!("the manifest {repository}@{digest}");
    let reply = head(session, repository, digest.as_str(), what, None).await?;
    match reply.status {
        StatusCode::OK => match reply.text(CONTENT_DIGEST) {
            Some(said) if said != digest.as_str() => {
                let host = authority(&reply.url);
                Err(bad_answer(
                    what,
                    format!("{host} says that it has another digest; its answer is not used"),
                ))
            }
            _ => Ok(true),
        },
        StatusCode::NOT_FOUND => Ok(false),
        StatusCode::METHOD_NOT_ALLOWED => {
            Ok(manifest_of(session, repository, digest.as_str(), what, Some(digest)).await?.is_some())
        }
        other => Err(status(what, &reply.url, other, &reply.headers)),
    }
}

fn named(mut release: Release, tag: &Tag) -> Release {
    release.tag = Some(tag.clone());
    release
}

/// What a HEAD told.
enum Head {
    Same,
    Gone,
    /// Changed, or it does not say: fetch and see.
    Unclear,
}

async fn unchanged(
    session: &Session,
    repository: &Repository,
    reference: &str,
    what: &str,
    seen: &Seen,
) -> Result<Head, RegistryError> {
    let reply = head(session, repository, reference, what, seen.etag.clone()).await?;
    Ok(match reply.status {
        StatusCode::NOT_MODIFIED => Head::Same,
        StatusCode::OK if reply.text(CONTENT_DIGEST) == Some(seen.digest.as_str()) => Head::Same,
        StatusCode::OK | StatusCode::METHOD_NOT_ALLOWED => Head::Unclear,
        StatusCode::NOT_FOUND => Head::Gone,
        other => return Err(status(what, &reply.url, other, &reply.headers)),
    })
}

async fn head(
    session: &Session,
    repository: &Repository,
    reference: &str,
    what: &str,
    known: Option<HeaderValue>,
) -> Result<Reply, RegistryError> {
    let url = session.url(repository, &format!("manifests/{reference}"))?;
    let ask = Ask { what, method: Method::HEAD, url, accept: manifest::ACCEPT, known, sent: None, cap: 0 };
    session.ask(repository, &ask).await
}

/// A manifest's bytes with what they are.
struct Fetched {
    digest: Digest,
    manifest: Manifest,
    etag: Option<HeaderValue>,
}

/// GET a manifest and read it. `None`: there is none.
async fn manifest_of(
    session: &Session,
    repository: &Repository,
    reference: &str,
    what: &str,
    asked: Option<&Digest>,
) -> Result<Option<Fetched>, RegistryError> {
    let Some((digest, reply)) = bytes_of(session, repository, reference, what, asked).await? else {
        return Ok(None);
    };
    let content_type = reply.text(header::CONTENT_TYPE.as_str());
    let manifest = manifest::read(&reply.body, content_type).map_err(|why| not_used(what, &reply, &why))?;
    let etag = reply.headers.get(header::ETAG).cloned();
    Ok(Some(Fetched { digest, manifest, etag }))
}

/// GET a manifest: its bytes, and the digest that they have, which is `asked` if that is given. `None`: there is none.
pub(super) async fn bytes_of(
    session: &Session,
    repository: &Repository,
    reference: &str,
    what: &str,
    asked: Option<&Digest>,
) -> Result<Option<(Digest, Reply)>, RegistryError> {
    let url = session.url(repository, &format!("manifests/{reference}"))?;
    let cap = session.options.manifest_bytes;
    let ask = Ask { what, method: Method::GET, url, accept: manifest::ACCEPT, known: None, sent: None, cap };
    let reply = session.ask(repository, &ask).await?;
    match reply.status {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Ok(None),
        other => return Err(status(what, &reply.url, other, &reply.headers)),
    }
    let announced = reply.headers.get(CONTENT_DIGEST).map(|value| value.to_str().unwrap_or_default());
    let digest = manifest::digest_of(&reply.body, asked, announced);
    let digest = digest.map_err(|why| not_used(what, &reply, &why))?;
    Ok(Some((digest, reply)))
}

/// Why an answer is not used.
pub(super) fn not_used(what: &str, reply: &Reply, why: &str) -> RegistryError {
    bad_answer(what, format!("{why}; the answer of {} is not used", authority(&reply.url)))
}

/// The release behind a manifest, remembered by its digest.
async fn release(
    session: &Session,
    repository: &Repository,
    what: &str,
    fetched: Fetched,
    depth: Depth,
) -> Result<Release, RegistryError> {
    if let Some(release) = session.known(repository, &fetched.digest, depth) {
        return Ok(release);
    }
    let (platforms, created, depth) = match (fetched.manifest, depth) {
        (Manifest::Artifact, _) => (Vec::new(), None, Depth::Whole),
        (Manifest::Image(_), Depth::Identity) => (Vec::new(), None, Depth::Identity),
        (Manifest::Image(config), Depth::Whole) => {
            let said = config_of(session, repository, &config).await?;
            let image = said.platform.map(|platform| PlatformImage {
                platform,
                manifest: fetched.digest.clone(),
                config: Some(config),
            });
            (image.into_iter().collect(), said.created, Depth::Whole)
        }
        // The platforms stand in the index.
        (Manifest::Index(entries), Depth::Identity)
            if entries.iter().all(|entry| entry.platform.is_some()) =>
        {
            (entries.into_iter().filter_map(named_platform).collect(), None, Depth::Identity)
        }
        (Manifest::Index(entries), _) => {
            let (images, created) = platforms(session, repository, what, entries).await?;
            (images, created, Depth::Whole)
        }
    };
    let release = Release { tag: None, version: None, digest: fetched.digest, platforms, created };
    session.learn(repository, &release, depth);
    Ok(release)
}

fn named_platform(entry: Entry) -> Option<PlatformImage> {
    Some(PlatformImage { platform: entry.platform?, manifest: entry.manifest, config: None })
}

/// The images of an index. A platform whose manifest is not in this repository (a partial mirror) keeps its place
/// without a config; an index none of whose manifests are there is an error.
async fn platforms(
    session: &Session,
    repository: &Repository,
    what: &str,
    entries: Vec<Entry>,
) -> Result<(Vec<PlatformImage>, Option<jiff::Timestamp>), RegistryError> {
    let (mut images, mut created, mut readable) = (Vec::new(), None, entries.is_empty());
    for entry in entries {
        let of_platform = format!("the manifest {repository}@{}", entry.manifest);
        let fetched =
            manifest_of(session, repository, entry.manifest.as_str(), &of_platform, Some(&entry.manifest))
                .await?;
        let config = match fetched.map(|fetched| fetched.manifest) {
            None => {
                images.extend(entry.platform.map(|platform| PlatformImage {
                    platform,
                    manifest: entry.manifest,
                    config: None,
                }));
                continue;
            }
            Some(Manifest::Index(_)) => {
                return Err(bad_answer(
                    &of_platform,
                    "it is an index inside an index, which is not supported",
                ));
            }
            Some(Manifest::Artifact) => None,
            Some(Manifest::Image(config)) => Some(config),
        };
        readable = true;
        let mut platform = entry.platform;
        // One config is enough for the date; others are read only where the index does not say the platform.
        if let Some(config) = &config
            && (created.is_none() || platform.is_none())
        {
            let said = config_of(session, repository, config).await?;
            created = created.or(said.created);
            platform = platform.or(said.platform);
        }
        images.extend(platform.map(|platform| PlatformImage { platform, manifest: entry.manifest, config }));
    }
    if readable {
        Ok((images, created))
    } else {
        Err(bad_answer(what, "none of its platforms' manifests is there"))
    }
}

/// An image's config: platform and date.
async fn config_of(
    session: &Session,
    repository: &Repository,
    digest: &Digest,
) -> Result<Config, RegistryError> {
    let what = &format!("the image config {repository}@{digest}");
    let url = session.url(repository, &format!("blobs/{digest}"))?;
    let cap = session.options.manifest_bytes;
    let ask = Ask { what, method: Method::GET, url, accept: "*/*", known: None, sent: None, cap };
    let reply = session.ask(repository, &ask).await?;
    if reply.status != StatusCode::OK {
        return Err(status(what, &reply.url, reply.status, &reply.headers));
    }
    read_config(&reply.body, digest).map_err(|why| not_used(what, &reply, &why))
}

fn read_config(body: &Bytes, digest: &Digest) -> Result<Config, String> {
    manifest::digest_of(body, Some(digest), None)?;
    manifest::config(body)
}
