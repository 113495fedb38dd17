//! What the policies themselves say: who cannot read a registry, who is stuck, whom nobody looks at, which pins nobody
//! owns any more.

use super::{Finding, Health};
use crate::cli::{cluster::Session, explain::meaning};
use kube::{Api, ResourceExt as _, api::ListParams};
use lockkeeper_api::{ImagePin, ImagePolicy};
use lockkeeper_core::conditions::{Condition, REGISTRY};

/// Policies and pins of all namespaces; where that is not allowed, of the session's.
pub async fn look(session: &Session) -> Vec<Finding> {
    let everywhere: Api<ImagePolicy> = Api::all(session.client.clone());
    let mut findings = Vec::new();
    match session.answer(everywhere.list(&ListParams::default())).await {
        Ok(list) => findings.extend(of_policies(&list.items)),
        Err(failure) => findings.push(Finding::unknown("policies", &failure)),
    }
    let pins: Api<ImagePin> = Api::all(session.client.clone());
    findings.push(match session.answer(pins.list(&ListParams::default())).await {
        Ok(list) => orphans(&list.items),
        Err(failure) => Finding::unknown("pins", &failure),
    });
    findings
}

/// One finding for each policy that is not as it should be, one for all others.
pub fn of_policies(policies: &[ImagePolicy]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = policies.iter().filter_map(of_policy).collect();
    let good = policies.len() - findings.len();
    let message = match (policies.len(), good) {
        (0, _) => "there is none yet".to_owned(),
        (all, good) if all == good => format!("{all}, and none of them needs a person"),
        (all, good) => format!("{good} of {all} need nobody"),
    };
    findings.insert(0, Finding::good("policies", message));
    findings
}

fn of_policy(policy: &ImagePolicy) -> Option<Finding> {
    let (namespace, name) = (policy.namespace().unwrap_or_default(), policy.name_any());
    let what = format!("policy {namespace}/{name}");
    let Some(stored) = &policy.status else {
        let then = "does the controller run, and may it watch this namespace?";
        return Some(Finding::other(&what, Health::Bad, "nobody has looked at it yet", then));
    };
    if let Some(why) = &stored.unreadable {
        let then = "upgrade whichever is older: the controller, or this program";
        return Some(Finding::other(&what, Health::Bad, format!("its status cannot be read: {why}"), then));
    }
    let status = &stored.status;
    if policy.metadata.generation.is_some_and(|generation| status.observed_generation < generation) {
        let message = "its last change has not been looked at";
        return Some(Finding::other(&what, Health::Bad, message, "does the controller run?"));
    }
    let condition = |kind: &str| status.conditions.iter().find(|c| c.kind == kind);
    let explain = format!("lockkeeper explain {name} -n {namespace}");
    let says = |c: &Condition| format!("{}: {}", c.reason, c.message);
    if let Some(stalled) = condition("Stalled").filter(|c| c.status == "True") {
        let then = meaning(&stalled.reason).map(|word| word.then).filter(|then| !then.is_empty());
        let then = then.map_or_else(|| explain.clone(), |then| format!("{then}; {explain}"));
        return Some(Finding::other(&what, Health::Bad, says(stalled), then));
    }
    let unread = condition("Ready").filter(|c| REGISTRY.iter().any(|word| word.name == c.reason));
    if let Some(unread) = unread {
        let then = REGISTRY.iter().find(|word| word.name == unread.reason).map_or("", |word| word.then);
        return Some(Finding::other(&what, Health::Bad, says(unread), format!("{then}; {explain}")));
    }
    let birth = condition("BirthPinning").filter(|c| c.status != "True")?;
    Some(Finding::other(&what, Health::Note, format!("BirthPinning: {}", says(birth)), explain))
}

/// Pins whose policy is gone.
pub fn orphans(pins: &[ImagePin]) -> Finding {
    let orphaned = |pin: &&ImagePin| {
        let conditions = pin.status.iter().flat_map(|status| &status.conditions);
        conditions.into_iter().any(|c| c.type_ == "Orphaned" && c.status == "True")
    };
    let names: Vec<String> = pins
        .iter()
        .filter(orphaned)
        .map(|pin| format!("{}/{}", pin.namespace().unwrap_or_default(), pin.name_any()))
        .collect();
    if names.is_empty() {
        return Finding::good("pins", format!("{}, none of them orphaned", pins.len()));
    }
    let shown: Vec<&str> = names.iter().take(8).map(String::as_str).collect();
    Finding::other(
        "pins",
        Health::Note,
        format!(
            "{} of {} are orphaned: their policies are gone ({})",
            names.len(),
            pins.len(),
            shown.join(", ")
        ),
        "new pods still get what they say; delete those that are not wanted: kubectl delete pin -n NAMESPACE NAME",
    )
}
