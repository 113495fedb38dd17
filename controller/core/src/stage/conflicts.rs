//! Two that would own one container: the older keeps it (decision 5).
//!
//! Decided without looking at pods: two pins of one namespace may meet unless their labels, repositories or
//! containers exclude each other.

use crate::{
    observed::{Claim, Claimed, StageSeen},
    pin::PinSpec,
    policy::{PodsTarget, Policy, Stage, Target},
};
use std::collections::BTreeMap;

/// The older claim that stage `index` would meet, as a sentence: another policy's, or one of the stages above it.
#[must_use]
pub fn find(policy: &Policy, index: usize, stages: &[StageSeen], claims: &[Claim]) -> Option<String> {
    let (stage, seen) = (policy.stages.get(index)?, stages.get(index)?);
    let age = (policy.created, policy.uid.clone());
    let above = claims_above(policy, index, stages);
    let older = claims.iter().filter(|claim| claim.age < age).chain(&above);
    older.into_iter().find(|claim| meets(policy, stage, seen, claim)).map(|claim| {
        let place = match &claim.what {
            Claimed::Pods { namespace, .. } => format!("pods in namespace {namespace}"),
            Claimed::Workload { .. } => "the same workload".to_owned(),
        };
        format!("stage {} of {} was there first and keeps {place}", claim.stage, claim.policy)
    })
}

/// What the stages above `index` would pin.
fn claims_above(policy: &Policy, index: usize, stages: &[StageSeen]) -> Vec<Claim> {
    let mut claims = Vec::new();
    for (stage, seen) in policy.stages.iter().zip(stages).take(index) {
        let mut claim = |what| {
            claims.push(Claim {
                policy: format!("{}/{}", policy.namespace, policy.name),
                age: (policy.created, policy.uid.clone()),
                stage: stage.name.clone(),
                what,
            });
        };
        for (of, namespace) in &seen.namespaces {
            let Some((labels, containers)) = stage.targets.get(*of).and_then(Target::of_pods) else {
                continue;
            };
            claim(Claimed::Pods {
                namespace: namespace.clone(),
                match_labels: labels.clone(),
                repositories: policy.repositories().cloned().collect(),
                containers: containers.iter().cloned().collect(),
            });
        }
        for workload in &seen.workloads {
            let Some(target) = stage.targets.get(workload.target) else { continue };
            let containers = target.containers().iter().cloned().collect();
            claim(Claimed::Workload { uid: workload.key.uid.clone(), containers });
        }
    }
    claims
}

fn meets(policy: &Policy, stage: &Stage, seen: &StageSeen, claim: &Claim) -> bool {
    stage.targets.iter().enumerate().any(|(index, target)| match (target, &claim.what) {
        (
            Target::Pods(_) | Target::Git(_),
            Claimed::Pods { namespace, match_labels, repositories, containers },
        ) => {
            let Some((labels, mine)) = target.of_pods() else { return false };
            seen.namespaces.iter().any(|(of, name)| *of == index && name == namespace)
                && labels_meet(labels, match_labels)
                && policy.repositories().any(|r| repositories.contains(r))
                && containers_meet(mine, containers.iter())
        }
        (Target::Workloads(target), Claimed::Workload { uid, containers }) => {
            seen.workloads.iter().any(|w| w.target == index && w.key.uid == *uid)
                && (target.containers.is_empty()
                    || containers.is_empty()
                    || target.containers.iter().any(|c| containers.contains(c)))
        }
        _ => false,
    })
}

/// Whether a target of this policy and a pin of its own may give one container two digests.
#[must_use]
pub fn pin_meets(target: &PodsTarget, pin: &PinSpec) -> bool {
    let theirs = pin.containers.iter().flatten().collect::<Vec<_>>();
    labels_meet(&target.match_labels, &pin.match_labels)
        && containers_meet(&target.containers, theirs.into_iter())
}

fn labels_meet(a: &BTreeMap<String, String>, b: &BTreeMap<String, String>) -> bool {
    a.iter().all(|(key, value)| b.get(key).is_none_or(|other| other == value))
}

