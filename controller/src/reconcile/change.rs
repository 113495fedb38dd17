//! How much two statuses differ: whether the newer one must be written before anything else happens, may wait, or
//! says nothing new.
//!
//! Counters (healthy time, the soak's clock, evidence, numbers in sentences, the expected end of a wait) move all the
//! time and are cheap to lose; everything else is the machine's memory.

use lockkeeper_core::status::{AfterRollback, Flight, HealthMemory, Phase, StageStatus, Status};

/// What a new status says that the old one does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing that is stored.
    Nothing,
    /// Counters only.
    Counters {
        /// A crash was counted, or people watch numbers that move only while something is being done: worth a
        /// write within seconds.
        soon: bool,
    },
    /// Something that effects rest on, or that people must see.
    Material,
}

/// What `new` says that `old` does not.
#[must_use]
pub fn material(old: &Status, new: &Status) -> Change {
    if old == new {
        return Change::Nothing;
    }
    if settled(old) != settled(new) {
        return Change::Material;
    }
    if storable(old) == storable(new) {
        return Change::Nothing;
    }
    let soon = old.stages.iter().zip(&new.stages).any(|(a, b)| crashes(a) != crashes(b) || moving_text(a, b));
    Change::Counters { soon }
}

/// Without what lives in memory only.
fn storable(status: &Status) -> Status {
    let mut status = status.clone();
    for health in status.stages.iter_mut().flat_map(memories) {
        health.open = None;
        for signal in &mut health.signals {
            signal.pending.clear();
        }
    }
    for signal in afterwards(&mut status).flat_map(|after| &mut after.signals) {
        signal.pending.clear();
    }
    status
}

/// Without counters.
fn settled(status: &Status) -> Status {
    let mut status = status.clone();
    status.summary = without_numbers(&status.summary);
    for condition in &mut status.conditions {
        condition.message = without_numbers(&condition.message);
    }
    for after in afterwards(&mut status) {
        after.signals.clear();
        after.tick = 0;
    }
    for stage in &mut status.stages {
        stage.message = without_numbers(&stage.message);
        stage.until = None;
        if let Some(flight) = &mut stage.flight {
            flight.healthy_seconds = 0;
            flight.clock = None;
            // A large stage would otherwise cost one write for each pod that gets the candidate.
            flight.members = 0;
        }
        for health in memories(stage) {
            *health = HealthMemory::default();
        }
    }
    status
}

fn afterwards(status: &mut Status) -> impl Iterator<Item = &mut AfterRollback> {
    status.stages.iter_mut().filter_map(|stage| stage.after_rollback.as_mut())
}

fn memories(stage: &mut StageStatus) -> impl Iterator<Item = &mut HealthMemory> {
    stage.flight.iter_mut().map(|flight| &mut flight.health)
}

fn crashes(stage: &StageStatus) -> impl PartialEq + '_ {
    stage.flight.as_ref().map(|Flight { health, .. }| (health.crashes, &health.deaths))
}

/// While a stage soaks its sentence counts healthy time; in other phases the numbers in it are news.
fn moving_text(old: &StageStatus, new: &StageStatus) -> bool {
    new.phase != Phase::Soaking && old.message != new.message
}

/// `3 of 12 pods` and `4 of 12 pods` are the same sentence.
fn without_numbers(text: &str) -> String {
    let mut bare = String::with_capacity(text.len());
    let mut in_number = false;
    for c in text.chars() {
        let digit = c.is_ascii_digit();
        if !digit {
            bare.push(c);
        } else if !in_number {
            bare.push('#');
        }
        in_number = digit;
    }
    bare
}
