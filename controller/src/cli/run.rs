//! `lockkeeper run`: the controller.
//!
//! Guarantees: every task that must run for ever is watched; if one ends, the process ends with it (P4). On SIGTERM or
//! SIGINT no new pass and no new effect begins, effects under way end, counters are stored, and the process ends with
//! status 0 within a few seconds; the Lease is given back after the last effect has ended, or else left to run out. A
//! process that led and does not any more ends at once with status 1. A standby follows everything and writes nothing;
//! one that begins to lead lists everything anew before its first pass.

mod background;
mod begin;
mod durations;
mod why;

use super::{
    ClusterArgs, Failure,
    elect::ElectionArgs,
    hooks::HookArgs,
    notify::NotifyArgs,
    wire::{Connection, Installation, SystemClock},
};
use crate::{
    election::{Election, Office},
    hooks::Desk,
    http::{self, Served},
    kubernetes::{Kubernetes, lease::LeaseStore},
    ports::{Clock, Fence},
    reconcile::{
        Reconciler, World,
        background::Background,
        queue::{Pace, Queue},
        vital::Signs,
    },
    telemetry::{self, LogFormat, Metrics},
    webhook,
};
use begin::begin;
use durations::{birth_interval, orphan_after};
use jiff::SignedDuration;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use why::{Why, describe};

/// How long passes under way may go on after a signal.
const FINISH: Duration = Duration::from_secs(3);
/// How long counters may take to be stored after that.
const FLUSH: Duration = Duration::from_secs(1);
/// How long giving the Lease back may take after that.
const GIVE_BACK: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(flatten)]
    installation: Installation,
    #[command(flatten)]
    election: ElectionArgs,
    #[command(flatten)]
    hooks: HookArgs,
    #[command(flatten)]
    notify: NotifyArgs,
    /// Where /healthz, /readyz and /metrics are served.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    http_addr: SocketAddr,
    /// Where the webhook is served that pins pods at birth while the API server serves no `MutatingAdmissionPolicy`. Without
    /// this there is none.
    #[arg(long, value_name = "ADDRESS")]
    webhook_addr: Option<SocketAddr>,
    /// How often it is looked what pins pods at birth, and in which version the API server serves it; at least 1s.
    #[arg(long, value_name = "DURATION", default_value = "3m", value_parser = birth_interval)]
    birth_interval: SignedDuration,
    /// How logs are written; `RUST_LOG` chooses how much.
    #[arg(long, value_enum, default_value_t = LogFormat::Json)]
    log_format: LogFormat,
    /// Where spans are sent to: the base address of an OpenTelemetry collector that takes OTLP over HTTP, such as
    /// `http://collector.monitoring:4318`. Without it nothing is recorded and nothing is sent.
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT", hide_env_values = true)]
    otlp_endpoint: Option<String>,
    /// A stage that matches more pods than this is refused.
    #[arg(long, value_name = "PODS", default_value_t = 50_000)]
    pod_limit: usize,
    /// How long a policy must be gone, by two reads that are this far apart, before its pins are marked or deleted as
    /// its deletionPolicy says; at least 5s.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = orphan_after)]
    orphan_after: SignedDuration,
}

/// Everything that runs.
struct Controller {
    kubernetes: Arc<Kubernetes>,
    background: Background,
    reconciler: Arc<Reconciler>,
    queue: Queue,
    signs: Arc<Signs>,
    metrics: Arc<Metrics>,
    office: Arc<Office>,
    /// Until it is started.
    election: Option<Election>,
    /// What is elected by.
    lease: Option<Arc<LeaseStore>>,
    fence: Fence,
    orphan_after: SignedDuration,
    birth_interval: SignedDuration,
    /// No pass and no effect begins after this.
    stop: CancellationToken,
}

/// What is listened on.
struct Open {
    http: TcpListener,
    webhook: Option<TcpListener>,
    hooks: Option<(Desk, TcpListener)>,
}

