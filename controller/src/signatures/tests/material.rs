//! Keys, an authority and logs of our own, and signatures that they make: the bytes are what cosign would push.

use super::super::sigstore::Root;
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use lockkeeper_core::image::Digest;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _, SanType,
    date_time_ymd,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::ports::{Signature, Simple};

/// When everything here was signed.
pub const SIGNED_AT: i64 = 1_750_000_000;

pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// An ECDSA P-256 key.
pub struct SigningKey(pub KeyPair);

impl SigningKey {
    pub fn new() -> Self {
        Self(KeyPair::generate().unwrap())
    }

    pub fn pem(&self) -> Vec<u8> {
        self.0.public_key_pem().into_bytes()
    }

    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &self.0.serialize_der()).unwrap();
        pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
    }

    fn spki(&self) -> Vec<u8> {
        self.0.subject_public_key_info()
    }
}

/// What cosign signs in the older form.
pub fn payload(digest: &str) -> Vec<u8> {
    json!({
        "critical": {
            "identity": {"docker-reference": "registry.example.com/otel"},
            "image": {"docker-manifest-digest": digest},
            "type": "cosign container image signature",
        },
        "optional": null,
    })
    .to_string()
    .into_bytes()
}

pub fn statement(digest: &Digest, kind: &str) -> Vec<u8> {
    let hex = digest.as_str().strip_prefix("sha256:").unwrap();
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": hex}, "annotations": {}}],
        "predicateType": kind,
        "predicate": {},
    })
    .to_string()
    .into_bytes()
}

pub const SIGNS: &str = "https://sigstore.dev/cosign/sign/v1";
const IN_TOTO: &str = "application/vnd.in-toto+json";

fn pae(payload: &[u8]) -> Vec<u8> {
    let mut text = format!("DSSEv1 {} {IN_TOTO} {} ", IN_TOTO.len(), payload.len()).into_bytes();
    text.extend(payload);
    text
}

/// By a key, in the older form.
pub fn simple(key: &SigningKey, payload: &[u8]) -> Signature {
    Signature::Simple(Box::new(Simple {
        payload: payload.to_vec().into(),
        signature: b64(key.sign(payload)),
        ..Simple::default()
    }))
}

/// By a key, as a bundle without a log entry.
pub fn bundle(key: &SigningKey, payload: &[u8]) -> Signature {
    let material = json!({"publicKey": {"hint": ""}, "tlogEntries": []});
    Signature::Bundle(document(&material, key, payload).to_string().into_bytes().into())
}

fn document(material: &Value, key: &SigningKey, payload: &[u8]) -> Value {
    json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": material,
        "dsseEnvelope": {
            "payload": b64(payload), "payloadType": IN_TOTO,
            "signatures": [{"sig": b64(key.sign(&pae(payload)))}],
        },
    })
}

/// An instance of Sigstore: an authority, a log of certificates, a log of signatures.
pub struct Instance {
    authority: Issuer<'static, KeyPair>,
    certificate: Certificate,
    authority_spki: Vec<u8>,
    certificates: SigningKey,
    log: SigningKey,
}

/// A signer with a certificate.
pub struct Signer {
    pub key: SigningKey,
    pub pem: String,
    der: Vec<u8>,
}

impl Instance {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = named("an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) = (date_time_ymd(2024, 1, 1), date_time_ymd(2090, 1, 1));
        let certificate = params.self_signed(&key).unwrap();
        let authority_spki = key.subject_public_key_info();
        let authority = Issuer::new(params, key);
        let (certificates, log) = (SigningKey::new(), SigningKey::new());
        Self { authority, certificate, authority_spki, certificates, log }
    }

