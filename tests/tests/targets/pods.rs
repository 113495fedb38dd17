//! `pods`: what holds a move back.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use e2e::kubelet::{Rule, Script};
use e2e::{PATIENCE, eventually, run};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::json;

use e2e::scene::{Scene, name, ready};

/// The most pods of each Deployment (label `app`) that were unready at once, as a watch shows it.
#[derive(Clone, Default)]
struct Unready {
    most: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Unready {
    async fn follow(self, pods: Api<Pod>) {
        let mut events = pin!(watcher(pods, watcher::Config::default()).default_backoff());
        let mut now: BTreeMap<String, (String, bool)> = BTreeMap::new();
        while let Some(event) = events.next().await {
            if let Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod)) = event {
                let app = pod.labels().get("app").cloned().unwrap_or_default();
                now.insert(name(&pod), (app, ready(&pod)));
            }
            let mut most = self.most.lock().unwrap_or_else(PoisonError::into_inner);
            let mut unready: BTreeMap<&str, usize> = BTreeMap::new();
            for (app, _) in now.values().filter(|(_, ready)| !ready) {
                *unready.entry(app).or_default() += 1;
            }
            for (app, count) in unready {
                let seen = most.entry(app.to_owned()).or_default();
                *seen = count.max(*seen);
            }
        }
    }

    fn most(&self, app: &str) -> usize {
        self.most.lock().unwrap_or_else(PoisonError::into_inner).get(app).copied().unwrap_or_default()
    }
}

#[test]
fn max_unavailable_holds_for_each_owner() {
    run("max_unavailable_holds_for_each_owner", async |test| -> Result<()> {
        let scene = Scene::set(test, "budget").await?;
        let old = scene.push_first().await?;
        scene.apply(scene.deployment("eight", 8, &old.tagged("latest"))).await?;
        scene.apply(scene.deployment("two", 2, &old.tagged("latest"))).await?;
        scene.all_run(&old.digest, 10).await?;
        scene.apply(scene.policy(&Scene::pods_target())).await?;
        scene.holds(&old.digest).await?;
        let unready = Unready::default();
        let task = tokio::spawn(unready.clone().follow(scene.api()));
        let new = scene.push("0.28.1").await?;
        let slow = Script { slow_start_seconds: 2.0, ..Script::default() };
        scene.bed.kubelet().await?.rules().add(Rule::new(&new.digest, slow));
        scene.holds(&new.digest).await?;
        scene.all_run(&new.digest, 10).await?;
        task.abort();
        let (eight, two) = (unready.most("eight"), unready.most("two"));
        ensure!((1..=2).contains(&eight), "25 % of eight is two, and {eight} were unready at once");
        ensure!(two == 1, "of two at least and at most one, and {two} were unready at once");
        scene.finish().await
    });
}

#[test]
fn a_disruption_budget_without_room_stops_moves() {
    run("a_disruption_budget_without_room_stops_moves", async |test| -> Result<()> {
        let scene = Scene::set(test, "pdb").await?;
        let old = scene.push_first().await?;
        scene.apply(scene.deployment("web", 2, &old.tagged("latest"))).await?;
        scene.all_run(&old.digest, 2).await?;
        scene
            .apply(json!({
                "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"},
                "spec": {"minAvailable": "100%", "selector": {"matchLabels": {"app": "web"}}},
            }))
            .await?;
        let budgets: Api<PodDisruptionBudget> = scene.api();
        eventually("the budget counts its pods", PATIENCE, async || {
            let status = budgets.get("web").await?.status.context("no status")?;
            ensure!(status.expected_pods == 2 && status.disruptions_allowed == 0, "{status:?}");
            Ok(())
        })
        .await?;
        scene.apply(scene.policy(&Scene::pods_target())).await?;
        scene.holds(&old.digest).await?;
        let new = scene.push("0.28.1").await?;
        let status = scene
            .until("otel", "the candidate waits in the stage", |status| {
                ensure!(status.stage()["phase"] == "Applying", "not yet");
                let message = status.stage()["message"].as_str().unwrap_or_default();
                ensure!(message.contains("PodDisruptionBudget"), "it does not say for what: {message}");
                Ok(())
            })
            .await?;
        scene.not_written_again("pods", 0, "the budget has no room").await?;
        ensure!(!status.verified().contains(&new.digest.as_str()));
        budgets.delete("web", &DeleteParams::default()).await?;
        scene.holds(&new.digest).await?;
        scene.all_run(&new.digest, 2).await?;
        scene.finish().await
    });
}

