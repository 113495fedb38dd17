//! Where policies are stored: their status, and the Events that tell people of them. With the controller's own rights.
//!
//! Guarantees: a status is written only over the version it was decided on; an Event is written once per call (kube's
//! recorder would fold two of one reason into a count and lose the second's text).

use super::{
    Kubernetes,
    effects::{body, post},
    failure::{Call, bounded},
    watch::{
        ours::Policies,
        own,
        shelf::{Place, version},
    },
};
use crate::ports::{EffectError, Fence, StoredPolicy};
use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::core::Request as Urls;
use lockkeeper_api::names;
use lockkeeper_core::{
    decision::{Event, EventType},
    status::Status,
};
use serde_json::json;
use std::sync::Arc;

/// Longest note of an Event, in characters; the API server takes 1,024 bytes.
const NOTE: usize = 900;

impl Kubernetes {
    pub(super) async fn status_written(
        &self,
        fence: &Fence,
        stored: &StoredPolicy,
        resource_version: &str,
        status: &Status,
    ) -> Result<String, EffectError> {
        let key = &stored.key;
        let (resource, namespace, name) = ("imagepolicies/status", key.namespace.as_str(), key.name.as_str());
        let call = Call { verb: "update", resource, namespace, name, identity: None };
        // The status subresource takes nothing else from the object than its status.
        let object = json!({
            "apiVersion": format!("{}/{}", names::GROUP, names::VERSION),
            "kind": "ImagePolicy",
            "metadata": {
                "namespace": namespace, "name": name, "uid": stored.uid, "resourceVersion": resource_version,
            },
            "status": status,
        });
        let urls = Urls::new(own::path_in(namespace, "imagepolicies"));
        let request = body(&object).and_then(|b| urls.replace_subresource("status", name, &post(), b));
        let text = self.caller.write(fence, &call, request).await?;
        let answer: super::wire::OnlyMeta = serde_json::from_str(&text).map_err(|error| {
            EffectError::Unavailable { object: call.object(), message: bounded(&error.to_string()) }
        })?;
        let written = answer.metadata.resource_version;
        let place =
            Place { namespace: key.namespace.clone(), name: key.name.clone(), version: version(&written) };
        // What the watch knows of the spec may be newer than what was decided on.
        let newest = self.shared.read().policies.get(namespace, name).cloned();
        if let Some(newest) = newest.filter(|newest| newest.uid == stored.uid) {
            let now = StoredPolicy {
                resource_version: written.clone(),
                status: status.clone(),
                ..(*newest).clone()
            };
            if answer.metadata.generation == Some(now.generation) {
                self.absorb_kept(&Policies(Arc::clone(&self.parsed)), &place, Arc::new(now));
            }
        }
        Ok(written)
    }

    pub(super) async fn event_published(
        &self,
        fence: &Fence,
        stored: &StoredPolicy,
        event: &Event,
    ) -> Result<(), EffectError> {
        let now = self.shared.clock.now();
        // Unique enough: one process publishes, and not two for one policy in one nanosecond.
        let name = format!("{}.{:x}", stored.key.name, now.as_nanosecond());
        let namespace = stored.key.namespace.as_str();
        let call = Call { verb: "create", resource: "events", namespace, name: &name, identity: None };
        let object = v1::Event {
            metadata: ObjectMeta {
                namespace: Some(namespace.to_owned()),
                name: Some(name.clone()),
                ..ObjectMeta::default()
            },
            action: Some(event.reason.to_owned()),
            reason: Some(event.reason.to_owned()),
            type_: Some(
                match event.kind {
                    EventType::Normal => "Normal",
                    EventType::Warning => "Warning",
                }
                .to_owned(),
            ),
            note: Some(note(event)),
            event_time: Some(MicroTime(now)),
            reporting_controller: Some(format!("{}/{}", names::GROUP, names::FIELD_MANAGER)),
            reporting_instance: Some(self.instance.clone()),
            regarding: Some(ObjectReference {
                api_version: Some(format!("{}/{}", names::GROUP, names::VERSION)),
                kind: Some("ImagePolicy".to_owned()),
                namespace: Some(namespace.to_owned()),
                name: Some(stored.key.name.clone()),
                uid: Some(stored.uid.clone()),
                ..ObjectReference::default()
            }),
            ..v1::Event::default()
        };
        let urls = Urls::new(format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events"));
        let request = body(&object).and_then(|b| urls.create(&post(), b));
        self.caller.write(fence, &call, request).await.map(drop)
    }
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
