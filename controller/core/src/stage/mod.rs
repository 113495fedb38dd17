//! The state machine of one stage: a table of phases, each arm a file.
//!
//! Guarantees: total; one candidate at a time (I1); every wait has a reason, a sentence and, where it is known, an
//! end; nothing here writes: effects are returned, in order, behind a status that already holds their attempt.

mod adopt;
mod after_rollback;
mod applying;
mod blocked;
pub mod common_cause;
pub mod conflicts;
mod deliveries;
mod drift;
mod flight;
mod guard;
mod idle;
mod judge;
mod moves;
pub mod pins;
mod requests;
mod rolling_back;
mod signals;
mod soaking;
mod standing;
mod taking_back;
mod templates;
pub mod ticks;
mod unheard;
mod view;
mod way_back;

pub use deliveries::{needed_right, spared_right};
pub use flight::{rules_out, soak_of, step_name, waves_of};
pub use idle::{heard_id, upstream};
pub use requests::{REJECTED, SUPERSEDED};
pub use signals::PendingTick;
pub use standing::{SignalStanding, Standing, standing};
pub use unheard::unheard;
pub use view::{PodView, StageView};

use crate::{
    decision::{Action, Event, EventType, Question},
    git::{Commit, Delivery},
    image::Release,
    observed::{InterventionSeen, Skip},
    policy::Policy,
    signals::SignalQuestion,
    status::{Phase, StageStatus, Verified},
};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// Why something waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// A documented reason.
    pub reason: &'static str,
    /// A sentence, with what would end the wait.
    pub message: String,
    /// When it ends by itself, if that is known.
    pub until: Option<Timestamp>,
}

impl Wait {
    /// A wait without a known end.
    #[must_use]
    pub fn new(reason: &'static str, message: String) -> Self {
        Self { reason, message, until: None }
    }

    /// The same with a known end.
    #[must_use]
    pub fn until(mut self, at: Timestamp) -> Self {
        self.until = Some(at);
        self
    }
}

/// A release that would enter a stage, and on whose word.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The release.
    pub release: Release,
    /// The urgent fix that asked for it, if one did.
    pub promote: Option<InterventionSeen>,
}

impl Entry {
    /// Whether the urgent fix passes this gate.
    #[must_use]
    pub fn skips(&self, gate: Skip) -> bool {
        self.promote.as_ref().is_some_and(|p| p.skip.contains(&gate))
    }
}

/// What one stage's step produces; its status is edited in place.
#[derive(Debug, Default)]
pub struct Turn {
    /// The stage's status, as it will be.
    pub status: StageStatus,
    /// Effects, in order.
    pub actions: Vec<Action>,
    /// Facts the next pass needs.
    pub questions: BTreeSet<Question>,
    /// What the next pass would like to have measured.
    pub asked: BTreeSet<SignalQuestion>,
    /// What the next pass would like to know of the files of repositories.
    pub deliveries: BTreeSet<Delivery>,
    /// Commits that are due now.
    pub commits: Vec<Commit>,
    /// What people are told.
    pub events: Vec<Event>,
    /// When to look again.
    pub deadline: Option<Timestamp>,
    /// Attempts begun so far in this policy.
    pub attempts: u64,
    /// Interventions carried out in this step.
    pub heard: Vec<String>,
}

impl Turn {
    /// Sets phase and reason; `since` moves only if one of them changes.
    fn show(&mut self, phase: Phase, wait: Wait, now: Timestamp) {
        if self.status.phase != phase || self.status.reason != wait.reason || self.status.since.is_none() {
            self.status.since = Some(now);
        }
        self.status.phase = phase;
        wait.reason.clone_into(&mut self.status.reason);
        self.status.message = wait.message;
        self.status.until = wait.until;
        if let Some(at) = wait.until {
            self.wake(at);
        }
    }

    /// Look again at `at`, or earlier.
    fn wake(&mut self, at: Timestamp) {
        self.deadline = Some(self.deadline.map_or(at, |d| d.min(at)));
    }

    fn tell(&mut self, kind: EventType, reason: &'static str, stage: &str, message: String) {
        self.events.push(Event { kind, reason, stage: Some(stage.to_owned()), message });
    }

    fn next_attempt(&mut self, view: &StageView<'_>) -> String {
        self.attempts += 1;
        format!("{}-{}", attempt_prefix(view.policy), self.attempts)
    }
}

fn attempt_prefix(policy: &Policy) -> &str {
    policy.uid.get(..8).unwrap_or(&policy.uid)
}

/// The number of an attempt of this policy; none for another policy's.
#[must_use]
pub fn attempt_number(policy: &Policy, attempt: &str) -> Option<u64> {
    attempt.strip_prefix(attempt_prefix(policy))?.strip_prefix('-')?.parse().ok()
}

/// One step of one stage.
pub fn step(view: &StageView<'_>, turn: &mut Turn) {
    drift::ask_what_runs(view, turn);
    if !view.policy.may_write() {
        idle::report_only(view, turn);
        drift::look(view, turn);
        return;
    }
    taking_back::begin_if_due(view, turn);
    match turn.status.phase {
        Phase::Idle => idle::step(view, turn),
        Phase::Applying => applying::step(view, turn),
        Phase::Soaking => soaking::step(view, turn),
        Phase::RollingBack => rolling_back::step(view, turn),
        Phase::Blocked => blocked::step(view, turn),
    }
    after_rollback::look(view, turn);
    pins::keep(view, turn);
    drift::look(view, turn);
    turn.actions.sort_by_key(order);
}

/// The Quarantine before the first write, the pin and the template before the pods.
fn order(action: &Action) -> u8 {
    match action {
        Action::WriteQuarantine(_) => 0,
        Action::WritePin { .. } => 1,
        Action::PatchTemplate(_) => 2,
        Action::MovePod(_) => 3,
        Action::DeletePin { .. } | Action::MarkOrphan { .. } => 4,
    }
}

/// The release that a stage's pins carry outside of a promotion.
#[must_use]
pub fn current_of(status: &StageStatus) -> Option<&Verified> {
    let digest = status.current.as_ref()?;
    status.verified.iter().find(|v| v.release.digest == *digest)
}
