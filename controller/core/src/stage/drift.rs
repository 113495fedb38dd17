//! Pods that run other contents than their stage should: born without the pin, edited by a person, or restarted on a
//! tag that moved.
//!
//! Guarantees: a pod born unpinned is put right as soon as it is seen; other drift is reported, or put right within
//! the budgets where the stage says so, three times per owner; unknown contents are neither drift nor verified.

use super::{PodView, StageView, Turn, moves, pins};
use crate::{
    decision::{EventType, Purpose, Question},
    gates::label,
    image::{Digest, Release, Repository},
    observed::Answer,
    policy::{DriftMode, Target},
    status::{Phase, Source},
};
use std::collections::{BTreeMap, BTreeSet};

/// Repairs per owner before it is contested.
const REPAIRS: u32 = 3;
/// Owners whose repairs are counted; those beyond wait until the next promotion.
const COUNTED: usize = 200;
/// Questions about unknown contents per look.
const ASKED: usize = 20;
/// Births put right per look.
const BIRTHS: usize = 64;
/// Pods named in status.
const EXAMPLES: usize = 5;

/// Looks for drift, and puts right what may be put right.
pub fn look(view: &StageView<'_>, turn: &mut Turn) {
    if view.seen.stale_since.is_some() {
        return;
    }
    let Some(wanted) = pins::wanted(view, turn) else { return };
    if view.policy.may_write() {
        put_births_right(view, turn, &wanted);
    }
    if turn.status.phase != Phase::Idle {
        return;
    }
    let release = &wanted.release;
    let drifted: Vec<&PodView<'_>> = view.live().filter(|p| drifts(view, p, release)).collect();
    let names: BTreeSet<String> = drifted.iter().map(|p| p.name()).collect();
    let count = u32::try_from(names.len()).unwrap_or(u32::MAX);
    let examples: Vec<String> = names.into_iter().take(EXAMPLES).collect();
    if count > turn.status.drift.pods {
        let message = format!("{count} pods do not run {}: {}", label(release), examples.join(", "));
        turn.tell(EventType::Warning, "DriftDetected", &view.stage.name, message);
    }
    turn.status.drift.pods = count;
    turn.status.drift.examples = examples;
    if view.stage.drift == DriftMode::Repair
        && !view.facts.quarantined(view.life, release)
        && view.conflict.is_none()
        && view.policy.may_write()
    {
        let adopted_at = super::current_of(&turn.status)
            .filter(|c| c.source == Source::Adopted || !turn.status.only_tags.is_empty())
            .map(|c| c.at);
        let mut drifted = drifted;
        // Adoption changes nobody's version: what was there is reported, and so is another explicit version.
        drifted.retain(|p| {
            adopted_at.is_none_or(|at| {
                p.seen.created.is_some_and(|born| born > at) && made_from(p, &turn.status.only_tags)
            })
        });
        repair(view, turn, release, &drifted);
    }
}

/// Unknown contents are neither drift nor right: the registry is asked what they are.
pub fn ask_what_runs(view: &StageView<'_>, turn: &mut Turn) {
    let mut met: BTreeMap<&Digest, &Repository> = BTreeMap::new();
    for container in view.live().flat_map(|p| p.containers.iter()) {
        let digests = container.seen.running.iter().chain(container.image.digest());
        met.extend(digests.map(|digest| (digest, container.image.repository())));
    }
    let unknown = met.into_iter().filter(|(digest, _)| view.facts.remembered(view.life, digest).is_none());
    let questions = unknown.map(|(digest, repository)| Question::Digest(repository.clone(), digest.clone()));
    turn.questions.extend(questions.take(ASKED));
}

/// It runs something that is known and that is not the stage's release.
fn drifts(view: &StageView<'_>, pod: &PodView<'_>, release: &Release) -> bool {
    pod.seen.phase == crate::observed::PodPhase::Running
        && pod.containers.iter().any(|c| {
            c.seen.running.as_ref().is_some_and(|d| {
                !release.answers_to(d)
                    && view.facts.release_of(view.life, d).is_some_and(|r| !view.facts.same(&r, release))
            })
        })
}

