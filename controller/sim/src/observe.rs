//! The world as the controller's adapters would show it.

use crate::{Owner, World};
use lockkeeper_core::{
    decision::Question,
    health::Fingerprint,
    image::{Release, Tag, digest_of_image_id},
    notices::{Delivery, NoticesSeen},
    observed::{
        Answer, Answers, BirthForm, BirthPinning, Catalogue, ContainerKind, ContainerSeen, Failure,
        MissingRight, ObjectKey, Observed, Owner as OwnerSeen, PodPhase, PodSeen, StageSeen,
    },
    policy::Namespaces,
    select::rank,
};
use std::{collections::BTreeSet, sync::Arc};

fn missing_right(namespace: &str) -> MissingRight {
    MissingRight {
        verb: "patch".to_owned(),
        resource: "pods".to_owned(),
        namespace: namespace.to_owned(),
        user: "system:serviceaccount:platform:promoter".to_owned(),
    }
}

fn known(found: Option<&Release>) -> Answer<Release> {
    found.cloned().map_or(Answer::Absent, Answer::Known)
}

impl World {
    /// The registry is asked what the controller wants to know: a tag once per interval, or now.
    pub(crate) fn look_up(&mut self) {
        if !self.registry_up {
            return;
        }
        for question in &self.questions {
            if let Question::Signed(digest) = question {
                self.known_signatures.insert(digest.clone());
            }
            let (tag, now) = match question {
                Question::Tag(tag) => (tag, false),
                Question::TagNow(tag) => (tag, true),
                Question::Digest(..) | Question::Pullable(..) | Question::Signed(_) => continue,
            };
            let known = self.looked_up.get(tag);
            let due = known.is_none_or(|(at, _)| self.now.duration_since(*at) >= self.policy.interval);
            if now || due {
                self.looked_up.insert(tag.clone(), (self.now, self.tags.get(tag).cloned()));
            }
        }
    }

    /// What one pass sees.
    #[must_use]
    pub fn observe(&self) -> Observed {
        let stages = (0..self.policy.stages.len()).map(|i| self.stage(i)).collect();
        Observed {
            status: self.memory.clone().unwrap_or_else(|| self.stored.clone()),
            catalogue: self.catalogue(),
            answers: self.answers(),
            signals: self.signals.clone(),
            notices: self.notices(),
            deliveries: self.deliveries(),
            stages,
            pins: self.pins.clone(),
            quarantines: self.quarantines.clone(),
            interventions: self.interventions.clone(),
            claims: Vec::new(),
            elsewhere: self.elsewhere.clone(),
        }
    }

    /// People outside are told as soon as the status is stored.
    fn notices(&self) -> NoticesSeen {
        let outbox = self.stored.notices.outbox.iter();
        let told = outbox.flat_map(|notice| notice.to.iter().map(|to| (notice.id.clone(), to.clone())));
        NoticesSeen { told: told.map(|key| (key, Delivery::Done)).collect(), ..NoticesSeen::default() }
    }

    fn catalogue(&self) -> Catalogue {
        if !self.registry_up && self.memory.is_none() {
            let failing = Failure {
                since: self.now,
                reason: "Unreachable".to_owned(),
                message: "the registry does not answer".to_owned(),
            };
            return Catalogue { ranking: None, failing: Some(failing) };
        }
        let names: Vec<&str> = self.tags.keys().map(Tag::as_str).collect();
        Catalogue { ranking: Some(Arc::new(rank(&self.policy.select, names.into_iter()))), failing: None }
    }

    fn answers(&self) -> Answers {
        let mut answers = Answers::default();
        let failed = Failure {
            since: self.now,
            reason: "Unreachable".to_owned(),
            message: "the registry does not answer".to_owned(),
        };
        for question in &self.questions {
            match question {
                Question::Tag(tag) => {
                    // What was found stays known while nobody answers.
                    let answer = match self.looked_up.get(tag) {
                        Some((_, found)) => known(found.as_ref()),
                        None if self.registry_up => known(self.tags.get(tag)),
                        None => Answer::Failed(failed.clone()),
                    };
                    answers.tags.insert(tag.clone(), answer);
                }
                Question::TagNow(tag) => {
                    let answer = if self.registry_up {
                        known(self.tags.get(tag))
                    } else {
                        Answer::Failed(failed.clone())
                    };
                    answers.tags_now.insert(tag.clone(), answer);
                }
                Question::Digest(_, digest) => {
                    let answer = match self.pushed.iter().find(|r| r.answers_to(digest)) {
                        _ if !self.registry_up => Answer::Failed(failed.clone()),
                        Some(release) => {
                            // By digest nobody learns the tag.
                            let mut release = release.clone();
                            release.tag = None;
                            release.version = None;
                            Answer::Known(release)
                        }
                        None => Answer::Absent,
                    };
                    answers.digests.insert(digest.clone(), answer);
                }
                Question::Signed(digest) => {
                    // What was found stays known while nobody answers.
                    let answer = if self.registry_up || self.known_signatures.contains(digest) {
                        self.signatures.get(digest).map_or(Answer::Absent, |by| Answer::Known(by.clone()))
                    } else {
                        Answer::Failed(failed.clone())
                    };
                    answers.signed.insert(digest.clone(), answer);
                }
                Question::Pullable(repository, digest) => {
                    let there = self.pushed.iter().any(|r| r.answers_to(digest));
                    let answer = match there {
                        _ if !self.registry_up => Answer::Failed(failed.clone()),
                        true => Answer::Known(()),
                        false => Answer::Absent,
                    };
                    answers.pullable.insert((repository.clone(), digest.clone()), answer);
                }
            }
        }
        answers
    }

