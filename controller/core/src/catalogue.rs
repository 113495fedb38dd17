//! Which release selection chooses: the newest unquarantined one that has every platform, by our own first-seen clock.
//!
//! Guarantees: failing or partial data chooses nothing new; a released version tag whose contents change is an alarm
//! and a hold, never silently followed; the first-seen clock is started once per contents.

use crate::{
    decision::{Decision, Event, EventType, Question},
    facts::{Facts, LOOK_AT},
    gates::{label, label_and_digest, refused_signature},
    image::{Release, Tag},
    observed::Answer,
    select::{Order, Ranked, newest_first},
    status::{FirstSeen, MovedTag},
    tags,
};
use jiff::Timestamp;
use std::{borrow::Cow, cmp::Ordering};

/// Chooses the candidate into `decision.status.candidate`.
pub fn choose(facts: &Facts<'_>, decision: &mut Decision) {
    let Some(ranking) = &facts.seen.catalogue.ranking else { return };
    let first_scan = decision.status.first_seen.is_empty() && decision.status.candidate.is_none();
    let (mut chosen, mut moved_now): (Option<Release>, Vec<Tag>) = (None, Vec::new());
    let Some(best_first) = in_order(facts, decision, &ranking.best_first) else { return };
    let (mut seen_tags, mut complete) = (tags::Seen::default(), true);
    for ranked in best_first.iter().take(LOOK_AT) {
        decision.questions.insert(Question::Tag(ranked.tag.clone()));
        let mut release = match facts.seen.answers.tags.get(&ranked.tag) {
            Some(Answer::Known(release)) => release.clone(),
            // Gone since it was listed: the next one.
            Some(Answer::Absent) => {
                seen_tags.note(ranked.tag.as_str(), "TagGone", "it was listed, and is gone".to_owned());
                continue;
            }
            // Nobody knows what the best tag is: keep what was chosen.
            Some(Answer::Failed(_)) | None => {
                complete = chosen.is_some();
                break;
            }
        };
        release.tag = Some(ranked.tag.clone());
        release.version.clone_from(&ranked.version);
        if moved(facts, decision, &ranked.tag, &release) {
            moved_now.push(ranked.tag.clone());
            let fix = format!("other contents than before; `Promote` digest {} takes it", release.digest);
            seen_tags.note(ranked.tag.as_str(), "TagMoved", fix);
            continue;
        }
        let seen = first_seen(facts, decision, &ranked.tag, &release, first_scan);
        if release.version.is_none() {
            // A mutable tag has no version of its own: the time of first sight is its place in the order.
            release.version = Some(seen.round(jiff::Unit::Second).unwrap_or(seen).to_string());
        }
        if chosen.is_none() {
            if not_asked_who_signed(facts, decision, &release) {
                // As above: what was chosen is kept until that is known.
                complete = false;
                break;
            }
            match unusable(facts, decision, &release) {
                Some((reason, message)) => seen_tags.note(ranked.tag.as_str(), reason, message),
                None => {
                    let (reason, message) = taken(facts, decision, seen);
                    seen_tags.note(ranked.tag.as_str(), reason, message);
                    chosen = Some(release);
                }
            }
        }
        // Older tags are looked at only while some stage runs a release whose version nobody knows yet.
        if chosen.is_some() && !version_missing(decision) {
            break;
        }
        name_running(facts, decision, &ranked.tag);
    }
    if complete {
        decision.status.tags = seen_tags.with_the_rest(ranking);
    }
    if let Some(release) = chosen {
        take(facts, decision, release, &moved_now);
    }
}

/// The candidate is known.
fn take(facts: &Facts<'_>, decision: &mut Decision, release: Release, moved_now: &[Tag]) {
    // What is older than the candidate concerns nobody any more.
    decision.status.moved_tags.retain(|m| moved_now.contains(&m.tag));
    adopt_version(facts, decision, &release);
    let new = decision.status.candidate.as_ref().is_none_or(|old| !facts.same(old, &release));
    if new && news(facts, decision, &release) {
        let message = format!("{} is the newest release that selection admits", label_and_digest(&release));
        tell(decision, EventType::Normal, "CandidateFound", message);
    }
    let same_text = decision.status.candidate.as_ref() == Some(&release);
    if !same_text {
        decision.status.candidate = Some(release);
    }
}

