//! Two or three candidates over one Lease in virtual time, with faults: processes stopped and continued, killed and
//! told to end; replies lost, requests late, reads stale, the API server failing (with or without having written), the
//! Lease deleted, edited and its holder removed; wall clocks that jump, steady clocks that run up to a tenth too fast or
//! too slow. The candidate's rules are the real ones.
//!
//! Checked at every step: no two processes count as leader at one moment; nothing that an earlier leader sent takes
//! effect after its successor's first write. Checked at the end: faults have ceased, and one leads and goes on leading.

use super::usual;
use crate::{
    election::{Act, Candidate},
    ports::lease::{LeaseAnswer, LeaseRequest, LeaseSeen},
};
use jiff::{SignedDuration, Timestamp};
use lockkeeper_sim::random::Random;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRng, TestRunner},
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    time::Duration,
};

/// Milliseconds of the world's own time.
type Ms = u64;

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// SIGSTOP, and SIGCONT so much later.
    Freeze(usize, Ms),
    Kill(usize),
    Terminate(usize),
    Delete,
    /// Somebody edits a label.
    Touch,
    /// Somebody removes the holder.
    Clear,
    /// 5xx; with `true` what was asked for happens all the same.
    Down(Ms, bool),
    /// Half of the requests and half of the replies are lost.
    Lossy(Ms),
    /// Requests arrive up to eight seconds late.
    Slow(Ms),
    /// Reads show what was true up to ten seconds ago.
    Stale(Ms),
    /// One candidate reaches nobody.
    Cut(usize, Ms),
    /// One candidate's wall clock is wrong by so many seconds from now on.
    Wall(usize, i64),
}

/// What happened in one run.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    elections: u64,
    landed: u64,
    /// Stale writes that the API server refused by what they expected to find.
    refused: u64,
    /// Stale writes that took effect.
    stale: u64,
}

#[derive(Clone, Debug)]
enum Event {
    Turn(usize, u64),
    Arrive(usize, u64, LeaseRequest),
    Hear(usize, u64, u64, LeaseAnswer),
    /// An effect is due, if the fence allows it.
    Write(usize, u64),
    /// The fence has allowed it, and it is sent: the process may have been stopped between the two.
    Send(usize, u64, Sent),
    Land(Sent),
    Restart(usize, u64),
    Fault(Fault),
}

/// A write: in which leadership it was allowed, and which generation it expects.
#[derive(Clone, Copy, Debug)]
struct Sent {
    epoch: u64,
    generation: u64,
}

struct Process {
    candidate: Candidate,
    /// Which process of this place it is.
    life: u64,
    alive: bool,
    frozen_until: Ms,
    /// Of its steady clock.
    start: u64,
    per_mille: u64,
    wall: i64,
    asked: Option<(u64, LeaseRequest, Duration)>,
    /// Which leadership this is, counted over all.
    epoch: Option<u64>,
}

impl Process {
    fn local(&self, now: Ms) -> Duration {
        Duration::from_micros(self.start + now * self.per_mille)
    }

    fn counts_as_leader(&self, now: Ms) -> bool {
        self.alive && self.candidate.until().is_some_and(|until| self.local(now) < until)
    }
}

struct World {
    now: Ms,
    order: u64,
    agenda: BinaryHeap<Reverse<(Ms, u64)>>,
    events: BTreeMap<u64, Event>,
    random: Random,
    processes: Vec<Process>,
    lease: Option<LeaseSeen>,
    past: Vec<(Ms, Option<LeaseSeen>)>,
    versions: u64,
    down: (Ms, bool),
    lossy: Ms,
    slow: Ms,
    stale: Ms,
    cut: Vec<Ms>,
    /// What leaders write to: its generation and the last leadership that wrote it.
    object: (u64, u64),
    epochs: u64,
    tally: Tally,
    /// The first thing that went wrong.
    wrong: Option<String>,
}

impl World {
    fn new(clocks: &[u64], seed: u64) -> Self {
        let mut world = Self {
            now: 0,
            order: 0,
            agenda: BinaryHeap::new(),
            events: BTreeMap::new(),
            random: Random::new(seed),
            processes: Vec::new(),
            lease: None,
            past: Vec::new(),
            versions: 1,
            down: (0, false),
            lossy: 0,
            slow: 0,
            stale: 0,
            cut: vec![0; clocks.len()],
            object: (1, 0),
            epochs: 0,
            tally: Tally::default(),
            wrong: None,
        };
        for (index, per_mille) in clocks.iter().enumerate() {
            let process = Process {
                candidate: Candidate::new(name(index, 0), usual()),
                life: 0,
                alive: true,
                frozen_until: 0,
                start: world.random.next_u64() % 1_000_000_000,
                per_mille: *per_mille,
                wall: 0,
                asked: None,
                epoch: None,
            };
            world.processes.push(process);
            world.at(0, Event::Turn(index, 0));
            world.at(0, Event::Write(index, 0));
        }
        world
    }

