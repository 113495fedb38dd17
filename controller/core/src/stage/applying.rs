//! A wave, or the whole stage, is being given the candidate.
//!
//! Guarantees: pin, templates and commits only when the last wave has soaked; the first moved pod of a step is Ready before
//! the others move; every write that gives something the candidate asks for an open gate (decision 11).

use super::{
    PodView, StageView, Turn, Wait, deliveries, flight, idle, judge,
    moves::{self, Reach},
    pins, requests, signals, soaking, taking_back, templates,
};
use crate::{
    decision::{EventType, Purpose},
    gates::{self, label},
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
    deliveries::without_waves(view, turn, &mut flight);
    // A registry that says no is an answer: the step's time runs on. One that says nothing is not.
    let wait = give(view, turn, &mut flight).map(|wait| match wait.reason {
        "NotPullable" if gates::gone(view, &flight.release) => Wait::new("Applying", wait.message),
        _ => wait,
    });
    match wait {
        Some(wait) if wait.reason == requests::REJECTED => {
            turn.status.flight = Some(flight);
            taking_back::put_back(view, turn, requests::REJECTED, wait.message);
            return;
        }
        Some(wait) if wait.reason == "AwaitingMerge" && overtaken(view, turn, &flight) => return,
        Some(wait) if too_long(view, turn, &wait) => {
            let (name, step) = (label(&flight.release), flight::step_name(&flight));
            let message =
                format!("{name} did not reach {step} within {:#}: {}", view.stage.max_soak, wait.message);
            turn.status.flight = Some(flight);
            taking_back::put_back(view, turn, "Inconclusive", message);
            return;
        }
        Some(wait) => {
            soaking::tell_of_no_data(view, turn, &wait);
            requests::tell(view, turn, &wait);
            turn.show(Phase::Applying, wait, view.now);
        }
        None => {
            flight.healthy_seconds = 0;
            flight.clock = None;
            flight.soaking_since = Some(view.now);
            let message =
                format!("{} has to stay healthy in {}", label(&flight.release), flight::step_name(&flight));
            turn.show(Phase::Soaking, Wait::new("Soaking", message), view.now);
            turn.wake(view.now);
        }
    }
    turn.status.flight = Some(flight);
}

/// Nobody has merged it yet, and a newer release may enter: that one is proposed instead.
fn overtaken(view: &StageView<'_>, turn: &mut Turn, flight: &Flight) -> bool {
    let Some(newer) = idle::overtakes(view, turn, &flight.release) else { return false };
    turn.status.flight = Some(flight.clone());
    taking_back::superseded(view, turn, &newer);
    true
}

/// A step that is given out may take as long as its soak may (L2); waiting for a person, a window or data does not
/// count.
fn too_long(view: &StageView<'_>, turn: &mut Turn, wait: &Wait) -> bool {
    // Without fresh watches nothing is put back (I8): the time acts once they are back.
    if view.seen.stale_since.is_some() {
        return false;
    }
    let status = &turn.status;
    let still = status.phase == Phase::Applying && status.reason == wait.reason;
    let counts = matches!(
        wait.reason,
        "Applying" | "WaveUnstable" | "Contested" | "NoData" | "Committing" | "AwaitingSync" | "EditRefused"
    );
    let Some(since) = status.since.filter(|_| still && counts) else { return false };
    let over = since.saturating_add(view.stage.max_soak).unwrap_or(view.now);
    turn.wake(over);
    over <= view.now
}

/// Judges the candidate; true when that ended the flight (or holds it).
pub fn judged(view: &StageView<'_>, turn: &mut Turn, flight: &mut Flight) -> bool {
    ask_for_the_way_back(view, turn, flight);
    let (judgement, next) = judge::judge(view, flight);
    turn.wake(next);
    turn.asked.extend(signals::questions(flight));
    match judgement {
        judge::Judgement::Fine => false,
        judge::Judgement::Page { reason, message, until } => {
            page(view, turn, flight, Wait { reason, message, until });
            true
        }
        judge::Judgement::Degraded { reason, message } => {
            let bad = flight.release.clone();
            turn.status.flight = Some(flight.clone());
            taking_back::degraded(view, turn, &bad, reason, message);
            true
        }
        judge::Judgement::PutBack { reason, message } => {
            turn.status.flight = Some(flight.clone());
            taking_back::put_back(view, turn, reason, message);
            true
        }
    }
}

/// What one pod or one node alone, or a common cause, could explain convicts no release: hold, and say so once.
fn page(view: &StageView<'_>, turn: &mut Turn, flight: &mut Flight, wait: Wait) {
    flight.clock = None;
    if turn.status.reason != wait.reason {
        turn.tell(EventType::Warning, "Suspect", &view.stage.name, wait.message.clone());
    }
    turn.status.flight = Some(flight.clone());
    if !soaking::out_of_time(view, turn) {
        let phase = turn.status.phase;
        turn.show(phase, wait, view.now);
    }
}

/// While all is well, find out whether the way back is open, so that a rollback need not ask first.
fn ask_for_the_way_back(view: &StageView<'_>, turn: &mut Turn, flight: &Flight) {
    for repository in view.repositories() {
        let question = crate::decision::Question::Pullable(repository, flight.release.digest.clone());
        turn.questions.insert(question);
    }
    if let Some(from) = &flight.from {
        for repository in view.repositories() {
            turn.questions.insert(crate::decision::Question::Pullable(repository, from.digest.clone()));
        }
        if view.policy.verify.as_ref().is_some_and(|verify| verify.on_rollback) {
            turn.questions.insert(crate::decision::Question::Signed(from.digest.clone()));
        }
    }
}

