//! The oracle: what must hold of every pass, whatever happens (`I1`–`I10` of the fault catalogue).
//!
//! It looks at the world and at what the controller wrote, never at the controller's own word for it, except where
//! the invariant is about the status. It must look after every pass.

mod liveness;
mod status;
mod writes;

use crate::{Effect, World};
use jiff::Timestamp;
use lockkeeper_core::status::Status;

/// Watches one world from pass to pass.
#[derive(Clone, Debug, Default)]
pub struct Watchman {
    looked_at: usize,
    last: Option<Status>,
    degraded: liveness::Degraded,
    /// What was found wrong, in words.
    pub violations: Vec<String>,
}

/// Bytes that a status may have.
pub const MOST_BYTES: usize = 256 * 1024;

impl Watchman {
    /// Looks at what happened since the last look.
    pub fn look(&mut self, world: &World) {
        let status = &world.stored;
        let last = self.last.take().unwrap_or_default();
        let mut found = Vec::new();
        status::compare(world, &last, status, &mut found);
        for record in world.records.iter().skip(self.looked_at) {
            match &record.what {
                Effect::Moved { pod, from, to } => writes::moved(world, status, pod, from, to, &mut found),
                Effect::Pinned { namespace, spec } => {
                    writes::pinned(world, status, namespace, spec, &mut found);
                }
                Effect::Committed { image, takes_back } => {
                    writes::committed(world, status, image, *takes_back, &mut found);
                }
                Effect::Unpinned { namespace } if world.stale_since.is_some() => {
                    found.push(format!(
                        "I8: a pin in {namespace} was deleted while the watches were not fresh"
                    ));
                }
                Effect::Quarantined { digest } if world.stale_since.is_some() => {
                    found.push(format!("I8: {digest} was quarantined while the watches were not fresh"));
                }
                _ => {}
            }
        }
        self.degraded.look(world, &mut found);
        self.looked_at = world.records.len();
        self.last = Some(status.clone());
        self.violations.extend(found.into_iter().map(|what| format!("{}: {what}", world.now)));
    }

    /// The stored status was lost: what was in it is no measure any more.
    pub fn status_lost(&mut self) {
        self.last = None;
    }

    /// I7: nothing changes, so nothing is written, and nobody is woken for nothing.
    pub fn nothing_more(&mut self, world: &mut World) {
        let before = world.stored.clone();
        let outcome = world.reconcile(None);
        if outcome.writes > 0 {
            let what = differences(&before, &world.stored);
            self.violations.push(format!("I7: {} writes with nothing to do; {what}", outcome.writes));
        }
        if world.next_deadline.is_some_and(|at| at <= world.now) {
            self.violations
                .push(format!("I7: it wakes itself at once, again and again ({:?})", world.next_deadline));
        }
        self.look(world);
    }
}

/// The stages that differ, for people.
fn differences(before: &Status, after: &Status) -> String {
    let stages = before.stages.iter().zip(&after.stages).filter(|(a, b)| a != b);
    let stages: Vec<String> = stages.map(|(a, b)| format!("{a:?}\n  became {b:?}")).collect();
    if stages.is_empty() { "no stage differs".to_owned() } else { stages.join("\n") }
}

/// Passes until one writes nothing, watched; at most `most`.
pub fn settle(world: &mut World, watchman: &mut Watchman, most: usize) -> usize {
    let mut wrote = 0;
    for _ in 0..most {
        let asked = world.asks();
        let writes = world.reconcile(None).writes;
        watchman.look(world);
        if writes == 0 && asked == world.asks() {
            break;
        }
        wrote += 1;
    }
    wrote
}

/// Time passes in steps; the controller looks after each, watched.
pub fn run_until(world: &mut World, watchman: &mut Watchman, end: Timestamp, step: jiff::SignedDuration) {
    while world.now < end {
        world.pass_time(step);
        settle(world, watchman, 8);
    }
}
