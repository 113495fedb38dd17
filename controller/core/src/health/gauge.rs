//! A gauge of both arms (a p95, a mean, a share of errors): the paired sign test.
//!
//! In every tick the candidate's value is either worse than its peers' by more than a margin, or it is not. Pairing cancels
//! load, and only the sign counts, so the test needs no distribution. Half of the stake is bet from the start; the
//! other half is bet anew from every tick on (Shiryaev–Roberts), which keeps its power for what turns bad late.
//!
//! Guarantees: a value of bounded size that is the same after a round trip through the status; a tick is counted
//! once; what is missing, negative or no number multiplies by one. If, given the past, "worse by more than the margin" has a
//! chance of at most one half in every tick, the chance that [`Gauge::e`] ever reaches 1/α is at most α.
//! May not: know where values come from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::mixture::{NANO, exp_of_sum, nano};
use super::real;

/// Chances of "worse" that are bet on.
const CHANCES: [f64; 5] = [0.6, 0.7, 0.8, 0.9, 0.97];

/// Ticks with both values that a gauge needs before it can speak for a release.
pub const MIN_TICKS: u64 = 30;

/// Which way is worse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// A latency, a share of errors.
    #[default]
    HigherIsWorse,
    /// A throughput, a share of successes.
    LowerIsWorse,
}

/// When one value counts as worse than the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Margin {
    /// Which way is worse.
    pub direction: Direction,
    /// By how much at least, as a share: 0.1 for 10 %.
    pub share: f64,
}

impl Default for Margin {
    fn default() -> Self {
        Self { direction: Direction::HigherIsWorse, share: 0.1 }
    }
}

impl Margin {
    /// Whether the candidate is worse than the baseline by more than the margin. Equal values never are.
    #[must_use]
    pub fn worse(&self, candidate: f64, baseline: f64) -> bool {
        let factor = 1.0 + self.share.max(0.0);
        match self.direction {
            Direction::HigherIsWorse => candidate > factor * baseline,
            Direction::LowerIsWorse => factor * candidate < baseline,
        }
    }
}

/// What one tick brought.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reading {
    /// A value of each arm.
    Pair {
        /// The candidate's.
        candidate: f64,
        /// Its peers'.
        baseline: f64,
    },
    /// The same while the candidate had one pod only: it may be the pod.
    OnePod {
        /// The candidate's.
        candidate: f64,
        /// Its peers'.
        baseline: f64,
    },
    /// The peers have a value, the candidate has none though its pods run: what is promoted may itself be what exports.
    CandidateSilent,
    /// Neither arm has one, or the answer cannot be used.
    Missing,
}

impl Reading {
    /// Whether it says something about both arms.
    #[must_use]
    pub fn has_both(self) -> bool {
        matches!(self.usable(), Self::Pair { .. } | Self::OnePod { .. })
    }

    /// What can be compared: both values finite and not negative (a share of a negative number has no meaning).
    fn usable(self) -> Self {
        let fine = |value: f64| value.is_finite() && value >= 0.0;
        match self {
            Self::Pair { candidate, baseline } | Self::OnePod { candidate, baseline }
                if !fine(candidate) || !fine(baseline) =>
            {
                Self::Missing
            }
            other => other,
        }
    }
}

/// Ticks counted, and the Shiryaev–Roberts sums: all that the test needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct Signs {
    #[schemars(with = "i64")]
    worse: u64,
    #[schemars(with = "i64")]
    not_worse: u64,
    /// `ln(R + 1)` of each chance, in units of 10⁻⁹.
    ln_r: [i64; CHANCES.len()],
}

