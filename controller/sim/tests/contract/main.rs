//! The contract's lines, one short story each: what the random worlds do not reach on their own.

#[path = "../common/mod.rs"]
mod common;

mod adoption;
mod after_rollback;
mod causes;
mod common_cause;
mod evidence;
mod gates;
mod git;
mod leftovers;
mod lost;
mod notices;
mod people;
mod requests;
mod signals;
mod signatures;
mod stops;
mod taking_back;
mod templates;
mod waves;

use common::{owner, policy, stage};
use jiff::SignedDuration;
use lockkeeper_core::{
    decision::{Action, Decision},
    image::Release,
    observed::{InterventionKind, Observed, Skip},
    policy::{Policy, Wave},
    status::{Phase, StageStatus},
};
use lockkeeper_sim::{
    Behaviour, Effect, World, WorldSettings, release,
    watchman::{Watchman, run_until, settle},
};

/// A world, its oracle, and short words for both.
struct Story {
    world: World,
    watchman: Watchman,
}

/// A policy with these stages, in a row, each with a soak of ten minutes.
fn stages(names: &[&str]) -> Policy {
    let mut policy = policy();
    policy.stages = names
        .iter()
        .enumerate()
        .map(|(i, name)| {
            let after: Vec<usize> = i.checked_sub(1).into_iter().collect();
            let mut stage = stage(name, &after, SignedDuration::from_mins(10));
            stage.waves = Some(Vec::new());
            stage.max_soak = SignedDuration::from_hours(2);
            stage
        })
        .collect();
    policy
}

fn waves(policy: &mut Policy, waves: &[Wave]) {
    policy.stages.iter_mut().for_each(|s| s.waves = Some(waves.to_vec()));
}

impl Story {
    /// Owners as (namespace, name, pods), all on 0.28.0 by way of `latest`.
    fn new(policy: Policy, owners: &[(&str, &str, usize)]) -> Self {
        let mut world = World::new(policy, WorldSettings { seed: 5, ..WorldSettings::default() });
        world.push(&release("0.27.0"), &["0.27.0"], Behaviour::default());
        world.push(&release("0.28.0"), &["0.28.0", "latest"], Behaviour::default());
        for (namespace, name, pods) in owners {
            world.add_owner(owner(namespace, name, *pods));
        }
        Self { world, watchman: Watchman::default() }
    }

    /// One stage, `prod`, with so many pods of one owner; adopted.
    fn prod(pods: usize) -> Self {
        Self::new(stages(&["prod"]), &[("prod", "api", pods)]).minutes(1)
    }

    fn minutes(mut self, minutes: i64) -> Self {
        self.pass(minutes);
        self
    }

    fn pass(&mut self, minutes: i64) {
        let end = self.world.now + SignedDuration::from_mins(minutes);
        settle(&mut self.world, &mut self.watchman, 8);
        run_until(&mut self.world, &mut self.watchman, end, SignedDuration::from_secs(30));
        assert_eq!(self.watchman.violations, Vec::<String>::new());
    }

    fn push(&mut self, name: &str, behaviour: Behaviour) -> Release {
        let release = release(name);
        self.world.push(&release, &[name, "latest"], behaviour);
        release
    }

    fn good(&mut self, name: &str) -> Release {
        self.push(name, Behaviour::default())
    }

    fn ask(&mut self, kind: InterventionKind, stage: &str, digest: Option<&Release>, by: &str) {
        self.world.intervene(kind, &[stage], digest.map(|r| &r.digest), by, &[]);
    }

    fn promote(&mut self, stage: &str, release: &Release, skip: &[Skip]) {
        self.world.intervene(InterventionKind::Promote, &[stage], Some(&release.digest), "kim", skip);
    }

    fn stage(&self, index: usize) -> &StageStatus {
        &self.world.stored.stages[index]
    }

    fn reason(&self, index: usize) -> (Phase, &str) {
        (self.stage(index).phase, &self.stage(index).reason)
    }

    fn told(&self, reason: &str) -> usize {
        self.world.records.iter().filter(|r| matches!(&r.what, Effect::Told(e) if e.reason == reason)).count()
    }

    fn moves(&self) -> Vec<(String, String)> {
        let moved = self.world.records.iter().filter_map(|r| match &r.what {
            Effect::Moved { pod, to, .. } => Some((pod.clone(), to.clone())),
            _ => None,
        });
        moved.collect()
    }

    fn runs(&self, name: &str) -> usize {
        self.world.running(&release(name))
    }

    /// Lines of the history, for a message.
    fn history(&self) -> String {
        let lines = self.world.stored.history.iter();
        let lines: Vec<String> =
            lines.map(|h| format!("{} {} {}: {}", h.at, h.stage, h.reason, h.message)).collect();
        lines.join("\n")
    }

    /// What would be decided of a world that a story cannot make.
    fn decide_on(&self, change: impl FnOnce(&mut Observed)) -> Decision {
        let mut seen = self.world.observe();
        change(&mut seen);
        lockkeeper_core::decide(&self.world.policy, &seen, self.world.now)
    }
}

fn crash_at_start() -> Behaviour {
    Behaviour { crash_at_start: true, ..Behaviour::default() }
}

fn crashes(rate: f64) -> Behaviour {
    Behaviour { crashes_per_hour: rate, ..Behaviour::default() }
}

fn never_ready() -> Behaviour {
    Behaviour { never_ready: true, ..Behaviour::default() }
}

fn pods_moved(decision: &Decision) -> usize {
    decision.actions.iter().filter(|a| matches!(a, Action::MovePod(_))).count()
}