    /// The namespaces a target reaches into, sorted.
    #[must_use]
    pub fn namespaces_of(&self, namespaces: &Namespaces) -> Vec<String> {
        match namespaces {
            Namespaces::Own => vec![self.policy.namespace.clone()],
            Namespaces::Named(names) => names.clone(),
            Namespaces::Matching(labels) => {
                let matching = self
                    .settings
                    .namespaces
                    .iter()
                    .filter(|(_, has)| labels.iter().all(|(k, v)| has.get(k) == Some(v)));
                matching.map(|(name, _)| name.clone()).collect()
            }
        }
    }

    /// The first stage that an owner's pods belong to.
    #[must_use]
    pub fn stage_of(&self, owner: &Owner) -> Option<usize> {
        self.policy.stages.iter().position(|stage| {
            stage.targets.iter().any(|target| {
                target.of_pods().is_some_and(|(labels, _)| {
                    labels.iter().all(|(k, v)| owner.labels.get(k) == Some(v))
                        && self.namespaces_of(target.namespaces()).contains(&owner.namespace)
                })
            })
        })
    }

    fn stage(&self, index: usize) -> StageSeen {
        let stage = &self.policy.stages[index];
        let mut seen = StageSeen {
            stale_since: self.stale_since,
            birth_pinning: Some(BirthPinning::By(BirthForm::V1)),
            refusals: self.refused_with.iter().cloned().collect(),
            ..StageSeen::default()
        };
        let mut taken: BTreeSet<&str> = BTreeSet::new();
        for (number, target) in stage.targets.iter().enumerate() {
            let Some((labels, _)) = target.of_pods() else { continue };
            let namespaces = self.namespaces_of(target.namespaces());
            for (i, pod) in self.pods.iter().enumerate() {
                let owner = &self.owners[pod.owner];
                let matches = labels.iter().all(|(k, v)| owner.labels.get(k) == Some(v));
                if matches && namespaces.contains(&owner.namespace) && taken.insert(&pod.uid) {
                    seen.pods.push(self.pod(i, number));
                }
            }
            seen.namespaces.extend(namespaces.into_iter().map(|n| (number, n)));
        }
        seen.pods.sort_by(|a, b| a.key.cmp(&b.key));
        let reached = |namespace: &&String| seen.namespaces.iter().any(|(_, name)| name == *namespace);
        seen.missing_rights = self.refused_in.iter().filter(reached).map(|n| missing_right(n)).collect();
        seen
    }

    /// Some of an owner's pods are of another template than the owner's own.
    fn rolling(&self, owner: usize) -> bool {
        let template = &self.owners[owner].template;
        self.pods.iter().any(|p| p.owner == owner && !p.deleting && p.template != *template)
    }

    fn pod(&self, index: usize, target: usize) -> PodSeen {
        let pod = &self.pods[index];
        let owner = &self.owners[pod.owner];
        let ready = self.ready(index);
        let sidecar = ContainerSeen {
            name: self.settings.container.clone(),
            kind: ContainerKind::Sidecar,
            image: pod.image.clone(),
            running: pod.running.as_ref().and_then(|d| digest_of_image_id(&format!("host/repo@{d}"))),
            up: pod.up,
            ready,
            restarts: pod.restarts,
            waiting: pod.waiting.clone(),
            down_after_death: pod.down_after_death,
            died: pod.died,
            death: pod.died_of.as_ref().map(|panic| format!("exit 2 (Error): {panic}")),
            fingerprint: pod
                .died_of
                .as_ref()
                .map(|panic| Fingerprint::new(&self.settings.container, 2, "Error", panic)),
            ..ContainerSeen::default()
        };
        PodSeen {
            key: ObjectKey {
                namespace: owner.namespace.clone(),
                name: pod.name.clone(),
                uid: pod.uid.clone(),
                ..ObjectKey::default()
            },
            target,
            generation: Some(pod.generation),
            resource_version: pod.generation.to_string(),
            owner: OwnerSeen {
                kind: "Deployment".to_owned(),
                name: owner.name.clone(),
                template: pod.template.clone(),
            },
            owner_rolling: self.rolling(pod.owner),
            node: pod.node.clone(),
            created: Some(pod.created),
            deleting: pod.deleting,
            phase: if pod.running.is_some() { PodPhase::Running } else { PodPhase::Pending },
            ready,
            moved: pod.moved.clone(),
            pinned_by: pod.pinned_by.clone(),
            containers: vec![sidecar],
            ..PodSeen::default()
        }
    }
}
