//! Whether the controller's ServiceAccount may do what it has to.

use super::{Finding, Health};
use crate::cli::{Failure, cluster::Session};
use futures::{StreamExt as _, stream};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::{Api, api::PostParams};
use lockkeeper_api::names::{CLUSTER_ROLE, PIN_AT_BIRTH};

/// Reviews at once.
const PARALLEL: usize = 8;

/// What pins pods at birth is made, changed and removed.
const KEPT: &[&str] = &["get", "create", "patch", "delete"];

/// Verbs, group, resource and, where only one object is meant, its name; in all namespaces: the rules of the chart's
/// `ClusterRole`.
pub const NEEDS: &[(&[&str], &str, &str, &str)] = &[
    (&["list", "watch"], "", "namespaces", ""),
    (&["list", "watch"], "", "nodes", ""),
    (&["list", "watch"], "", "pods", ""),
    (&["list", "watch"], "apps", "replicasets", ""),
    (&["list", "watch"], "apps", "deployments", ""),
    (&["list", "watch"], "apps", "statefulsets", ""),
    (&["list", "watch"], "apps", "daemonsets", ""),
    (&["list", "watch"], "batch", "cronjobs", ""),
    (&["list", "watch"], "batch", "jobs", ""),
    (&["list", "watch"], "policy", "poddisruptionbudgets", ""),
    (&["list", "watch"], "admissionregistration.k8s.io", "mutatingadmissionpolicies", ""),
    (&["list", "watch"], "admissionregistration.k8s.io", "mutatingadmissionpolicybindings", ""),
    (KEPT, "admissionregistration.k8s.io", "mutatingadmissionpolicies", PIN_AT_BIRTH),
    (KEPT, "admissionregistration.k8s.io", "mutatingadmissionpolicybindings", PIN_AT_BIRTH),
    (KEPT, "admissionregistration.k8s.io", "mutatingwebhookconfigurations", PIN_AT_BIRTH),
    (&["get"], "rbac.authorization.k8s.io", "clusterroles", CLUSTER_ROLE),
    (&["get", "list", "watch"], "lockkeeper.dev", "imagepolicies", ""),
    (&["update"], "lockkeeper.dev", "imagepolicies/status", ""),
    (&["update"], "lockkeeper.dev", "imagepins/status", ""),
    (&["get", "list", "watch", "patch", "delete"], "lockkeeper.dev", "imagepins", ""),
    (&["get", "list", "watch", "create"], "lockkeeper.dev", "quarantines", ""),
    (&["list", "watch"], "lockkeeper.dev", "interventions", ""),
    (&["create"], "events.k8s.io", "events", ""),
    (&["create"], "authorization.k8s.io", "subjectaccessreviews", ""),
];

/// What the election needs in the installation's namespace, and whether for the Lease of its name alone: the rules of the
/// chart's `Role`.
pub const NEEDS_OF_THE_ELECTION: &[(&[&str], &str, &str, bool)] = &[
    (&["create"], "coordination.k8s.io", "leases", false),
    (&["get", "update", "watch"], "coordination.k8s.io", "leases", true),
];

/// One right.
#[derive(Clone, Copy)]
struct Need<'a> {
    verb: &'a str,
    group: &'a str,
    resource: &'a str,
    /// None: in all of them.
    namespace: Option<&'a str>,
    /// None: of any name.
    name: Option<&'a str>,
}

fn needs<'a>(namespace: &'a str, lease: &'a str) -> Vec<Need<'a>> {
    let everywhere = NEEDS.iter().map(|(verbs, group, resource, name)| {
        (verbs, group, resource, None, Some(*name).filter(|name| !name.is_empty()))
    });
    let election = NEEDS_OF_THE_ELECTION.iter().map(|(verbs, group, resource, named)| {
        (verbs, group, resource, Some(namespace), named.then_some(lease))
    });
    everywhere
        .chain(election)
        .flat_map(|(verbs, group, resource, namespace, name)| {
            verbs.iter().map(move |verb| Need { verb, group, resource, namespace, name })
        })
        .collect()
}

