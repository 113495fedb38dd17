//! `spec.health.signals`.

mod sources;

use super::error::{Errors, suggestion};
use crate::{bounds, defaults, spec};
use lockkeeper_core::{
    health::{Direction, Margin},
    policy::HealthSettings,
    signals::{Compare, Signal, Template, TemplateError, Variable},
};
use std::collections::BTreeSet;

pub(super) fn parse(
    errors: &mut Errors,
    signals: &[spec::Signal],
    health: Option<&HealthSettings>,
) -> Option<Vec<Signal>> {
    errors.count("spec.health.signals", signals.len(), 0, bounds::SIGNALS);
    let mut names = BTreeSet::new();
    for (n, signal) in signals.iter().enumerate() {
        if !names.insert(&signal.name) {
            let path = format!("spec.health.signals[{n}].name");
            errors.add(path, &signal.name, "is the name of another signal, too", "give each its own");
        }
    }
    let found: Vec<Option<Signal>> = signals
        .iter()
        .take(bounds::SIGNALS)
        .enumerate()
        .map(|(n, signal)| one(errors, n, signal, health))
        .collect();
    found.into_iter().collect()
}

fn one(
    errors: &mut Errors,
    n: usize,
    signal: &spec::Signal,
    health: Option<&HealthSettings>,
) -> Option<Signal> {
    let path = format!("spec.health.signals[{n}]");
    let named = errors.label_name(&format!("{path}.name"), &signal.name, "signal");
    let place = format!("{path}.compare");
    if let (Some(_), Some(job)) = (&signal.compare, &signal.job) {
        let reason = "is a Job, whose end is a verdict that is compared with nothing";
        errors.add(&place, &job.from, reason, "remove compare");
    }
    let judges = signal.webhook.is_some() || signal.job.is_some();
    let compare = match &signal.compare {
        None if judges => Some(Compare::Verdict),
        compare => self::compare(errors, &place, &compare.clone().unwrap_or_default()),
    };
    let source = sources::parse(errors, &path, signal, compare.as_ref(), health);
    named.then_some(())?;
    Some(Signal { name: signal.name.clone(), source: source?, compare: compare? })
}

pub(super) fn address(errors: &mut Errors, path: &str, text: &str) -> Option<String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let (host, way) = rest.map(|rest| rest.split_once('/').unwrap_or((rest, ""))).unwrap_or_default();
    let of = |text: &str, more: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c));
    let reason = if text.len() > bounds::ADDRESS {
        "is too long"
    } else if rest.is_none() {
        "starts with neither http:// nor https://"
    } else if host.contains('@') {
        "holds a user or a password"
    } else if host.is_empty() || !of(host, ".:_[]-") || !of(way, "._~/-") {
        "is not a host with an optional port and an optional path"
    } else {
        return Some(text.trim_end_matches('/').to_owned());
    };
    let fix = "write an address such as http://prometheus.monitoring:9090, and put credentials into a Secret that \
               secretRef names";
    errors.add(path, text, reason, fix);
    None
}

pub(super) fn query(
    errors: &mut Errors,
    path: &str,
    text: &str,
    compare: Option<&Compare>,
) -> Option<Template> {
    if text.trim().is_empty() || text.chars().count() > bounds::QUERY {
        let reason = format!("is empty or longer than {} characters", bounds::QUERY);
        errors.add(path, text, reason, "write one expression with one value");
        return None;
    }
    let template = match Template::parse(text) {
        Ok(template) => template,
        Err(TemplateError::Open) => {
            errors.add(path, text, "has $( without )", "close it, such as $(pods)");
            return None;
        }
        Err(TemplateError::Unknown(name)) => {
            let known = Variable::ALL.into_iter().map(Variable::name);
            errors.add(path, &name, "is no variable", suggestion(&name, known));
            return None;
        }
    };
    let (beside, has) = (compare.is_some_and(Compare::is_beside), |variable| template.has(variable));
    if beside && !has(Variable::Pods) && !has(Variable::Digest) {
        let reason = "names neither $(pods) nor $(digest), so both sides would have the same answer";
        errors.add(path, text, reason, "name one of them, or compare with a limit");
        return None;
    }
    if beside && has(Variable::BaselinePods) {
        let reason = "names $(baselinePods), and the query is asked about those pods by itself";
        errors.add(path, text, reason, "write $(pods) in its place, or compare with a limit");
        return None;
    }
    Some(template)
}

fn compare(errors: &mut Errors, path: &str, compare: &spec::Compare) -> Option<Compare> {
    let direction = errors.word(
        &format!("{path}.direction"),
        compare.direction.as_deref().unwrap_or(defaults::DIRECTION),
        &[("HigherIsWorse", Direction::HigherIsWorse), ("LowerIsWorse", Direction::LowerIsWorse)],
    );
    if let (Some(limit), Some(_)) = (&compare.limit, &compare.margin) {
        let reason = "is given beside margin, which is for the pods beside it";
        errors.add(format!("{path}.limit"), limit, reason, "remove one of them");
        return None;
    }
    if let Some(text) = &compare.limit {
        let limit = number(text).filter(|limit| *limit <= bounds::LIMIT);
        if limit.is_none() {
            errors.add(
                format!("{path}.limit"),
                text,
                "is no number from 0 on",
                "write a number such as 0.05",
            );
        }
        return Some(Compare::Limit(direction?, limit?));
    }
    let text = compare.margin.as_deref().unwrap_or(defaults::MARGIN);
    let share = text.strip_suffix('%').and_then(number).filter(|share| (5.0..=1000.0).contains(share));
    if share.is_none() {
        let fix = "write a number and a percent sign, such as 10%";
        errors.add(format!("{path}.margin"), text, "is no share from 5% to 1000%", fix);
    }
    Some(Compare::Beside(Margin { direction: direction?, share: share? / 100.0 }))
}

/// Digits and a dot, nothing else: no sign, no exponent, no NaN.
fn number(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.') && text.len() <= 16;
    text.parse::<f64>().ok().filter(|number| plain && number.is_finite())
}
