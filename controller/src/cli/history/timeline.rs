//! Status, Events, Interventions and Quarantines as one list in time.

use crate::cli::{Failure, known::Loaded};
use jiff::Timestamp;
use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt as _;
use lockkeeper_api::{Intervention, Quarantine, names};
use lockkeeper_core::{
    gates::label,
    image::{Digest, Release},
};
use serde::Serialize;
use std::collections::BTreeMap;

/// An Event and the entry of the status that says the same are at most so many seconds apart.
const APART: i64 = 5;

/// What happened.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeline {
    pub namespace: String,
    pub policy: String,
    pub image: String,
    /// The release it is about; none for the whole policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Oldest first.
    pub entries: Vec<Entry>,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    pub at: Timestamp,
    /// The stage or stages, where it concerns some.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stage: String,
    /// A documented reason, or what a person asked for.
    pub what: String,
    pub message: String,
    /// Who did it: the controller, or a person.
    pub by: String,
}

impl Timeline {
    /// Everything that is known of a policy.
    pub fn of(loaded: &Loaded, events: &[Event]) -> Self {
        let mut entries: Vec<Entry> = loaded
            .status
            .history
            .iter()
            .map(|entry| Entry {
                at: entry.at,
                stage: entry.stage.clone(),
                what: entry.reason.clone(),
                message: entry.message.clone(),
                by: names::FIELD_MANAGER.to_owned(),
            })
            .collect();
        let remembered = entries.clone();
        entries.extend(events.iter().filter_map(|event| of_event(event, loaded, &remembered)));
        entries.extend(loaded.interventions.iter().filter_map(of_intervention));
        entries.extend(loaded.quarantines.iter().filter_map(|one| of_quarantine(one, loaded)));
        // What was asked for, or made, in the second of its effect comes first.
        entries.sort_by_key(|entry| (entry.at.as_second(), entry.by == names::FIELD_MANAGER, entry.at));
        Self {
            namespace: loaded.policy.namespace.clone(),
            policy: loaded.policy.name.clone(),
            image: loaded.policy.image.to_string(),
            release: None,
            digest: None,
            entries,
        }
    }

    /// Of one release only.
    pub fn only(&mut self, loaded: &Loaded, text: &str) -> Result<(), Failure> {
        let known = loaded.known(Timestamp::now());
        let (digest, version) = match loaded.digest(&known, text) {
            Ok(digest) => {
                let named = known.named(digest.as_str());
                let version =
                    named.first().map_or_else(|| digest.short().to_owned(), |release| label(release));
                (Some(digest), version)
            }
            // What the status has forgotten may still be in the history by its name.
            Err(Failure::NoMatch(_)) if self.entries.iter().any(|entry| mentions(&entry.message, text)) => {
                (None, text.to_owned())
            }
            Err(other) => return Err(other),
        };
        let release =
            digest.as_ref().and_then(|digest| known.named(digest.as_str()).first().map(|r| (*r).clone()));
        self.entries.retain(|entry| concerns(&entry.message, &version, digest.as_ref(), release.as_ref()));
        self.release = Some(version);
        self.digest = digest.map(|digest| digest.to_string());
        Ok(())
    }

    /// Such as `otel 0.29.0`.
    pub fn title(&self) -> String {
        self.release
            .as_ref()
            .map_or_else(|| self.policy.clone(), |release| format!("{} {release}", self.policy))
    }

    /// Per stage: when it was entered first, when it was found bad, taken back and verified.
    pub fn passages(&self) -> BTreeMap<&str, Passage> {
        let mut stages: BTreeMap<&str, Passage> = BTreeMap::new();
        for entry in self.entries.iter().filter(|entry| !entry.stage.is_empty()) {
            let passage = stages.entry(entry.stage.as_str()).or_default();
            let slot = match entry.what.as_str() {
                "PromotionStarted" => &mut passage.entered,
                "Degraded" => &mut passage.degraded,
                "RolledBack" => &mut passage.taken_back,
                "Verified" => &mut passage.verified,
                _ => continue,
            };
            slot.get_or_insert(entry.at);
        }
        stages
    }
}

