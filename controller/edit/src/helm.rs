//! `helmValues`: the image of a chart, in the shapes that charts have.
//!
//! Guarantees: one text is written as a whole reference; a mapping has its repository, tag and digest written apart, the
//! registry too where it stands apart. A mapping without a place for the digest gets it behind the tag.

use crate::{
    find::{self, Found},
    path::Path,
    pin::Pin,
    refusal::Why,
    session::Session,
    tree::Kind,
};
use lockkeeper_core::image::{ImageRef, shown};

pub fn edit(session: &mut Session<'_>, path: &Path, pin: &Pin, document: Option<usize>) -> Result<(), Why> {
    if let Some(key @ ("tag" | "digest" | "repository" | "registry")) = path.last_key() {
        let above = path.parent().map(|path| path.to_string()).unwrap_or_default();
        let reason =
            format!("{path} is the {key} of an image; name the whole image, as in --helm-values '{above}'");
        return Err(Why::file(reason));
    }
    let found = find::one(&session.tree, path, document)?;
    match session.tree.nodes[found.id].kind {
        Kind::Map { .. } => in_parts(session, &found, ["repository", "image", "name"], "tag", "digest", pin),
        _ => one_text(session, path, &found, pin, document),
    }
}

/// `image: nginx:1.2`, or `image: nginx` with `imageTag` or `tag` beside it.
fn one_text(
    session: &mut Session<'_>,
    path: &Path,
    found: &Found,
    pin: &Pin,
    document: Option<usize>,
) -> Result<(), Why> {
    let line = session.tree.nodes[found.id].line;
    let old = session.tree.scalar(found.id).unwrap_or_default();
    let bare = old.parse::<ImageRef>().is_ok_and(|image| image.tag().is_none() && image.digest().is_none());
    if let (Some(key), true) = (path.last_key(), bare) {
        let (tag, digest) = (format!("{key}Tag"), format!("{key}Digest"));
        let map = above(session, path, document)?;
        if let Some(map) = &map {
            for (tag, digest) in [(tag.as_str(), digest.as_str()), ("tag", "digest")] {
                if session.tree.get(map.id, tag).is_some() {
                    return in_parts(session, map, [key; 3], tag, digest, pin);
                }
            }
        }
        // A word alone may be anything, a version included.
        if !old.contains('/') && !pin.is_same(old) {
            let reason = format!(
                "{path} is {}, which does not look like an image; use --path and --value",
                shown(old)
            );
            return Err(Why::at(line, reason));
        }
    }
    let value = pin.reference_for(old).map_err(|reason| Why::at(line, reason))?;
    session.set(found, &value)
}

fn above(session: &Session<'_>, path: &Path, document: Option<usize>) -> Result<Option<Found>, Why> {
    match path.parent() {
        Some(parent) => find::one(&session.tree, &parent, document).map(Some),
        None => {
            // The document itself; of several, the one that has the key.
            let key = path.last_key().unwrap_or_default();
            let mut roots = find::documents(&session.tree, document)?.into_iter().filter_map(|document| {
                let id = session.tree.documents[document].root?;
                session.tree.get(id, key).map(|_| Found { id, document, at: Vec::new() })
            });
            Ok(roots.next_back())
        }
    }
}

fn in_parts(
    session: &mut Session<'_>,
    map: &Found,
    names: [&str; 3],
    tag: &str,
    digest: &str,
    pin: &Pin,
) -> Result<(), Why> {
    let line = session.tree.nodes[map.id].line;
    let no = |reason: String| Why::at(line, reason);
    let part = |session: &Session<'_>, key: &str| session.tree.get(map.id, key).map(|id| map.below(id, key));
    let text = |session: &Session<'_>, key: &str| session.text_at(map.id, key).unwrap_or_default().to_owned();
    let Some(name) = names.iter().find(|name| session.tree.get(map.id, name).is_some()) else {
        let place = find::written(&map.at);
        return Err(no(format!("{place} has no repository; name the value that holds the image")));
    };
    let Some(tag_at) = part(session, tag) else {
        let place = find::written(&map.at);
        return Err(no(format!("{place} has no {tag}; write {tag}: \"\" there first")));
    };
    repository(session, map, name, pin)?;
    match part(session, digest) {
        Some(digest_at) => {
            // An empty place for a digest, and none to put there: the tag alone is meant.
            if !text(session, digest).is_empty() || pin.digest().is_some() {
                let value = pin.need_digest().map_err(no)?;
                session.set(&digest_at, &value)?;
            }
            let value = pin.need_tag().map_err(no)?;
            session.set(&tag_at, &value)
        }
        None => {
            if text(session, tag).contains('@') {
                pin.need_digest().map_err(no)?;
            }
            let value = pin.tag_and_digest().map_err(no)?;
            session.set(&tag_at, &value)
        }
    }
}

/// Writes repository, and registry where it stands apart, if they do not name the image already.
fn repository(session: &mut Session<'_>, map: &Found, name: &str, pin: &Pin) -> Result<(), Why> {
    let line = session.tree.nodes[map.id].line;
    let found = session.text_at(map.id, name).unwrap_or_default().to_owned();
    let registry = session.text_at(map.id, "registry").unwrap_or_default().to_owned();
    let whole = if registry.is_empty() { found.clone() } else { format!("{registry}/{found}") };
    let wanted = pin.repository_for(&whole).map_err(|reason| Why::at(line, reason))?;
    let at = session.tree.get(map.id, name).map(|id| map.below(id, name));
    let Some(at) = at else { return Ok(()) };
    if wanted == whole {
        session.saw();
        return Ok(());
    }
    if registry.is_empty() {
        return session.set(&at, &wanted);
    }
    let (host, rest) = wanted.split_once('/').unwrap_or(("docker.io", wanted.as_str()));
    if let Some(id) = session.tree.get(map.id, "registry") {
        session.set(&map.below(id, "registry"), host)?;
    }
    session.set(&at, rest)
}
