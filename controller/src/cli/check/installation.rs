//! What an installation consists of: the API server, the kinds, the admission policies, the Deployment, the leader.

use super::{Finding, Health};
use crate::cli::{Failure, cluster::Session, when::length};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::{apps::v1::Deployment, coordination::v1::Lease},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api,
    api::DynamicObject,
    client::Body,
    core::{ApiResource, GroupVersionKind},
};
use lockkeeper_api::names;

/// Clocks that differ by more make windows, soaks and leases differ.
const SKEW: SignedDuration = SignedDuration::from_secs(5);
/// By more, tokens and leases fail.
const BAD_SKEW: SignedDuration = SignedDuration::from_secs(60);
/// Name of the Deployment.
const NAME: &str = "lockkeeper";
/// Policies that look whether people may ask.
const ASKING: &str = "lockkeeper-interventions";
const INSTALL: &str = "install or upgrade the chart";

/// Its version and its clock; and how far it is ahead of this machine's.
pub async fn server(session: &Session) -> Result<(Vec<Finding>, SignedDuration), Failure> {
    let request = http::Request::get("/version").body(Body::empty()).map_err(kube::Error::HttpError)?;
    let before = Timestamp::now();
    let answer = session.answer(session.client.send(request)).await?;
    let took = Timestamp::now().duration_since(before);
    let date = answer.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
    let theirs = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok()).map(|date| date.timestamp());
    let version = session.answer(session.client.apiserver_version()).await?;
    let mut findings = vec![Finding::good("API server", format!("{} answers", version.git_version))];
    let skew = theirs.map(|theirs| theirs.duration_since(before));
    findings.push(clock(skew, took));
    Ok((findings, skew.unwrap_or_default()))
}

/// The header counts whole seconds, and the answer took its time.
pub fn clock(skew: Option<SignedDuration>, took: SignedDuration) -> Finding {
    let Some(skew) = skew else {
        let message = "the API server's answer has no date";
        return Finding::other("clock", Health::Unknown, message, "compare the clocks by hand");
    };
    let unsure = took + SignedDuration::from_secs(1);
    let off = skew.abs().saturating_sub(unsure);
    let off = if off.is_negative() { SignedDuration::ZERO } else { off };
    let way = if skew.is_negative() { "behind" } else { "ahead of" };
    let message = format!("the API server's clock is {} {way} this machine's", length(skew.abs()));
    let then = "synchronise the clocks (NTP); windows, soaks and leases go by them";
    match off {
        off if off > BAD_SKEW => Finding::other("clock", Health::Bad, message, then),
        off if off > SKEW => Finding::other("clock", Health::Note, message, then),
        _ => Finding::good("clock", "the API server's and this machine's agree"),
    }
}

/// The four definitions are served as this version has them.
pub async fn kinds(session: &Session) -> Vec<Finding> {
    let api: Api<CustomResourceDefinition> = Api::all(session.client.clone());
    let mut findings = Vec::new();
    for (file, wanted) in lockkeeper_api::definitions() {
        let name = wanted["metadata"]["name"].as_str().unwrap_or(&file).to_owned();
        let what = format!("kind {name}");
        findings.push(match session.answer(api.get_opt(&name)).await {
            Ok(Some(served)) => kind(&what, &served, &wanted),
            Ok(None) => Finding::other(
                &what,
                Health::Bad,
                "is not installed",
                "lockkeeper crd | kubectl apply --server-side -f -",
            ),
            Err(failure) => Finding::unknown(&what, &failure),
        });
    }
    findings
}

/// Compared as the API server reads them: it fills in defaults.
pub fn kind(what: &str, served: &CustomResourceDefinition, wanted: &serde_json::Value) -> Finding {
    let conditions = served.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let established = conditions.into_iter().any(|c| c.type_ == "Established" && c.status == "True");
    if !established {
        return Finding::other(what, Health::Bad, "is not established", "`kubectl describe crd` says why");
    }
    let same = serde_json::from_value::<CustomResourceDefinition>(wanted.clone())
        .is_ok_and(|wanted| wanted.spec.versions == served.spec.versions);
    if same {
        return Finding::good(what, "is served as this version has it");
    }
    Finding::other(
        what,
        Health::Note,
        format!("is of another version than this program ({})", env!("CARGO_PKG_VERSION")),
        "upgrade whichever is older: the chart, or this program",
    )
}

