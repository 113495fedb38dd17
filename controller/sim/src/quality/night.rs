//! One promotion, judged tick by tick by every variant of the rule at once.

use super::noise::{Fall, KNOWN, NEW, Noise};
use crate::Random;
use lockkeeper_core::health::{
    Arm, Arms, Crash, Evidence, FastLimits, Fingerprint, Fingerprints, History, Promotion, Room, Stratum,
    Verdict, alpha_of_budget, stage_evidence,
};

/// Each stage soaks for so long.
pub const HOURS: f64 = 6.0;
/// The same in minutes.
pub const MINUTES: usize = 360;
const TICK_HOURS: f64 = 1.0 / 60.0;
/// The default budget.
const BUDGET: f64 = 0.02;

/// Variants of the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detector {
    /// E of all crashes reaches 100: α = 1 %, nothing left out.
    Plain,
    /// Leave-one-out E reaches 100.
    LeaveOneOut,
    /// Leave-one-out E reaches 200.
    LeaveOneOut200,
    /// M alone of three signals, two of which are quiet: half of the weight is on restarts. The published "M only".
    Martingale,
    /// That M or the fast detector. The published "M or (c)".
    Either,
    /// M of restarts alone, or the fast detector: what the controller does where there is no other signal.
    Default,
    /// M at 200 or the fast detector with a guard of 66.7: the setting with a proved bound of 2 %.
    Proved,
}

/// All of them, in the order of what [`night`] returns.
pub const DETECTORS: [Detector; 7] = [
    Detector::Plain,
    Detector::LeaveOneOut,
    Detector::LeaveOneOut200,
    Detector::Martingale,
    Detector::Either,
    Detector::Default,
    Detector::Proved,
];

/// The pods of a stage, one per node; the first ones run the candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fleet {
    /// Pods with the candidate.
    pub candidates: usize,
    /// Pods with the stable release.
    pub baselines: usize,
    /// Applications that they belong to, in turn.
    pub owners: usize,
    /// Stages that the promotion has, each like this one.
    pub stages: usize,
}

impl Fleet {
    /// All pods.
    #[must_use]
    pub fn pods(&self) -> usize {
        self.candidates + self.baselines
    }

    /// The owner of a pod.
    #[must_use]
    pub fn owner(&self, pod: usize) -> usize {
        pod % self.owners.max(1)
    }

    fn stratum(&self, pod: usize, template: &str) -> Stratum {
        Stratum::new("prod", "Deployment", &format!("app-{}", self.owner(pod)), template)
    }

    fn arm(&self, pod: usize) -> Arm {
        if pod < self.candidates { Arm::Candidate } else { Arm::Baseline }
    }

    fn arms(&self, template: &str) -> Arms {
        let mut arms = Arms::default();
        for pod in 0..self.pods() {
            arms.add(&self.stratum(pod, template), self.arm(pod), &format!("n{pod}"), &format!("p{pod}"));
        }
        arms
    }

    fn crash(&self, fall: &Fall, template: &str) -> Crash {
        let cause = match fall.cause {
            KNOWN => "an everyday cause".to_owned(),
            NEW => "a new cause".to_owned(),
            // Letters: numbers are left out of a fingerprint.
            own => "x".repeat(usize::try_from(own % 997).unwrap_or(0) + 1),
        };
        Crash {
            stratum: self.stratum(fall.pod, template),
            arm: self.arm(fall.pod),
            node: format!("n{}", fall.pod),
            pod: format!("p{}", fall.pod),
            fingerprint: Some(Fingerprint::new("otel", 2, "Error", &cause)),
        }
    }
}

/// Plays one promotion. For each of [`DETECTORS`] the minute of the crash that makes it alarm, if one does, counted from the
/// beginning of its first stage.
#[must_use]
pub fn night(fleet: &Fleet, noise: Noise, random: &mut Random) -> [Option<f64>; DETECTORS.len()] {
    let mut found = [None; DETECTORS.len()];
    let mut prior = Promotion { total_levels: fleet.stages, ..Promotion::default() };
    for stage in 0..fleet.stages {
        let begun = 360.0 * f64::from(u32::try_from(stage).unwrap_or(0));
        let evidence = soak(fleet, noise, random, &prior, begun, &mut found);
        prior.done.push(stage_evidence(&[(1.0, evidence.e_leave_one_out())]));
        if found.iter().all(Option::is_some) {
            break;
        }
    }
    found
}

