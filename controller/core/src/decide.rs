//! One step of one policy's life. Total: every input has an answer. Reads no clock, does no I/O.

use crate::{
    bounded, catalogue, conclude,
    decision::{Action, Decision, Event, Question},
    facts::Facts,
    leftovers, notices,
    observed::Observed,
    policy::Policy,
    stage::{self, StageView, Turn},
    status::{FIRST_SEEN, HISTORY, HistoryEntry, StageStatus, Status},
};
use jiff::Timestamp;
use std::mem;

/// Interventions remembered as carried out.
const HEARD: usize = 100;
/// Interventions in force that the status names.
const IN_FORCE: usize = 32;

/// Decides what follows from what was seen. The status in `seen` is what the last pass decided.
///
/// The decision's actions presume that its status has been written; carrying out any prefix of them, any number of
/// times, and deciding again ends in the same place.
#[must_use]
pub fn decide(policy: &Policy, seen: &Observed, now: Timestamp) -> Decision {
    let facts = Facts::new(policy, seen, now);
    let mut decision = Decision { status: resume(policy, seen, now), ..Decision::default() };
    // What a person named by its index alone comes again under another one: its contents have to be known.
    let alone = facts.named_alone().map(|digest| Question::Digest(policy.image.clone(), digest.clone()));
    decision.questions.extend(alone);
    decision.status.in_force = in_force(seen, now);
    catalogue::choose(&facts, &mut decision);
    for index in 0..policy.stages.len() {
        run_stage(policy, index, seen, &facts, &mut decision, now);
    }
    leftovers::tidy(policy, seen, &mut decision, now);
    conclude::conclude(policy, seen, &mut decision, now);
    notices::keep(policy, seen, &mut decision, now);
    remember(&mut decision, now);
    decision
}

/// Carries the last status over to this generation: stages by name, in the policy's order.
fn resume(policy: &Policy, seen: &Observed, now: Timestamp) -> Status {
    let mut status = seen.status.clone();
    let lost = status.stages.is_empty() && seen.pins.iter().any(|p| p.spec.policy.uid == policy.uid);
    if lost {
        status.restored_at = Some(now);
        status.attempts = status.attempts.max(attempts_marked(policy, seen));
    }
    let longest = policy.stages.iter().map(|s| s.soak).max().unwrap_or_default();
    status.restored_at =
        status.restored_at.filter(|at| at.checked_add(longest).is_ok_and(|until| now < until));
    let mut old = mem::take(&mut status.stages);
    for stage in &policy.stages {
        let kept = old.iter().position(|s| s.name == stage.name).map(|i| old.swap_remove(i));
        status
            .stages
            .push(kept.unwrap_or_else(|| StageStatus { name: stage.name.clone(), ..StageStatus::default() }));
    }
    status.observed_generation = policy.generation;
    status
}

/// What people asked for and what counts now: those who asked see here that they were heard.
fn in_force(seen: &Observed, now: Timestamp) -> Vec<String> {
    let mut all: Vec<_> =
        seen.interventions.iter().filter(|i| i.not_after.is_none_or(|until| now < until)).collect();
    all.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
    all.into_iter().take(IN_FORCE).map(|i| i.id.clone()).collect()
}

/// The newest attempt that pods still carry a mark of: an id that is used twice would mix two flights.
fn attempts_marked(policy: &Policy, seen: &Observed) -> u64 {
    let pods = seen.stages.iter().flat_map(|s| &s.pods);
    pods.filter_map(|p| stage::attempt_number(policy, &p.moved.as_ref()?.attempt)).max().unwrap_or(0)
}

fn run_stage(
    policy: &Policy,
    index: usize,
    seen: &Observed,
    facts: &Facts<'_>,
    decision: &mut Decision,
    now: Timestamp,
) {
    let life = decision.status.clone();
    let Some(view) = StageView::gather(policy, index, &life, seen, facts, now) else { return };
    let Some(status) = life.stages.get(index).cloned() else { return };
    let mut turn = Turn { status, attempts: life.attempts, ..Turn::default() };
    stage::step(&view, &mut turn);
    let Turn {
        status,
        mut actions,
        questions,
        asked,
        deliveries,
        commits,
        events,
        deadline,
        attempts,
        heard,
    } = turn;
    // What new pods are born with changes before the pods that are there (stable: each kind keeps its order).
    actions.sort_by_key(Action::order);
    if let Some(slot) = decision.status.stages.get_mut(index) {
        *slot = status;
    }
    decision.status.attempts = attempts;
    decision.status.heard.extend(heard);
    decision.actions.extend(actions);
    decision.questions.extend(questions);
    decision.asked.extend(asked);
    decision.deliveries.extend(deliveries);
    decision.commits.extend(commits);
    decision.events.extend(events);
    decision.next_deadline = [decision.next_deadline, deadline].into_iter().flatten().min();
}

/// Events become history; every list is cut to its bound, oldest first.
fn remember(decision: &mut Decision, now: Timestamp) {
    let entries = decision.events.iter().map(|Event { reason, stage, message, .. }| HistoryEntry {
        at: now,
        reason: (*reason).to_owned(),
        stage: stage.clone().unwrap_or_default(),
        message: message.chars().take(400).collect(),
    });
    let status = &mut decision.status;
    status.history.extend(entries);
    cut(&mut status.history, HISTORY);
    cut(&mut status.first_seen, FIRST_SEEN);
    cut(&mut status.heard, HEARD);
    cut(&mut status.moved_tags, FIRST_SEEN);
    bounded::fit(status);
}

fn cut<T>(list: &mut Vec<T>, most: usize) {
    let over = list.len().saturating_sub(most);
    list.drain(..over);
}
