//! What is quarantined: by flags, by files, or by the cluster. Held against releases by the controller's own code.

use super::look::{Ask, Looked};
use crate::{
    cli::{exit::Failure, output::say},
    ports::Reference,
};
use lockkeeper_api::Quarantine;
use lockkeeper_core::{
    held_back::HeldBack,
    image::{Digest, Platform, Release, Tag},
    observed::QuarantineSeen,
    select::Verdict,
};
use std::collections::BTreeSet;

/// What is held back.
#[derive(Debug, Default)]
pub struct Held {
    quarantines: Vec<QuarantineSeen>,
    /// Beside each: the tag that it names, or was found under.
    tags: Vec<Option<Tag>>,
    /// What they name, as far as a registry told.
    known: Vec<Release>,
}

impl Held {
    /// By `--quarantined`, and by Quarantines. What of those cannot be understood is passed over, as the controller does.
    pub fn new(flags: &[String], quarantines: &[Quarantine]) -> Result<Self, Failure> {
        let mut held = Self::default();
        for text in flags {
            let wrong = |error: String| Failure::Usage(format!("--quarantined: {error}"));
            let (mut digests, mut tag) = (BTreeSet::new(), None);
            if text.contains(':') {
                digests.insert(text.parse::<Digest>().map_err(|error| wrong(error.to_string()))?);
            } else {
                tag = Some(text.parse::<Tag>().map_err(|error| wrong(error.to_string()))?);
            }
            let reason = format!("--quarantined {text} says so");
            // A flag has no name.
            held.quarantines.push(QuarantineSeen {
                name: String::new(),
                digests,
                reason,
                policy: None,
                stage: None,
            });
            held.tags.push(tag);
        }
        for quarantine in quarantines {
            let Ok(seen) = quarantine.seen() else { continue };
            held.quarantines.push(seen);
            held.tags.push(quarantine.spec.tag.as_ref().and_then(|tag| tag.parse().ok()));
        }
        Ok(held)
    }

    pub fn is_empty(&self) -> bool {
        self.quarantines.is_empty()
    }

    /// Asks what those consist of that name a tag, or one digest alone: the same contents under another name are
    /// quarantined, too.
    pub async fn look_up(&mut self, ask: &Ask) -> Result<(), Failure> {
        for (quarantine, tag) in self.quarantines.iter_mut().zip(&self.tags) {
            let reference = match (tag, quarantine.alone()) {
                (_, Some(digest)) => Reference::Digest(digest.clone()),
                (Some(tag), None) if quarantine.digests.is_empty() => Reference::Tag(tag.clone()),
                _ => continue,
            };
            match (ask.resolve(&reference).await?, tag) {
                (Some(release), _) => {
                    quarantine.digests.insert(release.digest.clone());
                    self.known.push(release);
                }
                (None, Some(tag)) if quarantine.digests.is_empty() => {
                    say(&format!("--quarantined {tag} holds nothing back: the registry has no such tag"));
                }
                (None, _) => {}
            }
        }
        Ok(())
    }

    /// Without a registry: only the tags that were named count, and what is named by its digest alone is said.
    pub fn by_name(&self, looked: &mut Looked) {
        for (quarantine, tag) in self.quarantines.iter().zip(&self.tags) {
            match tag {
                Some(tag) => looked.refuse(Verdict {
                    tag: tag.to_string(),
                    reason: "Quarantined",
                    message: format!("\"{tag}\" is quarantined: {}", why(quarantine)),
                }),
                None => say(&format!(
                    "which tags are quarantined by {} was not looked at: no registry is asked",
                    quarantine.digests.iter().map(Digest::as_str).collect::<Vec<_>>().join(", ")
                )),
            }
        }
    }

    /// Why a release is held back, if it is.
    pub fn refuses(&self, release: &Release, platforms: &[Platform]) -> Option<String> {
        HeldBack::new(&self.quarantines, &self.known.iter(), platforms).of(release).map(why)
    }
}

fn why(quarantine: &QuarantineSeen) -> String {
    if quarantine.name.is_empty() { quarantine.reason.clone() } else { quarantine.refuses() }
}
