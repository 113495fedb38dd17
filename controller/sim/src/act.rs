//! One pass of the controller in the world, with its write-ahead order; it may be killed after any effect.

use crate::{EvidencePoint, World};
use jiff::SignedDuration;
use lockkeeper_core::{
    decide,
    decision::{Action, Decision, Event, PodMove, QuarantineDraft, Question},
    facts::Facts,
    git::{Commit, Delivery},
    image::Digest,
    observed::{ObjectKey, Observed, PinSeen, QuarantineSeen},
    pin::PinSpec,
    stage::{StageView, standing},
    status::{Notice, Status},
};
use std::collections::BTreeSet;

/// Something that changed in the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The status was replaced.
    Status,
    /// A pod was given another image.
    Moved {
        /// Namespace/name.
        pod: String,
        /// Image before.
        from: String,
        /// Image after.
        to: String,
    },
    /// A pin was made or replaced.
    Pinned {
        /// Namespace.
        namespace: String,
        /// What it says.
        spec: Box<PinSpec>,
    },
    /// A pin was removed.
    Unpinned {
        /// Namespace.
        namespace: String,
    },
    /// A pin was marked as one that no stage stands behind.
    Orphaned {
        /// Namespace.
        namespace: String,
    },
    /// A commit was pushed.
    Committed {
        /// What the file says now.
        image: String,
        /// It takes a release back.
        takes_back: bool,
    },
    /// A Quarantine was made.
    Quarantined {
        /// Index digest.
        digest: Digest,
    },
    /// A pod was born with this image.
    Born {
        /// Namespace/name.
        pod: String,
        /// Image.
        image: String,
    },
    /// A container came up.
    Started {
        /// Name.
        pod: String,
        /// What it runs.
        digest: Digest,
    },
    /// A container died by itself.
    Crashed {
        /// Name.
        pod: String,
        /// What it ran.
        digest: Digest,
    },
    /// People were told.
    Told(Event),
    /// A message to people outside of the cluster is stored; it leaves at once.
    Noticed(Box<Notice>),
}

/// What a pass came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PassOutcome {
    /// Writes that reached the API server, the status included.
    pub writes: usize,
    /// It was killed before its end.
    pub killed: bool,
}

impl World {
    /// One pass: observe, decide, write the status ahead, carry the effects out. With `kill_after`, the controller is
    /// killed after so many writes.
    pub fn reconcile(&mut self, kill_after: Option<usize>) -> PassOutcome {
        let mut outcome = PassOutcome::default();
        if !self.controller_up {
            return outcome;
        }
        self.look_up();
        let seen = self.observe();
        if self.settings.trace_evidence {
            self.trace(&seen);
        }
        let Decision {
            status, actions, commits, deliveries, questions, asked, events, next_deadline, ..
        } = decide(&self.policy, &seen, self.now);
        self.questions = questions;
        self.branches.asked = deliveries.into_iter().collect();
        self.measure(&asked, &status);
        self.next_deadline = next_deadline;
        let due = |outcome: &PassOutcome| kill_after.is_some_and(|n| outcome.writes >= n);
        if status != seen.status || self.stored != status {
            // The real report step writes counters rarely; here every change is stored, which is the harder case.
            let before = std::mem::replace(&mut self.stored, status.clone());
            self.notice(&before);
            outcome.writes += 1;
        }
        self.memory = Some(status);
        if due(&outcome) {
            self.kill_controller();
            return PassOutcome { killed: true, ..outcome };
        }
        for event in events {
            self.record(Effect::Told(event));
        }
        // A request takes two: its branch is pushed, and then it is asked for.
        let commits: Vec<Commit> = commits.into_iter().flat_map(|commit| [commit.clone(), commit]).collect();
        let effects = actions.into_iter().map(Ok).chain(commits.into_iter().map(Err));
        for effect in effects {
            let wrote = match effect {
                Ok(action) => self.apply(action),
                Err(commit) => self.commit(&commit),
            };
            if wrote {
                outcome.writes += 1;
            }
            if due(&outcome) {
                self.kill_controller();
                return PassOutcome { killed: true, ..outcome };
            }
        }
        outcome
    }

    /// Notes the messages that were not in the status before.
    fn notice(&mut self, before: &Status) {
        let known = |notice: &Notice| before.notices.outbox.iter().any(|other| other.id == notice.id);
        let new: Vec<Notice> = self.stored.notices.outbox.iter().filter(|n| !known(n)).cloned().collect();
        for notice in new {
            self.record(Effect::Noticed(Box::new(notice)));
        }
    }

