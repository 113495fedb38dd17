//! Pod templates of workloads: changed last going forward, first going back.
//!
//! Guarantees: a template is replaced only where it names one of the policy's repositories; what another manager
//! keeps setting back is left alone after three writes, and named (K14); Jobs' templates are immutable.

use super::{StageView, Turn, moves::pin_tag};
use crate::{
    decision::{Action, EventType, ImageChange, Purpose, TemplatePatch},
    image::{ImageRef, Release},
    observed::WorkloadSeen,
    policy::Target,
    status::Contest,
};

/// Writes that another manager may undo before a workload is left alone.
pub const CONTESTED_AFTER: u32 = 3;

/// Workloads whose writes are counted once they are right.
const COUNTED: usize = 100;

/// The images of a workload's template that should change for `release`.
fn changes(view: &StageView<'_>, workload: &WorkloadSeen, release: &Release) -> Vec<ImageChange> {
    let Some(Target::Workloads(target)) = view.stage.targets.get(workload.target) else { return Vec::new() };
    let named = &target.containers;
    let governed = workload.containers.iter().filter(|c| named.is_empty() || named.contains(&c.name));
    governed
        .filter_map(|c| {
            let image: ImageRef = c.image.parse().ok()?;
            let ours = view.policy.repositories().any(|r| r == image.repository());
            let right = image.digest().is_some_and(|d| release.answers_to(d));
            (ours && !right).then(|| ImageChange {
                kind: c.kind,
                index: c.index,
                name: c.name.clone(),
                from: c.image.clone(),
                to: image.pinned(pin_tag(view, release), &release.digest),
            })
        })
        .collect()
}

/// Whether some template names one of the policy's repositories in a container that is governed.
#[must_use]
pub fn governed(view: &StageView<'_>) -> bool {
    view.seen.workloads.iter().any(|workload| {
        let Some(target) = view.stage.targets.get(workload.target) else { return false };
        let named = target.containers();
        let governed = workload.containers.iter().filter(|c| named.is_empty() || named.contains(&c.name));
        governed
            .filter_map(|c| c.image.parse::<ImageRef>().ok())
            .any(|image| view.policy.repositories().any(|r| r == image.repository()))
    })
}

fn writable(workload: &WorkloadSeen) -> bool {
    workload.refused.is_none() && workload.applied_by.is_none()
}

/// How many workloads' templates do not name `release` yet, though they may be written.
#[must_use]
pub fn behind(view: &StageView<'_>, release: &Release) -> usize {
    view.seen.workloads.iter().filter(|w| writable(w) && !changes(view, w, release).is_empty()).count()
}

/// How many workloads have not rolled `release` out: templates behind, rollouts under way.
#[must_use]
pub fn rolling(view: &StageView<'_>, release: &Release) -> usize {
    let governed = |w: &&WorkloadSeen| {
        !w.containers.is_empty()
            && writable(w)
            && (!changes(view, w, release).is_empty() || !(w.rolled_out || w.manual_rollout))
    };
    view.seen.workloads.iter().filter(governed).count()
}

/// Whether a changed template reaches its pods by itself.
#[must_use]
pub fn roll_by_themselves(view: &StageView<'_>) -> bool {
    view.seen.workloads.iter().any(|w| !w.manual_rollout && writable(w))
}

/// Brings the templates to `release`.
pub fn change(view: &StageView<'_>, turn: &mut Turn, release: &Release, purpose: Purpose) {
    for workload in &view.seen.workloads {
        let containers = changes(view, workload, release);
        if containers.is_empty() || !writable(workload) {
            // Right for now: the count stays, for a manager that sets it back between two looks.
            if turn.status.contested.len() > COUNTED {
                turn.status.contested.remove(&contest_key(workload, release));
            }
            continue;
        }
        if !may_write_again(view, turn, workload, &containers, release) {
            continue;
        }
        turn.actions.push(Action::PatchTemplate(TemplatePatch {
            key: workload.key.clone(),
            api_version: workload.api_version.clone(),
            kind: workload.kind.clone(),
            generation: workload.generation,
            pod_spec: workload.pod_spec.clone(),
            containers,
            stage: view.stage.name.clone(),
            purpose,
        }));
    }
}

fn contest_key(workload: &WorkloadSeen, release: &Release) -> String {
    format!("{}/{}/{}@{}", workload.kind, workload.key.namespace, workload.key.name, release.digest.short())
}

/// Counts a write that somebody else undid: another manager set the image since ours.
fn may_write_again(
    view: &StageView<'_>,
    turn: &mut Turn,
    workload: &WorkloadSeen,
    containers: &[ImageChange],
    release: &Release,
) -> bool {
    let key = contest_key(workload, release);
    let generation = workload.generation;
    let Contest { writes, generation: last } = turn.status.contested.get(&key).copied().unwrap_or_default();
    if writes > CONTESTED_AFTER {
        return false;
    }
    // A write that landed moves the generation by one, whoever undoes it by another one.
    if writes > 0 && generation < last.saturating_add(2) {
        // It did not land, or was refused: nobody undid anything.
        if generation != last {
            turn.status.contested.insert(key, Contest { writes, generation });
        }
        return true;
    }
    // Every write towards one release is counted; one suffices unless somebody undoes it.
    turn.status.contested.insert(key, Contest { writes: writes + 1, generation });
    if writes == CONTESTED_AFTER {
        turn.tell(EventType::Warning, "Contested", &view.stage.name, contest(workload, containers));
    }
    writes < CONTESTED_AFTER
}

fn contest(workload: &WorkloadSeen, changes: &[ImageChange]) -> String {
    let manager = changes.iter().find_map(|change| workload.image_managers.get(&change.name));
    let manager = manager.map_or("another manager", String::as_str);
    format!(
        "{manager} keeps setting the image of {} {}/{} back; it is left alone. Target `pods`, or leave that field out there",
        workload.kind, workload.key.namespace, workload.key.name
    )
}

/// A workload that was left to another manager and does not name `release`, as a sentence.
#[must_use]
pub fn contested(view: &StageView<'_>, turn: &Turn, release: &Release) -> Option<String> {
    view.seen.workloads.iter().filter(|w| writable(w)).find_map(|w| {
        let writes = turn.status.contested.get(&contest_key(w, release)).map_or(0, |contest| contest.writes);
        let changes = changes(view, w, release);
        (writes > CONTESTED_AFTER && !changes.is_empty()).then(|| contest(w, &changes))
    })
}

/// Workloads that are left alone, as sentences.
#[must_use]
pub fn left_alone(view: &StageView<'_>) -> Option<String> {
    view.seen.workloads.iter().find_map(|w| {
        let name = format!("{} {}/{}", w.kind, w.key.namespace, w.key.name);
        match (&w.refused, &w.applied_by) {
            (Some(why), _) => Some(format!("{name} is left alone: {why}")),
            (None, Some(tool)) => Some(format!(
                "{name} is left alone: {tool} applies it all the time; target `pods`, or leave the image out there"
            )),
            (None, None) => None,
        }
    })
}
