//! Restarts and gauges of one stage, judged together against one limit.
//!
//! Guarantees: the mean of the signals' evidence by fixed weights is evidence itself, under any dependence between
//! them, so one α covers all signals of a promotion; what may not take a release back by itself (crashes of one pod,
//! silence, one pod's gauge) counts at most as "nothing known" when it is decided whether to take back. May not: know
//! where a gauge's values come from.

use super::{
    Arms, Evidence, Gauge, Promotion, Verdict, stage_evidence,
    verdict::{MIN_CRASHES, RESTARTS_WEIGHT, limit},
};

/// The weight of one gauge beside that of restarts, before weights are renormalised over the signals that there are.
const GAUGE_WEIGHT: f64 = 0.25;

/// All signals of one candidate in one stage.
#[derive(Clone, Debug)]
pub struct Together<'a> {
    /// Restarts.
    pub restarts: &'a Evidence,
    /// The gauges, by name.
    pub gauges: Vec<(&'a str, &'a Gauge)>,
}

/// What they say together.
#[derive(Clone, Debug, PartialEq)]
pub enum Joint {
    /// Restarts have the word, or nothing speaks against the candidate.
    Restarts(Verdict),
    /// A gauge is worse: take it back.
    Worse(GaugeAlarm),
    /// As strong, but one pod alone, or a candidate that exports nothing, could explain it: hold and page.
    Suspect(GaugeAlarm),
}

/// The evidence of one signal, and what it would have to reach by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Against {
    /// E.
    pub evidence: f64,
    /// E at which the promotion reaches its limit while nothing is known from the other signals of the stage.
    pub limit: f64,
}

/// The numbers behind an alarm of a gauge.
#[derive(Clone, Debug, PartialEq)]
pub struct GaugeAlarm {
    /// Which one: the one that speaks loudest.
    pub signal: String,
    /// Ticks with both values in which it was worse.
    pub worse: u64,
    /// Ticks with both values.
    pub ticks: u64,
    /// M of the promotion.
    pub promotion: f64,
    /// What M had to reach.
    pub limit: f64,
}

impl Together<'_> {
    /// Ē of the stage: what later levels of the promotion go on from.
    #[must_use]
    pub fn evidence(&self) -> f64 {
        self.mean(self.restarts.e_leave_one_out(), Gauge::e)
    }

    /// What the signals say; see [`Evidence::verdict`] for `arms`, `prior` and `alpha`.
    #[must_use]
    pub fn judge(&self, arms: &Arms, prior: &Promotion, alpha: f64) -> Joint {
        let beside: Vec<(f64, f64)> = self.gauges.iter().map(|(_, g)| (GAUGE_WEIGHT, g.e())).collect();
        let restarts = self.restarts.verdict_beside(arms, &beside, prior, alpha);
        let crashes = self.restarts_may_speak();
        if let Some(alarm) = self.alarm(Gauge::e, crashes, prior, alpha) {
            let loudest = self.gauges.iter().map(|(_, g)| g.e()).fold(0.0, f64::max);
            let by_restarts = matches!(restarts, Verdict::Degraded { .. })
                && RESTARTS_WEIGHT * crashes >= GAUGE_WEIGHT * loudest;
            return if by_restarts { Joint::Restarts(restarts) } else { Joint::Worse(alarm) };
        }
        if matches!(restarts, Verdict::Degraded { .. } | Verdict::HoldAndPage { .. }) {
            return Joint::Restarts(restarts);
        }
        match self.alarm(Gauge::e_with_doubt, crashes, prior, alpha) {
            Some(alarm) => Joint::Suspect(alarm),
            None => Joint::Restarts(restarts),
        }
    }

    /// How far one of these gauges is on its own way to the limit.
    #[must_use]
    pub fn against(&self, gauge: &Gauge, prior: &Promotion, alpha: f64) -> Against {
        Against { evidence: gauge.e(), limit: self.own_limit(GAUGE_WEIGHT, prior, alpha) }
    }

    /// The same of restarts.
    #[must_use]
    pub fn restarts_against(&self, prior: &Promotion, alpha: f64) -> Against {
        let limit = self.own_limit(RESTARTS_WEIGHT, prior, alpha);
        Against { evidence: self.restarts.e_leave_one_out(), limit }
    }

    /// M is a line in the stage's evidence, and that is one in each signal's: two points of the first say where it meets
    /// the limit.
    fn own_limit(&self, weight: f64, prior: &Promotion, alpha: f64) -> f64 {
        let slope = prior.martingale(2.0) - prior.martingale(1.0);
        let wanted = (limit(alpha) - prior.martingale(1.0)) / slope;
        #[allow(clippy::cast_precision_loss, reason = "a policy has few signals")]
        let all = RESTARTS_WEIGHT + GAUGE_WEIGHT * self.gauges.len() as f64;
        1.0 + wanted * all / weight
    }

    /// E of restarts as it may be added to: few crashes, or those of one pod, never add.
    fn restarts_may_speak(&self) -> f64 {
        let e = self.restarts.e_leave_one_out();
        let many = self.restarts.crashed_pods() >= 2 && self.restarts.events().candidate >= MIN_CRASHES;
        if many { e } else { e.min(1.0) }
    }

    fn alarm(
        &self,
        of: fn(&Gauge) -> f64,
        restarts: f64,
        prior: &Promotion,
        alpha: f64,
    ) -> Option<GaugeAlarm> {
        let (name, loudest) = self.gauges.iter().max_by(|(_, a), (_, b)| of(a).total_cmp(&of(b)))?;
        let promotion = prior.martingale(self.mean(restarts, of));
        let limit = limit(alpha);
        // What earlier stages have shown alone convicts nobody here.
        let speaks = of(loudest) > 1.0 && promotion >= limit;
        let (worse, ticks) = loudest.counts();
        speaks.then(|| GaugeAlarm { signal: (*name).to_owned(), worse, ticks, promotion, limit })
    }

    fn mean(&self, restarts: f64, of: fn(&Gauge) -> f64) -> f64 {
        let gauges = self.gauges.iter().map(|(_, gauge)| (GAUGE_WEIGHT, of(gauge)));
        let all: Vec<(f64, f64)> = [(RESTARTS_WEIGHT, restarts)].into_iter().chain(gauges).collect();
        stage_evidence(&all)
    }
}
