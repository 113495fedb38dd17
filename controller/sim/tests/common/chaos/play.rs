//! A random world in motion: what happens is played out, and in the end it comes to rest.

use super::events::{Event, Kind, Setup};
use crate::common::{REPOSITORY, owner, policy, stage, wave};
use jiff::SignedDuration;
use lockkeeper_core::{
    image::{Digest, Release},
    observed::{InterventionKind, Skip},
    policy::{DeletionPolicy, Mode, Namespaces, Target, Window, WindowKind},
};
use lockkeeper_sim::{
    Behaviour, World, WorldSettings, release,
    watchman::{Watchman, run_until},
};
use std::{collections::BTreeSet, str::FromStr as _};

const STEP: SignedDuration = SignedDuration::from_mins(2);

/// What plays: the world, its oracle, and what is needed to go on.
#[derive(Clone)]
pub struct Play {
    pub world: World,
    pub watchman: Watchman,
    versions: u32,
    copies: u32,
    kill: Option<usize>,
    together: bool,
    /// Pods whose image a person set.
    by_hand: BTreeSet<String>,
}

impl Play {
    pub fn new(setup: &Setup) -> Self {
        let mut policy = policy();
        let names = ["dev", "staging", "prod"];
        let shape: &[&[usize]] = match setup.shape {
            0 => &[&[]],
            1 => &[&[], &[0]],
            2 => &[&[], &[0], &[1]],
            3 => &[&[], &[0], &[0]],
            _ => &[&[], &[], &[0, 1]],
        };
        policy.stages = shape
            .iter()
            .zip(names)
            .map(|(after, name)| small(stage(name, after, SignedDuration::from_mins(6)), setup.together))
            .collect();
        if setup.repair {
            policy.stages.iter_mut().for_each(|s| s.drift = lockkeeper_core::policy::DriftMode::Repair);
        }
        policy.health.ready_deadline = SignedDuration::from_mins(5);
        policy.health.guard = SignedDuration::from_hours(1);
        policy.health.no_data_max = SignedDuration::from_hours(1);
        let settings = WorldSettings { seed: setup.seed, ..WorldSettings::default() };
        let mut world = World::new(policy, settings);
        world.push(&release("0.27.0"), &["0.27.0"], Behaviour::default());
        world.push(&release("0.28.0"), &["0.28.0", "latest"], Behaviour::default());
        let stages = world.policy.stages.len();
        for (index, name) in names.iter().enumerate().take(stages) {
            for (number, pods) in setup.owners[index].iter().enumerate() {
                let mut owner = owner_in(name, &format!("app{number}"), *pods, setup.together);
                if setup.explicit == Some(index) && number == 0 {
                    owner.image = format!("{REPOSITORY}:0.27.0");
                }
                world.add_owner(owner);
            }
        }
        let mut play = Self {
            world,
            watchman: Watchman::default(),
            versions: 28,
            copies: 0,
            kill: None,
            together: setup.together,
            by_hand: BTreeSet::new(),
        };
        play.settle();
        play
    }

    /// Passes until nothing is left to do; a kill that is due strikes once.
    pub fn settle(&mut self) {
        for _ in 0..10 {
            let asked = self.world.questions.clone();
            let outcome = self.world.reconcile(self.kill);
            if outcome.killed {
                self.kill = None;
            }
            self.watchman.look(&self.world);
            if outcome.writes == 0 && !outcome.killed && asked == self.world.questions {
                break;
            }
        }
    }

    pub fn pass(&mut self, minutes: i64) {
        let end = self.world.now + SignedDuration::from_mins(minutes);
        while self.world.now < end {
            self.world.pass_time(STEP);
            self.settle();
        }
    }

    fn any_release(&self, number: usize) -> Option<Release> {
        let count = self.world.pushed.len();
        (count > 0).then(|| self.world.pushed[number % count].clone())
    }

    fn good_digest(&self, digest: Option<&Digest>) -> bool {
        let b = digest.and_then(|d| self.world.behaviours.get(d)).cloned().unwrap_or_default();
        b.crashes_per_hour == 0.0 && !b.never_ready && !b.crash_at_start
    }

    /// One that behaves: what people choose by hand.
    fn good_release(&self, number: usize) -> Option<Release> {
        let good: Vec<&Release> =
            self.world.pushed.iter().filter(|r| self.good_digest(Some(&r.digest))).collect();
        good.get(number % good.len().max(1)).map(|r| (*r).clone())
    }

    fn push(&mut self, behaviour: &Behaviour) -> Release {
        self.versions += 1;
        let name = format!("0.{}.0", self.versions);
        let release = release(&name);
        self.world.push(&release, &[&name, "latest"], behaviour.clone());
        release
    }

    pub fn push_good(&mut self) -> Release {
        self.push(&Behaviour::default())
    }

