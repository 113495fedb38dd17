//! Who signed what: asked for by policies, judged by the verifier.
//!
//! Guarantees: an answer belongs to what was asked for: another key, identity or account is another question, and what
//! was answered to the former one is no answer any more. Keys are read as the policy's `ServiceAccount`. What was found stays
//! known while it cannot be looked up again.

use super::{
    Key, Lookups, Source, What,
    entry::{Cadence, Kept},
};
use crate::ports::{Identity, PolicyKey, RegistryAccess, RegistryError, StoredPolicy, Trust};
use lockkeeper_core::{
    decision::Question,
    image::{Digest, Repository},
    observed::Answer,
    policy::Policy,
    signature::{Signed, Signer},
};
use std::{collections::BTreeMap, sync::Arc};

/// Who must have signed, and who may read the keys that tell.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asked {
    signer: Signer,
    /// None where no Secret is read: then everybody asks the same.
    reader: Option<Identity>,
}

impl Asked {
    /// As the policy asks; none: it asks for no signature.
    #[must_use]
    pub fn of(stored: &StoredPolicy, policy: &Policy) -> Option<Self> {
        let signer = policy.verify.as_ref()?.signer.clone();
        let reader = signer.secret().is_some().then(|| stored.identity.clone());
        Some(Self { signer, reader })
    }
}

impl Lookups {
    /// All questions of a policy are looked up, and kept fresh.
    pub fn ask_all(
        &self,
        stored: &StoredPolicy,
        policy: &Policy,
        cadence: &Cadence,
        questions: impl IntoIterator<Item = Question>,
    ) {
        let source = Source::of(stored);
        let (signed, others): (Vec<_>, Vec<_>) =
            questions.into_iter().partition(|question| matches!(question, Question::Signed(_)));
        self.ask(&stored.key, &source, &policy.image, cadence, others);
        let asked = Asked::of(stored, policy);
        self.no_longer(&stored.key, asked.as_ref());
        let Some(asked) = asked else { return };
        let keys = signed.into_iter().filter_map(|question| match question {
            Question::Signed(digest) => {
                let what = What::Signed(digest, asked.clone());
                Some((Key { source: source.clone(), repository: policy.image.clone(), what }, false))
            }
            _ => None,
        });
        self.want(&stored.key, &source, cadence, keys);
    }

    /// What the policy asked for before it was changed is not looked up any more.
    fn no_longer(&self, policy: &PolicyKey, now: Option<&Asked>) {
        let mut state = self.lock();
        let keys = state.by_policy.get(policy).into_iter().flatten();
        let old: Vec<Arc<Key>> = keys
            .filter(|key| matches!(&key.what, What::Signed(_, asked) if Some(asked) != now))
            .cloned()
            .collect();
        for key in old {
            self.drop_want(&mut state, policy, &key);
        }
    }

    /// What is known of the signatures that `policy` asks for.
    #[must_use]
    pub fn signed(
        &self,
        policy: &PolicyKey,
        source: &Source,
        asked: &Asked,
    ) -> BTreeMap<Digest, Answer<Signed>> {
        let state = self.lock();
        let keys = state.by_policy.get(policy).into_iter().flatten().filter(|key| key.source == *source);
        let known = keys.filter_map(|key| {
            let What::Signed(digest, of) = &key.what else { return None };
            let entry = state.entries.get(key).filter(|_| of == asked)?;
            let answer = match (&entry.kept, &entry.failing) {
                (Some(Kept::Signed(Some(signed))), _) => Answer::Known(signed.clone()),
                (Some(Kept::Signed(None)), _) => Answer::Absent,
                (_, Some(failure)) => Answer::Failed(failure.clone()),
                _ => return None,
            };
            Some((digest.clone(), answer))
        });
        known.collect()
    }

    /// Fetches what there is and has it judged.
    pub(super) async fn judged(
        &self,
        repository: &Repository,
        digest: &Digest,
        asked: &Asked,
        access: &RegistryAccess,
    ) -> Result<Option<Signed>, RegistryError> {
        let parts = &self.shared.parts;
        // First: a policy whose keys cannot be read learns that, whatever the image.
        let keys = match (&asked.signer, &asked.reader) {
            (Signer::Keys { secret }, Some(reader)) => parts.access.public_keys(reader, secret).await?,
            _ => Vec::new(),
        };
        let found = parts.registry.signatures(access, repository, digest).await?;
        let (verifier, digest, signer) = (Arc::clone(&parts.verifier), digest.clone(), asked.signer.clone());
        let judged = tokio::task::spawn_blocking(move || {
            let trust = match &signer {
                Signer::Keys { .. } => Trust::Keys(&keys),
                Signer::Keyless { issuer, subject } => Trust::Identity { issuer, subject },
            };
            let judged = verifier.judge(&digest, trust, &found);
            (judged, verifier.trusted_root())
        });
        let (judged, root) = judged.await.map_err(|error| RegistryError {
            reason: "BadAnswer",
            message: format!("a signature could not be judged: {error}; please report this with the image"),
            retry_after: None,
        })?;
        if let Some(root) = root {
            parts.metrics.trusted_root(root);
        }
        judged
    }
}
