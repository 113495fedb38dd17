//! One pod as its kubelet runs it. Pure: time, images and scripts come in, what to do next comes out.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodCondition;

use super::container::{Container, Running, State, digest};
use super::script::{Rules, random};
use super::view::{ContainerView, PodView, Role};
use crate::image::digest_of;

/// What is needed to make the next container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pull {
    /// Which container, by its place in the pod's list.
    pub container: usize,
    /// Comes back with the answer.
    pub attempt: u64,
    pub image: String,
    /// Ask the registry even if the node has the image.
    pub always: bool,
}

/// A pod and its containers.
pub struct Machine {
    pub view: PodView,
    /// In the order of `view.containers`.
    pub containers: Vec<Container>,
    /// True once an application container was started: sidecars that crash later do not undo it.
    pub initialized: bool,
    /// The pod has ended for good.
    pub terminal: bool,
    pub started_at: Timestamp,
    /// Per condition whether it held last and since when.
    pub transitions: BTreeMap<String, (bool, Timestamp)>,
    back_off_scale: f64,
    seed: u64,
    attempts: u64,
}

impl Machine {
    /// A pod seen for the first time. One that has a status already goes on from there.
    pub fn new(view: PodView, rules: &Rules, seed: u64, back_off_scale: f64, now: Timestamp) -> Self {
        let containers = view.containers.iter().map(|view| Container::new(view, back_off_scale)).collect();
        let started_at = view.start_time.unwrap_or(now);
        let since = |condition: &PodCondition| {
            let time = condition.last_transition_time.as_ref().map_or(now, |time| time.0);
            (condition.type_.clone(), (condition.status == "True", time))
        };
        let transitions = view.conditions.iter().map(since).collect();
        let mut machine = Self {
            transitions,
            view,
            containers,
            initialized: false,
            terminal: false,
            started_at,
            back_off_scale,
            seed,
            attempts: 0,
        };
        for status in std::mem::take(&mut machine.view.statuses) {
            let Some(index) = machine.view.containers.iter().position(|view| view.name == status.name) else {
                continue;
            };
            let random = machine.random(index, "life");
            let namespace = machine.view.namespace.clone();
            machine.containers[index].adopt(status, |digest| rules.script(digest, &namespace), random);
            machine.initialized |=
                machine.view.containers[index].role == Role::App && machine.containers[index].ran;
        }
        machine
    }

    /// Takes over what changed in the API.
    pub fn see(&mut self, view: PodView) {
        self.view = PodView { statuses: Vec::new(), ..view };
    }

    /// The rules changed: containers whose script did begin with the new one now.
    pub fn follow(&mut self, rules: &Rules, now: Timestamp) {
        for index in 0..self.containers.len() {
            let script = rules.script(digest(&self.containers[index].image_id), &self.view.namespace);
            let random = self.random(index, "rules");
            if let State::Running(running) = &mut self.containers[index].state
                && running.script != script
            {
                running.follow(script, now, random);
            }
        }
    }

    /// The answer to a [`Pull`].
    pub fn pulled(
        &mut self,
        index: usize,
        attempt: u64,
        answer: Result<String, String>,
        rules: &Rules,
        now: Timestamp,
    ) {
        let current =
            matches!(self.containers[index].state, State::Pulling { attempt: current } if current == attempt);
        if !current {
            return;
        }
        let (name, uid) = (self.view.containers[index].name.clone(), self.view.uid.clone());
        let container = &mut self.containers[index];
        match answer {
            Ok(image_id) => {
                if container.ran {
                    container.restart_count += 1;
                }
                let script = rules.script(digest(&image_id), &self.view.namespace);
                container.image_id = image_id;
                container.ran_image.clone_from(&container.image);
                let id = digest_of(format!("{uid} {name} {attempt} {now}").as_bytes());
                let id = id.replace("sha256:", "containerd://");
                let random = self.random(index, "life");
                self.containers[index].run(now, id, script, random);
                self.initialized |= self.view.containers[index].role == Role::App;
            }
            Err(message) => {
                container.pulls.next(now, now);
                let until = container.pulls.until(now).unwrap_or(now);
                container.state = State::PullFailed { message, since: now, until };
            }
        }
    }

    /// Does everything that is due, and says which images are wanted for it.
    pub fn step(&mut self, now: Timestamp) -> Vec<Pull> {
        if self.view.deleting {
            self.end_all(now);
            return Vec::new();
        }
        if self.terminal {
            return Vec::new();
        }
        self.end_what_ends(now);
        self.follow_images(now);
        self.end_the_pod(now);
        let mut pulls = Vec::new();
        if !self.terminal {
            self.start_what_may_start(now, &mut pulls);
        }
        pulls
    }

    /// When something happens by itself.
    pub fn next_event(&self, now: Timestamp) -> Option<Timestamp> {
        if self.terminal || self.view.deleting {
            return None;
        }
        let event = |(view, container): (&ContainerView, &Container)| match &container.state {
            State::Running(running) if view.role == Role::Init => {
                end_of(view.role, running, now).map(|(at, _)| at)
            }
            _ => container.next_event(now),
        };
        self.view.containers.iter().zip(&self.containers).filter_map(event).min()
    }

