//! One lookup: what is known, since when it fails, and when it is looked up again.
//!
//! Guarantees: an answer that could not be refreshed stays, and the failure stands beside it; a pause that a registry
//! asks for is kept within an hour; equal outcomes change nothing that anybody can see. May not: do I/O.

use super::What;
use crate::{
    ports::{Depth, Listing, PolicyKey, RegistryError},
    telemetry::Origin,
};
use jiff::Timestamp;
use lockkeeper_core::{image::Release, observed::Failure, signature::Signed};
use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};
use tokio::time::Instant;

/// How long "can be pulled" is believed.
const PULLABLE_FOR: Duration = Duration::from_mins(10);
/// How long "is not there" is believed.
const ABSENT_FOR: Duration = Duration::from_mins(1);
/// How long a signature that was found good is believed: keys are taken back, too.
const TRUSTED_FOR: Duration = Duration::from_hours(12);
/// How long what a tag names counts as "at this moment"; longer than a lookup may take.
const NOW_FOR: Duration = Duration::from_mins(2);
/// The first pause after a failure; doubled after each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
/// The longest pause that a registry may ask for.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);
/// A tag that nobody follows is looked up every so many intervals (decision 21).
const RARE: u32 = 12;

/// What a registry said.
#[derive(Clone, Debug)]
pub enum Found {
    /// All tags.
    Tags(Listing),
    /// What a reference is, so far down; none: there is none.
    Release(Option<Release>, Depth),
    /// Whether a digest can be fetched.
    Exists(bool),
    /// Who signed a digest; none: nobody.
    Signed(Option<Signed>),
}

/// The same, kept.
pub type Kept = Found;

/// How often, and how far down.
#[derive(Clone, Copy, Debug)]
pub struct Cadence {
    /// The policy's interval.
    pub interval: Duration,
    /// A tag that is known is looked up every twelfth interval only.
    pub rare: bool,
    /// How much of a release is wanted.
    pub depth: Depth,
}

/// Who wants to know.
#[derive(Clone, Copy, Debug)]
pub struct Want {
    /// When it was asked for last.
    pub asked: Instant,
    /// How often, and how far down.
    pub cadence: Cadence,
    /// It wants to know what it is at this moment, and to be told even if that is what it was.
    pub now: bool,
}

/// One lookup.
#[derive(Debug, Default)]
pub struct Entry {
    /// The last good answer.
    pub kept: Option<Kept>,
    /// Why the newest try failed.
    pub failing: Option<Failure>,
    /// Failures in a row.
    pub failures: u32,
    /// When it is looked up next; none: not again, or queued, or under way.
    pub due: Option<Instant>,
    /// Waits for room at its registry.
    pub queued: bool,
    /// Under way.
    pub running: bool,
    /// Told while under way that there may be something new: what is under way may have missed it.
    pub again: bool,
    /// What asked for it to be looked up now; nothing, where its time has come by itself.
    pub origin: Origin,
    /// When the last lookup began.
    pub began: Option<Instant>,
    /// When the last lookup began that was answered.
    pub heard: Option<Instant>,
    /// Who wants to know.
    pub wants: BTreeMap<PolicyKey, Want>,
}

impl Entry {
    /// Takes in what came of a lookup. Returns whether anybody can see a difference.
    pub fn settle(&mut self, result: Result<Found, RegistryError>, now: Timestamp) -> bool {
        match result {
            Ok(found) => {
                self.failures = 0;
                self.heard = self.began;
                let recovered = self.failing.take().is_some();
                self.keep(found) || recovered
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                let since = self.failing.as_ref().map_or(now, |f| f.since);
                // A message may carry numbers that differ each time: only another reason is news.
                if self.failing.as_ref().is_some_and(|f| f.reason == error.reason) {
                    return false;
                }
                self.failing = Some(Failure { since, reason: error.reason.into(), message: error.message });
                true
            }
        }
    }

    /// What it says was so a moment ago.
    pub fn is_fresh(&self, now: Instant) -> bool {
        self.heard.is_some_and(|at| now.duration_since(at) <= NOW_FOR)
    }

