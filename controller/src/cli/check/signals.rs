//! Whether the servers answer that policies have their signals measured by.
//!
//! Asked from here and as the person who asks: a server that only the cluster can reach is no fault, and said as such.

use super::{Finding, Health};
use crate::{
    cli::{Failure, cluster::Session},
    ports::signals::{Measure, SignalAccess, SignalSource},
    reconcile::secrets::access_of,
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt as _, api::ListParams};
use lockkeeper_api::{ImagePolicy, parse};
use std::collections::{BTreeMap, BTreeSet};

/// A server, and the Secret with which it is asked.
type Server = (String, Option<(String, String)>);

/// One finding for each server; none where no policy names one.
pub async fn look(session: &Session, source: &dyn SignalSource) -> Vec<Finding> {
    let everywhere: Api<ImagePolicy> = Api::all(session.client.clone());
    let policies = match session.answer(everywhere.list(&ListParams::default())).await {
        Ok(list) => list.items,
        Err(failure) => return vec![Finding::unknown("signals", &failure)],
    };
    let mut findings = Vec::new();
    for (server, users) in servers(&policies) {
        let access = match &server.1 {
            None => Ok(SignalAccess::default()),
            Some((namespace, name)) => access(session, namespace, name).await,
        };
        findings.push(match access {
            Ok(access) => ask(source, &server.0, &users, &access).await,
            Err(finding) => finding,
        });
    }
    findings
}

/// Every server once, with the policies that name it. What is wrong with a policy is said elsewhere.
pub fn servers(policies: &[ImagePolicy]) -> BTreeMap<Server, BTreeSet<String>> {
    let mut found: BTreeMap<Server, BTreeSet<String>> = BTreeMap::new();
    for policy in policies {
        let Ok(parsed) = parse(policy) else { continue };
        let user = format!("{}/{}", policy.namespace().unwrap_or_default(), policy.name_any());
        for signal in parsed.signals {
            let secret = signal.prometheus.secret.map(|name| (parsed.namespace.clone(), name));
            found.entry((signal.prometheus.address, secret)).or_default().insert(user.clone());
        }
    }
    found
}

async fn access(session: &Session, namespace: &str, name: &str) -> Result<SignalAccess, Finding> {
    let what = format!("Secret {namespace}/{name}");
    let secrets: Api<Secret> = Api::namespaced(session.client.clone(), namespace);
    let secret = session
        .answer(secrets.get(name))
        .await
        .map_err(|failure: Failure| Finding::unknown(&what, &failure))?;
    let values = secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect();
    access_of(&values)
        .map_err(|why| Finding::other(&what, Health::Bad, why, "correct the Secret of the signal"))
}

/// Asks for a number that every server knows.
pub async fn ask(
    source: &dyn SignalSource,
    address: &str,
    users: &BTreeSet<String>,
    access: &SignalAccess,
) -> Finding {
    let what = format!("signals from {address}");
    let users = users.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let measure = Measure { address, query: "vector(1)", at: Timestamp::now(), window: 60 };
    match source.measure(access, measure).await {
        Ok(Some(_)) => Finding::good(&what, format!("it answers; used by {users}")),
        Ok(None) => Finding::other(
            &what,
            Health::Bad,
            format!("it answers vector(1) with nothing; used by {users}"),
            "is this a server that speaks the Prometheus API?",
        ),
        Err(error) => Finding::other(
            &what,
            Health::Unknown,
            format!("{error}; used by {users}"),
            "if only the cluster can reach it, ask from there: kubectl exec deploy/lockkeeper -- lockkeeper check",
        ),
    }
}
