//! What the API server says was changed, and by whom: its audit log.
//!
//! Reads are not in it, but for the controller's, nor are the heartbeats of the simulated nodes. What the simulated kubelet, the scheduler and
//! kube-controller-manager's controllers do is in it without the request's body.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::Bed;
use crate::install::CONTROLLER;

/// One request.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEvent {
    /// `create`, `update`, `patch`, `delete`, `deletecollection`; `get`, `list`, `watch`.
    pub verb: String,
    /// Who authenticated.
    pub user: AuditUser,
    /// On whose behalf, where the request impersonated somebody.
    pub impersonated_user: Option<AuditUser>,
    /// On what; absent for requests that name no resource.
    pub object_ref: Option<AuditObject>,
    /// How it was answered.
    pub response_status: Option<AuditStatus>,
    /// The request's body, where the policy keeps it.
    pub request_object: Option<serde_json::Value>,
    /// RFC 3339, with microseconds: when the request came.
    pub request_received_timestamp: String,
    /// The client's `User-Agent`.
    pub user_agent: Option<String>,
}

/// A user.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct AuditUser {
    /// The whole name: `system:serviceaccount:<namespace>:<name>` for a ServiceAccount.
    #[serde(default)]
    pub username: String,
    /// What else the authenticator said.
    #[serde(default)]
    pub extra: BTreeMap<String, Vec<String>>,
}

impl AuditUser {
    /// Which token of a ServiceAccount was shown: two processes of one account have two.
    #[must_use]
    pub fn credential(&self) -> Option<&str> {
        Some(self.extra.get("authentication.kubernetes.io/credential-id")?.first()?.as_str())
    }
}

/// What a request was about.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct AuditObject {
    /// The plural: `pods`.
    pub resource: String,
    /// Empty for cluster-wide resources.
    pub namespace: String,
    /// Empty where the server chose the name.
    pub name: String,
    /// Empty for the core group.
    pub api_group: String,
    /// `status`, `eviction`, …; empty for the object itself.
    pub subresource: String,
}

/// How a request was answered.
#[derive(Clone, Debug, Deserialize)]
pub struct AuditStatus {
    /// The HTTP status.
    pub code: u16,
    /// The reason's word, where it failed.
    pub reason: Option<String>,
}

impl AuditEvent {
    /// True if the request was answered with success.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.response_status.as_ref().is_some_and(|status| (200..300).contains(&status.code))
    }

    /// What it was about; empty where the request named no resource.
    #[must_use]
    pub fn object(&self) -> AuditObject {
        self.object_ref.clone().unwrap_or_default()
    }
}

impl Bed {
    /// All mutating requests until now, oldest first.
    pub fn audit(&self) -> Result<Vec<AuditEvent>> {
        let mut events = self.whole_audit()?;
        events.retain(|event| !["get", "list", "watch"].contains(&event.verb.as_str()));
        Ok(events)
    }

    fn whole_audit(&self) -> Result<Vec<AuditEvent>> {
        let text = std::fs::read_to_string(self.logs().join("audit.jsonl")).context("no audit log")?;
        // The last line may be half written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).with_context(|| format!("audit line {line}")))
            .collect()
    }

    /// Everything that the controller asked for, reads included.
    pub fn requests_of_the_controller(&self) -> Result<Vec<AuditEvent>> {
        let user = format!("system:serviceaccount:{}:{}", CONTROLLER.0, CONTROLLER.1);
        Ok(self.whole_audit()?.into_iter().filter(|event| event.user.username == user).collect())
    }

    /// Those of one user (`system:serviceaccount:<namespace>:<name>` for a ServiceAccount), impersonated or not.
    pub fn audit_of(&self, user: &str) -> Result<Vec<AuditEvent>> {
        Ok(self.audit()?.into_iter().filter(|event| event.user.username == user).collect())
    }
}
