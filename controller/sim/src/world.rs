//! What there is, and what a script or a test may do to it.

use crate::{Behaviour, Branches, Effect, Measured, Random, Recorded};
use jiff::{SignedDuration, Timestamp};
use lockkeeper_core::{
    image::{Digest, ImageRef, PlatformImage, Release, Tag},
    observed::{Elsewhere, InterventionSeen, Moved, PinSeen, QuarantineSeen},
    policy::Policy,
    signals::{SignalAnswer, SignalKey},
    signature::Signed,
    stage::Standing,
    status::Status,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// How the world behaves.
#[derive(Clone, Debug)]
pub struct WorldSettings {
    /// Seed of everything random.
    pub seed: u64,
    /// Where it begins.
    pub start: Timestamp,
    /// Nodes that pods are spread over.
    pub nodes: usize,
    /// Seconds from a kill to the new container being up and Ready.
    pub pull_seconds: i64,
    /// Seconds from a crash to the restart, the first time.
    pub restart_seconds: i64,
    /// The API server pins new pods.
    pub pins_at_birth: bool,
    /// Name of the governed container.
    pub container: String,
    /// Labels of namespaces, for targets that choose them by label.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// Keep [`World::evidence`].
    pub trace_evidence: bool,
}

impl Default for WorldSettings {
    fn default() -> Self {
        Self {
            seed: 1,
            start: Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * 365 * 53),
            nodes: 6,
            pull_seconds: 3,
            restart_seconds: 2,
            pins_at_birth: true,
            container: "otel".to_owned(),
            namespaces: BTreeMap::new(),
            trace_evidence: false,
        }
    }
}

/// An owner of pods: a Deployment, as far as its pods go.
#[derive(Clone, Debug)]
pub struct Owner {
    /// Where.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Pods it keeps.
    pub replicas: usize,
    /// The governed container's image in its template.
    pub image: String,
    /// Hash of its template.
    pub template: String,
    /// Labels of its pods.
    pub labels: BTreeMap<String, String>,
}

/// A pod with one application container and one governed sidecar.
#[allow(clippy::struct_excessive_bools, reason = "independent facts about one pod")]
#[derive(Clone, Debug)]
pub struct Pod {
    /// uid.
    pub uid: String,
    /// Name.
    pub name: String,
    /// Index of its owner.
    pub owner: usize,
    /// Node.
    pub node: String,
    /// Hash of the template it was made from.
    pub template: String,
    /// Birth.
    pub created: Timestamp,
    /// The sidecar's image, as the spec has it.
    pub image: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// `lockkeeper.dev/moved`.
    pub moved: Option<Moved>,
    /// `lockkeeper.dev/pinned-by`.
    pub pinned_by: Option<String>,
    /// What the sidecar runs.
    pub running: Option<Digest>,
    /// The sidecar is up.
    pub up: bool,
    /// `restartCount` of the sidecar.
    pub restarts: u32,
    /// Down because it died, not because it was told to.
    pub down_after_death: bool,
    /// Why it waits.
    pub waiting: Option<String>,
    /// When it comes up again.
    pub up_at: Option<Timestamp>,
    /// When it dies next, drawn from the crashes per hour beside it.
    pub dies_at: Option<(Timestamp, f64)>,
    /// When it died last.
    pub died: Option<Timestamp>,
    /// The message that it left then, if it left one.
    pub died_of: Option<String>,
    /// Crashes in a row, for the back-off.
    pub crashes_in_a_row: u32,
    /// It ends at the next step.
    pub deleting: bool,
    /// Its application is not Ready, whatever the sidecar does.
    pub app_down: bool,
}

/// Something that happened in the world, for oracles and pictures.
#[derive(Clone, Debug)]
pub struct Record {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: Effect,
}

/// The evidence against a candidate at some moment.
#[derive(Clone, Debug, PartialEq)]
pub struct EvidencePoint {
    /// When.
    pub at: Timestamp,
    /// Index of the stage.
    pub stage: usize,
    /// The candidate.
    pub digest: Digest,
    /// What there is against it.
    pub standing: Standing,
}

