//! What the evidence says: the verdict, and the numbers that a person is shown with it.
//!
//! Guarantees: `Degraded` rests on the leave-one-out evidence of at least three crashes in at least two pods; where
//! leaving one out is impossible, the same strength holds and pages instead.
//! May not: decide what follows (clock, hold, rollback): that is the stage's.

use std::fmt;

use super::arms::{Arm, Arms};
use super::evidence::{Counts, Evidence};
use super::pod_time;
use super::promotion::{Promotion, stage_evidence};

/// No alarm on fewer crashes of the candidate than this, however strong.
pub const MIN_CRASHES: u64 = 3;

/// The weight of the restarts signal before weights are renormalised over the signals that there are.
pub(super) const RESTARTS_WEIGHT: f64 = 0.5;

/// What is known about the candidate in this stage now.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Compared, and no alarm.
    Healthy,
    /// The candidate crashes more often than the pods beside it: take it back.
    Degraded {
        /// The numbers behind it.
        alarm: Alarm,
    },
    /// As strong as `Degraded`, but one pod or one node alone could explain it: hold and page.
    HoldAndPage {
        /// The numbers behind it, with nothing left out.
        alarm: Alarm,
        /// Why it is not a rollback.
        why: HoldReason,
    },
    /// No alarm, but not healthy without a doubt either.
    Inconclusive {
        /// What the doubt is.
        why: Doubt,
    },
    /// No candidate pod is at risk, so nothing is learned.
    NoData,
}

/// Why an alarm only holds and pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldReason {
    /// One candidate pod: it may be the pod.
    OnePod,
    /// All candidate pods are on one node that has no pod of the stable release to compare with: it may be the node.
    OneNodeWithoutBaseline,
}

/// Why there is neither an alarm nor a clean comparison. Neither stops the soak's clock by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// No stratum has pods in both arms: the count tests stand still, hard gates act.
    NothingToCompareWith,
    /// The crashes would be an alarm, were it not that one node or pod has most of them.
    OneUnitOnly,
}

/// The numbers behind an alarm.
#[derive(Clone, Debug, PartialEq)]
pub struct Alarm {
    /// E of this stage that was used.
    pub evidence: f64,
    /// M of the promotion.
    pub promotion: f64,
    /// What M had to reach: 1/α.
    pub limit: f64,
    /// The crashes that were compared.
    pub crashes: Counts,
    /// Pod-hours of the candidate.
    pub candidate_pod_hours: f64,
}

impl Evidence {
    /// What the evidence says, with the pods at risk now and what the other stages of the promotion have shown.
    ///
    /// `alpha` is the bound on false rollbacks of the whole promotion ([`super::alpha_of_budget`]); one that is not
    /// above zero never alarms.
    #[must_use]
    pub fn verdict(&self, arms: &Arms, prior: &Promotion, alpha: f64) -> Verdict {
        self.verdict_beside(arms, &[], prior, alpha)
    }

    /// The same with weight and E of the stage's other signals.
    pub(super) fn verdict_beside(
        &self,
        arms: &Arms,
        others: &[(f64, f64)],
        prior: &Promotion,
        alpha: f64,
    ) -> Verdict {
        // An alarm stands even if its pods are gone by now: evidence does not expire.
        let several = self.most_candidate_pods() >= 2 && self.crashed_pods() >= 2;
        if several && let Some(alarm) = self.alarm(Self::e_leave_one_out, others, prior, alpha) {
            return Verdict::Degraded { alarm };
        }
        let alarm = self.alarm(Self::e_plain, others, prior, alpha);
        match (alarm, self.cannot_leave_out(arms)) {
            (Some(alarm), Some(why)) => Verdict::HoldAndPage { alarm, why },
            _ if arms.count(Arm::Candidate) == 0 => Verdict::NoData,
            (Some(_), None) => Verdict::Inconclusive { why: Doubt::OneUnitOnly },
            (None, _) if !arms.comparable() => Verdict::Inconclusive { why: Doubt::NothingToCompareWith },
            (None, _) => Verdict::Healthy,
        }
    }

    fn alarm(
        &self,
        evidence: fn(&Self) -> f64,
        others: &[(f64, f64)],
        prior: &Promotion,
        alpha: f64,
    ) -> Option<Alarm> {
        let crashes = self.events();
        if crashes.candidate < MIN_CRASHES {
            return None;
        }
        let evidence = evidence(self);
        let all: Vec<(f64, f64)> =
            [(RESTARTS_WEIGHT, evidence)].into_iter().chain(others.iter().copied()).collect();
        let promotion = prior.martingale(stage_evidence(&all));
        let limit = limit(alpha);
        // Other signals alone convict nobody of crashing.
        let speaks = others.is_empty() || evidence > 1.0;
        let candidate_pod_hours = self.candidate_pod_hours();
        (promotion >= limit && speaks).then_some(Alarm {
            evidence,
            promotion,
            limit,
            crashes,
            candidate_pod_hours,
        })
    }

    fn cannot_leave_out(&self, arms: &Arms) -> Option<HoldReason> {
        if arms.count(Arm::Candidate) == 1 || self.most_candidate_pods() <= 1 {
            return Some(HoldReason::OnePod);
        }
        let node = arms.only_candidate_node()?;
        (!arms.comparable_on(node)).then_some(HoldReason::OneNodeWithoutBaseline)
    }
}

/// What M has to reach for this α.
pub(super) fn limit(alpha: f64) -> f64 {
    if alpha > 0.0 { 1.0 / alpha } else { f64::INFINITY }
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { evidence: _, promotion, limit, crashes, candidate_pod_hours } = self;
        write!(
            f,
            "{} crash{} in {} of the candidate, {} in the pods beside it; evidence {}, limit {limit:.1}",
            crashes.candidate,
            if crashes.candidate == 1 { "" } else { "es" },
            pod_time(*candidate_pod_hours),
            crashes.baseline,
            if *promotion < 1e6 { format!("{promotion:.1}") } else { format!("{promotion:.0e}") },
        )
    }
}
