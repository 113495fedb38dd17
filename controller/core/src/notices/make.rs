//! Which messages a pass makes: from what it tells in the cluster, and from the troubles of its stages.
//!
//! Guarantees: a trouble is compared with what the status says was told of it, so that a pass that is made again after a
//! lost write, by whichever replica, makes the same messages. What is told while a policy is suspended stays as it was.

use super::{Occasion, Receiver};
use crate::{
    decision::{Decision, Event},
    gates::label,
    image::Release,
    policy::Policy,
    remedy,
    status::{Incident, Notice, Notices, Phase, StageStatus},
};
use jiff::Timestamp;

/// Longest sentence of a message, in characters.
const LONGEST: usize = 600;

/// Messages of one pass: their ids differ by a number.
struct Making<'a> {
    policy: &'a Policy,
    receivers: &'a [Receiver],
    now: Timestamp,
}

impl Making<'_> {
    /// Those of `receivers` who want it.
    fn wanting(&self, occasion: Occasion, stage: &str) -> Vec<String> {
        let wanting = self.receivers.iter().filter(|receiver| receiver.wants(occasion, stage));
        wanting.map(|receiver| receiver.name.clone()).collect()
    }

    /// Puts a message into the list, if anybody is to be told.
    fn add(&self, notices: &mut Notices, mut notice: Notice) {
        if notice.to.is_empty() {
            return;
        }
        let millis = self.now.as_millisecond();
        let made = notices.outbox.iter().filter(|other| other.at == self.now).count();
        notice.id = format!("{}-{millis}-{made}", self.policy.uid);
        notice.message = notice.message.chars().take(LONGEST).collect();
        notices.outbox.push(notice);
    }

    fn notice(&self, occasion: Occasion, stage: &str, message: String, to: Vec<String>) -> Notice {
        Notice {
            id: String::new(),
            at: self.now,
            occasion,
            stage: stage.to_owned(),
            message,
            done: String::new(),
            next: String::new(),
            incident: None,
            since: None,
            to,
        }
    }

    /// Where to look, if no single command helps.
    fn explain(&self) -> String {
        format!("lockkeeper explain {} -n {}", self.policy.name, self.policy.namespace)
    }

    /// The command that ends the wait of a stage, or else that says more of it.
    fn next(&self, stage: &StageStatus, reason: &str, candidate: Option<&Release>) -> String {
        let coming = stage.flight.as_ref().map(|flight| &flight.release).or(candidate);
        remedy::command(self.policy, &stage.name, reason, coming).unwrap_or_else(|| self.explain())
    }
}

/// What the pass tells in the cluster, as far as somebody outside wants to know; and the troubles of stages.
pub(super) fn of_pass(
    policy: &Policy,
    receivers: &[Receiver],
    decision: &Decision,
    notices: &mut Notices,
    now: Timestamp,
) {
    let making = Making { policy, receivers, now };
    from_events(&making, decision, notices);
    from_stages(&making, decision, notices);
    end(&making, &decision.status.stages, notices);
}

fn from_events(making: &Making<'_>, decision: &Decision, notices: &mut Notices) {
    let status = &decision.status;
    for Event { reason, stage, message, .. } in &decision.events {
        let Some(occasion) = Occasion::of_event(reason) else { continue };
        let name = stage.as_deref().unwrap_or_default();
        let mut notice = making.notice(occasion, name, message.clone(), making.wanting(occasion, name));
        let needs_person = !matches!(occasion, Occasion::PromotionStarted | Occasion::Verified);
        if needs_person {
            let stage = status.stages.iter().find(|stage| stage.name == name);
            let next = |stage| making.next(stage, reason, status.candidate.as_ref());
            notice.next = stage.map_or_else(|| making.explain(), next);
        }
        making.add(notices, notice);
    }
}

