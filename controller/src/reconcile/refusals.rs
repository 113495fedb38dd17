//! Effects that were refused: what people are shown, and when each is tried again.
//!
//! Guarantees: an effect that was refused is not sent again with every pass; a refusal stays visible while it lasts,
//! so that conditions do not flap: a missing right until the API server says that it is there, anything else until a
//! write succeeds or nothing tried it again for long; memory is bounded. What takes a release back is tried every few
//! seconds, whatever is known. May not: do I/O.

use crate::ports::EffectError;
use lockkeeper_core::{
    decision::{Action, Purpose},
    observed::{MissingRight, StageSeen},
    policy::Policy,
};
use std::time::Duration;
use tokio::time::Instant;

/// A refused effect is tried again, and a missing right asked for, after this long.
const RETRY: Duration = Duration::from_mins(1);
/// What takes a release back is tried again sooner.
const RETRY_TAKE_BACK: Duration = Duration::from_secs(10);
/// A refusal of an object that nothing tried again is forgotten after this long.
const FORGET: Duration = Duration::from_mins(10);
/// Refusals kept per policy.
const KEPT: usize = 256;

/// Refusals of one policy.
#[derive(Debug, Default)]
pub struct Refusals {
    list: Vec<Refusal>,
}

#[derive(Debug)]
struct Refusal {
    scope: Scope,
    stage: String,
    what: What,
    /// The effect took a release back: it is tried again soon.
    urgent: bool,
    retry_at: Instant,
    refused_at: Instant,
}

/// What a refusal speaks of. A missing right concerns a namespace, any other refusal one object.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Scope {
    kind: &'static str,
    namespace: String,
    name: Option<String>,
}

#[derive(Debug)]
enum What {
    Right(MissingRight),
    Message(String),
}

impl Refusals {
    /// Whether an effect must wait because the same was refused a short while ago.
    #[must_use]
    pub fn holds_back(&self, action: &Action, now: Instant) -> bool {
        let (kind, namespace, name) = subject(action);
        self.list.iter().any(|refusal| {
            let until = if takes_back(action) {
                refusal.refused_at + RETRY_TAKE_BACK
            } else if matches!(refusal.what, What::Right(_)) {
                // Until the API server says that the right is there.
                return refusal.scope.covers(kind, namespace, name);
            } else {
                refusal.retry_at
            };
            now < until && refusal.scope.covers(kind, namespace, name)
        })
    }

    /// An effect failed; only refusals are remembered.
    pub fn note(&mut self, action: &Action, error: &EffectError, now: Instant) {
        let (kind, namespace, name) = subject(action);
        let (name, what) = match error {
            EffectError::Forbidden(right) => (None, What::Right(right.clone())),
            EffectError::Refused { .. } => (Some(name.to_owned()), What::Message(error.to_string())),
            EffectError::Outdated(_) | EffectError::Fenced | EffectError::Unavailable { .. } => return,
        };
        let scope = Scope { kind, namespace: namespace.to_owned(), name };
        self.list.retain(|refusal| refusal.scope != scope);
        if self.list.len() >= KEPT {
            self.list.remove(0);
        }
        let retry_at = now + RETRY;
        self.list.push(Refusal {
            scope,
            stage: stage(action).to_owned(),
            what,
            urgent: takes_back(action),
            retry_at,
            refused_at: now,
        });
    }

    /// An effect succeeded: what was refused for it is not refused any more.
    pub fn succeeded(&mut self, action: &Action) {
        let (kind, namespace, name) = subject(action);
        self.list.retain(|refusal| !refusal.scope.covers(kind, namespace, name));
    }

    /// Forgets refusals of objects that nothing tried again for long.
    pub fn expire(&mut self, now: Instant) {
        self.list.retain(|refusal| {
            matches!(refusal.what, What::Right(_)) || now.duration_since(refusal.refused_at) < FORGET
        });
    }