/// Some stage may take it: what every stage runs, or is beyond, was told long ago.
fn news(facts: &Facts<'_>, decision: &Decision, release: &Release) -> bool {
    let life = &decision.status;
    life.stages.iter().any(|stage| {
        crate::stage::current_of(stage).is_none_or(|current| {
            !facts.same(&current.release, release)
                && facts.compare(life, release, &current.release) != Some(Ordering::Less)
        })
    })
}

/// The candidates, the best first. Under `newestBuild` that is known only once the dates of all that are looked at are;
/// `None` until then: an older build must not be taken for the newest.
fn in_order<'r>(
    facts: &Facts<'_>,
    decision: &mut Decision,
    best_first: &'r [Ranked],
) -> Option<Cow<'r, [Ranked]>> {
    let Order::NewestBuild { limit } = facts.policy.select.order else {
        return Some(Cow::Borrowed(best_first));
    };
    let looked_at = best_first.get(..limit).unwrap_or(best_first);
    decision.questions.extend(looked_at.iter().map(|ranked| Question::Tag(ranked.tag.clone())));
    let mut dated = Vec::new();
    for ranked in looked_at {
        match facts.seen.answers.tags.get(&ranked.tag)? {
            Answer::Known(release) => dated.push((ranked.clone(), release.created)),
            Answer::Absent => {}
            Answer::Failed(_) => return None,
        }
    }
    let (newest, _) = newest_first(dated, facts.now);
    Some(newest.into_iter().map(|(ranked, _)| ranked).collect())
}

fn tell(decision: &mut Decision, kind: EventType, reason: &'static str, message: String) {
    decision.events.push(Event { kind, reason, stage: None, message });
}

/// The policy wants a signature, and the registry has not said yet whether there is one: the question is asked here.
fn not_asked_who_signed(facts: &Facts<'_>, decision: &mut Decision, release: &Release) -> bool {
    if facts.policy.verify.is_none() {
        return false;
    }
    decision.questions.insert(Question::Signed(release.digest.clone()));
    facts.signed(&release.digest).is_none()
}

/// Why a release cannot be the candidate: it is quarantined, lacks a platform in use, or the signature that is asked for.
fn unusable(facts: &Facts<'_>, decision: &mut Decision, release: &Release) -> Option<(&'static str, String)> {
    if let Some(quarantine) = facts.quarantine_of(release) {
        return Some(("Quarantined", quarantine.refuses()));
    }
    let missing = release.missing_platforms(&facts.platforms);
    if missing.is_empty() {
        return not_signed(facts, decision, release);
    }
    let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
    let key = format!("platforms:{}", release.contents_key());
    if !decision.status.heard.contains(&key) {
        let message = format!("{} is not taken: it has no image for {}", label(release), names.join(", "));
        tell(decision, EventType::Warning, "PlatformMissing", message);
        decision.status.heard.push(key);
    }
    Some(("PlatformMissing", format!("it has no image for {}", names.join(", "))))
}

/// What is said of the candidate's tag: stages take it, or not before it is old enough.
fn taken(facts: &Facts<'_>, decision: &mut Decision, seen: Timestamp) -> (&'static str, String) {
    let until = facts.policy.select.old_enough_at(seen).filter(|until| facts.now < *until);
    let Some(until) = until else { return ("Candidate", String::new()) };
    // What is said here has to change then, also where no stage waits for it.
    decision.next_deadline = Some(decision.next_deadline.map_or(until, |deadline| deadline.min(until)));
    ("TooYoung", format!("the newest that selection admits; first seen {seen}, too young until {until}"))
}

/// It is known that the signature which the policy asks for is not there.
fn not_signed(
    facts: &Facts<'_>,
    decision: &mut Decision,
    release: &Release,
) -> Option<(&'static str, String)> {
    let verify = facts.policy.verify.as_ref()?;
    let (reason, why) = refused_signature(verify, facts.signed(&release.digest))?;
    let key = format!("{reason}:{}", release.contents_key());
    if !decision.status.heard.contains(&key) {
        // Between a push and its signature lies a moment: that it has none is nothing to be alarmed about.
        let kind = if reason == "Unsigned" { EventType::Normal } else { EventType::Warning };
        tell(decision, kind, reason, format!("{} {why}", label_and_digest(release)));
        decision.status.heard.push(key);
    }
    Some((reason, format!("it {why}")))
}