    fn behaviour(&self, kind: Kind) -> Behaviour {
        // In one namespace nobody can be told apart by it: then it crashes everywhere.
        let last = self.world.policy.stages.last().map(|s| s.name.clone());
        let only_last = if self.together { BTreeSet::default() } else { last.into_iter().collect() };
        let base = Behaviour::default();
        match kind {
            Kind::Good => base,
            Kind::Crashes => Behaviour { crashes_per_hour: 30.0, ..base },
            Kind::CrashesLast => Behaviour { crashes_per_hour: 30.0, only_in: only_last, ..base },
            Kind::NeverReady => Behaviour { never_ready: true, ..base },
            Kind::CrashAtStart => Behaviour { crash_at_start: true, ..base },
            Kind::CrashAtStartLast => Behaviour { crash_at_start: true, only_in: only_last, ..base },
        }
    }

    pub fn happen(&mut self, event: &Event) {
        let (pods, pins, owners) = (self.world.pods.len(), self.world.pins.len(), self.world.owners.len());
        let stages = self.world.policy.stages.len();
        match event {
            Event::Pass(minutes) => self.pass(i64::from(*minutes)),
            Event::Push(kind) => {
                let behaviour = self.behaviour(*kind);
                self.push(&behaviour);
            }
            Event::PushAgain => self.push_again(),
            Event::MoveTag => self.move_tag(),
            Event::DeleteTag(n) => {
                let tags: Vec<String> = self.world.tags.keys().map(ToString::to_string).collect();
                if let Some(tag) = tags.get(n % tags.len().max(1)) {
                    self.world.delete_tag(tag);
                }
            }
            Event::CollectGarbage(n) => {
                if let Some(release) = self.any_release(*n) {
                    self.world.collect_garbage(&release.digest);
                }
            }
            Event::Registry(up) => self.world.set_registry(*up),
            Event::Watches(fresh) => self.world.set_watches(*fresh),
            Event::Kill(after) => self.kill = Some(*after),
            Event::DeletePod(n) => self.world.delete_pod(n % pods.max(1)),
            Event::Roll(n) => self.world.roll(n % owners.max(1)),
            Event::Scale(n, to) => self.world.scale(n % owners.max(1), *to),
            Event::BirthPins(on) => self.world.settings.pins_at_birth = *on,
            Event::EditPod(n, r) => {
                if let Some(release) = self.any_release(*r) {
                    self.by_hand.extend(self.world.pods.get(n % pods.max(1)).map(|p| p.uid.clone()));
                    self.world.edit_pod(n % pods.max(1), &format!("{REPOSITORY}@{}", release.digest));
                }
            }
            Event::EditPin(n, r, manual) => {
                if let Some(release) = self.good_release(*r) {
                    let until = manual.then(|| self.world.now + SignedDuration::from_mins(30));
                    self.world.edit_pin(n % pins.max(1), &release.digest, until);
                }
            }
            Event::DeletePin(n) => self.world.delete_pin(n % pins.max(1)),
            Event::Quarantine(n) => match self.any_release(*n) {
                Some(release) if n.is_multiple_of(2) => self.world.quarantine_by_person(&release),
                Some(release) => self.world.quarantine_index_by_person(&release.digest),
                None => {}
            },
            Event::LiftQuarantine(n) => {
                let count = self.world.quarantines.len();
                if count > 0 {
                    self.world.quarantines.remove(n % count);
                }
            }
            Event::Ask(kind, stage, r, all) => self.ask(*kind, stage % stages, *r, *all),
            Event::Withdraw(n) => {
                let count = self.world.interventions.len();
                if count > 0 {
                    self.world.interventions.remove(n % count);
                }
            }
            Event::Suspend(on) => self.world.policy.suspend = *on,
            Event::Observe(on) => self.world.policy.mode = if *on { Mode::Observe } else { Mode::Enforce },
            Event::Windows(n, closed) => {
                let windows = if *closed { vec![never()] } else { Vec::new() };
                self.world.policy.stages[n % stages].windows = windows;
            }
            Event::Soak(n, minutes) => {
                let stage = &mut self.world.policy.stages[n % stages];
                stage.soak = SignedDuration::from_mins(*minutes);
                stage.hash = format!("hash-{}-{minutes}", stage.name);
            }
            Event::AddStage => self.add_stage(),
            Event::RemoveStage(release) => self.remove_stage(*release),
            Event::ApplicationDown(n, down) => {
                if let Some(pod) = self.world.pods.get_mut(n % pods.max(1)) {
                    pod.app_down = *down;
                }
            }
            Event::RefuseMoves(on) => {
                self.world.refused_with = on.then(|| "denied by policy x".to_owned());
            }
        }
        self.settle();
    }

    /// The same platforms under another index: an attestation was added.
    fn push_again(&mut self) {
        let Some((tag, mut release)) =
            self.world.tags.iter().next_back().map(|(t, r)| (t.clone(), r.clone()))
        else {
            return;
        };
        self.copies += 1;
        let behaviour = self.world.behaviours.get(&release.digest).cloned().unwrap_or_default();
        release.digest = Digest::of(format!("{}/attested/{}", release.digest, self.copies).as_bytes());
        self.world.push(&release, &[tag.as_str()], behaviour);
    }

