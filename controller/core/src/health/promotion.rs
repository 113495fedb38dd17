//! One alpha for a whole promotion: how the evidence of its stages is combined.
//!
//! Guarantees: if the candidate is no worse in any stage, the chance that M ever reaches 1/α is at most α, whatever
//! the stages' dependence within a level; no overflow and no NaN for any input.
//! Assumes: levels follow one another; what soaks at the same time is one level (shared shocks must not multiply).

use super::mixture::{LN_CAP, exp_of_sum};
use super::real;

/// Of the budget for false rollbacks, the part that goes to M; the rest is the fingerprint detector's.
const SHARE_OF_BUDGET: f64 = 0.75;

/// What the other stages of this promotion have shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Promotion {
    /// Of each level that has soaked, first to last, the mean of Ē over its stages.
    pub done: Vec<f64>,
    /// Ē of the other stages of this level; 1 for one that has not begun.
    pub beside: Vec<f64>,
    /// All levels of the promotion, those to come included.
    pub total_levels: usize,
}

impl Promotion {
    /// M of the promotion if this stage shows Ē = `evidence`.
    #[must_use]
    pub fn martingale(&self, evidence: f64) -> f64 {
        let level = weighted_mean(self.beside.iter().copied().chain([evidence]).map(|e| (1.0, e)));
        let levels: Vec<f64> = self.done.iter().copied().chain([level]).collect();
        promotion_martingale(&levels, self.total_levels)
    }
}

/// Ē of a stage: the mean of its signals' E by weight; weights are renormalised over the signals that there are.
///
/// Valid under any dependence between the signals. Without a signal it is 1: nothing is known.
#[must_use]
pub fn stage_evidence(weight_and_e: &[(f64, f64)]) -> f64 {
    weighted_mean(weight_and_e.iter().copied())
}

/// M over sequential levels: `Σ_{s≤now} v·Π_{r=s..now} Ē_r + Σ_{s>now} v` with `v = 1/total_levels`.
///
/// `levels` are the mean Ē of each level so far, the current one last. M starts at 1; roll back when M ≥ 1/α.
#[must_use]
pub fn promotion_martingale(levels: &[f64], total_levels: usize) -> f64 {
    let total = total_levels.max(levels.len());
    if total == 0 {
        return 1.0;
    }
    let mut product = 0.0;
    let mut terms: Vec<f64> = Vec::with_capacity(levels.len() + 1);
    for e in levels.iter().rev() {
        product += sane(*e).ln();
        terms.push(product);
    }
    terms.push(real((total - levels.len()) as u64).ln());
    let share = real(total as u64).ln();
    exp_of_sum(&terms.iter().map(|term| term - share).collect::<Vec<f64>>())
}

/// The α of M for a policy's budget of false rollbacks: .015 of the default 2 %.
///
/// A budget that is no number between 0 and 1 is brought there; 0 never rolls back on counts.
#[must_use]
pub fn alpha_of_budget(budget: f64) -> f64 {
    if budget.is_nan() { 0.0 } else { SHARE_OF_BUDGET * budget.clamp(0.0, 1.0) }
}

fn weighted_mean(weight_and_e: impl Iterator<Item = (f64, f64)>) -> f64 {
    let (mut weights, mut sum) = (0.0, 0.0);
    for (weight, e) in weight_and_e {
        if weight.is_finite() && weight > 0.0 {
            // The running mean never leaves the range of its terms, so it cannot overflow as a sum would.
            weights += weight;
            sum += (sane(e) - sum) * (weight / weights);
        }
    }
    if weights > 0.0 { sum } else { 1.0 }
}

/// Evidence as it can be: not negative, not beyond the cap; what is no number says nothing.
fn sane(e: f64) -> f64 {
    if e.is_nan() { 1.0 } else { e.clamp(0.0, LN_CAP.exp()) }
}
