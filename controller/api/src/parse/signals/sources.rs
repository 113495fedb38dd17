//! Who measures a signal: exactly one of the kinds of servers, each with its own fields.

use super::{address, query};
use crate::{
    bounds, defaults,
    parse::{error::Errors, scalar::duration_text},
    spec,
};
use jiff::SignedDuration;
use lockkeeper_core::{
    policy::HealthSettings,
    signals::{CloudWatch, Compare, Job, Metric, Server, Source, Template},
};
use std::collections::BTreeSet;

/// What is known around a source.
struct Around<'a> {
    path: &'a str,
    compare: Option<&'a Compare>,
    health: Option<&'a HealthSettings>,
}

pub(super) fn parse(
    errors: &mut Errors,
    path: &str,
    signal: &spec::Signal,
    compare: Option<&Compare>,
    health: Option<&HealthSettings>,
) -> Option<Source> {
    let around = Around { path, compare, health };
    let spec::Signal { prometheus, webhook, datadog, cloud_watch, job, .. } = signal;
    match (prometheus, webhook, datadog, cloud_watch, job) {
        (Some(one), None, None, None, None) => self::prometheus(errors, &around, one),
        (None, Some(one), None, None, None) => self::webhook(errors, &around, one),
        (None, None, Some(one), None, None) => self::datadog(errors, &around, one),
        (None, None, None, Some(one), None) => self::cloud_watch(errors, &around, one),
        (None, None, None, None, Some(one)) => self::job(errors, &around, one),
        _ => {
            let named = [
                prometheus.is_some(),
                webhook.is_some(),
                datadog.is_some(),
                cloud_watch.is_some(),
                job.is_some(),
            ];
            let count = named.into_iter().filter(|named| *named).count().to_string();
            let fix = "name exactly one of prometheus, webhook, datadog, cloudWatch and job; make another signal for another one";
            errors.add(path, &count, "servers are named", fix);
            None
        }
    }
}

fn secret(errors: &mut Errors, path: &str, secret: Option<&spec::SecretRef>) -> Option<String> {
    let name = &secret?.name;
    errors.own_object(&format!("{path}.secretRef.name"), name, "Secret");
    Some(name.clone())
}

fn prometheus(errors: &mut Errors, around: &Around<'_>, one: &spec::Prometheus) -> Option<Source> {
    let path = format!("{}.prometheus", around.path);
    let server = address(errors, &format!("{path}.address"), &one.address).map(Server::Prometheus);
    let query = query(errors, &format!("{path}.query"), &one.query, around.compare);
    let secret = secret(errors, &path, one.secret_ref.as_ref());
    Some(Source { server: server?, query: query?, secret, delay: SignedDuration::ZERO })
}

fn webhook(errors: &mut Errors, around: &Around<'_>, one: &spec::Judge) -> Option<Source> {
    let path = format!("{}.webhook", around.path);
    let server = address(errors, &format!("{path}.address"), &one.address).map(Server::Webhook);
    let secret = secret(errors, &path, one.secret_ref.as_ref());
    Some(Source { server: server?, query: Template::default(), secret, delay: SignedDuration::ZERO })
}

fn job(errors: &mut Errors, around: &Around<'_>, one: &spec::Job) -> Option<Source> {
    let path = format!("{}.job", around.path);
    let named = errors.own_object(&format!("{path}.from"), &one.from, "CronJob");
    let place = format!("{path}.deadline");
    let text = one.deadline.as_deref().unwrap_or(defaults::JOB_DEADLINE);
    let mut deadline = errors.duration(&place, text, bounds::JOB)?;
    if let Some(health) = around.health.filter(|health| deadline > health.no_data_after) {
        if one.deadline.is_some() {
            let reason =
                format!("is longer than health.noDataAfter, {}", duration_text(health.no_data_after));
            errors.add(place, text, reason, "shorten it, or lengthen health.noDataAfter");
            return None;
        }
        deadline = health.no_data_after;
    }
    let server = Server::Job(Job { from: one.from.clone(), deadline });
    named.then_some(Source { server, query: Template::default(), secret: None, delay: SignedDuration::ZERO })
}

fn datadog(errors: &mut Errors, around: &Around<'_>, one: &spec::Datadog) -> Option<Source> {
    let path = format!("{}.datadog", around.path);
    let of = ["datadoghq.com", "datadoghq.eu", "ddog-gov.com"];
    let prefix = of.iter().find_map(|site| one.site.strip_suffix(site));
    let word = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let label = prefix.and_then(|prefix| prefix.strip_suffix('.'));
    let fine = prefix == Some("") || label.is_some_and(|one| (2..=8).contains(&one.len()) && word(one));
    if !fine {
        let fix = "write one such as datadoghq.com, us5.datadoghq.com or datadoghq.eu";
        errors.add(format!("{path}.site"), &one.site, "is no site of Datadog", fix);
    }
    let query = query(errors, &format!("{path}.query"), &one.query, around.compare);
    let secret = secret(errors, &path, Some(&one.secret_ref));
    let delay = delay(errors, around, &path, one.delay.as_deref().unwrap_or(defaults::DATADOG_DELAY));
    fine.then_some(())?;
    Some(Source { server: Server::Datadog(one.site.clone()), query: query?, secret, delay: delay? })
}