    fn at(&mut self, when: Ms, event: Event) {
        self.order += 1;
        self.agenda.push(Reverse((when, self.order)));
        self.events.insert(self.order, event);
    }

    fn run(&mut self, until: Ms) {
        while let Some(Reverse((when, order))) = self.agenda.peek().copied() {
            if when > until || self.wrong.is_some() {
                break;
            }
            self.agenda.pop();
            self.now = when;
            if let Some(event) = self.events.remove(&order) {
                self.happen(event);
            }
            self.check();
        }
        self.now = until;
    }

    fn check(&mut self) {
        let leads = self.processes.iter().filter(|process| process.counts_as_leader(self.now)).count();
        if leads > 1 {
            self.wrong.get_or_insert(format!("{leads} lead at {} ms", self.now));
        }
    }

    fn happen(&mut self, event: Event) {
        let (index, life) = match &event {
            Event::Turn(index, life)
            | Event::Hear(index, life, ..)
            | Event::Write(index, life)
            | Event::Send(index, life, _)
            | Event::Restart(index, life) => (*index, *life),
            Event::Arrive(index, id, request) => return self.arrive(*index, *id, request),
            Event::Land(sent) => return self.land(*sent),
            Event::Fault(fault) => return self.fault(*fault),
        };
        let process = &self.processes[index];
        if process.life != life {
            return;
        }
        if process.frozen_until > self.now {
            return self.at(process.frozen_until, event);
        }
        match event {
            Event::Turn(..) if process.alive && process.asked.is_none() => self.turn(index),
            Event::Hear(_, _, id, answer) if process.alive => self.hear(index, id, answer),
            Event::Write(..) if process.alive => self.write(index),
            Event::Send(_, _, sent) if process.alive => self.send(index, sent),
            Event::Restart(..) => self.restart(index),
            _ => {}
        }
    }

    fn turn(&mut self, index: usize) {
        let process = &mut self.processes[index];
        let (now, life) = (process.local(self.now), process.life);
        let wall = Timestamp::from_second(1_700_000_000).unwrap()
            + SignedDuration::from_millis(i64::try_from(self.now).unwrap())
            + SignedDuration::from_secs(process.wall);
        match process.candidate.next(now, wall) {
            Act::Wait(until) => {
                let wait =
                    u64::try_from(until.saturating_sub(now).as_micros()).unwrap() / process.per_mille + 1;
                self.at(self.now + wait, Event::Turn(index, life));
            }
            Act::Ask(request) => {
                let id = self.order;
                process.asked = Some((id, request.clone(), now));
                let limit = u64::try_from(usual().limit().as_millis()).unwrap();
                let no_answer = LeaseAnswer::Unknown("no answer".into());
                self.at(self.now + limit, Event::Hear(index, life, id, no_answer));
                if self.gets_through(index) {
                    let delay = self.delay();
                    self.at(self.now + delay, Event::Arrive(index, id, request));
                }
            }
            Act::Lost(_) | Act::Left => {
                process.alive = false;
                self.at(self.now + 1_000, Event::Restart(index, life));
            }
        }
    }

    fn gets_through(&mut self, index: usize) -> bool {
        self.cut[index] <= self.now && !(self.lossy > self.now && self.random.chance(0.5))
    }

    fn delay(&mut self) -> Ms {
        let most = if self.slow > self.now { 8_000 } else { 20 };
        1 + self.random.next_u64() % most
    }

    fn arrive(&mut self, index: usize, id: u64, request: &LeaseRequest) {
        let fails = self.down.0 > self.now;
        let answer = if fails && !self.down.1 { None } else { Some(self.serve(request)) };
        let answer = answer.filter(|_| !fails).unwrap_or(LeaseAnswer::Unknown("500".into()));
        if self.gets_through(index) {
            let (life, delay) = (self.processes[index].life, self.delay());
            self.at(self.now + delay, Event::Hear(index, life, id, answer));
        }
    }

