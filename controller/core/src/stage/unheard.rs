//! Deaths of the release that a stage watches now whose last words nobody has heard.
//!
//! Guarantees: crashes only, of the candidate's pods since it entered, or of the verified release's within its guard; what a
//! move of ours killed has nothing to say. May not: change what is decided; a sentence has a line more or less.

use super::{current_of, ticks::crashes_of, view::PodView};
use crate::{
    image::Release,
    observed::StageSeen,
    policy::{Policy, Stage},
    status::StageStatus,
};
use jiff::Timestamp;

/// The containers whose logs are worth reading, as indexes of the pod and of its container, newest death first.
#[must_use]
pub fn unheard(
    policy: &Policy,
    stage: &Stage,
    status: &StageStatus,
    seen: &StageSeen,
) -> Vec<(usize, usize)> {
    let Some((release, since, until)) = watched(status) else { return Vec::new() };
    let mut found = Vec::new();
    for (index, pod) in seen.pods.iter().enumerate() {
        let target = stage.targets.get(pod.target);
        let Some(view) = target.and_then(|target| PodView::governed(policy, target, pod, &mut Vec::new()))
        else {
            continue;
        };
        let died = view.died().filter(|died| since <= *died && *died < until);
        if let Some(died) = died
            && view.live()
            && view.silent()
            && view.asked(release)
            && crashes_of(&view) > 0
        {
            let last = view.containers.iter().max_by_key(|c| c.seen.died).map(|c| c.seen);
            let container =
                pod.containers.iter().position(|c| last.is_some_and(|last| std::ptr::eq(last, c)));
            found.extend(container.map(|container| (died, index, container)));
        }
    }
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, pod, container)| (pod, container)).collect()
}

/// The release that is watched, and which deaths count.
fn watched(status: &StageStatus) -> Option<(&Release, Timestamp, Timestamp)> {
    if let Some(flight) = &status.flight {
        return Some((&flight.release, flight.entered, Timestamp::MAX));
    }
    let current = current_of(status)?;
    Some((&current.release, current.at, current.guard_until?))
}
