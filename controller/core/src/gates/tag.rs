//! Whether a candidate's tag still names it.
//!
//! Guarantees (decision 21): looked up once more before every entry; what cannot be looked up lets nothing in (I8).

use crate::{
    image::{Release, Tag},
    observed::Answer,
    select::Order,
    stage::{Entry, StageView, Wait},
};

/// A released version tag that names other contents now is held, under its old contents, too.
pub fn tag_kept(view: &StageView<'_>, entry: &Entry) -> Option<Wait> {
    let tag = tag_to_look_up(view, entry)?;
    match view.all.answers.tags.get(tag) {
        None => Some(Wait::new("Checking", format!("asks whether tag {tag} still names it"))),
        // Whether the registry answers at all is the last gate's question.
        Some(answer) => not_named(view, entry, tag, answer),
    }
}

/// The tag that is looked up once more before `entry` (decision 21).
#[must_use]
pub fn tag_to_look_up<'e>(view: &StageView<'_>, entry: &'e Entry) -> Option<&'e Tag> {
    let current = view.life.stages.get(view.index).and_then(crate::stage::current_of);
    // A person named a digest; or it only has to soak again, and nothing is given to anybody.
    let again = current.is_some_and(|current| view.facts.same(&current.release, &entry.release));
    entry.release.tag.as_ref().filter(|_| entry.promote.is_none() && !again)
}

/// The last gate, asked when all others are open: one request per entry. What a registry said before it began to fail
/// lets nothing in (I8).
#[must_use]
pub fn tag_now(view: &StageView<'_>, entry: &Entry) -> Option<Wait> {
    let tag = tag_to_look_up(view, entry)?;
    match view.all.answers.tags_now.get(tag) {
        None => Some(Wait::new("Checking", format!("asks once more whether tag {tag} still names it"))),
        Some(Answer::Failed(f)) => Some(Wait::new(
            "Checking",
            format!(
                "{} could not be asked whether tag {tag} still names it, since {}: {}",
                view.policy.image, f.since, f.message
            ),
        )),
        Some(answer) => not_named(view, entry, tag, answer),
    }
}

/// What the tag of `entry` names instead of it, if that is known.
#[must_use]
pub fn moved_to<'v>(view: &'v StageView<'_>, entry: &Entry) -> Option<&'v Release> {
    let tag = tag_to_look_up(view, entry)?;
    let answers = [view.all.answers.tags_now.get(tag), view.all.answers.tags.get(tag)];
    answers.into_iter().flatten().find_map(|answer| other_contents(view, entry, answer))
}

fn other_contents<'v>(
    view: &StageView<'_>,
    entry: &Entry,
    answer: &'v Answer<Release>,
) -> Option<&'v Release> {
    // A mutable tag goes on while its release is under way: that is how the next one is found.
    let mutable = matches!(view.policy.select.order, Order::Digest { .. });
    let Answer::Known(now) = answer else { return None };
    (!mutable && now.contents_key() != entry.release.contents_key()).then_some(now)
}

fn not_named(view: &StageView<'_>, entry: &Entry, tag: &Tag, answer: &Answer<Release>) -> Option<Wait> {
    let meant = &entry.release.digest;
    if let Some(now) = other_contents(view, entry, answer) {
        let message = format!(
            "tag {tag} names other contents now ({}); Promote digest {} or {meant} to go on",
            now.digest.short(),
            now.digest
        );
        return Some(Wait::new("TagMoved", message));
    }
    let mutable = matches!(view.policy.select.order, Order::Digest { .. });
    (!mutable && *answer == Answer::Absent).then(|| {
        let message =
            format!("tag {tag} was deleted from the registry; Promote digest {meant} to go on all the same");
        Wait::new("TagGone", message)
    })
}
