//! Nothing is in flight: find out what runs, keep it, and let the next candidate in when every gate is open.

use super::{Entry, StageView, Turn, Wait, adopt, current_of, deliveries, flight, guard::guard, templates};
use crate::{
    catalogue,
    decision::{EventType, Question},
    gates::{self, label},
    image::Release,
    observed::{ContainerSeen, InterventionKind, Skip},
    policy::Mode,
    status::{Phase, Source, StageStatus, Verified},
};
use std::{cmp::Ordering, collections::BTreeSet};

/// Names listed in a sentence.
const LISTED: usize = 8;

/// One step.
pub fn step(view: &StageView<'_>, turn: &mut Turn) {
    // Neither a conflict nor a missing right stops the guard: taking back is never stopped by them.
    if view.seen.stale_since.is_none() && guard(view, turn) {
        return;
    }
    if let Some(wait) = unready(view) {
        turn.show(Phase::Idle, wait, view.now);
        return;
    }
    if turn.status.reason == "Refused" && resumed(view, turn.status.since) {
        turn.status.refused.clear();
        turn.tell(EventType::Normal, "Resumed", &view.stage.name, format!("{} goes on", view.stage.name));
    }
    if turn.status.verified.is_empty()
        && let Some(wait) = adopt::step(view, turn)
    {
        turn.show(Phase::Idle, wait, view.now);
        if turn.status.mixed.is_empty() {
            return;
        }
    }
    match next(view, turn) {
        Next::Enter(entry) => try_to_enter(view, turn, *entry, Phase::Idle),
        Next::Wait(wait) => turn.show(Phase::Idle, wait, view.now),
    }
}

/// What a stage cannot do without.
fn unready(view: &StageView<'_>) -> Option<Wait> {
    if let Some(since) = view.seen.stale_since {
        return Some(Wait::new(
            "StaleWatch",
            format!("the API server's watches have not been fresh since {since}"),
        ));
    }
    if let Some(conflict) = &view.conflict {
        return Some(Wait::new("Conflicted", format!("{conflict}; change one of the two selectors")));
    }
    if let Some(right) = deliveries::needed_right(view.stage, view.seen) {
        return Some(Wait::new("Forbidden", right.to_string()));
    }
    if let Some(message) = templates::left_alone(view) {
        return Some(Wait::new("LeftAlone", message));
    }
    if view.live().next().is_none() && !templates::governed(view) {
        return Some(nothing_governed(view));
    }
    None
}

/// Why there is nothing to give a release to.
fn nothing_governed(view: &StageView<'_>) -> Wait {
    let stage = &view.stage.name;
    let pods = view.seen.pods.iter().flat_map(|p| &p.containers);
    let there: Vec<&ContainerSeen> =
        pods.chain(view.seen.workloads.iter().flat_map(|w| &w.containers)).collect();
    if there.is_empty() {
        let message = format!("no pod matches stage {stage}; check its selector and namespaces");
        return Wait::new("NoPods", message);
    }
    let listed = |texts: BTreeSet<&str>| texts.into_iter().take(LISTED).collect::<Vec<_>>().join(", ");
    let named: BTreeSet<&str> =
        view.stage.targets.iter().flat_map(|t| t.containers().iter().map(String::as_str)).collect();
    let found: Vec<&&ContainerSeen> =
        there.iter().filter(|c| named.is_empty() || named.contains(c.name.as_str())).collect();
    if found.is_empty() {
        return Wait::new(
            "NoContainers",
            format!(
                "nothing that stage {stage} matches has a container {}; they are named {}; correct `containers`",
                listed(named),
                listed(there.iter().map(|c| c.name.as_str()).collect())
            ),
        );
    }
    let place = view.mismatched.first().map(|c| format!(" ({c} and others)")).unwrap_or_default();
    Wait::new(
        "RepositoryMismatch",
        format!(
            "nothing that stage {stage} matches runs {}, but {}{place}; spec.pullFrom would name mirrors",
            view.policy.image,
            listed(found.iter().map(|c| c.image.as_str()).collect())
        ),
    )
}

/// What comes next.
enum Next {
    Enter(Box<Entry>),
    Wait(Wait),
}

/// The release this stage should take next, or why there is none.
fn next(view: &StageView<'_>, turn: &mut Turn) -> Next {
    if let Some(entry) = promoted(view, turn) {
        return Next::Enter(Box::new(entry));
    }
    let status = &turn.status;
    let current = current_of(status);
    let Some(release) = upstream(view) else {
        return Next::Wait(nothing_to_do(view, status));
    };
    if current.is_some_and(|c| view.facts.same(&c.release, &release)) {
        return match soak_again(view, current) {
            Some(release) => Next::Enter(Box::new(Entry { release, promote: None })),
            None => Next::Wait(nothing_to_do(view, status)),
        };
    }
    // Newer things run here, and rightly so: the newest release was quarantined, or a person promoted one.
    if gates::lower(view, &release) && !gates::out_of_range(view) {
        return Next::Wait(nothing_to_do(view, status));
    }
    Next::Enter(Box::new(Entry { release, promote: None }))
}