fn containers_meet<'c>(mine: &[String], mut theirs: impl ExactSizeIterator<Item = &'c String>) -> bool {
    mine.is_empty() || theirs.len() == 0 || theirs.any(|c| mine.contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        image::Tag,
        observed::{ObjectKey, WorkloadSeen},
        policy::{
            Amount, DeletionPolicy, DriftMode, HealthSettings, Mode, Movement, Namespaces, RollbackMode,
            WorkloadsTarget,
        },
        select::{Order, Selection},
    };
    use jiff::{SignedDuration, Timestamp};

    fn labels(text: &str) -> BTreeMap<String, String> {
        text.split(',').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect()
    }

    fn pods(match_labels: &str, containers: &[&str]) -> Target {
        Target::Pods(PodsTarget {
            namespaces: Namespaces::Own,
            match_labels: labels(match_labels),
            containers: containers.iter().map(ToString::to_string).collect(),
            movement: Movement::InPlace,
            max_unavailable: Amount::Percent(25),
            max_moving: 50,
        })
    }

    fn workloads() -> Target {
        Target::Workloads(WorkloadsTarget {
            namespaces: Namespaces::Own,
            match_labels: labels("app=a"),
            containers: Vec::new(),
            kinds: Vec::new(),
            max_unavailable: Amount::Percent(25),
            max_moving: 50,
        })
    }

    fn stage(name: &str, target: Target) -> Stage {
        Stage {
            name: name.into(),
            hash: String::new(),
            after: Vec::new(),
            targets: vec![target],
            soak: SignedDuration::from_mins(30),
            max_soak: SignedDuration::from_hours(6),
            approvals: 0,
            windows: Vec::new(),
            waves: None,
            rollback: RollbackMode::Automatic,
            drift: DriftMode::Report,
        }
    }

    fn policy(stages: Vec<Stage>) -> Policy {
        let tag: Tag = "latest".parse().unwrap();
        Policy {
            namespace: "platform".into(),
            name: "otel".into(),
            uid: "m".into(),
            generation: 1,
            created: Timestamp::from_second(100).unwrap(),
            image: "ghcr.io/a/otel".parse().unwrap(),
            pull_from: Vec::new(),
            interval: SignedDuration::from_mins(5),
            mode: Mode::Enforce,
            suspend: false,
            deletion_policy: DeletionPolicy::Retain,
            select: Selection::of(Order::Digest { tag }).unwrap(),
            verify: None,
            stages,
            signals: Vec::new(),
            notify: None,
            health: HealthSettings {
                tick: SignedDuration::from_mins(1),
                warm_up: SignedDuration::ZERO,
                false_rollback_budget: 0.02,
                require: None,
                no_data_after: SignedDuration::from_mins(15),
                no_data_max: SignedDuration::from_hours(6),
                ready_deadline: SignedDuration::from_mins(10),
                guard: SignedDuration::from_hours(48),
                sweep: SignedDuration::from_mins(1),
            },
        }
    }

    fn seen(namespace: &str) -> StageSeen {
        StageSeen { namespaces: vec![(0, namespace.into())], ..StageSeen::default() }
    }

    fn claim(second: i64, uid: &str, match_labels: &str, repository: &str, containers: &[&str]) -> Claim {
        Claim {
            policy: "platform/other".into(),
            age: (Timestamp::from_second(second).unwrap(), uid.into()),
            stage: "prod".into(),
            what: Claimed::Pods {
                namespace: "prod".into(),
                match_labels: labels(match_labels),
                repositories: [repository.parse().unwrap()].into(),
                containers: containers.iter().map(ToString::to_string).collect(),
            },
        }
    }

    #[test]
    fn row_16_the_older_policy_keeps_what_both_could_own() {
        let policy = policy(vec![stage("prod", pods("app=a", &["otel"]))]);
        let stages = [seen("prod")];
        let otel = "ghcr.io/a/otel";
        for (name, claim, conflicted) in [
            ("older", claim(99, "z", "app=a", otel, &[]), true),
            ("older, other labels that may meet", claim(99, "z", "team=x", otel, &[]), true),
            ("as old, smaller uid", claim(100, "a", "app=a", otel, &[]), true),
            ("as old, greater uid", claim(100, "z", "app=a", otel, &[]), false),
            ("younger", claim(101, "a", "app=a", otel, &[]), false),
            ("labels that exclude each other", claim(99, "z", "app=b", otel, &[]), false),
            ("another repository", claim(99, "z", "app=a", "ghcr.io/a/otel2", &[]), false),
            ("another container", claim(99, "z", "app=a", otel, &["envoy"]), false),
            ("the same container", claim(99, "z", "app=a", otel, &["envoy", "otel"]), true),
        ] {
            assert_eq!(find(&policy, 0, &stages, &[claim]).is_some(), conflicted, "{name}");
        }
        let elsewhere = [seen("dev")];
        assert_eq!(find(&policy, 0, &elsewhere, &[claim(99, "z", "app=a", otel, &[])]), None);
    }

    #[test]
    fn row_16_the_stage_above_keeps_what_both_could_own() {
        let two = policy(vec![stage("dev", pods("app=a", &[])), stage("prod", pods("tier=web", &[]))]);
        let apart = [seen("dev"), seen("prod")];
        assert_eq!((find(&two, 0, &apart, &[]), find(&two, 1, &apart, &[])), (None, None));
        let same = [seen("prod"), seen("prod")];
        assert_eq!(find(&two, 0, &same, &[]), None, "a stage does not meet itself, nor those below it");
        assert!(find(&two, 1, &same, &[]).unwrap().contains("stage dev of platform/otel"));
        let three =
            policy(vec![stage("dev", workloads()), stage("prod", workloads()), stage("late", workloads())]);
        let with = |uid: &str| StageSeen {
            workloads: vec![WorkloadSeen {
                key: ObjectKey { uid: uid.into(), ..ObjectKey::default() },
                ..WorkloadSeen::default()
            }],
            ..seen("prod")
        };
        let stages = [with("u"), with("v"), with("u")];
        assert_eq!(find(&three, 1, &stages, &[]), None);
        assert!(find(&three, 2, &stages, &[]).unwrap().contains("the same workload"));
    }
}
