//! Pods come and go, containers start, crash and start again.

use crate::{Effect, Pod, World};
use jiff::{SignedDuration, Timestamp};
use lockkeeper_core::pin::PinSpec;
use std::collections::BTreeSet;

/// How contents behave.
#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    /// Crashes per pod-hour while up.
    pub crashes_per_hour: f64,
    /// Only in these namespaces; empty for everywhere.
    pub only_in: BTreeSet<String>,
    /// It never gets Ready.
    pub never_ready: bool,
    /// It dies as soon as it starts.
    pub crash_at_start: bool,
    /// The termination message that a crash leaves; none for a crash of which nothing can be seen but that it was.
    pub panic: Option<String>,
}

/// The longest back-off of a kubelet.
const MAX_BACKOFF: i64 = 300;
/// Running for so long resets the back-off.
const RESET: SignedDuration = SignedDuration::from_mins(10);

impl World {
    /// Time passes. Long spans are cut by the caller: everything due in `span` happens once, at its end. With spans
    /// that end at [`World::next_moment`] everything happens when it is due.
    pub fn pass_time(&mut self, span: SignedDuration) {
        self.now += span;
        self.merge_requests();
        self.apply_files();
        self.bury_and_give_birth();
        for index in 0..self.pods.len() {
            self.run_pod(index);
        }
    }

    /// When something happens next by itself in the cluster: a container comes up or dies, a pod goes or is born.
    #[must_use]
    pub fn next_moment(&self) -> Option<Timestamp> {
        let soon = self.now + SignedDuration::from_secs(1);
        let short = |(index, owner): (usize, &crate::Owner)| {
            self.pods.iter().filter(|p| p.owner == index && !p.deleting).count() < owner.replicas
        };
        if self.pods.iter().any(|p| p.deleting) || self.owners.iter().enumerate().any(short) {
            return Some(soon);
        }
        let due = self.pods.iter().filter_map(|p| if p.up { p.dies_at.map(|(at, _)| at) } else { p.up_at });
        due.min().map(|at| at.max(soon))
    }

    fn bury_and_give_birth(&mut self) {
        self.pods.retain(|p| !p.deleting);
        for owner in 0..self.owners.len() {
            let have = self.pods.iter().filter(|p| p.owner == owner).count();
            for _ in have..self.owners[owner].replicas {
                self.give_birth(owner);
            }
        }
    }

    /// A new pod, pinned by the API server where it does that.
    pub(crate) fn give_birth(&mut self, owner: usize) {
        self.births += 1;
        let (template, name, namespace) = {
            let o = &self.owners[owner];
            (o.image.clone(), o.name.clone(), o.namespace.clone())
        };
        let hash = self.owners[owner].template.clone();
        let number = self.births;
        let pin = if self.settings.pins_at_birth { self.pin_for(owner, &template) } else { None };
        let (image, pinned_by) = match pin {
            Some((by, image)) => (image, Some(by)),
            None => (template, None),
        };
        let node = usize::try_from(number).unwrap_or(0) % self.settings.nodes.max(1);
        let mut pod = Pod {
            uid: format!("{number:06}-{}", self.settings.seed),
            name: format!("{name}-{number}"),
            owner,
            node: format!("node-{node}"),
            template: hash,
            created: self.now,
            image,
            generation: 1,
            moved: None,
            pinned_by,
            running: None,
            up: false,
            restarts: 0,
            down_after_death: false,
            waiting: Some("ContainerCreating".to_owned()),
            up_at: Some(self.now + SignedDuration::from_secs(self.settings.pull_seconds)),
            dies_at: None,
            died: None,
            died_of: None,
            crashes_in_a_row: 0,
            deleting: false,
            app_down: false,
        };
        let before = self.records.is_empty() && self.now == self.settings.start;
        if before {
            // Before the story begins everything is up already.
            pod.running = self.resolve(&pod.image).map(|r| r.digest);
            pod.up = pod.running.is_some();
            pod.waiting = None;
            pod.up_at = None;
        }
        let (pod_name, image) = (format!("{namespace}/{}", pod.name), pod.image.clone());
        self.pods.push(pod);
        if !before {
            self.record(Effect::Born { pod: pod_name, image });
        }
    }

    /// The admission policy: the first pin of the pod's namespace that matches, and the image it makes.
    fn pin_for(&self, owner: usize, image: &str) -> Option<(String, String)> {
        let owner = self.owners.get(owner)?;
        let parsed: lockkeeper_core::image::ImageRef = image.parse().ok()?;
        let pins = self.pins.iter().filter(|p| p.key.namespace == owner.namespace);
        let matching = pins.filter(|p| {
            let PinSpec { match_labels, repositories, only_tags, .. } = &p.spec;
            let tagged = parsed.tag().map_or("latest", |t| t.as_str());
            match_labels.iter().all(|(k, v)| owner.labels.get(k) == Some(v))
                && repositories.iter().any(|r| r == parsed.repository_text())
                && only_tags
                    .as_ref()
                    .is_none_or(|tags| parsed.digest().is_none() && tags.iter().any(|t| t.as_str() == tagged))
        });
        let pin = matching.min_by(|a, b| a.key.name.cmp(&b.key.name))?;
        Some((pin.key.name.clone(), parsed.pinned(pin.spec.tag.as_ref(), &pin.spec.digest)))
    }

