//! Pins whose policy is gone, and the marks on those whose stage is.
//!
//! Guarantees: a pin is acted on only after two live reads, [`APART`] of each other unless the installation says
//! otherwise, both said that the policy it names
//! (namespace, name and uid) does not exist; a failed read says nothing and starts the wait anew (I8). `Retain` marks
//! it, once; `Release` removes that object at that version, or nothing.
//! With the controller's own rights: pins are its own kind, and a pin that named the identity to act as could be
//! forged into acting as somebody else (see `docs/adr/0020-orphaned-pins.md`).

use super::{
    Kubernetes,
    effects::{body, json_patch, post},
    failure::Call,
    pins,
    pods::test,
    watch::{
        ours::Pins,
        own::{self, PinEntry},
    },
};
use crate::ports::{EffectError, Fence, Identity};
use jiff::{SignedDuration, Timestamp};
use kube::{api::GetParams, core::Request as Urls};
use lockkeeper_api::names;
use lockkeeper_core::{observed::ObjectKey, pin::PinDeletion};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Longest pause between two looks.
const PAUSE: Duration = Duration::from_mins(1);
/// Between the two reads, if the installation says nothing.
pub const APART: SignedDuration = SignedDuration::from_mins(5);
/// The least that an installation may say: a policy that is deleted and made again at once must not look gone.
pub const LEAST_APART: SignedDuration = SignedDuration::from_secs(5);

/// How long to wait from one look to the next: often enough that the second read is not late by much.
#[must_use]
pub fn pause(apart: SignedDuration) -> Duration {
    (apart.unsigned_abs() / 5).min(PAUSE)
}

/// When each policy was first read to be gone, by namespace, name and uid.
#[derive(Debug, Default)]
pub struct Orphans(Mutex<BTreeMap<Named, Timestamp>>);

/// A policy as a pin names it.
type Named = (String, String, String);

fn named(pin: &PinEntry) -> Named {
    let policy = &pin.seen.spec.policy;
    (policy.namespace.clone(), policy.name.clone(), policy.uid.clone())
}

impl Orphans {
    /// A live read of a policy: whether it was there, or nothing could be said. Returns whether its pins may be acted
    /// on now.
    fn read(&self, policy: &Named, there: Option<bool>, apart: SignedDuration, now: Timestamp) -> bool {
        let mut gone = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if there == Some(false) {
            let first = *gone.entry(policy.clone()).or_insert(now);
            now.duration_since(first) >= apart
        } else {
            gone.remove(policy);
            false
        }
    }

    fn keep(&self, wanted: impl Fn(&Named) -> bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|policy, _| wanted(policy));
    }
}

impl Kubernetes {
    /// One look at all pins. Failures are named in the log and looked at again.
    pub(super) async fn sweep_orphans(&self, fence: &Fence, apart: SignedDuration, now: Timestamp) {
        let suspects = self.suspects();
        self.orphans.keep(|policy| suspects.contains_key(policy));
        for (policy, pins) in suspects {
            let there = match self.is_there(&policy).await {
                Ok(there) => Some(there),
                Err(error) => {
                    tracing::warn!(policy = %format_args!("{}/{}", policy.0, policy.1), %error, "whether the policy of a pin exists could not be read");
                    None
                }
            };
            if !self.orphans.read(&policy, there, apart, now) {
                continue;
            }
            for pin in pins {
                if let Err(error) = self.orphaned(fence, &pin, now).await {
                    let key = &pin.seen.key;
                    tracing::warn!(pin = %format_args!("{}/{}", key.namespace, key.name), %error, "an orphaned pin could not be written");
                }
            }
        }
    }

    /// Pins whose policy the watch does not show, and that are not done with.
    fn suspects(&self) -> BTreeMap<Named, Vec<PinEntry>> {
        let world = self.shared.read();
        let mut suspects: BTreeMap<Named, Vec<PinEntry>> = BTreeMap::new();
        for (_, _, pin) in world.pins.iter().filter(|(_, _, pin)| !pin.seen.orphaned) {
            let policy = named(pin);
            let there = world.policies.get(&policy.0, &policy.1).is_some_and(|stored| stored.uid == policy.2);
            if !there {
                suspects.entry(policy).or_default().push(pin.clone());
            }
        }
        suspects
    }