    fn keep(&mut self, found: Found) -> bool {
        let same = match (&found, &self.kept) {
            (Found::Tags(new), Some(Kept::Tags(old))) => new.is(old) || new == old,
            (Found::Release(new, depth), Some(Kept::Release(old, before))) => new == old && depth <= before,
            (Found::Exists(new), Some(Kept::Exists(old))) => new == old,
            (Found::Signed(new), Some(Kept::Signed(old))) => new == old,
            _ => false,
        };
        if !same {
            self.kept = Some(found);
        }
        !same
    }

    /// How far down it is to be looked at.
    pub fn depth(&self) -> Depth {
        self.wants.values().map(|want| want.cadence.depth).max().unwrap_or(Depth::Whole)
    }

    /// What is known is not as much as is wanted.
    pub fn is_shallow(&self) -> bool {
        matches!(self.kept, Some(Kept::Release(Some(_), known)) if known < self.depth())
    }

    /// Somebody waits for what it is at this moment.
    pub fn is_urgent(&self) -> bool {
        self.wants.values().any(|want| want.now)
    }

    /// How long until the next lookup; none: never again.
    pub fn pause(&self, what: &What, retry_after: Option<Duration>) -> Option<Duration> {
        let interval = self.wants.values().map(|w| w.cadence.interval).min()?;
        if self.failures > 0 {
            let doubled = FIRST_PAUSE.saturating_mul(1 << (self.failures - 1).min(10));
            let pause = doubled.min(interval.max(FIRST_PAUSE));
            return Some(pause.max(retry_after.unwrap_or_default().min(LONGEST_PAUSE)));
        }
        match (what, self.kept.as_ref()?) {
            (What::Digest(_), Kept::Release(Some(_), _)) => None,
            (What::Pullable(_), Kept::Exists(true)) => Some(PULLABLE_FOR),
            (What::Pullable(_), _) => Some(ABSENT_FOR),
            (What::Signed(..), Kept::Signed(Some(Signed::Trusted(_)))) => Some(TRUSTED_FOR),
            (What::Tag(_), Kept::Release(Some(_), _)) => {
                let each = |c: Cadence| if c.rare { c.interval * RARE } else { c.interval };
                self.wants.values().map(|want| each(want.cadence)).min()
            }
            // A digest that is not there is somebody else's, most likely: a Quarantine of the namespace names any image.
            (What::Tags | What::Tag(_) | What::Digest(_) | What::Signed(..), _) => Some(interval),
        }
    }
}

/// Some time within `pause`: what was looked up first at a start is spread over the interval from then on. Not in its
/// first quarter: a start with many policies may take that long, and nothing is asked twice meanwhile.
pub fn scattered(pause: Duration, key: &impl Hash) -> Duration {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    let permille = u32::try_from(hasher.finish() % 750).unwrap_or_default();
    pause * (251 + permille) / 1000
}

