//! The incident where everything is real: control plane, registry, kubelet, containerd, runc, a sidecar that really panics, and
//! the controller as it is delivered: two replicas from the image, installed by the chart.
//!
//! All pods are on one node, so the sequential test leaves out pods, not nodes. Either it acts, or the hard gate does: two
//! pods wait in the kubelet's back-off at once, and no pod beside them does. A kubelet says `CrashLoopBackOff` late: the
//! first restart is immediate, and of the second it speaks at its next look at the pod, ten to fifteen seconds later. So
//! the wave soaks for longer than that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use e2e::install::{CONTROLLER, apply_object, promoter};
use e2e::node::RealNode;
use e2e::recorder::{Life, Record, Recorder, digest};
use e2e::{AuditEvent, PATIENCE, Pushed, Test, eventually, run};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Preconditions};
use serde_json::{Value, json};

use crate::installed::Installed;

/// Pods of the application: the fewest that a stage with waves has.
const PODS: usize = 8;
/// Pods of the first wave.
const WAVE: usize = 3;

/// An application with its sidecar at `:latest`. Its traffic holds what 0.29.0 panics on, but not from the start: the
/// release gets Ready first, as it did in the incident.
fn deployment(namespace: &str, node: &str, app: &str, sidecar: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "shop", "namespace": namespace},
        "spec": {
            "replicas": PODS,
            "selector": {"matchLabels": {"app": "shop"}},
            "template": {
                "metadata": {"labels": {"app": "shop"}},
                "spec": {
                    "nodeName": node,
                    "hostNetwork": true,
                    "automountServiceAccountToken": false,
                    "terminationGracePeriodSeconds": 1,
                    "tolerations": [{"operator": "Exists"}],
                    "containers": [{"name": "app", "image": app}],
                    "initContainers": [{
                        "name": "otel", "image": sidecar, "restartPolicy": "Always",
                        "env": [{"name": "INPUT", "value": "bare"}, {"name": "AFTER", "value": "4s"}],
                    }],
                },
            },
        },
    })
}

fn policy(namespace: &str, image: &str) -> Value {
    json!({
        "apiVersion": "lockkeeper.dev/v1alpha1", "kind": "ImagePolicy",
        "metadata": {"name": "otel", "namespace": namespace},
        "spec": {
            "image": image,
            "registry": {"insecure": true},
            "interval": "2s",
            "mode": "Enforce",
            "select": {"semver": {"range": ">=0.28.0"}},
            "serviceAccountName": "promoter",
            "stages": [{
                "name": "prod",
                "waves": [{"pods": WAVE, "soak": "20s"}],
                "soak": "5s",
                "targets": [{"pods": {
                    "selector": {"matchLabels": {"app": "shop"}}, "containers": ["otel"], "maxUnavailable": "50%",
                }}],
            }],
            "health": {"tick": "1s", "warmUp": "2s", "sweep": "2s"},
        },
    })
}

/// The world of the test.
struct Scene<'t> {
    test: &'t Test,
    namespace: String,
    recorder: Recorder,
    controller: Installed<'t>,
    /// The most crashes that a flight has counted, of the candidate and of the pods beside it, by the candidate's digest.
    counted: Mutex<BTreeMap<String, [u64; 2]>>,
}

