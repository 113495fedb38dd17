//! What a webhook is asked, and what a Job is told: the same for everybody, in one form that is documented.
//!
//! Guarantees: names and texts in it are those of Kubernetes objects and of the release; nothing secret.

use crate::image::Digest;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

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
        json!(Typed { api_version: "lockkeeper.dev/v1alpha1", kind: "SignalRequest", request: self })
            .to_string()
    }
}

/// One run of a Job that judges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRun {
    /// Its name, which is the same whenever the same promotion asks again.
    pub name: String,
    /// The policy that it belongs to.
    pub policy: String,
    /// Its uid.
    pub policy_uid: String,
    /// How long it may take.
    pub deadline_seconds: i64,
    /// What its containers are told.
    pub env: BTreeMap<String, String>,
}

impl JobRun {
    /// The name of the run of this signal for this attempt.
    #[must_use]
    pub fn name_of(attempt: &str, signal: &str) -> String {
        let whole = Digest::of(format!("{attempt}/{signal}").as_bytes());
        let hex: String = whole.as_str().chars().skip_while(|c| *c != ':').skip(1).take(16).collect();
        format!("lockkeeper-{signal:.40}-{hex}")
    }

    /// What a request says, as environment variables: lists with blanks between the names.
    #[must_use]
    pub fn env_of(request: &Request<'_>) -> BTreeMap<String, String> {
        let list = |names: &BTreeSet<&str>| names.iter().copied().collect::<Vec<_>>().join(" ");
        let pairs = [
            ("POLICY", request.policy.to_owned()),
            ("STAGE", request.stage.to_owned()),
            ("SIGNAL", request.signal.to_owned()),
            ("TAG", request.tag.unwrap_or_default().to_owned()),
            ("DIGEST", request.digest.to_owned()),
            ("NAMESPACES", list(request.namespaces)),
            ("PODS", list(request.pods)),
            ("BASELINE_PODS", list(request.baseline_pods)),
        ];
        pairs.into_iter().map(|(name, value)| (format!("LOCKKEEPER_{name}"), value)).collect()
    }

    /// As it is handed over.
    #[must_use]
    pub fn json(&self) -> String {
        json!(self).to_string()
    }
}