/// `pause`, between 10 % shorter and 10 % longer: lookups that began together drift apart. The same for the same key
/// and turn.
pub fn spread(pause: Duration, key: &impl Hash, turn: u64) -> Duration {
    let mut hasher = DefaultHasher::new();
    (key, turn).hash(&mut hasher);
    let permille = u32::try_from(hasher.finish() % 200).unwrap_or_default();
    pause * (900 + permille) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kept: Option<Kept>, failures: u32, rare: bool) -> Entry {
        let policy = PolicyKey { namespace: "a".into(), name: "b".into() };
        let cadence = Cadence { interval: Duration::from_mins(5), rare, depth: Depth::Whole };
        let want = Want { asked: Instant::now(), cadence, now: false };
        Entry { kept, failures, wants: BTreeMap::from([(policy, want)]), ..Entry::default() }
    }

    fn digest() -> lockkeeper_core::image::Digest {
        lockkeeper_core::image::Digest::of(b"x")
    }

    fn release() -> Release {
        Release { tag: None, version: None, digest: digest(), platforms: vec![], created: None }
    }

    fn failed(reason: &'static str, message: &str) -> Result<Found, RegistryError> {
        Err(RegistryError { reason, message: message.into(), retry_after: None })
    }

    #[tokio::test(start_paused = true)]
    async fn each_kind_of_answer_is_believed_for_its_own_time() {
        let secs = |n| Some(Duration::from_secs(n));
        let (tag, digest) = (What::Tag("1.0".parse().unwrap()), digest());
        let (by_digest, pullable) = (What::Digest(digest.clone()), What::Pullable(digest));
        let listing = Kept::Tags(Listing::new(["1.0"]));
        let known = || Kept::Release(Some(release()), Depth::Whole);
        let absent = || Kept::Release(None, Depth::Whole);
        let table = [
            (What::Tags, entry(Some(listing.clone()), 0, false), secs(300)),
            (tag.clone(), entry(Some(known()), 0, false), secs(300)),
            (tag.clone(), entry(Some(known()), 0, true), secs(3600)),
            (tag, entry(Some(absent()), 0, true), secs(300)),
            (by_digest.clone(), entry(Some(known()), 0, false), None),
            (by_digest, entry(Some(absent()), 0, false), secs(300)),
            (pullable.clone(), entry(Some(Kept::Exists(true)), 0, false), secs(600)),
            (pullable.clone(), entry(Some(Kept::Exists(false)), 0, false), secs(60)),
            (pullable.clone(), entry(None, 1, false), secs(30)),
            (pullable.clone(), entry(None, 2, false), secs(60)),
            (pullable, entry(Some(Kept::Exists(true)), 40, false), secs(300)),
            (What::Tags, entry(Some(listing), 1, false), secs(30)),
        ];
        for (what, entry, expected) in table {
            assert_eq!(entry.pause(&what, None), expected, "{what:?} {entry:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_known_of_a_release_grows_with_what_is_wanted() {
        let mut entry = entry(Some(Kept::Release(Some(release()), Depth::Identity)), 0, true);
        assert!(entry.is_shallow());
        let whole = Found::Release(Some(release()), Depth::Whole);
        assert!(entry.settle(Ok(whole), Timestamp::UNIX_EPOCH), "it is news: it was hidden before");
        assert!(!entry.is_shallow());
        let again = Found::Release(Some(release()), Depth::Identity);
        assert!(!entry.settle(Ok(again), Timestamp::UNIX_EPOCH) && !entry.is_shallow());
    }

    #[tokio::test(start_paused = true)]
    async fn r1_a_wait_that_a_registry_asks_for_is_clamped() {
        let throttled = entry(None, 1, false);
        let wait = |secs| throttled.pause(&What::Tags, Some(Duration::from_secs(secs))).unwrap().as_secs();
        assert_eq!((wait(0), wait(120), wait(315_360_000)), (30, 120, 3600));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_wants_it_nobody_asks() {
        let unwanted = Entry { kept: Some(Kept::Exists(true)), ..Entry::default() };
        assert_eq!(unwanted.pause(&What::Pullable(digest()), None), None);
    }

    #[test]
    fn r2_a_failure_keeps_the_last_good_answer_and_its_own_beginning() {
        let at = |s| Timestamp::from_second(s).unwrap();
        let mut entry = Entry::default();
        assert!(entry.settle(Ok(Found::Exists(true)), at(0)));
        assert!(!entry.settle(Ok(Found::Exists(true)), at(1)));
        assert!(entry.settle(failed("Unreachable", "took 3 s"), at(2)));
        assert!(!entry.settle(failed("Unreachable", "took 4 s"), at(3)), "the same again is no news");
        assert!(entry.settle(failed("AuthFailed", "401"), at(4)));
        let failing = entry.failing.clone().unwrap();
        assert_eq!((failing.since, failing.reason.as_str()), (at(2), "AuthFailed"));
        assert!(matches!(entry.kept, Some(Kept::Exists(true))));
        assert!(entry.settle(Ok(Found::Exists(true)), at(5)), "recovery is news");
        assert!(entry.failing.is_none() && entry.failures == 0);
    }

    #[test]
    fn lookups_that_began_together_drift_apart() {
        let pauses: Vec<u128> =
            (0..100).map(|n| spread(Duration::from_mins(5), &format!("r{n}"), 1).as_millis()).collect();
        assert!(pauses.iter().all(|p| (270_000..330_000).contains(p)));
        let distinct: std::collections::BTreeSet<_> = pauses.iter().collect();
        assert!(distinct.len() > 50, "{} of 100 differ", distinct.len());
    }
}
