//! The status that a kubelet writes for a pod (`pkg/kubelet/kubelet_pods.go`, `pkg/kubelet/status/generate.go`).

use jiff::Timestamp;
use serde_json::{Value, json};

use super::container::{Container, Ended, State, shows_back_off};
use super::machine::Machine;
use super::view::{ContainerView, PodView, Role};

/// `status` of the pod now, as a strategic merge patch needs it.
pub fn of(machine: &mut Machine, pod_ip: &str, now: Timestamp) -> Value {
    let phase = phase(machine, now);
    let conditions = conditions(machine, phase, now);
    let machine = &*machine;
    let view = &machine.view;
    let all: Vec<(&ContainerView, &Container, Value)> = view
        .containers
        .iter()
        .zip(&machine.containers)
        .map(|(view, container)| (view, container, container_status(machine, view, container, now)))
        .collect();
    let of = |init: bool| -> Vec<&Value> {
        all.iter().filter(|(view, ..)| (view.role != Role::App) == init).map(|(.., status)| status).collect()
    };
    let mut status = json!({
        "phase": phase,
        "hostIP": "127.0.0.1",
        "hostIPs": [{"ip": "127.0.0.1"}],
        "podIP": pod_ip,
        "podIPs": [{"ip": pod_ip}],
        "startTime": time(machine.started_at),
        "conditions": conditions,
        "containerStatuses": of(false),
    });
    if view.containers.iter().any(|container| container.role != Role::App) {
        status["initContainerStatuses"] = json!(of(true));
    }
    if let Some(generation) = view.generation {
        status["observedGeneration"] = json!(generation);
    }
    status
}

/// Kubernetes' `Time` has whole seconds.
pub fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn container_status(machine: &Machine, view: &ContainerView, container: &Container, now: Timestamp) -> Value {
    let (state, last) = states(machine, view, container, now);
    let ended = container.last.as_ref().map(|ended| ended.container_id.as_str());
    let id = container.running().map(|running| running.container_id.as_str()).or(ended);
    // The `ready` of an init container says that it has done its work.
    let done = view.role == Role::Init && container.last.as_ref().is_some_and(|last| last.exit_code == 0);
    let mut status = json!({
        "name": view.name,
        "state": state,
        "lastState": last,
        "ready": container.ready(now) && view.role != Role::Init || done,
        "started": container.started(now, view),
        "restartCount": container.restart_count,
        "image": if container.ran { &container.ran_image } else { &view.image },
        "imageID": container.image_id,
    });
    if let Some(id) = id {
        status["containerID"] = json!(id);
    }
    status
}

/// `state` and `lastState`.
fn states(machine: &Machine, view: &ContainerView, container: &Container, now: Timestamp) -> (Value, Value) {
    let last = || container.last.as_ref().map_or(json!({}), terminated);
    let waiting = |reason: &str, message: &str| {
        let mut waiting = json!({"reason": reason});
        if !message.is_empty() {
            waiting["message"] = json!(message);
        }
        (json!({"waiting": waiting}), last())
    };
    match &container.state {
        State::Running(running) => (json!({"running": {"startedAt": time(running.started_at)}}), last()),
        State::PullFailed { message, since, .. } if !shows_back_off(*since, now) => {
            waiting("ErrImagePull", message)
        }
        State::PullFailed { message, .. } => {
            waiting("ImagePullBackOff", &format!("Back-off pulling image \"{}\": {message}", container.image))
        }
        State::CrashLoop { .. } => {
            let PodView { name, namespace, uid, .. } = &machine.view;
            let wait = container.crashes.shown();
            let message = format!(
                "back-off {wait} restarting failed container={} pod={name}_{namespace}({uid})",
                view.name
            );
            waiting("CrashLoopBackOff", &message)
        }
        // One that ran shows how it ended until the next one runs.
        State::New | State::Pulling { .. } | State::Ended if container.last.is_some() => (last(), json!({})),
        State::New | State::Pulling { .. } | State::Ended => {
            let initializing = view.role == Role::App && !machine.initialized && has_init(machine, now);
            waiting(if initializing { "PodInitializing" } else { "ContainerCreating" }, "")
        }
    }
}

fn terminated(ended: &Ended) -> Value {
    let mut value = json!({
        "exitCode": ended.exit_code,
        "reason": ended.reason,
        "startedAt": time(ended.started_at),
        "finishedAt": time(ended.finished_at),
        "containerID": ended.container_id,
    });
    if !ended.message.is_empty() {
        value["message"] = json!(ended.message);
    }
    json!({"terminated": value})
}