/// The troubles of stages: each change of one.
fn from_stages(making: &Making<'_>, decision: &Decision, notices: &mut Notices) {
    let Making { policy, now, .. } = *making;
    let status = &decision.status;
    for stage in &status.stages {
        let Some(trouble) = Trouble::of(stage) else { continue };
        let open = notices.incidents.iter().position(|incident| incident.stage == stage.name);
        if trouble.hidden || open.is_some_and(|n| notices.incidents[n].state == trouble.state) {
            continue;
        }
        let index = open.unwrap_or_else(|| {
            notices.incidents.push(Incident {
                stage: stage.name.clone(),
                key: format!("{}/{}/{}", policy.uid, stage.name, now.as_millisecond()),
                since: now,
                state: String::new(),
                told: Vec::new(),
            });
            notices.incidents.len() - 1
        });
        let incident = &mut notices.incidents[index];
        incident.state.clone_from(&trouble.state);
        let to = making.wanting(trouble.occasion, &stage.name);
        for name in &to {
            if !incident.told.contains(name) {
                incident.told.push(name.clone());
            }
        }
        let mut notice = making.notice(trouble.occasion, &stage.name, trouble.message, to);
        notice.done = trouble.done;
        notice.next = match trouble.occasion {
            Occasion::Blocked => making.next(stage, &stage.reason, status.candidate.as_ref()),
            _ => making.explain(),
        };
        notice.incident = Some(incident.key.clone());
        notice.since = Some(incident.since);
        making.add(notices, notice);
    }
}

/// Troubles that are over, or whose stage is gone.
fn end(making: &Making<'_>, stages: &[StageStatus], notices: &mut Notices) {
    let open = std::mem::take(&mut notices.incidents);
    for incident in open {
        let stage = stages.iter().find(|stage| stage.name == incident.stage);
        if stage.and_then(Trouble::of).is_some() {
            notices.incidents.push(incident);
            continue;
        }
        let message = match stage {
            Some(stage) if !stage.message.is_empty() => stage.message.clone(),
            Some(_) => "the stage goes on".to_owned(),
            None => "the stage is not in the policy any more".to_owned(),
        };
        let known = |name: &String| making.receivers.iter().any(|receiver| receiver.name == *name);
        let to = incident.told.into_iter().filter(known).collect();
        let mut notice = making.notice(Occasion::Resolved, &incident.stage, message, to);
        notice.incident = Some(incident.key);
        notice.since = Some(incident.since);
        making.add(notices, notice);
    }
}

/// What is wrong with a stage.
struct Trouble {
    occasion: Occasion,
    /// The same as long as there is nothing new to tell.
    state: String,
    message: String,
    done: String,
    /// The policy is suspended: what was told stays as it was.
    hidden: bool,
}

impl Trouble {
    fn of(stage: &StageStatus) -> Option<Self> {
        let hidden = matches!(stage.reason.as_str(), "Suspended" | "Observing");
        if stage.phase == Phase::Blocked {
            let done = if stage.reason == "RollbackStuck" {
                "the rollback goes on"
            } else {
                "the stage is Blocked: nothing more is given to it until a person decides or a newer release comes"
            };
            return Some(Self {
                occasion: Occasion::Blocked,
                state: format!("Blocked {}", stage.reason),
                message: stage.message.clone(),
                done: done.to_owned(),
                hidden,
            });
        }
        // What a person rejected, or a newer release came instead of, is no trouble.
        let rollback = stage.rollback.as_ref().filter(|rollback| !rollback.is_no_trouble())?;
        let bad = label(&rollback.bad);
        Some(Self {
            occasion: Occasion::RollingBack,
            state: format!("RollingBack {}", rollback.attempt),
            message: rollback.message.clone(),
            done: match &rollback.quarantine {
                Some(name) => {
                    format!("{bad} is held back everywhere (Quarantine {name}) and is being taken back")
                }
                None => format!("{bad} is being taken back"),
            },
            hidden,
        })
    }
}
