//! Plays a scenario: the world and the timeline in virtual time, the same `decide` as the controller runs.
//!
//! Guarantees: the same scenario and seed give the same chronicle. Time jumps from one moment at which something
//! happens to the next: a container that dies or comes up, a step of the timeline, a deadline of the controller.

use super::{
    chronicle::Chronicle,
    clock::span,
    scenario::{Deed, Known, Scenario},
};
use jiff::{SignedDuration, Timestamp};
use lockkeeper_core::{observed::QuarantineSeen, signature::Signed};
use lockkeeper_sim::{World, WorldSettings};
use std::collections::{BTreeSet, VecDeque};

/// A story with more moments than this takes minutes.
const MOST_MOMENTS: usize = 400_000;
/// Passes until nothing is left to write or to ask; more than this is a mistake of the controller, not of the story.
const PASSES: usize = 12;

/// Something of a step that is still to come: one pod of many.
#[derive(Debug)]
enum Later {
    Delete { uid: String },
}

struct Player<'a> {
    scenario: &'a Scenario,
    world: World,
    steps: VecDeque<usize>,
    later: Vec<(Timestamp, Later)>,
    chronicle: Chronicle,
}

/// Plays it to its end. An error says what makes the scenario too large.
pub fn play(scenario: &Scenario, seed: u64) -> Result<(Chronicle, World), String> {
    play_at_most(scenario, seed, MOST_MOMENTS)
}

/// The same with another bound on the moments.
pub fn play_at_most(scenario: &Scenario, seed: u64, most: usize) -> Result<(Chronicle, World), String> {
    let world = world(scenario, seed);
    let chronicle = Chronicle::new(scenario, &world);
    let steps = (0..scenario.timeline.len()).collect();
    let mut player = Player { scenario, world, steps, later: Vec::new(), chronicle };
    for _ in 0..most {
        player.act();
        player.world.pass_time(SignedDuration::ZERO);
        player.settle();
        player.chronicle.look(scenario, &player.world);
        if player.world.now >= scenario.end {
            player.chronicle.end(&player.world);
            return Ok((player.chronicle, player.world));
        }
        let next = player.next();
        let passed = next.duration_since(player.world.now);
        player.chronicle.passed(&player.world, passed);
        player.world.pass_time(passed);
    }
    let reached = player.world.now.duration_since(scenario.clock.start);
    Err(format!(
        "end: after {most} moments the story has only reached {}; end it sooner, or let less crash",
        span(reached)
    ))
}

fn world(scenario: &Scenario, seed: u64) -> World {
    let setting = &scenario.world;
    let settings = WorldSettings {
        seed,
        start: scenario.clock.start,
        nodes: setting.nodes,
        pull_seconds: setting.pull_seconds,
        restart_seconds: setting.restart_seconds,
        pins_at_birth: true,
        container: setting.container.clone(),
        namespaces: setting.namespaces.clone(),
        trace_evidence: true,
    };
    let mut world = World::new(scenario.policy.clone(), settings);
    world.controller_up = setting.controller;
    let recorded = scenario.recordings.iter().map(|r| (r.signal.clone(), r.recorded.clone()));
    world.recorded = recorded.collect();
    for (tag, index) in &scenario.tags {
        if let Some(known) = scenario.releases.get(*index) {
            push(&mut world, known, &[tag.as_str()]);
        }
    }
    for owner in &setting.owners {
        world.add_owner(owner.clone());
    }
    world
}

fn push(world: &mut World, known: &Known, tags: &[&str]) {
    world.push(&known.release, tags, known.behaviour.clone());
    if known.signed {
        let by = Signed::Trusted("the file that is simulated".to_owned());
        world.signatures.insert(known.release.digest.clone(), by);
    }
}

