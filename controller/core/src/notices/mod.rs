//! What people are told outside of the cluster: which messages a pass makes, to whom, and when one counts as told.
//!
//! Guarantees: a message stands in the status from the same write on that holds the transition it speaks of, until it was
//! told or given up: whoever leads tells what is left, under the same id. One message per transition, one page per
//! trouble of a stage, and its end goes to whom its beginning went. Nothing here changes what is promoted or taken back.
//! May not: send, or know a credential.

mod make;
mod receiver;
mod settle;

pub use receiver::{Occasion, Place, Receiver, Service};

use crate::{decision::Decision, observed::Observed, policy::Policy};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// Messages that wait at most; of more the oldest is given up.
pub const MOST: usize = 20;
/// How long it is tried to tell a message.
pub const GIVE_UP: SignedDuration = SignedDuration::from_hours(1);
/// So many failures in a row are said to people.
pub const SAID_AFTER: u32 = 3;

/// A message and a receiver, by id and name.
pub type DeliveryKey = (String, String);

/// What is known of telling one message to one receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It took it.
    Done,
    /// It did not, so often; it is tried again.
    Failing {
        /// How often.
        tries: u32,
        /// Why not, the last time; never a credential or a part of an address.
        message: String,
    },
}

/// What the core may know of telling.
#[derive(Clone, Debug, Default)]
pub struct NoticesSeen {
    /// The installation's receivers: those of a policy that names none of its own.
    pub receivers: Vec<Receiver>,
    /// What became of messages of the last status. A missing key was not tried yet.
    pub told: BTreeMap<DeliveryKey, Delivery>,
}

/// Who is told of a policy.
#[must_use]
pub fn receivers<'a>(policy: &'a Policy, seen: &'a NoticesSeen) -> &'a [Receiver] {
    policy.notify.as_deref().unwrap_or(&seen.receivers)
}

/// Keeps the list of messages that are to be told.
pub fn keep(policy: &Policy, seen: &Observed, decision: &mut Decision, now: Timestamp) {
    let receivers = receivers(policy, &seen.notices);
    let mut notices = std::mem::take(&mut decision.status.notices);
    let mut settled = settle::settle(&mut notices, receivers, &seen.notices, now);
    if receivers.is_empty() {
        notices.incidents.clear();
    } else {
        make::of_pass(policy, receivers, decision, &mut notices, now);
    }
    let over = notices.outbox.len().saturating_sub(MOST);
    if notices.outbox.drain(..over).count() > 0 {
        settled.lost.push(format!("{over} of more than {MOST} messages that wait were given up"));
    }
    decision.status.notices = notices;
    settle::show(policy, receivers, settled, decision, now);
}