/// One release's way through one stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passage {
    pub entered: Option<Timestamp>,
    pub degraded: Option<Timestamp>,
    pub taken_back: Option<Timestamp>,
    pub verified: Option<Timestamp>,
}

fn of_event(event: &Event, loaded: &Loaded, remembered: &[Entry]) -> Option<Entry> {
    let ours = event.reporting_controller.as_deref()?.starts_with(names::GROUP);
    let uid = event.regarding.as_ref().and_then(|object| object.uid.clone());
    let (at, what) = (event.event_time.as_ref()?.0, event.reason.clone()?);
    let note = event.note.clone().unwrap_or_default();
    let said = remembered.iter().any(|entry| {
        let near = (entry.at.as_second() - at.as_second()).abs() <= APART;
        // The note of an Event may have its stage in front, and be cut.
        near && entry.what == what && (note.contains(&entry.message) || entry.message.contains(&note))
    });
    let stage = note.split_once(": ").map(|(stage, _)| stage);
    let stage = stage.filter(|stage| loaded.policy.stages.iter().any(|known| known.name == *stage));
    (ours && uid == loaded.object.uid() && !said).then(|| Entry {
        at,
        stage: stage.unwrap_or_default().to_owned(),
        what,
        message: note.clone(),
        by: names::FIELD_MANAGER.to_owned(),
    })
}

fn of_intervention(one: &Intervention) -> Option<Entry> {
    let (spec, at) = (&one.spec, one.creation_timestamp()?.0);
    let skip = if spec.skip.is_empty() { String::new() } else { format!(", past {}", spec.skip.join(", ")) };
    let digest = spec.digest.as_ref().map(|digest| format!(" of {digest}")).unwrap_or_default();
    let until = spec.not_after.as_ref().map(|until| format!("; until {:.0}", until.0)).unwrap_or_default();
    Some(Entry {
        at,
        stage: spec.stages.join(", "),
        what: spec.action.clone(),
        message: format!("asked for{digest}{skip}: {}{until}", spec.reason),
        by: spec.requested_by.clone(),
    })
}

/// A person's; the controller's own are in its history.
fn of_quarantine(one: &Quarantine, loaded: &Loaded) -> Option<Entry> {
    let (spec, at) = (&one.spec, one.creation_timestamp()?.0);
    let told = loaded.status.history.iter().any(|entry| entry.message.contains(&one.name_any()));
    let what = spec.tag.as_deref().or(spec.digest.as_deref()).unwrap_or("contents");
    let digest = spec.digest.as_deref().unwrap_or_default();
    (spec.policy.is_none() && !told).then(|| Entry {
        at,
        stage: String::new(),
        what: "Quarantined".to_owned(),
        message: format!(
            "{what} ({digest}) is held back everywhere by Quarantine {}: {}",
            one.name_any(),
            spec.reason
        ),
        by: spec.requested_by.clone().unwrap_or_else(|| "somebody".to_owned()),
    })
}

fn concerns(message: &str, version: &str, digest: Option<&Digest>, release: Option<&Release>) -> bool {
    let of_digest = digest.is_some_and(|digest| message.contains(digest.short()));
    let of_alias =
        release.is_some_and(|release| release.aliases().any(|alias| message.contains(alias.hex())));
    mentions(message, version) || of_digest || of_alias
}

/// As a word: 0.29.0 is not in 0.29.01 nor in 10.29.0.
fn mentions(message: &str, version: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric();
    message.match_indices(version).any(|(at, _)| {
        let before = message[..at].chars().next_back();
        let mut after = message[at + version.len()..].chars();
        let follows = after.next();
        // A point ends a sentence, or goes on with the next number.
        let goes_on = follows.is_some_and(part)
            || (matches!(follows, Some('.' | '-')) && after.next().is_some_and(part));
        let begins = before.is_some_and(|c| part(c) || c == '.');
        !version.is_empty() && !goes_on && !begins
    })
}
