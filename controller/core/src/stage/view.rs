//! Everything a stage may look at, gathered once per pass.
//!
//! Guarantees: a pod's containers are compared by repository and contents, never by text; a digest that no known
//! release answers to is unknown, which is neither drift nor verified.

use crate::{
    facts::Facts,
    health::Fingerprint,
    image::{Digest, ImageRef, Release, Repository},
    observed::{ContainerKind, ContainerSeen, Observed, PodPhase, PodSeen, StageSeen},
    policy::{Policy, Stage, Target},
    status::{Flight, Status, Verified},
};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// One stage of one policy at one moment.
pub struct StageView<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// The stage's index.
    pub index: usize,
    /// The stage's definition.
    pub stage: &'a Stage,
    /// Its part of the world.
    pub seen: &'a StageSeen,
    /// The whole world.
    pub all: &'a Observed,
    /// What holds for all stages.
    pub facts: &'a Facts<'a>,
    /// The life as it is: stages before this one already have this pass's result.
    pub life: &'a Status,
    /// Governed pods.
    pub pods: Vec<PodView<'a>>,
    /// Named containers that run a foreign repository, as `namespace/pod/container`.
    pub mismatched: Vec<String>,
    /// Whose older claim this stage would meet.
    pub conflict: Option<String>,
    /// Now.
    pub now: Timestamp,
}

impl<'a> StageView<'a> {
    /// Gathers what stage `index` may look at.
    #[must_use]
    pub fn gather(
        policy: &'a Policy,
        index: usize,
        life: &'a Status,
        all: &'a Observed,
        facts: &'a Facts<'a>,
        now: Timestamp,
    ) -> Option<Self> {
        let (stage, seen) = (policy.stages.get(index)?, all.stages.get(index)?);
        let mut mismatched = Vec::new();
        let pods = seen
            .pods
            .iter()
            .filter_map(|pod| PodView::governed(policy, stage.targets.get(pod.target)?, pod, &mut mismatched))
            .collect();
        let conflict = super::conflicts::find(policy, index, &all.stages, &all.claims);
        Some(Self { policy, index, stage, seen, all, facts, life, pods, mismatched, conflict, now })
    }

    /// The target a pod belongs to.
    #[must_use]
    pub fn target_of(&self, pod: &PodView<'_>) -> Option<&'a Target> {
        self.stage.targets.get(pod.seen.target)
    }

    /// Pods that count: neither deleting nor ended, no mirror, not ignored.
    pub fn live(&self) -> impl Iterator<Item = &PodView<'a>> {
        self.pods.iter().filter(|p| p.live())
    }

    /// The repositories that this stage's containers are pulled from.
    #[must_use]
    pub fn repositories(&self) -> BTreeSet<Repository> {
        let mut used: BTreeSet<Repository> = self
            .live()
            .flat_map(|p| p.containers.iter().map(|c| c.image.repository().clone()))
            .chain(self.seen.workloads.iter().flat_map(|w| {
                w.containers
                    .iter()
                    .filter_map(|c| Some(c.image.parse::<ImageRef>().ok()?.repository().clone()))
            }))
            .filter(|r| self.policy.repositories().any(|mine| mine == r))
            .collect();
        if used.is_empty() {
            used.insert(self.policy.image.clone());
        }
        used
    }

    /// Why nothing may be widened now, if so: the reason and a sentence.
    #[must_use]
    pub fn closed(&self, skip_window: bool) -> Option<super::Wait> {
        crate::gates::closed(self, skip_window)
    }
}

/// A pod with the containers that the policy governs in it.
pub struct PodView<'a> {
    /// The pod.
    pub seen: &'a PodSeen,
    /// Governed containers with their parsed images; never empty.
    pub containers: Vec<Governed<'a>>,
}

/// A container that the policy governs.
pub struct Governed<'a> {
    /// The container.
    pub seen: &'a ContainerSeen,
    /// Its image.
    pub image: ImageRef,
}

impl Governed<'_> {
    /// The digest it was told to run, or, where its image names none, the one it runs.
    #[must_use]
    pub fn asked(&self) -> Option<&Digest> {
        self.image.digest().or(self.seen.running.as_ref())
    }
}

impl<'a> PodView<'a> {
    pub(super) fn governed(
        policy: &Policy,
        target: &Target,
        pod: &'a PodSeen,
        mismatched: &mut Vec<String>,
    ) -> Option<Self> {
        let named = target.containers();
        let mut containers = Vec::new();
        for c in &pod.containers {
            if c.kind == ContainerKind::Init || (!named.is_empty() && !named.contains(&c.name)) {
                continue;
            }
            let Ok(image) = c.image.parse::<ImageRef>() else { continue };
            if policy.repositories().any(|r| r == image.repository()) {
                containers.push(Governed { seen: c, image });
            } else if !named.is_empty() {
                mismatched.push(format!("{}/{}/{}", pod.key.namespace, pod.key.name, c.name));
            }
        }
        (!containers.is_empty()).then_some(Self { seen: pod, containers })
    }

    /// Neither deleting nor ended, no mirror, not ignored.
    #[must_use]
    pub fn live(&self) -> bool {
        !self.seen.deleting
            && !self.seen.mirror
            && !self.seen.ignored
            && !matches!(self.seen.phase, PodPhase::Succeeded | PodPhase::Failed)
    }

    /// All governed containers were told to run `release` (or run it, where the image names no digest).
    #[must_use]
    pub fn asked(&self, release: &Release) -> bool {
        self.containers.iter().all(|c| c.asked().is_some_and(|d| release.answers_to(d)))
    }