/// Asks the API server for each of them.
pub async fn of_the_controller(session: &Session, namespace: &str, account: &str, lease: &str) -> Finding {
    let what = "rights";
    let user = format!("system:serviceaccount:{namespace}:{account}");
    let asked: Vec<_> =
        needs(namespace, lease).into_iter().map(|need| ask(session, &user, namespace, need)).collect();
    let count = asked.len();
    let answers: Vec<Result<Option<String>, Failure>> =
        stream::iter(asked).buffered(PARALLEL).collect().await;
    let mut missing = Vec::new();
    for answer in answers {
        match answer {
            Ok(right) => missing.extend(right),
            Err(failure) => return Finding::unknown(what, &failure),
        }
    }
    if missing.is_empty() {
        return Finding::good(
            what,
            format!("ServiceAccount {namespace}/{account} has all {count} rights it needs"),
        );
    }
    Finding::other(
        what,
        Health::Bad,
        format!("ServiceAccount {namespace}/{account} may not {}", missing.join(", ")),
        "install or upgrade the chart, which brings its roles; or name the account by --service-account",
    )
}

/// The right, if it is missing.
async fn ask(
    session: &Session,
    user: &str,
    namespace: &str,
    need: Need<'_>,
) -> Result<Option<String>, Failure> {
    let (verb, resource) = (need.verb, need.resource);
    let (plural, subresource) =
        resource.split_once('/').map_or((resource, None), |(plural, sub)| (plural, Some(sub)));
    let attributes = ResourceAttributes {
        verb: Some(verb.to_owned()),
        group: Some(need.group.to_owned()),
        resource: Some(plural.to_owned()),
        subresource: subresource.map(str::to_owned),
        namespace: need.namespace.map(str::to_owned),
        name: need.name.map(str::to_owned),
        ..ResourceAttributes::default()
    };
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(user.to_owned()),
            groups: Some(vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{namespace}"),
                "system:authenticated".to_owned(),
            ]),
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let api: Api<SubjectAccessReview> = Api::all(session.client.clone());
    let answer = session.answer(api.create(&PostParams::default(), &review)).await?;
    let allowed = answer.status.is_some_and(|status| status.allowed);
    Ok((!allowed).then(|| format!("{verb} {resource}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    type Right = (String, String, String);

    /// The rights of a role of the installation.
    fn granted(kind: &str, name: &str) -> BTreeSet<Right> {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/lockkeeper.yaml");
        let text = std::fs::read_to_string(file).unwrap();
        let objects: Vec<serde_json::Value> = serde_saphyr::from_multiple(&text).unwrap();
        let role = objects.iter().find(|o| o["kind"] == kind && o["metadata"]["name"] == name).unwrap();
        let texts = |value: &serde_json::Value| -> Vec<String> {
            value.as_array().into_iter().flatten().filter_map(|v| v.as_str()).map(str::to_owned).collect()
        };
        let mut granted = BTreeSet::new();
        for rule in role["rules"].as_array().unwrap() {
            for (group, resource) in texts(&rule["apiGroups"])
                .iter()
                .flat_map(|g| texts(&rule["resources"]).into_iter().map(move |r| (g.clone(), r)))
            {
                granted.extend(
                    texts(&rule["verbs"]).into_iter().map(|verb| (verb, group.clone(), resource.clone())),
                );
            }
        }
        granted
    }

    fn needed(in_a_namespace: bool) -> BTreeSet<Right> {
        needs("lockkeeper-system", "lockkeeper")
            .into_iter()
            .filter(|need| need.namespace.is_some() == in_a_namespace)
            .map(|need| (need.verb.to_owned(), need.group.to_owned(), need.resource.to_owned()))
            .collect()
    }

    /// What this asks for is what the installation grants, no more and no less.
    #[test]
    fn the_needs_are_the_rules_of_the_roles() {
        assert_eq!(needed(false), granted("ClusterRole", "lockkeeper-controller"));
        assert_eq!(needed(true), granted("Role", "lockkeeper-leader"));
    }
}
