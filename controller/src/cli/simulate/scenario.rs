//! A scenario: a policy, a world, and what happens to it. Validated: what plays it need not doubt it.

use super::clock::Clock;
use jiff::{SignedDuration, Timestamp};
use lockkeeper_core::{
    image::{Release, Tag},
    observed::InterventionSeen,
    policy::Policy,
};
use lockkeeper_sim::{Behaviour, Owner, Recorded};
use std::collections::BTreeMap;

/// What a scenario file says.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// A line above everything.
    pub title: String,
    /// Where the clock begins.
    pub clock: Clock,
    /// Where it stops.
    pub end: Timestamp,
    /// The policy, as the controller would accept it.
    pub policy: Policy,
    /// What there is at the start.
    pub world: Setting,
    /// All releases, in the order of the file.
    pub releases: Vec<Known>,
    /// What tags name at the start, as indices into `releases`.
    pub tags: BTreeMap<Tag, usize>,
    /// What happens, in order of time.
    pub timeline: Vec<Step>,
    /// What servers of signals answer.
    pub recordings: Vec<Recording>,
}

/// Values of one signal that were recorded.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Its name in the policy.
    pub signal: String,
    /// Index of the release that was worse in them, or not.
    pub release: usize,
    /// The values, at the moments of the story.
    pub recorded: Recorded,
}

impl Scenario {
    /// Values of this release were recorded in this stage.
    #[must_use]
    pub fn recorded_in(&self, release: usize, stage: usize) -> bool {
        let name = self.policy.stages.get(stage).map(|stage| &stage.name);
        let here = |r: &Recording| {
            r.recorded.stages.is_empty() || name.is_some_and(|n| r.recorded.stages.contains(n))
        };
        self.recordings.iter().any(|r| r.release == release && here(r))
    }
}

/// What there is at the start.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Name of the governed container.
    pub container: String,
    /// Nodes that pods are spread over.
    pub nodes: usize,
    /// Seconds from a kill to the new container being up.
    pub pull_seconds: i64,
    /// Seconds from a crash to the restart.
    pub restart_seconds: i64,
    /// Whether a controller runs.
    pub controller: bool,
    /// Labels of namespaces.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// Who keeps pods.
    pub owners: Vec<Owner>,
}

/// A release and how it behaves.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its name, which is its version and a tag.
    pub name: String,
    /// Its contents.
    pub release: Release,
    /// How it behaves.
    pub behaviour: Behaviour,
    /// It is signed by whom the policy asks for, if it asks.
    pub signed: bool,
    /// Values of its own were recorded, for some signal.
    pub measured: bool,
}

impl Known {
    /// It crashes or never gets Ready, somewhere, or the story is about what was measured of it.
    #[must_use]
    pub fn bad(&self) -> bool {
        let b = &self.behaviour;
        b.crashes_per_hour > 0.0 || b.never_ready || b.crash_at_start || self.measured
    }
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub struct Step {
    /// When.
    pub at: Timestamp,
    /// What people are told of it; without it, what it is.
    pub say: Option<String>,
    /// What; nothing for a remark.
    pub deed: Option<Deed>,
}

/// What a script may do to the world. Releases and owners are indices.
#[derive(Clone, Debug)]
pub enum Deed {
    /// A release is pushed under tags.
    Push(usize, Vec<Tag>),
    /// A tag names another release.
    Retag(Tag, usize),
    /// A release's bytes are gone.
    Remove(usize),
    /// The oldest pods of an owner are deleted.
    DeletePods(usize, usize),
    /// All pods of an owner are replaced, one by one.
    ReplacePods(usize, SignedDuration),
    /// An owner keeps another number of pods.
    Scale(usize, usize),
    /// A new template, perhaps with another image; its pods are replaced one by one.
    Roll(usize, Option<String>, SignedDuration),
    /// The registry answers, or not.
    Registry(bool),
    /// The watches are fresh, or not.
    Watches(bool),
    /// The controller runs, or not.
    Controller(bool),
    /// The API server pins new pods, or not.
    Pinning(bool),
    /// `spec.suspend` of the policy.
    Suspend(bool),
    /// A person asks for something.
    Intervene(InterventionSeen),
    /// A person quarantines a release, with a reason.
    Quarantine(usize, String),
    /// A person deletes the Quarantines of a release.
    Unquarantine(usize),
}