impl Scene<'_> {
    fn of(&self, kind: &str, plural: &str) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("lockkeeper.dev", "v1alpha1", kind);
        let resource = ApiResource::from_gvk_with_plural(&kind, plural);
        Api::namespaced_with(self.test.admin.clone(), &self.namespace, &resource)
    }

    async fn stage(&self) -> Result<Value> {
        let policy = self.of("ImagePolicy", "imagepolicies").get("otel").await?;
        Ok(policy.data["status"]["stages"][0].clone())
    }

    /// Waits while the controller runs.
    async fn until<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Result<T>) -> Result<T> {
        eventually(what, PATIENCE, async || {
            self.controller.check().await?;
            self.note_what_is_counted().await?;
            look().await
        })
        .await
    }

    async fn note_what_is_counted(&self) -> Result<()> {
        let Ok(stage) = self.stage().await else { return Ok(()) };
        let Some(digest) = stage["flight"]["release"]["digest"].as_str() else { return Ok(()) };
        let crashes = &stage["flight"]["health"]["crashes"];
        let mut all = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let most = all.entry(digest.to_owned()).or_default();
        for arm in 0..2 {
            most[arm] = most[arm].max(crashes[arm].as_u64().context("crashes of an arm")?);
        }
        Ok(())
    }

    fn counted(&self, release: &Pushed) -> [u64; 2] {
        let all = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&release.digest).copied().unwrap_or_default()
    }

    /// The stage holds these contents and is at rest.
    async fn holds(&self, release: &Pushed) -> Result<Value> {
        self.until(&format!("the stage holds {}", release.digest), async || {
            let stage = self.stage().await?;
            ensure!(stage["phase"] == "Idle" && stage["current"] == release.digest, "{stage:#}");
            Ok(stage)
        })
        .await
    }

    /// All pods are Ready and run these contents.
    async fn all_run(&self, release: &Pushed) -> Result<()> {
        self.until(&format!("{PODS} Ready pods run {}", release.digest), async || {
            let record = self.recorder.record();
            let seen: Vec<_> =
                record.present(&self.namespace).map(|life| (life.ready, life.runs())).collect();
            ensure!(seen == [(true, Some(release.digest.as_str())); PODS], "{seen:?}");
            Ok(())
        })
        .await
    }

    /// A pod that 0.29.0 never came to is deleted while 0.29.0 is in the wave. The deletion holds for the pod as it was
    /// read: one that the wave reaches in between stays, and another is looked for.
    async fn replace_a_pod(&self, bad: &Pushed) -> Result<()> {
        let pods: Api<Pod> = Api::namespaced(self.test.admin.clone(), &self.namespace);
        self.until("0.29.0 runs in the first pods, and a pod without it is deleted", async || {
            let record = self.recorder.record();
            let has_bad = |life: &Life| life.ever_ran(&bad.digest);
            ensure!(record.of(&self.namespace).any(has_bad), "in none yet");
            let calm = record.present(&self.namespace).find(|life| life.ready && !has_bad(life));
            let read = pods.get(&calm.context("no pod without it")?.name).await?;
            let images = read.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
            let given = images
                .filter_map(|container| container.image.as_deref())
                .any(|image| digest(image) == bad.digest);
            ensure!(!given, "the wave has reached it");
            let as_read =
                Preconditions { uid: read.metadata.uid, resource_version: read.metadata.resource_version };
            let params = DeleteParams { preconditions: Some(as_read), ..DeleteParams::default() };
            pods.delete(&read.metadata.name.unwrap_or_default(), &params).await?;
            Ok(())
        })
        .await
    }

    /// What the controller wrote in this namespace.
    fn writes(&self) -> Result<Vec<AuditEvent>> {
        let user = format!("system:serviceaccount:{}:{}", CONTROLLER.0, CONTROLLER.1);
        let mut writes = self.test.bed.audit_of(&user)?;
        writes.retain(|event| event.object().namespace == self.namespace && event.succeeded());
        Ok(writes)
    }
}

/// The moves in the audit log, in order: the place in it, the pod, and the digest it was given.
fn moves(writes: &[AuditEvent]) -> Vec<(usize, String, String)> {
    let mut moves = Vec::new();
    for (place, event) in writes.iter().enumerate().filter(|(_, event)| event.object().resource == "pods") {
        let operations = event.request_object.as_ref().and_then(Value::as_array).into_iter().flatten();
        for operation in operations.filter(|operation| operation["op"] == "replace") {
            let image = operation["value"].as_str().unwrap_or_default();
            moves.push((place, event.object().name, digest(image).to_owned()));
        }
    }
    moves
}

