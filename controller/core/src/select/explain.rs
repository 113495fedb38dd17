//! Every tag of a listing with its reason: for people who ask, of any length.

use jiff::Timestamp;

use super::Selection;
use super::builds::newest_first;
use super::order::Order;
use super::rank::{Ranked, judge};
use crate::image::{Tag, shown};

/// What selection says of a whole listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The tag that is taken, and its version in the policy's order.
    pub chosen: Option<Ranked>,
    /// Every distinct tag once: the chosen one, the older ones, the newest first, then the others by reason.
    pub tags: Vec<Verdict>,
}

/// What it says of one tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// As it is in the registry; for `NotATag` as shown to people.
    pub tag: String,
    /// For programs: `Chosen`, `Older`, or the name of a [`Reason`](super::Reason).
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// Judges every tag. `created` knows the dates of builds, which `newestBuild` and `minimumReleaseAge` ask for; `skip` says why an admitted tag is
/// not taken all the same (a platform is missing), so that the next one is.
pub fn explain<'a>(
    selection: &Selection,
    tags: impl Iterator<Item = &'a str>,
    now: Timestamp,
    created: impl Fn(&Tag) -> Option<Timestamp>,
    skip: impl Fn(&Ranked) -> Option<Verdict>,
) -> Explained {
    let mut tags: Vec<&str> = tags.collect();
    tags.sort_unstable_by(|a, b| b.cmp(a));
    tags.dedup();
    let (mut keys, mut others) = (Vec::new(), Vec::new());
    for tag in tags {
        match judge(selection, tag) {
            Ok(key) => keys.push(key),
            Err(refusal) => others.push(refusal.explained(selection, tag)),
        }
    }
    keys.sort_unstable_by(|a, b| b.cmp(a));
    let mut admitted: Vec<Ranked> = keys.into_iter().filter_map(super::rank::Key::ranked).collect();
    if matches!(selection.order, Order::NewestBuild { .. }) {
        let dated = admitted.into_iter().map(|ranked| {
            let created = created(&ranked.tag);
            (ranked, created)
        });
        let (newest, undated) = newest_first(dated, now);
        admitted = newest.into_iter().map(|(ranked, _)| ranked).collect();
        others.extend(undated);
    }
    others.sort_by(|a, b| (a.reason, &b.tag).cmp(&(b.reason, &a.tag)));
    let age = |ranked: &Ranked| age_of(selection, created(&ranked.tag), now);
    let (chosen, mut verdicts) = choose(admitted, skip, age);
    verdicts.extend(others.into_iter().map(|rejected| Verdict {
        tag: rejected.tag,
        reason: rejected.reason.name(),
        message: rejected.message,
    }));
    Explained { chosen, tags: verdicts }
}

/// The first that nothing speaks against.
fn choose(
    admitted: Vec<Ranked>,
    skip: impl Fn(&Ranked) -> Option<Verdict>,
    age: impl Fn(&Ranked) -> String,
) -> (Option<Ranked>, Vec<Verdict>) {
    let mut chosen: Option<Ranked> = None;
    let mut verdicts = Vec::with_capacity(admitted.len());
    for ranked in admitted {
        let tag = ranked.tag.to_string();
        let verdict = match &chosen {
            Some(newer) => {
                let message =
                    format!("{} is admitted, and {} comes before it", shown(&tag), shown(newer.tag.as_str()));
                Verdict { tag, reason: "Older", message }
            }
            None => match skip(&ranked) {
                Some(skipped) => skipped,
                None => {
                    let version = ranked.version.as_deref().filter(|version| *version != tag);
                    let version = version.map(|version| format!(" (version {version})")).unwrap_or_default();
                    let age = age(&ranked);
                    chosen = Some(ranked);
                    Verdict {
                        message: format!("{} is the newest that select admits{version}{age}", shown(&tag)),
                        tag,
                        reason: "Chosen",
                    }
                }
            },
        };
        verdicts.push(verdict);
    }
    (chosen, verdicts)
}

/// Since when the controller knows some contents is not known here: what is, is said.
fn age_of(selection: &Selection, created: Option<Timestamp>, now: Timestamp) -> String {
    let age = selection.minimum_release_age;
    match created {
        _ if age.is_zero() => String::new(),
        None => format!("; no stage takes it before the controller has known it for {age:#}"),
        // As at the first scan of a policy: then the date of the build counts.
        Some(created) => match selection.old_enough_at(created).filter(|until| now < *until) {
            Some(until) => format!("; too young until {until} for a policy that begins now"),
            None => "; old enough for a policy that begins now".to_owned(),
        },
    }
}
