//! A policy's ServiceAccount, read and spoken for as itself and never with the controller's own rights.
//!
//! Guarantees: a token is asked for by the ServiceAccount whose it is, so that its own namespace has to allow it
//! (`create` on `serviceaccounts/token`); it lives as short as the API server allows, is for one audience, and is in no
//! message and no log.

use super::{Kubernetes, failure::Call};
use crate::ports::{EffectError, Identity, cloud::Account};
use http::{Request, header};
use kube::{api::GetParams, core::Request as Urls};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;

/// The shortest life of a token that the API server gives, in seconds.
const SHORTEST: u32 = 600;

#[derive(Deserialize)]
struct ServiceAccount {
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    uid: String,
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Token {
    status: Given,
}

#[derive(Deserialize)]
struct Given {
    token: String,
}

impl Kubernetes {
    pub(super) async fn account_read(&self, identity: &Identity) -> Result<Account, EffectError> {
        let Identity { namespace, service_account: name } = identity;
        let call =
            Call { verb: "get", resource: "serviceaccounts", namespace, name, identity: Some(identity) };
        let urls = Urls::new(format!("/api/v1/namespaces/{namespace}/serviceaccounts"));
        let text = self.caller.read(&call, urls.get(name, &GetParams::default())).await;
        let text = text.map_err(|error| missing(error, &call))?;
        let account: ServiceAccount = serde_json::from_str(&text)
            .map_err(|_| refused(&call, "it cannot be read as a ServiceAccount"))?;
        let Metadata { uid, annotations } = account.metadata;
        Ok(Account { name: format!("{namespace}/{name}"), uid, annotations })
    }

    pub(super) async fn account_token_made(
        &self,
        identity: &Identity,
        audience: &str,
    ) -> Result<String, EffectError> {
        let Identity { namespace, service_account: name } = identity;
        let call = Call {
            verb: "create",
            resource: "serviceaccounts/token",
            namespace,
            name,
            identity: Some(identity),
        };
        let asked = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"audiences": [audience], "expirationSeconds": SHORTEST},
        });
        let request = Request::post(format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(asked.to_string().into_bytes())
            .map_err(kube::core::request::Error::BuildRequest);
        let text = self.caller.read(&call, request).await.map_err(|error| missing(error, &call))?;
        // The parser's own message would show a part of the token.
        let given: Token =
            serde_json::from_str(&text).map_err(|_| refused(&call, "the answer holds no token"))?;
        Ok(given.status.token)
    }
}

fn missing(error: EffectError, call: &Call<'_>) -> EffectError {
    match error {
        EffectError::Outdated(_) => {
            refused(call, "there is no such ServiceAccount; make it, or correct the name")
        }
        error => error,
    }
}

fn refused(call: &Call<'_>, message: &str) -> EffectError {
    EffectError::Refused { object: call.object(), message: message.to_owned() }
}
