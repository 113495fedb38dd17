//! How strong the evidence against a flight is, as a number and what it must reach: for pictures and dashboards.
//!
//! Guarantees: changes nothing, decides nothing; it is what [`decide`](crate::decide) would judge of the same view.

use super::{StageView, flight::prior, ticks};
use crate::{
    health::{alpha_of_budget, stage_evidence},
    status::Flight,
};

/// The evidence against a candidate in a stage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// M of the promotion, leave-one-out (`health.md` 2): 1 where nothing is known.
    pub evidence: f64,
    /// What M must reach: 1/α.
    pub limit: f64,
    /// Crashes of the candidate and of the pods beside it.
    pub crashes: [u32; 2],
}

/// Where the flight stands in this view.
#[must_use]
pub fn standing(view: &StageView<'_>, flight: &Flight) -> Standing {
    let mut flight = flight.clone();
    ticks::look(view, &mut flight);
    let alpha = alpha_of_budget(view.policy.health.false_rollback_budget);
    let own = stage_evidence(&[(1.0, flight.health.evidence.e_leave_one_out())]);
    Standing {
        evidence: prior(view, &flight.release).martingale(own),
        limit: if alpha > 0.0 { 1.0 / alpha } else { f64::INFINITY },
        crashes: flight.health.crashes,
    }
}
