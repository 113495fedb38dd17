//! What the API server's refusals mean.
//!
//! Guarantees: a missing right is told from an admission refusal, a failed test of a patch from an invalid object; the
//! server's words are bounded before anybody stores them. Assumes the wording of the API server's own messages only
//! for naming the missing right; where it differs, the request's own parts are named.

use crate::ports::{EffectError, Identity};
use kube::core::Status;
use lockkeeper_core::observed::MissingRight;

/// Longest part of the server's message that is kept, in characters.
const LONGEST: usize = 300;

/// What was asked of the API server.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Such as `patch`.
    pub verb: &'static str,
    /// Such as `pods`, or `imagepolicies/status`.
    pub resource: &'a str,
    /// Where.
    pub namespace: &'a str,
    /// Which.
    pub name: &'a str,
    /// As whom; none for the controller itself.
    pub identity: Option<&'a Identity>,
}

impl Call<'_> {
    /// Such as `pods prod/app-1`.
    #[must_use]
    pub fn object(&self) -> String {
        format!("{} {}/{}", self.resource, self.namespace, self.name)
    }

    /// The right that this call needs.
    #[must_use]
    pub fn right(&self) -> MissingRight {
        MissingRight {
            verb: self.verb.to_owned(),
            resource: self.resource.to_owned(),
            namespace: self.namespace.to_owned(),
            user: self.identity.map_or_else(|| "the controller".to_owned(), Identity::user),
        }
    }
}

/// What a failed request means for its effect.
#[must_use]
pub fn effect_error(error: &kube::Error, call: &Call<'_>) -> EffectError {
    match error {
        kube::Error::Api(status) => of_status(status, call),
        other => EffectError::Unavailable { object: call.object(), message: chain(other) },
    }
}

fn of_status(status: &Status, call: &Call<'_>) -> EffectError {
    let message = || bounded(&status.message);
    let refused = || EffectError::Refused { object: call.object(), message: message() };
    match status.code {
        404 | 409 | 410 => EffectError::Outdated(call.object()),
        // A failed test of a JSON patch names no cause; an invalid object, and a policy that refuses, name some.
        422 if causes(status).next().is_none() => EffectError::Outdated(call.object()),
        403 if causes(status).any(|reason| reason == "NamespaceTerminating") => {
            EffectError::Outdated(call.object())
        }
        403 => missing_right(&status.message, call).map_or_else(refused, EffectError::Forbidden),
        400 | 405..=428 => refused(),
        _ => EffectError::Unavailable { object: call.object(), message: message() },
    }
}

fn causes(status: &Status) -> impl Iterator<Item = &str> {
    status.details.iter().flat_map(|details| &details.causes).map(|cause| cause.reason.as_str())
}

/// `… is forbidden: User "system:serviceaccount:a:b" cannot patch resource "pods" in API group "" in the namespace
/// "prod"`: the authorizer's words. Anything else with 403 is an admission refusal (a quota, a policy, a webhook).
fn missing_right(message: &str, call: &Call<'_>) -> Option<MissingRight> {
    let (_, rest) = message.split_once("User \"")?;
    let (user, rest) = rest.split_once("\" cannot ")?;
    let (verb, rest) = rest.split_once(" resource \"")?;
    let (resource, rest) = rest.split_once('"')?;
    let namespace = rest.split_once("in the namespace \"").and_then(|(_, rest)| rest.split_once('"'));
    // An API server that knows narrower rights to act as somebody (from 1.36 on) names one of those that it has tried first.
    if let Some(identity) = call.identity.filter(|_| verb.starts_with("impersonate")) {
        return Some(MissingRight {
            verb: "impersonate".to_owned(),
            resource: "serviceaccounts".to_owned(),
            namespace: identity.namespace.clone(),
            user: bounded(user),
        });
    }
    Some(MissingRight {
        verb: bounded(verb),
        resource: bounded(resource),
        namespace: namespace.map_or_else(|| call.namespace.to_owned(), |(namespace, _)| bounded(namespace)),
        user: bounded(user),
    })
}

/// The message in one line, at most 300 characters.
#[must_use]
pub fn bounded(message: &str) -> String {
    let mut text: String =
        message.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect();
    if message.chars().nth(LONGEST).is_some() {
        text.push('…');
    }
    text
}

