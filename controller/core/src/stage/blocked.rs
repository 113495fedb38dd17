//! No safe digest, or a person must decide.
//!
//! Guarantees: nothing is widened here; a newer release may enter where only the last one was refused; what a person
//! asks for (Resume, RollBack, Promote, Adopt) is heard.

use super::{StageView, Turn, Wait, current_of, idle, rolling_back, taking_back};
use crate::{
    decision::{EventType, Question},
    gates::label,
    observed::InterventionKind,
    status::{Phase, Source, Verified},
};

/// One step.
pub fn step(view: &StageView<'_>, turn: &mut Turn) {
    if taking_back::recommended(turn) {
        if idle::resumed(view, turn.status.since) {
            resume(view, turn, Phase::Applying);
        }
        return;
    }
    if turn.status.rollback.is_some() && turn.status.reason == "RollbackStuck" {
        rolling_back::step(view, turn);
        return;
    }
    if turn.status.rollback.is_some() {
        step_without_way_back(view, turn);
        return;
    }
    if idle::resumed(view, turn.status.since) {
        turn.status.refused.clear();
        resume(view, turn, Phase::Idle);
        return;
    }
    // SecondRollback waits for a person; what was merely refused does not keep a newer release out.
    if turn.status.reason == "SecondRollback" && view.facts.promote(&view.stage.name).is_none() {
        return;
    }
    let (reason, message, since) =
        (turn.status.reason.clone(), turn.status.message.clone(), turn.status.since);
    idle::step(view, turn);
    if turn.status.flight.is_none() && turn.status.phase == Phase::Idle {
        // Nothing came of it: still Blocked, for the same reason.
        turn.status.phase = Phase::Blocked;
        turn.status.reason = reason;
        turn.status.message = message;
        turn.status.since = since;
    }
}

fn resume(view: &StageView<'_>, turn: &mut Turn, phase: Phase) {
    turn.tell(EventType::Normal, "Resumed", &view.stage.name, format!("{} goes on", view.stage.name));
    turn.show(phase, Wait::new("Resumed", "a person resumed it".to_owned()), view.now);
    turn.wake(view.now);
}

/// Blocked in the middle of a rollback: a person adopts a digest, or what was restored gets Ready after all.
fn step_without_way_back(view: &StageView<'_>, turn: &mut Turn) {
    ask_for_what_people_chose(view, turn);
    let adopted = view
        .facts
        .interventions(InterventionKind::Adopt, &view.stage.name)
        .filter(|i| !view.life.heard.contains(&idle::heard_id(i, &view.stage.name)))
        .find_map(|i| Some((i, view.facts.release_of(view.life, i.digest.as_ref()?)?)));
    if let Some((asked, release)) = adopted
        && view.facts.quarantine_of(&release).is_none()
    {
        turn.heard.push(idle::heard_id(asked, &view.stage.name));
        let message = format!("{} is what {} chose to return to", label(&release), asked.requested_by);
        turn.tell(EventType::Normal, "Adopted", &view.stage.name, message.clone());
        turn.status.verified.retain(|v| !view.facts.same(&v.release, &release));
        turn.status.verified.push(Verified {
            release,
            source: Source::Adopted,
            at: view.now,
            hash: view.stage.hash.clone(),
            rules_out: String::new(),
            log_e: 0.0,
            guard_until: None,
        });
        resume(view, turn, Phase::RollingBack);
        return;
    }
    if view.seen.stale_since.is_some() {
        return;
    }
    // What a person promotes is judged first: until it is verified here it is nothing to return to (I5).
    if idle::enter_past_rollback(view, turn, turn.status.reason != "NoSafeDigest") {
        return;
    }
    let ready_after_all = turn.status.reason == "RollbackNotReady" && ready_again(view, turn);
    let resumed = ready_after_all || idle::resumed(view, turn.status.since);
    if resumed
        && !ready_after_all
        && let Some(mut rollback) = turn.status.rollback.clone()
    {
        // A person looked: what did not get Ready until now counts no more.
        rollback.attempt = turn.next_attempt(view);
        turn.status.rollback = Some(rollback);
    }
    let safe = !super::view::stable(&turn.status.verified, view.facts, None).is_empty();
    let looked_again = turn.status.reason == "NoSafeDigest" && safe && current_of(&turn.status).is_some();
    if resumed || (looked_again && pullable_again(view, turn)) {
        resume(view, turn, Phase::RollingBack);
    }
}

fn ask_for_what_people_chose(view: &StageView<'_>, turn: &mut Turn) {
    let chosen = [InterventionKind::Adopt, InterventionKind::Promote]
        .into_iter()
        .flat_map(|kind| view.facts.interventions(kind, &view.stage.name))
        .filter_map(|i| i.digest.clone());
    turn.questions.extend(chosen.map(|digest| Question::Digest(view.policy.image.clone(), digest)));
}

/// What was restored got Ready after all.
fn ready_again(view: &StageView<'_>, turn: &mut Turn) -> bool {
    let Some(rollback) = turn.status.rollback.clone() else { return false };
    let Some(to) = rollback.to.clone() else { return false };
    rolling_back::not_ready_again(view, turn, &rollback, &to) < 2
}

/// A digest that was not to be had is there again.
fn pullable_again(view: &StageView<'_>, turn: &mut Turn) -> bool {
    let bad = turn.status.rollback.as_ref().map(|r| r.bad.clone());
    let safe = super::view::stable(&turn.status.verified, view.facts, bad.as_ref());
    let mut found = false;
    let mut questions = Vec::new();
    for verified in safe {
        let repositories = view.repositories();
        found |= repositories.iter().all(|r| {
            matches!(
                view.facts.pullable(r, &verified.release.digest),
                Some(crate::observed::Answer::Known(()))
            )
        });
        questions.extend(
            repositories
                .into_iter()
                .map(|r| crate::decision::Question::Pullable(r, verified.release.digest.clone())),
        );
    }
    turn.questions.extend(questions);
    found
}