impl Player<'_> {
    /// Everything of the timeline that is due.
    fn act(&mut self) {
        while let Some(step) = self.steps.front().and_then(|i| self.scenario.timeline.get(*i)) {
            if step.at > self.world.now {
                break;
            }
            self.steps.pop_front();
            self.chronicle.step(self.scenario, self.world.now, step);
            if let Some(deed) = &step.deed {
                self.carry_out(deed);
            }
        }
        let now = self.world.now;
        let (due, rest) = std::mem::take(&mut self.later).into_iter().partition(|(at, _)| *at <= now);
        self.later = rest;
        for (_, Later::Delete { uid }) in due {
            self.delete(&uid);
        }
    }

    fn delete(&mut self, uid: &str) {
        if let Some(index) = self.world.pods.iter().position(|p| p.uid == uid && !p.deleting) {
            self.world.delete_pod(index);
            self.chronicle.asked += 1;
        }
    }

    /// The oldest pods of an owner that are not on their way out.
    fn pods_of(&self, owner: usize) -> Vec<String> {
        let mine = self.world.pods.iter().filter(|p| p.owner == owner && !p.deleting);
        mine.map(|p| p.uid.clone()).collect()
    }

    /// One pod after the other, evenly over `over`; the first at once, the last at its end.
    fn replace(&mut self, owner: usize, over: SignedDuration) {
        let uids = self.pods_of(owner);
        let gaps = i64::try_from(uids.len().saturating_sub(1).max(1)).unwrap_or(1);
        for (n, uid) in (0_i64..).zip(uids) {
            let wait = SignedDuration::from_secs(over.as_secs().saturating_mul(n) / gaps);
            let at = self.world.now.checked_add(wait).unwrap_or(Timestamp::MAX);
            self.later.push((at, Later::Delete { uid }));
        }
    }

    fn carry_out(&mut self, deed: &Deed) {
        let releases = &self.scenario.releases;
        match deed {
            Deed::Push(index, tags) => {
                let tags: Vec<&str> = tags.iter().map(lockkeeper_core::image::Tag::as_str).collect();
                let known = &releases[*index];
                push(&mut self.world, known, &tags);
            }
            Deed::Retag(tag, index) => {
                let known = &releases[*index];
                push(&mut self.world, known, &[tag.as_str()]);
            }
            Deed::Remove(index) => self.world.collect_garbage(&releases[*index].release.digest),
            Deed::DeletePods(owner, count) => {
                for uid in self.pods_of(*owner).into_iter().take(*count) {
                    self.delete(&uid);
                }
            }
            Deed::ReplacePods(owner, over) => self.replace(*owner, *over),
            Deed::Scale(owner, replicas) => {
                let more = replicas.saturating_sub(self.world.owners[*owner].replicas);
                self.chronicle.asked += more;
                self.world.scale(*owner, *replicas);
            }
            Deed::Roll(owner, image, over) => {
                self.world.change_template(*owner, image.clone());
                self.replace(*owner, *over);
            }
            Deed::Registry(up) => self.world.set_registry(*up),
            Deed::Watches(fresh) => self.world.set_watches(*fresh),
            Deed::Controller(up) => {
                self.world.controller_up = *up;
                if !up {
                    self.world.kill_controller();
                }
            }
            Deed::Pinning(on) => self.world.settings.pins_at_birth = *on,
            Deed::Suspend(on) => {
                self.world.policy.suspend = *on;
                self.world.policy.generation += 1;
            }
            Deed::Intervene(asked) => self.world.interventions.push(asked.clone()),
            Deed::Quarantine(index, reason) => self.quarantine(*index, reason),
            Deed::Unquarantine(index) => {
                let release = &releases[*index].release;
                self.world.quarantines.retain(|q| !q.covers(release));
            }
        }
    }

    fn quarantine(&mut self, index: usize, reason: &str) {
        let known = &self.scenario.releases[index];
        let digests: BTreeSet<_> = known.release.aliases().cloned().collect();
        self.world.quarantines.push(QuarantineSeen {
            name: format!("by-a-person-{}", known.name),
            digests,
            reason: reason.to_owned(),
            policy: None,
            stage: None,
        });
    }

    /// Passes until one has nothing to write and nothing new to ask.
    fn settle(&mut self) {
        for _ in 0..PASSES {
            let asked = self.world.questions.clone();
            let outcome = self.world.reconcile(None);
            self.chronicle.writes += outcome.writes;
            if outcome.writes == 0 && asked == self.world.questions {
                break;
            }
        }
    }

    /// The next moment at which something happens: at least a second from now.
    fn next(&self) -> Timestamp {
        let soon = self.world.now.checked_add(SignedDuration::from_secs(1)).unwrap_or(Timestamp::MAX);
        let step = self.steps.front().and_then(|i| self.scenario.timeline.get(*i)).map(|s| s.at);
        let later = self.later.iter().map(|(at, _)| *at).min();
        let controller = self.world.next_deadline.filter(|_| self.world.controller_up);
        let moments = [step, later, controller, self.world.next_moment()];
        moments
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(self.scenario.end)
            .max(soon)
            .min(self.scenario.end.max(soon))
    }
}
