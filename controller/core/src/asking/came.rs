//! What came of a request, as the status tells.

use crate::{
    gates::label,
    image::Release,
    observed::{InterventionKind, InterventionSeen},
    stage::{current_of, heard_id, step_name},
    status::{Phase, Source, StageStatus, Status},
};

/// How far a request has come in one stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Came {
    /// The controller has not looked yet.
    Unheard,
    /// Heard, and not over.
    Underway(String),
    /// This came of it.
    Done(String),
    /// It ended where a person must decide.
    Blocked(String),
    /// The release was taken back, or put back.
    Failed(String),
}

/// How far `request`, which is stored, has come in a stage.
#[must_use]
pub fn came_of(request: &InterventionSeen, status: &Status, stage: &str) -> Came {
    let Some(here) = status.stages.iter().find(|s| s.name == stage) else { return Came::Unheard };
    let carried_out = status.heard.contains(&heard_id(request, stage));
    if !carried_out && !status.in_force.contains(&request.id) {
        return Came::Unheard;
    }
    match request.kind {
        InterventionKind::Approve => approved(request, here),
        InterventionKind::Hold => Came::Done(match &here.flight {
            Some(flight) => format!("held: {} stays where it is, and is not widened", label(&flight.release)),
            None => "held: nothing enters".to_owned(),
        }),
        InterventionKind::Resume => Came::Done(format!("goes on: {}", here.message)),
        InterventionKind::Adopt if carried_out => Came::Done(here.message.clone()),
        InterventionKind::Promote if carried_out => entered(request, here),
        InterventionKind::RollBack if carried_out => taken_back(here),
        InterventionKind::Adopt | InterventionKind::Promote | InterventionKind::RollBack => {
            Came::Underway(here.message.clone())
        }
    }
}

fn approved(request: &InterventionSeen, here: &StageStatus) -> Came {
    let digest = request.digest.as_ref();
    let is_it = |release: &Release| digest.is_some_and(|digest| release.answers_to(digest));
    let enters = here.flight.as_ref().is_some_and(|flight| is_it(&flight.release));
    if enters || current_of(here).is_some_and(|current| is_it(&current.release)) {
        return entered(request, here);
    }
    match here.reason.as_str() {
        // Asking a registry is a matter of moments.
        "Checking" | "Resolving" => Came::Underway(here.message.clone()),
        _ => Came::Done(format!("counted; now: {}", here.message)),
    }
}

fn entered(request: &InterventionSeen, here: &StageStatus) -> Came {
    let asked = |flight: &&crate::status::Flight| {
        request.digest.as_ref().is_none_or(|digest| flight.release.answers_to(digest))
    };
    Came::Done(match here.flight.as_ref().filter(asked) {
        Some(flight) => format!("{} enters: {}", label(&flight.release), step_name(flight)),
        None => here.message.clone(),
    })
}

fn taken_back(here: &StageStatus) -> Came {
    match here.phase {
        Phase::Blocked => Came::Blocked(here.message.clone()),
        Phase::RollingBack => Came::Underway(here.message.clone()),
        _ if here.rollback.is_some() => Came::Underway(here.message.clone()),
        _ => Came::Done(match current_of(here) {
            Some(current) => format!("taken back; runs {}", label(&current.release)),
            None => "taken back".to_owned(),
        }),
    }
}

/// How far a request for a release has come on the way to the end of its soak in a stage.
#[must_use]
pub fn verified_of(request: &InterventionSeen, status: &Status, stage: &str) -> Came {
    let entered = came_of(request, status, stage);
    let (Came::Done(_), Some(digest)) = (&entered, &request.digest) else { return entered };
    let Some(here) = status.stages.iter().find(|s| s.name == stage) else { return Came::Unheard };
    let is_it = |release: &Release| release.answers_to(digest);
    if let Some(back) = here.rollback.as_ref().filter(|rollback| is_it(&rollback.bad)) {
        return Came::Failed(format!(
            "{} is taken back: {}: {}",
            label(&back.bad),
            back.reason,
            back.message
        ));
    }
    if here.phase == Phase::Blocked {
        return Came::Blocked(here.message.clone());
    }
    if let Some(flight) = here.flight.as_ref().filter(|flight| is_it(&flight.release)) {
        return Came::Underway(format!(
            "{}, {}: {}",
            label(&flight.release),
            step_name(flight),
            here.message
        ));
    }
    let current = current_of(here).filter(|current| is_it(&current.release));
    match current {
        Some(current) if current.source == Source::Verified => Came::Done(match current.rules_out.as_str() {
            "" => format!("{} is verified", label(&current.release)),
            rules_out => format!("{} is verified: {rules_out}", label(&current.release)),
        }),
        _ => Came::Failed(format!("it does not run there any more: {}", here.message)),
    }
}