/// Whether init containers are still at work.
fn has_init(machine: &Machine, now: Timestamp) -> bool {
    machine.view.containers.iter().zip(&machine.containers).any(|(view, container)| match view.role {
        Role::Init => container.last.as_ref().is_none_or(|last| last.exit_code != 0),
        Role::Sidecar => !container.started(now, view),
        Role::App => false,
    })
}

/// `getPhase` of the kubelet.
fn phase(machine: &Machine, now: Timestamp) -> &'static str {
    let (mut running, mut waiting, mut stopped, mut succeeded) = (0, 0, 0, 0);
    let mut initializing = false;
    for (view, container) in machine.view.containers.iter().zip(&machine.containers) {
        let ended = container.last.as_ref();
        let runs = container.running().is_some();
        match view.role {
            Role::App if runs => running += 1,
            Role::App if ended.is_some() => {
                stopped += 1;
                succeeded += usize::from(ended.is_some_and(|ended| ended.exit_code == 0));
            }
            Role::App => waiting += 1,
            Role::Sidecar if runs => initializing |= !container.started(now, view),
            Role::Sidecar | Role::Init => initializing |= ended.is_none(),
        }
    }
    initializing &= !machine.initialized;
    if machine.terminal {
        return if stopped > 0 && stopped == succeeded { "Succeeded" } else { "Failed" };
    }
    if initializing || waiting > 0 || (running == 0 && stopped == 0) { "Pending" } else { "Running" }
}

fn conditions(machine: &mut Machine, phase: &str, now: Timestamp) -> Vec<Value> {
    let view = &machine.view;
    let over = match phase {
        "Succeeded" => Some("PodCompleted"),
        "Failed" => Some("PodFailed"),
        _ => None,
    };
    let unready: Vec<&str> = view
        .containers
        .iter()
        .zip(&machine.containers)
        .filter(|(view, container)| view.role != Role::Init && !container.ready(now))
        .map(|(view, _)| view.name.as_str())
        .collect();
    let ready = match over {
        Some(reason) => Err((reason, String::new())),
        None if unready.is_empty() => Ok(()),
        None => {
            Err(("ContainersNotReady", format!("containers with unready status: [{}]", unready.join(" "))))
        }
    };
    let gate = view.readiness_gates.iter().find(|gate| {
        !view.conditions.iter().any(|condition| &condition.type_ == *gate && condition.status == "True")
    });
    let whole = match (&ready, gate) {
        (Ok(()), Some(gate)) => Err((
            "ReadinessGatesNotReady",
            format!("the status of pod readiness gate \"{gate}\" is not \"True\", but False"),
        )),
        _ => ready.clone(),
    };
    let initialized = if machine.initialized || !has_init(machine, now) {
        Ok(())
    } else {
        let names =
            view.containers.iter().filter(|view| view.role != Role::App).map(|view| view.name.as_str());
        let names: Vec<&str> = names.collect();
        Err(("ContainersNotInitialized", format!("containers with incomplete status: [{}]", names.join(" "))))
    };
    let found: [(&'static str, Verdict<'_>); 5] = [
        ("PodReadyToStartContainers", Ok(())),
        ("Initialized", initialized),
        ("Ready", whole),
        ("ContainersReady", ready),
        ("PodScheduled", Ok(())),
    ];
    let generation = view.generation;
    let condition = |(kind, verdict): (&'static str, Verdict<'_>), since: Timestamp| {
        let (reason, message) =
            verdict.err().map_or((None, None), |(reason, message)| (Some(reason), Some(message)));
        let mut value = json!({
            "type": kind, "status": if reason.is_none() { "True" } else { "False" },
            "lastTransitionTime": time(since), "lastProbeTime": null,
            "reason": reason, "message": message.filter(|message| !message.is_empty()),
        });
        if let Some(generation) = generation {
            value["observedGeneration"] = json!(generation);
        }
        value
    };
    let transitions = &mut machine.transitions;
    found
        .into_iter()
        .map(|(kind, verdict)| {
            // A condition keeps the time of its last change.
            let entry = transitions.entry(kind.to_owned()).or_insert((verdict.is_ok(), now));
            if entry.0 != verdict.is_ok() {
                *entry = (verdict.is_ok(), now);
            }
            condition((kind, verdict), entry.1)
        })
        .collect()
}

/// Why a condition does not hold: reason and message.
type Verdict<'a> = Result<(), (&'a str, String)>;