/// The world.
#[derive(Clone, Debug)]
pub struct World {
    /// Settings.
    pub settings: WorldSettings,
    /// Now.
    pub now: Timestamp,
    /// The policy under test.
    pub policy: Policy,
    /// The status as stored in the API server.
    pub stored: Status,
    /// The controller's memory; `None` right after it started.
    pub memory: Option<Status>,
    /// What tags name.
    pub tags: BTreeMap<Tag, Release>,
    /// Everything that was ever pushed and not deleted.
    pub pushed: Vec<Release>,
    /// Who signed what; what is not here is not signed.
    pub signatures: BTreeMap<Digest, Signed>,
    /// The registry answers.
    pub registry_up: bool,
    /// The watches are fresh.
    pub watches_fresh: bool,
    /// Since when they are not.
    pub stale_since: Option<Timestamp>,
    /// The controller runs.
    pub controller_up: bool,
    /// What a webhook answers to every change of a pod's image, if it refuses them.
    pub refused_with: Option<String>,
    /// Owners.
    pub owners: Vec<Owner>,
    /// Pods.
    pub pods: Vec<Pod>,
    /// Pins.
    pub pins: Vec<PinSeen>,
    /// Quarantines.
    pub quarantines: Vec<QuarantineSeen>,
    /// Interventions.
    pub interventions: Vec<InterventionSeen>,
    /// How contents behave.
    pub behaviours: BTreeMap<Digest, Behaviour>,
    /// What the controller asked for in its last pass.
    pub questions: BTreeSet<lockkeeper_core::decision::Question>,
    /// What servers of signals answer.
    pub measured: Measured,
    /// Signals whose values were recorded; they are told instead.
    pub recorded: BTreeMap<String, Recorded>,
    /// What they answered to the last pass.
    pub(crate) signals: BTreeMap<SignalKey, SignalAnswer>,
    /// What the registry said tags name, and when; known until it says something else.
    pub(crate) looked_up: BTreeMap<Tag, (Timestamp, Option<Release>)>,
    /// Digests whose signatures were looked up.
    pub(crate) known_signatures: BTreeSet<Digest>,
    /// Files of repositories.
    pub branches: Branches,
    /// Namespaces in which the policy's account may not change pods.
    pub forbidden: BTreeSet<String>,
    /// Those of them in which it tried.
    pub(crate) refused_in: BTreeSet<String>,
    /// Nodes on which every container of a pod dies as soon as it starts.
    pub broken_nodes: BTreeSet<String>,
    /// What other policies show.
    pub elsewhere: Vec<Arc<Elsewhere>>,
    /// What happened.
    pub records: Vec<Record>,
    /// Evidence wherever it changed, if the settings ask for it.
    pub evidence: Vec<EvidencePoint>,
    /// When the controller wants to look again.
    pub next_deadline: Option<Timestamp>,
    pub(crate) random: Random,
    pub(crate) births: u64,
    pub(crate) versions: u64,
}

impl World {
    /// A world with nothing in it but a policy.
    #[must_use]
    pub fn new(policy: Policy, settings: WorldSettings) -> Self {
        Self {
            now: settings.start,
            random: Random::new(settings.seed),
            settings,
            policy,
            stored: Status::default(),
            memory: None,
            tags: BTreeMap::new(),
            pushed: Vec::new(),
            signatures: BTreeMap::new(),
            registry_up: true,
            watches_fresh: true,
            stale_since: None,
            controller_up: true,
            refused_with: None,
            owners: Vec::new(),
            pods: Vec::new(),
            pins: Vec::new(),
            quarantines: Vec::new(),
            broken_nodes: BTreeSet::new(),
            elsewhere: Vec::new(),
            interventions: Vec::new(),
            behaviours: BTreeMap::new(),
            questions: BTreeSet::new(),
            measured: Measured::default(),
            recorded: BTreeMap::new(),
            signals: BTreeMap::new(),
            looked_up: BTreeMap::new(),
            known_signatures: BTreeSet::new(),
            branches: Branches::default(),
            forbidden: BTreeSet::new(),
            refused_in: BTreeSet::new(),
            records: Vec::new(),
            evidence: Vec::new(),
            next_deadline: None,
            births: 0,
            versions: 0,
        }
    }

    /// Pushes a release under tags, and says how it behaves.
    pub fn push(&mut self, release: &Release, tags: &[&str], behaviour: Behaviour) {
        self.behaviours.insert(release.digest.clone(), behaviour);
        if !self.pushed.contains(release) {
            self.pushed.push(release.clone());
        }
        for tag in tags.iter().filter_map(|t| t.parse::<Tag>().ok()) {
            self.tags.insert(tag, release.clone());
        }
    }