    /// Keeps what the pass is about to judge, wherever it changed.
    fn trace(&mut self, seen: &Observed) {
        let facts = Facts::new(&self.policy, seen, self.now);
        let mut found = Vec::new();
        for (stage, status) in seen.status.stages.iter().enumerate() {
            let view = StageView::gather(&self.policy, stage, &seen.status, seen, &facts, self.now);
            let (Some(flight), Some(view)) = (&status.flight, view) else { continue };
            let standing = standing(&view, flight);
            let digest = flight.release.digest.clone();
            let last = self.evidence.iter().rev().find(|p| p.stage == stage && p.digest == digest);
            if last.is_none_or(|last| last.standing != standing) {
                found.push(EvidencePoint { at: self.now, stage, digest, standing });
            }
        }
        self.evidence.extend(found);
    }

    /// Passes until one writes nothing; at most `most`. Returns how many wrote something.
    pub fn settle(&mut self, most: usize) -> usize {
        let mut wrote = 0;
        for _ in 0..most {
            let asked = self.asks();
            if self.reconcile(None).writes == 0 && asked == self.asks() {
                break;
            }
            wrote += 1;
        }
        wrote
    }

    /// Time passes in steps; the controller looks after each.
    pub fn run_for(&mut self, total: SignedDuration, step: SignedDuration) {
        let end = self.now + total;
        while self.now < end {
            self.pass_time(step);
            self.settle(6);
        }
    }

    /// What the last pass wants to know: while it changes, there is more to do.
    #[must_use]
    pub fn asks(&self) -> (BTreeSet<Question>, BTreeSet<Delivery>) {
        (self.questions.clone(), self.branches.asked.clone())
    }

    fn apply(&mut self, action: Action) -> bool {
        match action {
            Action::WriteQuarantine(draft) => self.quarantine(draft),
            Action::WritePin { namespace, name, spec, replaces, .. } => {
                self.pin(namespace, name, spec, replaces.as_deref())
            }
            Action::DeletePin { key, .. } => {
                let before = self.pins.len();
                self.pins.retain(|p| p.key != key);
                self.record(Effect::Unpinned { namespace: key.namespace });
                self.pins.len() < before
            }
            Action::MarkOrphan { key, .. } => {
                let Some(pin) = self.pins.iter_mut().find(|p| p.key == key) else { return false };
                pin.orphaned = true;
                self.record(Effect::Orphaned { namespace: key.namespace });
                true
            }
            Action::MovePod(change) => self.move_pod(&change),
            Action::PatchTemplate(_) => false,
        }
    }

    fn quarantine(&mut self, draft: QuarantineDraft) -> bool {
        if self.quarantines.iter().any(|q| q.name == draft.name) {
            return false;
        }
        let mut digests = draft.contents;
        digests.insert(draft.digest.clone());
        self.quarantines.push(QuarantineSeen {
            name: draft.name,
            digests,
            reason: draft.reason,
            policy: Some(draft.policy),
            stage: Some(draft.stage),
        });
        self.record(Effect::Quarantined { digest: draft.digest });
        true
    }

    fn pin(&mut self, namespace: String, name: String, spec: PinSpec, replaces: Option<&str>) -> bool {
        let found = self.pins.iter().position(|p| p.key.namespace == namespace && p.key.name == name);
        let version = match (found, replaces) {
            (Some(i), Some(expected)) if self.pins[i].resource_version == expected => {
                let next = expected.parse::<u64>().unwrap_or(0) + 1;
                self.pins.remove(i);
                next
            }
            (None, None) => 1,
            _ => return false,
        };
        self.pins.push(PinSeen {
            key: ObjectKey {
                namespace: namespace.clone(),
                name,
                uid: format!("pin-{namespace}"),
                ..ObjectKey::default()
            },
            resource_version: version.to_string(),
            spec: spec.clone(),
            as_written: true,
            manager: Some("lockkeeper".to_owned()),
            manual_until: None,
            malformed: None,
            orphaned: false,
        });
        self.record(Effect::Pinned { namespace, spec: Box::new(spec) });
        true
    }

    /// A JSON patch: uid, generation and old image are tested.
    fn move_pod(&mut self, change: &PodMove) -> bool {
        let pull = SignedDuration::from_secs(self.settings.pull_seconds);
        let now = self.now;
        if self.forbidden.contains(&change.key.namespace) {
            self.refused_in.insert(change.key.namespace.clone());
            return false;
        }
        let Some(pod) = self.pods.iter_mut().find(|p| p.uid == change.key.uid) else { return false };
        let Some(image) = change.containers.first() else { return false };
        if change.generation != Some(pod.generation) || pod.image != image.from || self.refused_with.is_some()
        {
            return false;
        }
        pod.given(&image.to, now + pull);
        pod.moved = change.mark.parse().ok();
        let effect = Effect::Moved {
            pod: format!("{}/{}", change.key.namespace, change.key.name),
            from: image.from.clone(),
            to: image.to.clone(),
        };
        self.record(effect);
        true
    }
}
