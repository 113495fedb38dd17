//! Whether somebody may do something, asked of the API server's own authorizer.

use super::{
    Kubernetes,
    effects::{body, post},
    failure::Call,
};
use crate::ports::{EffectError, Identity};
use kube::core::Request as Urls;
use serde_json::{Value, json};

impl Kubernetes {
    pub(super) async fn allowed(
        &self,
        identity: &Identity,
        [verb, group, resource, namespace, name]: [&str; 5],
    ) -> Result<bool, EffectError> {
        let (plural, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let mut attributes = json!({
            "verb": verb, "group": group, "resource": plural, "subresource": subresource, "namespace": namespace,
            "name": name,
        });
        // To act as a ServiceAccount is the controller's own right.
        let (kind, review) = if verb == "impersonate" {
            attributes["name"] = json!(identity.service_account);
            ("selfsubjectaccessreviews", json!({"resourceAttributes": attributes}))
        } else {
            let (user, groups) = (identity.user(), identity.groups());
            (
                "subjectaccessreviews",
                json!({"resourceAttributes": attributes, "user": user, "groups": groups}),
            )
        };
        let call = Call { verb: "create", resource: kind, namespace, name: "", identity: None };
        let object = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": if kind.starts_with("self") { "SelfSubjectAccessReview" } else { "SubjectAccessReview" },
            "spec": review,
        });
        let urls = Urls::new(format!("/apis/authorization.k8s.io/v1/{kind}"));
        let text = self.caller.read(&call, body(&object).and_then(|b| urls.create(&post(), b))).await?;
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        answer.pointer("/status/allowed").and_then(Value::as_bool).ok_or_else(|| EffectError::Unavailable {
            object: call.object(),
            message: "the API server gave no answer".to_owned(),
        })
    }
}
