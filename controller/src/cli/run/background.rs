//! What works beside the passes, with its adapters.

use super::Args;
use crate::{
    cli::{
        Failure,
        wire::{Connection, SystemClock},
    },
    kubernetes::{Kubernetes, jobs::Jobs},
    ports::{Fence, Verifier as _, Wakes},
    reconcile::{
        background::Background,
        deliveries::Deliveries,
        last_words::LastWords,
        lookups::{AccessCache, Lookups, Parts},
        measurements::Measurements,
        queue::Queue,
    },
    registry::credentials::SecretCredentials,
    telemetry::Metrics,
};
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Everything behind its ports; nothing runs yet.
pub fn build(
    args: &Args,
    connection: &Connection,
    (kubernetes, queue): (&Arc<Kubernetes>, &Queue),
    fence: &Fence,
    metrics: &Arc<Metrics>,
) -> Result<Background, Failure> {
    let wakes = || -> Arc<dyn Wakes> { Arc::new(queue.clone()) };
    let cluster = || Arc::clone(kubernetes);
    let verifier = args.installation.verifier()?;
    if let Some(root) = verifier.trusted_root() {
        metrics.trusted_root(root);
    }
    let clouds = Arc::new(connection.clouds(&args.installation)?);
    let lookups = Lookups::new(Parts {
        registry: Arc::new(connection.registry(&args.installation)?),
        verifier: Arc::new(verifier),
        access: AccessCache::new(cluster(), Arc::new(SecretCredentials), clouds),
        wakes: wakes(),
        clock: Arc::new(SystemClock),
        metrics: Arc::clone(metrics),
    });
    let jobs = Jobs::new(cluster(), fence.clone());
    let signals = Arc::new(connection.signals(&args.installation)?.with_jobs(Arc::new(jobs)));
    let git = Arc::new(connection.git(&args.installation)?);
    let forges = Arc::new(connection.forges(&args.installation)?);
    let (watched, metrics) = ((cluster(), wakes()), Arc::clone(metrics));
    Ok(Background {
        lookups,
        measurements: Measurements::new(signals, cluster(), wakes()),
        last_words: LastWords::new(cluster(), wakes()),
        notices: args.notify.open(connection, &args.installation, watched, fence.clone(), metrics)?,
        deliveries: Deliveries::new((git, forges), cluster(), wakes(), Arc::new(SystemClock), fence.clone()),
    })
}

/// What changes nothing in the cluster runs until the end; what repositories are given is given by the one that leads.
pub fn spawn(tasks: &mut JoinSet<String>, background: &Background, end: &CancellationToken) {
    let Background { lookups, measurements, notices, last_words, .. } = background.clone();
    let (looking, measuring, telling, reading) = (end.clone(), end.clone(), end.clone(), end.clone());
    tasks.spawn(async move {
        last_words.run(reading).await;
        "reading last words".to_owned()
    });
    tasks.spawn(async move {
        lookups.run(looking).await;
        "looking up registries".to_owned()
    });
    tasks.spawn(async move {
        measurements.run(measuring).await;
        "measuring signals".to_owned()
    });
    tasks.spawn(async move {
        notices.run(telling).await;
        "telling people".to_owned()
    });
}