    /// As a real API server does it.
    fn serve(&mut self, request: &LeaseRequest) -> LeaseAnswer {
        match request {
            LeaseRequest::Look => {
                let shown = if self.stale > self.now {
                    let then = self.now.saturating_sub(self.random.next_u64() % 10_000);
                    let known = self.past.iter().rev().find(|(when, _)| *when <= then);
                    known.and_then(|(_, lease)| lease.clone())
                } else {
                    self.lease.clone()
                };
                shown.map_or(LeaseAnswer::Absent, LeaseAnswer::Shows)
            }
            LeaseRequest::Write(draft) => {
                let stored = self.lease.as_ref().map(|lease| (lease.uid.clone(), lease.version.clone()));
                if stored != draft.over {
                    return if stored.is_none() { LeaseAnswer::Absent } else { LeaseAnswer::Conflict };
                }
                self.versions += 1;
                let lease = LeaseSeen {
                    uid: stored.map_or_else(|| format!("u{}", self.versions), |(uid, _)| uid),
                    version: self.versions.to_string(),
                    holder: draft.holder.clone(),
                    lasts: Some(draft.lasts),
                    renewed: Some(draft.renewed),
                    acquired: Some(draft.acquired),
                    transitions: draft.transitions,
                    hooks: None,
                };
                self.store(Some(lease.clone()));
                LeaseAnswer::Shows(lease)
            }
        }
    }

    fn store(&mut self, lease: Option<LeaseSeen>) {
        self.past.push((self.now, lease.clone()));
        self.lease = lease;
    }

    fn hear(&mut self, index: usize, id: u64, answer: LeaseAnswer) {
        let process = &mut self.processes[index];
        let Some((asked, request, sent)) = process.asked.take() else { return };
        if asked != id {
            process.asked = Some((asked, request, sent));
            return;
        }
        let now = process.local(self.now);
        process.candidate.hear(&request, sent, answer, now);
        if process.candidate.until().is_some() && process.epoch.is_none() {
            self.epochs += 1;
            process.epoch = Some(self.epochs);
            self.tally.elections += 1;
        }
        self.turn(index);
    }

    /// An effect: the fence is asked, and what is expected of the object goes with it.
    fn write(&mut self, index: usize) {
        let process = &self.processes[index];
        let (now, life) = (process.local(self.now), process.life);
        let left = process.candidate.until().and_then(|until| until.checked_sub(now));
        if let (Some(epoch), Some(left)) = (process.epoch, left)
            && left > usual().margin()
        {
            let sent = Sent { epoch, generation: self.object.0 };
            let moment = self.random.next_u64() % 30;
            self.at(self.now + moment, Event::Send(index, life, sent));
        }
        let pause = 100 + self.random.next_u64() % 900;
        self.at(self.now + pause, Event::Write(index, life));
    }

    fn send(&mut self, index: usize, sent: Sent) {
        if self.gets_through(index) {
            // It is not called back: it may arrive after its sender has given up.
            let delay = self.delay();
            self.at(self.now + delay, Event::Land(sent));
        }
    }

    fn land(&mut self, Sent { epoch, generation }: Sent) {
        let stale = epoch < self.object.1;
        if generation == self.object.0 {
            self.object = (generation + 1, epoch.max(self.object.1));
            self.tally.landed += 1;
            if stale {
                self.tally.stale += 1;
                self.wrong.get_or_insert(format!("a stale write landed at {} ms", self.now));
            }
        } else if stale {
            self.tally.refused += 1;
        }
    }

    fn restart(&mut self, index: usize) {
        let process = &mut self.processes[index];
        process.life += 1;
        process.candidate = Candidate::new(name(index, process.life), usual());
        (process.alive, process.asked, process.epoch) = (true, None, None);
        let life = process.life;
        self.at(self.now, Event::Turn(index, life));
        self.at(self.now, Event::Write(index, life));
    }

    fn fault(&mut self, fault: Fault) {
        let now = self.now;
        let count = self.processes.len();
        match fault {
            Fault::Freeze(who, ms) => {
                let process = &mut self.processes[who % count];
                process.frozen_until = process.frozen_until.max(now + ms);
            }
            Fault::Kill(who) => {
                let process = &mut self.processes[who % count];
                process.alive = false;
                let life = process.life;
                self.at(now + 1_000, Event::Restart(who % count, life));
            }
            Fault::Terminate(who) => {
                let process = &mut self.processes[who % count];
                // The effects have ended: nothing of it is under way that was not answered.
                process.candidate.leave();
                let life = process.life;
                self.at(now, Event::Turn(who % count, life));
            }
            Fault::Delete => self.store(None),
            Fault::Touch | Fault::Clear => {
                let Some(mut lease) = self.lease.clone() else { return };
                self.versions += 1;
                lease.version = self.versions.to_string();
                if matches!(fault, Fault::Clear) {
                    lease.holder = None;
                }
                self.store(Some(lease));
            }
            Fault::Down(ms, written) => self.down = (now + ms, written),
            Fault::Lossy(ms) => self.lossy = now + ms,
            Fault::Slow(ms) => self.slow = now + ms,
            Fault::Stale(ms) => self.stale = now + ms,
            Fault::Cut(who, ms) => self.cut[who % count] = now + ms,
            Fault::Wall(who, seconds) => self.processes[who % count].wall = seconds,
        }
    }

