//! What there is to say about a policy, for people and for programs alike.

use super::{super::known::Loaded, listing::Listing, remedy};
use jiff::Timestamp;
use lockkeeper_core::{
    asking::Known,
    conditions::{EVIDENCE, WAITS, Word},
    gates::label,
    image::Release,
    stage::{current_of, rules_out, soak_of, step_name},
    status::{SignalMemory, StageStatus, TagSeen, Verified},
};
use serde::Serialize;

/// Everything that `explain` says.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    pub namespace: String,
    pub policy: String,
    pub image: String,
    /// `Waiting`, and so on; empty before the first pass.
    pub phase: String,
    /// The sentence of the condition Ready.
    pub message: String,
    /// How often the registry is asked.
    pub interval: String,
    pub mode: String,
    pub suspend: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidate: Option<Candidate>,
    /// What became of the newest tags; of all of them, where the registry was asked.
    pub tags: Vec<TagSeen>,
    /// What the registry lists now, where it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listing: Option<Listing>,
    pub stages: Vec<Stage>,
    pub quarantines: Vec<Quarantined>,
    /// Conditions that are not as they should be, other than Ready.
    pub conditions: Vec<Noted>,
}

/// What selection chose.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    #[serde(flatten)]
    pub release: Named,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<Timestamp>,
}

/// A release by its name and digest.
#[derive(Debug, Serialize)]
pub struct Named {
    pub version: String,
    pub digest: String,
}

/// A condition.
#[derive(Debug, Serialize)]
pub struct Noted {
    #[serde(rename = "type")]
    pub kind: String,
    pub status: String,
    pub reason: String,
    pub message: String,
}

/// A Quarantine of the namespace that covers something this policy knows or lists.
#[derive(Debug, Serialize)]
pub struct Quarantined {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    pub reason: String,
    pub evidence: String,
}

/// One stage.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stage {
    pub name: String,
    pub phase: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs: Option<Runs>,
    /// What is in flight, or would come next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coming: Option<Named>,
    pub reason: String,
    /// What the reason means.
    pub means: String,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// What ends it.
    pub ends: String,
    /// The command that would end the wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Further gates that are closed behind the one that is waited for.
    pub also_closed: Vec<Closed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// Releases it may return to, newest first.
    pub safe: Vec<Named>,
    /// Pods that run something else.
    pub drifted: u32,
    /// Whether the last rollback helped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_rollback: Option<AfterRollback>,
}

/// Whether a rollback helped.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AfterRollback {
    /// `Watching`, `Helped`, `DidNotHelp` or `Unclear`.
    pub help: String,
    pub message: String,
}

/// What a stage runs, and how that came.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Runs {
    #[serde(flatten)]
    pub release: Named,
    pub source: String,
    pub at: Timestamp,
    /// What its soak rules out.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub rules_out: String,
}

/// A closed gate.
#[derive(Debug, Serialize)]
pub struct Closed {
    pub reason: String,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// A hold.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    pub by: String,
    pub why: String,
    pub intervention: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// The evidence about what is in flight.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// Such as `wave 1 of 2 (3 pods)`.
    pub step: String,
    pub healthy_seconds: i64,
    pub needed_seconds: i64,
    /// Crashes of the candidate, and of the pods beside it.
    pub crashes: [u32; 2],
    /// What that rules out so far.
    pub rules_out: String,
    /// What each signal of `health.signals` says, against its limit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub signals: Vec<Said>,
}

/// What one signal says.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Said {
    pub signal: String,
    pub message: String,
}

/// Puts it together.
pub fn explain(loaded: &Loaded, now: Timestamp) -> Explanation {
    let (policy, status) = (&loaded.policy, &loaded.status);
    let known = loaded.known(now);
    let ready = status.conditions.iter().find(|c| c.kind == "Ready");
    let effective = |path: &str| status.effective.get(path).cloned().unwrap_or_default();
    let candidate = status.candidate.as_ref().map(|release| {
        let key = release.contents_key();
        let first_seen = status.first_seen.iter().find(|seen| seen.contents == key).map(|seen| seen.at);
        Candidate { release: named(release), first_seen }
    });
    let noted = status.conditions.iter().filter(|c| {
        (c.kind == "Stalled" && c.status == "True") || (c.kind == "BirthPinning" && c.status != "True")
    });
    Explanation {
        namespace: policy.namespace.clone(),
        policy: policy.name.clone(),
        image: policy.image.to_string(),
        phase: status.phase.clone(),
        message: ready.map(|c| c.message.clone()).unwrap_or_default(),
        interval: effective("interval"),
        mode: format!("{:?}", policy.mode),
        suspend: policy.suspend,
        candidate,
        tags: status.tags.clone(),
        listing: None,
        stages: status.stages.iter().map(|stage| self::stage(loaded, &known, stage)).collect(),
        quarantines: loaded
            .quarantines
            .iter()
            .filter(|q| concerns(loaded, &known, q))
            .map(quarantined)
            .collect(),
        conditions: noted
            .map(|c| Noted {
                kind: c.kind.clone(),
                status: c.status.clone(),
                reason: c.reason.clone(),
                message: c.message.clone(),
            })
            .collect(),
    }
}

