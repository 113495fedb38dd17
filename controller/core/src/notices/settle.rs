//! What became of messages: told ones leave the list, and a receiver that does not take them is shown once.

use super::{Delivery, GIVE_UP, NoticesSeen, Receiver, SAID_AFTER};
use crate::{
    conclude,
    decision::{Decision, Event, EventType},
    policy::Policy,
    status::Notices,
};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// The condition that says whether messages arrive.
const CONDITION: &str = "Notified";

/// What a pass found out about telling.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// Something was told.
    pub told: bool,
    /// Why something was not told, though it was tried more than once.
    pub failing: Vec<String>,
    /// What was given up.
    pub lost: Vec<String>,
}

/// Takes out what was told, what nobody wants any more, and what was tried for too long.
pub(super) fn settle(
    notices: &mut Notices,
    receivers: &[Receiver],
    seen: &NoticesSeen,
    now: Timestamp,
) -> Settled {
    let mut settled = Settled::default();
    let names: BTreeSet<&str> = receivers.iter().map(|receiver| receiver.name.as_str()).collect();
    for notice in &mut notices.outbox {
        let old = now.duration_since(notice.at) >= GIVE_UP;
        let id = notice.id.clone();
        notice.to.retain(|name| {
            if !names.contains(name.as_str()) {
                return false;
            }
            match seen.told.get(&(id.clone(), name.clone())) {
                None => true,
                Some(Delivery::Done) => {
                    settled.told = true;
                    false
                }
                Some(Delivery::Failing { message, .. }) if old => {
                    settled.lost.push(format!("{name}: {message}; given up after {GIVE_UP:#}"));
                    false
                }
                Some(Delivery::Failing { tries, message }) => {
                    if *tries >= SAID_AFTER {
                        settled.failing.push(format!("{name}: {message}"));
                    }
                    true
                }
            }
        });
    }
    notices.outbox.retain(|notice| !notice.to.is_empty());
    settled
}

/// Says it in the condition, and in one Event when it begins to fail.
pub(super) fn show(
    policy: &Policy,
    receivers: &[Receiver],
    settled: Settled,
    decision: &mut Decision,
    now: Timestamp,
) {
    if receivers.is_empty() {
        decision.status.conditions.retain(|condition| condition.kind != CONDITION);
        return;
    }
    let Settled { told, failing, lost } = settled;
    let trouble = lost.into_iter().chain(failing).next();
    let Some(message) = trouble else {
        if told {
            conclude::set(&mut decision.status, policy, now, CONDITION, "True", "Delivered", "");
        }
        return;
    };
    let known =
        |status: &str| decision.status.conditions.iter().any(|c| c.kind == CONDITION && c.status == status);
    // The first reason stays: one that alternates would cost a write of the status for every attempt.
    if known("False") {
        return;
    }
    conclude::set(&mut decision.status, policy, now, CONDITION, "False", "NotDelivered", &message);
    decision.events.push(Event { kind: EventType::Warning, reason: "NotDelivered", stage: None, message });
}
