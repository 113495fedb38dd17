//! `spec.notify` as it is on the wire.

use super::SecretRef;
use crate::{bounds, schema};
use lockkeeper_core::notices::Occasion;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One who is told outside of the cluster: exactly one of the services, and of what.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [schema::rule(
    "[has(self.slack), has(self.teams), has(self.pagerDuty), has(self.alertmanager), has(self.webhook)].filter(x, x).size() == 1",
    "name exactly one of slack, teams, pagerDuty, alertmanager and webhook; make another entry for another one",
)]))]
pub struct Notifier {
    /// A channel of Slack. Its Secret has `url`, of an incoming webhook.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slack: Option<Channel>,
    /// A channel of Microsoft Teams. Its Secret has `url`, of a workflow that posts to a channel when a webhook request is
    /// received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teams: Option<Channel>,
    /// A service of `PagerDuty`. Its Secret has `routingKey`, of an integration with the Events API v2; `url` where that is
    /// not the one of the United States.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pager_duty: Option<Channel>,
    /// An Alertmanager. Its Secret has `url`, its base address; `token`, or `username` and `password`, if it asks for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alertmanager: Option<Channel>,
    /// Anything that takes `CloudEvents` over HTTP. Its Secret has `url` and `key`, by which they are signed; `token` if it
    /// asks for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Channel>,
    /// What it is told of. Without it: all that the service takes. Pagers (pagerDuty, alertmanager) take `RollingBack` and
    /// `Blocked`. The end of a trouble is told to whom the trouble was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = Occasion::CHOICE.len()), extend("items" = schema::words(&Occasion::CHOICE.map(Occasion::name))))]
    pub events: Vec<String>,
    /// Of which stages. Without it: of all, and of what concerns no stage.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::STAGES), extend("items" = schema::stage_name()))]
    pub stages: Vec<String>,
}

/// How a service is reached.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Channel {
    /// A Secret of the policy's namespace, read as its `ServiceAccount`. `ca.crt` in it is an authority that is believed
    /// besides the controller's own.
    pub secret_ref: SecretRef,
}
