//! The conditional-binomial mixture: one bet for each of eleven rate ratios, each started with the same stake.
//!
//! With `n_c` candidate and `n_b` baseline pods at risk, a crash falls on the candidate with the chance
//! `p0 = n_c/(n_c+n_b)` if the rates are equal, and `p = θ·n_c/(θ·n_c+n_b)` if the candidate's rate is θ times the
//! baseline's. Each crash multiplies bet θ by `p/p0` (candidate) or `(1−p)/(1−p0)` (baseline): a fair game under
//! equal rates, because `p0·(p/p0) + (1−p0)·(1−p)/(1−p0) = 1`.
//!
//! Guarantees: sums of logarithms in whole nano-units, so that their order never matters and the status keeps them
//! exactly; saturating, never NaN. The rounding is at most 5·10⁻¹⁰ per crash.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::real;

/// The rate ratios that are bet on.
const RATIOS: [f64; 11] = [1.5, 2.0, 3.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0];

/// The rate ratios that are bet on for one fingerprint: a panic that nobody had before has no ratio that is too large.
const LARGE_RATIOS: [f64; 13] = [1.5, 2.0, 3.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0, 1e4, 1e5];

/// One unit of what is kept: 10⁻⁹ of a natural logarithm.
pub(super) const NANO: f64 = 1e-9;

/// Evidence beyond e^690 (about 10^299) is as good as any.
pub(super) const LN_CAP: f64 = 690.0;

/// What one crash does to each bet, for the pods at risk in one tick, in units of 10⁻⁹.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stakes {
    candidate_pods: u64,
    baseline_pods: u64,
    /// `ln((1−p0)/(1−p))`, which every crash costs.
    paid: [i64; RATIOS.len()],
    /// `ln θ`, which a crash of the candidate wins on top.
    won: [i64; RATIOS.len()],
}

impl Stakes {
    /// `None` unless both arms have pods: then there is nothing to bet on.
    pub fn new(candidate_pods: u64, baseline_pods: u64) -> Option<Self> {
        if candidate_pods == 0 || baseline_pods == 0 {
            return None;
        }
        let share = real(candidate_pods) / (real(candidate_pods) + real(baseline_pods));
        // (1−p0)/(1−p) = 1 + (θ−1)·p0, and p/p0 = θ·(1−p)/(1−p0).
        let paid = RATIOS.map(|ratio| nano(((ratio - 1.0) * share).ln_1p()));
        Some(Self { candidate_pods, baseline_pods, paid, won: RATIOS.map(|ratio| nano(ratio.ln())) })
    }

    /// The stakes with other candidate pods at risk.
    pub fn with_candidates(&self, candidate_pods: u64) -> Option<Self> {
        if candidate_pods == self.candidate_pods {
            return Some(*self);
        }
        Self::new(candidate_pods, self.baseline_pods)
    }
}

/// ln E for each of the eleven ratios, in units of 10⁻⁹.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(super) struct LogE([i64; RATIOS.len()]);

impl LogE {
    /// Multiplies each bet by what these crashes say about it.
    pub fn add(&mut self, stakes: &Stakes, of_candidate: u64, of_baseline: u64) {
        let whole = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let crashes = whole(of_candidate.saturating_add(of_baseline));
        for (sum, (won, paid)) in self.0.iter_mut().zip(stakes.won.into_iter().zip(stakes.paid)) {
            let gain = whole(of_candidate).saturating_mul(won).saturating_sub(crashes.saturating_mul(paid));
            *sum = sum.saturating_add(gain);
        }
    }

    /// E: the mean of the eleven bets.
    pub fn value(&self) -> f64 {
        let mean = -real(RATIOS.len() as u64).ln();
        #[allow(clippy::cast_precision_loss, reason = "beyond 2^53 the value is capped or zero anyway")]
        exp_of_sum(&self.0.map(|nano| nano as f64 * NANO + mean))
    }
}

/// E of sums over the whole time: crashes and exposures (in any one unit) of both arms, by the thirteen ratios.
///
/// Without exposure of both arms there is nothing to bet on: 1.
pub(super) fn of_sums(candidate: (u64, f64), baseline: (u64, f64)) -> f64 {
    let both = candidate.1 > 0.0 && baseline.1 > 0.0 && candidate.1.is_finite() && baseline.1.is_finite();
    if !both {
        return 1.0;
    }
    let share = candidate.1 / (candidate.1 + baseline.1);
    let (of_candidate, all) = (real(candidate.0), real(candidate.0.saturating_add(baseline.0)));
    let mean = -real(LARGE_RATIOS.len() as u64).ln();
    let bet = |ratio: f64| of_candidate * ratio.ln() - all * ((ratio - 1.0) * share).ln_1p() + mean;
    exp_of_sum(&LARGE_RATIOS.map(bet))
}

/// Rounded per crash, so that one sum of many crashes equals many sums of one.
#[allow(clippy::cast_possible_truncation, reason = "logarithms of ratios, below 7: 10⁹ times that fits")]
pub(super) fn nano(ln: f64) -> i64 {
    (ln / NANO).round() as i64
}

/// `Σ exp(lns)`, at most e^[`LN_CAP`]; of no terms 0. The terms may be −∞, not NaN.
pub(super) fn exp_of_sum(lns: &[f64]) -> f64 {
    let largest = lns.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return 0.0;
    }
    let sum: f64 = lns.iter().map(|ln| (ln - largest).exp()).sum();
    (largest + sum.ln()).min(LN_CAP).exp()
}
