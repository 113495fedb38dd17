//! What a webhook is asked: the same of everybody, in one form that is documented.
//!
//! Guarantees: names and texts in it are those of Kubernetes objects and of the release; nothing secret.

use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeSet;

/// Which side of a comparison is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Side {
    /// The pods that have the candidate.
    Candidate,
    /// The pods beside them, which still run the stable release.
    Baseline,
}

/// One request. As JSON it has the fields below, in camel case, and `apiVersion` and `kind`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Request<'a> {
    /// Namespace and name of the policy, with a slash between them.
    pub policy: &'a str,
    /// The stage.
    pub stage: &'a str,
    /// The signal.
    pub signal: &'a str,
    /// Which side is asked about.
    pub side: Side,
    /// The tag of its release, if it has one.
    pub tag: Option<&'a str>,
    /// The digest that its pods run.
    pub digest: &'a str,
    /// The beginning of the time that is asked about.
    pub from: Timestamp,
    /// Its end.
    pub until: Timestamp,
    /// Its length in seconds.
    pub window_seconds: i64,
    /// Namespaces of the pods.
    pub namespaces: &'a BTreeSet<&'a str>,
    /// Names of the pods.
    pub pods: &'a BTreeSet<&'a str>,
    /// Names of the pods beside the candidate's.
    pub baseline_pods: &'a BTreeSet<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Typed<'a> {
    api_version: &'static str,
    kind: &'static str,
    #[serde(flatten)]
    request: &'a Request<'a>,
}

impl Request<'_> {
    /// As it is sent.
    #[must_use]
    pub fn json(&self) -> String {
        let typed = Typed { api_version: "lockkeeper.dev/v1alpha1", kind: "SignalRequest", request: self };
        serde_json::to_string(&typed).expect("texts and numbers can always be written as JSON")
    }
}