/// The newest release that the stages before this one let through: the candidate where there are none.
#[must_use]
pub fn upstream(view: &StageView<'_>) -> Option<Release> {
    let Some(&first) = view.stage.after.first() else { return view.life.candidate.clone() };
    let before = view.life.stages.get(first)?;
    let mut verified = before.verified.iter().rev().filter(|v| v.source == Source::Verified);
    let found = verified.find(|v| {
        view.facts.quarantine_of(&v.release).is_none() && gates::verified_upstream(view, &v.release)
    });
    found.map(|v| v.release.clone())
}

/// What runs here was verified under another definition of the stage, or before the status was lost, and some stage
/// after this one waits for it: it soaks again, and nothing is written for that.
fn soak_again(view: &StageView<'_>, current: Option<&Verified>) -> Option<Release> {
    let current = current?;
    let stale = match current.source {
        Source::Verified => current.hash != view.stage.hash,
        // What came back with its tags was an adoption.
        Source::Restored => view.life.stages.get(view.index)?.only_tags.is_empty(),
        Source::Adopted => false,
    };
    let quarantined = view.facts.quarantine_of(&current.release).is_some();
    let runs_it = |index: usize| {
        let after = view.life.stages.get(index).and_then(current_of);
        after.is_some_and(|c| view.facts.same(&c.release, &current.release))
    };
    let waited_for = (view.index + 1..view.policy.stages.len())
        .any(|i| view.policy.stages[i].after.contains(&view.index) && !runs_it(i));
    (stale && waited_for && !quarantined).then(|| current.release.clone())
}

/// A rollback that cannot end: a newer release may enter all the same (L4), or only what a person promotes.
pub fn enter_past_rollback(view: &StageView<'_>, turn: &mut Turn, only_promoted: bool) -> bool {
    let next = if only_promoted {
        promoted(view, turn).map(Box::new)
    } else {
        match next(view, turn) {
            Next::Enter(entry) => Some(entry),
            Next::Wait(_) => None,
        }
    };
    let Some(entry) = next else { return false };
    if keeps_out(view, turn, &entry).is_some() {
        return false;
    }
    turn.status.rollback = None;
    try_to_enter(view, turn, *entry, Phase::Blocked);
    true
}

/// The release that may enter instead of `release`, which nobody has merged yet: a newer one, or one that a person promotes.
pub fn overtakes(view: &StageView<'_>, turn: &mut Turn, release: &Release) -> Option<Release> {
    let Next::Enter(entry) = next(view, turn) else { return None };
    let newer = view.facts.compare(view.life, &entry.release, release) == Some(Ordering::Greater);
    if view.facts.same(&entry.release, release) || !(newer || entry.promote.is_some()) {
        return None;
    }
    keeps_out(view, turn, &entry).is_none().then_some(entry.release)
}

/// A person's urgent fix for this stage, unless it is here already.
fn promoted(view: &StageView<'_>, turn: &mut Turn) -> Option<Entry> {
    let promote = view.facts.promote(&view.stage.name)?;
    let digest = promote.digest.as_ref()?;
    let status = &turn.status;
    let Some(release) = view.facts.release_of(view.life, digest) else {
        turn.questions.insert(Question::Digest(view.policy.image.clone(), digest.clone()));
        return None;
    };
    let here = current_of(status).is_some_and(|c| view.facts.same(&c.release, &release));
    let had = status.verified.iter().any(|v| v.at > promote.created && view.facts.same(&v.release, &release));
    let quarantined = view.facts.quarantine_of(&release).is_some();
    if here || had || quarantined || view.life.heard.contains(&heard_id(promote, &view.stage.name)) {
        return None;
    }
    if !promote.skip.contains(&Skip::Soak) && !gates::verified_upstream(view, &release) {
        return None;
    }
    Some(Entry { release, promote: Some(promote.clone()) })
}

/// How an intervention that was carried out in a stage is remembered: the same name and digest twice is one request.
#[must_use]
pub fn heard_id(intervention: &crate::observed::InterventionSeen, stage: &str) -> String {
    let digest = intervention.digest.as_ref().map_or("", |d| d.short());
    format!("{}@{digest}/{stage}", intervention.id)
}

/// The sentence of a stage with nothing to take.
fn nothing_to_do(view: &StageView<'_>, status: &StageStatus) -> Wait {
    if !status.mixed.is_empty() {
        return Wait::new("Mixed", adopt::mixed_message(view, status));
    }
    let Some(current) = current_of(status) else {
        return Wait::new("NoCandidate", "no release has been chosen yet".to_owned());
    };
    let name = label(&current.release);
    if let Some(quarantine) = view.facts.quarantine_of(&current.release) {
        let message =
            format!("runs {name}, which is quarantined ({}); kept here to reproduce it", quarantine.reason);
        return Wait::new("RunsQuarantined", message);
    }
    match current.source {
        Source::Verified => Wait::new("Verified", format!("{name} is verified: {}", current.rules_out)),
        Source::Adopted => Wait::new("Adopted", format!("{name} was found running and is kept")),
        Source::Restored => Wait::new("Restored", format!("{name} came back from the pins of this stage")),
    }
}

