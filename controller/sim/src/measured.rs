//! The servers that a policy's signals are measured by.

use crate::{Recorded, World};
use jiff::SignedDuration;
use lockkeeper_core::{
    health::Direction,
    signals::{ArmAnswer, Compare, Signal, SignalAnswer, SignalQuestion},
    status::Status,
};
use std::collections::BTreeSet;

/// What the servers of a policy's signals answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Measured {
    /// Both sides are alike: no signal ever speaks.
    #[default]
    Alike,
    /// The candidate's value is twice what it may be.
    Worse,
    /// The query has no value.
    Nothing,
    /// The server fails.
    Failing,
    /// The server hangs: nothing comes.
    Hanging,
}

impl Measured {
    /// The answer to a question of this signal, if there is one.
    fn answer(self, signal: &Signal) -> Option<SignalAnswer> {
        let fair = match signal.compare {
            Compare::Limit(_, limit) => limit,
            Compare::Beside(_) => 1.0,
            Compare::Verdict => return self.verdict(),
        };
        let worse = match signal.compare.margin().direction {
            Direction::HigherIsWorse => 3.0 * fair + 1.0,
            Direction::LowerIsWorse => 0.0,
        };
        let (candidate, baseline) = match self {
            Self::Alike => (ArmAnswer::Value(fair), ArmAnswer::Value(fair)),
            Self::Worse => (ArmAnswer::Value(worse), ArmAnswer::Value(fair)),
            Self::Nothing => (ArmAnswer::Nothing, ArmAnswer::Nothing),
            Self::Failing => {
                let failed = ArmAnswer::Failed("the server answered 503".to_owned());
                (failed.clone(), failed)
            }
            Self::Hanging => return None,
        };
        let beside = signal.compare.is_beside();
        Some(SignalAnswer { candidate, baseline: beside.then_some(baseline) })
    }
}

impl Measured {
    /// What a server answers that says by itself whether pods are degraded.
    fn verdict(self) -> Option<SignalAnswer> {
        let candidate = match self {
            Self::Alike => ArmAnswer::Verdict { degraded: false },
            Self::Worse => ArmAnswer::Verdict { degraded: true },
            Self::Nothing => ArmAnswer::Nothing,
            Self::Failing => ArmAnswer::Failed("the server answered 503".to_owned()),
            Self::Hanging => return None,
        };
        Some(SignalAnswer { candidate, baseline: None })
    }
}

impl World {
    /// Answers what a pass asked; an answer is kept as long as it is asked for.
    pub(crate) fn measure(&mut self, asked: &BTreeSet<SignalQuestion>, status: &Status) {
        self.signals.retain(|key, _| asked.iter().any(|question| question.key == *key));
        for question in asked {
            let signal = self.policy.signals.iter().find(|signal| signal.name == question.key.signal);
            let Some(signal) = signal else { continue };
            let recorded = self.recorded.get(&signal.name);
            let answer = match recorded {
                Some(recorded) => again(recorded, signal, question, status),
                None => self.measured.answer(signal),
            };
            if let Some(answer) = answer {
                self.signals.entry(question.key.clone()).or_insert(answer);
            }
        }
    }
}

/// What was recorded of the tick that a question is about.
fn again(
    recorded: &Recorded,
    signal: &Signal,
    question: &SignalQuestion,
    status: &Status,
) -> Option<SignalAnswer> {
    let flights = status.stages.iter().filter_map(|stage| Some((&stage.name, stage.flight.as_ref()?)));
    let (stage, flight) = flights.into_iter().find(|(_, flight)| flight.attempt == question.key.attempt)?;
    let like_others = if let Compare::Limit(_, limit) = signal.compare { limit } else { 1.0 };
    let window = SignedDuration::from_secs(question.window);
    let of = |release| recorded.answer(stage, release, question.at, window, like_others);
    let baseline = question.baseline.as_ref().and(flight.from.as_ref()).map(of);
    Some(SignalAnswer { candidate: of(&flight.release), baseline })
}
