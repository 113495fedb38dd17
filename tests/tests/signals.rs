//! `health.signals` against the real Prometheus: a real API server, kube-controller-manager and registry, simulated nodes,
//! and an exporter of ours.

use anyhow::{Context as _, Result, ensure};
use e2e::bed::Bed;
use e2e::controller::Controller;
use e2e::install::{install, start_controller_with};
use e2e::process::Signal;
use e2e::prometheus::Prometheus;
use e2e::scene::{Scene, restarts};
use e2e::{Test, ports, run};
use kube::api::ListParams;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::OnceCell;

const QUERY: &str = r#"sum(rate(shop_errors_total{pod=~"$(pods)"}[$(window)])) / sum(rate(shop_requests_total{pod=~"$(pods)"}[$(window)]))"#;

/// The controller of both tests, and the addresses of the Prometheus of either, which it may dial.
async fn controller(bed: &'static Bed) -> Result<&'static (Controller, [String; 2])> {
    static CONTROLLER: OnceCell<(Controller, [String; 2])> = OnceCell::const_new();
    let start = async || {
        bed.kubelet().await?;
        install(bed).await?;
        let hosts = [format!("127.0.0.1:{}", ports::free()?), format!("127.0.0.1:{}", ports::free()?)];
        let args = ["--allow-host", hosts[0].as_str(), "--allow-host", hosts[1].as_str()];
        let controller = start_controller_with(bed, "lockkeeper", &args).await?;
        anyhow::Ok((controller, hosts))
    };
    CONTROLLER.get_or_try_init(start).await
}

fn signals(host: &str) -> Value {
    json!([{
        "name": "errors",
        "prometheus": {"address": format!("http://{host}"), "query": QUERY},
        "compare": {"direction": "HigherIsWorse", "margin": "50%"},
    }])
}

const P95: &str =
    r#"histogram_quantile(0.95, sum by (le) (rate(shop_seconds_bucket{pod=~"$(pods)"}[$(window)])))"#;

fn said(status: &e2e::scene::Status) -> &str {
    status.stage()["message"].as_str().unwrap_or_default()
}

#[test]
fn m1_without_data_nothing_happens_and_a_release_whose_only_sign_is_errors_is_taken_back() {
    run(
        "m1_without_data_nothing_happens_and_a_release_whose_only_sign_is_errors_is_taken_back",
        async |test: &Test| -> Result<()> {
            let (controller, hosts) = controller(test.bed).await?;
            let namespace = test.namespace("signals").await?;
            let pods = kube::Api::namespaced(test.admin.clone(), &namespace);
            let prometheus = Prometheus::start_at(pods, hosts[0].clone()).await?;
            let scene = Scene::on(test.bed, test.admin.clone(), namespace, controller).await?;
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
            prometheus.server.stop().await
        },
    );
}

#[test]
fn m3_m5_a_bad_baseline_resets_a_wrong_clock_and_a_hang_change_no_verdict_and_a_slower_p95_is_taken_back() {
    run(
        "m3_m5_a_bad_baseline_resets_a_wrong_clock_and_a_hang_change_no_verdict_and_a_slower_p95_is_taken_back",
        async |test: &Test| -> Result<()> {
            let (controller, hosts) = controller(test.bed).await?;
            let namespace = test.namespace("p95").await?;
            let pods = kube::Api::namespaced(test.admin.clone(), &namespace);
            let prometheus = Prometheus::start_at(pods, hosts[1].clone()).await?;
            let scene = Scene::on(test.bed, test.admin.clone(), namespace, controller).await?;
            let old = scene.push_first().await?;
            // M5: what runs is slow already, and so is what comes.
            prometheus.takes(&old.digest, 300);
            scene.apply(scene.deployment("shop", 8, &old.tagged("latest"))).await?;
            scene.all_run(&old.digest, 8).await?;
            let mut policy = scene.policy(&Scene::pods_target());
            let spec = &mut policy["spec"];
            spec["stages"][0]["waves"] = json!([{"pods": 3, "soak": "4s"}]);
            spec["health"]["signals"] = json!([{
                "name": "p95",
                "prometheus": {"address": format!("http://{}", prometheus.host), "query": P95},
                "compare": {"margin": "30%"},
            }]);
            spec["health"]["noDataAfter"] = json!("3s");
            scene.apply(policy.clone()).await?;
            scene.holds(&old.digest).await?;

            // M3: counters begin anew several times in its soak, on both sides.
            prometheus.begin_anew(true);
            let second = scene.push("0.28.1").await?;
            prometheus.takes(&second.digest, 300);
            let status = scene.holds(&second.digest).await.context("counters begin anew")?;
            let verified = status.stage()["verified"].as_array().and_then(|all| all.last()).cloned();
            let rules_out = verified.context("nothing is verified")?["rulesOut"].clone();
            ensure!(
                rules_out.as_str().is_some_and(|text| text.contains("signal p95: worse in 0 of ")),
                "{rules_out}"
            );
            prometheus.begin_anew(false);

            // M3: samples are stamped by a clock that is behind; then nobody answers. Neither is a verdict.
            prometheus.behind(Some(Duration::from_mins(5)));
            let third = scene.push("0.28.2").await?;
            prometheus.takes(&third.digest, 300);
            let dark = async |why: &str| {
                scene
                    .until("otel", why, |status| {
                        ensure!(status.stage()["reason"] == "NoData", "it does not hold");
                        ensure!(said(status).contains(why), "it says something else");
                        Ok(())
                    })
                    .await
            };
            dark("signal p95 has no data: the query has no value for").await?;
            prometheus.server.signal(Signal::STOP).await?;
            prometheus.behind(None);
            dark("did not answer").await.context("Prometheus hangs")?;
            prometheus.server.signal(Signal::CONT).await?;
            scene.holds(&third.digest).await.context("data came again")?;

            // Half as slow again, and nothing else: no restart, no error, as Ready as the others.
            policy["spec"]["stages"][0]["waves"] = json!([{"pods": 3, "soak": "30m"}]);
            scene.apply(policy).await?;
            let slow = scene.push("0.28.3").await?;
            prometheus.takes(&slow.digest, 450);
            let degraded = scene.event("Degraded").await?;
            ensure!(
                degraded.contains("signal p95: more than 30% above the pods beside it in "),
                "{degraded}"
            );
            scene.all_run(&third.digest, 8).await?;
            let quarantines = scene.ours("Quarantine").list(&ListParams::default()).await?;
            ensure!(quarantines.items.len() == 1, "{quarantines:?}");
            scene.finish().await?;
            prometheus.server.stop().await
        },
    );
}
