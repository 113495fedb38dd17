//! Signals that a Job gives: the template of a `CronJob`, run once for a release in a stage as the policy's `ServiceAccount`.
//!
//! Guarantees: the name of a Job follows from the promotion, so one that runs is found again after a restart and there are
//! never two; it belongs to its policy and goes with it; it ends by its deadline. Exit code 0 of its pod speaks for a release
//! and 1 against it: any other end, and one that could not be started or read, is no answer. May not: run anything
//! with the controller's own rights.

use super::{
    Kubernetes,
    failure::{Call, bounded},
};
use crate::ports::{
    EffectError, Fence, Identity,
    signals::{Measure, Measured, SignalAccess, SignalError, SignalSource},
};
use futures::{FutureExt as _, future::BoxFuture};
use http::{Request, header};
use kube::{api::GetParams, core::Request as Urls};
use lockkeeper_api::names;
use lockkeeper_core::signals::{JobRun, Server};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Why Kubernetes says that a Job failed whose pod ended with the code that its policy names.
const BY_EXIT_CODE: &str = "PodFailurePolicy";
/// How often a pod that was lost is replaced.
const LOST_PODS: u32 = 2;
/// How long a Job that is over may be looked at, in seconds.
const KEPT: u32 = 24 * 3600;

/// The Jobs of one cluster.
pub struct Jobs {
    kubernetes: Arc<Kubernetes>,
    fence: Fence,
}

#[derive(Deserialize)]
struct Job {
    metadata: Metadata,
    #[serde(default)]
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    owner_references: Vec<Owner>,
}

#[derive(Deserialize)]
struct Owner {
    uid: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    conditions: Vec<Condition>,
}

#[derive(Deserialize)]
struct Condition {
    r#type: String,
    status: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
}

impl Jobs {
    /// Makes them as long as `fence` is open.
    #[must_use]
    pub fn new(kubernetes: Arc<Kubernetes>, fence: Fence) -> Self {
        Self { kubernetes, fence }
    }

    async fn ask(&self, measure: Measure<'_>) -> Result<Option<Measured>, SignalError> {
        let Server::Job(job) = measure.server else {
            return Err(SignalError::other(format!("{} is no Job; please report this", measure.server)));
        };
        let run: JobRun = serde_json::from_str(measure.query)
            .map_err(|_| SignalError::other("the Job's question cannot be read; please report this"))?;
        let (identity, name) = (measure.identity, run.name.as_str());
        let namespace = identity.namespace.as_str();
        let call = Call { verb: "get", resource: "jobs", namespace, name, identity: Some(identity) };
        let urls = Urls::new(format!("/apis/batch/v1/namespaces/{namespace}/jobs"));
        match self.kubernetes.caller.read(&call, urls.get(name, &GetParams::default())).await {
            Ok(text) => verdict(&format!("Job {namespace}/{name}"), &text, &run),
            Err(EffectError::Outdated(_)) => {
                self.start(identity, &job.from, &run).await?;
                Err(SignalError::other(format!("Job {namespace}/{name} has been started")))
            }
            Err(error) => Err(SignalError::other(error.to_string())),
        }
    }

    /// Makes the Job from its template.
    async fn start(&self, identity: &Identity, from: &str, run: &JobRun) -> Result<(), SignalError> {
        let namespace = identity.namespace.as_str();
        let call =
            Call { verb: "get", resource: "cronjobs", namespace, name: from, identity: Some(identity) };
        let urls = Urls::new(format!("/apis/batch/v1/namespaces/{namespace}/cronjobs"));
        let text = self.kubernetes.caller.read(&call, urls.get(from, &GetParams::default())).await;
        let text = text.map_err(|error| match error {
            EffectError::Outdated(_) => SignalError::other(format!(
                "there is no CronJob {namespace}/{from}; make it, or correct job.from"
            )),
            error => SignalError::other(error.to_string()),
        })?;
        let job = job(&text, run).ok_or_else(|| {
            SignalError::other(format!("CronJob {namespace}/{from} has no template that can be read"))
        })?;
        let call =
            Call { verb: "create", resource: "jobs", namespace, name: &run.name, identity: Some(identity) };
        let request = Request::post(format!("/apis/batch/v1/namespaces/{namespace}/jobs"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(job.to_string().into_bytes())
            .map_err(kube::core::request::Error::BuildRequest);
        match self.kubernetes.caller.write(&self.fence, &call, request).await {
            // Another look was faster.
            Ok(_) | Err(EffectError::Outdated(_)) => Ok(()),
            Err(error) => Err(SignalError::other(error.to_string())),
        }
    }
}

impl SignalSource for Jobs {
    fn measure<'a>(
        &'a self,
        _: &'a SignalAccess,
        measure: Measure<'a>,
    ) -> BoxFuture<'a, Result<Option<Measured>, SignalError>> {
        self.ask(measure).boxed()
    }
}

