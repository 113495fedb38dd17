//! The real Prometheus over an exporter of ours: requests, errors and times of every pod of a namespace.
//!
//! Guarantees: counters only grow, whatever a pod runs and however often it is looked at, unless they are told to begin
//! anew; of two pods that are served alike, the share of errors and the times are the same to the last bit.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
/// Upper bounds of the histogram of times, in milliseconds.
const BOUNDS: [u32; 8] = [100, 150, 200, 250, 300, 350, 400, 450];
/// Of so many pages one finds counters at zero, where they are told to begin anew.
const ANEW: u32 = 7;

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
    /// How pods are served that run these digests.
    services: BTreeMap<String, Service>,
    pods: BTreeMap<String, Served>,
    at: Instant,
    /// Counters begin anew again and again; pages since they did last.
    anew: Option<u32>,
    /// The clock that samples are stamped by is so much behind.
    behind: Option<Duration>,
}

/// How requests go.
#[derive(Clone, Copy)]
struct Service {
    /// The share that fails.
    errors: f64,
    /// All take a little less than this, in milliseconds: one of the bounds.
    time: u32,
}

impl Default for Service {
    fn default() -> Self {
        Self { errors: 0.01, time: 200 }
    }
}

/// What one pod has served so far.
#[derive(Default)]
struct Served {
    requests: f64,
    errors: f64,
    /// Requests by the bound that they took a little less than.
    times: BTreeMap<u32, f64>,
    service: Service,
}

impl Shop {
    /// Time has passed.
    fn serve(&mut self) {
        let requests = REQUESTS * self.at.elapsed().as_secs_f64();
        self.at = Instant::now();
        for pod in self.pods.values_mut() {
            pod.requests += requests;
            pod.errors += requests * pod.service.errors;
            *pod.times.entry(pod.service.time).or_default() += requests;
        }
    }

    fn see(&mut self, pods: &[Pod]) {
        self.serve();
        let there: BTreeMap<String, _> = pods.iter().map(|pod| (name(pod), runs(pod))).collect();
        self.pods.retain(|name, _| there.contains_key(name));
        for (name, digests) in there {
            let service = digests.iter().find_map(|digest| self.services.get(digest)).copied();
            self.pods.entry(name).or_default().service = service.unwrap_or_default();
        }
    }

    fn page(&mut self) -> String {
        self.serve();
        if let Some(pages) = &mut self.anew {
            *pages += 1;
            if *pages % ANEW == 0 {
                for pod in self.pods.values_mut() {
                    *pod = Served { service: pod.service, ..Served::default() };
                }
            }
        }
        let stamp = self.behind.map(|behind| {
            let now = jiff::Timestamp::now().as_millisecond();
            format!(" {}", now - i64::try_from(behind.as_millis()).unwrap_or(i64::MAX / 2))
        });
        let stamp = stamp.unwrap_or_default();
        let of = |name: &str, value: fn(&Served) -> f64| {
            let lines = self
                .pods
                .iter()
                .map(|(pod, served)| format!("{name}{{pod=\"{pod}\"}} {}{stamp}\n", value(served)));
            format!("# TYPE {name} counter\n{}", lines.collect::<Vec<String>>().concat())
        };
        let mut page = of("shop_requests_total", |served| served.requests)
            + &of("shop_errors_total", |served| served.errors)
            + "# TYPE shop_seconds histogram\n";
        for (pod, served) in &self.pods {
            // Writing to a String cannot fail.
            for bound in BOUNDS {
                let below: f64 = served.times.range(..=bound).map(|(_, count)| count).sum();
                let le = f64::from(bound) / 1000.0;
                let _ = writeln!(page, "shop_seconds_bucket{{pod=\"{pod}\",le=\"{le}\"}} {below}{stamp}");
            }
            let all = served.requests;
            let _ = writeln!(page, "shop_seconds_bucket{{pod=\"{pod}\",le=\"+Inf\"}} {all}{stamp}");
        }
        page
    }
}

impl Prometheus {
    /// Starts both, for the pods that this client sees.
    pub async fn start(pods: Api<Pod>) -> Result<Self> {
        Self::start_at(pods, format!("127.0.0.1:{}", ports::free()?)).await
    }

    /// The same with Prometheus at this address.
    pub async fn start_at(pods: Api<Pod>, host: String) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (services, pods_served) = (BTreeMap::new(), BTreeMap::new());
        let shop = Shop { services, pods: pods_served, at: Instant::now(), anew: None, behind: None };
        let shop = Arc::new(Mutex::new(shop));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let exporter = listener.local_addr()?;
        let config = format!(
            "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\n\
             scrape_configs: [{{job_name: shop, static_configs: [{{targets: ['{exporter}']}}]}}]\n"
        );
        std::fs::write(folder.path().join("prometheus.yml"), config)?;
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
        self.shop().services.entry(digest.to_owned()).or_default().errors = share;
    }

    /// From now on requests take pods that run this digest a little less than so many milliseconds: 100 to 450, by fifties.
    pub fn takes(&self, digest: &str, milliseconds: u32) {
        self.shop().services.entry(digest.to_owned()).or_default().time = milliseconds;
    }

    /// Whether counters begin anew again and again, as after restarts of what exports.
    pub fn begin_anew(&self, again_and_again: bool) {
        self.shop().anew = again_and_again.then_some(0);
    }

    /// The clock that samples are stamped by is behind from now on, or right again.
    pub fn behind(&self, by: Option<Duration>) {
        self.shop().behind = by;
    }

    fn shop(&self) -> MutexGuard<'_, Shop> {
        self.shop.lock().unwrap_or_else(PoisonError::into_inner)
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