/// One stage's soak, tick by tick; ticks without a crash change no evidence but the time.
fn soak(
    fleet: &Fleet,
    noise: Noise,
    random: &mut Random,
    prior: &Promotion,
    begun: f64,
    found: &mut [Option<f64>; DETECTORS.len()],
) -> Evidence {
    let drawn = noise.draw(fleet, random);
    let mut history = History::default();
    history.watched(168.0 * f64::from(u32::try_from(fleet.pods()).unwrap_or(0)));
    let known = fleet.crash(&Fall { minute: 0.0, pod: 0, cause: KNOWN }, "");
    history.died(Room::WHOLE, known.fingerprint.as_ref(), drawn.before);
    let (mut evidence, mut fast) = (Evidence::default(), Fingerprints::after(history));
    let arms = [fleet.arms("t0"), fleet.arms("t1")];
    let mut last = 0;
    for now in drawn.falls.chunk_by(|a, b| tick_of(a) == tick_of(b)) {
        let (Some(fall), tick) = (now.last(), now.first().map_or(0, tick_of)) else { continue };
        let rolled = usize::from(noise.rolls() && fall.minute >= 180.0);
        let template = ["t0", "t1"][rolled];
        let crashes: Vec<Crash> = now.iter().map(|fall| fleet.crash(fall, template)).collect();
        evidence.tick(tick, TICK_HOURS, &arms[rolled], &crashes);
        let ticks = i32::try_from(tick - last).unwrap_or(0);
        fast.tick_within(Room::WHOLE, TICK_HOURS * f64::from(ticks), &arms[rolled], &crashes);
        last = tick;
        let look = Look {
            evidence: &evidence,
            fast: &fast,
            arms: &arms[rolled],
            prior,
            left_out: evidence.e_leave_one_out(),
            enough: evidence.events().candidate >= 3,
        };
        for (detector, found) in DETECTORS.into_iter().zip(found.iter_mut()) {
            if found.is_none() && look.alarms(detector) {
                *found = Some(begun + fall.minute);
            }
        }
        if found.iter().all(Option::is_some) {
            break;
        }
    }
    evidence
}

/// What every variant looks at, computed once per tick.
struct Look<'a> {
    evidence: &'a Evidence,
    fast: &'a Fingerprints,
    arms: &'a Arms,
    prior: &'a Promotion,
    left_out: f64,
    enough: bool,
}

impl Look<'_> {
    /// The engine's own verdict; not asked for while M is too small for any alarm.
    fn degraded(&self, alpha: f64) -> bool {
        self.prior.martingale(self.left_out) >= 1.0 / alpha
            && matches!(self.evidence.verdict(self.arms, self.prior, alpha), Verdict::Degraded { .. })
    }

    /// The fast detector's alarm; not asked for while its guard is closed.
    fn fast(&self, limits: &FastLimits) -> bool {
        self.left_out >= limits.guard && self.fast.alarm(self.evidence, limits).is_some()
    }

    fn alarms(&self, detector: Detector) -> bool {
        let (alpha, limits) = (alpha_of_budget(BUDGET), FastLimits::of_budget(BUDGET));
        let three_signals = || {
            let stage = stage_evidence(&[(0.5, self.left_out), (0.25, 1.0), (0.25, 1.0)]);
            self.enough && self.prior.martingale(stage) >= 1.0 / alpha
        };
        match detector {
            Detector::Plain => self.enough && self.evidence.e_plain() >= 100.0,
            Detector::LeaveOneOut => self.enough && self.left_out >= 100.0,
            Detector::LeaveOneOut200 => self.enough && self.left_out >= 200.0,
            Detector::Martingale => three_signals(),
            Detector::Either => three_signals() || self.fast(&limits),
            Detector::Default => self.degraded(alpha) || self.fast(&limits),
            Detector::Proved => {
                let limits = FastLimits { guard: 1.0 / (0.75 * BUDGET), ..limits };
                self.degraded(BUDGET / 4.0) || self.fast(&limits)
            }
        }
    }
}

#[allow(clippy::cast_possible_truncation, reason = "at most 360")]
fn tick_of(fall: &Fall) -> i64 {
    fall.minute as i64 + 1
}
