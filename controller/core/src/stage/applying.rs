//! A wave, or the whole stage, is being given the candidate.
//!
//! Guarantees: pin and templates only when the last wave has soaked; the first moved pod of a step is Ready before
//! the others move; every write that gives something the candidate asks for an open gate (decision 11).

use super::{PodView, StageView, Turn, Wait, flight, judge, moves, rolling_back, templates};
use crate::{
    decision::Purpose,
    gates::label,
    status::{Flight, Phase, Step},
};

/// One step.
pub fn step(view: &StageView<'_>, turn: &mut Turn) {
    let Some(mut flight) = turn.status.flight.take() else {
        turn.show(Phase::Idle, Wait::new("Idle", String::new()), view.now);
        return;
    };
    if judged(view, turn, &mut flight) {
        return;
    }
    let wait = give(view, turn, &mut flight);
    match wait {
        Some(wait) => turn.show(Phase::Applying, wait, view.now),
        None => {
            flight.healthy_seconds = 0;
            flight.clock = None;
            let message =
                format!("{} has to stay healthy in {}", label(&flight.release), flight::step_name(&flight));
            turn.show(Phase::Soaking, Wait::new("Soaking", message), view.now);
            turn.wake(view.now);
        }
    }
    turn.status.flight = Some(flight);
}

/// Judges the candidate; true when that ended the flight (or holds it).
pub fn judged(view: &StageView<'_>, turn: &mut Turn, flight: &mut Flight) -> bool {
    ask_for_the_way_back(view, turn, flight);
    let (judgement, next) = judge::judge(view, flight);
    turn.wake(next);
    match judgement {
        judge::Judgement::Fine => false,
        judge::Judgement::Page { message } => {
            page(view, turn, flight, message);
            true
        }
        judge::Judgement::Degraded { reason, message } => {
            let bad = flight.release.clone();
            turn.status.flight = Some(flight.clone());
            rolling_back::degraded(view, turn, &bad, reason, message);
            true
        }
        judge::Judgement::PutBack { reason, message } => {
            turn.status.flight = Some(flight.clone());
            rolling_back::put_back(view, turn, reason, message);
            true
        }
    }
}

/// One pod or one node alone cannot convict a release: hold, and say so once.
fn page(view: &StageView<'_>, turn: &mut Turn, flight: &mut Flight, message: String) {
    flight.clock = None;
    if turn.status.reason != "SuspectOnePod" {
        turn.tell(crate::decision::EventType::Warning, "Suspect", &view.stage.name, message.clone());
    }
    turn.status.flight = Some(flight.clone());
    if !super::soaking::out_of_time(view, turn) {
        let phase = turn.status.phase;
        turn.show(phase, Wait::new("SuspectOnePod", message), view.now);
    }
}

/// While all is well, find out whether the way back is open, so that a rollback need not ask first.
fn ask_for_the_way_back(view: &StageView<'_>, turn: &mut Turn, flight: &Flight) {
    if let Some(from) = &flight.from {
        for repository in view.repositories() {
            turn.questions.insert(crate::decision::Question::Pullable(repository, from.digest.clone()));
        }
    }
}

/// Gives the candidate to what this step covers; `None` when all of it runs the candidate and is Ready.
pub fn give(view: &StageView<'_>, turn: &mut Turn, flight: &mut Flight) -> Option<Wait> {
    let members = count_members(view, flight);
    match flight.step {
        Step::Wave(_) => give_wave(view, turn, flight, members),
        Step::All => give_all(view, turn, flight),
    }
}

/// Pods that have the candidate; one that went away since the last look counts as lost.
fn count_members(view: &StageView<'_>, flight: &mut Flight) -> u32 {
    let members = view.live().filter(|p| p.moved_by(&flight.attempt) && p.asked(&flight.release)).count();
    let members = u32::try_from(members).unwrap_or(u32::MAX);
    // Only waves are topped up, so only their losses count.
    if view.seen.stale_since.is_none() && matches!(flight.step, Step::Wave(_)) {
        flight.replaced += flight.members.saturating_sub(members);
        flight.members = members;
    }
    members
}

