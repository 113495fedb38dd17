//! Which running pods are moved next, and how a move is written.
//!
//! Guarantees (decision 15): forward, only pods that are Running, Ready and in no rollout of their own; never more
//! pods of an owner unready than its budget, waves included; the first pod of a step is Ready before others follow.
//! One exception: a pod that cannot pull what it has (its digest is gone), or is not Ready on what is quarantined, was
//! refused here or is not the stage's, has nothing to lose, and is moved after all others; else it would wait for ever.

use super::{PodView, StageView, view::PULL_ERRORS};
use crate::{
    decision::{Action, ImageChange, PodMove, Purpose},
    image::{Release, Tag},
    observed::Moved,
    policy::{Movement, Target},
};
use std::collections::BTreeMap;

/// Pods of each owner, and how many of them are unready for any reason.
pub struct Budgets<'v> {
    view: &'v StageView<'v>,
    owners: BTreeMap<String, OwnerState>,
    moving: usize,
}

#[derive(Default)]
struct OwnerState {
    pods: usize,
    unready: usize,
}

impl<'v> Budgets<'v> {
    /// Counts them. `attempt`: pods it moved to `release` that are not Ready yet are on the move.
    #[must_use]
    pub fn count(view: &'v StageView<'v>, release: &Release, attempt: &str) -> Self {
        let mut owners: BTreeMap<String, OwnerState> = BTreeMap::new();
        let mut moving = 0;
        for pod in view.live() {
            let state = owners.entry(pod.owner()).or_default();
            let unready = !pod.seen.ready || about_to_restart(view, pod, release);
            state.pods += 1;
            state.unready += usize::from(unready);
            moving += usize::from(unready && pod.moved_by(attempt));
        }
        Self { view, owners, moving }
    }

    /// Those of taking back (decision 17): only what the rollback itself made unready, and not for ever.
    #[must_use]
    pub fn of_taking_back(view: &'v StageView<'v>, to: &Release, attempt: &str) -> Self {
        let mut owners: BTreeMap<String, OwnerState> = BTreeMap::new();
        let mut moving = 0;
        for pod in view.live() {
            let state = owners.entry(pod.owner()).or_default();
            state.pods += 1;
            let unready = !pod.seen.ready || about_to_restart(view, pod, to);
            if pod.moved_by(attempt) && unready && moved_lately(view, pod) {
                state.unready += 1;
                moving += 1;
            }
        }
        Self { view, owners, moving }
    }

    /// Takes one pod's move out of the budgets, if it fits.
    pub fn take(&mut self, pod: &PodView<'_>) -> bool {
        let Some(target) = self.view.target_of(pod) else { return false };
        let Some(owner) = self.owners.get_mut(&pod.owner()) else { return false };
        let allowed = target.max_unavailable().of_at_least_one(owner.pods);
        if self.moving >= target.max_moving() || owner.unready >= allowed {
            return false;
        }
        owner.unready += 1;
        self.moving += 1;
        true
    }
}

fn moved_lately(view: &StageView<'_>, pod: &PodView<'_>) -> bool {
    let limit = view.policy.health.ready_deadline;
    pod.seen.moved.as_ref().is_some_and(|m| view.now.duration_since(m.at) < limit)
}

/// It was told to run `release` and does not yet: Ready for as long as its kubelet has not seen it, and then not.
fn about_to_restart(view: &StageView<'_>, pod: &PodView<'_>, release: &Release) -> bool {
    moved_lately(view, pod) && pod.pinned_to(release) && !pod.runs(release)
}

/// Running pods of this target may be touched at all. Those of a `git` target where the policy's account may do it: what
/// applies the files gives the release to the others.
#[must_use]
pub fn in_place(view: &StageView<'_>, pod: &PodView<'_>) -> bool {
    match view.target_of(pod) {
        Some(Target::Pods(target)) => target.movement == Movement::InPlace,
        Some(Target::Workloads(_)) => true,
        Some(Target::Git(_)) => {
            !view.seen.missing_rights.iter().any(|right| right.keeps_pods(&pod.seen.key.namespace))
        }
        None => false,
    }
}

/// What is taken back in place. What we moved is ours to put back, whatever became of the right.
#[must_use]
pub fn goes_back(view: &StageView<'_>, pod: &PodView<'_>) -> bool {
    in_place(view, pod) || (applied(view, pod) && pod.seen.moved.is_some())
}