    /// A version tag is given other contents.
    fn move_tag(&mut self) {
        let Some(tag) = self.world.tags.keys().rfind(|t| t.as_str() != "latest").cloned() else { return };
        self.copies += 1;
        let mut release = release(&format!("{tag}-moved-{}", self.copies));
        release.tag = Some(tag.clone());
        release.version = Some(tag.to_string());
        self.world.push(&release, &[tag.as_str()], Behaviour::default());
    }

    fn ask(&mut self, kind: InterventionKind, stage: usize, r: usize, all: bool) {
        let chosen = match kind {
            // Without a way back it names what to return to: a person's word, which nobody judges.
            InterventionKind::Adopt => self.good_release(r),
            _ => self.any_release(r),
        };
        let digest = chosen.map(|r| r.digest);
        let name = self.world.policy.stages[stage].name.clone();
        let stages: Vec<&str> = if all { Vec::new() } else { vec![name.as_str()] };
        let needs_digest =
            matches!(kind, InterventionKind::Approve | InterventionKind::Adopt | InterventionKind::Promote);
        let skip: &[Skip] = if r.is_multiple_of(2) { &[Skip::Age, Skip::Window, Skip::Soak] } else { &[] };
        self.world.intervene(kind, &stages, digest.as_ref().filter(|_| needs_digest), "kim", skip);
    }

    fn add_stage(&mut self) {
        let count = self.world.policy.stages.len();
        // It begins with pods that are Ready on what `latest` names: else nothing can be adopted, and it waits.
        let latest = self.world.resolve(REPOSITORY).map(|r| r.digest);
        let works = latest.is_some() && self.good_digest(latest.as_ref());
        let writes = self.world.policy.may_write() && self.world.watches_fresh && self.world.registry_up;
        if self.world.policy.stages.iter().any(|s| s.name == "extra") || !works || !writes {
            return;
        }
        let new = small(stage("extra", &[count - 1], SignedDuration::from_mins(6)), self.together);
        self.world.policy.stages.push(new);
        self.world.policy.generation += 1;
        self.world.add_owner(owner_in("extra", "app0", 2, self.together));
        self.pass(4);
    }

    /// The stage that was added goes again, and its pins stay or go.
    fn remove_stage(&mut self, release: bool) {
        let policy = &mut self.world.policy;
        policy.deletion_policy = if release { DeletionPolicy::Release } else { DeletionPolicy::Retain };
        policy.stages.retain(|s| s.name != "extra");
        policy.generation += 1;
    }

    /// Faults cease, people let go, and a good release comes; enough time passes.
    pub fn come_to_rest(&mut self) -> Release {
        let world = &mut self.world;
        world.set_registry(true);
        world.set_watches(true);
        world.refused_with = None;
        world.settings.pins_at_birth = true;
        world.policy.suspend = false;
        world.policy.mode = Mode::Enforce;
        world.policy.stages.iter_mut().for_each(|s| s.windows.clear());
        world.pods.iter_mut().for_each(|p| p.app_down = false);
        // People tidy up after themselves: a pod that they broke is not moved forward.
        let by_hand = &self.by_hand;
        world.pods.iter_mut().filter(|p| by_hand.contains(&p.uid)).for_each(|p| p.deleting = true);
        world.interventions.retain(|i| {
            !matches!(i.kind, InterventionKind::Hold | InterventionKind::Promote | InterventionKind::RollBack)
        });
        self.kill = None;
        self.settle();
        self.pass(60);
        let good = self.push_good();
        self.world.intervene(InterventionKind::Resume, &[], None, "kim", &[]);
        self.settle();
        self.pass(300);
        // What was Blocked meanwhile (a second rollback, an inconclusive soak) is looked at by a person.
        self.world.intervene(InterventionKind::Resume, &[], None, "kim", &[]);
        self.settle();
        self.pass(300);
        let end = self.world.now + SignedDuration::from_hours(3);
        run_until(&mut self.world, &mut self.watchman, end, SignedDuration::from_mins(10));
        good
    }
}

fn never() -> Window {
    Window {
        cron: croner::Cron::from_str("0 0 1 1 *").unwrap(),
        duration: SignedDuration::from_secs(1),
        time_zone: jiff::tz::TimeZone::UTC,
        kind: WindowKind::Allow,
    }
}

fn small(mut stage: lockkeeper_core::policy::Stage, together: bool) -> lockkeeper_core::policy::Stage {
    stage.max_soak = SignedDuration::from_hours(1);
    stage.waves = Some(vec![wave(2, 4), wave(4, 4)]);
    if together {
        for target in &mut stage.targets {
            if let Target::Pods(pods) = target {
                pods.namespaces = Namespaces::Own;
                pods.match_labels.insert("stage".to_owned(), stage.name.clone());
            }
        }
    }
    stage
}

fn owner_in(stage: &str, name: &str, pods: usize, together: bool) -> lockkeeper_sim::Owner {
    let namespace = if together { "platform" } else { stage };
    let mut owner = owner(namespace, &format!("{stage}-{name}"), pods);
    owner.labels.insert("stage".to_owned(), stage.to_owned());
    owner
}
