//! Single rules.

use super::usual;
use crate::{
    election::{Act, Candidate, Office},
    ports::{
        FenceCheck, Vital,
        lease::{LeaseAnswer, LeaseDraft, LeaseRequest, LeaseSeen, Steady},
    },
};
use jiff::{SignedDuration, Timestamp};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

const WALL: Timestamp = Timestamp::UNIX_EPOCH;

fn s(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn lease(holder: Option<&str>, version: u64, renewed: i64) -> LeaseSeen {
    LeaseSeen {
        uid: "u".into(),
        version: version.to_string(),
        holder: holder.map(str::to_owned),
        lasts: Some(s(15.0)),
        renewed: Some(Timestamp::from_second(renewed).unwrap()),
        acquired: None,
        transitions: 3,
        hooks: None,
    }
}

fn candidate() -> Candidate {
    Candidate::new("me".into(), usual())
}

fn write(act: Act) -> LeaseDraft {
    match act {
        Act::Ask(LeaseRequest::Write(draft)) => draft,
        other => panic!("{other:?}"),
    }
}

fn looks(candidate: &mut Candidate, at: f64, lease: LeaseSeen) {
    candidate.hear(&LeaseRequest::Look, s(at), LeaseAnswer::Shows(lease), s(at));
}

fn stored(draft: &LeaseDraft, version: u64) -> LeaseSeen {
    LeaseSeen {
        uid: "u".into(),
        version: version.to_string(),
        holder: draft.holder.clone(),
        lasts: Some(draft.lasts),
        renewed: Some(draft.renewed),
        acquired: Some(draft.acquired),
        transitions: draft.transitions,
        hooks: None,
    }
}

/// Takes a Lease that was given back, at 0 s.
fn leader() -> Candidate {
    let mut me = candidate();
    looks(&mut me, 0.0, LeaseSeen { lasts: Some(s(1.0)), ..lease(None, 1, 0) });
    let draft = write(me.next(s(0.0), WALL));
    assert_eq!((draft.transitions, draft.over.clone()), (4, Some(("u".into(), "1".into()))));
    let answer = LeaseAnswer::Shows(stored(&draft, 2));
    me.hear(&LeaseRequest::Write(draft), s(0.0), answer, s(0.1));
    assert_eq!(me.until(), Some(s(10.0)), "from when the request was sent, not from its answer");
    me
}

#[test]
fn another_holder_is_waited_for_by_our_own_clock_alone() {
    let mut me = candidate();
    // Its wall clock says that it was renewed in 1970, or in the year 2500: either is believed to be alive.
    for (at, renewed) in [(100.0, 0), (101.0, 16_725_225_600)] {
        looks(&mut me, at, lease(Some("other"), 5, renewed));
        assert_eq!(me.next(s(at), WALL), Act::Wait(s(at + 2.0)));
    }
    // Somebody edits a label: a new version, and no sign of the holder's life.
    looks(&mut me, 110.0, lease(Some("other"), 6, 16_725_225_600));
    assert_eq!(me.next(s(115.9), WALL), Act::Ask(LeaseRequest::Look));
    looks(&mut me, 115.9, lease(Some("other"), 6, 16_725_225_600));
    assert_eq!(me.next(s(115.95), WALL), Act::Wait(s(116.0)));
    let draft = write(me.next(s(116.0), WALL));
    assert_eq!(draft.over, Some(("u".into(), "6".into())));
}

#[test]
fn a_holder_that_promised_longer_is_waited_for_longer_but_not_for_ever() {
    for (promised, free) in [(1.0, 15.0), (60.0, 60.0), (1e6, 300.0)] {
        let mut me = candidate();
        let held = LeaseSeen { lasts: Some(s(promised)), ..lease(Some("other"), 5, 0) };
        let mut at = 0.0;
        looks(&mut me, at, held.clone());
        while let Act::Wait(until) = me.next(s(at), WALL) {
            at = until.as_secs_f64();
            if let Act::Ask(LeaseRequest::Look) = me.next(s(at), WALL) {
                looks(&mut me, at, held.clone());
            }
        }
        assert!((at - free).abs() < 1e-6, "promised {promised} s, taken after {at} s");
    }
}

#[test]
fn p3_where_there_is_none_a_follower_makes_one_that_nobody_holds_and_waits() {
    let mut me = candidate();
    me.hear(&LeaseRequest::Look, s(0.0), LeaseAnswer::Absent, s(0.0));
    let draft = write(me.next(s(0.0), WALL));
    assert_eq!((&draft.over, &draft.holder, draft.lasts), (&None, &None, s(15.0)));
    let answer = LeaseAnswer::Shows(stored(&draft, 1));
    me.hear(&LeaseRequest::Write(draft), s(0.0), answer, s(0.1));
    assert_eq!(me.until(), None);
    assert_eq!(me.next(s(0.2), WALL), Act::Wait(s(2.1)));
}

#[test]
fn p3_a_leader_makes_a_deleted_lease_again_and_loses_it_to_whoever_was_first() {
    let mut me = leader();
    let renewal = Act::Ask(LeaseRequest::Write(write(me.next(s(2.0), WALL))));
    let Act::Ask(renewal) = renewal else { unreachable!() };
    me.hear(&renewal, s(2.0), LeaseAnswer::Absent, s(2.0));
    let draft = write(me.next(s(2.1), WALL));
    assert_eq!((&draft.over, draft.holder.as_deref()), (&None, Some("me")));
    me.hear(&LeaseRequest::Write(draft), s(2.1), LeaseAnswer::Conflict, s(2.2));
    assert_eq!(me.next(s(2.5), WALL), Act::Ask(LeaseRequest::Look));
    looks(&mut me, 2.5, lease(Some("other"), 9, 7));
    assert_eq!(me.next(s(2.5), WALL), Act::Lost("other holds the Lease now".into()));
    assert_eq!(me.until(), None);
}

#[test]
fn p3_renewals_that_fail_are_tried_until_the_deadline_and_no_longer() {
    let mut me = leader();
    let mut now = 2.0;
    let mut tries = 0;
    loop {
        match me.next(s(now), WALL) {
            Act::Ask(request) => {
                tries += 1;
                me.hear(&request, s(now), LeaseAnswer::Unknown("503".into()), s(now));
            }
            Act::Wait(until) => now = until.as_secs_f64(),
            Act::Lost(why) => {
                assert_eq!(why, "the Lease could not be renewed within 10 s: 503");
                break;
            }
            Act::Left => panic!("nobody told it to"),
        }
    }
    assert_eq!((tries, s(now)), (4, s(10.0)));
}

#[test]
fn p2_a_renewal_whose_answer_is_heard_after_the_deadline_saves_nothing() {
    let mut me = leader();
    let draft = write(me.next(s(9.0), WALL));
    let answer = LeaseAnswer::Shows(stored(&draft, 3));
    // Stopped before the answer was read, continued three seconds after the deadline.
    me.hear(&LeaseRequest::Write(draft), s(9.0), answer, s(13.0));
    assert!(matches!(me.next(s(13.0), WALL), Act::Lost(why) if why.contains("did not run")));
}

#[test]
fn a_renewal_never_looks_like_the_one_before_whatever_the_wall_clock_does() {
    let mut me = leader();
    let mut seen = Vec::new();
    for (at, wall) in [(2.0, 50), (4.0, 50), (6.0, -400)] {
        let draft = write(me.next(s(at), Timestamp::from_second(wall).unwrap()));
        seen.push(draft.renewed);
        let answer = LeaseAnswer::Shows(stored(&draft, 10));
        me.hear(&LeaseRequest::Write(draft), s(at), answer, s(at));
    }
    let micro = SignedDuration::from_micros(1);
    assert_eq!((seen[1], seen[2]), (seen[0] + micro, seen[1] + micro));
}

#[test]
fn one_that_is_told_to_leave_gives_it_back_once_and_a_follower_takes_it_at_once() {
    let mut me = leader();
    me.leave();
    assert_eq!(me.until(), None, "nothing is written any more");
    let draft = write(me.next(s(1.0), WALL));
    assert_eq!((&draft.holder, draft.lasts), (&None, s(1.0)));
    let given_back = stored(&draft, 3);
    me.hear(&LeaseRequest::Write(draft), s(1.0), LeaseAnswer::Unknown("timeout".into()), s(1.5));
    assert_eq!(me.next(s(1.5), WALL), Act::Left, "once is enough: it runs out by itself");

    let mut other = Candidate::new("other".into(), usual());
    looks(&mut other, 50.0, given_back.clone());
    assert_eq!(write(other.next(s(50.0), WALL)).holder.as_deref(), Some("other"));
    // A holder that a person removed may still be writing.
    let mut other = Candidate::new("other".into(), usual());
    looks(&mut other, 50.0, LeaseSeen { lasts: Some(s(15.0)), ..given_back });
    assert!(matches!(other.next(s(50.0), WALL), Act::Wait(_)));
}

#[test]
fn a_claim_whose_answer_was_lost_is_claimed_again_and_not_waited_for() {
    let mut me = candidate();
    looks(&mut me, 0.0, lease(Some("me"), 7, 0));
    let draft = write(me.next(s(0.0), WALL));
    assert_eq!(draft.transitions, 3, "it did not go to another holder");
}

#[test]
fn a_hint_makes_a_follower_look_at_once_but_not_again_and_again() {
    let mut me = candidate();
    looks(&mut me, 0.0, lease(Some("other"), 5, 0));
    me.stir(s(1.0));
    assert_eq!(me.next(s(1.0), WALL), Act::Ask(LeaseRequest::Look));
    looks(&mut me, 1.0, lease(Some("other"), 5, 0));
    me.stir(s(1.0));
    assert_eq!(me.next(s(1.0), WALL), Act::Wait(s(1.25)));
}

#[derive(Debug, Default)]
struct Hand(AtomicU64);

impl Steady for Hand {
    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }
}

