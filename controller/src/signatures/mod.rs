//! Judges signatures of images as cosign makes them: by public keys, and by identities that Fulcio vouched for.
//!
//! Guarantees: a signature counts only if it is valid, by whom is asked for, *and* over the very digest that is asked about:
//! that is compared here, in what was signed, never taken from where it was found. A broken signature hides no good one. What
//! cannot be judged, because a key or the trusted root is unusable, is an error and neither yes nor no.
//! May not: read a registry or the cluster. What it shows of what it was given is bounded.

mod payload;
mod sigstore;
#[cfg(test)]
mod tests;

use crate::ports::{RegistryError, Signature, Simple, Trust, TrustedRoot, Verifier};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use lockkeeper_core::{
    image::Digest,
    signature::{Signed, Wanted},
};
use sigstore::{Bundle, Key, Root, Who};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

/// Reasons named in a sentence.
const NAMED: usize = 3;
/// Longest reason, and longest name in one, in characters.
const LONGEST: usize = 400;
const NAME: usize = 150;
/// Largest trusted root, in bytes.
const ROOT_BYTES: u64 = 4 * 1024 * 1024;

/// The verifier.
pub struct SigstoreVerifier {
    file: Option<PathBuf>,
    held: Mutex<Held>,
}

/// The trusted root as it was last read.
#[derive(Clone)]
struct Held {
    root: Arc<Root>,
    /// Of the file.
    modified: Option<SystemTime>,
    shown: TrustedRoot,
}

/// Why one signature does not count.
enum Flaw {
    /// It is something else than a signature of an image, and as good as not there.
    Other,
    /// It is one, and it does not count.
    Bad(String),
}

impl From<String> for Flaw {
    fn from(why: String) -> Self {
        Self::Bad(why)
    }
}

impl SigstoreVerifier {
    /// With the trusted root in `file`, or else the one that came with this program.
    ///
    /// # Errors
    /// It is none.
    pub fn new(file: Option<PathBuf>) -> Result<Self, String> {
        let held = match &file {
            Some(file) => read(file, modified(file)?)?,
            None => bundled()?,
        };
        Ok(Self { file, held: Mutex::new(held) })
    }

    /// The trusted root as it is now.
    fn root(&self) -> Result<Held, String> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &self.file {
            let modified = modified(file)?;
            if held.modified != Some(modified) {
                *held = read(file, modified)?;
            }
        }
        Ok(held.clone())
    }
}

fn bundled() -> Result<Held, String> {
    let since: Timestamp =
        sigstore::BUNDLED_SINCE.parse().map_err(|error| format!("its date is none: {error}"))?;
    let root = Arc::new(Root::bundled()?);
    Ok(Held { root, modified: None, shown: TrustedRoot { source: "bundled", since } })
}

fn modified(file: &Path) -> Result<SystemTime, String> {
    let when = fs::metadata(file).and_then(|about| about.modified());
    when.map_err(|error| format!("{} cannot be read: {error}", file.display()))
}

fn read(file: &Path, modified: SystemTime) -> Result<Held, String> {
    let at = |why: &dyn std::fmt::Display| format!("{} cannot be used: {why}", file.display());
    let size = fs::metadata(file).map_err(|error| at(&error))?.len();
    if size > ROOT_BYTES {
        return Err(at(&format!("it has {size} bytes, at most {ROOT_BYTES} are read")));
    }
    let text = fs::read_to_string(file).map_err(|error| at(&error))?;
    let root = Arc::new(Root::parse(&text).map_err(|why| at(&why))?);
    let since = Timestamp::try_from(modified).map_err(|error| at(&error))?;
    Ok(Held { root, modified: Some(modified), shown: TrustedRoot { source: "mounted", since } })
}

impl Verifier for SigstoreVerifier {
    fn judge(
        &self,
        digest: &Digest,
        trust: Trust<'_>,
        signatures: &[Signature],
    ) -> Result<Option<Signed>, RegistryError> {
        match trust {
            Trust::Keys(keys) => {
                let keys = keys.iter().map(|(place, pem)| {
                    Key::from_pem(pem).map_err(|why| error("SecretUnusable", format!("{place}: {why}")))
                });
                let keys = keys.collect::<Result<Vec<Key>, _>>()?;
                Ok(worth(signatures, |signature| by_key(digest, &keys, signature)))
            }
            Trust::Identity { issuer, subject } => {
                let held = self.root().map_err(|why| {
                    error("TrustedRootUnusable", format!("--sigstore-trusted-root: {why}; mount another one"))
                })?;
                let wanted = Identity { root: &held.root, issuer, subject };
                let signed = worth(signatures, |signature| wanted.by_identity(digest, signature));
                Ok(signed.map(|signed| match signed {
                    Signed::Foreign(why) => {
                        let TrustedRoot { source, since } = held.shown;
                        let day = since.strftime("%Y-%m-%d");
                        Signed::Foreign(format!("{why} (held against the {source} trusted root of {day})"))
                    }
                    trusted @ Signed::Trusted(_) => trusted,
                }))
            }
        }
    }