#[test]
fn an_owner_in_a_rollout_of_its_own_is_left_until_it_is_over() {
    run("an_owner_in_a_rollout_of_its_own_is_left_until_it_is_over", async |test| -> Result<()> {
        let scene = Scene::set(test, "rolling").await?;
        let old = scene.push_first().await?;
        scene.apply(scene.deployment("web", 2, &old.tagged("latest"))).await?;
        scene.all_run(&old.digest, 2).await?;
        scene.apply(scene.policy(&Scene::pods_target())).await?;
        scene.holds(&old.digest).await?;

        // The application rolls, and its new version does not get ready.
        let stuck = e2e::Image::release(&format!("a stuck application of {}", scene.namespace));
        let stuck = scene.bed.registry().push(&format!("{}/app", scene.namespace), "2", &stuck).await?;
        let rules = scene.bed.kubelet().await?.rules();
        rules.add(Rule::new(&stuck.digest, Script { never_ready: true, ..Script::default() }));
        let mut deployment = scene.deployment("web", 2, &old.tagged("latest"));
        deployment["spec"]["template"]["spec"]["containers"][0]["image"] = json!(stuck.tagged("2"));
        scene.apply(deployment.clone()).await?;
        eventually("a pod of the new template is there", PATIENCE, async || {
            let pods = scene.pods().await?;
            ensure!(pods.len() == 3, "{}", pods.len());
            Ok(())
        })
        .await?;
        let new = scene.push("0.28.1").await?;
        scene
            .until("otel", "the candidate waits in the stage", |status| {
                let message = status.stage()["message"].as_str().unwrap_or_default();
                ensure!(message.contains("rollout"), "it does not say for what: {message}");
                Ok(())
            })
            .await?;
        scene.not_written_again("pods", 0, "its owner rolls").await?;

        // The application is taken back; then the collector goes on.
        deployment["spec"]["template"]["spec"]["containers"][0]["image"] = json!(scene.app.tagged("1"));
        scene.apply(deployment).await?;
        scene.holds(&new.digest).await?;
        scene.all_run(&new.digest, 2).await?;
        scene.finish().await
    });
}

#[test]
fn k21_another_policy_refuses_and_its_words_are_in_the_condition() {
    run("k21_another_policy_refuses_and_its_words_are_in_the_condition", async |test| -> Result<()> {
        let scene = Scene::set(test, "refused").await?;
        let old = scene.push_first().await?;
        scene.apply(scene.deployment("web", 9, &old.tagged("latest"))).await?;
        scene.all_run(&old.digest, 9).await?;
        scene.apply(scene.policy(&Scene::pods_target())).await?;
        scene.holds(&old.digest).await?;
        let group = "admissionregistration.k8s.io";
        let label = json!({"matchLabels": {"kubernetes.io/metadata.name": scene.namespace}});
        let name = format!("no-changes-{}", scene.namespace);
        e2e::install::apply_object(
            &scene.admin,
            json!({
                "apiVersion": format!("{group}/v1"), "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
                "spec": {
                    "failurePolicy": "Fail",
                    "matchConstraints": {"resourceRules": [{
                        "apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["pods"],
                    }]},
                    "validations": [{"expression": "false", "message": "nothing is changed on Fridays"}],
                },
            }),
        )
        .await?;
        e2e::install::apply_object(
            &scene.admin,
            json!({
                "apiVersion": format!("{group}/v1"), "kind": "ValidatingAdmissionPolicyBinding",
                "metadata": {"name": name},
                "spec": {
                    "policyName": name, "validationActions": ["Deny"],
                    "matchResources": {"namespaceSelector": label},
                },
            }),
        )
        .await?;
        let pods: Api<Pod> = scene.api();
        eventually("the policy refuses", PATIENCE, async || {
            let pod = scene.pods().await?.into_iter().next().context("no pod")?;
            let label = json!({"metadata": {"labels": {"tried": "1"}}});
            let params = kube::api::PatchParams { dry_run: true, ..kube::api::PatchParams::default() };
            let patch = kube::api::Patch::Merge(label);
            ensure!(pods.patch(&pod.name_any(), &params, &patch).await.is_err(), "not yet");
            Ok(())
        })
        .await?;

        let new = scene.push("0.28.1").await?;
        scene
            .until("otel", "the condition says who refuses", |status| {
                let (state, _, message) = status.condition("Ready");
                ensure!(state == "False" && message.contains("nothing is changed on Fridays"), "{message}");
                Ok(())
            })
            .await?;
        let tried = scene.writes_of("pods")?.len();
        ensure!((1..=2).contains(&tried), "the wave stops at the first refusal, not after {tried}");
        scene.not_written_again("pods", tried, "a refused wave stops").await?;
        let status = scene.until("otel", "a status", |_| Ok(())).await?;
        ensure!(!status.verified().contains(&new.digest.as_str()), "nothing half done is verified");
        let pin = scene.ours("ImagePin").get(&format!("{}.otel.only", scene.namespace)).await?;
        ensure!(pin.data["spec"]["digest"] == old.digest, "the pin waits for the wave");
        scene.all_run(&old.digest, 9).await?;

        let bindings: Api<k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding> =
            Api::all(scene.admin.clone());
        bindings.delete(&name, &DeleteParams::default()).await?;
        scene.holds(&new.digest).await.context("it goes on when nobody refuses")?;
        scene.finish().await
    });
}
