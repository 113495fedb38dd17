//! `health.signals` against the real Prometheus: a real API server, kube-controller-manager and registry, simulated nodes,
//! and an exporter of ours.

use anyhow::{Context as _, Result, ensure};
use e2e::install::{install, start_controller_with};
use e2e::prometheus::Prometheus;
use e2e::scene::{Scene, restarts};
use e2e::{Test, run};
use kube::api::ListParams;
use serde_json::{Value, json};

const QUERY: &str = r#"sum(rate(shop_errors_total{pod=~"$(pods)"}[$(window)])) / sum(rate(shop_requests_total{pod=~"$(pods)"}[$(window)]))"#;

fn signals(host: &str) -> Value {
    json!([{
        "name": "errors",
        "prometheus": {"address": format!("http://{host}"), "query": QUERY},
        "compare": {"direction": "HigherIsWorse", "margin": "50%"},
    }])
}

fn said(status: &e2e::scene::Status) -> &str {
    status.stage()["message"].as_str().unwrap_or_default()
}

#[test]
fn m1_without_data_nothing_happens_and_a_release_whose_only_sign_is_errors_is_taken_back() {
    run(
        "m1_without_data_nothing_happens_and_a_release_whose_only_sign_is_errors_is_taken_back",
        async |test: &Test| -> Result<()> {
            test.bed.kubelet().await?;
            install(test.bed).await?;
            let namespace = test.namespace("signals").await?;
            let pods = kube::Api::namespaced(test.admin.clone(), &namespace);
            let prometheus = Prometheus::start(pods).await?;
            let args = ["--allow-host", &prometheus.host];
            let controller = start_controller_with(test.bed, "lockkeeper", &args).await?;
            let scene = Scene::on(test.bed, test.admin.clone(), namespace, &controller).await?;
            let old = scene.push_first().await?;
            scene.apply(scene.deployment("shop", 8, &old.tagged("latest"))).await?;
            scene.all_run(&old.digest, 8).await?;
            let mut policy = scene.policy(&Scene::pods_target());
            let spec = &mut policy["spec"];
            spec["stages"][0]["waves"] = json!([{"pods": 3, "soak": "3s"}]);
            spec["health"]["signals"] = signals(&prometheus.host);
            spec["health"]["noDataAfter"] = json!("3s");
            scene.apply(policy.clone()).await?;
            scene.holds(&old.digest).await?;

            // No Prometheus: the wave has the release, its soak would be over, and nobody goes on.
            prometheus.server.kill().await?;
            let good = scene.push("0.28.1").await?;
            let status = scene
                .until("otel", "the stage holds for want of data", |status| {
                    ensure!(status.stage()["reason"] == "NoData", "it does not");
                    Ok(())
                })
                .await?;
            let message = said(&status);
            let told =
                message.contains("signal errors has no data") && message.contains("could not be asked");
            ensure!(told, "{message}");
            ensure!(scene.event("NoData").await?.contains(&prometheus.host), "the event names the server");
            scene.not_written_again("pods", 3, "there is no data").await?;
            prometheus.server.start().await?;
            let status = scene.holds(&good.digest).await.context("data came again")?;
            let verified = status.stage()["verified"].as_array().and_then(|all| all.last()).cloned();
            let rules_out = verified.context("nothing is verified")?["rulesOut"].clone();
            ensure!(
                rules_out.as_str().is_some_and(|text| text.contains("signal errors: worse in 0 of ")),
                "{rules_out}"
            );

            // Its pods restart no more than others and are as Ready; they fail every fifth request.
            policy["spec"]["stages"][0]["waves"] = json!([{"pods": 3, "soak": "30m"}]);
            scene.apply(policy).await?;
            let bad = scene.push("0.28.2").await?;
            prometheus.errors(&bad.digest, 0.2);
            let degraded = scene.event("Degraded").await?;
            ensure!(
                degraded.contains("signal errors: more than 50% above the pods beside it in "),
                "{degraded}"
            );
            let pods = scene.all_run(&good.digest, 8).await?;
            let touched = pods.iter().filter(|pod| restarts(pod) > 1).count();
            ensure!(touched <= 3, "{touched} pods had the bad release");
            let quarantines = scene.ours("Quarantine").list(&ListParams::default()).await?;
            ensure!(quarantines.items.len() == 1, "{quarantines:?}");
            scene.finish().await?;
            prometheus.server.stop().await?;
            controller.terminate().await
        },
    );
}