/// What applies the files gives its pods what they say.
#[must_use]
pub fn applied(view: &StageView<'_>, pod: &PodView<'_>) -> bool {
    matches!(view.target_of(pod), Some(Target::Git(_)))
}

/// How far a step reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Pods in place, whatever they were made from.
    Wave,
    /// All pods: those of templates that roll, and of files that are applied, move by themselves.
    All {
        /// Changed templates reach their pods.
        templates_roll: bool,
    },
}

impl Reach {
    fn moves_by_itself(self, view: &StageView<'_>, pod: &PodView<'_>) -> bool {
        let Self::All { templates_roll } = self else { return false };
        match view.target_of(pod) {
            Some(Target::Git(_)) => true,
            Some(Target::Workloads(_)) => templates_roll,
            Some(Target::Pods(_)) | None => false,
        }
    }
}

/// Up to `wanted` pods for a wave: owners with at least two Ready pods first and each left one on the old release,
/// spread over owners, then over nodes.
#[must_use]
pub fn for_wave<'v>(
    view: &'v StageView<'v>,
    release: &Release,
    attempt: &str,
    wanted: usize,
) -> Vec<&'v PodView<'v>> {
    let mut budgets = Budgets::count(view, release, attempt);
    let mut by_owner: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut on_node: BTreeMap<&str, usize> = BTreeMap::new();
    for pod in view.live() {
        let (members, old_ready) = by_owner.entry(pod.owner()).or_default();
        if pod.asked(release) {
            *members += 1;
            *on_node.entry(&pod.seen.node).or_default() += 1;
        } else if pod.seen.ready {
            *old_ready += 1;
        }
    }
    let in_other_wave =
        |p: &PodView<'_>| p.seen.moved.as_ref().is_some_and(|m| !same_policy(&m.attempt, attempt));
    let mut free: Vec<&'v PodView<'v>> = waits_for_it(view, release, attempt).collect();
    let mut chosen: Vec<&'v PodView<'v>> = Vec::new();
    while chosen.len() < wanted && !free.is_empty() {
        let best = free.iter().enumerate().min_by_key(|(_, p)| {
            let (members, old_ready) = by_owner.get(&p.owner()).copied().unwrap_or_default();
            let node = on_node.get(p.seen.node.as_str()).copied().unwrap_or_default();
            (!p.movable(), old_ready < 2, in_other_wave(p), members, node, &p.seen.key)
        });
        let Some((index, _)) = best else { break };
        let pod = free.swap_remove(index);
        let (members, old_ready) = by_owner.get(&pod.owner()).copied().unwrap_or_default();
        let last_of_its_kind = members > 0 && old_ready < 2;
        if nothing_to_lose(view, pod) || (!last_of_its_kind && budgets.take(pod)) {
            let (members, old_ready) = by_owner.entry(pod.owner()).or_default();
            *members += 1;
            *old_ready = old_ready.saturating_sub(1);
            *on_node.entry(&pod.seen.node).or_default() += 1;
            chosen.push(pod);
        }
    }
    chosen
}

/// How many pods waves can give `release` at most: each owner with several pods keeps one to compare with.
#[must_use]
pub fn most_in_waves(view: &StageView<'_>) -> usize {
    let mut by_owner: BTreeMap<String, usize> = BTreeMap::new();
    for pod in view.live().filter(|p| in_place(view, p) && !p.seen.of_job) {
        *by_owner.entry(pod.owner()).or_default() += 1;
    }
    by_owner.values().map(|pods| (pods - 1).max(1)).sum()
}

/// This attempt gave it the release, and somebody changed that by hand: never undone (decision 13).
#[must_use]
pub fn edited(pod: &PodView<'_>, release: &Release, attempt: &str) -> bool {
    pod.moved_by(attempt) && !pod.asked(release)
}

/// Attempt ids begin with their policy's uid.
fn same_policy(a: &str, b: &str) -> bool {
    a.rsplit_once('-').map(|(policy, _)| policy) == b.rsplit_once('-').map(|(policy, _)| policy)
}

