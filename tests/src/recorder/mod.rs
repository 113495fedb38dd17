//! An independent witness: what every pod of some namespaces ran, from before anything happened to the end.
//!
//! Guarantees: it knows only what kubelets and the API server say of pods; nothing in it comes from the controller. A
//! pod that is gone is remembered. Times are when the news reached this process, by its clock.
//! Assumes: it is started before the pods are made.
//! May not: write.

mod life;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use tokio::task::AbortHandle;

pub use life::{Crash, Life, Stay, digest};

/// Everything that was seen of the pods, by uid.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// The lives of all pods that ever were.
    pub lives: BTreeMap<String, Life>,
}

impl Record {
    /// Takes in a pod as it is now. `sidecar` is the container whose image is followed.
    pub fn see(&mut self, pod: &Pod, sidecar: &str, at: Timestamp) {
        let Some(uid) = pod.metadata.uid.clone() else { return };
        let life = self.lives.entry(uid).or_insert_with(|| Life::begin(pod, sidecar, at));
        life.see(pod, sidecar, at);
    }

    /// A pod is gone.
    pub fn gone(&mut self, uid: &str, at: Timestamp) {
        if let Some(life) = self.lives.get_mut(uid) {
            life.end(at);
        }
    }

    /// After a new list: what is not in it is gone.
    fn keep(&mut self, listed: &BTreeSet<String>, at: Timestamp) {
        for (uid, life) in &mut self.lives {
            if !listed.contains(uid) {
                life.end(at);
            }
        }
    }

    /// The lives in one namespace, ended ones included.
    pub fn of<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Life> {
        self.lives.values().filter(move |life| life.namespace == namespace)
    }

    /// The pods of one namespace that are there and not being deleted.
    pub fn present<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Life> {
        self.of(namespace).filter(|life| life.gone.is_none() && !life.deleting)
    }
}

/// A running recorder. Dropping it stops it.
pub struct Recorder {
    record: Arc<Mutex<Record>>,
    task: AbortHandle,
}

impl Recorder {
    /// Watches all pods of these namespaces from now on.
    #[must_use]
    pub fn start(client: Client, namespaces: &[&str], sidecar: &str) -> Self {
        let record = Arc::new(Mutex::new(Record::default()));
        let namespaces: BTreeSet<String> = namespaces.iter().map(|name| (*name).to_owned()).collect();
        let watch = follow(client, namespaces, sidecar.to_owned(), Arc::clone(&record));
        Self { record, task: tokio::spawn(watch).abort_handle() }
    }

    /// Everything until now.
    #[must_use]
    pub fn record(&self) -> Record {
        lock(&self.record).clone()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn follow(client: Client, namespaces: BTreeSet<String>, sidecar: String, record: Arc<Mutex<Record>>) {
    let pods: Api<Pod> = Api::all(client);
    let mut events = pin!(watcher(pods, watcher::Config::default()).default_backoff());
    let mut listed = BTreeSet::new();
    let ours = |pod: &Pod| pod.metadata.namespace.as_ref().is_some_and(|name| namespaces.contains(name));
    while let Some(event) = events.next().await {
        let now = Timestamp::now();
        match event {
            Ok(watcher::Event::Init) => listed.clear(),
            Ok(watcher::Event::InitApply(pod)) => {
                listed.extend(pod.metadata.uid.clone());
                if ours(&pod) {
                    lock(&record).see(&pod, &sidecar, now);
                }
            }
            Ok(watcher::Event::InitDone) => lock(&record).keep(&listed, now),
            Ok(watcher::Event::Apply(pod)) if ours(&pod) => lock(&record).see(&pod, &sidecar, now),
            Ok(watcher::Event::Delete(pod)) => {
                if let Some(uid) = &pod.metadata.uid {
                    lock(&record).gone(uid, now);
                }
            }
            Ok(watcher::Event::Apply(_)) => {}
            Err(error) => tracing::warn!(%error, "the recorder's watch failed; it is begun again"),
        }
    }
}
