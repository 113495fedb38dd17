//! Effects: one request each, as the policy's `ServiceAccount`, fenced.
//!
//! Guarantees: what an effect expects is tested by the API server itself; nothing is tried again here; the object that
//! the API server answers with is in the stores before the effect is reported done, so the next pass decides on it
//! and not on an older one.

use super::{
    Kubernetes,
    client::Built,
    failure::Call,
    pins, pods, quarantines, templates,
    watch::{
        built_in::{Pods, Workloads},
        collection::{Arrives, Collection},
        ours::{Pins, Quarantines},
        own,
        shelf::Place,
    },
};
use crate::ports::{EffectError, Fence, Identity};
use kube::{
    api::{Patch, PatchParams, PostParams},
    core::Request as Urls,
};
use lockkeeper_api::{Quarantine, names::FIELD_MANAGER};
use lockkeeper_core::{
    decision::{Action, PodMove, QuarantineDraft, TemplatePatch},
    observed::ObjectKey,
    pin::PinSpec,
    policy::Policy,
};
use serde::Serialize;
use serde_json::{Value, json};

impl Kubernetes {
    /// Carry out one effect.
    pub(super) async fn effect(
        &self,
        identity: &Identity,
        fence: &Fence,
        policy: &Policy,
        action: &Action,
    ) -> Result<(), EffectError> {
        match action {
            Action::WriteQuarantine(draft) => self.write_quarantine(fence, &policy.namespace, draft).await,
            Action::WritePin { namespace, name, spec, replaces, stage: _ } => {
                self.write_pin(identity, fence, namespace, name, spec, replaces.as_deref()).await
            }
            Action::DeletePin { key, resource_version, stage: _ } => {
                self.delete_pin(Some(identity), fence, key, resource_version).await
            }
            Action::MarkOrphan { key, resource_version, stage, since } => {
                self.mark_left_over(identity, fence, key, resource_version, stage, *since).await
            }
            Action::MovePod(mv) => self.move_pod(identity, fence, mv).await,
            Action::PatchTemplate(change) => self.patch_template(identity, fence, change).await,
        }
    }

    async fn move_pod(&self, identity: &Identity, fence: &Fence, mv: &PodMove) -> Result<(), EffectError> {
        let key = &mv.key;
        let call = call("patch", "pods", key, Some(identity));
        own_cluster(key, &call)?;
        let seen = {
            let world = self.shared.read();
            let entry =
                world.pods.get(&key.namespace, &key.name).filter(|entry| entry.seen.key.uid == key.uid);
            entry.map(|entry| (entry.annotated, entry.seen.resource_version.clone()))
        };
        let Some((annotated, version)) = seen else { return Err(EffectError::Outdated(call.object())) };
        let patch = pods::patch(mv, annotated, &version);
        let request = json_patch(&format!("/api/v1/namespaces/{}/pods", key.namespace), &key.name, patch);
        let text = self.caller.write(fence, &call, request).await?;
        self.absorb(&Pods, &text);
        Ok(())
    }

    async fn patch_template(
        &self,
        identity: &Identity,
        fence: &Fence,
        change: &TemplatePatch,
    ) -> Result<(), EffectError> {
        let key = &change.key;
        let kind = {
            let world = self.shared.read();
            let is = |kind: &&super::WorkloadKind| {
                kind.kind == change.kind && kind.api_version() == change.api_version
            };
            world.kinds.iter().find(is).cloned()
        };
        let Some(kind) = kind else {
            return Err(EffectError::Refused {
                object: format!("{} {}/{}", change.kind, key.namespace, key.name),
                message: format!("{} {} is no kind of workload here", change.api_version, change.kind),
            });
        };
        let call = call("patch", &kind.plural, key, Some(identity));
        own_cluster(key, &call)?;
        let request = json_patch(&kind.path_in(&key.namespace), &key.name, templates::patch(change));
        let text = self.caller.write(fence, &call, request).await?;
        self.absorb(&Workloads(kind.clone()), &text);
        Ok(())
    }

    async fn write_pin(
        &self,
        identity: &Identity,
        fence: &Fence,
        namespace: &str,
        name: &str,
        spec: &PinSpec,
        replaces: Option<&str>,
    ) -> Result<(), EffectError> {
        let verb = if replaces.is_some() { "update" } else { "create" };
        let call = Call { verb, resource: "imagepins", namespace, name, identity: Some(identity) };
        let urls = Urls::new(own::path_in(namespace, "imagepins"));
        let mut orphaned = false;
        let request = match replaces {
            None => {
                body(&pins::draft(namespace, name, spec.clone(), None)).and_then(|b| urls.create(&post(), b))
            }
            Some(version) => {
                // What is kept beside the spec must be of the version that is replaced.
                let old = self.shared.read().pins.get(namespace, name).cloned();
                let old = old.filter(|old| old.seen.resource_version == version);
                let Some(old) = old else { return Err(EffectError::Outdated(call.object())) };
                orphaned = old.seen.orphaned;
                body(&pins::draft(namespace, name, spec.clone(), Some(&old)))
                    .and_then(|b| urls.replace(name, &post(), b))
            }
        };
        let text = self.caller.write(fence, &call, request).await?;
        self.absorb(&Pins, &text);
        // Its stage is back.
        if orphaned { self.say_of_pin(fence, namespace, name, &text, &json!([])).await } else { Ok(()) }
    }