/// An error and everything below it: kube's own text often says only that a service failed.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = error.source();
    }
    bounded(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn of(status: &Value) -> EffectError {
        let identity = Identity { namespace: "platform".into(), service_account: "otel".into() };
        let call = Call {
            verb: "patch",
            resource: "pods",
            namespace: "prod",
            name: "app-1",
            identity: Some(&identity),
        };
        let status: Status = serde_json::from_value(status.clone()).unwrap();
        effect_error(&kube::Error::Api(Box::new(status)), &call)
    }

    #[test]
    fn k11_k12_a_changed_world_is_outdated() {
        for status in [
            json!({"code": 404, "reason": "NotFound", "message": "pods \"app-1\" not found"}),
            json!({"code": 409, "reason": "Conflict", "message": "the object has been modified"}),
            json!({"code": 409, "reason": "AlreadyExists", "message": "exists"}),
            json!({"code": 422, "reason": "Invalid", "details": {},
                   "message": "the server rejected our request due to an error in our request"}),
            json!({"code": 403, "reason": "Forbidden", "message": "unable to create new content in namespace prod",
                   "details": {"causes": [{"reason": "NamespaceTerminating"}]}}),
        ] {
            assert!(matches!(of(&status), EffectError::Outdated(o) if o == "pods prod/app-1"), "{status}");
        }
    }

    #[test]
    fn a_missing_right_names_verb_resource_namespace_and_user() {
        let status = json!({"code": 403, "reason": "Forbidden", "message":
            "pods \"app-1\" is forbidden: User \"system:serviceaccount:platform:otel\" cannot patch resource \"pods\" \
             in API group \"\" in the namespace \"prod\""});
        let EffectError::Forbidden(right) = of(&status) else { panic!() };
        assert_eq!(
            right,
            MissingRight {
                verb: "patch".into(),
                resource: "pods".into(),
                namespace: "prod".into(),
                user: "system:serviceaccount:platform:otel".into()
            }
        );
    }

    #[test]
    fn a_missing_impersonation_is_the_controllers_own_missing_right() {
        for refused in [
            "serviceaccounts \"otel\" is forbidden: User \"system:serviceaccount:lockkeeper:lockkeeper\" cannot \
             impersonate resource \"serviceaccounts\" in API group \"\" in the namespace \"platform\"",
            // Kubernetes 1.36, which tried a right to act as somebody for this one request first.
            "pods \"app-1\" is forbidden: User \"system:serviceaccount:lockkeeper:lockkeeper\" cannot \
             impersonate-on:serviceaccount:patch resource \"pods\" in API group \"\" in the namespace \"prod\"",
        ] {
            let status = json!({"code": 403, "reason": "Forbidden", "message": refused});
            let EffectError::Forbidden(right) = of(&status) else { panic!() };
            assert_eq!((right.verb.as_str(), right.resource.as_str()), ("impersonate", "serviceaccounts"));
            assert_eq!(
                (right.namespace.as_str(), right.user.as_str()),
                ("platform", "system:serviceaccount:lockkeeper:lockkeeper")
            );
        }
    }

    #[test]
    fn k21_what_a_webhook_or_policy_refuses_keeps_its_words() {
        for status in [
            json!({"code": 403, "message": "admission webhook \"guard.example\" denied the request: not on Fridays"}),
            json!({"code": 422, "reason": "Invalid", "message": "ValidatingAdmissionPolicy 'p' denied request: not on Fridays",
                   "details": {"causes": [{"message": "not on Fridays"}]}}),
            json!({"code": 400, "message": "not on Fridays"}),
        ] {
            assert!(
                matches!(of(&status), EffectError::Refused { message, .. } if message.contains("not on Fridays")),
                "{status}"
            );
        }
        let long = json!({"code": 403, "message": format!("denied\n{}", "x".repeat(10_000))});
        let EffectError::Refused { message, .. } = of(&long) else { panic!() };
        assert!(message.chars().count() <= LONGEST + 1 && !message.contains('\n'));
    }

    #[test]
    fn a_server_in_trouble_is_unavailable() {
        for code in [401, 429, 500, 503, 504] {
            let status = json!({"code": code, "message": "later"});
            assert!(matches!(of(&status), EffectError::Unavailable { .. }), "{code}");
        }
    }
}
