//! Secrets of a policy's namespace, read as its `ServiceAccount` and never with the controller's own rights.
//!
//! Guarantees: nothing of a Secret's contents is in any message or log; a Secret of another namespace cannot be named.

use super::{Kubernetes, failure::Call};
use crate::ports::{EffectError, Identity};
use k8s_openapi::ByteString;
use kube::{api::GetParams, core::Request as Urls};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Secret {
    #[serde(default)]
    data: BTreeMap<String, ByteString>,
}

impl Kubernetes {
    pub(super) async fn secret_read(
        &self,
        identity: &Identity,
        name: &str,
        key: &str,
    ) -> Result<Vec<u8>, EffectError> {
        let namespace = identity.namespace.as_str();
        let call = Call { verb: "get", resource: "secrets", namespace, name, identity: Some(identity) };
        let refused = |message: String| EffectError::Refused { object: call.object(), message };
        let urls = Urls::new(format!("/api/v1/namespaces/{namespace}/secrets"));
        let text = match self.caller.read(&call, urls.get(name, &GetParams::default())).await {
            Ok(text) => text,
            Err(EffectError::Outdated(_)) => {
                return Err(refused("there is no such Secret; make it, or correct the name".to_owned()));
            }
            Err(error) => return Err(error),
        };
        // The parser's own message would show a part of the contents.
        let secret: Secret =
            serde_json::from_str(&text).map_err(|_| refused("it cannot be read as a Secret".to_owned()))?;
        let has = secret.data.keys().cloned().collect::<Vec<_>>().join(", ");
        let value = secret.data.into_iter().find(|(name, _)| name == key).map(|(_, value)| value.0);
        value.ok_or_else(|| refused(format!("it has no key {key}, only [{has}]; add that key")))
    }
}
