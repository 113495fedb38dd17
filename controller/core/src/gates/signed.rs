//! Whether a candidate is signed by whom the policy asks for.
//!
//! Guarantees: "not signed", "signed by somebody else" and "could not look" are three answers. The first two refuse the
//! release; the third waits, says since when and why, and ends by itself. Asked before every entry, about the digest that is
//! pinned: what was found is kept, so that only the first stage waits for it.

use super::label;
use crate::{
    observed::Answer,
    signature::{Signed, Signer, Verify},
    stage::{Entry, StageView, Wait},
};

/// The gate.
pub(super) fn signed(view: &StageView<'_>, entry: &Entry) -> Option<Wait> {
    let verify = view.policy.verify.as_ref()?;
    let release = &entry.release;
    let current = view.life.stages.get(view.index).and_then(crate::stage::current_of);
    if current.is_some_and(|current| view.facts.same(&current.release, release)) {
        // It only has to soak again: nothing is given to anybody.
        return None;
    }
    match view.facts.signed(&release.digest) {
        Some(Answer::Known(Signed::Trusted(_))) => None,
        Some(Answer::Known(Signed::Foreign(_)) | Answer::Absent) => {
            refused_signature(verify, view.facts.signed(&release.digest)).map(|(reason, why)| {
                Wait::new(reason, format!("{} ({}) {why}", label(release), release.digest))
            })
        }
        Some(Answer::Failed(f)) => Some(Wait::new(
            "SignatureUnknown",
            format!("who signed {} could not be looked up since {}: {}", label(release), f.since, f.message),
        )),
        None => {
            Some(Wait::new("Checking", format!("asks {} who signed {}", view.policy.image, label(release))))
        }
    }
}

/// Why an answer refuses a release: a reason, and the sentence that follows its name.
#[must_use]
pub fn refused_signature(verify: &Verify, answer: Option<&Answer<Signed>>) -> Option<(&'static str, String)> {
    let wanted = wanted(&verify.signer);
    match answer? {
        Answer::Absent => Some((
            "Unsigned",
            format!(
                "is not signed; sign it, or change select.verify, which asks for a signature by {wanted}"
            ),
        )),
        Answer::Known(Signed::Foreign(why)) => {
            Some(("SignedByOther", format!("is not signed by {wanted}: {why}")))
        }
        Answer::Known(Signed::Trusted(_)) | Answer::Failed(_) => None,
    }
}

fn wanted(signer: &Signer) -> String {
    match signer {
        Signer::Keys { secret } => format!("a key of Secret {secret}"),
        Signer::Keyless { issuer, subject } => {
            format!("{} of {}", subject.as_str(), issuer.as_str())
        }
    }
}
