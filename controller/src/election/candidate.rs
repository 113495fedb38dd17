//! The rules of the election, without I/O and without a clock: what one candidate does next, from what it heard.
//!
//! Guarantees, whatever is lost, late, stale or paused: a candidate counts as leader until [`Candidate::until`] at most,
//! which is its own time before it *sent* its last successful write plus the renew deadline; another takes the Lease
//! only after it has itself seen it unchanged for the whole lease duration, which is longer. So two never lead at one
//! moment, as long as their clocks run equally fast to within a fifth. Wall clocks of two machines are never compared.
//! A leader that could not renew in time, or sees another holder, is lost for good: its process must end.
//! Where there is no Lease, a follower first makes one that nobody holds, and waits as for a holder's: somebody may
//! lead and not have noticed yet that it was deleted.
//! Assumes: an API server that replaces only the version it was told to. May not: wait, read a clock.

use super::timing::Timing;
use crate::ports::lease::{LeaseAnswer, LeaseDraft, LeaseRequest, LeaseSeen};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// What a Lease that was given back says of its duration: followers need not wait. One whose holder was only removed
/// by a person still has the old duration.
const GIVEN_BACK: Duration = Duration::from_secs(1);

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Nothing until then.
    Wait(Duration),
    /// Ask the API server, and tell the candidate what came of it.
    Ask(LeaseRequest),
    /// It led and does not any more: end the process.
    Lost(String),
    /// It has left the election.
    Left,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Following,
    /// Until then at most.
    Leading(Duration),
    Lost(String),
    Left,
}

/// The Lease as this candidate has seen it last.
#[derive(Clone, Debug)]
struct Sight {
    /// None: there is none.
    lease: Option<LeaseSeen>,
    /// Since when, by our own time, nobody has renewed it.
    since: Duration,
}

/// One replica's part in the election.
#[derive(Debug)]
pub struct Candidate {
    me: String,
    timing: Timing,
    state: State,
    seen: Option<Sight>,
    /// What was seen is what is stored, as far as we know.
    sure: bool,
    /// When to ask next.
    due: Duration,
    /// When something was seen last.
    looked: Duration,
    leaving: bool,
    trouble: Option<String>,
}

impl Candidate {
    /// A candidate that has seen nothing yet. `me` is no other process's name, ever.
    #[must_use]
    pub fn new(me: String, timing: Timing) -> Self {
        Self {
            me,
            timing,
            state: State::Following,
            seen: None,
            sure: false,
            due: Duration::ZERO,
            looked: Duration::ZERO,
            leaving: false,
            trouble: None,
        }
    }

    /// What to do at `now`. `wall` is written for people, and never compared.
    #[must_use]
    pub fn next(&self, now: Duration, wall: Timestamp) -> Act {
        match &self.state {
            State::Left => Act::Left,
            State::Lost(why) => Act::Lost(why.clone()),
            State::Following if self.leaving => Act::Left,
            State::Leading(until) if now >= *until => Act::Lost(self.too_late()),
            State::Leading(_) if self.leaving => match (self.sure, self.stored()) {
                (true, Some(lease)) => Act::Ask(LeaseRequest::Write(given_back(lease, wall))),
                // It cannot be given back in one step; it runs out by itself.
                _ => Act::Left,
            },
            State::Leading(until) if now < self.due => Act::Wait(self.due.min(*until)),
            State::Following if now < self.due => Act::Wait(self.due),
            State::Leading(_) if self.sure => Act::Ask(LeaseRequest::Write(self.claim(wall))),
            State::Following if self.sure && self.free_at().is_some_and(|free| now >= free) => {
                Act::Ask(LeaseRequest::Write(self.claim(wall)))
            }
            State::Leading(_) | State::Following => Act::Ask(LeaseRequest::Look),
        }
    }

    /// What came of a request that was sent at `sent` (read before it was sent) and answered at `now`.
    pub fn hear(&mut self, asked: &LeaseRequest, sent: Duration, answer: LeaseAnswer, now: Duration) {
        match answer {
            LeaseAnswer::Unknown(why) => {
                self.sure = false;
                self.trouble = Some(why);
                self.due = now.max(sent + self.timing.retry());
            }
            LeaseAnswer::Conflict => {
                self.sure = false;
                self.due = now + self.timing.retry() / 8;
            }
            LeaseAnswer::Absent => self.see(None, now),
            LeaseAnswer::Shows(lease) => {
                let mine = lease.holder.as_deref() == Some(&self.me);
                let wrote = matches!(asked, LeaseRequest::Write(_));
                self.see(Some(lease), now);
                if wrote && mine {
                    self.lead(sent, now);
                }
            }
        }
        if self.leaving && matches!(asked, LeaseRequest::Write(_)) {
            self.state = State::Left;
        }
    }

    /// Something may have changed: a follower looks at once, unless it has just looked.
    pub fn stir(&mut self, now: Duration) {
        if self.state == State::Following {
            self.sure = false;
            self.due = self.due.min(now.max(self.looked + self.timing.retry() / 8));
        }
    }

