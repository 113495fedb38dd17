//! The incident with short soaks and few pods, for tests that compare how it ends: not its pace.

use super::{owner, panics_in_prod, policy, wave};
use jiff::{SignedDuration, Timestamp};
use lockkeeper_sim::{
    Behaviour, World, WorldSettings, release,
    watchman::{Watchman, run_until, settle},
};
use std::collections::{BTreeMap, BTreeSet};

pub const STEP: SignedDuration = SignedDuration::from_secs(60);

/// Before anything happens: three stages, and every pod runs 0.28.0.
pub fn world() -> World {
    let mut policy = policy();
    for stage in &mut policy.stages {
        stage.soak = SignedDuration::from_mins(3);
        stage.waves = Some(vec![wave(2, 15), wave(4, 3)]);
    }
    policy.health.warm_up = SignedDuration::from_secs(60);
    let mut world = World::new(policy, WorldSettings { seed: 11, ..WorldSettings::default() });
    world.push(&release("0.28.0"), &["0.28.0", "latest"], Behaviour::default());
    world.add_owner(owner("dev", "api", 2));
    world.add_owner(owner("staging", "api", 3));
    world.add_owner(owner("prod", "api", 9));
    world
}

pub type Happening = (Timestamp, fn(&mut World));

/// What happens, and when: everything else follows.
pub fn story(start: Timestamp) -> Vec<Happening> {
    let at = |minutes| start + SignedDuration::from_mins(minutes);
    vec![
        (at(3), |w| w.push(&release("0.29.0"), &["0.29.0", "latest"], panics_in_prod(40.0))),
        (at(22), |w| {
            let born = w.pods.len() - 1;
            w.delete_pod(born);
        }),
        (at(65), |w| w.push(&release("0.29.1"), &["0.29.1", "latest"], Behaviour::default())),
        (at(120), |_| {}),
    ]
}

/// Plays the rest of the story.
pub fn play(world: &mut World, watchman: &mut Watchman, start: Timestamp) {
    for (at, event) in story(start) {
        if at <= world.now {
            continue;
        }
        run_until(world, watchman, at, STEP);
        event(world);
        settle(world, watchman, 8);
    }
}

/// What is compared: no times, no counts of attempts.
#[derive(Debug, PartialEq, Eq)]
pub struct End {
    pub runs: BTreeMap<String, BTreeMap<String, usize>>,
    pub pins: BTreeSet<(String, String, Option<String>, bool)>,
    pub quarantines: BTreeSet<String>,
    pub verified: BTreeMap<String, Vec<(String, String)>>,
    pub phases: Vec<String>,
}

pub fn end_of(world: &World) -> End {
    let mut runs: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for pod in &world.pods {
        let o = &world.owners[pod.owner];
        let what = pod.running.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string);
        *runs.entry(format!("{}/{}", o.namespace, o.name)).or_default().entry(what).or_default() += 1;
    }
    let pins = world.pins.iter().map(|p| {
        let tag = p.spec.tag.as_ref().map(ToString::to_string);
        (p.key.namespace.clone(), p.spec.digest.to_string(), tag, p.spec.only_tags.is_some())
    });
    let verified = world.stored.stages.iter().map(|s| {
        let list = s.verified.iter().map(|v| (v.release.digest.to_string(), format!("{:?}", v.source)));
        (s.name.clone(), list.collect())
    });
    End {
        runs,
        pins: pins.collect(),
        quarantines: world.quarantines.iter().map(|q| q.name.clone()).collect(),
        verified: verified.collect(),
        phases: world.stored.stages.iter().map(|s| format!("{} {:?}", s.name, s.phase)).collect(),
    }
}