fn give_wave(view: &StageView<'_>, turn: &mut Turn, flight: &mut Flight, members: u32) -> Option<Wait> {
    let wave = flight::planned(flight)?;
    let name = format!("{} in {}", label(&flight.release), flight::step_name(flight));
    // Owners may have shrunk meanwhile: one pod at least stays to compare with.
    let alive = u32::try_from(view.live().count()).unwrap_or(u32::MAX);
    let wanted = wave.pods.min(alive.saturating_sub(1).max(1));
    if members < wanted {
        if let Some(closed) = view.closed(flight.skip_window) {
            return Some(closed);
        }
        if flight.replaced > wave.pods {
            let message = format!(
                "{name}: {} wave pods went away; no more are replaced until a person looks (Resume, RollBack)",
                flight.replaced
            );
            return Some(Wait::new("WaveUnstable", message));
        }
        let missing = (wanted - members) as usize;
        let moved = move_some(view, turn, flight, missing);
        let why = if moved == 0 { "waits for pods it may move" } else { "moves pods" };
        return Some(Wait::new("Applying", format!("{name}: {members} of {wanted} pods have it; {why}")));
    }
    let unready = view.live().filter(|p| p.moved_by(&flight.attempt)).filter(|p| !up(p, flight)).count();
    (unready > 0).then(|| Wait::new("Applying", format!("{name}: {}", not_ready(unready))))
}

fn not_ready(pods: usize) -> String {
    if pods == 1 {
        "1 pod is not Ready with it yet".to_owned()
    } else {
        format!("{pods} pods are not Ready with it yet")
    }
}

fn up(pod: &PodView<'_>, flight: &Flight) -> bool {
    pod.seen.ready && pod.runs(&flight.release)
}

/// Moves up to `wanted` pods, one alone while no pod of this step is Ready with the candidate. Returns how many.
fn move_some(view: &StageView<'_>, turn: &mut Turn, flight: &Flight, wanted: usize) -> usize {
    let wanted =
        if first_is_ready(view, flight) { wanted } else { usize::from(!first_is_on_its_way(view, flight)) };
    let chosen = moves::for_wave(view, &flight.release, &flight.attempt, wanted);
    for pod in &chosen {
        turn.actions.extend(moves::action(view, pod, &flight.release, &flight.attempt, Purpose::Promote));
    }
    chosen.len()
}

fn moved_in_step<'v>(view: &'v StageView<'_>, flight: &'v Flight) -> impl Iterator<Item = &'v PodView<'v>> {
    view.live().filter(|p| {
        p.asked(&flight.release)
            && p.seen.moved.as_ref().is_some_and(|m| m.attempt == flight.attempt && m.at >= flight.step_since)
    })
}

fn first_is_ready(view: &StageView<'_>, flight: &Flight) -> bool {
    moved_in_step(view, flight).any(|p| up(p, flight))
}

fn first_is_on_its_way(view: &StageView<'_>, flight: &Flight) -> bool {
    moved_in_step(view, flight).next().is_some()
}

fn give_all(view: &StageView<'_>, turn: &mut Turn, flight: &mut Flight) -> Option<Wait> {
    let name = label(&flight.release);
    let left =
        view.live().filter(|p| p.movable() && moves::in_place(view, p) && !p.asked(&flight.release)).count();
    let work = left > 0 || templates::behind(view, &flight.release) > 0 || !pins_say_it(turn, flight);
    if work && let Some(closed) = view.closed(flight.skip_window) {
        return Some(closed);
    }
    templates::change(view, turn, &flight.release, Purpose::Promote);
    let mut batch =
        moves::for_batch(view, &flight.release, &flight.attempt, templates::roll_by_themselves(view));
    if !first_is_ready(view, flight) {
        batch.truncate(usize::from(!first_is_on_its_way(view, flight)));
    }
    for pod in batch {
        turn.actions.extend(moves::action(view, pod, &flight.release, &flight.attempt, Purpose::Promote));
    }
    let mine = view.live().filter(|p| p.asked(&flight.release));
    let unready = mine.filter(|p| !up(p, flight)).count();
    let allowed = flight.unready_at_entry as usize;
    let rolling = templates::rolling(view, &flight.release);
    if left > 0 || rolling > 0 || unready > allowed || !pins_say_it(turn, flight) {
        let have = view.live().filter(|p| p.runs(&flight.release)).count();
        let all = view.live().count();
        return Some(Wait::new(
            "Applying",
            format!(
                "{name}: {have} of {all} pods run it{}",
                if unready > 0 { format!("; {}", not_ready(unready)) } else { String::new() }
            ),
        ));
    }
    None
}

fn pins_say_it(turn: &Turn, flight: &Flight) -> bool {
    let pinned = turn.status.pinned.as_ref();
    // A stage of workloads has no pins; then nothing was ever pinned.
    pinned.is_none_or(|p| p.digest == flight.release.digest)
}
