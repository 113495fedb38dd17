//! `spec.notify`: a bad release pages before it is taken back, and the page ends by itself, though the leader is killed in
//! between. Against imitations of the services; the services themselves are not here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result, ensure};
use axum::{Router, body::Bytes, extract::State, http::HeaderMap, http::Uri};
use e2e::install::{install, start_controller_at};
use e2e::kubelet::{Rule, Script};
use e2e::scene::Scene;
use e2e::{Bed, Controller, PATIENCE, eventually, run};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Pods of the application.
const PODS: usize = 8;
/// In an address and in keys: nowhere else.
const CANARY: &str = "c4n4ryc4n4ryc4n4ryc4n4ryc4n4ry00";

type Taken = Arc<Mutex<Vec<(String, Value)>>>;

/// Takes everything that is posted, as both services do.
struct Services {
    host: String,
    taken: Taken,
    task: JoinHandle<()>,
}

impl Drop for Services {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(
    State(taken): State<Taken>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> axum::http::StatusCode {
    let Ok(body) = serde_json::from_slice(&body) else { return axum::http::StatusCode::BAD_REQUEST };
    let signed = headers.contains_key("webhook-signature") || !uri.path().starts_with("/hook");
    if !signed {
        return axum::http::StatusCode::UNAUTHORIZED;
    }
    taken.lock().unwrap_or_else(PoisonError::into_inner).push((uri.path().to_owned(), body));
    axum::http::StatusCode::ACCEPTED
}

impl Services {
    async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (host, taken) = (listener.local_addr()?.to_string(), Taken::default());
        let router = Router::new().fallback(take).with_state(Arc::clone(&taken));
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the services ended");
            }
        });
        Ok(Self { host, taken, task })
    }

    fn taken(&self) -> MutexGuard<'_, Vec<(String, Value)>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Occasions of the `CloudEvents`, in their order.
    fn hooked(&self) -> Vec<String> {
        let taken = self.taken();
        let hooks = taken.iter().filter(|(path, _)| path.starts_with("/hook"));
        hooks.map(|(_, body)| body["data"]["occasion"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Actions of the pager's events with their keys, in their order.
    fn paged(&self) -> Vec<(String, String)> {
        let taken = self.taken();
        let pages = taken.iter().filter(|(path, _)| path == "/v2/enqueue").map(|(_, body)| body);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        pages.map(|page| (text(&page["event_action"]), text(&page["dedup_key"]))).collect()
    }
}

async fn replica(bed: &Bed, name: &str, host: &str) -> Result<Controller> {
    let args = [
        "--leader-elect",
        "--lease-duration=20s",
        "--renew-deadline=15s",
        "--retry-period=1s",
        "--allow-host",
        host,
    ];
    let env = [("POD_NAME", name), ("HOSTNAME", name)];
    start_controller_at(bed, bed.server(), &format!("lockkeeper-{name}"), &args, &env).await
}

/// Waits until its metrics say so.
async fn leader_is(replica: &Controller, line: &str) -> Result<()> {
    eventually(line, PATIENCE, async || {
        replica.check().await?;
        let (_, metrics) = replica.get("/metrics").await?;
        ensure!(metrics.lines().any(|seen| seen == line), "it does not say so:\n{}", replica.log()?);
        Ok(())
    })
    .await
}

/// The Secrets of both services, and the promoter's right to read them.
async fn secrets(scene: &Scene<'_>, host: &str) -> Result<()> {
    let secret = |name: &str, data: BTreeMap<&str, String>| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
    let hook = BTreeMap::from([("url", format!("http://{host}/hook/{CANARY}")), ("key", CANARY.to_owned())]);
    scene.apply(secret("hook", hook)).await?;
    let pager =
        BTreeMap::from([("url", format!("http://{host}/v2/enqueue")), ("routingKey", CANARY.to_owned())]);
    scene.apply(secret("pager", pager)).await?;
    let group = "rbac.authorization.k8s.io";
    let (version, metadata) = (format!("{group}/v1"), json!({"name": "reads-secrets"}));
    let rules = json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]);
    scene.apply(json!({"apiVersion": version, "kind": "Role", "metadata": metadata, "rules": rules})).await?;
    let role = json!({"apiGroup": group, "kind": "Role", "name": "reads-secrets"});
    let subjects = json!([{"kind": "ServiceAccount", "name": "promoter", "namespace": scene.namespace}]);
    let binding = json!({"apiVersion": version, "kind": "RoleBinding", "metadata": metadata, "roleRef": role, "subjects": subjects});
    scene.apply(binding).await?;
    Ok(())
}

