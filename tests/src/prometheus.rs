//! The real Prometheus over an exporter of ours: requests and errors of every pod of a namespace.
//!
//! Guarantees: counters only grow, whatever a pod runs and however often it is looked at; of two pods that are served
//! alike, the share of errors is the same to the last bit.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use axum::{Router, extract::State, routing::get};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::ListParams};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::part::Part;
use crate::scene::{name, runs};
use crate::{ports, programs};

/// Requests of every pod in a second.
const REQUESTS: f64 = 100.0;
/// The share of them that fails.
const USUAL: f64 = 0.01;

/// Prometheus, its exporter and what that exports.
pub struct Prometheus {
    /// Prometheus itself; its data outlives it.
    pub server: Part,
    /// `127.0.0.1:…`.
    pub host: String,
    shop: Arc<Mutex<Shop>>,
    tasks: Vec<JoinHandle<()>>,
    _folder: TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

struct Shop {
    /// The share of errors of pods that run these digests.
    shares: BTreeMap<String, f64>,
    pods: BTreeMap<String, Served>,
    at: Instant,
}

/// What one pod has served so far.
#[derive(Default)]
struct Served {
    requests: f64,
    errors: f64,
    share: f64,
}

impl Shop {
    /// Time has passed.
    fn serve(&mut self) {
        let requests = REQUESTS * self.at.elapsed().as_secs_f64();
        self.at = Instant::now();
        for pod in self.pods.values_mut() {
            pod.requests += requests;
            pod.errors += requests * pod.share;
        }
    }

    fn see(&mut self, pods: &[Pod]) {
        self.serve();
        let there: BTreeMap<String, _> = pods.iter().map(|pod| (name(pod), runs(pod))).collect();
        self.pods.retain(|name, _| there.contains_key(name));
        for (name, digests) in there {
            let share = digests.iter().find_map(|digest| self.shares.get(digest)).copied().unwrap_or(USUAL);
            self.pods.entry(name).or_default().share = share;
        }
    }

    fn page(&mut self) -> String {
        self.serve();
        let of = |name: &str, value: fn(&Served) -> f64| {
            let lines =
                self.pods.iter().map(|(pod, served)| format!("{name}{{pod=\"{pod}\"}} {}\n", value(served)));
            format!("# TYPE {name} counter\n{}", lines.collect::<Vec<String>>().concat())
        };
        of("shop_requests_total", |served| served.requests) + &of("shop_errors_total", |served| served.errors)
    }
}

impl Prometheus {
    /// Starts both, for the pods that this client sees.
    pub async fn start(pods: Api<Pod>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let shop = Shop { shares: BTreeMap::new(), pods: BTreeMap::new(), at: Instant::now() };
        let shop = Arc::new(Mutex::new(shop));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let exporter = listener.local_addr()?;
        let config = format!(
            "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\n\
             scrape_configs: [{{job_name: shop, static_configs: [{{targets: ['{exporter}']}}]}}]\n"
        );
        std::fs::write(folder.path().join("prometheus.yml"), config)?;
        let host = format!("127.0.0.1:{}", ports::free()?);
        let args = vec![
            format!("--config.file={}", folder.path().join("prometheus.yml").display()),
            format!("--storage.tsdb.path={}", folder.path().join("data").display()),
            format!("--web.listen-address={host}"),
        ];
        let program = programs::folder(programs::Target::Prometheus).await?.join("prometheus");
        let log = folder.path().join("prometheus.log");
        let server = Part::new("prometheus", program, args, Vec::new(), log);
        server.start().await?;
        let tasks = vec![
            tokio::spawn(export(listener, Arc::clone(&shop))),
            tokio::spawn(watch(pods, Arc::clone(&shop))),
        ];
        Ok(Self { server, host, shop, tasks, _folder: folder })
    }

    /// From now on pods that run this digest fail this share of their requests.
    pub fn errors(&self, digest: &str, share: f64) {
        let mut shop = self.shop.lock().unwrap_or_else(PoisonError::into_inner);
        shop.shares.insert(digest.to_owned(), share);
    }
}

async fn export(listener: TcpListener, shop: Arc<Mutex<Shop>>) {
    let page = async |State(shop): State<Arc<Mutex<Shop>>>| {
        shop.lock().unwrap_or_else(PoisonError::into_inner).page()
    };
    let router = Router::new().route("/metrics", get(page)).with_state(shop);
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "the exporter ended");
    }
}

/// A pod that cannot be seen for a moment goes on as before.
async fn watch(pods: Api<Pod>, shop: Arc<Mutex<Shop>>) {
    loop {
        if let Ok(list) = pods.list(&ListParams::default()).await {
            shop.lock().unwrap_or_else(PoisonError::into_inner).see(&list.items);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
