//! What was signed: which digest it names, compared by ourselves.
//!
//! Guarantees: a signature over another image, or over something that is no signature of an image, is not taken for one over
//! this. Nothing here is believed before the signature over it was found good.

use lockkeeper_core::image::{Digest, shown};
use serde::Deserialize;
use std::collections::BTreeMap;

/// What a payload of the older form says that it is.
const SIMPLE: &str = "cosign container image signature";
/// What a statement says that it is, if it is a signature of an image.
const SIGNS: &str = "https://sigstore.dev/cosign/sign/v1";

#[derive(Deserialize)]
struct Simple {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

/// A statement in the form of in-toto.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Statement {
    predicate_type: String,
    #[serde(default)]
    subject: Vec<Subject>,
}

#[derive(Deserialize)]
struct Subject {
    #[serde(default)]
    digest: BTreeMap<String, String>,
}

/// A payload of the older form names this digest.
pub(super) fn names(payload: &[u8], digest: &Digest) -> Result<(), String> {
    let Simple { critical } =
        serde_json::from_slice(payload).map_err(|_| "one signs something that is no image".to_owned())?;
    if critical.kind != SIMPLE {
        return Err(format!("one signs {}, which is no image", shown(&critical.kind)));
    }
    if critical.image.digest != digest.as_str() {
        return Err(format!("one signs another image, {}", shown(&critical.image.digest)));
    }
    Ok(())
}

/// The statement, if it is a signature; none: it attests something else.
pub(super) fn statement(payload: &[u8]) -> Result<Option<Statement>, String> {
    let statement: Statement =
        serde_json::from_slice(payload).map_err(|_| "one signs something that is no statement".to_owned())?;
    Ok((statement.predicate_type == SIGNS).then_some(statement))
}

/// One of its subjects is this digest.
pub(super) fn is_about(statement: &Statement, digest: &Digest) -> Result<(), String> {
    let Some((algorithm, hex)) = digest.as_str().split_once(':') else {
        return Err("the digest has no algorithm".to_owned());
    };
    let named = |subject: &Subject| subject.digest.get(algorithm).is_some_and(|found| found == hex);
    if statement.subject.iter().any(named) {
        return Ok(());
    }
    let other = statement.subject.first().and_then(|subject| subject.digest.values().next());
    Err(format!("one signs another image, {}", shown(other.map_or("", String::as_str))))
}