#[test]
fn the_incident_on_a_real_node_is_taken_back() {
    run("the_incident_on_a_real_node_is_taken_back", async |test| {
        let (Some(node), Some(second)) =
            tokio::try_join!(RealNode::start(test.bed), RealNode::start(test.bed))?
        else {
            return Ok(());
        };
        let controller = Installed::by_the_chart(test, [&node, &second]).await?;
        let namespace = test.namespace("incident").await?;
        let recorder = Recorder::start(test.admin.clone(), &[&namespace], "otel");
        promoter(&test.admin, &namespace).await?;
        let registry = test.bed.registry();
        let app = registry.push("incident/app", "1", &node.application()).await?;
        let good = registry.push("incident/otel", "0.28.0", &node.collector("0.28.0")).await?;
        registry.tag("incident/otel", "0.28.0", "latest").await?;
        let shop = deployment(&namespace, node.name(), &app.tagged("1"), &good.tagged("latest"));
        apply_object(&test.admin, shop).await?;
        let scene = Scene { test, namespace, recorder, controller, counted: Mutex::default() };
        scene.all_run(&good).await?;
        apply_object(&test.admin, policy(&scene.namespace, &good.repository)).await?;

        scene.holds(&good).await.context("adoption")?;
        let restarts = |record: &Record| record.lives.values().map(|life| life.sidecar_restarts).sum::<i32>();
        ensure!(restarts(&scene.recorder.record()) == 0, "adoption restarted something");

        let bad = registry.push("incident/otel", "0.29.0", &node.collector("0.29.0")).await?;
        registry.tag("incident/otel", "0.29.0", "latest").await?;
        scene.replace_a_pod(&bad).await?;
        taken_back(&scene, &good, &bad).await?;

        scene.controller.are_confined().await?;
        scene.controller.kill_the_leader().await?;
        let fixed = registry.push("incident/otel", "0.29.1", &node.collector("0.29.1")).await?;
        scene.all_run(&fixed).await.context("0.29.1 goes through")?;
        let stage = scene.holds(&fixed).await.context("0.29.1 is verified")?;
        nothing_of_ours_is_a_crash(&scene, &stage, &bad, &fixed)?;
        scene.controller.uninstall().await?;
        let all: Api<Deployment> = Api::namespaced(test.admin.clone(), &scene.namespace);
        all.delete("shop", &DeleteParams::default()).await?;
        eventually("the pods are gone", PATIENCE, async || {
            let left = scene.recorder.record().lives.values().filter(|life| life.gone.is_none()).count();
            ensure!(left == 0, "{left} are there");
            Ok(())
        })
        .await?;
        node.stop().await?;
        second.stop().await
    });
}

