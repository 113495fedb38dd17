//! What the API server's own authorizer says of the controller, and of those it acts as.

use crate::{
    cli::{Failure, cluster::Session},
    ports::{EffectError, Identity, Rights},
};
use futures::future::BoxFuture;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::{Api, api::PostParams};

/// Asks the API server's authorizer, of the controller or of those it acts as.
pub struct Reviews {
    pub session: Session,
    /// The controller's `ServiceAccount`.
    pub controller: Identity,
}

impl Reviews {
    async fn ask(&self, who: &Identity, attributes: ResourceAttributes) -> Result<bool, Failure> {
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(who.user()),
                groups: Some(who.groups().into()),
                resource_attributes: Some(attributes),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let api: Api<SubjectAccessReview> = Api::all(self.session.client.clone());
        let answer = self.session.answer(api.create(&PostParams::default(), &review)).await?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }
}

impl Rights for Reviews {
    fn may<'a>(
        &'a self,
        identity: &'a Identity,
        verb: &'a str,
        group: &'a str,
        resource: &'a str,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<bool, EffectError>> {
        Box::pin(async move {
            let mut asked = attributes(verb, group, resource);
            asked.namespace = Some(namespace.to_owned());
            asked.name = (!name.is_empty()).then(|| name.to_owned());
            // To act as a ServiceAccount is the controller's own right.
            let who = if verb == "impersonate" {
                asked.name = Some(identity.service_account.clone());
                &self.controller
            } else {
                identity
            };
            self.ask(who, asked).await.map_err(|failure| EffectError::Unavailable {
                object: format!("the review of {verb} {resource} in {namespace}"),
                message: failure.end().1.unwrap_or("no answer").to_owned(),
            })
        })
    }
}

fn attributes(verb: &str, group: &str, resource: &str) -> ResourceAttributes {
    let (name, subresource) =
        resource.split_once('/').map_or((resource, None), |(name, sub)| (name, Some(sub)));
    ResourceAttributes {
        verb: Some(verb.to_owned()),
        group: Some(group.to_owned()),
        resource: Some(name.to_owned()),
        subresource: subresource.map(str::to_owned),
        ..ResourceAttributes::default()
    }
}
