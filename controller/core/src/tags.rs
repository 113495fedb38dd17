//! What became of the newest tags: `status.tags`, so that nobody has to guess why one was not taken.
//!
//! Guarantees: bounded; says only what selection and [`choose`](crate::catalogue::choose) have found, decides nothing.

use crate::{select::Ranking, status::TagSeen};

/// Tags that are named.
const MOST: usize = 24;
/// Tags named that are older than the candidate, and of every reason that selection has.
const OF_A_KIND: usize = 3;
/// Characters of a sentence.
const SENTENCE: usize = 240;

/// Collects, best tag first.
#[derive(Debug, Default)]
pub struct Seen(Vec<TagSeen>);

impl Seen {
    /// One tag that was looked at.
    pub fn note(&mut self, tag: &str, reason: &str, message: String) {
        let message = if message.chars().count() > SENTENCE {
            message.chars().take(SENTENCE - 1).chain(['…']).collect()
        } else {
            message
        };
        self.0.push(TagSeen { tag: tag.to_owned(), reason: reason.to_owned(), message });
    }

    /// The list, with what follows the candidate and what selection did not admit.
    #[must_use]
    pub fn with_the_rest(mut self, ranking: &Ranking) -> Vec<TagSeen> {
        let chosen = |seen: &&TagSeen| matches!(seen.reason.as_str(), "Candidate" | "TooYoung");
        let candidate = self.0.iter().find(chosen).map(|seen| seen.tag.clone());
        if let Some(candidate) = candidate {
            let older =
                ranking.best_first.iter().skip_while(|ranked| ranked.tag.as_str() != candidate).skip(1);
            for ranked in older.take(OF_A_KIND) {
                self.note(ranked.tag.as_str(), "Older", format!("{candidate} is newer"));
            }
        }
        let (mut reason, mut named) = (None, 0);
        for rejected in &ranking.rejected {
            named = if reason == Some(rejected.reason) { named + 1 } else { 0 };
            reason = Some(rejected.reason);
            if named < OF_A_KIND {
                self.note(&rejected.tag, rejected.reason.name(), rejected.message.clone());
            }
        }
        self.0.truncate(MOST);
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::select::{Order, Selection, rank};

    #[test]
    fn the_candidate_comes_first_then_what_is_older_then_a_few_of_each_reason_newest_first() {
        let mut tags: Vec<String> = (0..9).map(|n| format!("0.{n}.0")).collect();
        tags.extend((0..12).map(|n| format!("1.{n}.0")));
        tags.extend(["latest", "edge"].map(str::to_owned));
        let selection = Selection::of(Order::semver("<1.0.0").unwrap()).unwrap();
        let ranking = rank(&selection, tags.iter().map(String::as_str));
        let mut seen = Seen::default();
        seen.note("0.8.0", "Quarantined", "x".repeat(1000));
        seen.note("0.7.0", "Candidate", String::new());
        let found = seen.with_the_rest(&ranking);
        let short: Vec<(&str, &str)> = found.iter().map(|s| (s.tag.as_str(), s.reason.as_str())).collect();
        assert_eq!(
            short,
            [
                ("0.8.0", "Quarantined"),
                ("0.7.0", "Candidate"),
                ("0.6.0", "Older"),
                ("0.5.0", "Older"),
                ("0.4.0", "Older"),
                ("latest", "NotAVersion"),
                ("edge", "NotAVersion"),
                ("1.11.0", "OutOfRange"),
                ("1.10.0", "OutOfRange"),
                ("1.9.0", "OutOfRange"),
            ]
        );
        assert_eq!(found[0].message.chars().count(), SENTENCE);
    }
}
