//! Events: what people are told on a policy, on the workloads that it changes, and on the Lease. With the controller's own
//! rights, in the namespace of the object that they speak of.
//!
//! Guarantees: on a policy and on the Lease one per call (kube's recorder would fold two of one reason into a count and lose
//! the second's text); on a workload one per transition, whichever replica tells it: its name follows from both, so that
//! the API server refuses a second one. Names and texts fit.

use super::{
    Kubernetes,
    effects::{body, post},
    failure::Call,
};
use crate::ports::{EffectError, Fence, StoredPolicy, Told, Workload};
use jiff::Timestamp;
use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::core::Request as Urls;
use lockkeeper_api::names;
use lockkeeper_core::{
    decision::{Event, EventType},
    image::Digest,
};

/// Longest note of an Event, in bytes; the API server takes 1,024.
const NOTE: usize = 900;
/// Longest part of an Event's name that is its object's, in bytes; the API server takes 253 in all.
const NAME: usize = 200;

impl Kubernetes {
    pub(super) async fn event_published(
        &self,
        fence: &Fence,
        stored: &StoredPolicy,
        event: &Event,
    ) -> Result<(), EffectError> {
        // Unique enough: one process publishes, and not two for one policy in one nanosecond.
        let unique = format!("{:x}", self.shared.clock.now().as_nanosecond());
        self.write_event(fence, of_policy(stored), None, &unique, event).await
    }

    /// On a workload: told already is done, and so is one that is not known (any more).
    pub(super) async fn told(
        &self,
        fence: &Fence,
        stored: &StoredPolicy,
        told: &Told,
    ) -> Result<(), EffectError> {
        let Some(workload) = self.reference(&told.workload) else { return Ok(()) };
        let uid = workload.uid.as_deref().unwrap_or_default();
        let from = format!("{}/{}/{}/{uid}", stored.uid, told.transition, told.event.reason);
        let hash = Digest::of(from.as_bytes());
        match self.write_event(fence, workload, Some(of_policy(stored)), hash.short(), &told.event).await {
            Err(EffectError::Outdated(_)) => Ok(()),
            other => other,
        }
    }

    /// On the Lease: this replica holds it.
    ///
    /// # Errors
    ///
    /// Those of any write.
    pub async fn leadership_told(&self, fence: &Fence, lease: ObjectReference) -> Result<(), EffectError> {
        let message = format!("{} leads from now on: it is the one that writes", self.instance);
        let event = Event { kind: EventType::Normal, reason: "LeaderElected", stage: None, message };
        let unique = format!("{:x}", self.shared.clock.now().as_nanosecond());
        self.write_event(fence, lease, None, &unique, &event).await
    }

    /// How an Event names a workload: with its uid, without which nobody finds it there.
    fn reference(&self, workload: &Workload) -> Option<ObjectReference> {
        let world = self.shared.read();
        let Workload { namespace, kind, name } = workload;
        let (api_version, uid) = match kind.as_str() {
            "Pod" => ("v1".to_owned(), world.pods.get(namespace, name)?.seen.key.uid.clone()),
            _ => {
                let seen = &world.workload(namespace, kind, name)?.seen;
                (seen.api_version.clone(), seen.key.uid.clone())
            }
        };
        Some(ObjectReference {
            api_version: Some(api_version),
            kind: Some(kind.clone()),
            namespace: Some(namespace.clone()),
            name: Some(name.clone()),
            uid: Some(uid),
            ..ObjectReference::default()
        })
    }

    async fn write_event(
        &self,
        fence: &Fence,
        regarding: ObjectReference,
        related: Option<ObjectReference>,
        unique: &str,
        event: &Event,
    ) -> Result<(), EffectError> {
        let namespace = regarding.namespace.clone().unwrap_or_default();
        let name = format!("{}.{unique}", cut(regarding.name.as_deref().unwrap_or_default(), NAME));
        let call =
            Call { verb: "create", resource: "events", namespace: &namespace, name: &name, identity: None };
        let now: Timestamp = self.shared.clock.now();
        let kind = match event.kind {
            EventType::Normal => "Normal",
            EventType::Warning => "Warning",
        };
        let object = v1::Event {
            metadata: ObjectMeta {
                namespace: Some(namespace.clone()),
                name: Some(name.clone()),
                ..ObjectMeta::default()
            },
            action: Some(event.reason.to_owned()),
            reason: Some(event.reason.to_owned()),
            type_: Some(kind.to_owned()),
            note: Some(note(event)),
            event_time: Some(MicroTime(now)),
            reporting_controller: Some(format!("{}/{}", names::GROUP, names::FIELD_MANAGER)),
            reporting_instance: Some(self.instance.clone()),
            regarding: Some(regarding),
            related,
            ..v1::Event::default()
        };
        let urls = Urls::new(format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events"));
        let request = body(&object).and_then(|b| urls.create(&post(), b));
        self.caller.write(fence, &call, request).await.map(drop)
    }
}

fn of_policy(stored: &StoredPolicy) -> ObjectReference {
    ObjectReference {
        api_version: Some(format!("{}/{}", names::GROUP, names::VERSION)),
        kind: Some("ImagePolicy".to_owned()),
        namespace: Some(stored.key.namespace.clone()),
        name: Some(stored.key.name.clone()),
        uid: Some(stored.uid.clone()),
        ..ObjectReference::default()
    }
}

/// The first part of a name, which ends in a letter or a digit.
fn cut(name: &str, most: usize) -> &str {
    let end = name.floor_char_boundary(most);
    name[..end].trim_end_matches(['-', '.'])
}

/// The event's sentence, with its stage in front where the sentence does not name it; within 1,024 bytes.
fn note(event: &Event) -> String {
    let message = match &event.stage {
        Some(stage) if !event.message.contains(stage.as_str()) => format!("{stage}: {}", event.message),
        _ => event.message.clone(),
    };
    let mut text = String::new();
    for c in message.chars() {
        if text.len() + c.len_utf8() > NOTE {
            text.push('…');
            break;
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut_where_a_name_may_end() {
        assert_eq!(cut("otel", 200), "otel");
        assert_eq!(cut("shop-web.front", 9), "shop-web");
    }

    #[test]
    fn a_note_names_its_stage_and_fits() {
        let event = |stage: Option<&str>, message: String| Event {
            kind: EventType::Normal,
            reason: "Verified",
            stage: stage.map(str::to_owned),
            message,
        };
        assert_eq!(note(&event(Some("prod"), "0.31 is verified".into())), "prod: 0.31 is verified");
        assert_eq!(note(&event(Some("prod"), "prod has 0.31".into())), "prod has 0.31");
        let long = note(&event(None, "é".repeat(5_000)));
        assert!(long.len() <= 1_024 && long.ends_with('…'), "{}", long.len());
    }
}