    fn trusted_root(&self) -> Option<TrustedRoot> {
        self.root().ok().map(|held| held.shown)
    }
}

fn error(reason: &'static str, message: String) -> RegistryError {
    RegistryError { reason, message, retry_after: None }
}

/// The first good one, or what is wrong with all of them; none: there is none.
fn worth(signatures: &[Signature], judge: impl Fn(&Signature) -> Result<String, Flaw>) -> Option<Signed> {
    let mut flaws: Vec<String> = Vec::new();
    for signature in signatures {
        match judge(signature) {
            Ok(by) => return Some(Signed::Trusted(by)),
            Err(Flaw::Other) => {}
            Err(Flaw::Bad(why)) => {
                let why: String =
                    why.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect();
                if !flaws.contains(&why) {
                    flaws.push(why);
                }
            }
        }
    }
    let more = flaws.len().saturating_sub(NAMED);
    flaws.truncate(NAMED);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    (!flaws.is_empty()).then(|| Signed::Foreign(format!("{}{more}", flaws.join("; "))))
}

fn by_key(digest: &Digest, keys: &[Key], signature: &Signature) -> Result<String, Flaw> {
    let by = |message: &[u8], signature: &[u8]| {
        let signed = keys.iter().any(|key| key.signed(message, signature));
        if signed { Ok(()) } else { Err("one is by none of the keys".to_owned()) }
    };
    match signature {
        Signature::Unreadable(why) => return Err(why.clone().into()),
        Signature::Simple(simple) => {
            by(&simple.payload, &decoded(&simple.signature)?)?;
            payload::names(&simple.payload, digest)?;
        }
        Signature::Bundle(json) => {
            let envelope = Bundle::parse(json)?.envelope()?.ok_or(Flaw::Other)?;
            let statement = payload::statement(&envelope.payload)?.ok_or(Flaw::Other)?;
            by(&envelope.signed, &envelope.signature)?;
            payload::is_about(&statement, digest)?;
        }
    }
    Ok("a public key".to_owned())
}

/// Who is asked for.
struct Identity<'a> {
    root: &'a Root,
    issuer: &'a Wanted,
    subject: &'a Wanted,
}

impl Identity<'_> {
    fn by_identity(&self, digest: &Digest, signature: &Signature) -> Result<String, Flaw> {
        let who = match signature {
            Signature::Unreadable(why) => return Err(why.clone().into()),
            Signature::Simple(simple) => {
                let bundle = older(simple)?;
                let who = self.root.verify(&bundle, &simple.payload)?;
                payload::names(&simple.payload, digest)?;
                who
            }
            Signature::Bundle(json) => {
                let bundle = Bundle::parse(json)?;
                let envelope = bundle.envelope()?.ok_or(Flaw::Other)?;
                let statement = payload::statement(&envelope.payload)?.ok_or(Flaw::Other)?;
                let who = self.root.verify_about(&bundle, digest)?;
                payload::is_about(&statement, digest)?;
                who
            }
        };
        self.admitted(&who)?;
        Ok(format!("{} of {}", named(&who.subject), named(&who.issuer)))
    }

    fn admitted(&self, who: &Who) -> Result<(), String> {
        if self.issuer.admits(&who.issuer) && self.subject.admits(&who.subject) {
            Ok(())
        } else {
            Err(format!("one is by {} of {}", named(&who.subject), named(&who.issuer)))
        }
    }
}

/// A name out of a certificate. It is public, and often holds an @ that is no password's.
fn named(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(NAME).collect();
    format!("\"{text}\"")
}

/// What the older form has in its annotations, as a bundle.
fn older(simple: &Simple) -> Result<Bundle, String> {
    match (&simple.certificate, &simple.log) {
        (Some(certificate), Some(log)) => {
            Bundle::of_parts(&simple.payload, &simple.signature, certificate, log)
        }
        (None, _) => Err("one is by a key, and names no identity".to_owned()),
        (Some(_), None) => Err("one has no entry in a transparency log".to_owned()),
    }
}

fn decoded(base64: &str) -> Result<Vec<u8>, String> {
    let bytes = STANDARD.decode(base64.trim());
    bytes.map_err(|_| "one is no base64".to_owned())
}
