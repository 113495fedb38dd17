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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServiceAccount {
    #[serde(default)]
    image_pull_secrets: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    name: String,
}

impl Kubernetes {
    pub(super) async fn secret_read(
        &self,
        identity: &Identity,
        name: &str,
    ) -> Result<BTreeMap<String, Vec<u8>>, EffectError> {
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
        Ok(secret.data.into_iter().map(|(key, value)| (key, value.0)).collect())
    }

    pub(super) async fn pull_secrets_read(
        &self,
        identity: &Identity,
        name: &str,
    ) -> Result<Vec<String>, EffectError> {
        let namespace = identity.namespace.as_str();
        let call =
            Call { verb: "get", resource: "serviceaccounts", namespace, name, identity: Some(identity) };
        let refused =
            |message: &str| EffectError::Refused { object: call.object(), message: message.to_owned() };
        let urls = Urls::new(format!("/api/v1/namespaces/{namespace}/serviceaccounts"));
        let text = match self.caller.read(&call, urls.get(name, &GetParams::default())).await {
            Ok(text) => text,
            Err(EffectError::Outdated(_)) => {
                return Err(refused("there is no such ServiceAccount; make it, or correct the name"));
            }
            Err(error) => return Err(error),
        };
        let account: ServiceAccount =
            serde_json::from_str(&text).map_err(|_| refused("it cannot be read as a ServiceAccount"))?;
        Ok(account.image_pull_secrets.into_iter().map(|secret| secret.name).collect())
    }
}
