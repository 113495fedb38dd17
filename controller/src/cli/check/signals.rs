//! Whether the Prometheus servers answer that policies have their signals measured by.
//!
//! Others are not asked: a webhook would judge, and what clouds and vendors are asked costs money or needs an identity that
//! only the controller can ask for.
//!
//! Asked from here and as the person who asks: a server that only the cluster can reach is no fault, and said as such.

use super::{Finding, Health};
use crate::{
    cli::{Failure, cluster::Session},
    ports::{
        Identity,
        signals::{Measure, SignalAccess, SignalSource},
    },
    reconcile::secrets::access_of,
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt as _, api::ListParams};
use lockkeeper_api::{ImagePolicy, parse};
use lockkeeper_core::signals;
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

/// Every server that speaks the Prometheus API once, with the policies that name it. What is wrong with a policy is said elsewhere.
pub fn servers(policies: &[ImagePolicy]) -> BTreeMap<Server, BTreeSet<String>> {
    let mut found: BTreeMap<Server, BTreeSet<String>> = BTreeMap::new();
    for policy in policies {
        let Ok(parsed) = parse(policy) else { continue };
        let user = format!("{}/{}", policy.namespace().unwrap_or_default(), policy.name_any());
        for signal in parsed.signals {
            let signals::Source { server: signals::Server::Prometheus(address), secret, .. } = signal.source
            else {
                continue;
            };
            let secret = secret.map(|name| (parsed.namespace.clone(), name));
            found.entry((address, secret)).or_default().insert(user.clone());
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
    // The person who asks: nobody's ServiceAccount.
    let identity = Identity { namespace: String::new(), service_account: String::new() };
    let server = signals::Server::Prometheus(address.to_owned());
    let (id, query, at) = ("check", "vector(1)", Timestamp::now());
    let measure = Measure { server: &server, identity: &identity, id, query, at, window: 60 };
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
