//! Where policies are stored: their status, with the controller's own rights.
//!
//! Guarantees: a status is written only over the version it was decided on.

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
use kube::core::Request as Urls;
use lockkeeper_api::names;
use lockkeeper_core::status::Status;
use serde_json::json;
use std::sync::Arc;

impl Kubernetes {
    pub(super) async fn status_written(
        &self,
        fence: &Fence,
        stored: &StoredPolicy,
        resource_version: &str,
        status: &Arc<Status>,
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
            "status": **status,
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
                status: Arc::clone(status),
                ..(*newest).clone()
            };
            if answer.metadata.generation == Some(now.generation) {
                self.absorb_kept(&Policies(Arc::clone(&self.parsed)), &place, Arc::new(now));
            }
        }
        Ok(written)
    }
}
