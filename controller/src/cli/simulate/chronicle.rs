//! What happened in a story, as it is needed to tell it, to add it up and to draw it.

use super::{
    clock::span,
    scenario::{Deed, Scenario, Step},
};
use jiff::{SignedDuration, Timestamp};
use lockkeeper_core::{decision::EventType, status::Phase};
use lockkeeper_sim::{Effect, Record, World};
use std::collections::{BTreeMap, BTreeSet};

/// A line of the story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When.
    pub at: Timestamp,
    /// Who says so.
    pub from: Teller,
    /// The stage, if it concerns one.
    pub stage: Option<usize>,
    /// A word for it.
    pub word: String,
    /// A sentence.
    pub text: String,
}

/// Who tells something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Teller {
    /// The scenario.
    Script,
    /// The controller, by an Event: normal or a warning.
    Controller(EventType),
    /// The simulation: what the world shows.
    World,
}

/// One stage over time; an entry holds until the next one.
#[derive(Clone, Debug, Default)]
pub struct Track {
    /// Pods per release, and last those that run nothing yet.
    pub pods: Vec<(Timestamp, Vec<usize>)>,
    /// The controller's phase; none while there has been no controller.
    pub phases: Vec<(Timestamp, Option<Phase>)>,
    /// Pod-seconds in which a wanted pod was not Ready, and all that were wanted.
    pub lost: [i64; 2],
    /// uids of all pods that there ever were.
    pub uids: BTreeSet<String>,
}

/// What one release did in one stage.
#[derive(Clone, Debug, Default)]
pub struct Deeds {
    /// uids of the pods that ever ran it.
    pub uids: BTreeSet<String>,
    /// Crashes, each with its moment.
    pub crashes: Vec<Timestamp>,
    /// Pod-seconds.
    pub seconds: i64,
    /// The first pod of it was seen.
    pub first: Option<Timestamp>,
    /// No pod has it any more since.
    pub gone: Option<Timestamp>,
    /// All pods of the stage had it, at least once.
    pub everywhere: bool,
}

/// Everything that is kept of a story.
#[derive(Clone, Debug)]
pub struct Chronicle {
    /// In order of time.
    pub lines: Vec<Line>,
    /// One per stage.
    pub tracks: Vec<Track>,
    /// By release and stage.
    pub deeds: BTreeMap<(usize, usize), Deeds>,
    /// When a release was quarantined by the controller.
    pub quarantined: BTreeMap<usize, Timestamp>,
    /// Pods made anew: uid to what it ran first, and whether it was born with a pin.
    pub born: BTreeMap<String, (Option<usize>, bool)>,
    /// Pods that the timeline asked for: replacements, and more replicas.
    pub asked: usize,
    /// Pods whose container was given another image in place.
    pub moves: usize,
    /// Writes of the controller, of its status too.
    pub writes: usize,
    looked_at: usize,
    reasons: Vec<String>,
    stage_of: Vec<Option<usize>>,
}

/// Reasons that an Event or the phase tells already, or that end at once.
const SELF_EVIDENT: [&str; 15] = [
    "",
    "Adopted",
    "Applying",
    "ApprovalRequired",
    "Checking",
    "Idle",
    "NoCandidate",
    "Resolving",
    "Restored",
    "Restoring",
    "RolledBack",
    "RollingBack",
    "Soaking",
    "Sweeping",
    "Verified",
];

impl Chronicle {
    /// Before anything has happened.
    pub fn new(scenario: &Scenario, world: &World) -> Self {
        Self {
            lines: Vec::new(),
            tracks: scenario.policy.stages.iter().map(|_| Track::default()).collect(),
            deeds: BTreeMap::new(),
            quarantined: BTreeMap::new(),
            born: BTreeMap::new(),
            asked: 0,
            moves: 0,
            writes: 0,
            looked_at: 0,
            reasons: vec![String::new(); scenario.policy.stages.len()],
            stage_of: world.owners.iter().map(|owner| world.stage_of(owner)).collect(),
        }
    }

    /// A step of the timeline begins.
    pub fn step(&mut self, scenario: &Scenario, at: Timestamp, step: &Step) {
        let text = step
            .say
            .clone()
            .unwrap_or_else(|| step.deed.as_ref().map_or_else(String::new, |d| said(scenario, d)));
        self.lines.push(Line { at, from: Teller::Script, stage: None, word: String::new(), text });
    }

