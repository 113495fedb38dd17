//! Requests to merge: what a stage waits for, what closing one means, and which of them is in nobody's interest any more.
//!
//! Guarantees: a request that brings a delivery and is open is waited for, however long that takes; one that was closed and
//! not merged has rejected the release for the stage; one that would bring what is being taken back is closed. May not: take a
//! request for a delivery's that does not say so.

use super::{StageView, Turn, Wait, deliveries};
use crate::{
    decision::EventType,
    gates::label,
    git::{Commit, Delivery, Proposal, RequestSeen, RequestState},
    image::Release,
    observed::Answer,
    status::Rollback,
};

/// Why a release is taken out of a stage that a newer one comes into.
pub const SUPERSEDED: &str = "Superseded";
/// Why one is that a person did not want to be merged.
pub const REJECTED: &str = "Rejected";

/// What became of the request that brings a delivery.
pub enum Asked {
    /// Somebody has to merge it.
    Open(Wait),
    /// Somebody closed it.
    Closed(String),
    /// Somebody merged it; the branch does not show it yet.
    Merged(Wait),
}

/// What became of the request for this delivery; none: it has to be made, or brought up to what the branch is now.
pub fn asked(delivery: &Delivery, release: &Release, proposal: Option<&Proposal>) -> Option<Asked> {
    let Proposal { ready, request } = proposal?;
    let RequestSeen { url, state, .. } = request.as_ref().filter(|request| request.brings)?;
    let what = format!("{} for {}", label(release), delivery.remote);
    match state {
        RequestState::Open if *ready => Some(Asked::Open(Wait::new(
            "AwaitingMerge",
            format!("{what} waits for {url} to be merged; closing it rejects the release for this stage"),
        ))),
        RequestState::Open => None,
        RequestState::Closed => {
            Some(Asked::Closed(format!("{what} was rejected: {url} was closed unmerged")))
        }
        RequestState::Merged => Some(Asked::Merged(Wait::new(
            "Committing",
            format!("{url} was merged; looks what {} says", delivery.remote),
        ))),
    }
}

/// Says once that somebody has to merge it.
pub fn tell(view: &StageView<'_>, turn: &mut Turn, wait: &Wait) {
    if wait.reason == "AwaitingMerge" && turn.status.message != wait.message {
        turn.tell(EventType::Normal, "AwaitingMerge", &view.stage.name, wait.message.clone());
    }
}

/// Closes the request that is open, so that nobody merges what is being taken back. One that a newer release comes into
/// is left as it is until that has soaked in its waves.
pub fn close(view: &StageView<'_>, turn: &mut Turn, delivery: Delivery, rollback: &Rollback) -> Option<Wait> {
    delivery.remote.request.as_ref().filter(|_| rollback.reason != SUPERSEDED)?;
    let seen = match view.all.deliveries.get(&delivery) {
        Some(Answer::Known(seen)) => seen,
        Some(Answer::Failed(failure)) => return Some(deliveries::failing(&delivery, failure)),
        None | Some(Answer::Absent) => {
            return Some(Wait::new("Committing", format!("looks what is open for {}", delivery.remote)));
        }
    };
    let request = seen.proposal.as_ref()?.request.as_ref()?;
    if request.state != RequestState::Open {
        return None;
    }
    let wait = match &seen.rejected {
        Some(failure) => deliveries::failing(&delivery, failure),
        None => Wait::new("Committing", format!("{} is being closed", request.url)),
    };
    turn.commits.push(Commit { delivery, expects: Vec::new(), takes_back: true, only_closes: true });
    Some(wait)
}
