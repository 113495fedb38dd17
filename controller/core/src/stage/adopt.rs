//! How a stage with no history begins: what its pods run is kept, or a person chooses.
//!
//! Guarantees: restarts nothing; nobody's explicit version is changed (only images with the mutable tags those pods
//! were made from are pinned); with less than 80 % on one release nothing is pinned at all.

use super::{StageView, Turn, Wait, idle::heard_id};
use crate::{
    decision::{EventType, Question},
    gates::{label, label_and_digest},
    image::{Release, Tag},
    observed::{Answer, InterventionKind},
    select::{Order, is_full_version},
    status::{Source, StageStatus, Verified},
};
use std::collections::{BTreeMap, BTreeSet};

/// Ready pods on one release, of a hundred, for it to be adopted.
const SHARE: usize = 80;

/// Versions of a Mixed stage that the status names, those with the most pods.
const SHOWN: usize = 10;

/// Adopts, or says what it waits for. `None`: adopted.
pub fn step(view: &StageView<'_>, turn: &mut Turn) -> Option<Wait> {
    match restore(view, turn) {
        Restored::FromPins => return None,
        Restored::Asking(wait) => return Some(wait),
        Restored::NothingSaid => {}
    }
    let running = match running(view, turn) {
        Ok(running) => running,
        Err(wait) => return Some(wait),
    };
    let total: usize = running.iter().map(|(_, pods)| pods).sum();
    if total == 0 {
        return Some(Wait::new("NoReadyPods", format!("no pod of stage {} is Ready yet", view.stage.name)));
    }
    let chosen = chosen_by_person(view, turn)
        .or_else(|| running.iter().find(|(_, pods)| pods * 100 >= total * SHARE).map(|(r, _)| r.clone()));
    let Some(mut release) = chosen else {
        turn.status.mixed = running
            .iter()
            .take(SHOWN)
            .map(|(r, pods)| (format!("{} {}", label(r), r.digest), u32::try_from(*pods).unwrap_or(u32::MAX)))
            .collect();
        return Some(Wait::new("Mixed", mixed_message(view, &turn.status)));
    };
    name_by_tag(view, &mut release);
    turn.status.only_tags = mutable_tags(view, &release);
    adopt(view, turn, release, Source::Adopted);
    None
}

fn adopt(view: &StageView<'_>, turn: &mut Turn, release: Release, source: Source) {
    let verb = if source == Source::Adopted { "found running" } else { "restored from its pins" };
    let message = format!("{} was {verb} in {} and is kept", label_and_digest(&release), view.stage.name);
    turn.tell(EventType::Normal, "Adopted", &view.stage.name, message);
    turn.status.mixed.clear();
    turn.status.current = Some(release.digest.clone());
    turn.status.verified.push(Verified {
        release,
        source,
        at: view.now,
        hash: view.stage.hash.clone(),
        rules_out: String::new(),
        log_e: 0.0,
        guard_until: None,
    });
}

/// What the pins of a stage without a status say.
enum Restored {
    /// Nothing, or not one thing: what runs decides.
    NothingSaid,
    /// A digest that nobody knows yet.
    Asking(Wait),
    /// A release, which is now kept.
    FromPins,
}

/// With an empty status the stage's own pins answer first (decision 14).
fn restore(view: &StageView<'_>, turn: &mut Turn) -> Restored {
    let mut said: BTreeMap<&crate::image::Digest, usize> = BTreeMap::new();
    let mine = view
        .all
        .pins
        .iter()
        .filter(|p| p.spec.stage == view.stage.name && p.spec.policy.uid == view.policy.uid);
    let mut only_tags = BTreeSet::new();
    for pin in mine {
        *said.entry(&pin.spec.digest).or_default() += 1;
        only_tags.extend(pin.spec.only_tags.iter().flatten().cloned());
    }
    let Some(most) = said.values().copied().max() else { return Restored::NothingSaid };
    let mut winners = said.iter().filter(|(_, count)| **count == most);
    let Some((digest, _)) = winners.next() else { return Restored::NothingSaid };
    if winners.next().is_some() {
        // Half of the pins say one thing, half another.
        return Restored::NothingSaid;
    }
    turn.questions.insert(Question::Digest(view.policy.image.clone(), (*digest).clone()));
    let Some(mut release) = view.facts.release_of(view.life, digest) else {
        return Restored::Asking(Wait::new(
            "Restoring",
            format!("asks the registry what {} is", digest.short()),
        ));
    };
    // The pin knows its tag, which the registry tells only later.
    let tag = view.all.pins.iter().find(|p| p.spec.digest == **digest).and_then(|p| p.spec.tag.clone());
    release.tag = release.tag.or(tag);
    turn.status.only_tags = only_tags.into_iter().collect();
    adopt(view, turn, release, Source::Restored);
    Restored::FromPins
}

