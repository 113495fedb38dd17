//! The oracle: what must hold of every pass, whatever happens (`I1`–`I10` of the fault catalogue).
//!
//! It looks at the world and at what the controller wrote, never at the controller's own word for it, except where
//! the invariant is about the status.

use crate::{Effect, World};
use lockkeeper_core::{
    image::{Digest, ImageRef, Release},
    status::{Flight, Phase, Status},
};
use std::collections::BTreeMap;

/// Watches one world from pass to pass.
#[derive(Debug, Default)]
pub struct Watchman {
    looked_at: usize,
    last: Option<Status>,
    /// What was found wrong, in words.
    pub violations: Vec<String>,
}

impl Watchman {
    /// Looks at what happened since the last look.
    pub fn look(&mut self, world: &World) {
        let status = world.stored.clone();
        self.one_candidate_at_a_time(&status);
        for record in world.records.iter().skip(self.looked_at) {
            match &record.what {
                Effect::Moved { pod, from, to } => self.moved(world, &status, pod, from, to),
                Effect::Pinned { namespace, spec } => {
                    self.not_quarantined(world, &spec.digest, &format!("pin in {namespace}"));
                }
                _ => {}
            }
        }
        self.looked_at = world.records.len();
        self.rollbacks_are_safe(world, &status);
        self.last = Some(status);
    }

    fn moved(&mut self, world: &World, status: &Status, pod: &str, from: &str, to: &str) {
        let Ok(image) = to.parse::<ImageRef>() else {
            self.violations.push(format!("I3: {pod} was given {to}, which is no image"));
            return;
        };
        let Some(digest) = image.digest() else {
            self.violations.push(format!("I3: {pod} was given {to}, without a digest"));
            return;
        };
        if !world.pushed.iter().any(|r| r.digest == *digest) {
            self.violations.push(format!("I5: {pod} was given {to}, which was never pushed or is gone"));
        }
        let before: Option<ImageRef> = from.parse().ok();
        if before.is_some_and(|b| b.repository_text() != image.repository_text()) {
            self.violations.push(format!("I11: {pod} was given another repository: {from} -> {to}"));
        }
        self.not_quarantined(world, digest, pod);
        self.in_order(world, status, pod, digest);
    }

    fn not_quarantined(&mut self, world: &World, digest: &Digest, what: &str) {
        let release = world.pushed.iter().find(|r| r.answers_to(digest));
        if let Some(q) = release.and_then(|r| world.quarantines.iter().find(|q| q.covers(r))) {
            self.violations.push(format!("I4: {what} was given {digest}, quarantined as {}", q.name));
        }
    }

    /// I2: what is not the stage's own history must have been verified by every predecessor.
    fn in_order(&mut self, world: &World, status: &Status, pod: &str, digest: &Digest) {
        let namespace = pod.split('/').next().unwrap_or_default();
        for (index, stage) in world.policy.stages.iter().enumerate() {
            if stage.name != namespace {
                continue;
            }
            let Some(mine) = status.stages.get(index) else { continue };
            let known = |s: &lockkeeper_core::status::StageStatus| {
                s.verified.iter().any(|v| v.release.answers_to(digest))
            };
            let urgent = mine.flight.as_ref().is_some_and(|f: &Flight| f.promoted_by.is_some());
            let upstream = stage.after.iter().all(|&i| status.stages.get(i).is_some_and(known));
            if !known(mine) && !upstream && !urgent {
                self.violations
                    .push(format!("I2: {pod} was given {digest} before its predecessors verified it"));
            }
        }
    }

    fn one_candidate_at_a_time(&mut self, status: &Status) {
        let Some(last) = &self.last else { return };
        let before: BTreeMap<&str, &Release> = in_flight(last);
        for (stage, release) in in_flight(status) {
            if let Some(old) = before.get(stage)
                && old.digest != release.digest
            {
                self.violations.push(format!("I1: {stage} changed its candidate in flight"));
            }
        }
    }

    /// I5: a rollback goes to something that was verified or adopted there.
    fn rollbacks_are_safe(&mut self, world: &World, status: &Status) {
        for stage in &status.stages {
            let Some(to) = stage.rollback.as_ref().and_then(|r| r.to.as_ref()) else { continue };
            if stage.phase == Phase::RollingBack
                && !stage.verified.iter().any(|v| v.release.digest == to.digest)
            {
                self.violations
                    .push(format!("I5: {} is taken back to {}, never verified there", stage.name, to.digest));
            }
            if stage.phase == Phase::RollingBack && world.quarantines.iter().any(|q| q.covers(to)) {
                self.violations.push(format!("I5: {} is taken back to a quarantined release", stage.name));
            }
        }
    }
}

fn in_flight(status: &Status) -> BTreeMap<&str, &Release> {
    status.stages.iter().filter_map(|s| s.flight.as_ref().map(|f| (s.name.as_str(), &f.release))).collect()
}