fn cloud_watch(errors: &mut Errors, around: &Around<'_>, one: &spec::CloudWatch) -> Option<Source> {
    let path = format!("{}.cloudWatch", around.path);
    let region = region(errors, &format!("{path}.region"), &one.region);
    errors.count(&format!("{path}.metrics"), one.metrics.len(), 0, bounds::METRICS);
    let mut ids = BTreeSet::new();
    let all = one.metrics.iter().take(bounds::METRICS).enumerate();
    let metrics: Vec<Option<Metric>> = all
        .map(|(n, metric)| {
            let place = format!("{path}.metrics[{n}]");
            if !ids.insert(&metric.id) {
                errors.add(
                    format!("{place}.id"),
                    &metric.id,
                    "is that of another metric, too",
                    "give each its own",
                );
            }
            self::metric(errors, &place, metric)
        })
        .collect();
    let metrics: Option<Vec<Metric>> = metrics.into_iter().collect();
    let query = query(errors, &format!("{path}.expression"), &one.expression, around.compare);
    let secret = secret(errors, &path, one.secret_ref.as_ref());
    let delay = delay(errors, around, &path, one.delay.as_deref().unwrap_or(defaults::CLOUD_WATCH_DELAY));
    if let Some(health) = around.health.filter(|health| health.tick < SignedDuration::from_mins(1)) {
        let reason = "is shorter than the minute that CloudWatch's metrics have";
        errors.add("spec.health.tick", &duration_text(health.tick), reason, "write 1m or more");
    }
    let server = Server::CloudWatch(CloudWatch { region: region?, metrics: metrics? });
    Some(Source { server, query: query?, secret, delay: delay? })
}

fn region(errors: &mut Errors, path: &str, text: &str) -> Option<String> {
    let mut parts = text.split('-');
    let (first, last) = (parts.next().unwrap_or_default(), parts.next_back().unwrap_or_default());
    let letters = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    let middle: Vec<&str> = parts.collect();
    let fine = letters(first)
        && (2..=6).contains(&first.len())
        && !middle.is_empty()
        && middle.into_iter().all(letters)
        && (1..=2).contains(&last.len())
        && last.bytes().all(|b| b.is_ascii_digit())
        && text.len() <= 32;
    if !fine {
        errors.add(path, text, "is no region", "write one such as eu-west-1");
    }
    fine.then(|| text.to_owned())
}

fn metric(errors: &mut Errors, path: &str, metric: &spec::Metric) -> Option<Metric> {
    let spec::Metric { id, namespace, name, dimensions, stat } = metric;
    let word = id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && id.len() <= 63;
    let named = word && id.starts_with(|c: char| c.is_ascii_lowercase()) && id != "result";
    if !named {
        let fix = "begin with a lower-case letter, go on with letters, digits and _, and do not write result";
        errors.add(format!("{path}.id"), id, "cannot be named by an expression", fix);
    }
    let mut fine = named;
    for (field, text, most) in
        [("namespace", namespace, bounds::METRIC), ("name", name, bounds::METRIC), ("stat", stat, 32)]
    {
        if text.is_empty() || text.chars().count() > most {
            let reason = format!("is empty or longer than {most} characters");
            errors.add(format!("{path}.{field}"), text, reason, "write it as CloudWatch shows it");
            fine = false;
        }
    }
    errors.count(&format!("{path}.dimensions"), dimensions.len(), 0, bounds::DIMENSIONS);
    fine.then(|| Metric {
        id: id.clone(),
        namespace: namespace.clone(),
        name: name.clone(),
        dimensions: dimensions.clone(),
        stat: stat.clone(),
    })
}

/// What is asked about has to be of a time in which the pods had the release already.
fn delay(errors: &mut Errors, around: &Around<'_>, path: &str, text: &str) -> Option<SignedDuration> {
    let place = format!("{path}.delay");
    let delay = errors.duration(&place, text, bounds::DELAY)?;
    if let Some(health) = around.health.filter(|health| delay > health.warm_up) {
        let warm_up = duration_text(health.warm_up);
        let reason =
            format!("is longer than health.warmUp, {warm_up}: values would be of the release before");
        errors.add(place, text, reason, "shorten it, or lengthen health.warmUp");
        return None;
    }
    Some(delay)
}
