//! The servers that a policy's signals are measured by.

use crate::World;
use lockkeeper_core::{
    health::Direction,
    signals::{ArmAnswer, Compare, Signal, SignalAnswer, SignalQuestion},
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
    pub(crate) fn measure(&mut self, asked: &BTreeSet<SignalQuestion>) {
        self.signals.retain(|key, _| asked.iter().any(|question| question.key == *key));
        for SignalQuestion { key, .. } in asked {
            let signal = self.policy.signals.iter().find(|signal| signal.name == key.signal);
            if let Some(answer) = signal.and_then(|signal| self.measured.answer(signal)) {
                self.signals.entry(key.clone()).or_insert(answer);
            }
        }
    }
}
