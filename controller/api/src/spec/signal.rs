//! `spec.health.signals` as they are on the wire.

use super::SecretRef;
use crate::{bounds, schema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One stream of health evidence besides what the pods themselves show. It is judged together with them, with one budget
/// for false rollbacks; while it has no data the soak's clock stands still.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Signal {
    /// Its name, unique in the policy.
    #[schemars(length(min = 1, max = 63))]
    #[schemars(extend("x-kubernetes-validations" = schema::label_name("signal")))]
    pub name: String,
    /// A server that speaks the Prometheus API.
    pub prometheus: Prometheus,
    /// When the value speaks against a release. Without it: when it is more than 10 % above that of the pods beside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compare: Option<Compare>,
}

/// A query to a server that speaks the Prometheus API. Asked once per tick about the tick that is over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Prometheus {
    /// Its base address, such as `http://prometheus.monitoring:9090`; `/api/v1/query` is added.
    #[schemars(length(min = 8, max = bounds::ADDRESS))]
    #[schemars(extend("x-kubernetes-validations" = [schema::rule(
        "self.matches('^https?://[A-Za-z0-9.:_\\\\[\\\\]-]+(/[A-Za-z0-9._~/-]*)?$')",
        "must be http:// or https:// with a host, an optional port and an optional path, without user, query and fragment; \
         put credentials into a Secret and name it in secretRef",
    )]))]
    pub address: String,
    /// What is asked: an expression with one value. `$(pods)`, `$(namespace)`: the pods' names and namespaces as regular
    /// expressions; `$(digest)`: what they run; `$(window)`: the length of a tick; `$(baselinePods)`: the names of the
    /// pods beside them, with a limit only. Compared with the pods beside it, the query is asked once for each, so it
    /// must name `$(pods)` or `$(digest)`.
    #[schemars(length(min = 1, max = bounds::QUERY))]
    pub query: String,
    /// A Secret of the policy's namespace, read as its `ServiceAccount`: `token`, or `username` and `password`; `ca.crt`
    /// for an authority of its own; `header.NAME` for a header such as `X-Scope-OrgID`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
}

/// When a value speaks against a release.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [schema::rule(
    "!has(self.limit) || !has(self.margin)",
    "limit compares with a number and margin with the pods beside it; remove one of them",
)]))]
pub struct Compare {
    /// Which way is worse.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["HigherIsWorse", "LowerIsWorse"]))]
    pub direction: Option<String>,
    /// By how much it has to differ from the value of the pods beside it, which still run the stable release.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 8))]
    #[schemars(extend("x-kubernetes-validations" = [schema::rule(
        "self.matches('^[0-9]{1,4}([.][0-9]{1,2})?%$') && double(self.substring(0, self.size() - 1)) >= 5.0 \
         && double(self.substring(0, self.size() - 1)) <= 1000.0",
        "must be a share from 5% to 1000%, such as 10%",
    )]))]
    pub margin: Option<String>,
    /// Instead: a limit that the value may not pass, whatever other pods have.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    #[schemars(extend("x-kubernetes-validations" = [schema::rule(
        "self.matches('^[0-9]{1,9}([.][0-9]{1,6})?$')",
        "must be a number that is not negative, such as 0.05",
    )]))]
    pub limit: Option<String>,
}