/// A released version tag that names other contents than before.
fn moved(facts: &Facts<'_>, decision: &mut Decision, tag: &Tag, release: &Release) -> bool {
    if matches!(facts.policy.select.order, Order::Digest { .. }) {
        return false;
    }
    let to = release.contents_key();
    let mut before = decision.status.first_seen.iter().filter(|f| f.tag.as_ref() == Some(tag));
    let Some(first) = before.next().cloned() else { return false };
    let known = first.contents == to || before.any(|f| f.contents == to);
    let wanted = facts.seen.interventions.iter().any(|i| {
        i.kind == crate::observed::InterventionKind::Promote
            && i.digest.as_ref().is_some_and(|d| release.answers_to(d))
    });
    if known || wanted {
        decision.status.moved_tags.retain(|m| m.tag != *tag);
        return false;
    }
    if !decision.status.moved_tags.iter().any(|m| m.tag == *tag && m.to == to) {
        decision.status.moved_tags.retain(|m| m.tag != *tag);
        decision.status.moved_tags.push(MovedTag {
            tag: tag.clone(),
            from: first.contents,
            to: to.clone(),
            at: facts.now,
        });
    }
    let alarm = moved_alarm(tag, release);
    if !decision.status.heard.contains(&alarm) {
        let message = format!(
            "tag {tag} names other contents than when it was first seen; held. Promote digest {} to take it",
            release.digest
        );
        tell(decision, EventType::Warning, "TagMoved", message);
        decision.status.heard.push(alarm);
    }
    true
}

/// How the alarm that a tag names other contents is remembered: a tag that flaps is one alarm.
pub fn moved_alarm(tag: &Tag, now: &Release) -> String {
    format!("moved:{tag}:{}", now.contents_key())
}

/// Starts the clock of contents that were not seen before. At the first scan the publisher's date counts if it is
/// older, so that adopting an old image does not hold it; later it never does.
fn first_seen(
    facts: &Facts<'_>,
    decision: &mut Decision,
    tag: &Tag,
    release: &Release,
    first_scan: bool,
) -> Timestamp {
    let contents = release.contents_key();
    if let Some(seen) = decision.status.first_seen.iter().find(|f| f.contents == contents) {
        return seen.at;
    }
    let restored = decision.status.restored_at.is_some();
    let at = match release.created {
        Some(created) if first_scan && !restored && created < facts.now => created,
        _ => facts.now,
    };
    // The bound is kept by `decide`; the newest are the ones that matter.
    decision.status.first_seen.push(FirstSeen { contents, tag: Some(tag.clone()), at });
    at
}

fn version_missing(decision: &Decision) -> bool {
    decision
        .status
        .stages
        .iter()
        .any(|s| crate::stage::current_of(s).is_some_and(|c| c.release.version.is_none()))
}

/// A stage that adopted a bare digest learns its version when a tag turns out to name the same contents.
fn name_running(facts: &Facts<'_>, decision: &mut Decision, tag: &Tag) {
    if let Some(Answer::Known(release)) = facts.seen.answers.tags.get(tag) {
        let mut release = release.clone();
        release.tag = Some(tag.clone());
        release.version = facts
            .seen
            .catalogue
            .ranking
            .as_ref()
            .and_then(|r| r.best_first.iter().find(|r| r.tag == *tag))
            .and_then(|r| r.version.clone());
        adopt_version(facts, decision, &release);
    }
}

fn adopt_version(facts: &Facts<'_>, decision: &mut Decision, release: &Release) {
    if release.version.is_none() {
        return;
    }
    for verified in decision.status.stages.iter_mut().flat_map(|s| s.verified.iter_mut()) {
        if verified.release.version.is_none() && facts.same(&verified.release, release) {
            verified.release.version.clone_from(&release.version);
            verified.release.tag.clone_from(&release.tag);
        }
    }
}
