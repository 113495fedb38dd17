//! From the wire to the core: a policy that later code need not doubt, or everything that is wrong with it.
//!
//! Guarantees: repeats every rule of the schema, since an object may have been stored under an older one; collects all
//! mistakes; each names field, value (credentials left out, at most 100 characters), reason and fix. Pure.

mod error;
mod git;
pub(crate) mod hash;
mod notify;
pub(crate) mod scalar;
mod select;
mod signals;
mod stages;
mod targets;
#[cfg(test)]
mod tests;
mod verify;
mod windows;

pub(crate) use error::Errors;
pub use error::{FieldError, suggestion};

use crate::{
    ImagePolicy, bounds, defaults,
    spec::{Health, Registry},
};
use jiff::Timestamp;
use lockkeeper_core::{
    image::{Provider, Repository},
    policy::{DeletionPolicy, HealthSettings, Mode, Policy},
};

/// Checks a policy as a whole.
///
/// Metadata that only a stored object has may be missing (a file that is planned or simulated): then the uid is
/// empty, the generation 0 and the policy younger than every other.
pub fn parse(policy: &ImagePolicy) -> Result<Policy, Vec<FieldError>> {
    let mut errors = Errors::default();
    let parsed = whole(policy, &mut errors);
    errors.finish(parsed)
}

/// Everything is looked at before anything is given up: no `?` before the last mistake is found.
fn whole(policy: &ImagePolicy, errors: &mut Errors) -> Option<Policy> {
    let (spec, metadata) = (&policy.spec, &policy.metadata);
    let name = metadata.name.clone().unwrap_or_default();
    let named = errors.label_name("metadata.name", &name, "policy");
    let namespace = metadata.namespace.clone().unwrap_or_default();
    let placed = errors.label_name("metadata.namespace", &namespace, "namespace");

    let image = repository(errors, "spec.image", &spec.image);
    let pull_from = mirrors(errors, &spec.pull_from, image.as_ref());
    let interval = errors.duration(
        "spec.interval",
        spec.interval.as_deref().unwrap_or(defaults::INTERVAL),
        bounds::INTERVAL,
    );
    let mode = errors.word(
        "spec.mode",
        spec.mode.as_deref().unwrap_or(defaults::MODE),
        &[("Observe", Mode::Observe), ("Enforce", Mode::Enforce)],
    );
    let deletion_policy = errors.word(
        "spec.deletionPolicy",
        spec.deletion_policy.as_deref().unwrap_or(defaults::DELETION_POLICY),
        &[("Retain", DeletionPolicy::Retain), ("Release", DeletionPolicy::Release)],
    );
    errors.own_object("spec.serviceAccountName", policy.service_account(), "ServiceAccount");
    registry(errors, &policy.registry(), image.as_ref());
    let select = select::parse(errors, &spec.select);
    let verify = verify::parse(errors, spec.select.verify.as_ref());
    let health = health(errors, &spec.health.clone().unwrap_or_default());
    let asked = spec.health.as_ref().map_or(&[][..], |health| &health.signals);
    let signals = signals::parse(errors, asked, health.as_ref());
    let judged = health.as_ref().zip(signals.as_deref());
    let stages = stages::parse(errors, &spec.stages, judged);
    let notify = notify::parse(errors, spec.notify.as_deref(), &spec.stages);

    (named && placed).then_some(())?;
    Some(Policy {
        namespace,
        name,
        uid: metadata.uid.clone().unwrap_or_default(),
        generation: metadata.generation.unwrap_or_default(),
        created: metadata.creation_timestamp.as_ref().map_or(Timestamp::MAX, |time| time.0),
        image: image?,
        pull_from,
        interval: interval?,
        mode: mode?,
        suspend: spec.suspend.unwrap_or_default(),
        deletion_policy: deletion_policy?,
        select: select?,
        verify,
        stages: stages?,
        health: health?,
        signals: signals?,
        notify,
    })
}

fn repository(errors: &mut Errors, path: &str, text: &str) -> Option<Repository> {
    if text.chars().count() > bounds::REPOSITORY {
        let reason = format!("has more than {} characters", bounds::REPOSITORY);
        errors.add(path, text, reason, "write registry/path");
        return None;
    }
    errors.keep(path, text.parse())
}

