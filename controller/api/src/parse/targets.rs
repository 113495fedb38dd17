//! `spec.stages[].targets`.

use super::error::Errors;
use super::git;
use crate::{
    bounds, defaults,
    spec::{self, LabelSelector},
};
use lockkeeper_core::policy::{Amount, Movement, Namespaces, PodsTarget, Target, WorkloadsTarget};
use std::collections::BTreeMap;

pub(super) fn parse(errors: &mut Errors, path: &str, targets: &[spec::Target]) -> Option<Vec<Target>> {
    errors.count(path, targets.len(), 1, bounds::TARGETS);
    let found: Vec<Option<Target>> =
        targets.iter().enumerate().map(|(n, target)| one(errors, &format!("{path}[{n}]"), target)).collect();
    found.into_iter().collect()
}

fn one(errors: &mut Errors, path: &str, target: &spec::Target) -> Option<Target> {
    if target.observe.is_some() && target.git.is_none() {
        let fix = "remove it, or give git beside it";
        errors.add(format!("{path}.observe"), "pods", "stands beside no git", fix);
    }
    match (&target.pods, &target.workloads, &target.git) {
        (Some(target), None, None) => pods(errors, &format!("{path}.pods"), target).map(Target::Pods),
        (None, Some(target), None) => {
            workloads(errors, &format!("{path}.workloads"), target).map(Target::Workloads)
        }
        (None, None, Some(git)) => git::parse(errors, path, git, target.observe.as_ref()).map(Target::Git),
        (None, None, None) => {
            errors.add(path, "", "has no target", "set pods, workloads or git");
            None
        }
        (pods, workloads, git) => {
            let all = [("pods", pods.is_some()), ("workloads", workloads.is_some()), ("git", git.is_some())];
            let named: Vec<&str> = all.iter().filter(|(_, there)| *there).map(|(name, _)| *name).collect();
            errors.add(path, &named.join(", "), "are several targets in one", "make an entry for each");
            None
        }
    }
}

fn pods(errors: &mut Errors, path: &str, target: &spec::PodsTarget) -> Option<PodsTarget> {
    let namespaces = namespaces(errors, path, &target.namespaces, target.namespace_selector.as_ref());
    let match_labels = labels(errors, &format!("{path}.selector.matchLabels"), &target.selector);
    let containers = containers(errors, path, &target.containers);
    let movement = errors.word(
        &format!("{path}.move"),
        target.movement.as_deref().unwrap_or(defaults::MOVEMENT),
        &[("InPlace", Movement::InPlace), ("AtBirth", Movement::AtBirth)],
    );
    let budget = budget(errors, path, target.max_unavailable.as_ref(), target.max_moving);
    let (max_unavailable, max_moving) = budget?;
    Some(PodsTarget {
        namespaces: namespaces?,
        match_labels,
        containers,
        movement: movement?,
        max_unavailable,
        max_moving,
    })
}

fn workloads(errors: &mut Errors, path: &str, target: &spec::WorkloadsTarget) -> Option<WorkloadsTarget> {
    let namespaces = namespaces(errors, path, &target.namespaces, target.namespace_selector.as_ref());
    let match_labels = labels(errors, &format!("{path}.selector.matchLabels"), &target.selector);
    let containers = containers(errors, path, &target.containers);
    let kinds = kinds(errors, &format!("{path}.kinds"), &target.kinds);
    let (max_unavailable, max_moving) =
        budget(errors, path, target.max_unavailable.as_ref(), target.max_moving)?;
    Some(WorkloadsTarget {
        namespaces: namespaces?,
        match_labels,
        containers,
        kinds,
        max_unavailable,
        max_moving,
    })
}

pub(super) fn namespaces(
    errors: &mut Errors,
    path: &str,
    named: &[String],
    selector: Option<&LabelSelector>,
) -> Option<Namespaces> {
    let list = format!("{path}.namespaces");
    errors.count(&list, named.len(), 0, bounds::NAMESPACES);
    for (n, name) in named.iter().enumerate() {
        errors.label_name(&format!("{list}[{n}]"), name, "namespace");
    }
    let selected = selector.map(|s| labels(errors, &format!("{path}.namespaceSelector.matchLabels"), s));
    match (named, selected) {
        ([], None) => Some(Namespaces::Own),
        ([], Some(labels)) => Some(Namespaces::Matching(labels)),
        (_, None) => {
            let mut named = named.to_vec();
            named.sort_unstable();
            named.dedup();
            Some(Namespaces::Named(named))
        }
        (_, Some(_)) => {
            let fix = "remove namespaces or namespaceSelector";
            errors.add(list, &named.join(", "), "are named besides a namespaceSelector", fix);
            None
        }
    }
}

pub(super) fn labels(errors: &mut Errors, path: &str, selector: &LabelSelector) -> BTreeMap<String, String> {
    let labels = &selector.match_labels;
    if labels.is_empty() {
        errors.add(path, "", "holds no label and would match everything", "give at least one label");
    }
    errors.count(path, labels.len(), 0, bounds::LABELS);
    for (key, value) in labels {
        errors.label(path, key, value);
    }
    labels.clone()
}

pub(super) fn containers(errors: &mut Errors, path: &str, names: &[String]) -> Vec<String> {
    let path = format!("{path}.containers");
    errors.count(&path, names.len(), 0, bounds::CONTAINERS);
    for (n, name) in names.iter().enumerate() {
        errors.label_name(&format!("{path}[{n}]"), name, "container");
    }
    let mut names = names.to_vec();
    names.sort_unstable();
    names.dedup();
    names
}

fn kinds(errors: &mut Errors, path: &str, kinds: &[String]) -> Vec<String> {
    errors.count(path, kinds.len(), 0, bounds::KINDS);
    for (n, text) in kinds.iter().enumerate() {
        let (kind, group) =
            text.split_once('.').map_or((text.as_str(), None), |(kind, group)| (kind, Some(group)));
        let kind_fine = kind.starts_with(|c: char| c.is_ascii_uppercase())
            && kind.len() <= 63
            && kind.bytes().all(|b| b.is_ascii_alphanumeric());
        let group_fine = group.is_none_or(|group| {
            !group.is_empty()
                && group.len() <= 253
                && group
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
        });
        if !kind_fine || !group_fine {
            let fix = "write Kind, such as Deployment, or Kind.group, such as Rollout.argoproj.io";
            errors.add(format!("{path}[{n}]"), text, "is no kind", fix);
        }
    }
    if kinds.is_empty() {
        return defaults::KINDS.map(str::to_owned).to_vec();
    }
    let mut kinds = kinds.to_vec();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

fn budget(
    errors: &mut Errors,
    path: &str,
    max_unavailable: Option<&k8s_openapi::apimachinery::pkg::util::intstr::IntOrString>,
    max_moving: Option<i64>,
) -> Option<(Amount, usize)> {
    let unavailable = match max_unavailable {
        None => Some(Amount::Percent(defaults::MAX_UNAVAILABLE)),
        Some(amount) => errors.amount(&format!("{path}.maxUnavailable"), amount),
    };
    let moving = match max_moving {
        None => Some(defaults::MAX_MOVING),
        Some(n) => errors
            .number(&format!("{path}.maxMoving"), n, 1, bounds::MOVING)
            .and_then(|n| usize::try_from(n).ok()),
    };
    Some((unavailable?, moving?))
}
