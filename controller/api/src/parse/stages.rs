//! `spec.stages`: each by itself, then what they wait for.

use super::{
    error::{Errors, suggestion},
    hash, scalar, targets, windows,
};
use crate::{bounds, defaults, spec};
use jiff::SignedDuration;
use lockkeeper_core::{
    policy::{Amount, DriftMode, HealthSettings, RollbackMode, Stage, Wave},
    signals::Signal,
};
use std::collections::BTreeSet;

/// How stages are judged; none while something in it is wrong.
type Judged<'a> = Option<(&'a HealthSettings, &'a [Signal])>;

pub(super) fn parse(errors: &mut Errors, stages: &[spec::Stage], health: Judged<'_>) -> Option<Vec<Stage>> {
    errors.count("spec.stages", stages.len(), 1, bounds::STAGES);
    unique_names(errors, stages);
    let found: Vec<Option<Stage>> = stages
        .iter()
        .enumerate()
        .take(bounds::STAGES)
        .map(|(n, stage)| {
            let after = predecessors(errors, stages, n);
            one(errors, &format!("spec.stages[{n}]"), stage, after, health)
        })
        .collect();
    found.into_iter().collect()
}

fn one(
    errors: &mut Errors,
    path: &str,
    stage: &spec::Stage,
    after: Option<Vec<usize>>,
    health: Judged<'_>,
) -> Option<Stage> {
    let named = errors.label_name(&format!("{path}.name"), &stage.name, "stage");
    let targets = targets::parse(errors, &format!("{path}.targets"), &stage.targets);
    let soak = stage.soak.as_deref().unwrap_or(defaults::SOAK);
    let soak = errors.duration(&format!("{path}.soak"), soak, bounds::SOAK);
    let waves = match &stage.waves {
        None => Some(None),
        Some(waves) => self::waves(errors, &format!("{path}.waves"), waves).map(Some),
    };
    let max_soak = max_soak(errors, path, stage, soak, waves.as_ref().and_then(Option::as_deref));
    let approvals = match &stage.approval {
        None => Some(0),
        Some(approval) => errors
            .number(&format!("{path}.approval.required"), approval.required, 1, bounds::APPROVALS)
            .and_then(|n| u32::try_from(n).ok()),
    };
    let windows = windows::parse(errors, &format!("{path}.windows"), &stage.windows);
    let rollback = errors.word(
        &format!("{path}.rollback"),
        stage.rollback.as_deref().unwrap_or(defaults::ROLLBACK),
        &[
            ("Automatic", RollbackMode::Automatic),
            ("Recommend", RollbackMode::Recommend),
            ("Manual", RollbackMode::Manual),
        ],
    );
    let drift = errors.word(
        &format!("{path}.drift"),
        stage.drift.as_deref().unwrap_or(defaults::DRIFT),
        &[("Report", DriftMode::Report), ("Repair", DriftMode::Repair)],
    );
    named.then_some(())?;
    let (targets, soak, waves) = (targets?, soak?, waves?);
    Some(Stage {
        name: stage.name.clone(),
        hash: hash::of_stage(&targets, waves.as_deref(), soak, health?.0, health?.1),
        after: after?,
        targets,
        soak,
        max_soak: max_soak?,
        approvals: approvals?,
        windows: windows?,
        waves,
        rollback: rollback?,
        drift: drift?,
    })
}

fn unique_names(errors: &mut Errors, stages: &[spec::Stage]) {
    let mut seen = BTreeSet::new();
    for (n, stage) in stages.iter().enumerate() {
        if !seen.insert(&stage.name) && !stage.name.is_empty() {
            let reason = "is the name of a stage above, too";
            errors.add(
                format!("spec.stages[{n}].name"),
                &stage.name,
                reason,
                "give every stage its own name",
            );
        }
    }
}

/// Indices of the stages that this one waits for; the stage above if nothing is said.
fn predecessors(errors: &mut Errors, stages: &[spec::Stage], n: usize) -> Option<Vec<usize>> {
    let Some(after) = &stages[n].after else { return Some(n.checked_sub(1).into_iter().collect()) };
    let list = format!("spec.stages[{n}].after");
    errors.count(&list, after.len(), 0, bounds::STAGES);
    let mut found = BTreeSet::new();
    let mut fine = true;
    for (m, name) in after.iter().enumerate() {
        match stages.iter().position(|stage| stage.name == *name) {
            Some(above) if above < n => {
                found.insert(above);
            }
            wrong => {
                fine = false;
                let (reason, fix) = why_not(stages, n, wrong, name);
                errors.add(format!("{list}[{m}]"), name, reason, fix);
            }
        }
    }
    fine.then(|| found.into_iter().collect())
}

