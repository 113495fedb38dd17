//! What must come to pass: a release that is plainly bad is taken back, or people are told (L3).

use crate::World;
use jiff::{SignedDuration, Timestamp};
use lockkeeper_core::{
    policy::{RollbackMode, Stage},
    status::{Flight, Phase, StageStatus},
};
use std::collections::BTreeMap;

/// Within this time a rollback must have begun, or the stage be Blocked.
const BOUND: SignedDuration = SignedDuration::from_mins(5);
/// Evidence that convicts in any stage of any policy with up to eight of them.
const PLAIN: f64 = 5_000.0;

/// Since when each stage's candidate is plainly bad, by its attempt.
#[derive(Clone, Debug, Default)]
pub struct Degraded(BTreeMap<String, Timestamp>);

impl Degraded {
    /// Looks at every candidate. What nobody can see, or nobody may act on, is not held against the controller.
    pub fn look(&mut self, world: &World, found: &mut Vec<String>) {
        let mut bad = BTreeMap::new();
        let able = world.stale_since.is_none() && world.policy.may_write() && world.controller_up;
        for (index, (stage, status)) in world.policy.stages.iter().zip(&world.stored.stages).enumerate() {
            let Some(flight) = status.flight.as_ref().filter(|_| able && acts(stage, status)) else {
                continue;
            };
            let Some(why) = convicted(flight).or_else(|| looping(world, index, flight)) else { continue };
            let since = *self.0.get(&flight.attempt).unwrap_or(&world.now);
            if world.now.duration_since(since) > BOUND {
                found.push(format!(
                    "L3: {} goes on in {} since {since}: {why}",
                    flight.release.digest, stage.name
                ));
            }
            bad.insert(flight.attempt.clone(), since);
        }
        self.0 = bad;
    }
}

/// It decides by itself, and has not said that it waits for a person.
fn acts(stage: &Stage, status: &StageStatus) -> bool {
    stage.rollback == RollbackMode::Automatic
        && matches!(status.phase, Phase::Applying | Phase::Soaking)
        // The common-cause rule has an end of its own.
        && !matches!(status.reason.as_str(), "SuspectOnePod" | "CommonCause")
}

fn convicted(flight: &Flight) -> Option<String> {
    let evidence = &flight.health.evidence;
    let e = evidence.e_leave_one_out();
    (e > PLAIN && evidence.events().candidate >= 3).then(|| format!("E = {e:.0}"))
}

/// Two pods with the candidate are in a crash loop, and none with the release before.
fn looping(world: &World, index: usize, flight: &Flight) -> Option<String> {
    let loops = |digest_of: &lockkeeper_core::image::Release| {
        let pods =
            world.pods.iter().filter(|p| !p.deleting && p.waiting.as_deref() == Some("CrashLoopBackOff"));
        let here = pods.filter(|p| world.stage_of(&world.owners[p.owner]) == Some(index));
        here.filter(|p| world.resolve(&p.image).is_some_and(|r| digest_of.answers_to(&r.digest))).count()
    };
    let beside = flight.from.as_ref().map_or(0, loops);
    let count = loops(&flight.release);
    (count >= 2 && beside == 0).then(|| format!("{count} pods in a crash loop"))
}
