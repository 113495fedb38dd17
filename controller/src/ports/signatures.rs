//! Signatures of images: what a registry holds, and who judges it.
//!
//! Guarantees: what was fetched and what it is worth are two things: nothing here is believed before a [`Verifier`] has
//! judged it.

use super::RegistryError;
use bytes::Bytes;
use jiff::Timestamp;
use lockkeeper_core::{
    image::Digest,
    signature::{Signed, Wanted},
};

/// Something that a registry holds as a signature of a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signature {
    /// A bundle of Sigstore, in JSON, that refers to the digest.
    Bundle(Bytes),
    /// The older form, under the tag `sha256-….sig`.
    Simple(Box<Simple>),
    /// It cannot be read: why not.
    Unreadable(String),
}

/// A signature in the older form: a payload that names the image, and what stands beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Simple {
    /// What was signed.
    pub payload: Bytes,
    /// Over the payload, in base64.
    pub signature: String,
    /// The signer's certificate, in PEM form; none where a key signed.
    pub certificate: Option<String>,
    /// The certificates above it.
    pub chain: Option<String>,
    /// The entry in the transparency log, in JSON.
    pub log: Option<String>,
}

/// Whom a signature is held against.
#[derive(Clone, Copy, Debug)]
pub enum Trust<'a> {
    /// Public keys in PEM form, each with the place it comes from.
    Keys(&'a [(String, Vec<u8>)]),
    /// An identity, vouched for by the trusted root of the installation.
    Identity {
        /// The identity provider.
        issuer: &'a Wanted,
        /// Who.
        subject: &'a Wanted,
    },
}

/// Where the trusted root comes from, and how old it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustedRoot {
    /// `bundled` or `mounted`.
    pub source: &'static str,
    /// When it was published, or the file was written.
    pub since: Timestamp,
}

/// Judges signatures. Pure computation, some milliseconds each.
pub trait Verifier: Send + Sync + 'static {
    /// What the signatures of `digest` are worth; none: it has none.
    ///
    /// # Errors
    /// A key, or the trusted root, cannot be used: then nobody knows.
    fn judge(
        &self,
        digest: &Digest,
        trust: Trust<'_>,
        signatures: &[Signature],
    ) -> Result<Option<Signed>, RegistryError>;

    /// How old the trusted root is; none: it cannot be read.
    fn trusted_root(&self) -> Option<TrustedRoot>;
}