fn named(release: &Release) -> Named {
    Named { version: label(release), digest: release.digest.to_string() }
}

/// It was made for this policy, or it covers a tag or a release that this policy knows.
fn concerns(loaded: &Loaded, known: &Known<'_>, quarantine: &lockkeeper_api::Quarantine) -> bool {
    let spec = &quarantine.spec;
    let listed = spec.tag.as_ref().is_some_and(|tag| loaded.status.tags.iter().any(|seen| seen.tag == *tag));
    let digests = spec.digest.iter().chain(&spec.contents);
    listed
        || spec.policy.as_ref() == Some(&loaded.policy.name)
        || digests.into_iter().any(|d| !known.named(d).is_empty())
}

fn quarantined(quarantine: &lockkeeper_api::Quarantine) -> Quarantined {
    let spec = &quarantine.spec;
    Quarantined {
        name: quarantine.metadata.name.clone().unwrap_or_default(),
        tag: spec.tag.clone(),
        reason: if spec.reason.is_empty() { "a person asked for it".to_owned() } else { spec.reason.clone() },
        evidence: spec.evidence.clone(),
    }
}

/// What a reason means, and what ends it.
pub fn word(reason: &str) -> Option<&'static Word> {
    WAITS.iter().chain(EVIDENCE).find(|word| word.name == reason)
}

fn stage(loaded: &Loaded, known: &Known<'_>, stage: &StageStatus) -> Stage {
    let coming = known.coming(&stage.name);
    let release = coming.as_ref().map(|(release, _)| release);
    let closed = coming.as_ref().map(|(_, closed)| closed.as_slice()).unwrap_or_default();
    let word = word(&stage.reason);
    let definition = loaded.policy.stages.iter().find(|s| s.name == stage.name);
    let evidence = stage.flight.as_ref().map(|flight| Evidence {
        step: step_name(flight),
        healthy_seconds: flight.healthy_seconds,
        needed_seconds: definition.map_or(0, |stage| soak_of(stage, flight)),
        crashes: flight.health.crashes,
        rules_out: rules_out(flight),
        signals: flight.health.signals.iter().map(said).collect(),
    });
    let safe = stage.verified.iter().rev().filter(|v| known.quarantine_of(&v.release).is_none());
    Stage {
        name: stage.name.clone(),
        phase: format!("{:?}", stage.phase),
        runs: current_of(stage).map(runs),
        coming: release.map(named),
        reason: stage.reason.clone(),
        means: word.map(|word| word.means.to_owned()).unwrap_or_default(),
        message: stage.message.clone(),
        since: stage.since,
        until: stage.until,
        ends: word.map(|word| word.then.to_owned()).unwrap_or_default(),
        command: remedy::command(&loaded.policy, known, stage, release),
        also_closed: closed
            .iter()
            .filter(|wait| wait.reason != stage.reason)
            .map(|wait| Closed {
                reason: wait.reason.to_owned(),
                message: wait.message.clone(),
                until: wait.until,
            })
            .collect(),
        hold: known.hold(&stage.name).map(|hold| Hold {
            by: hold.requested_by,
            why: hold.reason,
            intervention: hold.id,
            until: hold.not_after,
        }),
        evidence,
        safe: safe.map(|v| named(&v.release)).collect(),
        drifted: stage.drift.pods,
        after_rollback: stage.after_rollback.as_ref().map(after_rollback),
    }
}

fn after_rollback(after: &lockkeeper_core::status::AfterRollback) -> AfterRollback {
    let message = if after.message.is_empty() {
        format!(
            "whether the rollback of {} helped is being watched, until {} at the latest",
            after.bad, after.until
        )
    } else {
        after.message.clone()
    };
    AfterRollback { help: format!("{:?}", after.help), message }
}

fn said(memory: &SignalMemory) -> Said {
    Said { signal: memory.name.clone(), message: memory.message.clone() }
}

fn runs(verified: &Verified) -> Runs {
    Runs {
        release: named(&verified.release),
        source: format!("{:?}", verified.source),
        at: verified.at,
        rules_out: verified.rules_out.clone(),
    }
}
