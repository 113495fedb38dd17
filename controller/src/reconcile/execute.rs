//! Carries out what was decided.
//!
//! Guarantees: in order, moves of running pods that stand next to each other at most sixteen at once; the fence is
//! asked before each effect; one that fails stops no other, except that nothing is taken back without its Quarantine
//! (I4) and that nothing is given a candidate while the API server does not answer; each result is counted, logged
//! and, if it was a refusal, remembered. May not: decide.

use super::refusals::{Refusals, object, stage, takes_back};
use crate::{
    ports::{Cluster, EffectError, Fence, Identity},
    telemetry::{self, Metrics},
};
use futures::{StreamExt, stream};
use lockkeeper_core::{decision::Action, policy::Policy};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug_span, field::Empty};

/// Moves of pods at once.
const MOVES: usize = 16;
/// After so many unanswered effects the rest waits for the next pass.
const PATIENCE: usize = 3;

/// What effects are carried out with.
pub struct Hands<'a> {
    /// The cluster.
    pub cluster: &'a dyn Cluster,
    /// Who acts.
    pub identity: &'a Identity,
    /// The right to act at all.
    pub fence: &'a Fence,
    /// For whom.
    pub policy: &'a Policy,
    /// Counts.
    pub metrics: &'a Metrics,
    /// No effect begins after this.
    pub stop: &'a CancellationToken,
}

/// What came of the effects of one pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done<'a> {
    /// Effects that happened.
    pub succeeded: Vec<&'a Action>,
    /// Effects that may happen if they are tried again soon.
    pub retry: usize,
    /// Effects that were refused, now or a short while ago.
    pub refused: usize,
    /// This process may not write any more.
    pub fenced: bool,
}

/// What stops later effects of the same pass.
#[derive(Default)]
struct Obstacles {
    unanswered: usize,
    /// The stage of a Quarantine that could not be made.
    unquarantined: Vec<String>,
}

/// Carries out `actions`.
pub async fn execute<'a>(hands: &Hands<'_>, actions: &'a [Action], refusals: &mut Refusals) -> Done<'a> {
    let mut done = Done::default();
    let mut obstacles = Obstacles::default();
    for group in actions.chunk_by(|a, b| matches!((a, b), (Action::MovePod(_), Action::MovePod(_)))) {
        let now = Instant::now();
        let (held, ready): (Vec<&Action>, Vec<&Action>) =
            group.iter().partition(|action| refusals.holds_back(action, now));
        done.refused += held.len();
        let (ready, skipped): (Vec<&Action>, Vec<&Action>) =
            ready.into_iter().partition(|action| obstacles.allow(action));
        done.retry += skipped.len();
        let effects: Vec<_> = ready.into_iter().map(|action| hands.apply(action)).collect();
        let results: Vec<_> = stream::iter(effects).buffer_unordered(MOVES).collect().await;
        for (action, result) in results {
            settle(hands, action, result, refusals, &mut obstacles, &mut done);
        }
        if done.fenced {
            break;
        }
    }
    done
}

impl Hands<'_> {
    async fn apply<'b>(&self, action: &'b Action) -> (&'b Action, Result<(), EffectError>) {
        if self.stop.is_cancelled() || !self.fence.holds() {
            return (action, Err(EffectError::Fenced));
        }
        let span = debug_span!(
            "effect",
            kind = telemetry::kind(action),
            object = object(action),
            stage = stage(action),
            outcome = Empty
        );
        let done = self.cluster.apply(self.identity, self.fence, self.policy, action);
        let done = done.instrument(span.clone()).await;
        span.record("outcome", done.as_ref().map_or_else(telemetry::category, |()| "ok"));
        (action, done)
    }
}

impl Obstacles {
    fn allow(&self, action: &Action) -> bool {
        if self.unanswered >= PATIENCE {
            return false;
        }
        if takes_back(action) {
            return self.unquarantined.is_empty() || matches!(action, Action::WriteQuarantine(_));
        }
        self.unanswered == 0 && !self.unquarantined.iter().any(|unquarantined| unquarantined == stage(action))
    }
}

fn settle<'a>(
    hands: &Hands<'_>,
    action: &'a Action,
    result: Result<(), EffectError>,
    refusals: &mut Refusals,
    obstacles: &mut Obstacles,
    done: &mut Done<'a>,
) {
    let (kind, object, stage) = (telemetry::kind(action), object(action), stage(action));
    hands.metrics.effect(action, result.as_ref().map(|&()| ()));
    let Err(error) = result else {
        tracing::info!(kind, object, stage, "effect");
        refusals.succeeded(action);
        done.succeeded.push(action);
        return;
    };
    refusals.note(action, &error, Instant::now());
    if matches!(action, Action::WriteQuarantine(_)) {
        obstacles.unquarantined.push(stage.to_owned());
    }
    match &error {
        EffectError::Forbidden(_) | EffectError::Refused { .. } => {
            tracing::warn!(kind, object, stage, %error, "an effect was refused");
            done.refused += 1;
        }
        EffectError::Outdated(_) => {
            tracing::debug!(kind, object, stage, %error, "an effect came too late");
            done.retry += 1;
        }
        EffectError::Unavailable { .. } => {
            tracing::warn!(kind, object, stage, %error, "an effect was not answered");
            obstacles.unanswered += 1;
            done.retry += 1;
        }
        EffectError::Fenced => done.fenced = true,
    }
}