    /// Gone already is done.
    pub(super) async fn delete_pin(
        &self,
        identity: Option<&Identity>,
        fence: &Fence,
        key: &ObjectKey,
        version: &str,
    ) -> Result<(), EffectError> {
        let call = call("delete", "imagepins", key, identity);
        own_cluster(key, &call)?;
        let urls = Urls::new(own::path_in(&key.namespace, "imagepins"));
        let request = urls.delete(&key.name, &pins::deletion(key, version));
        match self.caller.write(fence, &call, request).await {
            Ok(_) => Ok(()),
            Err(EffectError::Outdated(object)) => {
                let gone = self.shared.read().pins.get(&key.namespace, &key.name).is_none();
                if gone { Ok(()) } else { Err(EffectError::Outdated(object)) }
            }
            Err(error) => Err(error),
        }
    }

    async fn write_quarantine(
        &self,
        fence: &Fence,
        namespace: &str,
        draft: &QuarantineDraft,
    ) -> Result<(), EffectError> {
        let name = draft.name.as_str();
        let mut call = Call { verb: "create", resource: "quarantines", namespace, name, identity: None };
        let urls = Urls::new(own::path_in(namespace, "quarantines"));
        let request = body(&Quarantine::from_draft(namespace, draft)).and_then(|b| urls.create(&post(), b));
        let text = match self.caller.write(fence, &call, request).await {
            Ok(text) => text,
            Err(EffectError::Outdated(_)) => {
                call.verb = "get";
                let text = self.caller.read(&call, urls.get(name, &kube::api::GetParams::default())).await?;
                let there = serde_json::from_str(&text).ok().and_then(|object| own::quarantine(&object));
                if !there.is_some_and(|(_, seen)| quarantines::covers(&seen, draft)) {
                    return Err(EffectError::Refused {
                        object: call.object(),
                        message: "one of that name exists and holds other contents; delete it or give it another name"
                            .to_owned(),
                    });
                }
                text
            }
            Err(error) => return Err(error),
        };
        self.absorb(&Quarantines, &text);
        Ok(())
    }

    /// The API server's answer becomes what is known, unless the watch is ahead of it already.
    pub(super) fn absorb<C: Collection>(&self, collection: &C, text: &str) {
        let Ok(object) = serde_json::from_str::<C::Wire>(text) else {
            tracing::debug!(watch = %collection.watch(), "an answer could not be read; the watch will show it");
            return;
        };
        if object.meta().is_none_or(|meta| meta.name.is_empty()) {
            return;
        }
        let Some((place, kept)) = collection.trim(object) else { return };
        self.absorb_kept(collection, &place, kept);
    }

    pub(super) fn absorb_kept<C: Collection>(&self, collection: &C, place: &Place, kept: C::Kept) {
        let woken = collection.absorb(&mut self.shared.write(), place, kept);
        self.shared.wake(&woken);
    }
}

fn call<'a>(
    verb: &'static str,
    resource: &'a str,
    key: &'a ObjectKey,
    identity: Option<&'a Identity>,
) -> Call<'a> {
    Call { verb, resource, namespace: &key.namespace, name: &key.name, identity }
}

/// Objects of other clusters are somebody else's.
fn own_cluster(key: &ObjectKey, call: &Call<'_>) -> Result<(), EffectError> {
    if key.cluster.0.is_empty() {
        return Ok(());
    }
    let message = format!("it lives in cluster {}, which is not this one", key.cluster.0);
    Err(EffectError::Refused { object: call.object(), message })
}

pub(super) fn post() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

pub(super) fn body(object: &impl Serialize) -> Result<Vec<u8>, kube::core::request::Error> {
    serde_json::to_vec(object).map_err(kube::core::request::Error::SerializeBody)
}

pub(super) fn json_patch(url: &str, name: &str, operations: Value) -> Built {
    let operations: json_patch::Patch =
        serde_json::from_value(operations).map_err(kube::core::request::Error::SerializeBody)?;
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    Urls::new(url).patch(name, &params, &Patch::Json::<()>(operations))
}