    fn leader(&self) -> Option<(usize, u64)> {
        let leads = self.processes.iter().enumerate().find(|(_, p)| p.counts_as_leader(self.now));
        leads.map(|(index, process)| (index, process.life))
    }
}

fn name(index: usize, life: u64) -> String {
    format!("replica-{index}_{life}")
}

/// Plays a script; `Err` says what went wrong.
fn play(clocks: &[u64], seed: u64, script: &[(Ms, Fault)]) -> Result<Tally, String> {
    let mut world = World::new(clocks, seed);
    // The first leader comes after one lease duration.
    let mut when = 18_000;
    let mut ceased = when;
    for (gap, fault) in script {
        when += gap;
        world.at(when, Event::Fault(*fault));
        let lasts = match fault {
            Fault::Freeze(_, ms)
            | Fault::Down(ms, _)
            | Fault::Lossy(ms)
            | Fault::Slow(ms)
            | Fault::Stale(ms)
            | Fault::Cut(_, ms) => *ms,
            _ => 0,
        };
        ceased = ceased.max(when + lasts);
    }
    world.run(ceased);
    // Requests that were under way, one that was lost, a lease that has to run out by a slow clock.
    world.run(ceased + 8_000 + 4_000 + 30_000);
    let leader = world.leader();
    world.run(world.now + 60_000);
    if world.wrong.is_none() && (leader.is_none() || world.leader() != leader) {
        world.wrong =
            Some(format!("faults ceased at {ceased} ms; then {leader:?} led, later {:?}", world.leader()));
    }
    world.wrong.map_or(Ok(world.tally), Err)
}

fn a_fault() -> impl Strategy<Value = Fault> {
    let who = || 0..3_usize;
    let lasts = || 100..30_000_u64;
    prop_oneof![
        3 => (who(), lasts()).prop_map(|(who, ms)| Fault::Freeze(who, ms)),
        2 => who().prop_map(Fault::Kill),
        2 => who().prop_map(Fault::Terminate),
        2 => Just(Fault::Delete),
        1 => Just(Fault::Touch),
        1 => Just(Fault::Clear),
        2 => (lasts(), any::<bool>()).prop_map(|(ms, written)| Fault::Down(ms, written)),
        2 => lasts().prop_map(Fault::Lossy),
        2 => lasts().prop_map(Fault::Slow),
        2 => lasts().prop_map(Fault::Stale),
        2 => (who(), lasts()).prop_map(|(who, ms)| Fault::Cut(who, ms)),
        1 => (who(), -40_000_000..4_000_000_i64).prop_map(|(who, seconds)| Fault::Wall(who, seconds)),
    ]
}

fn a_run() -> impl Strategy<Value = (Vec<u64>, u64, Vec<(Ms, Fault)>)> {
    (
        prop::collection::vec(900..=1_100_u64, 2..=3),
        any::<u64>(),
        prop::collection::vec((0..12_000_u64, a_fault()), 0..20),
    )
}

#[test]
fn p2_p3_i9_in_a_thousand_elections_under_faults_two_never_lead_and_nothing_stale_lands() {
    let config = Config { cases: 1_000, failure_persistence: None, ..Config::default() };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::deterministic_rng(prop::test_runner::RngAlgorithm::ChaCha));
    let total = std::cell::Cell::new(Tally::default());
    let outcome = runner.run(&a_run(), |(clocks, seed, script)| {
        let tally = play(&clocks, seed, &script).map_err(TestCaseError::fail)?;
        let sum = total.get();
        total.set(Tally {
            elections: sum.elections + tally.elections,
            landed: sum.landed + tally.landed,
            refused: sum.refused + tally.refused,
            stale: sum.stale + tally.stale,
        });
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    let total = total.get();
    println!("1,000 runs: {total:?}");
    assert!(total.elections > 1_000, "there were {total:?}");
    assert!(total.refused > 0, "no fault made a write late enough to be stale: {total:?}");
    assert_eq!(total.stale, 0);
}
