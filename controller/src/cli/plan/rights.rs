//! The rights that the policy's ServiceAccount would need, and lacks.

use crate::{
    kubernetes::WorkloadKind,
    ports::{Identity, Rights},
};
use futures::{StreamExt as _, stream};
use lockkeeper_core::policy::{Movement, Target};
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
    /// What happens without it, where the stage can do without.
    without: &'static str,
}

/// What is missing, as sentences. `reach` is each stage's targets and the namespaces that they reach.
pub async fn missing(
    rights: &dyn Rights,
    identity: &Identity,
    reach: &[(&[Target], BTreeSet<&str>)],
    kinds: &[WorkloadKind],
) -> Vec<String> {
    let asked: Vec<_> = needs(reach, kinds).into_iter().map(|need| ask(rights, identity, need)).collect();
    let answers: Vec<Option<String>> = stream::iter(asked).buffered(PARALLEL).collect().await;
    answers.into_iter().flatten().collect()
}

async fn ask(rights: &dyn Rights, identity: &Identity, need: Need) -> Option<String> {
    let account = format!("ServiceAccount {}/{}", identity.namespace, identity.service_account);
    let Need { verb, group, resource, namespace, without } = need;
    let shown = if group.is_empty() { resource.clone() } else { format!("{resource}.{group}") };
    match rights.may(identity, verb, &group, &resource, &namespace).await {
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
                needs.insert(Need { verb, group, resource, namespace: (*namespace).to_owned(), without });
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::EffectError;
    use futures::future::BoxFuture;

    struct Only(&'static [&'static str]);

    impl Rights for Only {
        fn may<'a>(
            &'a self,
            _: &'a Identity,
            verb: &'a str,
            group: &'a str,
            resource: &'a str,
            namespace: &'a str,
        ) -> BoxFuture<'a, Result<bool, EffectError>> {
            let asked = format!("{verb} {resource}.{group} {namespace}");
            Box::pin(async move { Ok(self.0.contains(&asked.as_str())) })
        }
    }

    fn targets() -> Vec<Target> {
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
            },
        });
        let policy = lockkeeper_api::parse(&serde_json::from_value(object).unwrap()).unwrap();
        policy.stages[0].targets.clone()
    }

    #[tokio::test]
    async fn each_missing_right_names_verb_resource_namespace_and_account() {
        let targets = targets();
        let reach =
            [(targets.as_slice(), BTreeSet::from(["prod"])), (targets.as_slice(), BTreeSet::from(["prod"]))];
        let identity = Identity { namespace: "platform".into(), service_account: "promoter".into() };
        let granted = Only(&[
            "create imagepins.lockkeeper.dev prod",
            "update imagepins.lockkeeper.dev prod",
            "patch pods. prod",
        ]);
        let missing = missing(&granted, &identity, &reach, &WorkloadKind::builtin()).await;
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
}