    /// All governed containers' images name `release` by digest.
    #[must_use]
    pub fn pinned_to(&self, release: &Release) -> bool {
        self.containers.iter().all(|c| c.image.digest().is_some_and(|d| release.answers_to(d)))
    }

    /// All governed containers are up on `release`.
    #[must_use]
    pub fn runs(&self, release: &Release) -> bool {
        self.containers
            .iter()
            .all(|c| c.seen.up && c.seen.running.as_ref().is_some_and(|d| release.answers_to(d)))
    }

    /// Some governed container runs, or was told to run, `release`.
    #[must_use]
    pub fn touches(&self, release: &Release) -> bool {
        self.containers.iter().any(|c| {
            c.image.digest().is_some_and(|d| release.answers_to(d))
                || c.seen.running.as_ref().is_some_and(|d| release.answers_to(d))
        })
    }

    /// Some governed container's image names `release`, or names no digest and runs it.
    #[must_use]
    pub fn asks_for(&self, release: &Release) -> bool {
        self.containers.iter().any(|c| c.asked().is_some_and(|d| release.answers_to(d)))
    }

    /// Runs, is Ready and may be moved forward (decision 15).
    #[must_use]
    pub fn movable(&self) -> bool {
        self.live()
            && self.seen.phase == PodPhase::Running
            && self.seen.ready
            && !self.seen.of_job
            && !self.seen.owner_rolling
            && !self.seen.budget_blocked
    }

    /// Moved by this attempt.
    #[must_use]
    pub fn moved_by(&self, attempt: &str) -> bool {
        self.seen.moved.as_ref().is_some_and(|m| m.attempt == attempt)
    }

    /// Moved by this attempt since its present step began.
    #[must_use]
    pub fn moved_in_step(&self, flight: &Flight) -> bool {
        let mark = self.seen.moved.as_ref().filter(|m| m.attempt == flight.attempt);
        mark.is_some_and(|m| not_before(m.at, flight.step_since))
    }

    /// Its owner within the stage.
    #[must_use]
    pub fn owner(&self) -> String {
        let PodSeen { key, owner, .. } = self.seen;
        format!("{}/{}/{}", key.namespace, owner.kind, owner.name)
    }

    /// `namespace/name`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.seen.key.namespace, self.seen.key.name)
    }

    /// Deaths of the governed containers.
    #[must_use]
    pub fn deaths(&self) -> u32 {
        self.containers.iter().map(|c| c.seen.deaths()).sum()
    }

    /// The newest death of a governed container.
    #[must_use]
    pub fn died(&self) -> Option<Timestamp> {
        self.containers.iter().filter_map(|c| c.seen.died).max()
    }

    /// How the governed container died that died last.
    #[must_use]
    pub fn last_death(&self) -> Option<&str> {
        self.containers.iter().max_by_key(|c| c.seen.died).and_then(|c| c.seen.death.as_deref())
    }

    /// The governed container that died last did so of itself, and nobody knows what it said.
    #[must_use]
    pub fn silent(&self) -> bool {
        self.containers.iter().max_by_key(|c| c.seen.died).is_some_and(|c| c.seen.silent)
    }

    /// What the governed container died of that died last.
    #[must_use]
    pub fn fingerprint(&self) -> Option<&Fingerprint> {
        self.containers.iter().max_by_key(|c| c.seen.died).and_then(|c| c.seen.fingerprint.as_ref())
    }

    /// A governed container waits for one of these reasons.
    #[must_use]
    pub fn waits_for(&self, reasons: &[&str]) -> Option<&str> {
        self.containers.iter().filter_map(|c| c.seen.waiting.as_deref()).find(|w| reasons.contains(w))
    }

    /// Since when it has what it has: its last move, or its birth.
    #[must_use]
    pub fn has_it_since(&self) -> Option<Timestamp> {
        self.seen.moved.as_ref().map_or(self.seen.created, |m| Some(m.at))
    }
}

/// Marks hold whole seconds: compared with anything finer, a move would seem to lie before the step that made it.
fn not_before(mark: Timestamp, step_since: Timestamp) -> bool {
    mark.as_second() >= step_since.as_second()
}

/// Waiting reasons of a container that cannot be pulled or configured.
pub const PULL_ERRORS: &[&str] = &[
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "RegistryUnavailable",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];

/// The waiting reason of a crash loop.
pub const CRASH_LOOP: &str = "CrashLoopBackOff";

/// The newest verified or adopted release that is not quarantined: what a rollback returns to (decision 9).
#[must_use]
pub fn stable<'s>(
    verified: &'s [Verified],
    facts: &Facts<'_>,
    except: Option<&Release>,
) -> Vec<&'s Verified> {
    verified
        .iter()
        .rev()
        .filter(|v| facts.quarantine_of(&v.release).is_none())
        .filter(|v| except.is_none_or(|bad| !facts.same(bad, &v.release)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observed::Moved;

    #[test]
    fn a_move_in_the_second_of_its_step_belongs_to_it_after_its_round_trip_as_a_mark() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let step = at("2026-11-22T13:51:30.312985663Z");
        for (moved, belongs) in [
            ("2026-11-22T13:51:30.414Z", true),
            ("2026-11-22T13:51:31Z", true),
            ("2026-11-22T13:51:29.999Z", false),
        ] {
            let mark = Moved {
                attempt: "uid-1".into(),
                from: "otel:latest".into(),
                deaths_before: 0,
                at: at(moved),
            };
            let mark: Moved = mark.to_string().parse().unwrap();
            assert_eq!(not_before(mark.at, step), belongs, "{moved}");
        }
    }
}
