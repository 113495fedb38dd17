//! Pods as far as promotion and health need them, and the mark that a move leaves on them.

use super::ObjectKey;
use crate::{
    health::{Fingerprint, telling_line},
    image::Digest,
};
use jiff::Timestamp;

/// The top owner of a pod: the Deployment behind its ReplicaSet, a `StatefulSet`, a Job, or the pod itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// Kind, `Pod` for a pod of its own.
    pub kind: String,
    /// Name.
    pub name: String,
    /// The pod template's hash: arms are compared within one template.
    pub template: String,
}

/// A pod as far as promotion and health need it.
#[allow(
    clippy::struct_excessive_bools,
    reason = "independent facts about one object, not a hidden state machine"
)]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodSeen {
    /// Identity.
    pub key: ObjectKey,
    /// Index into the stage's targets of the first that matches it.
    pub target: usize,
    /// `metadata.generation`, which moves with the spec only; old servers have none.
    pub generation: Option<i64>,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// Top owner.
    pub owner: Owner,
    /// Node, empty until scheduled.
    pub node: String,
    /// Creation.
    pub created: Option<Timestamp>,
    /// A deletion is under way.
    pub deleting: bool,
    /// `status.phase`.
    pub phase: PodPhase,
    /// The Ready condition.
    pub ready: bool,
    /// A mirror pod of a static pod: never touched.
    pub mirror: bool,
    /// Owned by a Job: pinned at birth only.
    pub of_job: bool,
    /// Carries the ignore label, or its namespace does.
    pub ignored: bool,
    /// The annotation `lockkeeper.dev/moved`.
    pub moved: Option<Moved>,
    /// What is wrong with an annotation of ours that cannot be read, and so counts as none: field, value, reason, fix.
    pub malformed: Option<String>,
    /// The annotation `lockkeeper.dev/pinned-by`.
    pub pinned_by: Option<String>,
    /// Its owner is in a rollout of its own.
    pub owner_rolling: bool,
    /// A disruption budget over it allows no disruption now.
    pub budget_blocked: bool,
    /// All containers, init containers that are sidecars included.
    pub containers: Vec<ContainerSeen>,
}

/// A pod's phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PodPhase {
    /// Not all containers have started.
    #[default]
    Pending,
    /// At least one runs.
    Running,
    /// All ended well.
    Succeeded,
    /// All ended, one badly.
    Failed,
    /// The node does not answer.
    Unknown,
}

/// Where in the pod a container stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ContainerKind {
    /// `spec.containers`.
    #[default]
    Main,
    /// `spec.initContainers` with `restartPolicy: Always`: a native sidecar.
    Sidecar,
    /// `spec.initContainers`: pinned at birth only.
    Init,
}

/// One container of a pod: what it should run, and what it does run.
#[allow(
    clippy::struct_excessive_bools,
    reason = "independent facts about one container, not a hidden state machine"
)]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerSeen {
    /// Name.
    pub name: String,
    /// Main, sidecar or init.
    pub kind: ContainerKind,
    /// Index in its list, for the patch's path.
    pub index: usize,
    /// `image` of the spec, as written.
    pub image: String,
    /// Digest of `imageID`, if the status names one.
    pub running: Option<Digest>,
    /// It is running.
    pub up: bool,
    /// Its ready flag.
    pub ready: bool,
    /// `restartCount`.
    pub restarts: u32,
    /// Why it waits, such as `CrashLoopBackOff` or `ErrImagePull`.
    pub waiting: Option<String>,
    /// The current state is terminated, or waiting in a crash loop: a death that `restartCount` has not counted yet.
    pub down_after_death: bool,
    /// When it died last.
    pub died: Option<Timestamp>,
    /// Exit code, reason and telling line of the last death, such as `exit 2 (Error): panic: no such key`.
    pub death: Option<String>,
    /// What it died of last, to be compared with other deaths.
    pub fingerprint: Option<Fingerprint>,
    /// It died last of itself and left no message: the end of its log may say why.
    pub silent: bool,
}

/// Exit codes of a container that ended well, or that somebody else ended: for memory, for a probe that failed, for a move.
const KILLED: [i32; 3] = [0, 137, 143];