    /// Processes that end by themselves.
    fn end_what_ends(&mut self, now: Timestamp) {
        for (index, view) in self.view.containers.iter().enumerate() {
            let container = &mut self.containers[index];
            let Some(running) = container.running() else { continue };
            let Some((at, crash)) = end_of(view.role, running, now).filter(|(at, _)| *at <= now) else {
                continue;
            };
            let (code, message) = if crash {
                (running.script.crash_code(), running.script.message.clone())
            } else {
                (0, String::new())
            };
            let reason = match (code, running.script.oom_killed) {
                (0, _) => "Completed",
                (137, true) => "OOMKilled",
                _ => "Error",
            };
            container.end(at, code, reason, &message);
            if restarts(view.role, &self.view.restart_policy, code) {
                // The first restart is at once; the wait of each later one runs from its crash.
                let until = container.crashes.until(at).unwrap_or(now);
                if until > now {
                    container.state = State::CrashLoop { until };
                } else {
                    container.crashes.next(at, now);
                    container.state = State::New;
                }
            }
        }
    }

    /// An image that was changed restarts that one container, without the old one's back-offs.
    fn follow_images(&mut self, now: Timestamp) {
        for (index, view) in self.view.containers.iter().enumerate() {
            let container = &mut self.containers[index];
            if view.role == Role::Init || container.image == view.image {
                continue;
            }
            let was = &container.state;
            let done = matches!(was, State::Ended);
            container.end(now, 0, "Completed", "");
            container.image.clone_from(&view.image);
            container.crashes = super::backoff::Backoff::new(self.back_off_scale);
            container.pulls = super::backoff::Backoff::new(self.back_off_scale);
            if !done {
                container.state = State::New;
            }
        }
    }

    /// A pod whose application containers have all ended for good is over; its sidecars end after them.
    fn end_the_pod(&mut self, now: Timestamp) {
        let over = |(index, role): (usize, Role)| {
            role != Role::App || matches!(self.containers[index].state, State::Ended)
        };
        let apps_over = self.view.containers.iter().map(|view| view.role).enumerate().all(over);
        let init_failed = self.view.restart_policy == "Never" && self.init_failed();
        if (apps_over && self.initialized) || init_failed {
            self.end_all(now);
            self.terminal = true;
        }
    }

    fn init_failed(&self) -> bool {
        self.view.containers.iter().zip(&self.containers).any(|(view, container)| {
            view.role == Role::Init
                && matches!(container.state, State::Ended)
                && container.last.as_ref().is_some_and(|last| last.exit_code != 0)
        })
    }

    fn end_all(&mut self, now: Timestamp) {
        for container in &mut self.containers {
            container.end(now, 0, "Completed", "");
            container.state = State::Ended;
        }
    }

    /// Init containers one after the other, then all others.
    fn start_what_may_start(&mut self, now: Timestamp, pulls: &mut Vec<Pull>) {
        for index in 0..self.containers.len() {
            let view = self.view.containers[index].clone();
            let container = &mut self.containers[index];
            let due = match &container.state {
                // One that had its work done before this kubelet began is not done again.
                State::New => !(view.role == Role::Init && self.initialized),
                State::PullFailed { until, .. } | State::CrashLoop { until } => *until <= now,
                State::Pulling { .. } | State::Running(_) | State::Ended => false,
            };
            if due {
                if let State::CrashLoop { .. } = container.state {
                    let crashed = container.last.as_ref().map_or(now, |last| last.finished_at);
                    container.crashes.next(crashed, now);
                }
                self.attempts += 1;
                container.state = State::Pulling { attempt: self.attempts };
                pulls.push(Pull {
                    container: index,
                    attempt: self.attempts,
                    image: view.image.clone(),
                    always: view.always_pull,
                });
            }
            let container = &self.containers[index];
            let passed = match view.role {
                Role::Init => matches!(container.state, State::Ended) && !self.init_failed(),
                Role::Sidecar => container.started(now, &view),
                Role::App => true,
            };
            if !passed && !self.initialized {
                return;
            }
        }
    }

    fn random(&self, index: usize, why: &str) -> f64 {
        let view = &self.view;
        let key = [why, view.namespace.as_str(), view.name.as_str(), view.containers[index].name.as_str()];
        random(self.seed, &key, self.containers[index].restart_count.unsigned_abs())
    }
}

/// When a container ends by itself, and whether it crashes. An init container's work is done at once, if its script says
/// nothing else.
fn end_of(role: Role, running: &Running, now: Timestamp) -> Option<(Timestamp, bool)> {
    if role == Role::Init { running.end.or(Some((now, false))) } else { running.end }
}

/// Whether a container that ended is started again.
fn restarts(role: Role, policy: &str, exit_code: i32) -> bool {
    match (role, policy) {
        (Role::Sidecar, _) | (Role::App, "Always") => true,
        (Role::Init | Role::App, "Never") => false,
        (Role::Init | Role::App, _) => exit_code != 0,
    }
}