/// Ready pods by what they run, most first; asks for what is not known yet.
fn running(view: &StageView<'_>, turn: &mut Turn) -> Result<Vec<(Release, usize)>, Wait> {
    let mut groups: Vec<(Release, usize)> = Vec::new();
    let mut unknown = None;
    for pod in view.live().filter(|p| p.seen.ready) {
        for container in &pod.containers {
            let Some(digest) = &container.seen.running else { continue };
            let question = Question::Digest(container.image.repository().clone(), digest.clone());
            let Some(release) = view.facts.release_of(view.life, digest) else {
                if let Some(Answer::Failed(f)) = view.all.answers.digests.get(digest) {
                    unknown = Some(format!(
                        "{} could not be asked what {} is: {}",
                        container.image.repository(),
                        digest.short(),
                        f.message
                    ));
                }
                turn.questions.insert(question);
                unknown.get_or_insert_with(|| {
                    format!("asks {} what {} is", container.image.repository(), digest.short())
                });
                continue;
            };
            match groups.iter_mut().find(|(r, _)| view.facts.same(r, &release)) {
                Some((_, pods)) => *pods += 1,
                None => groups.push((release, 1)),
            }
        }
    }
    if let Some(message) = unknown {
        return Err(Wait::new("Resolving", message));
    }
    groups.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.digest.cmp(&b.0.digest)));
    Ok(groups)
}

fn chosen_by_person(view: &StageView<'_>, turn: &mut Turn) -> Option<Release> {
    let asked =
        view.facts.interventions(InterventionKind::Adopt, &view.stage.name).max_by_key(|i| i.created)?;
    let release = view.facts.release_of(view.life, asked.digest.as_ref()?);
    match release {
        Some(release) => {
            turn.heard.push(heard_id(asked, &view.stage.name));
            Some(release)
        }
        None => {
            turn.questions.insert(Question::Digest(view.policy.image.clone(), asked.digest.clone()?));
            None
        }
    }
}

/// What no listed tag names may be named by the pods: an explicit version, in the range or not.
fn name_by_tag(view: &StageView<'_>, release: &mut Release) {
    if release.version.is_some() || !matches!(view.policy.select.order, Order::Semver { .. }) {
        return;
    }
    let mut named: BTreeMap<&Tag, usize> = BTreeMap::new();
    for container in view.live().filter(|p| p.runs(release)).flat_map(|p| p.containers.iter()) {
        if let Some(tag) = container.image.tag().filter(|tag| is_full_version(tag.as_str())) {
            *named.entry(tag).or_default() += 1;
        }
    }
    if let Some((tag, _)) = named.into_iter().max_by_key(|(_, pods)| *pods) {
        release.tag = Some(tag.clone());
        release.version = Some(tag.to_string());
    }
}

/// The mutable tags that pods on `release` were made from.
fn mutable_tags(view: &StageView<'_>, release: &Release) -> Vec<Tag> {
    let tags: BTreeSet<Tag> = view
        .live()
        .filter(|p| p.runs(release))
        .flat_map(|p| p.containers.iter())
        .filter(|c| c.image.digest().is_none())
        .filter_map(|c| c.image.tag().cloned().or_else(|| "latest".parse().ok()))
        .filter(|tag| !is_full_version(tag.as_str()))
        .collect();
    tags.into_iter().take(32).collect()
}

/// What a person has to choose between.
#[must_use]
pub fn mixed_message(view: &StageView<'_>, status: &StageStatus) -> String {
    let versions: Vec<String> =
        status.mixed.iter().map(|(what, pods)| format!("{pods} on {what}")).take(5).collect();
    format!(
        "no release runs on {SHARE} % of the pods of {}: {}; an Intervention with action Adopt and a digest chooses, or the first promotion brings them together",
        view.stage.name,
        versions.join(", ")
    )
}