/// What a Job that exists says.
fn verdict(which: &str, text: &str, run: &JobRun) -> Result<Option<Measured>, SignalError> {
    let job: Job = serde_json::from_str(text)
        .map_err(|_| SignalError::other(format!("{which} cannot be read as a Job")))?;
    if !job.metadata.owner_references.iter().any(|owner| owner.uid == run.policy_uid) {
        let why = "belongs to somebody else, so its end says nothing; delete it";
        return Err(SignalError::other(format!("{which} {why}")));
    }
    let is = |wanted: &str| job.status.conditions.iter().find(|c| c.r#type == wanted && c.status == "True");
    if is("Complete").is_some() {
        return Ok(Some(Measured::Verdict { degraded: false }));
    }
    match is("Failed") {
        Some(failed) if failed.reason == BY_EXIT_CODE => Ok(Some(Measured::Verdict { degraded: true })),
        Some(Condition { reason, message, .. }) => {
            let said = bounded(&format!("{reason}: {message}"));
            let then = "it counts for nothing; exit with 0 or 1, and delete the Job to run it again";
            Err(SignalError::other(format!("{which} ended without a verdict ({said}); {then}")))
        }
        None => Err(SignalError::other(format!("{which} has not ended yet"))),
    }
}

/// The Job of a `CronJob`'s template; none if there is no template in it.
fn job(text: &str, run: &JobRun) -> Option<Value> {
    let cron: Value = serde_json::from_str(text).ok()?;
    let mut spec = cron.pointer("/spec/jobTemplate/spec")?.clone();
    let labels = cron.pointer("/spec/jobTemplate/metadata/labels").cloned().unwrap_or_else(|| json!({}));
    let own = spec.get("activeDeadlineSeconds").and_then(Value::as_i64).unwrap_or(i64::MAX);
    let fields = spec.as_object_mut()?;
    // Whatever would make a second pod, or let go of the Job's own rules.
    for field in [
        "selector",
        "manualSelector",
        "completionMode",
        "suspend",
        "successPolicy",
        "managedBy",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        fields.remove(field);
    }
    fields.extend([
        ("parallelism".to_owned(), json!(1)),
        ("completions".to_owned(), json!(1)),
        ("backoffLimit".to_owned(), json!(LOST_PODS)),
        ("activeDeadlineSeconds".to_owned(), json!(own.min(run.deadline_seconds))),
        ("ttlSecondsAfterFinished".to_owned(), json!(KEPT)),
        (
            "podFailurePolicy".to_owned(),
            json!({"rules": [
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1]}},
            ]}),
        ),
    ]);
    let pod = spec.pointer_mut("/template/spec")?;
    // Else the pod would start again by itself, and its exit code would be lost.
    pod["restartPolicy"] = json!("Never");
    for list in ["containers", "initContainers"] {
        for container in pod.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let env = container.as_object_mut()?.entry("env").or_insert_with(|| json!([]));
            let env = env.as_array_mut()?;
            env.retain(|one| !one["name"].as_str().is_some_and(|name| run.env.contains_key(name)));
            env.extend(run.env.iter().map(|(name, value)| json!({"name": name, "value": value})));
        }
    }
    let owner = json!({
        "apiVersion": format!("{}/{}", names::GROUP, names::VERSION), "kind": "ImagePolicy", "name": run.policy, "uid": run.policy_uid,
    });
    Some(json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": run.name, "labels": labels, "ownerReferences": [owner]},
        "spec": spec,
    }))
}
