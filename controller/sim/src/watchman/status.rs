//! What must hold from one stored status to the next.

use super::MOST_BYTES;
use crate::World;
use jiff::SignedDuration;
use lockkeeper_core::{
    policy::Stage,
    select::{self, Order},
    status::{Phase, Source, StageStatus, Status, Step},
};

/// Compares the last status with this one.
pub fn compare(world: &World, last: &Status, now: &Status, found: &mut Vec<String>) {
    for (index, stage) in world.policy.stages.iter().enumerate() {
        let Some(is) = now.stages.get(index).filter(|s| s.name == stage.name) else { continue };
        let fresh = StageStatus::default();
        let was = last.stages.iter().find(|s| s.name == stage.name).unwrap_or(&fresh);
        one_candidate(was, is, found);
        entered_in_order(world, now, stage, was, is, found);
        verified_rightly(world, stage, was, is, found);
        rollbacks_are_safe(world, was, is, found);
        never_lower(world, was, is, found);
        fails_static(world, was, is, found);
        every_wait_has_a_reason(is, found);
    }
    let bytes = serde_json::to_vec(now).map_or(usize::MAX, |json| json.len());
    if bytes > MOST_BYTES {
        found.push(format!("I13: the status has {bytes} bytes"));
    }
}

/// I1: one candidate at a time, the same one until it ends.
fn one_candidate(was: &StageStatus, is: &StageStatus, found: &mut Vec<String>) {
    if let (Some(old), Some(new)) = (&was.flight, &is.flight)
        && old.release.digest != new.release.digest
    {
        found.push(format!("I1: {} changed its candidate in flight", is.name));
    }
    if matches!(is.phase, Phase::Applying | Phase::Soaking) != is.flight.is_some()
        && is.phase != Phase::Blocked
    {
        found.push(format!("I1: {} is {:?} with flight: {}", is.name, is.phase, is.flight.is_some()));
    }
    if is.flight.is_some() && is.rollback.is_some() {
        found.push(format!("I1: {} promotes and takes back at once", is.name));
    }
}

/// I2: a candidate enters only when every predecessor verified it under its present definition, or a person said so.
fn entered_in_order(
    world: &World,
    now: &Status,
    stage: &Stage,
    was: &StageStatus,
    is: &StageStatus,
    found: &mut Vec<String>,
) {
    let Some(flight) =
        is.flight.as_ref().filter(|f| was.flight.as_ref().is_none_or(|w| w.attempt != f.attempt))
    else {
        return;
    };
    if world.quarantine_of(&flight.release).is_some() {
        found.push(format!("I4: {} enters {} though it is quarantined", flight.release.digest, is.name));
    }
    let again = was.current.as_ref() == Some(&flight.release.digest);
    if flight.promoted_by.is_some() || again {
        return;
    }
    let tag =
        flight.release.tag.as_ref().filter(|_| !matches!(world.policy.select.order, Order::Digest { .. }));
    if let Some(tag) = tag
        && world.tags.get(tag).is_none_or(|now| now.contents() != flight.release.contents())
    {
        found.push(format!(
            "R16: {} enters {}, and tag {tag} does not name it",
            flight.release.digest, is.name
        ));
    }
    for &before in &stage.after {
        let hash = &world.policy.stages[before].hash;
        let verified = now.stages.get(before).is_some_and(|s| {
            s.verified.iter().any(|v| {
                v.source == Source::Verified
                    && v.hash == *hash
                    && flight.release.contents() == v.release.contents()
            })
        });
        if !verified {
            let name = &world.policy.stages[before].name;
            found.push(format!("I2: {} enters {} before {name} verified it", flight.release.digest, is.name));
        }
    }
}

/// I2, I8: verified only after the whole soak of every step, with all of the time spent in this stage.
fn verified_rightly(
    world: &World,
    stage: &Stage,
    was: &StageStatus,
    is: &StageStatus,
    found: &mut Vec<String>,
) {
    for v in is.verified.iter().filter(|v| v.source == Source::Verified && !was.verified.contains(v)) {
        let same = was.verified.iter().any(|w| w.release.digest == v.release.digest && w.at == v.at);
        if same {
            // It only learned its version.
            continue;
        }
        let flight = was.flight.as_ref().filter(|f| f.release.digest == v.release.digest);
        let Some(flight) = flight.filter(|f| f.step == Step::All) else {
            found.push(format!("I2: {} is verified in {} without a flight", v.release.digest, is.name));
            continue;
        };
        let waves: i64 = flight.waves.iter().map(|w| w.soak_seconds).sum();
        let least = SignedDuration::from_secs(waves) + stage.soak.min(SignedDuration::from_hours(24 * 30));
        if v.at.duration_since(flight.entered) < least {
            found.push(format!(
                "I2: {} is verified in {} before its soaks could be over",
                v.release.digest, is.name
            ));
        }
        if world.stale_since.is_some() {
            found.push(format!("I8: {} is verified in {} with stale watches", v.release.digest, is.name));
        }
    }
}

/// I5: a rollback goes to something that was verified or adopted there.
fn rollbacks_are_safe(world: &World, was: &StageStatus, is: &StageStatus, found: &mut Vec<String>) {
    let Some(to) = is.rollback.as_ref().and_then(|r| r.to.as_ref()) else { return };
    // Where nothing is looked at or written, the next pass that may looks again.
    if is.phase != Phase::RollingBack || world.stale_since.is_some() || !world.policy.may_write() {
        return;
    }
    if !is.verified.iter().any(|v| v.release.digest == to.digest) {
        found.push(format!("I5: {} is taken back to {}, never verified there", is.name, to.digest));
    }
    // What was quarantined in this very pass, by a stage that was looked at later, is put right in the next.
    let stands = was.rollback.as_ref().and_then(|r| r.to.as_ref()).is_some_and(|t| t.digest == to.digest);
    if stands && world.quarantine_of(to).is_some() {
        found.push(format!("I5: {} is taken back to a quarantined release", is.name));
    }
}

/// I10: what a stage runs goes down only by a rollback or a person.
fn never_lower(world: &World, was: &StageStatus, is: &StageStatus, found: &mut Vec<String>) {
    let version = |s: &StageStatus| {
        let v = s.verified.iter().find(|v| Some(&v.release.digest) == s.current.as_ref())?;
        v.release.version.clone()
    };
    let asked = was.flight.as_ref().is_some_and(|f| f.promoted_by.is_some());
    if was.rollback.is_some() || asked || world.policy.select.allow_downgrade {
        return;
    }
    let (Some(old), Some(new)) = (version(was), version(is)) else { return };
    if select::compare_versions(&world.policy.select, &new, &old) == Some(std::cmp::Ordering::Less) {
        found.push(format!("I10: {} went down from {old} to {new}", is.name));
    }
}

/// I8: what cannot be looked at begins nothing.
fn fails_static(world: &World, was: &StageStatus, is: &StageStatus, found: &mut Vec<String>) {
    let entered = is.flight.is_some() && was.flight.is_none() && was.phase != Phase::Blocked;
    if entered && (world.stale_since.is_some() || !world.registry_up) {
        found.push(format!("I8: {} let a candidate in with failing data", is.name));
    }
    let begun = is.rollback.is_some() && was.rollback.is_none();
    if begun && world.stale_since.is_some() {
        found.push(format!("I8: {} began a rollback with stale watches", is.name));
    }
}

fn every_wait_has_a_reason(is: &StageStatus, found: &mut Vec<String>) {
    if is.reason.is_empty() || is.since.is_none() {
        found.push(format!("L2: {} waits in silence ({:?})", is.name, is.phase));
    }
}
