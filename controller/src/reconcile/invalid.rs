//! What the status of a policy says that cannot be understood, or that is refused as a whole.
//!
//! Guarantees: only the conditions and the observed generation change: what is in flight stays as it is recorded, so
//! that a corrected policy goes on from there. Pure.

use jiff::Timestamp;
use lockkeeper_core::{conditions::Condition, status::Status};

/// The spec cannot be understood.
pub const INVALID_SPEC: &str = "InvalidSpec";
/// A stage matches more pods than the installation allows.
pub const TOO_MANY_PODS: &str = "TooManyPods";
/// Longest message that a condition may have, in bytes (Kubernetes' own limit is 32,768).
const LONGEST: usize = 16_384;

/// `status` as it stands once `generation` is refused for `reason`; `messages` say what is wrong.
#[must_use]
pub fn status(status: &Status, reason: &str, messages: &[String], generation: i64, now: Timestamp) -> Status {
    let mut status = status.clone();
    status.observed_generation = generation;
    let message = bounded(messages);
    for (kind, value) in [("Ready", "False"), ("Reconciling", "False"), ("Stalled", "True")] {
        let condition = Condition {
            kind: kind.into(),
            status: value.into(),
            reason: reason.into(),
            message: message.clone(),
            last_transition_time: now,
            observed_generation: generation,
        };
        set(&mut status.conditions, condition);
    }
    status
}

/// The transition time moves only with the status.
fn set(conditions: &mut Vec<Condition>, mut new: Condition) {
    match conditions.iter_mut().find(|condition| condition.kind == new.kind) {
        Some(old) => {
            if old.status == new.status {
                new.last_transition_time = old.last_transition_time;
            }
            *old = new;
        }
        None => conditions.push(new),
    }
}

fn bounded(messages: &[String]) -> String {
    let mut text = String::new();
    for (index, message) in messages.iter().enumerate() {
        if text.len() + message.len() + 2 > LONGEST {
            let left = messages.len() - index;
            text.push_str("; and ");
            text.push_str(&left.to_string());
            text.push_str(" more");
            break;
        }
        if index > 0 {
            text.push_str("; ");
        }
        text.push_str(message);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockkeeper_core::status::{Phase, StageStatus};

    #[test]
    fn it_names_everything_that_is_wrong_and_touches_nothing_else() {
        let at = |s| Timestamp::from_second(s).unwrap();
        let flying = StageStatus { name: "dev".into(), phase: Phase::Soaking, ..StageStatus::default() };
        let before = Status { stages: vec![flying], attempts: 7, ..Status::default() };
        let messages = ["spec.interval: 0s is too short".to_owned(), "spec.stages: none".to_owned()];
        let first = status(&before, INVALID_SPEC, &messages, 3, at(10));
        let stalled = first.conditions.iter().find(|c| c.kind == "Stalled").unwrap();
        assert_eq!((stalled.status.as_str(), stalled.reason.as_str()), ("True", "InvalidSpec"));
        assert_eq!(stalled.message, "spec.interval: 0s is too short; spec.stages: none");
        assert_eq!(first.conditions.iter().find(|c| c.kind == "Ready").unwrap().status, "False");
        assert_eq!((&first.stages, first.attempts), (&before.stages, 7));
        assert_eq!(
            status(&first, INVALID_SPEC, &messages, 3, at(20)),
            first,
            "the same again changes nothing"
        );
    }

    #[test]
    fn its_message_is_bounded() {
        let messages: Vec<String> =
            (0..1000).map(|n| format!("spec.stages[{n}]: {}", "x".repeat(100))).collect();
        let conditions =
            status(&Status::default(), INVALID_SPEC, &messages, 1, Timestamp::UNIX_EPOCH).conditions;
        assert!(conditions[0].message.len() < 17_000 && conditions[0].message.ends_with(" more"));
    }
}