    async fn is_there(&self, (namespace, name, uid): &Named) -> Result<bool, EffectError> {
        let call = Call { verb: "get", resource: "imagepolicies", namespace, name, identity: None };
        let urls = Urls::new(own::path_in(namespace, "imagepolicies"));
        match self.caller.read(&call, urls.get(name, &GetParams::default())).await {
            Ok(text) => {
                let object: Value = serde_json::from_str(&text).unwrap_or_default();
                let found = object.pointer("/metadata/uid").and_then(Value::as_str);
                found.map(|found| found == uid).ok_or_else(|| EffectError::Unavailable {
                    object: call.object(),
                    message: "the answer has no uid".to_owned(),
                })
            }
            Err(EffectError::Outdated(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn orphaned(&self, fence: &Fence, pin: &PinEntry, now: Timestamp) -> Result<(), EffectError> {
        let key = &pin.seen.key;
        tracing::info!(pin = %format_args!("{}/{}", key.namespace, key.name), deletion = ?pin.seen.spec.deletion_policy, "the policy of this pin is gone");
        match pin.seen.spec.deletion_policy {
            PinDeletion::Release => self.delete_pin(None, fence, key, &pin.seen.resource_version).await,
            PinDeletion::Retain => self.mark(fence, pin, now).await,
        }
    }

    /// The annotation first, then the condition: what only has the first is marked again.
    async fn mark(&self, fence: &Fence, pin: &PinEntry, now: Timestamp) -> Result<(), EffectError> {
        let key = &pin.seen.key;
        let (namespace, name) = (key.namespace.as_str(), key.name.as_str());
        let call = Call { verb: "patch", resource: "imagepins", namespace, name, identity: None };
        let path = own::path_in(namespace, "imagepins");
        let since = pin.annotations.get(names::ORPHANED).cloned().unwrap_or_else(|| now.to_string());
        let text = self.caller.write(fence, &call, json_patch(&path, name, mark_patch(pin, &since))).await?;
        let why = orphaned_because("PolicyGone", "its policy does not exist any more", &since);
        self.say_of_pin(fence, namespace, name, &text, &why).await
    }

    /// Marks a pin whose policy is there and has no stage for it any more: the annotation as the policy's
    /// `ServiceAccount`, in a replace of the whole object; then the condition.
    pub(super) async fn mark_left_over(
        &self,
        identity: &Identity,
        fence: &Fence,
        key: &ObjectKey,
        version: &str,
        stage: &str,
        since: Timestamp,
    ) -> Result<(), EffectError> {
        let (namespace, name) = (key.namespace.as_str(), key.name.as_str());
        let call = Call { verb: "update", resource: "imagepins", namespace, name, identity: Some(identity) };
        let old = self.shared.read().pins.get(namespace, name).cloned();
        let old = old.filter(|old| old.seen.resource_version == version && old.seen.key.uid == key.uid);
        let Some(old) = old else { return Err(EffectError::Outdated(call.object())) };
        let since = old.annotations.get(names::ORPHANED).cloned().unwrap_or_else(|| since.to_string());
        let request = body(&pins::marked(&old, &since))
            .and_then(|b| Urls::new(own::path_in(namespace, "imagepins")).replace(name, &post(), b));
        let text = self.caller.write(fence, &call, request).await?;
        let why = format!("stage {stage} of its policy does not pin here any more");
        self.say_of_pin(fence, namespace, name, &text, &orphaned_because("StageGone", &why, &since)).await
    }

    /// Replaces the conditions of a pin that was just written as `text`.
    pub(super) async fn say_of_pin(
        &self,
        fence: &Fence,
        namespace: &str,
        name: &str,
        text: &str,
        conditions: &Value,
    ) -> Result<(), EffectError> {
        let mut object: Value = serde_json::from_str(text).unwrap_or_default();
        object["status"] = json!({"conditions": conditions});
        let call = Call { verb: "update", resource: "imagepins/status", namespace, name, identity: None };
        let urls = Urls::new(own::path_in(namespace, "imagepins"));
        let request = body(&object).and_then(|b| urls.replace_subresource("status", name, &post(), b));
        let text = self.caller.write(fence, &call, request).await?;
        self.absorb(&Pins, &text);
        Ok(())
    }
}

fn orphaned_because(reason: &str, why: &str, since: &str) -> Value {
    json!([{
        "type": "Orphaned",
        "status": "True",
        "reason": reason,
        "message": format!("{why}; new pods still get this digest until somebody deletes this pin"),
        "lastTransitionTime": since,
    }])
}

fn mark_patch(pin: &PinEntry, since: &str) -> Value {
    let escaped = names::ORPHANED.replace('/', "~1");
    let add = if pin.annotations.is_empty() {
        json!({"op": "add", "path": "/metadata/annotations", "value": {names::ORPHANED: since}})
    } else {
        json!({"op": "add", "path": format!("/metadata/annotations/{escaped}"), "value": since})
    };
    json!([
        test("/metadata/uid", &json!(pin.seen.key.uid)),
        test("/metadata/resourceVersion", &json!(pin.seen.resource_version)),
        add
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_reads_five_minutes_apart_and_nothing_between_that_says_otherwise() {
        let orphans = Orphans::default();
        let policy = ("platform".to_owned(), "otel".to_owned(), "u".to_owned());
        let at = |minute: i64| Timestamp::from_second(minute * 60).unwrap();
        assert!(!orphans.read(&policy, Some(false), APART, at(0)));
        assert!(!orphans.read(&policy, Some(false), APART, at(4)));
        assert!(orphans.read(&policy, Some(false), APART, at(5)));
        assert!(!orphans.read(&policy, None, APART, at(6)), "a read that failed says nothing");
        assert!(!orphans.read(&policy, Some(false), APART, at(10)));
        assert!(!orphans.read(&policy, Some(true), APART, at(12)), "it is there again");
        assert!(!orphans.read(&policy, Some(false), APART, at(16)));
        assert!(orphans.read(&policy, Some(false), APART, at(21)));
        assert_eq!(pause(APART), PAUSE);
        assert_eq!(pause(LEAST_APART), Duration::from_secs(1));
    }
}