/// Why nothing is given the candidate now: what every widening write asks (decision 11), the registry, and people.
fn closed(view: &StageView<'_>, flight: &Flight) -> Option<Wait> {
    view.closed(flight.skip_window)
        .or_else(|| gates::being_quarantined(view, &flight.release))
        .or_else(|| gates::not_pullable(view, &flight.release))
        .or_else(|| edited_by_hand(view, flight))
        .or_else(|| signals::hold(view, flight))
}

/// A person changed a pod that this flight had moved: a hold, until a Resume (decision 13).
fn edited_by_hand(view: &StageView<'_>, flight: &Flight) -> Option<Wait> {
    let edited: Vec<&PodView<'_>> =
        view.live().filter(|p| moves::edited(p, &flight.release, &flight.attempt)).collect();
    let newest = edited.iter().filter_map(|p| Some(p.seen.moved.as_ref()?.at)).max()?;
    if idle::resumed(view, Some(newest)) {
        return None;
    }
    let (first, name) = (edited.first()?.name(), label(&flight.release));
    Some(Wait::new(
        "EditedByHand",
        format!(
            "somebody took {name} out of {first} by hand: held; a Resume goes on, a RollBack takes it back"
        ),
    ))
}

/// Gives the candidate to what this step covers; `None` when all of it runs the candidate and is Ready.
pub fn give(view: &StageView<'_>, turn: &mut Turn, flight: &mut Flight) -> Option<Wait> {
    let members = count_members(view, flight);
    let wait = match flight.step {
        Step::Wave(_) => give_wave(view, turn, flight, members),
        Step::All => give_all(view, turn, flight),
    };
    if let Some(wait) = wait.as_ref().filter(|w| w.reason == "EditedByHand")
        && !turn.status.message.contains(&wait.message)
    {
        turn.tell(EventType::Warning, "EditedByHand", &view.stage.name, wait.message.clone());
    }
    wait
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
    let most = u32::try_from(moves::most_in_waves(view)).unwrap_or(u32::MAX);
    let wanted = wave.pods.min(alive.saturating_sub(1).max(1)).min(most);
    if members < wanted {
        if let Some(closed) = closed(view, flight) {
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
        let why = match moves::held_back(view, &flight.release, &flight.attempt, Reach::Wave) {
            Some(held) if moved == 0 => held,
            None if moved == 0 => "waits for pods it may move".to_owned(),
            _ => "moves pods".to_owned(),
        };
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
    view.live().filter(|p| p.asked(&flight.release) && p.moved_in_step(flight))
}

fn first_is_ready(view: &StageView<'_>, flight: &Flight) -> bool {
    moved_in_step(view, flight).any(|p| up(p, flight))
}

fn first_is_on_its_way(view: &StageView<'_>, flight: &Flight) -> bool {
    moved_in_step(view, flight).next().is_some()
}

fn give_all(view: &StageView<'_>, turn: &mut Turn, flight: &mut Flight) -> Option<Wait> {
    let name = label(&flight.release);
    let waiting = moves::waits_for_it(view, &flight.release, &flight.attempt);
    let left = waiting.filter(|p| !moves::applied(view, p)).count();
    let files = deliveries::give(view, turn, flight);
    let templates_behind = templates::behind(view, &flight.release) > 0;
    let work = left > 0 || templates_behind || !files.commits.is_empty() || !pins_say_it(turn, flight);
    if let Some(held) = pins::held(view, turn, flight) {
        return Some(held);
    }
    if work && let Some(closed) = closed(view, flight) {
        return Some(closed);
    }
    if let Some(why) = files.rejected {
        return Some(Wait::new(requests::REJECTED, why));
    }
    turn.commits.extend(files.commits);
    templates::change(view, turn, &flight.release, Purpose::Promote);
    if let Some(contested) = templates::contested(view, turn, &flight.release) {
        return Some(Wait::new("Contested", format!("{name}: {contested}")));
    }
    let reach = Reach::All { templates_roll: templates::roll_by_themselves(view) };
    let mut batch = moves::for_batch(view, &flight.release, &flight.attempt, reach);
    if !first_is_ready(view, flight) {
        batch.truncate(usize::from(!first_is_on_its_way(view, flight)));
    }
    for pod in batch {
        turn.actions.extend(moves::action(view, pod, &flight.release, &flight.attempt, Purpose::Promote));
    }
    if let Some(wait) = files.wait.or_else(|| deliveries::awaited(view, turn, &flight.release)) {
        return Some(wait);
    }
    let mine = view.live().filter(|p| p.asked(&flight.release));
    let unready = mine.filter(|p| !up(p, flight)).count();
    let allowed = flight.unready_at_entry as usize;
    let rolling = templates::rolling(view, &flight.release);
    let have = view.live().filter(|p| p.runs(&flight.release)).count();
    let all = view.live().count();
    // What is given at birth only has proved nothing while no pod was born with it.
    let nobody = have == 0 && all > 0;
    let held = moves::held_back(view, &flight.release, &flight.attempt, reach);
    let short = left > 0 || rolling > 0 || unready > allowed || nobody || held.is_some();
    if short || !pins_say_it(turn, flight) {
        let unready = (unready > 0).then(|| not_ready(unready));
        let have = format!("{name}: {have} of {all} pods run it");
        let parts: Vec<String> = [Some(have), unready, held].into_iter().flatten().collect();
        return Some(Wait::new("Applying", parts.join("; ")));
    }
    None
}

fn pins_say_it(turn: &Turn, flight: &Flight) -> bool {
    let pinned = turn.status.pinned.as_ref();
    pinned.is_some_and(|p| p.digest == flight.release.digest && p.confirmed)
}