/// What the gates need to know: whether it can be pulled, and whether its tag still names it.
fn ask_before_entry(view: &StageView<'_>, turn: &mut Turn, entry: &Entry) {
    for repository in view.repositories() {
        turn.questions.insert(Question::Pullable(repository, entry.release.digest.clone()));
    }
    turn.questions.extend(entry.release.tag.clone().map(Question::Tag));
    if view.policy.verify.is_some() {
        turn.questions.insert(Question::Signed(entry.release.digest.clone()));
    }
}

/// Why `entry` has to wait, if it has to. What its tag names is looked up once more when nothing else is in the way.
fn keeps_out(view: &StageView<'_>, turn: &mut Turn, entry: &Entry) -> Option<Wait> {
    ask_before_entry(view, turn, entry);
    gates::first_closed(view, entry).or_else(|| {
        turn.questions.extend(gates::tag_to_look_up(view, entry).cloned().map(Question::TagNow));
        gates::tag_now(view, entry)
    })
}

/// What people must hear of a candidate that waits, once.
fn tell_of_wait(view: &StageView<'_>, turn: &mut Turn, entry: &Entry, wait: &Wait) {
    let stage = &view.stage.name;
    if wait.reason == "ApprovalRequired" && turn.status.reason != "ApprovalRequired" {
        turn.tell(EventType::Normal, "ApprovalRequired", stage, wait.message.clone());
    }
    if wait.reason == "TagMoved"
        && let Some(now) = gates::moved_to(view, entry)
        && let Some(tag) = &entry.release.tag
    {
        let alarm = catalogue::moved_alarm(tag, now);
        if !view.life.heard.contains(&alarm) {
            turn.tell(EventType::Warning, "TagMoved", stage, wait.message.clone());
            turn.heard.push(alarm);
        }
    }
}

/// Opens the gates one by one; the last one open, the candidate enters.
pub fn try_to_enter(view: &StageView<'_>, turn: &mut Turn, entry: Entry, phase: Phase) {
    match keeps_out(view, turn, &entry) {
        Some(wait) => {
            tell_of_wait(view, turn, &entry, &wait);
            turn.show(phase, wait, view.now);
        }
        None => {
            if let Some(promote) = &entry.promote {
                turn.heard.push(heard_id(promote, &view.stage.name));
            }
            flight::enter(view, turn, entry);
        }
    }
}

/// What the stage would do, while it may write nothing (`mode: Observe`, `suspend`).
pub fn report_only(view: &StageView<'_>, turn: &mut Turn) {
    let phase = turn.status.phase;
    if phase == Phase::Blocked {
        // Nothing is written there anyway; by its reason it is known later what ends it.
        return;
    }
    if phase != Phase::Idle || turn.status.flight.is_some() {
        let what = turn.status.flight.as_ref().map_or_else(
            || "a rollback".to_owned(),
            |f| format!("{} in {}", label(&f.release), flight::step_name(f)),
        );
        let why = if view.policy.suspend { "Suspended" } else { "Observing" };
        turn.show(phase, Wait::new(why, format!("nothing is written; left half-way: {what}")), view.now);
        return;
    }
    if let Some(wait) = unready(view) {
        turn.show(phase, wait, view.now);
        return;
    }
    if turn.status.verified.is_empty()
        && turn.status.mixed.is_empty()
        && let Some(wait) = adopt::step(view, turn)
    {
        turn.show(phase, wait, view.now);
        return;
    }
    let why = if view.policy.mode == Mode::Observe { "Observing" } else { "Suspended" };
    let wait = match next(view, turn) {
        Next::Wait(wait) => Wait::new(why, format!("nothing is written; {}", wait.message)),
        Next::Enter(entry) => {
            ask_before_entry(view, turn, &entry);
            match gates::first_closed(view, &entry) {
                Some(wait) => Wait::new(
                    why,
                    format!("nothing is written; {} would wait: {}", label(&entry.release), wait.message),
                ),
                None => {
                    Wait::new(why, format!("nothing is written; {} would enter now", label(&entry.release)))
                }
            }
        }
    };
    turn.show(phase, wait, view.now);
}

/// One-shot requests that only Resume can make: whether one came after `since`.
#[must_use]
pub fn resumed(view: &StageView<'_>, since: Option<jiff::Timestamp>) -> bool {
    view.facts
        .interventions(InterventionKind::Resume, &view.stage.name)
        .any(|i| since.is_none_or(|since| i.created > since))
}
