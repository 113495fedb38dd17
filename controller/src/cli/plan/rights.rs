//! The rights that the policy's ServiceAccount would need, and lacks.

use crate::{
    kubernetes::WorkloadKind,
    ports::{Identity, Rights},
};
use futures::{StreamExt as _, stream};
use lockkeeper_core::{
    policy::{Movement, Target},
    signals::{Server, Signal},
};
use std::collections::BTreeSet;

/// What becomes of a `git` target whose pods may not be moved.
const NO_WAVES: &str = "; without it a release is committed with no waves on running pods before";
/// Reviews at once.
const PARALLEL: usize = 8;

/// One right, asked for once however many stages need it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Need {
    verb: &'static str,
    group: String,
    resource: String,
    namespace: String,
    /// One object; all of the namespace without it.
    name: String,
    /// What happens without it, where the stage can do without.
    without: &'static str,
}

/// What is missing, as sentences. `reach` is each stage's targets and the namespaces that they reach; `signals` are asked in
/// the account's own namespace.
pub async fn missing(
    rights: &dyn Rights,
    identity: &Identity,
    reach: &[(&[Target], BTreeSet<&str>)],
    signals: &[&Signal],
    kinds: &[WorkloadKind],
) -> Vec<String> {
    let mut needs = needs(reach, kinds);
    needs.extend(signals.iter().flat_map(|signal| needs_of_signal(signal, &identity.namespace)));
    let asked: Vec<_> = needs.into_iter().map(|need| ask(rights, identity, need)).collect();
    let answers: Vec<Option<String>> = stream::iter(asked).buffered(PARALLEL).collect().await;
    answers.into_iter().flatten().collect()
}

async fn ask(rights: &dyn Rights, identity: &Identity, need: Need) -> Option<String> {
    let account = format!("ServiceAccount {}/{}", identity.namespace, identity.service_account);
    let Need { verb, group, resource, namespace, name, without } = need;
    let of = if group.is_empty() { resource.clone() } else { format!("{resource}.{group}") };
    let shown = if name.is_empty() { of } else { format!("{of} {name}") };
    match rights.may(identity, verb, &group, &resource, &namespace, &name).await {
        Ok(true) => None,
        Ok(false) => Some(format!(
            "{account} may not {verb} {shown} in namespace {namespace}; grant it by a Role and a RoleBinding there{without}"
        )),
        Err(error) => {
            Some(format!("whether {account} may {verb} {shown} in {namespace} is not known: {error}"))
        }
    }
}

fn needs(reach: &[(&[Target], BTreeSet<&str>)], kinds: &[WorkloadKind]) -> BTreeSet<Need> {
    let mut needs = BTreeSet::new();
    for (targets, namespaces) in reach {
        for namespace in namespaces {
            let mut need = |verb, group: &str, resource: &str, without| {
                let (group, resource) = (group.to_owned(), resource.to_owned());
                let (namespace, name) = ((*namespace).to_owned(), String::new());
                needs.insert(Need { verb, group, resource, namespace, name, without });
            };
            for target in *targets {
                match target {
                    Target::Pods(target) => {
                        for verb in ["create", "update", "delete"] {
                            need(verb, lockkeeper_api::names::GROUP, "imagepins", "");
                        }
                        if target.movement == Movement::InPlace {
                            need("patch", "", "pods", "");
                        }
                    }
                    // What applies the files has rights of its own.
                    Target::Git(_) => need("patch", "", "pods", NO_WAVES),
                    Target::Workloads(target) => {
                        need("patch", "", "pods", "");
                        let named = |kind: &&WorkloadKind| target.kinds.iter().any(|name| kind.is(name));
                        for kind in kinds.iter().filter(named) {
                            need("patch", &kind.group, &kind.plural, "");
                        }
                    }
                }
            }
        }
    }
    needs
}

