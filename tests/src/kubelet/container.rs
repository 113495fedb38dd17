//! One container: what state it is in, and how it gets into the next.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus};

use super::backoff::Backoff;
use super::script::Script;
use super::view::ContainerView;

/// How a container ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    pub exit_code: i32,
    pub reason: String,
    pub message: String,
    pub started_at: Timestamp,
    pub finished_at: Timestamp,
    pub container_id: String,
}

/// A container that runs.
#[derive(Clone, Debug)]
pub struct Running {
    pub started_at: Timestamp,
    pub container_id: String,
    pub script: Script,
    /// `None`: never.
    pub ready_at: Option<Timestamp>,
    /// Its own end, and whether it is a crash.
    pub end: Option<(Timestamp, bool)>,
}

/// Where a container is in its life.
#[derive(Clone, Debug)]
pub enum State {
    /// Its turn has not come.
    New,
    /// The image is being looked up; `attempt` tells a late answer from the right one.
    Pulling {
        attempt: u64,
    },
    /// The look-up failed at `since`; tried again at `until`.
    PullFailed {
        message: String,
        since: Timestamp,
        until: Timestamp,
    },
    Running(Box<Running>),
    /// It ended and is not started again, or its next start is being made.
    Ended,
    /// It ended and is started again at `until`.
    CrashLoop {
        until: Timestamp,
    },
}

/// One container of a pod.
#[derive(Clone, Debug)]
pub struct Container {
    pub state: State,
    /// The image of the container that runs or ran last, or of the attempt to start one.
    pub image: String,
    /// `host/path@sha256:…` of the container that runs or ran last.
    pub image_id: String,
    /// The image that `image_id` belongs to.
    pub ran_image: String,
    pub restart_count: i32,
    /// True once a container was started.
    pub ran: bool,
    /// How the container before the present one ended, or the last one where none runs.
    pub last: Option<Ended>,
    pub crashes: Backoff,
    pub pulls: Backoff,
}

impl Container {
    pub fn new(view: &ContainerView, back_off_scale: f64) -> Self {
        Self {
            state: State::New,
            image: view.image.clone(),
            image_id: String::new(),
            ran_image: view.image.clone(),
            restart_count: 0,
            ran: false,
            last: None,
            crashes: Backoff::new(back_off_scale),
            pulls: Backoff::new(back_off_scale),
        }
    }

    /// Goes on from a status that a kubelet wrote before. `script` is asked for the contents that run.
    pub fn adopt(&mut self, status: ContainerStatus, script: impl Fn(&str) -> Script, random: f64) {
        self.restart_count = status.restart_count;
        self.image_id.clone_from(&status.image_id);
        self.ran_image.clone_from(&status.image);
        self.ran = !status.image_id.is_empty();
        self.last = status.last_state.and_then(ended);
        let Some(state) = status.state else { return };
        if let Some(running) = &state.running {
            let started_at = running.started_at.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
            let id = status.container_id.unwrap_or_default();
            let script = script(digest(&status.image_id));
            self.image = status.image;
            self.run(started_at, id, script, random);
        } else if state.terminated.is_some() {
            self.image = status.image;
            self.last = ended(state);
            self.state = State::Ended;
        }
    }

    /// Enters `Running`.
    pub fn run(&mut self, now: Timestamp, container_id: String, script: Script, random: f64) {
        let mut running =
            Running { started_at: now, container_id, script: Script::default(), ready_at: None, end: None };
        running.follow(script, now, random);
        self.state = State::Running(Box::new(running));
        self.ran = true;
    }

    /// Ends the container that runs, if one does.
    pub fn end(&mut self, now: Timestamp, exit_code: i32, reason: &str, message: &str) {
        let State::Running(running) = &self.state else { return };
        self.last = Some(Ended {
            exit_code,
            reason: reason.to_owned(),
            message: message.to_owned(),
            started_at: running.started_at,
            finished_at: now,
            container_id: running.container_id.clone(),
        });
        self.state = State::Ended;
    }

    pub fn running(&self) -> Option<&Running> {
        match &self.state {
            State::Running(running) => Some(running),
            _ => None,
        }
    }

    pub fn ready(&self, now: Timestamp) -> bool {
        self.running().and_then(|running| running.ready_at).is_some_and(|at| at <= now)
    }

    /// Past its startup probe, if it has one.
    pub fn started(&self, now: Timestamp, view: &ContainerView) -> bool {
        self.running().is_some() && (!view.startup_probe || self.ready(now))
    }

    /// The moment at which something happens by itself.
    pub fn next_event(&self, now: Timestamp) -> Option<Timestamp> {
        match &self.state {
            State::Running(running) => {
                let ready = running.ready_at.filter(|at| *at > now);
                ready.into_iter().chain(running.end.map(|(at, _)| at)).min()
            }
            State::PullFailed { since, until, .. } => {
                Some(if shows_back_off(*since, now) { *until } else { *since + SHOWN })
            }
            State::CrashLoop { until } => Some(*until),
            State::New | State::Pulling { .. } | State::Ended => None,
        }
    }
}

impl Running {
    /// Takes on a script; what is decided by it counts from `now`.
    pub fn follow(&mut self, script: Script, now: Timestamp, random: f64) {
        let after = |seconds: f64| now + SignedDuration::from_secs_f64(seconds.clamp(0.0, 1e9));
        self.ready_at = (!script.never_ready).then(|| after(script.slow_start_seconds));
        self.end = script.lifetime(random).map(|(seconds, crash)| (after(seconds), crash));
        self.script = script;
    }
}

/// How long `ErrImagePull` is shown before `ImagePullBackOff`.
const SHOWN: SignedDuration = SignedDuration::from_millis(300);

pub fn shows_back_off(since: Timestamp, now: Timestamp) -> bool {
    now >= since + SHOWN
}

/// The digest at the end of an `imageID`.
pub fn digest(image_id: &str) -> &str {
    image_id.rsplit_once('@').map_or("", |(_, digest)| digest)
}

fn ended(state: ContainerState) -> Option<Ended> {
    let terminated = state.terminated?;
    let time = |time: Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>| {
        time.map_or(Timestamp::UNIX_EPOCH, |time| time.0)
    };
    Some(Ended {
        exit_code: terminated.exit_code,
        reason: terminated.reason.unwrap_or_default(),
        message: terminated.message.unwrap_or_default(),
        started_at: time(terminated.started_at),
        finished_at: time(terminated.finished_at),
        container_id: terminated.container_id.unwrap_or_default(),
    })
}
