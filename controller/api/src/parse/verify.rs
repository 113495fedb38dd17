//! `spec.select.verify`: nothing that is asked for is left out, so that no release is let in by a field that nobody reads.

use super::error::Errors;
use crate::spec::{Cosign, Keyless, Verify as Spec};
use lockkeeper_core::signature::{Signer, Verify, Wanted, Whole};

const COSIGN: &str = "spec.select.verify.cosign";
const KEYLESS: &str = "spec.select.verify.cosign.keyless";
/// Longest issuer or subject, in characters.
const LONGEST: usize = 512;

/// `None`: no signature is asked for, or what is asked is wrong; then that is among the errors, and there is no policy.
pub(super) fn parse(errors: &mut Errors, verify: Option<&Spec>) -> Option<Verify> {
    let verify = verify?;
    let signer = signer(errors, &verify.cosign)?;
    Some(Verify { signer, on_rollback: verify.on_rollback.unwrap_or_default() })
}

fn signer(errors: &mut Errors, cosign: &Cosign) -> Option<Signer> {
    match (&cosign.secret_ref, &cosign.keyless) {
        (Some(secret), None) => errors
            .own_object(&format!("{COSIGN}.secretRef.name"), &secret.name, "Secret")
            .then(|| Signer::Keys { secret: secret.name.clone() }),
        (None, Some(keyless)) => identity(errors, keyless),
        (Some(secret), Some(_)) => {
            let reason = "and keyless are two ways to say who signs";
            errors.add(COSIGN, &secret.name, reason, "keep one of secretRef and keyless");
            None
        }
        (None, None) => {
            let fix = "set secretRef, such as {name: cosign-pub}, or keyless with issuer and subject";
            errors.add(COSIGN, "", "does not say who signs", fix);
            None
        }
    }
}

fn identity(errors: &mut Errors, keyless: &Keyless) -> Option<Signer> {
    let issuer = wanted(errors, "issuer", keyless.issuer.as_deref(), keyless.issuer_reg_exp.as_deref());
    let subject = wanted(errors, "subject", keyless.subject.as_deref(), keyless.subject_reg_exp.as_deref());
    Some(Signer::Keyless { issuer: issuer?, subject: subject? })
}

fn wanted(errors: &mut Errors, field: &str, exactly: Option<&str>, like: Option<&str>) -> Option<Wanted> {
    let path = format!("{KEYLESS}.{field}");
    match (exactly, like) {
        (Some(""), None) => {
            errors.add(path, "", "is empty, and would admit nobody", "write it as cosign verify prints it");
            None
        }
        (Some(text), None) if text.chars().count() > LONGEST => {
            let reason = format!("has more than {LONGEST} characters");
            errors.add(path, text, reason, "shorten it, or use the regular expression");
            None
        }
        (Some(text), None) => Some(Wanted::Exactly(text.to_owned())),
        (None, Some(pattern)) => errors.keep(format!("{path}RegExp"), Whole::new(pattern)).map(Wanted::Like),
        (Some(text), Some(_)) => {
            let reason = format!("and {field}RegExp are two ways to say the same");
            errors.add(path, text, reason, "keep one of them");
            None
        }
        (None, None) => {
            let fix = format!("set {field}, or {field}RegExp");
            errors.add(path, "", "is missing: without it somebody else's signature would count", fix);
            None
        }
    }
}