    /// `span` is about to pass with everything as it is.
    pub fn passed(&mut self, world: &World, span: SignedDuration) {
        let seconds = span.as_secs();
        let mut ready = vec![0_i64; self.tracks.len()];
        for (index, pod) in world.pods.iter().enumerate() {
            if let Some(stage) = self.stage_of[pod.owner]
                && world.ready(index)
                && !pod.deleting
            {
                ready[stage] += 1;
            }
        }
        let mut wanted = vec![0_i64; self.tracks.len()];
        for (owner, stage) in world.owners.iter().zip(&self.stage_of) {
            if let Some(stage) = stage {
                wanted[*stage] += i64::try_from(owner.replicas).unwrap_or(0);
            }
        }
        for (stage, track) in self.tracks.iter_mut().enumerate() {
            track.lost[0] += (wanted[stage] - ready[stage]).max(0) * seconds;
            track.lost[1] += wanted[stage] * seconds;
            let Some((_, pods)) = track.pods.last() else { continue };
            for (release, count) in pods.iter().enumerate().filter(|(_, count)| **count > 0) {
                let count = i64::try_from(*count).unwrap_or(0);
                self.deeds.entry((release, stage)).or_default().seconds += count * seconds;
            }
        }
    }

    /// Looks at the world after everything of this moment has happened.
    pub fn look(&mut self, scenario: &Scenario, world: &World) {
        let records: Vec<Record> = world.records.get(self.looked_at..).unwrap_or_default().to_vec();
        self.looked_at = world.records.len();
        for record in records {
            self.record(scenario, world, &record);
        }
        self.sample(scenario, world);
        self.waits(world);
        for (stage, track) in self.tracks.iter_mut().enumerate() {
            let known = world.stored.stages.get(stage).map(|s| s.phase);
            if track.phases.last().is_none_or(|(_, last)| *last != known) {
                track.phases.push((world.now, known));
            }
        }
    }

    /// The last moment once more, so that every track reaches the end.
    pub fn end(&mut self, world: &World) {
        for track in &mut self.tracks {
            if let Some((_, last)) = track.pods.last().cloned() {
                track.pods.push((world.now, last));
            }
            if let Some((_, last)) = track.phases.last().copied() {
                track.phases.push((world.now, last));
            }
        }
    }

    /// What stages wait for, where no Event says so and it is worth a line.
    fn waits(&mut self, world: &World) {
        for (stage, status) in world.stored.stages.iter().enumerate().take(self.reasons.len()) {
            let known = std::mem::replace(&mut self.reasons[stage], status.reason.clone());
            // A pod that is away for seconds stops the clock, too; that would be a line per crash.
            let brief = status.reason == "SoakPaused" && world.watches_fresh;
            if known != status.reason && !brief && !SELF_EVIDENT.contains(&status.reason.as_str()) {
                self.lines.push(Line {
                    at: world.now,
                    from: Teller::Controller(EventType::Normal),
                    stage: Some(stage),
                    word: status.reason.clone(),
                    text: status.message.clone(),
                });
            }
        }
    }

    fn record(&mut self, scenario: &Scenario, world: &World, record: &Record) {
        let release = |digest| scenario.releases.iter().position(|known| known.release.answers_to(digest));
        match &record.what {
            Effect::Told(event) => {
                let stage = event.stage.as_ref();
                let stage =
                    stage.and_then(|name| scenario.policy.stages.iter().position(|s| s.name == *name));
                self.lines.push(Line {
                    at: record.at,
                    from: Teller::Controller(event.kind),
                    stage,
                    word: event.reason.to_owned(),
                    text: event.message.clone(),
                });
            }
            Effect::Quarantined { digest } => {
                if let Some(release) = release(digest) {
                    self.quarantined.entry(release).or_insert(record.at);
                }
            }
            Effect::Moved { .. } => self.moves += 1,
            Effect::Born { pod, .. } => {
                let name = pod.rsplit('/').next().unwrap_or(pod);
                if let Some(pod) = world.pods.iter().find(|p| p.name == name) {
                    self.born.insert(pod.uid.clone(), (None, pod.pinned_by.is_some()));
                }
            }
            Effect::Started { pod, digest } => {
                let pod = world.pods.iter().find(|p| p.name == *pod);
                if let Some((first, _)) = pod.and_then(|pod| self.born.get_mut(&pod.uid)) {
                    *first = first.or(release(digest));
                }
            }
            Effect::Crashed { pod, digest } => {
                let stage = world.pods.iter().find(|p| p.name == *pod).and_then(|p| self.stage_of[p.owner]);
                if let (Some(release), Some(stage)) = (release(digest), stage) {
                    self.crashed(scenario, record.at, release, stage, pod);
                }
            }
            Effect::Noticed(_)
            | Effect::Status
            | Effect::Pinned { .. }
            | Effect::Committed { .. }
            | Effect::Unpinned { .. }
            | Effect::Orphaned { .. } => {}
        }
    }

    fn crashed(&mut self, scenario: &Scenario, at: Timestamp, release: usize, stage: usize, pod: &str) {
        let deeds = self.deeds.entry((release, stage)).or_default();
        deeds.crashes.push(at);
        if deeds.crashes.len() == 1 {
            let text = format!("{} crashes for the first time, in {pod}", scenario.releases[release].name);
            self.lines.push(world_says(at, Some(stage), "FirstCrash", text));
        }
    }