/// A Job is made from its `CronJob` and looked at; a Secret is read.
fn needs_of_signal(signal: &Signal, namespace: &str) -> Vec<Need> {
    const WITHOUT: &str = "; without it the signal has no data, and the soak's clock stands still";
    let need = |verb, group: &str, resource: &str, name: &str| Need {
        verb,
        group: group.to_owned(),
        resource: resource.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        without: WITHOUT,
    };
    let secret = signal.source.secret.iter().map(|secret| need("get", "", "secrets", secret));
    let mut needs: Vec<Need> = secret.collect();
    if let Server::Job(job) = &signal.source.server {
        needs.push(need("get", "batch", "cronjobs", &job.from));
        needs.extend(["get", "create"].map(|verb| need(verb, "batch", "jobs", "")));
    }
    needs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::EffectError;
    use futures::future::BoxFuture;
    use lockkeeper_core::policy::Policy;

    struct Only(&'static [&'static str]);

    impl Rights for Only {
        fn may<'a>(
            &'a self,
            _: &'a Identity,
            verb: &'a str,
            group: &'a str,
            resource: &'a str,
            namespace: &'a str,
            name: &'a str,
        ) -> BoxFuture<'a, Result<bool, EffectError>> {
            let asked = format!("{verb} {resource}.{group} {namespace} {name}");
            Box::pin(async move { Ok(self.0.contains(&asked.trim_end())) })
        }
    }

    fn policy() -> Policy {
        let object = serde_json::json!({
            "apiVersion": "lockkeeper.dev/v1alpha1", "kind": "ImagePolicy",
            "metadata": {"name": "otel", "namespace": "platform"},
            "spec": {
                "image": "registry.example.com/otel",
                "select": {"semver": {"range": "*"}},
                "stages": [{"name": "dev", "targets": [
                    {"pods": {"selector": {"matchLabels": {"app": "a"}}}},
                    {"workloads": {"selector": {"matchLabels": {"app": "b"}}, "kinds": ["CronJob"]}},
                ]}],
                "health": {"signals": [
                    {"name": "smoke", "job": {"from": "smoke-test"}},
                    {"name": "p95", "prometheus": {
                        "address": "http://prometheus:9090", "query": "x{pod=~'$(pods)'}", "secretRef": {"name": "mimir"},
                    }},
                ]},
            },
        });
        lockkeeper_api::parse(&serde_json::from_value(object).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn each_missing_right_names_verb_resource_namespace_and_account() {
        let targets = policy().stages[0].targets.clone();
        let reach =
            [(targets.as_slice(), BTreeSet::from(["prod"])), (targets.as_slice(), BTreeSet::from(["prod"]))];
        let identity = Identity { namespace: "platform".into(), service_account: "promoter".into() };
        let granted = Only(&[
            "create imagepins.lockkeeper.dev prod",
            "update imagepins.lockkeeper.dev prod",
            "patch pods. prod",
        ]);
        let missing = missing(&granted, &identity, &reach, &[], &WorkloadKind::builtin()).await;
        let account = "ServiceAccount platform/promoter may not";
        let fix = "in namespace prod; grant it by a Role and a RoleBinding there";
        assert_eq!(
            missing,
            [
                format!("{account} delete imagepins.lockkeeper.dev {fix}"),
                format!("{account} patch cronjobs.batch {fix}"),
            ]
        );
    }

    #[tokio::test]
    async fn what_signals_need_is_asked_for_by_name_in_the_namespace_of_the_policy() {
        let policy = policy();
        let identity = Identity { namespace: "platform".into(), service_account: "promoter".into() };
        let signals: Vec<&Signal> = policy.signals.iter().collect();
        let granted = Only(&["get cronjobs.batch platform smoke-test", "get jobs.batch platform"]);
        let missing = missing(&granted, &identity, &[], &signals, &[]).await;
        let (account, fix) = (
            "ServiceAccount platform/promoter may not",
            "in namespace platform; grant it by a Role and a RoleBinding there; without it the signal has no data, and \
             the soak's clock stands still",
        );
        assert_eq!(
            missing,
            [format!("{account} create jobs.batch {fix}"), format!("{account} get secrets mimir {fix}")]
        );
    }
}
