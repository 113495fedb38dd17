//! Whether the controller may act as the `ServiceAccounts` of the policies, and whether these may write what the policies
//! target.
//!
//! Guarantees: asks the API server's own authorizer, as the controller would be asked; of policies that write nothing
//! (`mode: Observe`, `suspend: true`) nothing is asked.

use super::{Finding, Health, reviews::Reviews};
use crate::{
    cli::{Failure, cluster::Session, plan::rights},
    kubernetes::WorkloadKind,
    ports::{Identity, Rights as _},
};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt as _, api::ListParams};
use lockkeeper_api::ImagePolicy;
use lockkeeper_core::{
    policy::{Mode, Namespaces, Policy, Target},
    signals::Signal,
};
use std::collections::{BTreeMap, BTreeSet};

const WHAT: &str = "accounts";

/// Labels of all namespaces.
type Labels = BTreeMap<String, BTreeMap<String, String>>;

/// One finding for each account that something is missing for, one for all others.
pub async fn look(session: &Session, reviews: &Reviews) -> Vec<Finding> {
    judge(session, reviews).await.unwrap_or_else(|failure| vec![Finding::unknown(WHAT, &failure)])
}

async fn judge(session: &Session, reviews: &Reviews) -> Result<Vec<Finding>, Failure> {
    let everywhere: Api<ImagePolicy> = Api::all(session.client.clone());
    let policies = session.answer(everywhere.list(&ListParams::default())).await?.items;
    let writing: Vec<(Identity, Policy)> = policies.iter().filter_map(writes).collect();
    let api: Api<Namespace> = Api::all(session.client.clone());
    let namespaces = session.answer(api.list(&ListParams::default())).await?.items;
    let labels: Labels =
        namespaces.into_iter().map(|one| (one.name_any(), one.metadata.labels.unwrap_or_default())).collect();
    let mut by_account: BTreeMap<(&str, &str), Vec<&Policy>> = BTreeMap::new();
    for (identity, policy) in &writing {
        let account = (identity.namespace.as_str(), identity.service_account.as_str());
        by_account.entry(account).or_default().push(policy);
    }
    let (all, mut findings) = (by_account.len(), Vec::new());
    for ((namespace, name), policies) in by_account {
        let identity = Identity { namespace: namespace.to_owned(), service_account: name.to_owned() };
        findings.extend(account(reviews, &identity, &policies, &labels).await?);
    }
    let good = all - findings.len();
    let message = match (all, good) {
        (0, _) => "no policy writes anything".to_owned(),
        (all, good) => format!("{good} of {all} may be acted as, and may write what their policies target"),
    };
    findings.insert(0, Finding::good(WHAT, message));
    Ok(findings)
}

/// Who writes for it, if it writes and can be understood; what cannot be is said elsewhere.
fn writes(object: &ImagePolicy) -> Option<(Identity, Policy)> {
    let policy = lockkeeper_api::parse(object).ok()?;
    let identity = Identity {
        namespace: policy.namespace.clone(),
        service_account: object.spec.service_account_name.clone().unwrap_or_else(|| "default".to_owned()),
    };
    (policy.mode == Mode::Enforce && !policy.suspend).then_some((identity, policy))
}

async fn account(
    reviews: &Reviews,
    identity: &Identity,
    policies: &[&Policy],
    labels: &Labels,
) -> Result<Option<Finding>, Failure> {
    let Identity { namespace, service_account } = identity;
    let what = format!("account {namespace}/{service_account}");
    let bad = |message: String, then: &str| Some(Finding::other(&what, Health::Bad, message, then));
    let may = reviews.may(identity, "impersonate", "", "serviceaccounts", namespace, "").await;
    if !may.map_err(|error| Failure::Failed(error.to_string()))? {
        let message =
            format!("the controller may not act as it, so nothing is written for {}", names(policies));
        return Ok(bad(message, "add its namespace to the chart's rbac.impersonateIn"));
    }
    let stages = policies.iter().flat_map(|policy| {
        policy.stages.iter().map(|stage| (stage.targets.as_slice(), reached(policy, &stage.targets, labels)))
    });
    let reach: Vec<(&[Target], BTreeSet<&str>)> = stages.collect();
    let signals: Vec<&Signal> = policies.iter().flat_map(|policy| &policy.signals).collect();
    let missing = rights::missing(reviews, identity, &reach, &signals, &WorkloadKind::builtin()).await;
    if missing.is_empty() {
        return Ok(None);
    }
    Ok(bad(missing.join("; "), "`lockkeeper plan` says the same of one policy, and what it would write"))
}

fn names(policies: &[&Policy]) -> String {
    policies.iter().map(|policy| policy.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// The namespaces that are there, of those that a stage reaches into.
fn reached<'l>(policy: &Policy, targets: &[Target], labels: &'l Labels) -> BTreeSet<&'l str> {
    let into = |namespaces: &Namespaces, name: &String, has: &BTreeMap<String, String>| match namespaces {
        Namespaces::Own => *name == policy.namespace,
        Namespaces::Named(names) => names.contains(name),
        Namespaces::Matching(wanted) => wanted.iter().all(|(key, value)| has.get(key) == Some(value)),
    };
    let by = |name: &String, has: &BTreeMap<String, String>| {
        targets.iter().any(|target| into(target.namespaces(), name, has))
    };
    labels.iter().filter(|(name, has)| by(name, has)).map(|(name, _)| name.as_str()).collect()
}
