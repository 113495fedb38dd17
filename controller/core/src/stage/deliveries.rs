//! Files of repositories: what a `git` target asks, when a commit is due, and what keeps the files from the release.
//!
//! Guarantees: a commit carries its attempt and what the files said when it was decided; an attempt makes one commit, and
//! another one only where that was seen and taken out again, three at most (K14); nothing is taken back in files that never named it; a repository
//! that does not answer takes nothing away from what was seen of this attempt.

use super::{StageView, Turn, Wait, moves, requests, templates::CONTESTED_AFTER};
use crate::{
    decision::EventType,
    gates::label,
    git::{Commit, Delivery, Files, FilesSeen, GitTarget, Place},
    image::Release,
    observed::{Answer, Failure, MissingRight, StageSeen},
    policy::{Stage, Target},
    status::{Contest, Delivered, Flight, Rollback, Step},
};
use requests::Asked;

/// What a step does about its files.
pub struct Giving {
    /// Commits that are due.
    pub commits: Vec<Commit>,
    /// What keeps the files from the release; none: they name it.
    pub wait: Option<Wait>,
    /// A person closed the request for it: where, and what that means.
    pub rejected: Option<String>,
}

/// What one target's files are to the release.
enum State {
    Said,
    /// A commit is due, and what is said until it is made.
    Due(Vec<Place>, Wait),
    /// A request waits for somebody who merges it; what is said until then.
    Asked(Vec<Place>, Wait),
    /// Somebody closed it.
    Rejected(Vec<Place>, String),
    Waits(Wait),
}

impl State {
    /// The files name one of these, or nobody knows.
    fn may_name(&self, bad: &[Release]) -> bool {
        match self {
            Self::Said => false,
            Self::Due(places, _) | Self::Asked(places, _) | Self::Rejected(places, _) => {
                places.iter().any(|place| bad.iter().any(|bad| place.names(bad)))
            }
            Self::Waits(_) => true,
        }
    }
}

fn targets<'v>(view: &StageView<'v>) -> impl Iterator<Item = (usize, &'v GitTarget)> {
    view.stage.targets.iter().enumerate().filter_map(|(index, target)| match target {
        Target::Git(target) => Some((index, target)),
        Target::Pods(_) | Target::Workloads(_) => None,
    })
}

fn delivery(
    view: &StageView<'_>,
    turn: &Turn,
    (index, target): (usize, &GitTarget),
    release: &Release,
    attempt: &str,
) -> Delivery {
    let id = format!("{attempt}/{index}");
    let undone = turn.status.contested.get(&contest_key(&id)).map_or(0, |contest| contest.writes);
    Delivery {
        id: if undone == 0 { id } else { format!("{id}.{undone}") },
        policy: (view.policy.namespace.clone(), view.policy.name.clone()),
        stage: view.stage.name.clone(),
        remote: target.remote.clone(),
        edits: target.edits.clone(),
        repositories: view.policy.repositories().cloned().collect(),
        tag: moves::pin_tag(view, release).cloned(),
        digest: release.digest.clone(),
    }
}

/// Brings the files of every git target to the candidate.
pub fn give(view: &StageView<'_>, turn: &mut Turn, flight: &Flight) -> Giving {
    let mut giving = Giving { commits: Vec::new(), wait: None, rejected: None };
    for target in targets(view) {
        let delivery = delivery(view, turn, target, &flight.release, &flight.attempt);
        match look(view, turn, &delivery, &flight.release) {
            State::Said => {}
            State::Waits(wait) | State::Asked(_, wait) => giving.wait = giving.wait.or(Some(wait)),
            State::Rejected(_, why) => giving.rejected = Some(why),
            State::Due(expects, wait) => {
                giving.wait = giving.wait.or(Some(wait));
                giving.commits.push(Commit { delivery, expects, takes_back: false, only_closes: false });
            }
        }
    }
    giving
}