    /// From which version on a change is worth a look; none where a look is due anyway, or this candidate itself makes
    /// the changes.
    #[must_use]
    pub fn follows(&self) -> Option<&str> {
        let follows = self.sure && self.state == State::Following;
        self.stored().filter(|_| follows).map(|lease| lease.version.as_str())
    }

    /// Give the Lease back if it is ours, and take no further part. All effects must have ended.
    pub fn leave(&mut self) {
        self.leaving = true;
    }

    /// Until when this process may count as leader, if it leads.
    #[must_use]
    pub fn until(&self) -> Option<Duration> {
        match self.state {
            State::Leading(until) if !self.leaving => Some(until),
            _ => None,
        }
    }

    /// The Lease as it was seen last, and since when nobody has renewed it. None before the first look.
    #[must_use]
    pub fn seen(&self) -> Option<(Option<&LeaseSeen>, Duration)> {
        self.seen.as_ref().map(|sight| (sight.lease.as_ref(), sight.since))
    }

    /// Why the last request failed, until one succeeds.
    #[must_use]
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    fn stored(&self) -> Option<&LeaseSeen> {
        self.seen.as_ref()?.lease.as_ref()
    }

    fn see(&mut self, lease: Option<LeaseSeen>, now: Duration) {
        self.sure = true;
        self.looked = now;
        self.trouble = None;
        let others =
            lease.as_ref().and_then(|lease| lease.holder.clone()).filter(|holder| *holder != self.me);
        // Metadata may be edited by anybody; only a renewal is a sign of the holder's life.
        let renewal = |lease: &Option<LeaseSeen>| {
            lease.as_ref().map(|lease| (lease.uid.clone(), lease.holder.clone(), lease.renewed))
        };
        let since = match &self.seen {
            Some(before) if renewal(&before.lease) == renewal(&lease) => before.since,
            _ => now,
        };
        self.seen = Some(Sight { lease, since });
        if let State::Leading(_) = self.state {
            // Deleted, or its holder removed by a person: the others wait, and we may take it again meanwhile.
            match others {
                Some(holder) => self.state = State::Lost(format!("{holder} holds the Lease now")),
                None => self.due = now,
            }
        } else {
            let next_look = now + self.timing.retry();
            self.due = self.free_at().map_or(next_look, |free| next_look.min(free.max(now)));
        }
    }

    fn lead(&mut self, sent: Duration, now: Duration) {
        let until = sent + self.timing.deadline();
        match self.state {
            // It came too late to begin: what is ours already can be claimed again.
            State::Following if now >= until => {}
            State::Following => self.state = State::Leading(until),
            // Too late to go on: others may have led since, and the Lease may have been deleted since.
            State::Leading(before) if now >= before => self.state = State::Lost(self.too_late()),
            State::Leading(before) => self.state = State::Leading(before.max(until)),
            State::Lost(_) | State::Left => {}
        }
        self.due = sent + self.timing.retry();
    }

    /// From when on this candidate may write the Lease, if nothing changes.
    fn free_at(&self) -> Option<Duration> {
        let seen = self.seen.as_ref()?;
        let Some(lease) = &seen.lease else { return Some(seen.since) };
        let free = match lease.holder.as_deref() {
            Some(holder) if holder == self.me => seen.since,
            None if lease.lasts.is_some_and(|lasts| lasts <= GIVEN_BACK) => seen.since,
            _ => seen.since + self.timing.of_others(lease.lasts.unwrap_or_default()),
        };
        Some(free)
    }

    fn claim(&self, wall: Timestamp) -> LeaseDraft {
        let Some(lease) = self.stored() else {
            let leads = matches!(self.state, State::Leading(_));
            return LeaseDraft {
                over: None,
                holder: leads.then(|| self.me.clone()),
                lasts: self.timing.lease(),
                renewed: wall,
                acquired: wall,
                transitions: 0,
            };
        };
        let mine = lease.holder.as_deref() == Some(&self.me);
        LeaseDraft {
            over: Some((lease.uid.clone(), lease.version.clone())),
            holder: Some(self.me.clone()),
            lasts: self.timing.lease(),
            renewed: later(wall, lease.renewed.filter(|_| mine)),
            acquired: lease.acquired.filter(|_| mine).unwrap_or(wall),
            transitions: lease.transitions.saturating_add(u32::from(!mine)),
        }
    }

    fn too_late(&self) -> String {
        let deadline = self.timing.deadline().as_secs_f64();
        match &self.trouble {
            Some(why) => format!("the Lease could not be renewed within {deadline} s: {why}"),
            None => format!("the Lease was not renewed within {deadline} s: the process did not run"),
        }
    }
}

fn given_back(lease: &LeaseSeen, wall: Timestamp) -> LeaseDraft {
    LeaseDraft {
        over: Some((lease.uid.clone(), lease.version.clone())),
        holder: None,
        lasts: GIVEN_BACK,
        renewed: later(wall, lease.renewed),
        acquired: lease.acquired.unwrap_or(wall),
        transitions: lease.transitions,
    }
}

/// A renewal never looks like the one before, whatever the wall clock does.
fn later(wall: Timestamp, before: Option<Timestamp>) -> Timestamp {
    before
        .and_then(|before| before.checked_add(SignedDuration::from_micros(1)).ok())
        .map_or(wall, |least| wall.max(least))
}