/// 0.29.0 was in one wave and no further; the Quarantine came first; the application never noticed.
async fn taken_back(scene: &Scene<'_>, good: &Pushed, bad: &Pushed) -> Result<()> {
    let quarantines = scene.of("Quarantine", "quarantines");
    let quarantine = scene
        .until("0.29.0 is quarantined", async || {
            let list = quarantines.list(&ListParams::default()).await?;
            let Some(quarantine) = list.items.into_iter().next() else {
                anyhow::bail!("{:#}", scene.stage().await?)
            };
            Ok(quarantine)
        })
        .await?;
    scene.all_run(good).await.context("0.29.0 is taken back")?;
    let stage = scene.holds(good).await.context("the rollback ends")?;
    ensure!(stage["rolledBackAt"].is_string() && stage["verified"][0]["source"] == "Adopted", "{stage:#}");
    let spec = &quarantine.data["spec"];
    ensure!(spec["digest"] == bad.digest && spec["stage"] == "prod", "{spec:#}");
    let evidence = spec["evidence"].as_str().unwrap_or_default();
    match spec["reason"].as_str() {
        Some("CrashLoop") => ensure!(evidence.contains("(last: exit 2"), "the panic's exit code: {evidence}"),
        Some("RestartsIncreased") => ensure!(evidence.contains(" 0 in the pods beside it"), "{evidence}"),
        _ => anyhow::bail!("neither of the two detectors: {spec:#}"),
    }

    let record = scene.recorder.record();
    let mine: Vec<&Life> = record.of(&scene.namespace).collect();
    let had_it: Vec<&&Life> = mine.iter().filter(|life| life.ever_ran(&bad.digest)).collect();
    ensure!((2..=WAVE).contains(&had_it.len()), "0.29.0 came to {} pods", had_it.len());
    let panicked = had_it.iter().filter(|life| life.crashes.iter().any(|crash| crash.digest == bad.digest));
    ensure!(panicked.count() >= 2, "two pods at least are no accident: {had_it:#?}");
    let crashes = had_it.iter().map(|life| life.crashes.len() as u64).sum::<u64>();
    let counted = scene.counted(bad);
    // The sequential test may act in the pass that counts the first crashes, before any status shows them.
    let least = u64::from(spec["reason"] == "CrashLoop");
    ensure!((least..=crashes).contains(&counted[0]), "counted {counted:?} of {crashes} crashes: {had_it:#?}");
    ensure!(counted[1] == 0, "no pod beside them crashed, and counted are {counted:?}");
    ensure!(mine.iter().all(|life| life.other_restarts == 0), "an application was restarted: {mine:#?}");
    ensure!(mine.len() == PODS + 1, "nobody but us deleted a pod: {mine:#?}");
    let born = mine.iter().max_by_key(|life| life.born).context("no pod")?;
    ensure!(
        digest(&born.born_image) == good.digest && born.pinned_by.is_some() && born.crashes.is_empty(),
        "a pod that is born meanwhile is born with the good release: {born:#?}"
    );

    let writes = scene.writes()?;
    let written = writes
        .iter()
        .position(|event| event.object().resource == "quarantines" && event.verb == "create")
        .context("no Quarantine in the audit log")?;
    let given = moves(&writes);
    let back: Vec<_> = given.iter().filter(|(_, _, digest)| *digest == good.digest).collect();
    ensure!(back.iter().all(|(place, ..)| *place > written), "it is written before the first move back");
    let back: BTreeSet<&str> = back.iter().map(|(_, pod, _)| pod.as_str()).collect();
    let there = given.iter().filter(|(_, _, digest)| *digest == bad.digest);
    let there: BTreeSet<&str> = there.map(|(_, pod, _)| pod.as_str()).collect();
    ensure!(there == back, "put back: {back:?}; had been moved: {there:?}");
    Ok(())
}

/// Every restart is either a crash of 0.29.0 or a move, and the soak of 0.29.1 counted none.
fn nothing_of_ours_is_a_crash(scene: &Scene<'_>, stage: &Value, bad: &Pushed, fixed: &Pushed) -> Result<()> {
    let verified = stage["verified"].as_array().into_iter().flatten();
    let verified = verified.filter(|one| one["release"]["digest"] == fixed.digest).collect::<Vec<_>>();
    let rules_out = verified.first().and_then(|one| one["rulesOut"].as_str()).unwrap_or_default();
    ensure!(rules_out.starts_with("no restart in "), "{stage:#}");
    ensure!(scene.counted(fixed) == [0, 0], "a move was counted as a crash: {:?}", scene.counted(fixed));

    let given = moves(&scene.writes()?);
    for life in scene.recorder.record().present(&scene.namespace) {
        let moved = given.iter().filter(|(_, pod, _)| *pod == life.name).count();
        let crashes = life.crashes.len();
        ensure!(life.crashes.iter().all(|crash| crash.digest == bad.digest), "{life:#?}");
        // A pod that waits after a crash is started anew by the move: one restart for both.
        let restarts = usize::try_from(life.sidecar_restarts).unwrap_or_default();
        let most = moved + crashes;
        ensure!((moved..=most).contains(&restarts), "{restarts} restarts, {moved} moves: {life:#?}");
        ensure!(life.other_restarts == 0, "the application was restarted: {life:#?}");
    }
    Ok(())
}
