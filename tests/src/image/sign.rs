//! Signs images as cosign does: in the older form, and as a bundle that refers to the image.
//!
//! Guarantees: the bytes that are signed name the digest that was asked for; a registry without a list of referrers gets one
//! under the tag in its place.

use anyhow::{Context as _, Result};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::KeyPair;
use serde_json::json;

use super::release::Attached;
use super::{Blob, MANIFEST, Registry};

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const IN_TOTO: &str = "application/vnd.in-toto+json";

/// An ECDSA P-256 key, as `cosign generate-key-pair` makes it.
pub struct SigningKey(KeyPair);

impl SigningKey {
    /// A new one.
    pub fn new() -> Result<Self> {
        Ok(Self(KeyPair::generate()?))
    }

    /// The public half.
    #[must_use]
    pub fn public_pem(&self) -> String {
        self.0.public_key_pem()
    }

    fn sign(&self, message: &[u8]) -> Result<String> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &self.0.serialize_der())?;
        Ok(STANDARD.encode(pair.sign(&SystemRandom::new(), message)?))
    }

    /// Signs in the older form: one layer under the tag `sha256-….sig`.
    pub async fn sign_older(&self, registry: &Registry, path: &str, digest: &str) -> Result<()> {
        let payload = json!({
            "critical": {
                "identity": {"docker-reference": registry.repository(path)},
                "image": {"docker-manifest-digest": digest},
                "type": "cosign container image signature",
            },
            "optional": null,
        });
        let kind = "application/vnd.dev.cosign.simplesigning.v1+json";
        let payload = Blob::new(serde_json::to_vec(&payload)?, kind);
        let config = Blob::new(b"{}".to_vec(), "application/vnd.oci.image.config.v1+json");
        let mut layer = payload.descriptor();
        layer["annotations"] = json!({"dev.cosignproject.cosign/signature": self.sign(&payload.bytes)?});
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config.descriptor(), "layers": [layer],
        });
        for blob in [&config, &payload] {
            registry.push_blob(path, blob).await?;
        }
        let tag = format!("{}.sig", digest.replace(':', "-"));
        registry.put_manifest(path, &tag, MANIFEST, serde_json::to_vec(&manifest)?).await.map(drop)
    }

    /// Signs as a bundle that refers to the image.
    pub async fn sign_bundle(&self, registry: &Registry, path: &str, digest: &str) -> Result<()> {
        let hex = digest.strip_prefix("sha256:").context("a digest of another algorithm")?;
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"digest": {"sha256": hex}}],
            "predicateType": "https://sigstore.dev/cosign/sign/v1",
            "predicate": {},
        })
        .to_string();
        let signed = format!("DSSEv1 {} {IN_TOTO} {} {statement}", IN_TOTO.len(), statement.len());
        let bundle = json!({
            "mediaType": BUNDLE,
            "verificationMaterial": {"publicKey": {"hint": ""}, "tlogEntries": []},
            "dsseEnvelope": {
                "payload": STANDARD.encode(&statement), "payloadType": IN_TOTO,
                "signatures": [{"sig": self.sign(signed.as_bytes())?}],
            },
        });
        let image = registry.manifest(path, digest).await?.context("what is signed is not there")?;
        let subject = json!({"mediaType": image.media_type, "digest": digest, "size": image.bytes.len()});
        let attached = Attached::new(BUNDLE, serde_json::to_vec(&bundle)?, &subject)?;
        registry.attach(path, &attached).await
    }
}
