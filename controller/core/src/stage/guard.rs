//! The guard: a verified release is watched on by hard gates, and taken back if it turns bad later.
//!
//! Guarantees: for as long as the guard lasts and no longer; a crash loop that others show at the same moment is held, once
//! and for a while (`common_cause.rs`). May not: let anything in.

use super::{
    PodView, StageView, Turn, Wait,
    common_cause::{self, COMMON_CAUSE, Common, not_yet},
    current_of, judge, taking_back,
    view::CRASH_LOOP,
};
use crate::{decision::EventType, gates::label, image::Release, status::Phase};
use jiff::Timestamp;

/// A verified release is watched on: hard gates for as long as its guard lasts.
pub fn guard(view: &StageView<'_>, turn: &mut Turn) -> bool {
    let held = turn.status.common_since.take();
    let Some(current) = current_of(&turn.status) else { return false };
    let Some(until) = current.guard_until.filter(|until| view.now < *until) else { return false };
    let release = current.release.clone();
    let members: Vec<&PodView<'_>> = view.live().filter(|p| p.asked(&release)).collect();
    turn.wake(until);
    let message = looping(view, &release, &members);
    if held_for_a_common_cause(view, turn, &release, &members, held, message.as_deref()) {
        return true;
    }
    match message {
        Some(message) => {
            taking_back::degraded(view, turn, &release, "CrashLoop", message);
            true
        }
        None => false,
    }
}

/// Two of many pods in a loop may be their applications' doing: in the guard a tenth of them is asked for.
fn looping(view: &StageView<'_>, release: &Release, members: &[&PodView<'_>]) -> Option<String> {
    let looping = members.iter().filter(|p| p.waits_for(&[CRASH_LOOP]).is_some()).count();
    let many = looping > 0 && looping * 10 >= members.len();
    judge::crash_loops(members, view, None, &label(release)).filter(|_| many)
}

/// Pods of others crash beside this crash loop: it is held, and told once. A crash loop comes and goes with each start of
/// its container, so what is held stays held for as long as others show the same; what was held once is not held anew for
/// as long again.
fn held_for_a_common_cause(
    view: &StageView<'_>,
    turn: &mut Turn,
    release: &Release,
    members: &[&PodView<'_>],
    held: Option<Timestamp>,
    message: Option<&str>,
) -> bool {
    let ends = |since, times| common_cause::ends(since, view.policy.health.tick, times * common_cause::MOST);
    let held = held.filter(|since| view.now < ends(*since, 2));
    turn.status.common_since = held;
    let since = held.unwrap_or(view.now);
    let common = Common::of(view, release);
    if view.now >= ends(since, 1) || !common.shakes_any(members) {
        return false;
    }
    let goes_on = turn.status.reason == COMMON_CAUSE && held.is_some();
    let message = match (message, common.explains(&common_cause::looping_on(members))) {
        (Some(message), Some(why)) if looping(view, release, &common.quiet(members)).is_none() => {
            not_yet(message, &why)
        }
        (None, _) if goes_on => turn.status.message.clone(),
        _ => return false,
    };
    if !goes_on {
        turn.tell(EventType::Warning, "Suspect", &view.stage.name, message.clone());
    }
    turn.status.common_since = Some(since);
    turn.show(Phase::Idle, Wait::new(COMMON_CAUSE, message).until(ends(since, 1)), view.now);
    true
}