    pub fn trusted_root(&self) -> String {
        let valid = json!({"start": "2024-01-01T00:00:00Z"});
        let log = |key: &SigningKey| {
            json!([{
                "baseUrl": "https://log.example", "hashAlgorithm": "SHA2_256",
                "publicKey": {"rawBytes": b64(key.spki()), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": valid},
                "logId": {"keyId": b64(sha256(&key.spki()))},
            }])
        };
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": log(&self.log),
            "ctlogs": log(&self.certificates),
            "certificateAuthorities": [{
                "subject": {"organization": "example", "commonName": "an authority"},
                "uri": "https://fulcio.example",
                "certChain": {"certificates": [{"rawBytes": b64(self.certificate.der())}]},
                "validFor": valid,
            }],
            "timestampAuthorities": [],
        })
        .to_string()
    }

    pub fn root(&self) -> Root {
        Root::parse(&self.trusted_root()).unwrap()
    }

    /// A certificate for whom the issuer vouches.
    pub fn signer(&self, issuer: &str, subject: &str) -> Signer {
        let key = SigningKey::new();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        (params.not_before, params.not_after) = (date_time_ymd(2025, 1, 1), date_time_ymd(2080, 1, 1));
        params.serial_number = Some(vec![7; 16].into());
        params.subject_alt_names = vec![SanType::URI(subject.try_into().unwrap())];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        params.use_authority_key_identifier_extension = true;
        let mut text = vec![0x0c, u8::try_from(issuer.len()).unwrap()];
        text.extend(issuer.as_bytes());
        let vouched = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 57264, 1, 8], text);
        params.custom_extensions = vec![vouched];
        let before = params.signed_by(&key.0, &self.authority).unwrap();
        params.custom_extensions.push(self.timestamp(first_inside(before.der())));
        let certificate = params.signed_by(&key.0, &self.authority).unwrap();
        Signer { key, pem: certificate.pem(), der: certificate.der().to_vec() }
    }

    /// What the log of certificates says of one: the extension of RFC 6962.
    fn timestamp(&self, certificate: &[u8]) -> CustomExtension {
        let length = |bytes: usize, of: usize| bytes.to_be_bytes()[8 - of..].to_vec();
        let at = u64::try_from(SIGNED_AT * 1000).unwrap().to_be_bytes();
        let mut signed = vec![0, 0];
        signed.extend(at);
        signed.extend([0, 1]);
        signed.extend(sha256(&self.authority_spki));
        signed.extend(length(certificate.len(), 3));
        signed.extend(certificate);
        signed.extend([0, 0]);
        let signature = self.certificates.sign(&signed);
        let mut one = vec![0];
        one.extend(sha256(&self.certificates.spki()));
        one.extend(at);
        one.extend([0, 0, 4, 3]);
        one.extend(length(signature.len(), 2));
        one.extend(signature);
        let mut list = length(one.len() + 2, 2);
        list.extend(length(one.len(), 2));
        list.extend(one);
        let mut octets = vec![0x04, 0x81, u8::try_from(list.len()).unwrap()];
        if list.len() < 128 {
            octets.remove(1);
        }
        octets.extend(list);
        CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 11129, 2, 4, 2], octets)
    }

    /// The log's promise that it has taken an entry in.
    fn promise(&self, body: &str) -> (String, Vec<u8>) {
        let id = hex(&sha256(&self.log.spki()));
        let entry = format!(
            "{{\"body\":\"{body}\",\"integratedTime\":{SIGNED_AT},\"logID\":\"{id}\",\"logIndex\":0}}"
        );
        (id, self.log.sign(entry.as_bytes()))
    }

    /// By an identity, in the older form.
    pub fn simple(&self, signer: &Signer, payload: &[u8]) -> Simple {
        let signature = b64(signer.key.sign(payload));
        let body = json!({
            "apiVersion": "0.0.1", "kind": "hashedrekord",
            "spec": {
                "data": {"hash": {"algorithm": "sha256", "value": hex(&sha256(payload))}},
                "signature": {"content": signature, "publicKey": {"content": b64(&signer.pem)}},
            },
        });
        let body = b64(body.to_string());
        let (id, promise) = self.promise(&body);
        let log = json!({
            "SignedEntryTimestamp": b64(promise),
            "Payload": {"body": body, "integratedTime": SIGNED_AT, "logIndex": 0, "logID": id},
        });
        Simple {
            payload: payload.to_vec().into(),
            signature,
            certificate: Some(signer.pem.clone()),
            chain: None,
            log: Some(log.to_string()),
        }
    }

    /// By an identity, as a bundle.
    pub fn bundle(&self, signer: &Signer, payload: &[u8]) -> Value {
        let whole = document(&json!({}), &signer.key, payload);
        let signature = &whole["dsseEnvelope"]["signatures"][0]["sig"];
        let body = json!({
            "apiVersion": "0.0.1", "kind": "dsse",
            "spec": {
                "envelopeHash": {"algorithm": "sha256", "value": hex(&sha256(whole["dsseEnvelope"].to_string().as_bytes()))},
                "payloadHash": {"algorithm": "sha256", "value": hex(&sha256(payload))},
                "signatures": [{"signature": signature, "verifier": b64(&signer.pem)}],
            },
        })
        .to_string();
        let leaf = sha256(&[&[0], body.as_bytes()].concat());
        let note = format!("log.example\n1\n{}\n", b64(&leaf));
        let id = sha256(&self.log.spki());
        let under = [&id[..4], &self.log.sign(note.as_bytes())].concat();
        let (_, promise) = self.promise(&b64(&body));
        let mut whole = whole;
        whole["verificationMaterial"] = json!({
            "certificate": {"rawBytes": b64(&signer.der)},
            "tlogEntries": [{
                "logIndex": "0", "logId": {"keyId": b64(&id)}, "kindVersion": {"kind": "dsse", "version": "0.0.1"},
                "integratedTime": SIGNED_AT.to_string(),
                "inclusionPromise": {"signedEntryTimestamp": b64(promise)},
                "inclusionProof": {
                    "logIndex": "0", "rootHash": b64(&leaf), "treeSize": "1", "hashes": [],
                    "checkpoint": {"envelope": format!("{note}\n\u{2014} log.example {}\n", b64(under))},
                },
                "canonicalizedBody": b64(&body),
            }],
        });
        whole
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

/// The first element of a DER sequence, whole: of a certificate what is signed in it.
fn first_inside(der: &[u8]) -> &[u8] {
    let header = |at: usize| match der[at + 1] {
        short @ 0..=127 => (2, usize::from(short)),
        long => {
            let bytes = usize::from(long & 0x7f);
            let length =
                der[at + 2..at + 2 + bytes].iter().fold(0, |sum, byte| (sum << 8) | usize::from(*byte));
            (2 + bytes, length)
        }
    };
    let (start, _) = header(0);
    let (inner, length) = header(start);
    &der[start..start + inner + length]
}