/// The policies by which new pods are pinned, and by which those who ask are known.
pub async fn admission(session: &Session) -> Vec<Finding> {
    let asks = [
        ("MutatingAdmissionPolicy", ASKING),
        ("MutatingAdmissionPolicyBinding", ASKING),
        ("ValidatingAdmissionPolicy", ASKING),
        ("ValidatingAdmissionPolicyBinding", ASKING),
    ];
    vec![
        births(session).await,
        policies(session, "who may ask", &asks, "who asks is known, and is looked at", Health::Bad).await,
    ]
}

/// What gives new pods their digest: the policy with its binding, else the controller's webhook.
async fn births(session: &Session) -> Finding {
    let what = "pins at birth";
    let group = "admissionregistration.k8s.io";
    let [policy, binding] = ["MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"];
    for version in VERSIONS {
        let mut found = [false; 2];
        for (there, kind) in found.iter_mut().zip([policy, binding]) {
            match object(session, group, version, kind, names::PIN_AT_BIRTH).await {
                Ok(object) => *there = object.is_some(),
                Err(failure) => return Finding::unknown(what, &failure),
            }
        }
        if found == [true; 2] {
            let message =
                format!("new pods get their digest from the API server (MutatingAdmissionPolicy {version})");
            return Finding::good(what, message);
        }
    }
    match object(session, group, "v1", "MutatingWebhookConfiguration", names::PIN_AT_BIRTH).await {
        Ok(Some(hook)) => webhook(&hook.data),
        Ok(None) => Finding::other(
            what,
            Health::Note,
            "neither policy nor webhook is there: new pods are put right after they are seen",
            format!(
                "the controller makes one of them if ConfigMap {} says so ({INSTALL}, with pinAtBirth.enabled); its log says why it could not",
                names::PIN_AT_BIRTH
            ),
        ),
        Err(failure) => Finding::unknown(what, &failure),
    }
}

/// A webhook pins as long as it is believed.
pub fn webhook(hook: &serde_json::Value) -> Finding {
    let what = "pins at birth";
    let hooks = hook["webhooks"].as_array();
    let believed = hooks
        .into_iter()
        .flatten()
        .all(|hook| hook["clientConfig"]["caBundle"].as_str().is_some_and(|bundle| !bundle.is_empty()));
    if !believed || hooks.is_none_or(Vec::is_empty) {
        let message = "the controller's webhook has no caBundle, so the API server believes no replica";
        return Finding::other(
            what,
            Health::Note,
            message,
            "the controller fills it in; its log says why it could not",
        );
    }
    Finding::other(
        what,
        Health::Note,
        "new pods get their digest from the controller's webhook, as this API server serves no MutatingAdmissionPolicy",
        "while no replica runs, pods are put right after they are seen; Kubernetes 1.36 needs no webhook",
    )
}

/// Versions in which the API server may serve a policy.
const VERSIONS: [&str; 2] = ["v1", "v1beta1"];

async fn policies(
    session: &Session,
    what: &str,
    wanted: &[(&str, &str)],
    good: &str,
    without: Health,
) -> Finding {
    let mut missing = Vec::new();
    for (kind, name) in wanted {
        match there(session, kind, name).await {
            Ok(true) => {}
            Ok(false) => missing.push(format!("{kind} {name}")),
            Err(failure) => return Finding::unknown(what, &failure),
        }
    }
    if missing.is_empty() {
        return Finding::good(what, good);
    }
    Finding::other(
        what,
        without,
        format!("missing: {}", missing.join(", ")),
        format!(
            "{INSTALL}; MutatingAdmissionPolicies need Kubernetes 1.36, or 1.34 with the v1beta1 API switched on"
        ),
    )
}

