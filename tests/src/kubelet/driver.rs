//! The loop of the simulated kubelet: one watch of pods in, status patches and deletions out.
//!
//! Guarantees: per pod one request at a time, and always the newest status; a pod that was replaced by another of its name
//! is never written to (patches carry the uid).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};

use super::container::digest;
use super::images::Images;
use super::machine::{Machine, Pull};
use super::script::Rules;
use super::view::PodView;
use super::{Settings, status};

/// What comes back from the requests that were started.
enum Answer {
    Pulled { uid: String, pull: Pull, result: Result<String, String> },
    Written { uid: String, outcome: Outcome },
}

/// How a write to the API ended.
enum Outcome {
    Done,
    /// The pod is gone.
    Gone,
    /// To be tried again.
    Failed,
}

/// A pod of ours.
struct Entry {
    machine: Machine,
    pod_ip: String,
    /// When it was to be looked at next, when that was worked out last.
    wake: Option<Timestamp>,
    /// The status that was written last.
    written: Value,
    /// A request is under way.
    busy: bool,
    /// Its deletion was asked for and answered.
    deleted: bool,
}

struct Driver {
    client: Client,
    settings: Settings,
    nodes: HashSet<String>,
    rules: Arc<Rules>,
    images: Images,
    pods: HashMap<String, Entry>,
    wakes: BinaryHeap<Reverse<(Timestamp, String)>>,
    /// What each node has pulled: (node, image) to imageID.
    store: HashMap<(String, String), String>,
    answers: mpsc::UnboundedSender<Answer>,
    writes: Arc<Semaphore>,
    next_ip: u32,
}

/// Runs until it is dropped, or the watch ends.
pub async fn run(client: Client, settings: Settings, rules: Arc<Rules>) -> Result<()> {
    let (answers, mut incoming) = mpsc::unbounded_channel();
    let config = match settings.nodes.as_slice() {
        [one] => watcher::Config::default().fields(&format!("spec.nodeName={}", one.name)),
        _ => watcher::Config::default().fields("spec.nodeName!="),
    };
    let mut changes = rules.changes();
    let nodes = settings.nodes.iter().map(|node| node.name.clone()).collect();
    let images = Images::new(settings.mirrors.clone())?;
    let watch = watcher(Api::<Pod>::all(client.clone()), config.page_size(2_000)).default_backoff();
    let mut driver = Driver {
        client,
        settings,
        nodes,
        rules,
        images,
        pods: HashMap::new(),
        wakes: BinaryHeap::new(),
        store: HashMap::new(),
        answers,
        writes: Arc::new(Semaphore::new(128)),
        next_ip: 1,
    };
    let mut watch = pin!(watch);
    let mut listed = HashSet::new();
    loop {
        let nap = driver.nap();
        tokio::select! {
            event = watch.next() => match event {
                None => anyhow::bail!("the watch of pods ended"),
                Some(Err(error)) => tracing::warn!(%error, "the watch of pods failed; it is begun again"),
                Some(Ok(watcher::Event::Init)) => listed.clear(),
                Some(Ok(watcher::Event::InitApply(pod))) => {
                    listed.extend(pod.metadata.uid.clone());
                    driver.see(pod)?;
                }
                Some(Ok(watcher::Event::InitDone)) => driver.pods.retain(|uid, _| listed.contains(uid)),
                Some(Ok(watcher::Event::Apply(pod))) => driver.see(pod)?,
                Some(Ok(watcher::Event::Delete(pod))) => {
                    if let Some(uid) = &pod.metadata.uid {
                        driver.pods.remove(uid);
                    }
                }
            },
            Some(answer) = incoming.recv() => driver.take(answer),
            Ok(()) = changes.changed() => driver.follow(),
            () = tokio::time::sleep(nap) => driver.wake(),
        }
    }
}

impl Driver {
    /// Until the next moment at which a container does something by itself.
    fn nap(&self) -> Duration {
        let Some(Reverse((at, _))) = self.wakes.peek() else { return Duration::from_hours(1) };
        Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default()
    }

