//! The one file that knows the crate `sigstore-verify`.
//!
//! Guarantees: nothing is skipped that the crate can check: the certificate's chain and its entry in a log of certificates, the
//! entry in the transparency log with its proof, times, the signature itself. Identities are compared by the caller, who
//! knows patterns; the crate knows exact texts only.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lockkeeper_core::image::Digest;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use sigstore_verify::{
    VerificationPolicy, Verifier,
    crypto::{KeyAlgorithm, SigningScheme, verify_signature},
    trust_root::{SIGSTORE_PRODUCTION_TRUSTED_ROOT, TrustedRoot},
    types::{self, Artifact, DerCertificate, DerPublicKey, Sha256Hash, SignatureBytes, SignatureContent},
};

/// When the trusted root was published that comes with the crate. To be changed with its version.
pub(super) const BUNDLED_SINCE: &str = "2026-10-23T00:00:00Z";

/// Kinds of entries that the older form has.
const HASHED: &str = "hashedrekord";

/// A public key: ECDSA on P-256, as `cosign generate-key-pair` makes them.
pub(super) struct Key(DerPublicKey);

impl Key {
    pub(super) fn from_pem(pem: &[u8]) -> Result<Self, String> {
        let again = "write the public key in PEM form, as cosign generate-key-pair does";
        let text =
            std::str::from_utf8(pem).map_err(|_| format!("holds something that is no text; {again}"))?;
        // The crate's own message may show a part of the contents.
        let key = DerPublicKey::from_pem(text.trim()).map_err(|_| format!("holds no public key; {again}"))?;
        match KeyAlgorithm::from_spki(&key) {
            Ok(KeyAlgorithm::EcdsaP256) => Ok(Self(key)),
            Ok(_) => Err(format!("holds a key of another kind than ECDSA P-256; {again}")),
            Err(_) => Err(format!("holds no public key that is known; {again}")),
        }
    }

    /// Whether its private half made this signature.
    pub(super) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let signature = SignatureBytes::new(signature.to_vec());
        verify_signature(&self.0, message, &signature, SigningScheme::EcdsaP256Sha256).is_ok()
    }
}

/// A signature with what proves it.
pub(super) struct Bundle(types::Bundle);

/// The signed part of a bundle.
pub(super) struct Envelope {
    pub payload: Vec<u8>,
    /// The bytes that the signature is over.
    pub signed: Vec<u8>,
    pub signature: Vec<u8>,
}

/// What the older form has of the transparency log.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Log {
    signed_entry_timestamp: String,
    payload: Entry,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    body: String,
    integrated_time: i64,
    log_index: i64,
    #[serde(rename = "logID")]
    log_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    kind: String,
    api_version: String,
}

impl Bundle {
    pub(super) fn parse(json: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(json).map_err(|_| "one is no text".to_owned())?;
        types::Bundle::from_json(text).map(Self).map_err(|error| format!("one cannot be read: {error}"))
    }

    /// The older form's parts as a bundle.
    pub(super) fn of_parts(
        payload: &[u8],
        signature: &str,
        certificate: &str,
        log: &str,
    ) -> Result<Self, String> {
        let certificate = DerCertificate::from_pem(certificate.trim())
            .map_err(|_| "one has a certificate that cannot be read".to_owned())?;
        let unreadable = || "one has a log entry that cannot be read".to_owned();
        let Log { signed_entry_timestamp, payload: entry } =
            serde_json::from_str(log).map_err(|_| unreadable())?;
        let body = STANDARD.decode(&entry.body).map_err(|_| unreadable())?;
        let Body { kind, api_version } = serde_json::from_slice(&body).map_err(|_| unreadable())?;
        if kind != HASHED {
            return Err("one has a log entry of another kind than hashedrekord".to_owned());
        }
        let id = Sha256Hash::from_hex(&entry.log_id).map_err(|_| unreadable())?;
        let bundle = json!({
            "mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.1",
            "verificationMaterial": {
                "x509CertificateChain": {"certificates": [{"rawBytes": STANDARD.encode(certificate.as_bytes())}]},
                "tlogEntries": [{
                    "logIndex": entry.log_index.to_string(),
                    "logId": {"keyId": STANDARD.encode(id.as_bytes())},
                    "kindVersion": {"kind": kind, "version": api_version},
                    "integratedTime": entry.integrated_time.to_string(),
                    "inclusionPromise": {"signedEntryTimestamp": signed_entry_timestamp},
                    "canonicalizedBody": entry.body,
                }],
            },
            "messageSignature": {
                "messageDigest": {"algorithm": "SHA2_256", "digest": STANDARD.encode(Sha256::digest(payload))},
                "signature": signature.trim(),
            },
        });
        Self::parse(bundle.to_string().as_bytes())
    }

    /// What it signs, if that is a statement; none: it signs bytes, as a signature of a file does.
    pub(super) fn envelope(&self) -> Result<Option<Envelope>, String> {
        match &self.0.content {
            SignatureContent::DsseEnvelope(envelope) => Ok(Some(Envelope {
                payload: envelope.payload.as_bytes().to_vec(),
                signed: envelope.pae(),
                signature: envelope.signature.sig.as_bytes().to_vec(),
            })),
            SignatureContent::MessageSignature(_) => Ok(None),
            _ => Err("one is of a form that is not known".to_owned()),
        }
    }
}

/// Who signed, as a certificate says that was verified.
pub(super) struct Who {
    pub issuer: String,
    pub subject: String,
}

/// Authorities and logs that are believed.
pub(super) struct Root(Verifier);

impl Root {
    /// The one of Sigstore's public instance that comes with the crate.
    pub(super) fn bundled() -> Result<Self, String> {
        Self::parse(SIGSTORE_PRODUCTION_TRUSTED_ROOT)
    }

    pub(super) fn parse(json: &str) -> Result<Self, String> {
        let root = TrustedRoot::from_json(json).map_err(|error| format!("it is no trusted root: {error}"))?;
        Verifier::new(&root).map(Self).map_err(|error| format!("it is no trusted root: {error}"))
    }

    /// Who signed these bytes.
    pub(super) fn verify(&self, bundle: &Bundle, bytes: &[u8]) -> Result<Who, String> {
        self.check(bundle, Artifact::from_blob(bytes))
    }

    /// Who signed a statement about this digest.
    pub(super) fn verify_about(&self, bundle: &Bundle, digest: &Digest) -> Result<Who, String> {
        let hex = digest.as_str().strip_prefix("sha256:");
        let hash = hex.and_then(|hex| Sha256Hash::from_hex(hex).ok());
        let hash = hash.ok_or_else(|| "only sha256 digests can be held against an identity".to_owned())?;
        self.check(bundle, Artifact::from_digest(hash))
    }

    fn check(&self, Bundle(bundle): &Bundle, artifact: Artifact<'_>) -> Result<Who, String> {
        if bundle.verification_material.tlog_entries.is_empty() {
            return Err("one has no entry in a transparency log".to_owned());
        }
        let found = self.0.verify(artifact, bundle, &VerificationPolicy::any_identity());
        let found = found.map_err(|error| format!("one cannot be verified: {error}"))?;
        // Nothing was relaxed above; should the crate ever do so by itself, nobody is let in.
        if !(found.certificate_verified() && found.sct_verified() && found.tlog_verified()) {
            return Err("one was not verified completely".to_owned());
        }
        match (found.issuer(), found.identity()) {
            (Some(issuer), Some(subject)) => {
                Ok(Who { issuer: issuer.to_owned(), subject: subject.as_str().to_owned() })
            }
            _ => Err("one has a certificate that names nobody".to_owned()),
        }
    }
}
