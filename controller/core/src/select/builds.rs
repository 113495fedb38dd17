//! `newestBuild`: by the date that the publisher wrote into the image's config.
//!
//! Reading a config costs a request, so tags are looked at in an order that guesses which are new ([`natural`](super::natural)), and
//! only so many of them ([`DISCOVERY_LIMIT`]).

use jiff::Timestamp;

use super::rank::{Ranked, Reason, Rejected};
use crate::image::shown;

/// How many tags have their configs read if the policy does not say.
pub const DISCOVERY_LIMIT: usize = 20;

/// Candidates by date of build, the newest first, and those without a date that means anything.
///
/// Equal dates: the larger tag wins. A date of the future is a mistake, or would win for ever; a zero date is what
/// reproducible builds write.
#[must_use]
pub fn newest_first(
    candidates: impl IntoIterator<Item = (Ranked, Option<Timestamp>)>,
    now: Timestamp,
) -> (Vec<(Ranked, Timestamp)>, Vec<Rejected>) {
    let (mut dated, mut rejected) = (Vec::new(), Vec::new());
    for (mut ranked, created) in candidates {
        let why = match created {
            None => "the date of its build is not known",
            Some(created) if created <= Timestamp::UNIX_EPOCH => {
                "its build has a zero date, as reproducible builds write it"
            }
            Some(created) if created > now => "the date of its build is in the future",
            Some(created) => {
                ranked.version = Some(created.to_string());
                dated.push((ranked, created));
                continue;
            }
        };
        rejected.push(Rejected {
            message: format!(
                "{} is left out: {why}, and select.newestBuild goes by it",
                shown(ranked.tag.as_str())
            ),
            tag: ranked.tag.to_string(),
            reason: Reason::NoBuildDate,
        });
    }
    dated.sort_by(|(a, x), (b, y)| (y, b.tag.as_str()).cmp(&(x, a.tag.as_str())));
    rejected.sort_by(|a, b| b.tag.cmp(&a.tag));
    (dated, rejected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_date_wins_and_dates_that_mean_nothing_are_explained() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let tag = |tag: &str| Ranked { tag: tag.parse().unwrap(), version: None };
        let date = |text: &str| Some(text.parse().unwrap());
        let (dated, rejected) = newest_first(
            [
                (tag("old"), date("2026-01-01T00:00:00Z")),
                (tag("a"), date("2026-11-22T12:00:00Z")),
                (tag("b"), date("2026-11-22T12:00:00Z")),
                (tag("none"), None),
                (tag("zero"), date("1970-01-01T00:00:00Z")),
                (tag("year-one"), date("0001-01-01T00:00:00Z")),
                (tag("tomorrow"), date("2026-11-22T12:00:01Z")),
            ],
            now,
        );
        let order: Vec<&str> = dated.iter().map(|(ranked, _)| ranked.tag.as_str()).collect();
        assert_eq!(order, ["b", "a", "old"]);
        assert_eq!(dated[0].0.version.as_deref(), Some("2026-11-22T12:00:00Z"));
        let said: Vec<(&str, bool)> = rejected
            .iter()
            .map(|r| (r.tag.as_str(), r.reason == Reason::NoBuildDate && r.message.contains(&r.tag)))
            .collect();
        assert_eq!(said, [("zero", true), ("year-one", true), ("tomorrow", true), ("none", true)]);
    }
}