impl Signs {
    fn add(&mut self, worse: bool, most: u64) {
        let counted = self.worse.saturating_add(self.not_worse);
        if worse {
            self.worse = self.worse.saturating_add(1);
        } else {
            self.not_worse = self.not_worse.saturating_add(1);
        }
        // R/T is fair for T ticks; after them that half stands still.
        if counted < most {
            for (ln_r, chance) in self.ln_r.iter_mut().zip(CHANCES) {
                #[allow(
                    clippy::cast_precision_loss,
                    reason = "below 2^53: at most a tick's ln 2 per second of 30 days"
                )]
                let sum = *ln_r as f64 * NANO + factor(chance, worse).ln();
                *ln_r = nano(if sum > 40.0 { sum } else { sum.exp().ln_1p() });
            }
        }
    }

    /// `Σ w·Π f`.
    fn bet_at_the_start(&self) -> f64 {
        let mean = -real(CHANCES.len() as u64).ln();
        exp_of_sum(&CHANCES.map(|chance| {
            real(self.worse) * factor(chance, true).ln()
                + real(self.not_worse) * factor(chance, false).ln()
                + mean
        }))
    }

    /// `Σ w·R / T`.
    fn bet_at_each_tick(&self, most: u64) -> f64 {
        let share = -(real(CHANCES.len() as u64) * real(most.max(1))).ln();
        exp_of_sum(&self.ln_r.map(|ln_r| {
            #[allow(clippy::cast_precision_loss, reason = "see above")]
            let ln_r = ln_r as f64 * NANO;
            // ln R from ln(R + 1): minus infinity for R = 0.
            ln_r + (-(-ln_r).exp()).ln_1p() + share
        }))
    }

    fn e(&self, most: u64) -> f64 {
        f64::midpoint(self.bet_at_the_start(), self.bet_at_each_tick(most))
    }
}

/// What a tick does to the bet on this chance of "worse".
fn factor(chance: f64, worse: bool) -> f64 {
    2.0 * if worse { chance } else { 1.0 - chance }
}

/// The evidence of one gauge about one candidate in one stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Gauge {
    /// Ticks that this stage may take at most; fixed when the candidate enters.
    #[schemars(with = "i64")]
    most_ticks: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_tick: Option<i64>,
    #[serde(default)]
    signs: Signs,
    /// The same with the ticks that may only page: those in which the candidate alone was silent, counted as worse, and
    /// those in which it had one pod. None while there was no such tick.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    with_doubt: Option<Signs>,
}

impl Gauge {
    /// Nothing known yet, in a stage that takes at most so many ticks.
    #[must_use]
    pub fn new(most_ticks: u64) -> Self {
        Self { most_ticks: most_ticks.max(1), last_tick: None, signs: Signs::default(), with_doubt: None }
    }

    /// Counts one tick. One that is not newer than the last is ignored.
    pub fn tick(&mut self, tick: i64, reading: Reading, margin: &Margin) {
        if self.last_tick.is_some_and(|last| tick <= last) {
            return;
        }
        self.last_tick = Some(tick);
        match reading.usable() {
            Reading::Pair { candidate, baseline } => {
                let worse = margin.worse(candidate, baseline);
                self.signs.add(worse, self.most_ticks);
                if let Some(signs) = &mut self.with_doubt {
                    signs.add(worse, self.most_ticks);
                }
            }
            Reading::OnePod { candidate, baseline } => {
                self.doubt(margin.worse(candidate, baseline));
            }
            Reading::CandidateSilent => self.doubt(true),
            Reading::Missing => {}
        }
    }

    fn doubt(&mut self, worse: bool) {
        self.with_doubt.get_or_insert_with(|| self.signs.clone()).add(worse, self.most_ticks);
    }

    /// E of the ticks that had both values: what a rollback may rest on.
    #[must_use]
    pub fn e(&self) -> f64 {
        self.signs.e(self.most_ticks)
    }

    /// E with silence of the candidate counted as worse, and with ticks of one pod: it holds and pages, it never takes
    /// anything back.
    #[must_use]
    pub fn e_with_doubt(&self) -> f64 {
        self.with_doubt.as_ref().unwrap_or(&self.signs).e(self.most_ticks)
    }

    /// Ticks with both values in which the candidate was worse, and all ticks with both values.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.signs.worse, self.signs.worse.saturating_add(self.signs.not_worse))
    }

    /// The newest tick that was counted.
    #[must_use]
    pub fn last_tick(&self) -> Option<i64> {
        self.last_tick
    }
}
