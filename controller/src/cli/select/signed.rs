//! Whether what a policy would take is signed by whom it asks for, with the key in a file instead of a Secret.

use crate::{
    cli::{exit::Failure, output::say, wire::Registries},
    ports::{RegistryError, Signature, Trust, Verifier as _},
    signatures::SigstoreVerifier,
};
use lockkeeper_core::{
    gates::refused_signature,
    image::Digest,
    observed::Answer,
    signature::{Signer, Verify},
};
use std::path::PathBuf;

/// What signatures are held against.
pub struct Signatures {
    verifier: SigstoreVerifier,
    verify: Verify,
    keys: Vec<(String, Vec<u8>)>,
}

impl Signatures {
    /// As policy and flags say; none: no signature is asked for, or it cannot be judged, which is said.
    pub fn new(
        verify: Option<&Verify>,
        keys: &[PathBuf],
        registries: &Registries,
    ) -> Result<Option<Self>, Failure> {
        let Some(verify) = verify.cloned() else { return Ok(None) };
        let keys = keys.iter().map(|file| {
            let pem = super::asked::read("--cosign-key", file)?;
            Ok((format!("--cosign-key {}", file.display()), pem))
        });
        let keys = keys.collect::<Result<Vec<_>, Failure>>()?;
        if let (Some(secret), true) = (verify.signer.secret(), keys.is_empty()) {
            say(&format!(
                "signatures were not looked at: the key is in Secret {secret}; give it by --cosign-key FILE"
            ));
            return Ok(None);
        }
        Ok(Some(Self { verifier: registries.verifier()?, verify, keys }))
    }

    /// Why a digest with these signatures is not taken, if it is not.
    pub fn refused(
        &self,
        digest: &Digest,
        found: &[Signature],
    ) -> Result<Option<(&'static str, String)>, RegistryError> {
        let trust = match &self.verify.signer {
            Signer::Keys { .. } => Trust::Keys(&self.keys),
            Signer::Keyless { issuer, subject } => Trust::Identity { issuer, subject },
        };
        let answer = self.verifier.judge(digest, trust, found)?.map_or(Answer::Absent, Answer::Known);
        Ok(refused_signature(&self.verify, Some(&answer)))
    }
}