    fn see(&mut self, pod: Pod) -> Result<()> {
        let on_ours = pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref());
        if !on_ours.is_some_and(|node| self.nodes.contains(node)) {
            return Ok(());
        }
        let view = PodView::of(pod)?;
        let uid = view.uid.clone();
        if let Some(entry) = self.pods.get_mut(&uid) {
            entry.machine.see(view);
        } else {
            let pod_ip = view.pod_ip.clone().unwrap_or_else(|| self.free_ip());
            let Settings { seed, back_off_scale, .. } = self.settings;
            let machine = Machine::new(view, &self.rules, seed, back_off_scale, Timestamp::now());
            let entry =
                Entry { machine, pod_ip, wake: None, written: Value::Null, busy: false, deleted: false };
            self.pods.insert(uid.clone(), entry);
        }
        self.advance(&uid);
        Ok(())
    }

    fn free_ip(&mut self) -> String {
        let number = self.next_ip;
        self.next_ip += 1;
        format!("10.{}.{}.{}", (number >> 16) & 255, (number >> 8) & 255, number & 255)
    }

    fn take(&mut self, answer: Answer) {
        let now = Timestamp::now();
        match answer {
            Answer::Pulled { uid, pull, result } => {
                let Some(entry) = self.pods.get_mut(&uid) else { return };
                if let Ok(image_id) = &result {
                    let node = entry.machine.view.node.clone();
                    self.store.insert((node, pull.image.clone()), image_id.clone());
                }
                entry.machine.pulled(pull.container, pull.attempt, result, &self.rules, now);
                self.advance(&uid);
            }
            Answer::Written { uid, outcome } => {
                let Some(entry) = self.pods.get_mut(&uid) else { return };
                entry.busy = false;
                match outcome {
                    Outcome::Done => self.advance(&uid),
                    Outcome::Gone => {
                        self.pods.remove(&uid);
                    }
                    Outcome::Failed => {
                        entry.written = Value::Null;
                        entry.deleted = false;
                        self.wakes.push(Reverse((now + Duration::from_secs(1), uid)));
                    }
                }
            }
        }
    }

    fn follow(&mut self) {
        let now = Timestamp::now();
        for entry in self.pods.values_mut() {
            entry.machine.follow(&self.rules, now);
        }
        let all: Vec<String> = self.pods.keys().cloned().collect();
        for uid in all {
            self.advance(&uid);
        }
    }

    fn wake(&mut self) {
        let now = Timestamp::now();
        let mut due = HashSet::new();
        while let Some(Reverse((at, _))) = self.wakes.peek()
            && *at <= now
        {
            due.extend(self.wakes.pop().map(|Reverse((_, uid))| uid));
        }
        for uid in due {
            if let Some(entry) = self.pods.get_mut(&uid) {
                entry.wake = None;
            }
            self.advance(&uid);
        }
    }

    /// Lets one pod do what is due, and writes its status if that changed it.
    fn advance(&mut self, uid: &str) {
        let now = Timestamp::now();
        let Some(entry) = self.pods.get_mut(uid) else { return };
        loop {
            let mut at_once = false;
            for pull in entry.machine.step(now) {
                let key = (entry.machine.view.node.clone(), pull.image.clone());
                if let Some(image_id) = self.store.get(&key).filter(|_| !pull.always) {
                    at_once = true;
                    entry.machine.pulled(
                        pull.container,
                        pull.attempt,
                        Ok(image_id.clone()),
                        &self.rules,
                        now,
                    );
                } else {
                    let answers = self.answers.clone();
                    tokio::spawn(look_up(
                        self.images.clone(),
                        Arc::clone(&self.rules),
                        uid.to_owned(),
                        pull,
                        answers,
                    ));
                }
            }
            // What was started from the node's store may let others start.
            if !at_once {
                break;
            }
        }
        let wake = entry.machine.next_event(now);
        if wake != entry.wake {
            entry.wake = wake;
            // What waits for another container of its pod is looked at again, but not without end.
            self.wakes
                .extend(wake.map(|at| Reverse((at.max(now + Duration::from_millis(20)), uid.to_owned()))));
        }
        self.write(uid, now);
    }

    fn write(&mut self, uid: &str, now: Timestamp) {
        let Some(entry) = self.pods.get_mut(uid) else { return };
        if entry.busy || entry.deleted {
            return;
        }
        let status = status::of(&mut entry.machine, &entry.pod_ip, now);
        let deleting = entry.machine.view.deleting;
        if status == entry.written && !deleting {
            return;
        }
        entry.written.clone_from(&status);
        entry.busy = true;
        entry.deleted = deleting;
        let view = &entry.machine.view;
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &view.namespace);
        let (name, uid) = (view.name.clone(), uid.to_owned());
        let (answers, writes) = (self.answers.clone(), Arc::clone(&self.writes));
        tokio::spawn(async move {
            let _turn = writes.acquire().await;
            let outcome = outcome(write(&api, &name, &uid, status, deleting).await);
            // The loop is gone when the kubelet is.
            let _unheard = answers.send(Answer::Written { uid, outcome });
        });
    }
}

async fn look_up(
    images: Images,
    rules: Arc<Rules>,
    uid: String,
    pull: Pull,
    answers: mpsc::UnboundedSender<Answer>,
) {
    // A rule that names a tag is for the contents that the tag has now.
    for image in rules.unresolved() {
        if let Ok(found) = images.look_up(&image).await {
            learn(&images, &rules, &found).await;
            rules.resolved(&image, digest(&found));
        }
    }
    let result = images.look_up(&pull.image).await;
    if let Ok(image_id) = &result {
        learn(&images, &rules, image_id).await;
        let repository = image_id.split('@').next().unwrap_or_default();
        for digest in rules.seek(repository) {
            learn(&images, &rules, &format!("{repository}@{digest}")).await;
        }
    }
    let _unheard = answers.send(Answer::Pulled { uid, pull, result });
}

/// Which platform manifests a digest stands for: rules are for contents.
async fn learn(images: &Images, rules: &Rules, image_id: &str) {
    if !rules.knows(digest(image_id))
        && let Some(contents) = images.contents(image_id).await
    {
        rules.learn(digest(image_id), contents);
    }
}

async fn write(api: &Api<Pod>, name: &str, uid: &str, status: Value, delete: bool) -> Result<()> {
    let patch = Patch::Strategic(json!({"metadata": {"uid": uid}, "status": status}));
    let work = async {
        api.patch_status(name, &PatchParams::default(), &patch).await?;
        if delete {
            let uid = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
            let params = DeleteParams { preconditions: Some(uid), ..DeleteParams::default().grace_period(0) };
            api.delete(name, &params).await?;
        }
        Ok::<_, kube::Error>(())
    };
    tokio::time::timeout(Duration::from_secs(30), work).await.context("no answer in 30 s")??;
    Ok(())
}

fn outcome(result: Result<()>) -> Outcome {
    let Err(error) = result else { return Outcome::Done };
    match error.downcast_ref::<kube::Error>() {
        Some(kube::Error::Api(status)) if status.code == 404 => Outcome::Gone,
        _ => {
            tracing::warn!(
                error = format!("{error:#}"),
                "a pod's status could not be written; tried again in 1 s"
            );
            Outcome::Failed
        }
    }
}