pub async fn run(args: Args) -> Result<(), Failure> {
    let endpoint = args.otlp_endpoint.as_deref().filter(|endpoint| !endpoint.is_empty());
    let traces =
        telemetry::start(args.log_format, endpoint).map_err(|error| Failure::Usage(error.to_string()))?;
    let metrics = Arc::new(Metrics::new());
    let connection = Connection::counted(&args.cluster, &metrics).await?;
    let controller = Controller::build(&args, &connection, metrics)?;
    let listener = http::listen(args.http_addr).await?;
    let webhook = match args.webhook_addr {
        Some(address) => Some(webhook::listen(address).await?),
        None => None,
    };
    let (hints, metrics) = (Arc::new(controller.background.lookups.clone()), Arc::clone(&controller.metrics));
    let leader = (controller.fence.clone(), Arc::clone(&controller.office));
    let hooks = args.hooks.open(&connection, &args.installation, hints, leader, metrics).await?;
    tracing::info!(address = %listener.local_addr()?, version = env!("CARGO_PKG_VERSION"), "lockkeeper begins");
    let ended = controller.supervise(Open { http: listener, webhook, hooks }).await;
    traces.end().await;
    ended
}

impl Controller {
    fn build(args: &Args, connection: &Connection, metrics: Arc<Metrics>) -> Result<Self, Failure> {
        let (queue, clock) = (Queue::new(Pace::default()), Arc::new(SystemClock));
        let stop = CancellationToken::new();
        let (office, elected) = args.election.build(
            connection,
            args.installation.namespace(),
            &metrics,
            args.hooks.for_others(),
        )?;
        let (election, lease) = elected.map(|elected| (elected.election, elected.lease)).unzip();
        let fence = Fence::new(Arc::clone(&office) as _);
        let kubernetes = Arc::new(connection.kubernetes(
            &args.installation,
            Arc::new(queue.clone()),
            args.webhook_addr.is_some(),
        ));
        let background = background::build(args, connection, (&kubernetes, &queue), &fence, &metrics)?;
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
            background.clone(),
            Arc::clone(&metrics),
            stop.clone(),
        );
        let signs =
            Signs::new(queue.clone(), Arc::clone(&kubernetes) as _, clock as _, Arc::clone(&office) as _);
        Ok(Self {
            kubernetes,
            background,
            reconciler: Arc::new(reconciler),
            queue,
            signs: Arc::new(signs),
            metrics,
            office,
            election,
            lease,
            fence,
            orphan_after: args.orphan_after,
            birth_interval: args.birth_interval,
            stop,
        })
    }

    /// Runs until a signal, or until a task ends that must not.
    async fn supervise(mut self, open: Open) -> Result<(), Failure> {
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        // Readers of memory, and the server, go on until the end; they change nothing.
        let (end, leave) = (CancellationToken::new(), CancellationToken::new());
        let mut background = self.background(open.http, &end);
        self.look_after_births(&mut background, open.webhook, &end);
        if let Some((desk, listener)) = open.hooks {
            let serving = desk.serve(listener, end.clone());
            background.spawn(async move {
                match serving.await {
                    Ok(()) => "taking hooks".to_owned(),
                    Err(error) => format!("taking hooks: {error}"),
                }
            });
        }
        let mut election = JoinSet::new();
        if let Some(started) = self.election.take() {
            election.spawn(started.run(leave.clone()));
        }
        let mut writers = self.writers();
        let why = tokio::select! {
            _ = terminate.recv() => Why::Told,
            _ = interrupt.recv() => Why::Told,
            ended = background.join_next() => Why::Ended(describe(ended)),
            ended = writers.join_next() => Why::Ended(describe(ended)),
            Some(ended) = election.join_next() => Why::of(ended),
        };
        match &why {
            Why::Told => tracing::info!("told to end"),
            Why::Ended(task) => {
                self.signs.ended(task);
                tracing::error!(task, "a task that must run for ever has ended; so does the controller");
            }
            Why::Lost(reason) => tracing::error!(reason, "this replica leads no more, and ends"),
        }
        self.stop.cancel();
        if matches!(why, Why::Lost(_)) {
            // Others lead: nothing is finished and nothing is stored.
            self.office.close();
        } else if self.wind_down(&mut writers).await {
            leave.cancel();
            let gave_back = timeout(GIVE_BACK, election.join_next()).await;
            if gave_back.is_err() {
                tracing::warn!("the Lease could not be given back in time; it runs out by itself");
            }
        }
        end.cancel();
        background.shutdown().await;
        match why {
            Why::Told => Ok(()),
            Why::Ended(task) => Err(Failure::Failed(format!("{task} has ended by itself; the log says why"))),
            Why::Lost(reason) => Err(Failure::Failed(format!("this replica leads no more: {reason}"))),
        }
    }

    fn background(&self, listener: TcpListener, end: &CancellationToken) -> JoinSet<String> {
        let mut tasks = JoinSet::new();
        let (kubernetes, serving) = (Arc::clone(&self.kubernetes), end.clone());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let served = Served {
            vital: Arc::clone(&self.signs) as _,
            metrics: Arc::clone(&self.metrics),
            watches: Arc::clone(&self.kubernetes) as _,
            waiting: Arc::new(self.queue.clone()),
            clock,
        };
        background::spawn(&mut tasks, &self.background, end);
        tasks.spawn(async move { format!("following the cluster: {}", kubernetes.follow().await) });
        tasks.spawn(async move {
            match http::serve(listener, served, serving).await {
                Ok(()) => "serving HTTP".to_owned(),
                Err(error) => format!("serving HTTP: {error}"),
            }
        });
        tasks
    }

    /// What pins pods at birth: every replica looks and serves, the one that leads writes.
    fn look_after_births(
        &self,
        tasks: &mut JoinSet<String>,
        webhook: Option<TcpListener>,
        end: &CancellationToken,
    ) {
        let (kubernetes, fence, stop) = (Arc::clone(&self.kubernetes), self.fence.clone(), end.clone());
        let every = self.birth_interval;
        tasks.spawn(async move {
            kubernetes.look_after_births(&fence, every, &stop).await;
            "looking after what pins pods at birth".to_owned()
        });
        if let Some(listener) = webhook {
            let (births, stop) = (Arc::clone(&self.kubernetes), end.clone());
            tasks.spawn(async move {
                match webhook::serve(listener, births, stop).await {
                    Ok(()) => "serving the webhook".to_owned(),
                    Err(error) => format!("serving the webhook: {error}"),
                }
            });
        }
    }

    /// All that writes, from the moment on in which this replica leads.
    fn writers(&self) -> JoinSet<String> {
        let mut tasks = JoinSet::new();
        let (queue, reconciler, stop) = (self.queue.clone(), Arc::clone(&self.reconciler), self.stop.clone());
        let (kubernetes, office) = (Arc::clone(&self.kubernetes), Arc::clone(&self.office));
        let (fence, birth_interval, lease) = (self.fence.clone(), self.birth_interval, self.lease.clone());
        tasks.spawn(async move {
            if stop.run_until_cancelled(office.leads()).await.is_some() {
                queue.expect();
                begin(&kubernetes, &fence, lease.as_deref(), birth_interval, &stop).await;
                let pass = move |key| {
                    let reconciler = Arc::clone(&reconciler);
                    async move { reconciler.pass(&key).await }
                };
                queue.run(pass, stop).await;
            }
            "making passes".to_owned()
        });
        let (deliveries, office, stop) =
            (self.background.deliveries.clone(), Arc::clone(&self.office), self.stop.clone());
        tasks.spawn(async move {
            if stop.run_until_cancelled(office.leads()).await.is_some() {
                deliveries.run(stop).await;
            }
            "visiting repositories".to_owned()
        });
        let (kubernetes, office) = (Arc::clone(&self.kubernetes), Arc::clone(&self.office));
        let (fence, stop, orphan_after) = (self.fence.clone(), self.stop.clone(), self.orphan_after);
        tasks.spawn(async move {
            if stop.run_until_cancelled(office.leads()).await.is_some() {
                kubernetes.look_after_orphans(&fence, orphan_after, &stop).await;
            }
            "looking after orphaned pins".to_owned()
        });
        tasks
    }

    /// Lets effects under way end, and stores counters. Whether all of it ended in time.
    async fn wind_down(&self, writers: &mut JoinSet<String>) -> bool {
        let finished = async { while writers.join_next().await.is_some() {} };
        let finished = timeout(FINISH, finished).await.is_ok();
        if !finished {
            tracing::warn!(
                limit_s = FINISH.as_secs(),
                "a pass did not end in time and is left; what it did not do is done by the next start"
            );
            writers.abort_all();
        }
        let stored = timeout(FLUSH, self.reconciler.flush()).await.is_ok();
        if !stored {
            tracing::warn!(
                "counters since the last write were not stored; they are counted again from there"
            );
        }
        self.office.close();
        finished && stored
    }
}
