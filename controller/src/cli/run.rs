//! `lockkeeper run`: the controller.
//!
//! Guarantees: every task that must run for ever is watched; if one ends, the process ends with it (P4). On SIGTERM or
//! SIGINT no new pass and no new effect begins, effects under way end, counters are stored, and the process ends with
//! status 0 within a few seconds.

use super::{
    ClusterArgs, Failure,
    wire::{Connection, Installation, Sole, SystemClock},
};
use crate::{
    http::{self, Served},
    kubernetes::Kubernetes,
    ports::{Clock, Fence, Watches},
    reconcile::{
        Reconciler, World,
        lookups::{AccessCache, Lookups, Parts},
        queue::{Pace, Queue},
        vital::Signs,
    },
    registry::credentials::SecretCredentials,
    telemetry::{self, LogFormat, Metrics},
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// How long passes wait for the first lists: without them every policy would be told that its watches are stale.
const FIRST_LISTS: Duration = Duration::from_secs(30);
/// How long passes under way may go on after a signal.
const FINISH: Duration = Duration::from_secs(3);
/// How long counters may take to be stored after that.
const FLUSH: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(flatten)]
    installation: Installation,
    /// Where /healthz, /readyz and /metrics are served.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    http_addr: SocketAddr,
    /// How logs are written; `RUST_LOG` chooses how much.
    #[arg(long, value_enum, default_value_t = LogFormat::Json)]
    log_format: LogFormat,
    /// A stage that matches more pods than this is refused.
    #[arg(long, value_name = "PODS", default_value_t = 50_000)]
    pod_limit: usize,
}

/// Everything that runs.
struct Controller {
    kubernetes: Arc<Kubernetes>,
    lookups: Lookups,
    reconciler: Arc<Reconciler>,
    queue: Queue,
    signs: Arc<Signs>,
    metrics: Arc<Metrics>,
    sole: Arc<Sole>,
    fence: Fence,
    /// No pass and no effect begins after this.
    stop: CancellationToken,
}

pub async fn run(args: Args) -> Result<(), Failure> {
    telemetry::log(args.log_format);
    let connection = Connection::open(&args.cluster).await?;
    let controller = Controller::build(&args, &connection)?;
    let listener = http::listen(args.http_addr).await?;
    tracing::info!(address = %listener.local_addr()?, version = env!("CARGO_PKG_VERSION"), "lockkeeper begins");
    controller.supervise(listener).await
}

impl Controller {
    fn build(args: &Args, connection: &Connection) -> Result<Self, Failure> {
        let (queue, metrics, clock) =
            (Queue::new(Pace::default()), Arc::new(Metrics::new()), Arc::new(SystemClock));
        let (sole, stop) = (Arc::new(Sole::new()), CancellationToken::new());
        let fence = Fence::new(Arc::clone(&sole) as _);
        let kubernetes = Arc::new(connection.kubernetes(&args.installation, Arc::new(queue.clone())));
        let lookups = Lookups::new(Parts {
            registry: Arc::new(connection.registry(&args.installation)?),
            access: AccessCache::new(Arc::clone(&kubernetes) as _, Arc::new(SecretCredentials)),
            wakes: Arc::new(queue.clone()),
            clock: Arc::clone(&clock) as _,
            metrics: Arc::clone(&metrics),
        });
        let world = World {
            cluster: Arc::clone(&kubernetes) as _,
            policies: Arc::clone(&kubernetes) as _,
            rights: Arc::clone(&kubernetes) as _,
            clock: Arc::clone(&clock) as _,
            fence: fence.clone(),
            pod_limit: args.pod_limit,
        };
        let reconciler = Reconciler::new(
            world,
            Arc::new(lockkeeper_core::decide),
            lookups.clone(),
            Arc::clone(&metrics),
            stop.clone(),
        );
        let signs = Signs::new(queue.clone(), Arc::clone(&kubernetes) as _, clock as _);
        let (reconciler, signs) = (Arc::new(reconciler), Arc::new(signs));
        Ok(Self { kubernetes, lookups, reconciler, queue, signs, metrics, sole, fence, stop })
    }