/// Whether an admission object is there, in whatever version is served.
async fn there(session: &Session, kind: &str, name: &str) -> Result<bool, Failure> {
    for version in VERSIONS {
        if object(session, "admissionregistration.k8s.io", version, kind, name).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A version that is not served answers 404, as an object that is not there does.
async fn object(
    session: &Session,
    group: &str,
    version: &str,
    kind: &str,
    name: &str,
) -> Result<Option<DynamicObject>, Failure> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let api: Api<DynamicObject> = Api::all_with(session.client.clone(), &resource);
    session.answer(api.get_opt(name)).await
}

/// The controller's replicas, and their version.
pub async fn deployment(session: &Session, namespace: &str) -> Finding {
    let what = "controller";
    let api: Api<Deployment> = Api::namespaced(session.client.clone(), namespace);
    match session.answer(api.get_opt(NAME)).await {
        Ok(Some(found)) => replicas(&found, namespace),
        Ok(None) => Finding::other(
            what,
            Health::Note,
            format!("there is no Deployment {NAME} in namespace {namespace}; it may run elsewhere"),
            "if it was installed into another namespace, name it by --installation-namespace",
        ),
        Err(failure) => Finding::unknown(what, &failure),
    }
}

/// Whether enough of them are ready, and which version they are.
pub fn replicas(found: &Deployment, namespace: &str) -> Finding {
    let what = "controller";
    let wanted = found.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let ready = found.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0);
    let mut containers =
        found.spec.iter().filter_map(|spec| spec.template.spec.as_ref()).flat_map(|spec| &spec.containers);
    let image = containers.find_map(|container| container.image.clone()).unwrap_or_default();
    let message = format!("{ready} of {wanted} replicas are ready, image {image}");
    let logs = format!(
        "kubectl -n {namespace} describe deployment {NAME}; kubectl -n {namespace} logs deployment/{NAME}"
    );
    match (ready, wanted) {
        (_, 0) => Finding::other(
            what,
            Health::Bad,
            "it is scaled to no replica",
            format!("kubectl -n {namespace} scale deployment {NAME} --replicas 2"),
        ),
        (0, _) => Finding::other(what, Health::Bad, message, logs),
        (ready, wanted) if ready < wanted => Finding::other(what, Health::Note, message, logs),
        _ => Finding::good(what, message),
    }
}

/// Who leads, and whether the Lease is renewed.
pub async fn leader(session: &Session, namespace: &str, name: &str, skew: SignedDuration) -> Finding {
    let what = "leader";
    let api: Api<Lease> = Api::namespaced(session.client.clone(), namespace);
    match session.answer(api.get_opt(name)).await {
        Ok(Some(lease)) => leads(&lease, Timestamp::now() + skew),
        Ok(None) => Finding::other(
            what,
            Health::Note,
            format!(
                "there is no Lease {name} in namespace {namespace}: nobody has led yet, or a single replica runs without election"
            ),
            "look at the controller's log",
        ),
        Err(failure) => Finding::unknown(what, &failure),
    }
}

/// Judged by the API server's clock.
pub fn leads(lease: &Lease, now: Timestamp) -> Finding {
    let what = "leader";
    let spec = lease.spec.clone().unwrap_or_default();
    let then = "look at the logs of all replicas: none of them renews its Lease";
    let holder = spec.holder_identity.filter(|holder| !holder.is_empty());
    let (Some(holder), Some(renewed)) = (holder, spec.renew_time) else {
        return Finding::other(what, Health::Note, "nobody leads at this moment", then);
    };
    let lasts = SignedDuration::from_secs(i64::from(spec.lease_duration_seconds.unwrap_or(15)));
    let ago = now.duration_since(renewed.0);
    let message = format!("{holder}, renewed {} ago", length(ago));
    // Two seconds for what lies between two clocks.
    if ago > lasts + SignedDuration::from_secs(2) {
        return Finding::other(what, Health::Bad, format!("the Lease of {message} has run out"), then);
    }
    Finding::good(what, message)
}