fn why_not(stages: &[spec::Stage], n: usize, named: Option<usize>, name: &str) -> (String, String) {
    let own = &stages[n].name;
    match named {
        None => {
            let others: Vec<&str> = stages[..n].iter().map(|stage| stage.name.as_str()).collect();
            ("is no stage above this one".into(), suggestion(name, others))
        }
        Some(same) if same == n => ("is the stage itself".into(), "remove it".into()),
        Some(below) => match way_back(stages, below, n, &mut BTreeSet::new()) {
            Some(way) => {
                let all: Vec<&str> = way.iter().map(|n| stages[*n].name.as_str()).collect();
                let cycle = format!("{own} → {}", all.join(" → "));
                (
                    format!("makes a cycle, each stage waiting for the next: {cycle}"),
                    "remove one of them".into(),
                )
            }
            None => ("stands below this stage".into(), format!("move it above {own}, or remove it")),
        },
    }
}

/// The stages on the way from `from` over their predecessors to `to`.
fn way_back(
    stages: &[spec::Stage],
    from: usize,
    to: usize,
    seen: &mut BTreeSet<usize>,
) -> Option<Vec<usize>> {
    if from == to {
        return Some(vec![to]);
    }
    if !seen.insert(from) {
        return None;
    }
    let next: Vec<usize> = match &stages[from].after {
        None => from.checked_sub(1).into_iter().collect(),
        Some(after) => {
            after.iter().filter_map(|name| stages.iter().position(|stage| stage.name == *name)).collect()
        }
    };
    next.into_iter().find_map(|next| {
        let mut way = way_back(stages, next, to, seen)?;
        way.insert(0, from);
        Some(way)
    })
}

fn waves(errors: &mut Errors, path: &str, waves: &[spec::Wave]) -> Option<Vec<Wave>> {
    errors.count(path, waves.len(), 0, bounds::WAVES);
    let mut found: Vec<Option<Wave>> = Vec::new();
    for (n, wave) in waves.iter().enumerate() {
        let pods = errors.amount(&format!("{path}[{n}].pods"), &wave.pods);
        let soak = errors.duration(&format!("{path}[{n}].soak"), &wave.soak, bounds::SOAK);
        if let (Some(pods), Some(Some(before))) = (pods, found.last())
            && !grows(before.pods, pods)
        {
            let reason = "is no more than the wave before it has";
            let text = match pods {
                Amount::Count(n) => n.to_string(),
                Amount::Percent(n) => format!("{n}%"),
            };
            errors.add(
                format!("{path}[{n}].pods"),
                &text,
                reason,
                "let every wave hold more pods than the one before",
            );
        }
        found.push(pods.zip(soak).map(|(pods, soak)| Wave { pods, soak }));
    }
    found.into_iter().collect()
}

/// Whether a wave may follow another; a number and a share cannot be compared before the pods are counted.
fn grows(before: Amount, after: Amount) -> bool {
    match (before, after) {
        (Amount::Count(a), Amount::Count(b)) | (Amount::Percent(a), Amount::Percent(b)) => a < b,
        _ => true,
    }
}

/// Given, or six hours, or twice the longest soak if that is more: a soak that cannot end in time is no soak.
fn max_soak(
    errors: &mut Errors,
    path: &str,
    stage: &spec::Stage,
    soak: Option<SignedDuration>,
    waves: Option<&[Wave]>,
) -> Option<SignedDuration> {
    let longest = waves.unwrap_or_default().iter().map(|wave| wave.soak).chain(soak).max()?;
    let path = format!("{path}.maxSoak");
    let Some(text) = &stage.max_soak else {
        let usual = scalar::duration(defaults::MAX_SOAK).ok()?;
        let twice = SignedDuration::from_secs(longest.as_secs().saturating_mul(2));
        return Some(usual.max(twice));
    };
    let given = errors.duration(&path, text, bounds::SOAK)?;
    if given < longest {
        let reason = format!("is shorter than the stage's longest soak, {}", scalar::duration_text(longest));
        errors.add(path, text, reason, "lengthen it, or no release could ever be verified");
        return None;
    }
    Some(given)
}
