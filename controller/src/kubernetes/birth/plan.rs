//! Which objects pin pods at birth here, and what has to be written so that they do.
//!
//! Guarantees: the policy and its binding where the API server serves their kind, else the webhook; never a moment with
//! neither: what comes is made before what goes is removed, and the webhook goes only once the policy has stood for a
//! while (of several API servers, some may still be older). Nothing is written that is so already.
//! Pure.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::certificates::Certificates;

/// A version in which the API server may serve the policy; better ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// v1, since Kubernetes 1.36.
    V1,
    /// v1beta1, since 1.34 where it is switched on.
    V1beta1,
}

impl Version {
    /// As it is in a path.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V1beta1 => "v1beta1",
        }
    }
}

/// An object that this is about; each has one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing {
    /// The `MutatingAdmissionPolicy`.
    Policy,
    /// Its binding.
    Binding,
    /// The `MutatingWebhookConfiguration`.
    Webhook,
    /// The Secret with the webhook's certificates.
    Secret,
}

/// How the objects are to be, as the installation's `ConfigMap` says: without apiVersion and owner.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Given {
    /// None: pods are not pinned at birth here.
    pub objects: Option<Objects>,
}

/// The objects of an installation that pins pods at birth.
#[derive(Clone, Debug, PartialEq)]
pub struct Objects {
    /// The policy.
    pub policy: Value,
    /// Its binding.
    pub binding: Value,
    /// The webhook; none: this installation has none.
    pub webhook: Option<Value>,
}

/// What there is.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// In which version the API server serves the policy.
    pub served: Option<Version>,
    /// The policy.
    pub policy: Option<Value>,
    /// Its binding.
    pub binding: Option<Value>,
    /// The webhook.
    pub webhook: Option<Value>,
    /// The Secret, and what is in it.
    pub secret: Option<Value>,
    /// What the Secret holds.
    pub certificates: Certificates,
}

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Make it so: server-side apply.
    Apply(Thing, Value),
    /// Remove this very object.
    Remove(Thing, Value),
}

