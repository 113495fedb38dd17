//! `spec.notify`.

use super::error::{Errors, suggestion};
use crate::{bounds, spec};
use lockkeeper_core::notices::{Occasion, Place, Receiver, Service};
use std::collections::BTreeSet;

pub(super) fn parse(
    errors: &mut Errors,
    notify: Option<&[spec::Notifier]>,
    stages: &[spec::Stage],
) -> Option<Vec<Receiver>> {
    let notify = notify?;
    errors.count("spec.notify", notify.len(), 0, bounds::NOTIFIERS);
    let mut found: Vec<Receiver> = Vec::new();
    for (n, notifier) in notify.iter().take(bounds::NOTIFIERS).enumerate() {
        let path = format!("spec.notify[{n}]");
        let Some(receiver) = one(errors, &path, notifier, stages) else { continue };
        if found.iter().any(|other| other.name == receiver.name) {
            let reason = "is named by another entry with the same service, too";
            errors.add(path, &receiver.name, reason, "make one entry of both");
            continue;
        }
        found.push(receiver);
    }
    Some(found)
}

fn one(
    errors: &mut Errors,
    path: &str,
    notifier: &spec::Notifier,
    stages: &[spec::Stage],
) -> Option<Receiver> {
    let spec::Notifier { slack, teams, pager_duty, alertmanager, webhook, .. } = notifier;
    let channels = [
        (Service::Slack, slack),
        (Service::Teams, teams),
        (Service::PagerDuty, pager_duty),
        (Service::Alertmanager, alertmanager),
        (Service::Webhook, webhook),
    ];
    let named: Vec<_> = channels.into_iter().filter_map(|(s, c)| Some((s, c.as_ref()?))).collect();
    let &[(service, channel)] = named.as_slice() else {
        let all = Service::ALL.map(Service::name).join(", ");
        let fix = format!("name exactly one of {all}; make another entry for another one");
        errors.add(path, &named.len().to_string(), "services are named", fix);
        return None;
    };
    let secret = &channel.secret_ref.name;
    let place = format!("{path}.{}.secretRef.name", service.name());
    let known = errors.own_object(&place, secret, "Secret");
    let occasions = occasions(errors, path, service, &notifier.events);
    for (n, name) in notifier.stages.iter().enumerate() {
        if !stages.iter().any(|stage| stage.name == *name) {
            let fix = suggestion(name, stages.iter().map(|stage| stage.name.as_str()));
            errors.add(format!("{path}.stages[{n}]"), name, "is no stage of this policy", fix);
        }
    }
    known.then_some(())?;
    Some(Receiver {
        name: format!("{}/{secret}", service.name()),
        service,
        place: Place::Secret(secret.clone()),
        occasions: occasions?,
        stages: notifier.stages.iter().cloned().collect(),
    })
}

fn occasions(
    errors: &mut Errors,
    path: &str,
    service: Service,
    events: &[String],
) -> Option<BTreeSet<Occasion>> {
    let takes = service.takes();
    if events.is_empty() {
        return Some(takes.iter().copied().collect());
    }
    let words: Vec<(&str, Occasion)> = takes.iter().map(|one| (one.name(), *one)).collect();
    let all = events.iter().enumerate();
    let found: Vec<_> =
        all.map(|(n, text)| errors.word(&format!("{path}.events[{n}]"), text, &words)).collect();
    found.into_iter().collect()
}
