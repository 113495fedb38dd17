//! `spec.health.signals` as they are on the wire.

use super::SecretRef;
use crate::{bounds, schema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One stream of health evidence besides what the pods themselves show. It is judged together with them, with one budget
/// for false rollbacks; while it has no data the soak's clock stands still.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    schema::rule(
        "[has(self.prometheus), has(self.webhook), has(self.datadog), has(self.cloudWatch), has(self.job)]\
         .filter(x, x).size() == 1",
        "name exactly one of prometheus, webhook, datadog, cloudWatch and job; make another signal for another one",
    ),
    schema::rule("!has(self.job) || !has(self.compare)", "the end of a Job is a verdict, which is compared with nothing; remove compare"),
]))]
pub struct Signal {
    /// Its name, unique in the policy.
    #[schemars(length(min = 1, max = 63))]
    #[schemars(extend("x-kubernetes-validations" = schema::label_name("signal")))]
    pub name: String,
    /// A server that speaks the Prometheus API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<Prometheus>,
    /// A server of one's own that judges.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Judge>,
    /// Datadog.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub datadog: Option<Datadog>,
    /// Amazon `CloudWatch`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloud_watch: Option<CloudWatch>,
    /// A Job that judges once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<Job>,
    /// When the value speaks against a release. Without it: when it is more than 10 % above that of the pods beside it; a
    /// webhook then answers with a verdict of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compare: Option<Compare>,
}

/// A query to a server that speaks the Prometheus API. Asked once per tick about the tick that is over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Prometheus {
    /// Its base address, such as `http://prometheus.monitoring:9090`; `/api/v1/query` is added.
    #[schemars(length(min = 8, max = bounds::ADDRESS))]
    #[schemars(extend("x-kubernetes-validations" = address_rule()))]
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

/// A server of one's own that judges. Once per tick it is sent which pods run what, and answers with a number or, without
/// `compare`, with a verdict; the guide on signals has both forms.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Judge {
    /// Where it takes requests, such as `https://judge.example.com/lockkeeper`.
    #[schemars(length(min = 8, max = bounds::ADDRESS))]
    #[schemars(extend("x-kubernetes-validations" = address_rule()))]
    pub address: String,
    /// A Secret of the policy's namespace, read as its `ServiceAccount`: `token`, or `username` and `password`; `signingKey`,
    /// by which requests are signed; `ca.crt` for an authority of its own; `header.NAME` for a header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
}

/// A query to Datadog's timeseries. Its value is the mean of the points of the tick.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Datadog {
    /// The site, such as `datadoghq.eu` or `us5.datadoghq.com`.
    #[schemars(length(min = 12, max = 32))]
    #[schemars(extend("x-kubernetes-validations" = [schema::rule(
        "self.matches('^([a-z0-9]{2,8}[.])?(datadoghq[.](com|eu)|ddog-gov[.]com)$')",
        "must be a site of Datadog, such as datadoghq.com, us5.datadoghq.com or datadoghq.eu",
    )]))]
    pub site: String,
    /// What is asked: an expression with one series. The variables are those of `prometheus.query`; lists of names are
    /// written with commas, as `pod_name IN ($(pods))` takes them.
    #[schemars(length(min = 1, max = bounds::QUERY))]
    pub query: String,
    /// A Secret of the policy's namespace, read as its `ServiceAccount`: `apiKey` and `applicationKey`.
    pub secret_ref: SecretRef,
    /// How much before the end of a tick the time ends that is asked about, since values come late; at most `warmUp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 20))]
    #[schemars(extend("x-kubernetes-validations" = schema::duration(bounds::DELAY)))]
    pub delay: Option<String>,
}

/// A metric maths expression in Amazon `CloudWatch`. Its value is that of the last whole minutes before the end of a tick,
/// which must be at least one minute long.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CloudWatch {
    /// Such as `eu-west-1`.
    #[schemars(length(min = 6, max = 32))]
    #[schemars(extend("x-kubernetes-validations" = [schema::rule(
        "self.matches('^[a-z]{2,6}(-[a-z]+)+-[0-9]{1,2}$')",
        "must be a region, such as eu-west-1",
    )]))]
    pub region: String,
    /// Metrics that the expression may name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::METRICS))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"]))]
    pub metrics: Vec<Metric>,
    /// What is asked: an expression with one series. The variables are those of `prometheus.query`; lists of names are
    /// quoted and joined by OR, as `FullPodName=($(pods))` of a SEARCH takes them.
    #[schemars(length(min = 1, max = bounds::QUERY))]
    pub expression: String,
    /// A Secret of the policy's namespace, read as its `ServiceAccount`: `accessKeyId`, `secretAccessKey` and, of temporary
    /// keys, `sessionToken`. Without it: the role that the annotation `eks.amazonaws.com/role-arn` of that
    /// `ServiceAccount` names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
    /// How much before the end of a tick the time ends that is asked about, since values come late; at most `warmUp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 20))]
    #[schemars(extend("x-kubernetes-validations" = schema::duration(bounds::DELAY)))]
    pub delay: Option<String>,
}

/// A Job that runs once for each release in each stage, when the first pods have it. Exit code 1 takes the release back at
/// once, 0 lets it go on; until then, and after any other end, the soak's clock stands still.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// A `CronJob` of the policy's namespace, suspended as a rule, whose template the Job is made from. The policy's
    /// `ServiceAccount` needs `get` on it, and `get` and `create` on jobs.
    #[schemars(length(min = 1, max = 253))]
    #[schemars(extend("x-kubernetes-validations" = schema::own_object("CronJob")))]
    pub from: String,
    /// How long it may take; at most `noDataAfter`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 20))]
    #[schemars(extend("x-kubernetes-validations" = schema::duration(bounds::JOB)))]
    pub deadline: Option<String>,
}

/// One metric of `CloudWatch`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metric {
    /// By which the expression names it.
    #[schemars(length(min = 1, max = 63))]
    #[schemars(extend("x-kubernetes-validations" = [schema::rule(
        "self.matches('^[a-z][A-Za-z0-9_]*$') && self != 'result'",
        "must begin with a lower-case letter, go on with letters, digits and _, and not be result",
    )]))]
    pub id: String,
    /// Such as `AWS/ApplicationELB`.
    #[schemars(length(min = 1, max = bounds::METRIC))]
    pub namespace: String,
    /// Such as `HTTPCode_Target_5XX_Count`.
    #[schemars(length(min = 1, max = bounds::METRIC))]
    pub name: String,
    /// Values by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = bounds::DIMENSIONS))]
    pub dimensions: BTreeMap<String, String>,
    /// Such as `Sum`, `Average` or `p95`.
    #[schemars(length(min = 1, max = 32))]
    pub stat: String,
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

fn address_rule() -> serde_json::Value {
    serde_json::json!([schema::rule(
        "self.matches('^https?://[A-Za-z0-9.:_\\\\[\\\\]-]+(/[A-Za-z0-9._~/-]*)?$')",
        "must be http:// or https:// with a host, an optional port and an optional path, without user, query and fragment; \
         put credentials into a Secret and name it in secretRef",
    )])
}
