//! From evidence to its consequence: how long after the status of the pod whose crash tipped the verdict the first pod
//! is put back.
//!
//! Crashes are seconds apart and the controller's answer is faster, so the crash that tipped it is the last one that
//! was seen before the Quarantine was written.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::kubelet::{Kubelet, Rule, Script};
use e2e::meter::audit;
use e2e::recorder::{Record, Recorder};
use e2e::{AuditEvent, eventually};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::Told;
use crate::cluster::{Cluster, stage};

/// Pods of one incident's stage.
const PODS: usize = 30;
/// How long an incident may take.
const LONG: Duration = Duration::from_mins(10);

/// Plays `count` incidents at once, each in a namespace of its own, and prints the median.
pub async fn measure(cluster: &Cluster<'_>, kubelet: &Kubelet, count: usize, told: Told) -> Result<()> {
    let names: Vec<String> = (0..count).map(|number| format!("incident-{number}")).collect();
    let watched: Vec<&str> = names.iter().map(String::as_str).collect();
    let witness = Recorder::start(cluster.admin.clone(), &watched, "otel");
    for name in &names {
        prepare(cluster, name).await?;
    }
    cluster.wait_ready(told).await?;
    for name in &names {
        pinned(cluster, name).await?;
    }
    told.say("the incidents begin");
    let mut bad = Vec::new();
    for name in &names {
        let pushed = cluster.push(&format!("bench/{name}"), "0.29.0", &format!("{name} 0.29.0")).await?;
        let script = Script { restarts_per_pod_hour: 6.0, time_scale: 60.0, ..Script::default() };
        kubelet.rules().add(Rule::new(&pushed.digest, script));
        bad.push(pushed.digest);
    }
    let mut taken = Vec::new();
    for (name, digest) in names.iter().zip(&bad) {
        let span = eventually(&format!("{name} is taken back"), LONG, async || {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let events = audit(&cluster.bed.logs(), &format!("\"{name}"))?;
            span(&events, &witness.record(), name, digest)
        })
        .await?;
        told.say(&format!("{name}: {span:?} from the crash to the first pod put back"));
        taken.push(span);
    }
    taken.sort();
    println!(
        "\nEvidence to patch: median {:?}, worst {:?} of {count} incidents (health.tick: 1s)",
        taken[taken.len() / 2],
        taken[taken.len() - 1]
    );
    Ok(())
}

async fn prepare(cluster: &Cluster<'_>, name: &str) -> Result<()> {
    let path = format!("bench/{name}");
    cluster.namespace(name).await?;
    cluster.push(&path, "0.28.0", &format!("{name} 0.28.0")).await?;
    cluster.bed.registry().tag(&path, "0.28.0", "latest").await?;
    cluster.deployment(name, name, PODS, &path).await?;
    let mut prod = stage(name, name);
    prod["waves"] = json!([{"pods": 3, "soak": "90s"}]);
    let health =
        json!({"tick": "1s", "warmUp": "2s", "noDataAfter": "15s", "noDataMax": "6m", "sweep": "2s"});
    cluster.policy(name, &path, &json!([prod]), &health).await
}

/// Waits until the policy has pinned the good release.
async fn pinned(cluster: &Cluster<'_>, name: &str) -> Result<()> {
    eventually(&format!("{name} is pinned"), LONG, async || {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let events = audit(&cluster.bed.logs(), &format!("\"{name}"))?;
        let pins = |event: &AuditEvent| event.object().resource == "imagepins" && event.succeeded();
        ensure!(events.iter().any(|(_, event)| pins(event)), "no pin was written");
        Ok(())
    })
    .await
}

/// From the status that showed the crash to the first pod that was put back.
fn span(
    events: &[(Timestamp, AuditEvent)],
    record: &Record,
    namespace: &str,
    bad: &str,
) -> Result<SignedDuration> {
    let in_namespace = || events.iter().filter(|(_, event)| event.object().namespace == namespace);
    let moves = in_namespace().filter(|(_, event)| {
        let object = event.object();
        event.verb == "patch"
            && object.resource == "pods"
            && object.subresource.is_empty()
            && event.succeeded()
    });
    let away = |event: &AuditEvent| {
        event.request_object.as_ref().is_some_and(|body| replaces(body, |image| !image.ends_with(bad)))
    };
    let (put_back, _) = moves.clone().find(|(_, event)| away(event)).context("nothing was put back")?;
    let crashes = record.of(namespace).flat_map(|life| life.crashes.iter().map(move |crash| (life, crash)));
    // A crash that this process saw just before the patch may have come after the decision; the decision's latest
    // possible cause is what is asked for, so the span is never overstated.
    let before = crashes.filter(|(_, crash)| crash.at < *put_back && crash.digest == bad);
    let (life, crash) = before.max_by_key(|(_, crash)| crash.at).context("no crash was seen before it")?;
    let shown = in_namespace().rfind(|(at, event)| {
        let object = event.object();
        *at <= crash.at && object.name == life.name && object.subresource == "status"
    });
    let (shown, _) = shown.context("the audit log lacks the status that showed the crash")?;
    Ok(put_back.duration_since(*shown))
}

/// Whether a JSON patch sets an image that satisfies `wanted`.
fn replaces(body: &serde_json::Value, wanted: impl Fn(&str) -> bool) -> bool {
    body.as_array().into_iter().flatten().any(|step| {
        let image = step["path"].as_str().is_some_and(|path| path.ends_with("/image"));
        image && step["op"] == "replace" && step["value"].as_str().is_some_and(&wanted)
    })
}