#[test]
fn a_bad_release_pages_before_it_is_back_and_the_page_ends_though_the_leader_dies() {
    run(
        "a_bad_release_pages_before_it_is_back_and_the_page_ends_though_the_leader_dies",
        async |test| -> Result<()> {
            let bed = test.bed;
            bed.kubelet().await?;
            install(bed).await?;
            let services = Services::start().await?;
            let first = replica(bed, "first", &services.host).await?;
            leader_is(&first, "lockkeeper_leader 1").await.context("the first replica")?;
            let second = replica(bed, "second", &services.host).await?;
            let namespace = test.namespace("notify").await?;
            let scene = Scene::on(bed, test.admin.clone(), namespace, &second).await?;
            secrets(&scene, &services.host).await?;

            let good = scene.push_first().await?;
            scene.apply(scene.deployment("shop", PODS, &good.tagged("latest"))).await?;
            scene.all_run(&good.digest, PODS).await?;
            let mut policy = scene.policy(&Scene::pods_target());
            let spec = &mut policy["spec"];
            spec["stages"][0]["waves"] = json!([{"pods": 2, "soak": "30s"}]);
            // Until the rollback is over there is time to look, and to kill.
            spec["health"]["sweep"] = json!("20s");
            spec["notify"] = json!([
                {"webhook": {"secretRef": {"name": "hook"}}},
                {"pagerDuty": {"secretRef": {"name": "pager"}}},
                // It is never told, and nothing waits for it.
                {"slack": {"secretRef": {"name": "gone"}}, "events": ["RollingBack"]},
            ]);
            scene.apply(policy).await?;
            scene.holds(&good.digest).await.context("adoption")?;
            let bad = scene.push("0.29.0").await?;
            let script = Script { restarts_per_pod_hour: 6.0, time_scale: 600.0, ..Script::default() };
            bed.kubelet().await?.rules().add(Rule::new(&bad.digest, script));

            eventually("the page arrives", PATIENCE, async || {
                scene.controller.check().await?;
                ensure!(!services.paged().is_empty(), "{:?}; the log:\n{}", services.hooked(), first.log()?);
                Ok(())
            })
            .await?;
            let status = scene
                .until("otel", "what was told is in the status", |status| {
                    let outbox = status.0["notices"]["outbox"].as_array();
                    let mut to =
                        outbox.into_iter().flatten().filter_map(|one| one["to"].as_array()).flatten();
                    ensure!(to.all(|name| name == "slack/gone"), "not yet");
                    Ok(())
                })
                .await?;
            ensure!(status.stage()["phase"] == "RollingBack", "paged before it is over: {:#}", status.0);
            first.kill().await?;
            leader_is(&second, "lockkeeper_leader 1").await.context("the second replica")?;

            eventually("the page ends", PATIENCE, async || {
                scene.controller.check().await?;
                ensure!(services.paged().len() > 1 && services.hooked().len() > 2, "{:?}", services.paged());
                Ok(())
            })
            .await?;
            scene.all_run(&good.digest, PODS).await?;
            let paged = services.paged();
            let actions: Vec<&str> = paged.iter().map(|(action, _)| action.as_str()).collect();
            ensure!(actions == ["trigger", "resolve"] && paged[0].1 == paged[1].1, "{paged:?}");
            ensure!(
                services.hooked() == ["PromotionStarted", "RollingBack", "Resolved"],
                "{:?}",
                services.hooked()
            );
            let page = services.taken().iter().find(|(_, body)| body["event_action"] == "trigger").cloned();
            let details = page.context("no page")?.1["payload"]["custom_details"].clone();
            ensure!(details["what"].as_str().is_some_and(|what| what.contains("0.29.0")), "{details}");
            ensure!(
                details["next"] == format!("lockkeeper explain otel -n {}", scene.namespace),
                "{details}"
            );

            let told = scene.event("NotDelivered").await?;
            ensure!(told.contains("slack/gone"), "{told}");
            let events = format!("{:?}", scene.events().await?);
            let status = scene.until("otel", "its status", |_| Ok(())).await?.0.to_string();
            for text in [events, status, first.log()?, second.log()?] {
                ensure!(!text.contains(CANARY), "a credential is in {text}");
            }
            scene.finish().await?;
            second.terminate().await
        },
    );
}