    /// The missing rights that it is time to ask for again.
    #[must_use]
    pub fn rights_due(&self, now: Instant) -> Vec<MissingRight> {
        let due = self.list.iter().filter(|refusal| refusal.retry_at <= now);
        let mut rights: Vec<MissingRight> = due
            .filter_map(|refusal| match &refusal.what {
                What::Right(right) => Some(right.clone()),
                What::Message(_) => None,
            })
            .collect();
        rights.sort();
        rights.dedup();
        rights
    }

    /// What the API server said of a missing right: it is there now, or ask again later.
    pub fn heard(&mut self, right: &MissingRight, granted: bool, now: Instant) {
        let same = |refusal: &Refusal| matches!(&refusal.what, What::Right(own) if own == right);
        if granted {
            self.list.retain(|refusal| !same(refusal));
        }
        for refusal in self.list.iter_mut().filter(|refusal| same(refusal)) {
            refusal.retry_at = now + RETRY;
        }
    }

    /// Shows each stage what was refused in it.
    pub fn show(&self, policy: &Policy, stages: &mut [StageSeen]) {
        for (stage, seen) in policy.stages.iter().zip(stages) {
            for refusal in self.list.iter().filter(|refusal| refusal.stage == stage.name) {
                match &refusal.what {
                    What::Right(right) => seen.missing_rights.push(right.clone()),
                    What::Message(message) => seen.refusals.push(message.clone()),
                }
            }
            seen.missing_rights.sort();
            seen.missing_rights.dedup();
            seen.refusals.sort();
            seen.refusals.dedup();
        }
    }

    /// When the next refused effect may be tried again.
    #[must_use]
    pub fn next_retry(&self, now: Instant) -> Option<Instant> {
        let times = self.list.iter().flat_map(|refusal| {
            let soon = refusal.urgent.then_some(refusal.refused_at + RETRY_TAKE_BACK);
            [soon, Some(refusal.retry_at)]
        });
        times.flatten().filter(|at| *at > now).min()
    }
}

impl Scope {
    fn covers(&self, kind: &str, namespace: &str, name: &str) -> bool {
        self.kind == kind && self.namespace == namespace && self.name.as_deref().is_none_or(|own| own == name)
    }
}

/// Kind, namespace and name of what an effect writes. A Quarantine lives in the policy's namespace.
fn subject(action: &Action) -> (&'static str, &str, &str) {
    match action {
        Action::WriteQuarantine(draft) => ("Quarantine", "", &draft.name),
        Action::WritePin { namespace, name, .. } => ("ImagePin", namespace, name),
        Action::DeletePin { key, .. } | Action::MarkOrphan { key, .. } => {
            ("ImagePin", &key.namespace, &key.name)
        }
        Action::MovePod(mv) => ("Pod", &mv.key.namespace, &mv.key.name),
        Action::PatchTemplate(patch) => ("Template", &patch.key.namespace, &patch.key.name),
    }
}

/// The stage that an effect belongs to.
#[must_use]
pub fn stage(action: &Action) -> &str {
    match action {
        Action::WriteQuarantine(draft) => &draft.stage,
        Action::WritePin { stage, .. }
        | Action::DeletePin { stage, .. }
        | Action::MarkOrphan { stage, .. } => stage,
        Action::MovePod(mv) => &mv.stage,
        Action::PatchTemplate(patch) => &patch.stage,
    }
}

/// Whether an effect takes a release back. A Quarantine does: the rest of the rollback waits for it.
#[must_use]
pub fn takes_back(action: &Action) -> bool {
    match action {
        Action::WriteQuarantine(_) => true,
        Action::MovePod(mv) => mv.purpose == Purpose::TakeBack,
        Action::PatchTemplate(patch) => patch.purpose == Purpose::TakeBack,
        Action::WritePin { .. } | Action::DeletePin { .. } | Action::MarkOrphan { .. } => false,
    }
}

/// What an effect writes, for logs.
#[must_use]
pub fn object(action: &Action) -> String {
    let (kind, namespace, name) = subject(action);
    if namespace.is_empty() { format!("{kind} {name}") } else { format!("{kind} {namespace}/{name}") }
}
