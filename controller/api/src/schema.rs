//! Pieces of the schemas that appear more than once: CEL rules and their messages.
//!
//! Every rule is repeated by [`parse`](crate::parse): a policy may have been stored under an older schema.

use crate::bounds::{self, Bounds};
use serde_json::{Value, json};

/// One CEL rule with what people are told when it does not hold.
pub(crate) fn rule(rule: &str, message: &str) -> Value {
    json!({ "rule": rule, "message": message })
}

/// Rules of a repository.
pub(crate) fn repository() -> Value {
    json!([
        rule(
            "!self.contains('://')",
            "must not start with a scheme; write registry/path such as ghcr.io/example/app"
        ),
        rule(
            "!self.contains('@')",
            "must hold neither credentials nor a digest; write registry/path, put credentials into a Secret and \
             name it in registry.secretRef"
        ),
        rule(
            "!self.matches(':[^/\\\\]]*$')",
            "must not end in a tag; write registry/path and put what to follow into select"
        ),
        rule("self == self.lowerAscii()", "must be in lower case; write it as the registry does"),
        rule(
            "self.matches('^[!-~]*$')",
            "must not hold spaces, line breaks or characters outside ASCII; write registry/path"
        ),
    ])
}

/// Rules of a registry that is opened by the identity of a cloud.
pub(crate) fn provider() -> Value {
    let generic = "!has(self.provider) || self.provider == 'generic'";
    json!([
        rule(
            &format!("{generic} || !(has(self.secretRef) || has(self.pullSecretsFrom))"),
            "provider signs in by the ServiceAccount's identity, without a Secret; remove secretRef and pullSecretsFrom, or \
             provider"
        ),
        rule(
            &format!("{generic} || !has(self.insecure) || !self.insecure"),
            "a cloud's registry is never asked over plain HTTP; remove insecure or provider"
        ),
    ])
}

/// One mirror: a repository in a list.
pub(crate) fn mirror() -> Value {
    json!({
        "type": "string",
        "minLength": 1,
        "maxLength": bounds::REPOSITORY,
        "x-kubernetes-validations": repository(),
    })
}

/// The name of a stage, in a list.
pub(crate) fn stage_name() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": 63, "x-kubernetes-validations": label_name("stage") })
}

/// One of a few words, in a list.
pub(crate) fn words(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}

/// Rules of a repository that may not change.
pub(crate) fn immutable_repository() -> Value {
    let mut rules = repository();
    if let Some(rules) = rules.as_array_mut() {
        rules.push(rule(
            "self == oldSelf",
            "is immutable: verifications and pins belong to it; make another policy for another image",
        ));
    }
    rules
}

/// The rule of a duration.
pub(crate) fn duration(bounds: Bounds) -> Value {
    let Bounds { least, most } = bounds;
    json!([rule(
        &format!(
            "self.matches('^([0-9]{{1,5}}h)?([0-9]{{1,5}}m)?([0-9]{{1,5}}s)?$') && duration(self) >= duration('{least}') \
             && duration(self) <= duration('{most}')"
        ),
        &format!("must be a duration from {least} to {most} in h, m and s, such as 5m, 1h30m or 72h"),
    )])
}

/// The rule of the name of an object that lies in the policy's own namespace.
pub(crate) fn own_object(kind: &str) -> Value {
    json!([rule(
        "self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",
        &format!(
            "must be the name of a {kind} in the policy's own namespace: lower-case letters, digits, - and ., no \
             slash, no colon, no other namespace"
        ),
    )])
}

/// The rule of a name that is a DNS label: a stage, a namespace, a container.
pub(crate) fn label_name(what: &str) -> Value {
    json!([rule(
        "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        &format!(
            "must be the name of a {what}: lower-case letters, digits and -, starting and ending with a letter or digit"
        ),
    )])
}