/// Brings files that name what is taken back to what it is taken back to; what keeps them from it.
pub fn take_back(
    view: &StageView<'_>,
    turn: &mut Turn,
    rollback: &Rollback,
    to: &Release,
    bad: &[Release],
) -> Option<Wait> {
    let mut first = None;
    for target in targets(view) {
        let delivery = delivery(view, turn, target, to, &rollback.attempt);
        // Before this rollback says anything of it: what the last delivery was is what counts.
        let had =
            held(turn, &delivery).is_some_and(|held| bad.iter().any(|bad| bad.answers_to(&held.digest)));
        let state = look(view, turn, &delivery, to);
        let wait = if state.may_name(bad) {
            match state {
                State::Said => None,
                State::Due(expects, wait) => {
                    turn.commits.push(Commit { delivery, expects, takes_back: true, only_closes: false });
                    Some(wait)
                }
                State::Asked(_, wait) => Some(wait),
                State::Rejected(_, why) => Some(Wait::new(requests::REJECTED, why)),
                // What cannot be edited and was never brought to it has nothing to be taken back.
                State::Waits(wait) => Some(wait).filter(|wait| wait.reason != "EditRefused" || had),
            }
        } else {
            requests::close(view, turn, delivery, rollback)
        };
        first = first.or(wait);
    }
    first
}

fn due(delivery: &Delivery, release: &Release, rejected: Option<&Failure>) -> Wait {
    if let Some(failure) = rejected {
        return failing(delivery, failure);
    }
    let doing = if delivery.remote.request.is_some() { "proposed" } else { "committed" };
    Wait::new("Committing", format!("{} is being {doing} to {}", label(release), delivery.remote))
}

/// The server does not answer.
pub fn failing(delivery: &Delivery, failure: &Failure) -> Wait {
    let message = format!("{}: {} (since {})", delivery.remote, failure.message, failure.since);
    Wait::new("GitFailed", message)
}

/// Where no pod of the stage may be moved in place because the account lacks the right, the waves are left out: what
/// applies the files gives the release to all of them.
pub fn without_waves(view: &StageView<'_>, turn: &mut Turn, flight: &mut Flight) {
    if !matches!(flight.step, Step::Wave(_)) || flight.members > 0 || moves::most_in_waves(view) > 0 {
        return;
    }
    let lacking = view.live().filter(|pod| moves::applied(view, pod)).find_map(|pod| {
        view.seen.missing_rights.iter().find(|right| right.keeps_pods(&pod.seen.key.namespace))
    });
    let Some(right) = lacking else { return };
    flight.step = Step::All;
    flight.step_since = view.now;
    let message =
        format!("{} is committed without waves on running pods before: {right}", label(&flight.release));
    turn.tell(EventType::Warning, "WavesLeftOut", &view.stage.name, message);
}

/// A right that the stage cannot do without. Where only files lead to pods, it can do without moving them.
#[must_use]
pub fn needed_right<'s>(stage: &Stage, seen: &'s StageSeen) -> Option<&'s MissingRight> {
    let hinders = |right: &MissingRight| {
        let mut reached =
            seen.namespaces.iter().filter(|(_, namespace)| right.keeps_pods(namespace)).peekable();
        reached.peek().is_none()
            || reached.any(|(target, _)| !matches!(stage.targets.get(*target), Some(Target::Git(_))))
    };
    seen.missing_rights.iter().find(|right| hinders(right))
}

/// A right for want of which the pods of files get no waves.
#[must_use]
pub fn spared_right<'s>(stage: &Stage, seen: &'s StageSeen) -> Option<&'s MissingRight> {
    seen.missing_rights.iter().find(|right| {
        let mut reached = seen.namespaces.iter().filter(|(_, namespace)| right.keeps_pods(namespace));
        reached.any(|(target, _)| matches!(stage.targets.get(*target), Some(Target::Git(_))))
    })
}

/// Asks what the files say, and remembers that they say it.
fn look(view: &StageView<'_>, turn: &mut Turn, delivery: &Delivery, release: &Release) -> State {
    let done = is_done(turn, delivery);
    turn.deliveries.insert(delivery.clone());
    let seen = match view.all.deliveries.get(delivery) {
        // What was seen once holds until something else is seen.
        None | Some(Answer::Failed(_) | Answer::Absent) if done => return State::Said,
        None | Some(Answer::Absent) => {
            let message = format!("looks what {} says", delivery.remote);
            return State::Waits(Wait::new("Committing", message));
        }
        Some(Answer::Failed(failure)) => return State::Waits(failing(delivery, failure)),
        Some(Answer::Known(seen)) => seen,
    };
    let FilesSeen { own, files, undone_by, rejected, proposal } = seen;
    match files {
        Files::Say(head) => {
            remember(view, turn, delivery, own.as_ref().unwrap_or(head));
            State::Said
        }
        Files::Refused(why) => {
            let message = format!("{}: {why}", delivery.remote);
            State::Waits(Wait::new("EditRefused", message))
        }
        Files::Differ(places) if !done && own.is_none() => {
            let places = places.clone();
            match requests::asked(delivery, release, proposal.as_ref()) {
                Some(Asked::Open(wait)) => State::Asked(places, wait),
                Some(Asked::Closed(why)) => State::Rejected(places, why),
                Some(Asked::Merged(wait)) => State::Waits(wait),
                None => State::Due(places, due(delivery, release, rejected.as_ref())),
            }
        }
        Files::Differ(places) => {
            let place =
                places.first().map(|place| format!(" ({} {})", place.file, place.path)).unwrap_or_default();
            let who = undone_by.as_deref().unwrap_or("somebody");
            let what = format!("{who} took {} out of {} again{place}", label(release), delivery.remote);
            State::Waits(taken_out(view, turn, delivery, &what))
        }
    }
}