fn mirrors(errors: &mut Errors, texts: &[String], image: Option<&Repository>) -> Vec<Repository> {
    errors.count("spec.pullFrom", texts.len(), 0, bounds::MIRRORS);
    let mut found: Vec<Repository> = Vec::new();
    for (n, text) in texts.iter().take(bounds::MIRRORS).enumerate() {
        let path = format!("spec.pullFrom[{n}]");
        let Some(mirror) = repository(errors, &path, text) else { continue };
        if image == Some(&mirror) || found.contains(&mirror) {
            errors.add(path, text, "is the same repository as another one of this policy", "remove it");
        } else {
            found.push(mirror);
        }
    }
    found
}

fn health(errors: &mut Errors, health: &Health) -> Option<HealthSettings> {
    let mut duration = |field: &str, text: &Option<String>, default, bounds| {
        errors.duration(&format!("spec.health.{field}"), text.as_deref().unwrap_or(default), bounds)
    };
    let tick = duration("tick", &health.tick, defaults::TICK, bounds::TICK);
    let warm_up = duration("warmUp", &health.warm_up, defaults::WARM_UP, bounds::WARM_UP);
    let no_data_after =
        duration("noDataAfter", &health.no_data_after, defaults::NO_DATA_AFTER, bounds::NO_DATA_AFTER);
    let no_data_max = duration("noDataMax", &health.no_data_max, defaults::NO_DATA_MAX, bounds::NO_DATA_MAX);
    let ready_deadline =
        duration("readyDeadline", &health.ready_deadline, defaults::READY_DEADLINE, bounds::READY_DEADLINE);
    let guard = duration("guard", &health.guard, defaults::GUARD, bounds::GUARD);
    let sweep = duration("sweep", &health.sweep, defaults::SWEEP, bounds::SWEEP);
    let budget = health.false_rollback_budget.as_deref().unwrap_or(defaults::FALSE_ROLLBACK_BUDGET);
    let false_rollback_budget = errors.share("spec.health.falseRollbackBudget", budget);
    let require = health
        .require
        .as_ref()
        .map(|r| errors.rate("spec.health.require.restartsPerPodHour", &r.restarts_per_pod_hour));
    if let (Some(after), Some(max)) = (no_data_after, no_data_max)
        && max < after
    {
        let reason = format!("is shorter than noDataAfter, {}", scalar::duration_text(after));
        errors.add("spec.health.noDataMax", &scalar::duration_text(max), reason, "lengthen it");
    }
    Some(HealthSettings {
        tick: tick?,
        warm_up: warm_up?,
        false_rollback_budget: false_rollback_budget?,
        require: match require {
            Some(rate) => Some(rate?),
            None => None,
        },
        no_data_after: no_data_after?,
        no_data_max: no_data_max?,
        ready_deadline: ready_deadline?,
        guard: guard?,
        sweep: sweep?,
    })
}

/// Every name is one of an object in the policy's own namespace.
fn registry(errors: &mut Errors, registry: &Registry, image: Option<&Repository>) {
    provider(errors, registry, image);
    let secrets = [
        ("spec.registry.secretRef.name", &registry.secret_ref),
        ("spec.registry.certSecretRef.name", &registry.cert_secret_ref),
        ("spec.registry.proxySecretRef.name", &registry.proxy_secret_ref),
    ];
    for (field, secret) in secrets {
        if let Some(secret) = secret {
            errors.own_object(field, &secret.name, "Secret");
        }
    }
    if let Some(account) = &registry.pull_secrets_from {
        errors.own_object("spec.registry.pullSecretsFrom", account, "ServiceAccount");
    }
}

/// Whose identity opens the registry, and nothing that contradicts it.
fn provider(errors: &mut Errors, registry: &Registry, image: Option<&Repository>) {
    let path = "spec.registry.provider";
    let Some(text) = registry.provider.as_deref() else { return };
    let known: Vec<_> = std::iter::once(("generic", None))
        .chain(Provider::ALL.map(|(word, provider)| (word, Some(provider))))
        .collect();
    let Some(Some(provider)) = errors.word(path, text, &known) else { return };
    for (field, is_there) in [
        ("secretRef", registry.secret_ref.is_some()),
        ("pullSecretsFrom", registry.pull_secrets_from.is_some()),
    ] {
        if is_there {
            let reason =
                format!("signs in by the ServiceAccount's identity, and {field} names a credential, too");
            errors.add(path, text, reason, "keep one of the two");
        }
    }
    if registry.insecure == Some(true) {
        errors.add(path, text, "is never asked over plain HTTP", "remove spec.registry.insecure");
    }
    if let Some(Err(reason)) = image.map(|image| provider.registry(image)) {
        errors.add(
            path,
            text,
            reason,
            "correct provider or spec.image, or name a Secret in secretRef instead",
        );
    }
}
