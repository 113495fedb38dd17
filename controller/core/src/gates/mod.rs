//! What must hold before a candidate enters a stage. Pure, named, in the order a person would ask.
//!
//! Guarantees: a gate that cannot tell keeps the candidate out, with a reason, a sentence and, where it is known, the
//! time at which it opens by itself.

mod signed;
mod tag;
pub mod windows;

pub use signed::refused_signature;
pub use tag::{moved_to, tag_now, tag_to_look_up};

use crate::{
    image::Release,
    observed::{Answer, InterventionKind, Skip},
    stage::{Entry, StageView, Wait},
    status::Source,
};
use std::collections::BTreeSet;

/// One gate: why `entry` has to wait, if it has to.
pub type Gate = fn(&StageView<'_>, &Entry) -> Option<Wait>;

/// All gates, in the order a person would ask.
pub const GATES: &[Gate] = &[
    not_quarantined,
    not_refused,
    in_order,
    tag::tag_kept,
    signed::signed,
    restored_long_enough,
    old_enough,
    held,
    in_window,
    approved,
    pullable,
];

/// Those of them that need nothing but the status, the Quarantines and the Interventions.
const REMEMBERED: &[Gate] =
    &[not_quarantined, not_refused, restored_long_enough, old_enough, held, in_window, approved];

/// Every gate that keeps `entry` out, as far as can be told without pods and registry.
pub fn closed_as_remembered(view: &StageView<'_>, entry: &Entry) -> impl Iterator<Item = Wait> {
    // Where a registry would have to be asked, nothing is known here.
    REMEMBERED.iter().filter_map(|gate| gate(view, entry)).filter(|wait| wait.reason != "Checking")
}

/// The first gate that keeps `entry` out; [`tag_now`] comes after them.
#[must_use]
pub fn first_closed(view: &StageView<'_>, entry: &Entry) -> Option<Wait> {
    GATES.iter().find_map(|gate| gate(view, entry))
}

/// Why nothing may be widened in this stage now (decision 11): every write that gives something the candidate asks.
#[must_use]
pub fn closed(view: &StageView<'_>, skip_window: bool) -> Option<Wait> {
    if let Some(conflict) = &view.conflict {
        return Some(Wait::new(
            "Conflicted",
            format!("not widened: {conflict}; change one of the two selectors"),
        ));
    }
    if let Some(since) = view.seen.stale_since {
        return Some(Wait::new(
            "StaleWatch",
            format!("the API server's watches have not been fresh since {since}"),
        ));
    }
    hold(view).or_else(|| if skip_window { None } else { window(view) })
}

fn not_quarantined(view: &StageView<'_>, entry: &Entry) -> Option<Wait> {
    being_quarantined(view, &entry.release)
        .or_else(|| quarantined(view, entry))
        .or_else(|| unknown_quarantine(view))
}

/// Nobody knows yet what a Quarantine holds back: it may be this.
fn unknown_quarantine(view: &StageView<'_>) -> Option<Wait> {
    let (quarantine, digest) = view.facts.unknown_quarantine()?;
    let message = match view.all.answers.digests.get(digest) {
        Some(Answer::Failed(f)) => {
            format!("{} could not be asked since {}: {}", view.policy.image, f.since, f.message)
        }
        _ => format!("asks {}", view.policy.image),
    };
    Some(Wait::new("Checking", format!("what Quarantine {} holds back: {message}", quarantine.name)))
}

/// A rollback that began in this very pass makes a Quarantine of it.
#[must_use]
pub fn being_quarantined(view: &StageView<'_>, release: &Release) -> Option<Wait> {
    let begun = view.facts.quarantine_of(release).is_none() && view.facts.quarantined(view.life, release);
    begun.then(|| Wait::new("Quarantined", format!("{} is being quarantined", label(release))))
}

fn quarantined(view: &StageView<'_>, entry: &Entry) -> Option<Wait> {
    let quarantine = view.facts.quarantine_of(&entry.release)?;
    Some(Wait::new(
        "Quarantined",
        format!(
            "{} is quarantined ({}); `kubectl delete quar {}` would release it",
            label(&entry.release),
            quarantine.reason,
            quarantine.name
        ),
    ))
}

fn not_refused(view: &StageView<'_>, entry: &Entry) -> Option<Wait> {
    let why = view.life.stages.get(view.index)?.refused.get(&entry.release.contents_key())?;
    if entry.promote.is_some() {
        return None;
    }
    Some(Wait::new(
        "Refused",
        format!(
            "this stage gave {} back: {why}; a newer release or a Resume would go on",
            label(&entry.release)
        ),
    ))
}

/// Whether `release` is lower than what the stage runs, in the policy's order.
#[must_use]
pub fn lower(view: &StageView<'_>, release: &Release) -> bool {
    let status = view.life.stages.get(view.index);
    status.and_then(crate::stage::current_of).is_some_and(|current| {
        view.facts.compare(view.life, release, &current.release) == Some(std::cmp::Ordering::Less)
    })
}

/// What the stage runs has a tag that selection does not admit any more.
#[must_use]
pub fn out_of_range(view: &StageView<'_>) -> bool {
    let status = view.life.stages.get(view.index);
    status
        .and_then(crate::stage::current_of)
        .is_some_and(|current| current.release.tag.is_some() && !view.facts.in_range(&current.release))
}

/// Versions never go down by themselves (I10).
fn in_order(view: &StageView<'_>, entry: &Entry) -> Option<Wait> {
    let status = view.life.stages.get(view.index)?;
    let current = crate::stage::current_of(status)?;
    if entry.promote.is_none() && current.release.version.is_none() && !view.facts.tags_looked_at() {
        return Some(Wait::new(
            "Resolving",
            format!("asks the registry which version {} is", label(&current.release)),
        ));
    }
    let allowed = view.policy.select.allow_downgrade && out_of_range(view);
    if entry.promote.is_some() || allowed || !lower(view, &entry.release) {
        return None;
    }
    let fix = "widen the range, set select.allowDowngrade, or Promote a digest";
    Some(Wait::new(
        "OutOfRange",
        format!(
            "runs {}, which is newer than the candidate {}; {fix}",
            label(&current.release),
            label(&entry.release)
        ),
    ))
}

/// With a lost status nothing is promoted until the longest soak has passed (decision 14).
fn restored_long_enough(view: &StageView<'_>, _: &Entry) -> Option<Wait> {
    let longest = view.policy.stages.iter().map(|s| s.soak).max()?;
    let until = view.life.restored_at?.checked_add(longest).ok()?;
    (view.now < until).then(|| {
        Wait::new(
            "StatusRestored",
            "the status was lost and came back from the pins; waits for the longest soak".to_owned(),
        )
        .until(until)
    })
}

fn old_enough(view: &StageView<'_>, entry: &Entry) -> Option<Wait> {
    let least = view.policy.select.minimum_release_age;
    if least.is_zero() || entry.skips(Skip::Age) {
        return None;
    }
    let key = entry.release.contents_key();
    let Some(seen) = view.life.first_seen.iter().find(|f| f.contents == key) else {
        return Some(Wait::new("TooYoung", format!("{} has not been listed yet", label(&entry.release))));
    };
    let until = view.policy.select.old_enough_at(seen.at)?;
    (view.now < until).then(|| {
        Wait::new(
            "TooYoung",
            format!("{} was first seen {}; too young until {until}", label(&entry.release), seen.at),
        )
        .until(until)
    })
}

fn held(view: &StageView<'_>, _: &Entry) -> Option<Wait> {
    hold(view)
}

fn hold(view: &StageView<'_>) -> Option<Wait> {
    let hold = view.facts.hold(&view.stage.name)?;
    let wait = Wait::new(
        "Held",
        format!(
            "held by {} ({}); a Resume, or deleting Intervention {}, ends it",
            hold.requested_by, hold.reason, hold.id
        ),
    );
    Some(match hold.not_after {
        Some(until) => wait.until(until),
        None => wait,
    })
}

fn in_window(view: &StageView<'_>, entry: &Entry) -> Option<Wait> {
    if entry.skips(Skip::Window) { None } else { window(view) }
}

fn window(view: &StageView<'_>) -> Option<Wait> {
    match windows::at(&view.stage.windows, view.now) {
        windows::State::Open => None,
        windows::State::Closed { until } => {
            let wait = Wait::new(
                "WindowClosed",
                match until {
                    Some(until) => format!("outside its windows until {until}"),
                    None => "outside its windows, and none of them opens within a year".to_owned(),
                },
            );
            Some(match until {
                Some(until) => wait.until(until),
                None => wait,
            })
        }
    }
}

/// Distinct people are counted, and each approves one release.
#[must_use]
pub fn approved(view: &StageView<'_>, entry: &Entry) -> Option<Wait> {
    if view.stage.approvals == 0 || entry.skips(Skip::Approval) {
        return None;
    }
    let people: BTreeSet<&str> = view
        .facts
        .interventions(InterventionKind::Approve, &view.stage.name)
        .filter(|i| i.digest.as_ref().is_some_and(|d| entry.release.answers_to(d)))
        .map(|i| i.requested_by.as_str())
        .collect();
    let have = u32::try_from(people.len()).unwrap_or(u32::MAX);
    (have < view.stage.approvals).then(|| {
        Wait::new(
            "ApprovalRequired",
            format!(
                "{} of {} approvals for {}; an Intervention with action Approve, stage {} and digest {} gives one",
                have,
                view.stage.approvals,
                label(&entry.release),
                view.stage.name,
                entry.release.digest
            ),
        )
    })
}

fn pullable(view: &StageView<'_>, entry: &Entry) -> Option<Wait> {
    not_pullable(view, &entry.release)
}

/// Some repository that the pods use answered that it does not have this.
#[must_use]
pub fn gone(view: &StageView<'_>, release: &Release) -> bool {
    let repositories = view.repositories();
    repositories.iter().any(|r| matches!(view.facts.pullable(r, &release.digest), Some(Answer::Absent)))
}

/// Before anything is pinned, its digest is fetched through every repository that the pods use.
#[must_use]
pub fn not_pullable(view: &StageView<'_>, release: &Release) -> Option<Wait> {
    view.repositories().into_iter().find_map(|repository| {
        let shown = label(release);
        match view.facts.pullable(&repository, &release.digest) {
            Some(Answer::Known(())) => None,
            None => Some(Wait::new("Checking", format!("asks {repository} for {shown}"))),
            Some(Answer::Absent) => Some(Wait::new(
                "NotPullable",
                format!("{repository} does not have {shown} ({}); mirror it there", release.digest),
            )),
            Some(Answer::Failed(f)) => Some(Wait::new(
                "NotPullable",
                format!("{repository} could not be asked for {shown} since {}: {}", f.since, f.message),
            )),
        }
    })
}

/// Every predecessor verified it here and now: under the hash of its present definition; never `Adopted`.
#[must_use]
pub fn verified_upstream(view: &StageView<'_>, release: &Release) -> bool {
    view.stage.after.iter().all(|&before| {
        let (Some(stage), Some(status)) = (view.policy.stages.get(before), view.life.stages.get(before))
        else {
            return false;
        };
        status.verified.iter().any(|v| {
            v.source == Source::Verified && v.hash == stage.hash && view.facts.same(&v.release, release)
        })
    })
}

/// How a release is named to people: its tag, else its short digest.
#[must_use]
pub fn label(release: &Release) -> String {
    match (&release.tag, &release.version) {
        (_, Some(version)) => version.clone(),
        (Some(tag), None) => tag.to_string(),
        (None, None) => release.digest.short().to_owned(),
    }
}

/// `0.28.0 (1a4fbb18ce73)`, or the digest alone where nothing else is known.
#[must_use]
pub fn label_and_digest(release: &Release) -> String {
    let (label, digest) = (label(release), release.digest.short());
    if label == digest { label } else { format!("{label} ({digest})") }
}
