//! What people, other controllers and bad luck do to the world.

use crate::{Pod, World};
use jiff::{SignedDuration, Timestamp};
use lockkeeper_core::{
    image::{Digest, Release, Tag},
    observed::{InterventionKind, InterventionSeen, QuarantineSeen, Skip},
};
use std::collections::BTreeSet;

impl Pod {
    /// Its sidecar is given another image: the kubelet kills first and pulls then.
    pub(crate) fn given(&mut self, image: &str, up_at: Timestamp) {
        image.clone_into(&mut self.image);
        self.generation += 1;
        self.up = false;
        self.down_after_death = false;
        self.waiting = Some("ContainerCreating".to_owned());
        self.up_at = Some(up_at);
        self.crashes_in_a_row = 0;
    }
}

impl World {
    /// A person sets the image of a running pod's sidecar.
    pub fn edit_pod(&mut self, index: usize, image: &str) {
        let up_at = self.now + SignedDuration::from_secs(self.settings.pull_seconds);
        if let Some(pod) = self.pods.get_mut(index) {
            pod.given(image, up_at);
        }
    }

    /// A person sets the digest of a pin.
    pub fn edit_pin(&mut self, index: usize, digest: &Digest, manual_until: Option<Timestamp>) {
        if let Some(pin) = self.pins.get_mut(index) {
            pin.spec.digest = digest.clone();
            pin.spec.tag = None;
            pin.as_written = false;
            pin.manager = Some("kubectl-edit".to_owned());
            pin.manual_until = manual_until;
            let next = pin.resource_version.parse::<u64>().unwrap_or(0) + 1;
            pin.resource_version = next.to_string();
        }
    }

    /// A person deletes a pin.
    pub fn delete_pin(&mut self, index: usize) {
        if index < self.pins.len() {
            self.pins.remove(index);
        }
    }

    /// A person quarantines a release everywhere.
    pub fn quarantine_by_person(&mut self, release: &Release) {
        let mut digests: BTreeSet<Digest> = release.contents().into_iter().cloned().collect();
        digests.insert(release.digest.clone());
        let name = format!("by-hand-{}", release.digest.short().replace(':', "-"));
        if self.quarantines.iter().all(|q| q.name != name) {
            let reason = "said so in chat".to_owned();
            self.quarantines.push(QuarantineSeen { name, digests, reason, policy: None, stage: None });
        }
    }

    /// A person quarantines a release in a hurry: by the digest of its index alone.
    pub fn quarantine_index_by_person(&mut self, digest: &Digest) {
        let name = format!("index-{}", digest.short().replace(':', "-"));
        if self.quarantines.iter().all(|q| q.name != name) {
            let (digests, reason) = (BTreeSet::from([digest.clone()]), "said so in chat".to_owned());
            self.quarantines.push(QuarantineSeen { name, digests, reason, policy: None, stage: None });
        }
    }

    /// The Quarantine that holds a release back: it names it, or a pushed index with some of the same contents.
    #[must_use]
    pub fn quarantine_of(&self, release: &Release) -> Option<&QuarantineSeen> {
        self.quarantines.iter().find(|q| {
            let named = self.pushed.iter().filter(|r| q.digests.contains(&r.digest));
            q.covers(release) || named.into_iter().any(|r| !r.contents().is_disjoint(&release.contents()))
        })
    }

    /// A person asks for something; no stages means all of them.
    pub fn intervene(
        &mut self,
        kind: InterventionKind,
        stages: &[&str],
        digest: Option<&Digest>,
        by: &str,
        skip: &[Skip],
    ) {
        let number = self.interventions.len() + 1;
        self.interventions.push(InterventionSeen {
            id: format!("{}/asked-{number}-{}", self.policy.namespace, self.now.as_second()),
            kind,
            stages: stages.iter().map(|s| (*s).to_owned()).collect(),
            digest: digest.cloned(),
            requested_by: by.to_owned(),
            reason: "because".to_owned(),
            skip: skip.iter().copied().collect(),
            created: self.now,
            not_after: None,
        });
    }

    /// The owner keeps another number of pods from now on.
    pub fn scale(&mut self, owner: usize, replicas: usize) {
        let Some(kept) = self.owners.get_mut(owner) else { return };
        kept.replicas = replicas;
        let over = self.pods.iter_mut().filter(|p| p.owner == owner && !p.deleting).skip(replicas);
        over.for_each(|pod| pod.deleting = true);
    }

    /// The publisher deletes a tag; the bytes stay.
    pub fn delete_tag(&mut self, tag: &str) {
        if let Ok(tag) = tag.parse::<Tag>() {
            self.tags.remove(&tag);
        }
    }

    /// The registry's answers stop or come back.
    pub fn set_registry(&mut self, up: bool) {
        self.registry_up = up;
    }
}