    /// Deletes a release's bytes from the registry (garbage collection).
    pub fn collect_garbage(&mut self, digest: &Digest) {
        self.pushed.retain(|r| !r.answers_to(digest));
        self.tags.retain(|_, r| !r.answers_to(digest));
    }

    /// Adds an owner and lets its pods be born and come up, long enough ago to be past any warm-up.
    pub fn add_owner(&mut self, owner: Owner) {
        self.owners.push(owner);
        let index = self.owners.len() - 1;
        for _ in 0..self.owners[index].replicas {
            self.give_birth(index);
        }
        let long_ago = self.now - SignedDuration::from_hours(48);
        for pod in self.pods.iter_mut().filter(|p| p.owner == index) {
            pod.created = long_ago;
        }
    }

    /// A pod goes away; its owner makes another one.
    pub fn delete_pod(&mut self, index: usize) {
        if let Some(pod) = self.pods.get_mut(index) {
            pod.deleting = true;
        }
    }

    /// The application rolls: a new template, all pods of the owner are born again.
    pub fn roll(&mut self, owner: usize) {
        self.change_template(owner, None);
        for pod in self.pods.iter_mut().filter(|p| p.owner == owner) {
            pod.deleting = true;
        }
    }

    /// A new template, with another image if one is given; pods change only as they are born again.
    pub fn change_template(&mut self, owner: usize, image: Option<String>) {
        self.versions += 1;
        let version = self.versions;
        if let Some(owner) = self.owners.get_mut(owner) {
            owner.template = format!("t{version}");
            owner.image = image.unwrap_or_else(|| owner.image.clone());
        }
    }

    /// The watches stop or come back.
    pub fn set_watches(&mut self, fresh: bool) {
        self.watches_fresh = fresh;
        self.stale_since = if fresh { None } else { Some(self.stale_since.unwrap_or(self.now)) };
    }

    /// The controller dies: its memory is gone, and what is stored comes back as JSON, without what only memory had.
    pub fn kill_controller(&mut self) {
        self.memory = None;
        self.questions.clear();
        self.branches.asked.clear();
        self.refused_in.clear();
        self.looked_up.clear();
        self.known_signatures.clear();
        let json = serde_json::to_vec(&self.stored).ok();
        if let Some(stored) = json.and_then(|json| serde_json::from_slice(&json).ok()) {
            self.stored = stored;
        }
    }

    /// The release that an image text means now; a tag is looked up now.
    #[must_use]
    pub fn resolve(&self, image: &str) -> Option<Release> {
        let image: ImageRef = image.parse().ok()?;
        match (image.digest(), image.tag()) {
            (Some(digest), _) => self.pushed.iter().find(|r| r.answers_to(digest)).cloned(),
            (None, Some(tag)) => self.tags.get(tag).cloned(),
            (None, None) => self.tags.get(&"latest".parse().ok()?).cloned(),
        }
    }

    /// Pods that run a release now.
    #[must_use]
    pub fn running(&self, release: &Release) -> usize {
        self.pods.iter().filter(|p| p.running.as_ref().is_some_and(|d| release.answers_to(d))).count()
    }

    pub(crate) fn record(&mut self, what: Effect) {
        self.records.push(Record { at: self.now, what });
    }
}

/// A release with made-up digests that follow from its name; one platform.
#[must_use]
pub fn release(name: &str) -> Release {
    release_for(name, &["linux/amd64"])
}

/// A release with made-up digests that follow from its name, for these platforms.
#[must_use]
pub fn release_for(name: &str, platforms: &[&str]) -> Release {
    let digest = |part: &str| Digest::of(format!("{name}/{part}").as_bytes());
    Release {
        tag: name.parse().ok(),
        version: Some(name.to_owned()),
        digest: digest("index"),
        platforms: platforms
            .iter()
            .enumerate()
            .filter_map(|(n, platform)| {
                // The first one's digests are those of a release for one platform.
                let part = |part: &str| if n == 0 { part.to_owned() } else { format!("{part}/{platform}") };
                Some(PlatformImage {
                    platform: platform.parse().ok()?,
                    manifest: digest(&part("manifest")),
                    config: Some(digest(&part("config"))),
                })
            })
            .collect(),
        created: None,
    }
}