/// The commit of this attempt was seen, and the files do not say it any more: a tool, or a person, decided otherwise.
/// Three commits are made; then it is theirs.
fn taken_out(view: &StageView<'_>, turn: &mut Turn, delivery: &Delivery, what: &str) -> Wait {
    let (id, before) = match delivery.id.rsplit_once('.') {
        Some((id, before)) => (id, before.parse().unwrap_or(CONTESTED_AFTER)),
        None => (delivery.id.as_str(), 0),
    };
    let undone = before + 1;
    if undone < CONTESTED_AFTER {
        turn.status.contested.insert(contest_key(id), Contest { writes: undone, generation: 0 });
        turn.wake(view.now);
        return Wait::new("Committing", format!("{what}; it is committed once more"));
    }
    let message = format!("{what}, for the third time; it is left alone");
    if turn.status.reason != "Contested" {
        turn.tell(EventType::Warning, "Contested", &view.stage.name, message.clone());
    }
    Wait::new("Contested", message)
}

fn contest_key(id: &str) -> String {
    format!("git/{id}")
}

/// What the files of this target were last seen to be brought to.
fn held<'t>(turn: &'t Turn, delivery: &Delivery) -> Option<&'t Delivered> {
    turn.status.git.iter().find(|held| target_of(&held.id) == target_of(&delivery.id))
}

/// The files were seen to say what this attempt brings.
fn is_done(turn: &Turn, delivery: &Delivery) -> bool {
    let Delivery { id, remote, .. } = delivery;
    held(turn, delivery)
        .is_some_and(|held| held.id == *id && held.url == remote.url && held.branch == remote.branch)
}

fn target_of(id: &str) -> Option<&str> {
    let (_, target) = id.rsplit_once('/')?;
    Some(target.split_once('.').map_or(target, |(target, _)| target))
}

fn remember(view: &StageView<'_>, turn: &mut Turn, delivery: &Delivery, commit: &str) {
    if is_done(turn, delivery) {
        return;
    }
    let all = view.stage.targets.len();
    // Of a target that the policy does not have any more nothing is kept.
    turn.status.git.retain(|held| {
        target_of(&held.id) != target_of(&delivery.id)
            && target_of(&held.id).and_then(|n| n.parse::<usize>().ok()).is_some_and(|n| n < all)
    });
    turn.status.git.push(Delivered {
        id: delivery.id.clone(),
        url: delivery.remote.url.clone(),
        branch: delivery.remote.branch.clone(),
        commit: commit.to_owned(),
        digest: delivery.digest.clone(),
        since: view.now,
    });
    turn.status.git.sort_by(|a, b| target_of(&a.id).cmp(&target_of(&b.id)));
}

/// The files name the release: which pods that they lead to were not given it yet.
pub fn awaited(view: &StageView<'_>, turn: &Turn, release: &Release) -> Option<Wait> {
    let (index, target) = targets(view).find(|(index, _)| {
        view.live().any(|pod| pod.seen.target == *index && !pod.seen.of_job && !pod.asked(release))
    })?;
    let mine = || view.live().filter(|pod| pod.seen.target == index && !pod.seen.of_job);
    let have = mine().filter(|pod| pod.asked(release)).count();
    let number = index.to_string();
    let commit = turn.status.git.iter().find(|held| target_of(&held.id) == Some(number.as_str()));
    let commit = commit.map(|held| format!(" ({})", held.commit.get(..12).unwrap_or(&held.commit)));
    let message = format!(
        "{} is in {}{}; {have} of {} pods have it",
        label(release),
        target.remote,
        commit.unwrap_or_default(),
        mine().count()
    );
    Some(Wait::new("AwaitingSync", message))
}