fn repair(view: &StageView<'_>, turn: &mut Turn, release: &Release, drifted: &[&PodView<'_>]) {
    let Some(attempt) = turn.status.drift_attempt.clone() else {
        if !drifted.is_empty() {
            turn.status.drift_attempt = Some(turn.next_attempt(view));
            turn.wake(view.now);
        }
        return;
    };
    if drifted.is_empty() || !can_be_had(view, turn, release) {
        return;
    }
    let mut budgets = moves::Budgets::count(view, release, &attempt);
    // What applies the files puts its own pods right.
    let ours = |p: &&&PodView<'_>| moves::in_place(view, p) && !moves::applied(view, p);
    for pod in drifted.iter().filter(|p| p.movable() && !p.pinned_to(release)).filter(ours) {
        let owner = pod.owner();
        let done = turn.status.drift.repairs.get(&owner).copied().unwrap_or(0);
        let full = done == 0 && turn.status.drift.repairs.len() >= COUNTED;
        if done >= REPAIRS || full || !budgets.take(pod) {
            continue;
        }
        turn.status.drift.repairs.insert(owner.clone(), done + 1);
        if done + 1 == REPAIRS {
            let message = format!("{owner} drifts again and again; it is left alone from now on");
            turn.tell(EventType::Warning, "Contested", &view.stage.name, message);
        }
        turn.actions.extend(moves::action(view, pod, release, &attempt, Purpose::Repair));
    }
}

/// Nothing is moved to what a repository in use does not have: its container would be killed, and nothing pulled. Where
/// nobody answers it is moved all the same: it is what the stage runs, and most likely on the nodes.
fn can_be_had(view: &StageView<'_>, turn: &mut Turn, release: &Release) -> bool {
    let repositories = view.repositories();
    let answers = repositories.iter().map(|r| view.facts.pullable(r, &release.digest));
    let had = answers.into_iter().all(|a| matches!(a, Some(Answer::Known(()) | Answer::Failed(_))));
    turn.questions.extend(repositories.into_iter().map(|r| Question::Pullable(r, release.digest.clone())));
    had
}

/// Pods that were born after the pin and do not carry it, while nothing excuses them.
fn put_births_right(view: &StageView<'_>, turn: &mut Turn, wanted: &pins::Wanted) {
    let Some(pinned) =
        turn.status.pinned.clone().filter(|p| p.digest == wanted.release.digest && p.confirmed)
    else {
        return;
    };
    let skip_window = turn.status.flight.as_ref().is_some_and(|f| f.skip_window);
    let stopped = (wanted.candidate && view.closed(skip_window).is_some())
        || (view.conflict.is_some() && !wanted.back)
        || view.facts.quarantined(view.life, &wanted.release);
    if stopped {
        return;
    }
    let mut unpinned: Vec<&PodView<'_>> = view
        .live()
        .filter(|p| matches!(view.target_of(p), Some(Target::Pods(_))) && moves::in_place(view, p))
        .filter(|p| {
            p.seen.created.is_some_and(|born| born > pinned.at) && p.seen.moved.is_none() && !p.seen.of_job
        })
        .filter(|p| p.seen.pinned_by.is_none() && !p.pinned_to(&wanted.release))
        .filter(|p| wanted.only_tags.is_empty() || made_from(p, &wanted.only_tags))
        .collect();
    unpinned.truncate(BIRTHS);
    if unpinned.is_empty() {
        turn.status.unpinned.clear();
        return;
    }
    let attempt = match &turn.status.drift_attempt {
        Some(attempt) => attempt.clone(),
        None => {
            turn.status.drift_attempt = Some(turn.next_attempt(view));
            turn.wake(view.now);
            return;
        }
    };
    let had = can_be_had(view, turn, &wanted.release);
    let actions: Vec<_> = unpinned
        .iter()
        .filter(|_| had)
        .filter_map(|p| moves::action(view, p, &wanted.release, &attempt, Purpose::Repair))
        .collect();
    let uids: BTreeSet<String> = unpinned.iter().map(|p| p.seen.key.uid.clone()).collect();
    turn.status.unpinned_births += uids.difference(&turn.status.unpinned).count() as u64;
    turn.status.unpinned = uids;
    turn.actions.extend(actions);
}

fn made_from(pod: &PodView<'_>, tags: &[crate::image::Tag]) -> bool {
    pod.containers.iter().all(|c| {
        c.image.digest().is_none()
            && tags.iter().any(|t| t.as_str() == c.image.tag().map_or("latest", |t| t.as_str()))
    })
}
