//! What a rollback returns to.
//!
//! Guarantees (I5, decision 17): only what was verified or adopted here and is not quarantined; what a repository in
//! use answered not to have is passed over; where nobody could look, only what ran within a day, one pod first.

use super::{StageView, Turn, view::stable};
use crate::{
    decision::Question,
    gates::label,
    image::Release,
    observed::Answer,
    signature::Signed,
    status::{Rollback, StageStatus},
};
use jiff::SignedDuration;

/// What ran so lately is still on the nodes, most likely.
const LATELY: SignedDuration = SignedDuration::from_hours(24);

/// Where a rollback goes.
pub enum Way {
    /// To this release; `false`: nobody could look whether it can be pulled, so one pod goes first.
    To(Release, bool),
    /// The registry has not answered yet.
    Asking,
    /// Nowhere, and why.
    None(String),
}

/// Whether a release can be had.
enum Had {
    Yes,
    No,
    Unasked,
    Unknown,
}

/// Chooses what to return to, newest first.
pub fn choose(view: &StageView<'_>, turn: &mut Turn, rollback: &Rollback) -> Way {
    let safe: Vec<Release> = stable(&turn.status.verified, view.facts, Some(&rollback.bad))
        .into_iter()
        .map(|v| v.release.clone())
        .collect();
    let mut unknown = None;
    for release in safe {
        let chosen = rollback.to.as_ref().is_some_and(|to| to.digest == release.digest);
        match had(view, turn, &release) {
            Had::Yes => return Way::To(release, true),
            Had::No => {}
            // Chosen before the controller was started again.
            Had::Unasked if chosen => return Way::To(release, false),
            Had::Unasked => return Way::Asking,
            Had::Unknown if chosen || ran_lately(view, &turn.status, &release) => {
                return Way::To(release, false);
            }
            Had::Unknown => unknown = Some(release),
        }
    }
    let why = match unknown {
        Some(release) => format!("no repository could be asked for {}", label(&release)),
        None => "there is no safe release to return to".to_owned(),
    };
    Way::None(format!(
        "{} is bad ({}), and {why}; Adopt a digest to return to, or Promote one",
        label(&rollback.bad),
        rollback.message
    ))
}

fn had(view: &StageView<'_>, turn: &mut Turn, release: &Release) -> Had {
    let mut answers = Vec::new();
    for repository in view.repositories() {
        answers.push(view.facts.pullable(&repository, &release.digest));
        turn.questions.insert(Question::Pullable(repository, release.digest.clone()));
    }
    let signed = signed(view, turn, release);
    if answers.iter().any(|a| matches!(a, Some(Answer::Absent))) || matches!(signed, Had::No) {
        Had::No
    } else if answers.iter().any(Option::is_none) || matches!(signed, Had::Unasked) {
        Had::Unasked
    } else if answers.iter().all(|a| matches!(a, Some(Answer::Known(())))) && matches!(signed, Had::Yes) {
        Had::Yes
    } else {
        Had::Unknown
    }
}

/// Whether it has the signature that the policy asks for, where it asks for that on the way back, too.
fn signed(view: &StageView<'_>, turn: &mut Turn, release: &Release) -> Had {
    if view.policy.verify.as_ref().is_none_or(|verify| !verify.on_rollback) {
        return Had::Yes;
    }
    turn.questions.insert(Question::Signed(release.digest.clone()));
    match view.facts.signed(&release.digest) {
        Some(Answer::Known(Signed::Trusted(_))) => Had::Yes,
        Some(Answer::Known(Signed::Foreign(_)) | Answer::Absent) => Had::No,
        Some(Answer::Failed(_)) => Had::Unknown,
        None => Had::Unasked,
    }
}

/// It is what the stage runs, or what it ran until the next one was verified.
fn ran_lately(view: &StageView<'_>, status: &StageStatus, release: &Release) -> bool {
    if status.current.as_ref() == Some(&release.digest) || view.live().any(|p| p.runs(release)) {
        return true;
    }
    let mut later = status.verified.iter().skip_while(|v| v.release.digest != release.digest).skip(1);
    later.next().is_some_and(|next| view.now.duration_since(next.at) < LATELY)
}
