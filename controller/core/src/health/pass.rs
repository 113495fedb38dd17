//! Evidence of health, where a person asked for it: that crashes are rarer than a rate, not only that there is no alarm.
//!
//! Guarantees: of releases that crash at that rate or more, at most one in twenty ever passes, however often it is asked
//! (the test martingale of a rate twenty times smaller against that rate).

use super::evidence::Evidence;
use super::mixture::LN_CAP;
use super::real;

/// One in twenty releases that crash too often may pass.
const BETA: f64 = 0.05;

/// The rate that is bet on is this much smaller.
const MUCH_SMALLER: f64 = 20.0;

/// E⁻ after so many crashes in so many pod-hours: `(1/20)^X · e^((1 − 1/20)·λ·T)`.
#[must_use]
pub fn evidence_of_health(crashes: u64, pod_hours: f64, rate: f64) -> f64 {
    let possible = pod_hours.is_finite() && rate.is_finite() && pod_hours > 0.0 && rate > 0.0;
    if !possible {
        return 1.0;
    }
    let ln = (1.0 - 1.0 / MUCH_SMALLER) * rate * pod_hours - real(crashes) * MUCH_SMALLER.ln();
    ln.clamp(-LN_CAP, LN_CAP).exp()
}

impl Evidence {
    /// Whether the soak has shown that the candidate crashes less often than `rate` per pod-hour.
    #[must_use]
    pub fn shows_fewer_than(&self, rate: f64) -> bool {
        evidence_of_health(self.candidate_crashes(), self.candidate_pod_hours(), rate) >= 1.0 / BETA
    }

    /// Pod-hours that are missing until it has, if no candidate pod crashes any more.
    #[must_use]
    pub fn pod_hours_to_show(&self, rate: f64) -> f64 {
        let needed = (1.0 / BETA).ln() + real(self.candidate_crashes()) * MUCH_SMALLER.ln();
        (needed / ((1.0 - 1.0 / MUCH_SMALLER) * rate) - self.candidate_pod_hours()).max(0.0)
    }
}