/// The pods to move in the next batch over the whole stage, within the budgets.
#[must_use]
pub fn for_batch<'v>(
    view: &'v StageView<'v>,
    release: &Release,
    attempt: &str,
    reach: Reach,
) -> Vec<&'v PodView<'v>> {
    let mut budgets = Budgets::count(view, release, attempt);
    waits_for_it(view, release, attempt)
        .filter(|p| !reach.moves_by_itself(view, p))
        .filter(|p| nothing_to_lose(view, p) || budgets.take(p))
        .collect()
}

/// Not Ready, and on something that is not the stage's, or that it cannot have: moving it makes nothing worse.
fn nothing_to_lose(view: &StageView<'_>, pod: &PodView<'_>) -> bool {
    if pod.seen.ready || pod.seen.of_job || !pod.live() {
        return false;
    }
    let status = view.life.stages.get(view.index);
    let current = status.and_then(super::current_of).map(|v| &v.release);
    let unwanted = |r: Release| {
        view.facts.quarantine_of(&r).is_some()
            || status.is_some_and(|s| s.refused.contains_key(&r.contents_key()))
            || current.is_some_and(|current| !view.facts.same(current, &r))
    };
    let asked = pod.containers.iter().filter_map(|c| c.asked());
    pod.waits_for(PULL_ERRORS).is_some()
        || asked.filter_map(|digest| view.facts.release_of(view.life, digest)).any(unwanted)
}

/// Pods that may be given `release`: movable ones, and those with nothing to lose.
pub fn waits_for_it<'v>(
    view: &'v StageView<'v>,
    release: &Release,
    attempt: &str,
) -> impl Iterator<Item = &'v PodView<'v>> {
    view.live()
        .filter(|p| (p.movable() || nothing_to_lose(view, p)) && in_place(view, p))
        .filter(move |p| !p.asked(release) && !edited(p, release, attempt))
}

/// Why pods that should have `release` may not be moved now, as a sentence.
#[must_use]
pub fn held_back(view: &StageView<'_>, release: &Release, attempt: &str, reach: Reach) -> Option<String> {
    let held: Vec<&PodView<'_>> = view
        .live()
        .filter(|p| in_place(view, p) && !p.seen.of_job && !p.asked(release) && !edited(p, release, attempt))
        .filter(|p| !reach.moves_by_itself(view, p))
        .filter(|p| p.seen.owner_rolling || p.seen.budget_blocked)
        .collect();
    let first = held.first()?;
    let why = if first.seen.owner_rolling {
        format!("{} is in a rollout of its own", first.owner())
    } else {
        format!("a PodDisruptionBudget allows no disruption of {}", first.name())
    };
    Some(format!("{} pods are held back: {why}", held.len()))
}

/// The effect that moves one pod to `release`.
#[must_use]
pub fn action(
    view: &StageView<'_>,
    pod: &PodView<'_>,
    release: &Release,
    attempt: &str,
    purpose: Purpose,
) -> Option<Action> {
    let tag = pin_tag(view, release);
    let containers: Vec<ImageChange> = pod
        .containers
        .iter()
        .map(|c| ImageChange {
            kind: c.seen.kind,
            index: c.seen.index,
            name: c.seen.name.clone(),
            from: c.seen.image.clone(),
            to: c.image.pinned(tag, &release.digest),
        })
        .filter(|c| c.from != c.to)
        .collect();
    let from = containers.first()?.from.clone();
    let mark = Moved { attempt: attempt.to_owned(), from, deaths_before: pod.deaths(), at: view.now };
    Some(Action::MovePod(PodMove {
        key: pod.seen.key.clone(),
        generation: pod.seen.generation,
        resource_version: pod.seen.resource_version.clone(),
        containers,
        mark: mark.to_string(),
        stage: view.stage.name.clone(),
        purpose,
    }))
}

/// The tag that a pin carries beside the digest: none for a mutable one (decision 7).
#[must_use]
pub fn pin_tag<'r>(view: &StageView<'_>, release: &'r Release) -> Option<&'r Tag> {
    use crate::select::Order;
    match &view.policy.select.order {
        Order::Semver { .. } => release.tag.as_ref().filter(|t| crate::select::is_full_version(t.as_str())),
        // A tag that is one of an order of many is not moved by its publisher; `latest` among them would be.
        Order::Alphabetical { .. } | Order::Numerical { .. } | Order::NewestBuild { .. } => {
            release.tag.as_ref().filter(|tag| tag.as_str() != "latest")
        }
        Order::Digest { .. } => None,
    }
}
