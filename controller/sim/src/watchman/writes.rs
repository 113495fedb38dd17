//! What must hold of every write to a pod or a pin.

use crate::World;
use lockkeeper_core::{
    image::{Digest, ImageRef},
    pin::PinSpec,
    status::{StageStatus, Status, Step},
};

/// One move of a pod.
pub fn moved(world: &World, status: &Status, pod: &str, from: &str, to: &str, found: &mut Vec<String>) {
    let Ok(image) = to.parse::<ImageRef>() else {
        found.push(format!("I3: {pod} was given {to}, which is no image"));
        return;
    };
    let Some(digest) = image.digest() else {
        found.push(format!("I3: {pod} was given {to}, without a digest"));
        return;
    };
    if world.registry_up && !world.pushed.iter().any(|r| r.digest == *digest) {
        found.push(format!("I5: {pod} was given {to}, which was never pushed or is gone"));
    }
    let before: Option<ImageRef> = from.parse().ok();
    if before.is_some_and(|b| b.repository_text() != image.repository_text()) {
        found.push(format!("I11: {pod} was given another repository: {from} -> {to}"));
    }
    not_quarantined(world, digest, pod, found);
    may_be_written(world, pod, found);
    let Some((index, attempt)) = whose(world, pod) else {
        found.push(format!("I6: {pod} was moved, and belongs to no stage or carries no mark"));
        return;
    };
    let Some(mine) = status.stages.get(index) else { return };
    ahead(mine, pod, &attempt, found);
    of_this_stage(world, mine, pod, digest, &attempt, found);
}

/// One write of a pin.
pub fn pinned(world: &World, status: &Status, namespace: &str, spec: &PinSpec, found: &mut Vec<String>) {
    not_quarantined(world, &spec.digest, &format!("pin in {namespace}"), found);
    may_be_written(world, &format!("pin in {namespace}"), found);
    let Some(mine) = status.stages.iter().find(|s| s.name == spec.stage) else { return };
    if mine.pinned.as_ref().is_none_or(|p| p.digest != spec.digest) {
        found.push(format!("I6: the pin in {namespace} was written before the status said so"));
    }
    if let Some(rollback) = &mine.rollback
        && rollback.quarantine.is_some()
        && world.quarantine_of(&rollback.bad).is_none()
    {
        found.push(format!("I4: the pin in {namespace} was taken back before the Quarantine"));
    }
}

/// One commit: given only to what every wave of the stage has soaked on, taken back only with the Quarantine.
pub fn committed(world: &World, status: &Status, image: &str, takes_back: bool, found: &mut Vec<String>) {
    let Some(digest) = image.parse::<ImageRef>().ok().and_then(|image| image.digest().cloned()) else {
        found.push(format!("I3: {image} was committed, without a digest"));
        return;
    };
    not_quarantined(world, &digest, "a file", found);
    may_be_written(world, "a file", found);
    let flights = status.stages.iter().filter_map(|s| s.flight.as_ref());
    let given = flights.filter(|f| f.release.answers_to(&digest)).any(|f| f.step == Step::All);
    let rollbacks = status.stages.iter().filter_map(|s| s.rollback.as_ref());
    let back = rollbacks
        .filter(|r| r.to.as_ref().is_some_and(|to| to.answers_to(&digest)))
        .any(|r| r.quarantine.is_none() || world.quarantine_of(&r.bad).is_some());
    if !(if takes_back { back } else { given }) {
        found
            .push(format!("I6: {image} was committed (taking back: {takes_back}), and no stage is that far"));
    }
}

fn may_be_written(world: &World, what: &str, found: &mut Vec<String>) {
    if world.stale_since.is_some() {
        found.push(format!("I8: {what} was written with stale watches"));
    }
    if !world.policy.may_write() {
        found.push(format!("{what} was written while nothing may be written"));
    }
}

fn not_quarantined(world: &World, digest: &Digest, what: &str, found: &mut Vec<String>) {
    let release = world.pushed.iter().find(|r| r.answers_to(digest));
    if let Some(q) = release.and_then(|r| world.quarantine_of(r)) {
        found.push(format!("I4: {what} was given {digest}, quarantined as {}", q.name));
    }
}

/// The stage of a pod, and the attempt that moved it.
fn whose(world: &World, name: &str) -> Option<(usize, String)> {
    let pod = world.pods.iter().find(|p| name.ends_with(&format!("/{}", p.name)))?;
    let owner = &world.owners[pod.owner];
    let index = world.stage_of(owner)?;
    Some((index, pod.moved.as_ref()?.attempt.clone()))
}

/// I6: the stored status holds the attempt.
fn ahead(mine: &StageStatus, pod: &str, attempt: &str, found: &mut Vec<String>) {
    let held = [
        mine.flight.as_ref().map(|f| f.attempt.as_str()),
        mine.rollback.as_ref().map(|r| r.attempt.as_str()),
        mine.drift_attempt.as_deref(),
    ];
    if !held.contains(&Some(attempt)) {
        found.push(format!("I6: {pod} was moved by {attempt}, which {} does not hold", mine.name));
    }
}

/// I2, I4, I8: what is given is the flight's, what is taken back is safe, and each under its own attempt.
fn of_this_stage(
    world: &World,
    mine: &StageStatus,
    pod: &str,
    digest: &Digest,
    attempt: &str,
    found: &mut Vec<String>,
) {
    let known = mine.verified.iter().any(|v| v.release.answers_to(digest));
    if let Some(flight) = mine.flight.as_ref().filter(|f| f.attempt == attempt) {
        if !flight.release.answers_to(digest) {
            found.push(format!("I1: {pod} was given {digest}, which is not the candidate of {}", mine.name));
        }
        if !world.registry_up {
            found.push(format!("I8: {pod} was given the candidate while the registry was down"));
        }
    } else if let Some(rollback) = mine.rollback.as_ref().filter(|r| r.attempt == attempt) {
        if !known {
            found.push(format!("I5: {pod} was taken back to {digest}, never verified in {}", mine.name));
        }
        let there = world.quarantine_of(&rollback.bad).is_some();
        if rollback.quarantine.is_some() && !there {
            found.push(format!("I4: {pod} was taken back before the Quarantine"));
        }
    } else {
        let candidate = mine.flight.as_ref().is_some_and(|f| f.release.answers_to(digest));
        if !known && !candidate {
            found.push(format!("I2: {pod} was put right to {digest}, never verified in {}", mine.name));
        }
    }
}
