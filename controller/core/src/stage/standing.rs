//! How strong the evidence against a flight is, as numbers and what they must reach: for pictures and dashboards.
//!
//! Guarantees: changes nothing, decides nothing; it is what [`decide`](crate::decide) would judge of the same view.

use super::{StageView, flight::prior, signals, ticks};
use crate::{
    health::{Against, alpha_of_budget},
    status::Flight,
};

/// The evidence against a candidate in a stage.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// M of the promotion, restarts (leave-one-out, `health.md` 2) and all signals together: 1 where nothing is known.
    pub evidence: f64,
    /// What M must reach: 1/α.
    pub limit: f64,
    /// Crashes of the candidate and of the pods beside it.
    pub crashes: [u32; 2],
    /// The evidence of restarts alone.
    pub restarts: Against,
    /// Each signal of `health.signals` that is compared tick by tick, in the order of the policy.
    pub signals: Vec<SignalStanding>,
}

/// The evidence of one signal.
#[derive(Clone, Debug, PartialEq)]
pub struct SignalStanding {
    /// Its name in `health.signals`.
    pub name: String,
    /// Its evidence, and what that would have to reach if nothing were known from the others.
    pub against: Against,
    /// Ticks in which the candidate was worse.
    pub worse: u64,
    /// Ticks that could be compared.
    pub ticks: u64,
}

/// Where the flight stands in this view.
#[must_use]
pub fn standing(view: &StageView<'_>, flight: &Flight) -> Standing {
    let mut flight = flight.clone();
    ticks::look(view, &mut flight);
    if view.seen.stale_since.is_none() {
        signals::take_in(view, &mut flight);
    }
    let alpha = alpha_of_budget(view.policy.health.false_rollback_budget);
    let prior = prior(view, &flight.release);
    let together = flight.health.together();
    let gauges = together.gauges.iter().map(|(name, gauge)| {
        let (worse, ticks) = gauge.counts();
        let against = together.against(gauge, &prior, alpha);
        SignalStanding { name: (*name).to_owned(), against, worse, ticks }
    });
    Standing {
        evidence: prior.martingale(together.evidence()),
        limit: if alpha > 0.0 { 1.0 / alpha } else { f64::INFINITY },
        crashes: flight.health.crashes,
        restarts: together.restarts_against(&prior, alpha),
        signals: gauges.collect(),
    }
}