    /// Runs until a signal, or until a task ends that must not.
    async fn supervise(self, listener: TcpListener) -> Result<(), Failure> {
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        // Readers of memory, and the server, go on until the end; they change nothing.
        let end = CancellationToken::new();
        let mut background = self.background(listener, &end);
        let mut passes = self.passes();
        let fault = tokio::select! {
            _ = terminate.recv() => None,
            _ = interrupt.recv() => None,
            ended = background.join_next() => Some(describe(ended)),
            ended = passes.join_next() => Some(describe(ended)),
        };
        if let Some(task) = &fault {
            self.signs.ended(task);
            tracing::error!(task, "a task that must run for ever has ended; so does the controller");
        } else {
            tracing::info!("told to end");
        }
        self.wind_down(&mut passes).await;
        end.cancel();
        background.shutdown().await;
        match fault {
            None => Ok(()),
            Some(task) => Err(Failure::Failed(format!("{task} has ended by itself; the log says why"))),
        }
    }

    fn background(&self, listener: TcpListener, end: &CancellationToken) -> JoinSet<String> {
        let mut tasks = JoinSet::new();
        let (kubernetes, lookups, fence) =
            (Arc::clone(&self.kubernetes), self.lookups.clone(), self.fence.clone());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let served = Served {
            vital: Arc::clone(&self.signs) as _,
            metrics: Arc::clone(&self.metrics),
            watches: Arc::clone(&self.kubernetes) as _,
            clock,
        };
        let (looking, serving) = (end.clone(), end.clone());
        tasks.spawn({
            let kubernetes = Arc::clone(&kubernetes);
            async move { format!("following the cluster: {}", kubernetes.follow().await) }
        });
        tasks.spawn(async move {
            kubernetes.look_after_orphans(&fence).await;
            "looking after orphaned pins".to_owned()
        });
        tasks.spawn(async move {
            lookups.run(looking).await;
            "looking up registries".to_owned()
        });
        tasks.spawn(async move {
            match http::serve(listener, served, serving).await {
                Ok(()) => "serving HTTP".to_owned(),
                Err(error) => format!("serving HTTP: {error}"),
            }
        });
        tasks
    }

    fn passes(&self) -> JoinSet<String> {
        let mut tasks = JoinSet::new();
        let (queue, reconciler, stop) = (self.queue.clone(), Arc::clone(&self.reconciler), self.stop.clone());
        let watches: Arc<dyn Watches> = Arc::clone(&self.kubernetes) as _;
        tasks.spawn(async move {
            wait_for_first_lists(&*watches, &stop).await;
            let pass = move |key| {
                let reconciler = Arc::clone(&reconciler);
                async move { reconciler.pass(&key).await }
            };
            queue.run(pass, stop).await;
            "making passes".to_owned()
        });
        tasks
    }

    async fn wind_down(&self, passes: &mut JoinSet<String>) {
        self.stop.cancel();
        let finished = async { while passes.join_next().await.is_some() {} };
        if timeout(FINISH, finished).await.is_err() {
            tracing::warn!(
                limit_s = FINISH.as_secs(),
                "a pass did not end in time and is left; what it did not do is done by the next start"
            );
            passes.abort_all();
        }
        if timeout(FLUSH, self.reconciler.flush()).await.is_err() {
            tracing::warn!(
                "counters since the last write were not stored; they are counted again from there"
            );
        }
        self.sole.drop_for_good();
    }
}

/// Waits until every watch has shown its first list and is fresh, but not for ever: one that never does holds up only what needs it.
async fn wait_for_first_lists(watches: &dyn Watches, stop: &CancellationToken) {
    let synced = async {
        while watches.watches().iter().any(|watch| !watch.synced || watch.stale_since.is_some()) {
            sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        waited = timeout(FIRST_LISTS, synced) => if waited.is_err() {
            let all = watches.watches().into_iter();
            let stale = all.filter(|watch| !watch.synced || watch.stale_since.is_some());
            let stale: Vec<String> = stale.map(|watch| watch.kind).collect();
            tracing::warn!(stale = stale.join(", "), "some watches are not fresh yet; going on without them");
        }
    }
}

fn describe(ended: Option<Result<String, tokio::task::JoinError>>) -> String {
    match ended {
        Some(Ok(task)) => task,
        Some(Err(error)) => format!("a task: {error}"),
        None => "everything".to_owned(),
    }
}