fn office() -> (Arc<Hand>, Office) {
    let clock = Arc::new(Hand::default());
    (Arc::clone(&clock), Office::elected(clock, usual()))
}

#[test]
fn i9_the_fence_closes_by_the_clock_alone_a_margin_before_the_deadline_and_for_good_when_told() {
    let (clock, office) = office();
    assert!(!office.holds(), "nobody was elected");
    let me = leader();
    office.turned(&me, s(0.1));
    let at = |ms| {
        clock.0.store(ms, Ordering::SeqCst);
        office.left()
    };
    assert_eq!(at(100), Some(s(9.9)));
    assert_eq!(at(8_999), Some(s(1.001)));
    assert_eq!(at(9_000), None, "nothing that begins now could be answered before the deadline");
    assert_eq!(at(60_000), None, "the election's task has not run since");
    clock.0.store(100, Ordering::SeqCst);
    office.close();
    assert!(!office.holds());
    let sole = Office::sole(clock);
    assert_eq!(sole.left(), Some(Duration::MAX));
    sole.close();
    assert!(!sole.holds());
}

#[test]
fn l5_a_standby_is_ready_while_somebody_leads_and_not_without() {
    let (clock, office) = office();
    let mut me = candidate();
    assert!(office.ready().unwrap_err().contains("first look at the Lease"));
    let mut turn = |seconds: f64, renewed: i64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
        clock.0.store((seconds * 1000.0) as u64, Ordering::SeqCst);
        looks(&mut me, seconds, lease(Some("other"), 5, renewed));
        office.turned(&me, s(seconds));
        (office.alive(), office.ready())
    };
    assert_eq!(turn(1.0, 0), (Ok(()), Ok(())));
    assert_eq!(turn(30.0, 0), (Ok(()), Ok(())));
    let (alive, ready) = turn(32.0, 0);
    assert_eq!((alive, ready), (Ok(()), Err("no replica was seen to lead for 31 s".into())));
    assert!(turn(1_000.0, 0).0.is_err(), "leaderless for a quarter of an hour");
    assert_eq!(turn(1_001.0, 9), (Ok(()), Ok(())));
    clock.0.store(1_066_000, Ordering::SeqCst);
    assert_eq!(office.alive(), Err("the election did not turn for 65 s".into()));
}