    /// Counts pods per release, and says when a release comes, is everywhere, and goes.
    fn sample(&mut self, scenario: &Scenario, world: &World) {
        let now = world.now;
        let kinds = scenario.releases.len() + 1;
        let mut counts = vec![vec![0; kinds]; self.tracks.len()];
        for pod in &world.pods {
            let Some(stage) = self.stage_of[pod.owner] else { continue };
            let release = pod.running.as_ref();
            let release =
                release.and_then(|d| scenario.releases.iter().position(|known| known.release.answers_to(d)));
            counts[stage][release.unwrap_or(kinds - 1)] += 1;
            self.tracks[stage].uids.insert(pod.uid.clone());
            if let Some(release) = release {
                self.deeds.entry((release, stage)).or_default().uids.insert(pod.uid.clone());
            }
        }
        for (stage, counts) in counts.into_iter().enumerate() {
            if self.tracks[stage].pods.last().is_some_and(|(_, last)| *last == counts) {
                continue;
            }
            self.turns(scenario, now, stage, &counts);
            self.tracks[stage].pods.push((now, counts));
        }
    }

    fn turns(&mut self, scenario: &Scenario, now: Timestamp, stage: usize, counts: &[usize]) {
        let all: usize = counts.iter().sum();
        let begun = !self.tracks[stage].pods.is_empty();
        for (release, known) in scenario.releases.iter().enumerate() {
            let count = counts[release];
            let deeds = self.deeds.entry((release, stage)).or_default();
            let mut say =
                |word: &str, text: String| self.lines.push(world_says(now, Some(stage), word, text));
            if count > 0 {
                if deeds.first.is_none() && begun && known.bad() {
                    say("FirstPod", format!("the first pod runs {}", known.name));
                }
                deeds.first = deeds.first.or(Some(now));
                deeds.gone = None;
                if count == all && !deeds.everywhere {
                    deeds.everywhere = true;
                    if begun {
                        say("Everywhere", format!("all {all} pods run {}", known.name));
                    }
                }
            } else if let (Some(first), None) = (deeds.first, deeds.gone) {
                deeds.gone = Some(now);
                if known.bad() {
                    let after = span(now.duration_since(first));
                    say("Gone", format!("no pod runs {} any more, {after} after the first one", known.name));
                }
            }
        }
    }
}

fn world_says(at: Timestamp, stage: Option<usize>, word: &str, text: String) -> Line {
    Line { at, from: Teller::World, stage, word: word.to_owned(), text }
}

/// A deed as a sentence, where the scenario has none.
fn said(scenario: &Scenario, deed: &Deed) -> String {
    let release = |index: &usize| scenario.releases.get(*index).map_or("", |known| known.name.as_str());
    let owner = |index: &usize| {
        let owner = scenario.world.owners.get(*index);
        owner.map_or_else(String::new, |o| format!("{}/{}", o.namespace, o.name))
    };
    let up = |up: &bool, yes: &str, no: &str| if *up { yes.to_owned() } else { no.to_owned() };
    match deed {
        Deed::Push(index, tags) => {
            let tags: Vec<&str> = tags.iter().map(lockkeeper_core::image::Tag::as_str).collect();
            format!("{} is pushed as {}", release(index), tags.join(", "))
        }
        Deed::Retag(tag, index) => format!("the tag {tag} names {} from now on", release(index)),
        Deed::Remove(index) => format!("{} is deleted from the registry", release(index)),
        Deed::DeletePods(index, 1) => format!("a pod of {} is deleted", owner(index)),
        Deed::DeletePods(index, count) => format!("{count} pods of {} are deleted", owner(index)),
        Deed::ReplacePods(index, over) => {
            format!("the pods of {} begin to be replaced, one by one in {}", owner(index), span(*over))
        }
        Deed::Scale(index, replicas) => format!("{} is scaled to {replicas} pods", owner(index)),
        Deed::Roll(index, None, over) => format!("{} rolls, in {}", owner(index), span(*over)),
        Deed::Roll(index, Some(image), over) => {
            format!("{} is given {image}, and rolls in {}", owner(index), span(*over))
        }
        Deed::Registry(on) => up(on, "the registry answers again", "the registry does not answer any more"),
        Deed::Watches(on) => up(on, "the watches are fresh again", "the watches of the API server hang"),
        Deed::Controller(on) => up(on, "the controller starts", "the controller is gone"),
        Deed::Pinning(on) => {
            up(on, "the API server pins new pods", "the API server does not pin new pods any more")
        }
        Deed::Suspend(on) => up(on, "the policy is suspended", "the policy is not suspended any more"),
        Deed::Intervene(asked) => {
            let stages = asked.stages.join(", ");
            let place = if stages.is_empty() { String::new() } else { format!(" for {stages}") };
            format!("{} asks: {:?}{place} ({})", asked.requested_by, asked.kind, asked.reason)
        }
        Deed::Quarantine(index, reason) => format!("a person quarantines {}: {reason}", release(index)),
        Deed::Unquarantine(index) => format!("a person deletes the Quarantine of {}", release(index)),
    }
}