    fn behaviour(&self, index: usize) -> Behaviour {
        let pod = &self.pods[index];
        let namespace = &self.owners[pod.owner].namespace;
        let Some(digest) = &pod.running else { return Behaviour::default() };
        let found = self
            .pushed
            .iter()
            .find(|r| r.answers_to(digest))
            .and_then(|r| self.behaviours.get(&r.digest))
            .or_else(|| self.behaviours.get(digest));
        match found {
            Some(b) if b.only_in.is_empty() || b.only_in.contains(namespace) => b.clone(),
            _ => Behaviour::default(),
        }
    }

    fn run_pod(&mut self, index: usize) {
        if self.pods[index].up_at.is_some_and(|at| at <= self.now) {
            self.start(index);
        }
        let behaviour = self.behaviour(index);
        if !self.pods[index].up {
            return;
        }
        let rate = behaviour.crashes_per_hour;
        // Crashes have no memory, so a moment that was drawn stays right for as long as the rate does.
        if self.pods[index].dies_at.is_none_or(|(_, drawn)| drawn.to_bits() != rate.to_bits()) {
            self.pods[index].dies_at = self.draw_death(rate);
        }
        let due = self.pods[index].dies_at.is_some_and(|(at, _)| at <= self.now);
        let broken = self.broken_nodes.contains(&self.pods[index].node);
        if behaviour.crash_at_start || broken || due {
            self.crash(index);
        }
    }

    /// An exponential waiting time, whole seconds.
    fn draw_death(&mut self, rate: f64) -> Option<(Timestamp, f64)> {
        if rate <= 0.0 {
            return None;
        }
        let hours = -(1.0 - self.random.unit()).ln() / rate;
        let wait = SignedDuration::try_from_secs_f64((hours * 3600.0).ceil()).ok()?;
        Some((self.now.checked_add(wait).ok()?, rate))
    }

    fn start(&mut self, index: usize) {
        let image = self.pods[index].image.clone();
        let release = if self.registry_up { self.resolve(&image) } else { self.cached(&image) };
        let pull = SignedDuration::from_secs(self.settings.pull_seconds.max(1));
        let now = self.now;
        let pod = &mut self.pods[index];
        let Some(release) = release else {
            pod.waiting = Some("ErrImagePull".to_owned());
            pod.up_at = Some(now + pull);
            return;
        };
        if pod.running.is_some() {
            pod.restarts += 1;
        }
        pod.running = Some(release.digest.clone());
        pod.up = true;
        pod.down_after_death = false;
        pod.waiting = None;
        pod.up_at = None;
        pod.dies_at = None;
        let name = pod.name.clone();
        self.record(Effect::Started { pod: name, digest: release.digest });
    }

    /// An image that some pod has run is on the nodes: it needs no registry.
    fn cached(&self, image: &str) -> Option<lockkeeper_core::image::Release> {
        let parsed: lockkeeper_core::image::ImageRef = image.parse().ok()?;
        let digest = parsed.digest()?;
        self.pushed.iter().find(|r| r.answers_to(digest) && self.running(r) > 0).cloned()
    }

    fn crash(&mut self, index: usize) {
        let (now, restart) = (self.now, self.settings.restart_seconds.max(1));
        let panic = self.behaviour(index).panic;
        let pod = &mut self.pods[index];
        let in_a_row = match pod.died {
            Some(died) if now.duration_since(died) < RESET => pod.crashes_in_a_row + 1,
            _ => 1,
        };
        pod.crashes_in_a_row = in_a_row;
        pod.up = false;
        pod.down_after_death = true;
        pod.died = Some(now);
        pod.died_of = panic;
        let backoff = if in_a_row <= 1 {
            restart
        } else {
            pod.waiting = Some("CrashLoopBackOff".to_owned());
            (10 << (in_a_row - 2).min(5)).clamp(restart, MAX_BACKOFF.max(restart))
        };
        pod.up_at = Some(now + SignedDuration::from_secs(backoff));
        let (name, digest) = (pod.name.clone(), pod.running.clone());
        if let Some(digest) = digest {
            self.record(Effect::Crashed { pod: name, digest });
        }
    }

    /// Ready as the kubelet reports it.
    #[must_use]
    pub fn ready(&self, index: usize) -> bool {
        let pod = &self.pods[index];
        pod.up && !pod.app_down && !self.behaviour(index).never_ready
    }
}