/// The certificates could not be made.
#[derive(Debug, thiserror::Error)]
#[error("no certificate for the webhook could be made: {0}")]
pub struct NoCertificate(#[from] rcgen::Error);

/// What is to be written now, in this order; each only after the one before it is done. `owner` is what goes with the
/// installation; `settled` says that policy and binding have been found for a while.
pub fn steps(
    given: &Given,
    found: &Found,
    owner: &Value,
    settled: bool,
    now: Timestamp,
) -> Result<Vec<Step>, NoCertificate> {
    let Some(objects) = &given.objects else { return Ok(removed(found)) };
    let mut steps = Vec::new();
    if let Some(version) = found.served {
        let version = format!("admissionregistration.k8s.io/{}", version.name());
        for (thing, wanted, there) in [
            (Thing::Policy, &objects.policy, &found.policy),
            (Thing::Binding, &objects.binding, &found.binding),
        ] {
            apply(&mut steps, thing, owned(wanted, &version, owner), there.as_ref());
        }
        if let Some(webhook) = found.webhook.as_ref().filter(|_| settled && steps.is_empty()) {
            steps.push(Step::Remove(Thing::Webhook, webhook.clone()));
        }
        return Ok(steps);
    }
    let Some(webhook) = &objects.webhook else { return Ok(steps) };
    let certificates = certificates(&mut steps, webhook, found, owner, now)?;
    let mut wanted = owned(webhook, "admissionregistration.k8s.io/v1", owner);
    let bundle = base64(&certificates.bundle());
    for hook in wanted["webhooks"].as_array_mut().into_iter().flatten() {
        hook["clientConfig"]["caBundle"] = json!(bundle);
    }
    apply(&mut steps, Thing::Webhook, wanted, found.webhook.as_ref());
    Ok(steps)
}

/// Nothing pins pods: what was made goes.
fn removed(found: &Found) -> Vec<Step> {
    let served = found.served.is_some();
    let all = [
        (Thing::Webhook, found.webhook.as_ref()),
        (Thing::Binding, found.binding.as_ref().filter(|_| served)),
        (Thing::Policy, found.policy.as_ref().filter(|_| served)),
    ];
    // Only what says that it is ours: somebody without this controller may have put a policy of that name there.
    let ours = |object: &&Value| object["metadata"]["labels"]["app.kubernetes.io/name"] == "lockkeeper";
    all.into_iter()
        .filter_map(|(thing, there)| Some(Step::Remove(thing, there.filter(ours)?.clone())))
        .collect()
}

/// The certificates as they will be, with a step that stores them where they have to change.
fn certificates(
    steps: &mut Vec<Step>,
    webhook: &Value,
    found: &Found,
    owner: &Value,
    now: Timestamp,
) -> Result<Certificates, NoCertificate> {
    let service = &webhook["webhooks"][0]["clientConfig"]["service"];
    let text = |field: &str| service[field].as_str().unwrap_or_default();
    let name = format!("{}.{}.svc", text("name"), text("namespace"));
    let Some(due) = found.certificates.due(&name, now)? else { return Ok(found.certificates.clone()) };
    let data: Map<String, Value> =
        due.data().into_iter().map(|(key, text)| (key, json!(base64(&text)))).collect();
    let mut secret = owned(&json!({"kind": "Secret", "type": "Opaque", "data": data}), "v1", owner);
    secret["metadata"]["name"] = json!(lockkeeper_api::names::WEBHOOK);
    secret["metadata"]["namespace"] = json!(text("namespace"));
    if let Some(version) = found.secret.as_ref().map(|there| &there["metadata"]["resourceVersion"]) {
        // Not over what somebody else has stored meanwhile.
        secret["metadata"]["resourceVersion"] = version.clone();
    }
    steps.push(Step::Apply(Thing::Secret, secret));
    Ok(due)
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// It is compared in the version that was read.
fn apply(steps: &mut Vec<Step>, thing: Thing, wanted: Value, there: Option<&Value>) {
    let mut compared = wanted.clone();
    if let (Some(fields), Some(there)) = (compared.as_object_mut(), there) {
        fields.retain(|name, _| name != "apiVersion" && name != "kind");
        if holds(there, &compared) {
            return;
        }
    }
    steps.push(Step::Apply(thing, wanted));
}

/// With its apiVersion, and the owner with which it goes.
fn owned(object: &Value, version: &str, owner: &Value) -> Value {
    let mut object = object.clone();
    object["apiVersion"] = json!(version);
    object["metadata"]["ownerReferences"] = json!([owner]);
    object
}

/// Whether an object says all that is wanted; the API server fills in more.
#[must_use]
pub fn holds(there: &Value, wanted: &Value) -> bool {
    match (there, wanted) {
        (Value::Object(there), Value::Object(wanted)) => {
            wanted.iter().all(|(name, wanted)| match there.get(name) {
                Some(there) => holds(there, wanted),
                // What is empty is not stored.
                None => is_empty(wanted),
            })
        }
        (Value::Array(there), Value::Array(wanted)) => {
            there.len() == wanted.len()
                && there.iter().zip(wanted).all(|(there, wanted)| holds(there, wanted))
        }
        (there, wanted) => there == wanted,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.values().all(is_empty),
        Value::Array(list) => list.is_empty(),
        Value::Null => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn given() -> Given {
        let labels = json!({"app.kubernetes.io/name": "lockkeeper"});
        let service = json!({"name": "lockkeeper-webhook", "namespace": "lockkeeper-system", "port": 443});
        let object = |mut rest: Value| {
            rest["metadata"] = json!({"name": "lockkeeper-pin-at-birth", "labels": labels});
            rest
        };
        Given {
            objects: Some(Objects {
                policy: object(json!({"spec": {"failurePolicy": "Ignore"}})),
                binding: object(
                    json!({"spec": {"policyName": "lockkeeper-pin-at-birth", "paramRef": {"selector": {}}}}),
                ),
                webhook: Some(object(
                    json!({"webhooks": [{"name": "w", "clientConfig": {"service": service}}]}),
                )),
            }),
        }
    }

    fn owner() -> Value {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "name": "c", "uid": "u"})
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_763_800_000).unwrap()
    }

    /// An API server that does as it is told, one step after the other.
    fn done(found: &mut Found, steps: &[Step]) {
        for step in steps {
            let (thing, object) = match step {
                Step::Apply(thing, object) => (thing, Some(object.clone())),
                Step::Remove(thing, _) => (thing, None),
            };
            match thing {
                Thing::Policy => found.policy = object,
                Thing::Binding => found.binding = object,
                Thing::Webhook => found.webhook = object,
                Thing::Secret => {
                    use base64::Engine as _;
                    let decode = |text: &str| base64::engine::general_purpose::STANDARD.decode(text).unwrap();
                    let data = object.as_ref().unwrap()["data"].as_object().unwrap();
                    let data: BTreeMap<String, Vec<u8>> = data
                        .iter()
                        .map(|(key, text)| (key.clone(), decode(text.as_str().unwrap())))
                        .collect();
                    found.certificates = Certificates::read(&data);
                    found.secret = object;
                }
            }
        }
    }

    fn things(steps: &[Step]) -> Vec<(&'static str, Thing)> {
        let of = |step: &Step| match step {
            Step::Apply(thing, _) => ("apply", *thing),
            Step::Remove(thing, _) => ("remove", *thing),
        };
        steps.iter().map(of).collect()
    }

    #[test]
    fn the_policy_where_it_is_served_else_the_webhook_and_then_nothing_more() {
        for (served, version, wanted) in [
            (
                Some(Version::V1),
                "admissionregistration.k8s.io/v1",
                vec![("apply", Thing::Policy), ("apply", Thing::Binding)],
            ),
            (
                Some(Version::V1beta1),
                "admissionregistration.k8s.io/v1beta1",
                vec![("apply", Thing::Policy), ("apply", Thing::Binding)],
            ),
            (None, "v1", vec![("apply", Thing::Secret), ("apply", Thing::Webhook)]),
        ] {
            let mut found = Found { served, ..Found::default() };
            let first = steps(&given(), &found, &owner(), false, now()).unwrap();
            assert_eq!(things(&first), wanted);
            let Step::Apply(_, object) = &first[0] else { panic!() };
            assert_eq!(object["apiVersion"], version);
            assert_eq!(
                object["metadata"]["ownerReferences"],
                json!([owner()]),
                "it goes with the installation"
            );
            done(&mut found, &first);
            assert_eq!(steps(&given(), &found, &owner(), false, now()).unwrap(), []);
        }
    }

    /// The API server is upgraded, and back: at no step is there neither, and the webhook goes late.
    #[test]
    fn what_comes_is_there_before_what_goes_is_gone() {
        let mut found = Found::default();
        let (mut steady, mut seen) = (0, Vec::new());
        for served in [
            None,
            None,
            Some(Version::V1),
            None,
            Some(Version::V1),
            Some(Version::V1),
            Some(Version::V1),
            Some(Version::V1),
        ] {
            found.served = served;
            let stands = served.is_some() && found.policy.is_some() && found.binding.is_some();
            steady = if stands { steady + 1 } else { 0 };
            for step in steps(&given(), &found, &owner(), steady >= 3, now()).unwrap() {
                done(&mut found, std::slice::from_ref(&step));
                let policy = served.is_some() && found.policy.is_some() && found.binding.is_some();
                let first = seen.is_empty();
                assert!(policy || found.webhook.is_some() || first, "neither, after {step:?}");
                seen.push(things(&[step])[0]);
            }
        }
        assert_eq!(
            seen,
            [
                ("apply", Thing::Secret),
                ("apply", Thing::Webhook),
                ("apply", Thing::Policy),
                ("apply", Thing::Binding),
                ("remove", Thing::Webhook),
            ]
        );
        assert_eq!(steady, 4, "it went at the third look in a row, not at the first");
    }

    #[test]
    fn the_bundle_follows_the_secret() {
        let mut found = Found::default();
        let first = steps(&given(), &found, &owner(), false, now()).unwrap();
        done(&mut found, &first);
        let later = now() + jiff::SignedDuration::from_hours(61 * 24);
        let rotated = steps(&given(), &found, &owner(), false, later).unwrap();
        assert_eq!(things(&rotated), [("apply", Thing::Secret), ("apply", Thing::Webhook)]);
        done(&mut found, &rotated);
        let bundle = found.webhook.as_ref().unwrap()["webhooks"][0]["clientConfig"]["caBundle"].clone();
        assert_eq!(bundle, json!(base64(&found.certificates.bundle())));
        assert_eq!(steps(&given(), &found, &owner(), false, later).unwrap(), []);
        // Somebody changes what it is believed by.
        found.webhook.as_mut().unwrap()["webhooks"][0]["clientConfig"]["caBundle"] = json!("AA==");
        assert_eq!(
            things(&steps(&given(), &found, &owner(), false, later).unwrap()),
            [("apply", Thing::Webhook)]
        );
    }

    #[test]
    fn switched_off_only_what_is_ours_goes() {
        let mut found = Found { served: Some(Version::V1), ..Found::default() };
        let first = steps(&given(), &found, &owner(), false, now()).unwrap();
        done(&mut found, &first);
        let gone = steps(&Given::default(), &found, &owner(), false, now()).unwrap();
        assert_eq!(things(&gone), [("remove", Thing::Binding), ("remove", Thing::Policy)]);
        found.policy.as_mut().unwrap()["metadata"]["labels"] = json!({});
        let gone = steps(&Given::default(), &found, &owner(), false, now()).unwrap();
        assert_eq!(things(&gone), [("remove", Thing::Binding)]);
    }

    #[test]
    fn an_object_holds_what_is_wanted_and_may_say_more() {
        let there = json!({"a": [{"x": 1, "default": 2}], "b": "c", "more": true});
        assert!(holds(&there, &json!({"a": [{"x": 1}], "b": "c", "empty": {}})));
        for wanted in
            [json!({"a": [{"x": 2}]}), json!({"a": []}), json!({"a": [{"x": 1}, {}]}), json!({"d": 1})]
        {
            assert!(!holds(&there, &wanted), "{wanted}");
        }
    }
}