impl ContainerSeen {
    /// Its last death: what people read of it, and what it is compared by.
    pub fn died_of(&mut self, exit_code: i32, reason: &str, message: &str) {
        let code = match reason {
            "" => format!("exit {exit_code}"),
            reason => format!("exit {exit_code} ({reason})"),
        };
        self.fingerprint = Some(Fingerprint::new(&self.name, exit_code, reason, message));
        self.silent = !KILLED.contains(&exit_code) && reason != "OOMKilled";
        self.death = Some(code);
        if let Some(line) = telling_line(message) {
            self.said(&line);
        }
    }

    /// What it said when it died last. For people alone: it is compared by what the kubelet tells of its death.
    pub fn said(&mut self, line: &str) {
        self.silent = false;
        self.death = self.death.take().map(|code| format!("{code}: {line}"));
    }

    /// Deaths so far, the one that `restartCount` does not show yet included.
    #[must_use]
    pub fn deaths(&self) -> u32 {
        self.restarts + u32::from(self.down_after_death)
    }
}

/// The mark that a move leaves on its pod: `<attempt>/<from>/<deaths before>/<unix seconds>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The attempt that moved it last.
    pub attempt: String,
    /// The image text before.
    pub from: String,
    /// Deaths of the moved container before the move; the next one is ours.
    pub deaths_before: u32,
    /// When.
    pub at: Timestamp,
}

impl std::fmt::Display for Moved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}/{}", self.attempt, self.from, self.deaths_before, self.at.as_second())
    }
}

/// The annotation is not a mark of ours: somebody else wrote it, and the pod counts as not moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not of the form <attempt>/<image before>/<deaths before>/<unix seconds>")]
pub struct NotAMark;

impl std::str::FromStr for Moved {
    type Err = NotAMark;

    /// The image holds slashes: the attempt is read from the front, the two numbers from the end.
    fn from_str(text: &str) -> Result<Self, NotAMark> {
        let (attempt, rest) = text.split_once('/').ok_or(NotAMark)?;
        let (rest, at) = rest.rsplit_once('/').ok_or(NotAMark)?;
        let (from, deaths) = rest.rsplit_once('/').ok_or(NotAMark)?;
        let at = at.parse().ok().and_then(|s| Timestamp::from_second(s).ok()).ok_or(NotAMark)?;
        let deaths_before = deaths.parse().map_err(|_| NotAMark)?;
        if attempt.is_empty() || from.is_empty() {
            return Err(NotAMark);
        }
        Ok(Self { attempt: attempt.to_owned(), from: from.to_owned(), deaths_before, at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_of_a_move_survives_slashes_in_the_image() {
        for from in ["nginx", "ghcr.io/a/b:1.2", "localhost:5000/a/b/c@sha256:00", "a/1/2"] {
            let moved = Moved {
                attempt: "a1b2-7".into(),
                from: from.into(),
                deaths_before: 3,
                at: Timestamp::from_second(1_795_000_000).unwrap(),
            };
            assert_eq!(moved.to_string().parse::<Moved>().unwrap(), moved);
        }
    }

    #[test]
    fn only_who_died_of_itself_and_left_no_message_has_a_log_to_be_read() {
        for (code, reason, message, silent, death) in [
            (2, "Error", "", true, "exit 2 (Error)"),
            (2, "Error", "panic: x", false, "exit 2 (Error): panic: x"),
            (139, "", "", true, "exit 139"),
            // Memory that ran out, also of a child; a probe that failed, or a move; an end.
            (137, "OOMKilled", "", false, "exit 137 (OOMKilled)"),
            (1, "OOMKilled", "", false, "exit 1 (OOMKilled)"),
            (137, "Error", "", false, "exit 137 (Error)"),
            (143, "Error", "", false, "exit 143 (Error)"),
            (0, "Completed", "", false, "exit 0 (Completed)"),
        ] {
            let mut container = ContainerSeen::default();
            container.died_of(code, reason, message);
            assert_eq!((container.silent, container.death.as_deref()), (silent, Some(death)));
        }
        let mut container = ContainerSeen::default();
        container.died_of(2, "Error", "");
        let compared_by = container.fingerprint.clone();
        container.said("panic: x");
        assert_eq!((container.silent, container.death.as_deref()), (false, Some("exit 2 (Error): panic: x")));
        assert_eq!(container.fingerprint, compared_by, "what a log says decides nothing");
    }

    #[test]
    fn row_44_a_malformed_mark_is_no_mark() {
        for text in ["", "/", "a/b/c", "a/b/c/d", "a/b/-1/0", "a//0/0", "/b/0/0", "a/b/0/99999999999999"] {
            assert_eq!(text.parse::<Moved>(), Err(NotAMark), "{text}");
        }
    }
}
