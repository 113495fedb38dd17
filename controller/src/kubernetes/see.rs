//! What one policy sees of the cluster, from the stores alone.
//!
//! Guarantees: no I/O and no waiting; each pod once, under the first of the stage's targets that matches it; namespaces
//! that are terminating or left alone by label are not reached; what no fresh watch vouches for is marked stale.
//! Refusals of writes are not here: whoever writes remembers them.

use super::{
    watch::{
        pod::PodEntry,
        world::{Watch, World},
    },
    wire::{Selector, has_all},
};
use crate::ports::{ClusterView, PolicyKey};
use jiff::Timestamp;
use lockkeeper_core::{
    git::GitTarget,
    observed::{Claim, Claimed, Owner, PodSeen, StageSeen, WorkloadSeen},
    policy::{PodsTarget, Policy, Stage, Target},
};
use std::collections::{BTreeMap, BTreeSet};

/// The view of one policy.
#[must_use]
pub fn view(world: &World, policy: &Policy) -> ClusterView {
    let key = PolicyKey { namespace: policy.namespace.clone(), name: policy.name.clone() };
    ClusterView {
        stages: policy.stages.iter().map(|stage| see_stage(world, policy, stage)).collect(),
        pins: world
            .pins
            .iter()
            .filter(|(_, _, pin)| pin.is_of(&key))
            .map(|(_, _, pin)| pin.seen.clone())
            .collect(),
        quarantines: world
            .quarantines
            .in_namespace(&policy.namespace)
            .map(|(_, seen)| seen.clone())
            .collect(),
        interventions: [&policy.namespace, &world.own_namespace]
            .into_iter()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .flat_map(|namespace| {
                let all = world.interventions.in_namespace(namespace);
                all.filter(|(_, entry)| {
                    entry.object.concerns(&key.namespace, &key.name, &policy.uid, &world.own_namespace)
                })
            })
            .map(|(_, entry)| entry.seen.clone())
            .collect(),
        claims: claims(world, policy, &key),
    }
}

fn see_stage(world: &World, policy: &Policy, stage: &Stage) -> StageSeen {
    let mut found: Vec<(usize, &PodEntry)> = Vec::new();
    let mut workloads: BTreeMap<(String, String, String), WorkloadSeen> = BTreeMap::new();
    let mut namespaces = Vec::new();
    for (index, target) in stage.targets.iter().enumerate() {
        for namespace in world.usable(policy, target.namespaces()) {
            found.extend(matching_pods(world, target, &namespace).into_iter().map(|entry| (index, entry)));
            for workload in matching_workloads(world, target, &namespace) {
                let key = (namespace.clone(), workload.kind.clone(), workload.key.name.clone());
                workloads.entry(key).or_insert_with(|| WorkloadSeen { target: index, ..workload.clone() });
            }
            namespaces.push((index, namespace));
        }
    }
    let pods = see_pods(world, found);
    let mut workloads: Vec<WorkloadSeen> = workloads.into_values().collect();
    workloads.sort_by(|a, b| a.key.cmp(&b.key));
    let nodes: BTreeSet<&str> = pods.iter().map(|pod| pod.node.as_str()).collect();
    let mut platforms: Vec<_> = nodes.iter().filter_map(|node| world.nodes.get("", node).cloned()).collect();
    platforms.sort();
    platforms.dedup();
    StageSeen {
        stale_since: stale_since(world, stage),
        terminating: stage.targets.iter().flat_map(|t| world.terminating(policy, t.namespaces())).collect(),
        birth_pinning: world.birth_pinning(),
        platforms,
        namespaces,
        pods,
        workloads,
        // What writes were refused for is remembered by whoever writes.
        ..StageSeen::default()
    }
}

/// Each pod once, by namespace and name, under the first target that found it.
fn see_pods(world: &World, mut found: Vec<(usize, &PodEntry)>) -> Vec<PodSeen> {
    // Stable, so that of equals the first target's stays. With one target they are in order already.
    found.sort_by(|(_, a), (_, b)| place(a).cmp(&place(b)));
    found.dedup_by(|(_, later), (_, first)| place(later) == place(first));
    let by_namespace = found.chunk_by(|(_, a), (_, b)| place(a).0 == place(b).0);
    by_namespace.flat_map(|pods| see_pods_of_namespace(world, pods)).collect()
}

fn place(entry: &PodEntry) -> (&str, &str) {
    (&entry.seen.key.namespace, &entry.seen.key.name)
}

/// The oldest staleness among the watches that this stage stands on.
fn stale_since(world: &World, stage: &Stage) -> Option<Timestamp> {
    let kinds: BTreeSet<&str> = stage
        .targets
        .iter()
        .filter_map(|target| match target {
            Target::Workloads(target) => Some(target.kinds.iter().map(String::as_str)),
            Target::Pods(_) | Target::Git(_) => None,
        })
        .flatten()
        .collect();
    let needed = |watch: &Watch| match watch {
        Watch::AdmissionPolicies | Watch::AdmissionBindings => false,
        // They lead from pods to CronJobs, and nowhere else.
        Watch::Jobs => kinds.iter().any(|wanted| matches!(*wanted, "CronJob" | "CronJob.batch")),
        // These own pods, and their rollouts hold moves; the others count where they are targets.
        Watch::Workloads(name)
            if matches!(name.as_str(), "Deployment.apps" | "StatefulSet.apps" | "DaemonSet.apps") =>
        {
            true
        }
        Watch::Workloads(name) => {
            world.kinds.iter().any(|kind| kind.name() == *name && kinds.iter().any(|wanted| kind.is(wanted)))
        }
        _ => true,
    };
    world.stale_watches().iter().filter(|(watch, _)| needed(watch)).map(|(_, since)| *since).min()
}

fn matching_pods<'a>(world: &'a World, target: &Target, namespace: &str) -> Vec<&'a PodEntry> {
    let all = world.pods.in_namespace(namespace).map(|(_, entry)| entry);
    match target {
        Target::Pods(PodsTarget { match_labels, .. }) | Target::Git(GitTarget { match_labels, .. }) => {
            all.filter(|entry| has_all(&entry.labels, match_labels)).collect()
        }
        Target::Workloads(_) => {
            let selected: BTreeSet<(&str, &str)> = matching_workloads(world, target, namespace)
                .into_iter()
                .map(|workload| (workload.kind.as_str(), workload.key.name.as_str()))
                .collect();
            all.filter(|entry| {
                let owner = world.owner_of(namespace, entry);
                owner.is_some_and(|owner| selected.contains(&(owner.kind.as_str(), owner.name.as_str())))
            })
            .collect()
        }
    }
}

fn matching_workloads<'a>(world: &'a World, target: &Target, namespace: &str) -> Vec<&'a WorkloadSeen> {
    let Target::Workloads(target) = target else { return Vec::new() };
    let shelves = world.workloads.values();
    shelves
        .flat_map(|shelf| shelf.in_namespace(namespace))
        .filter(|(_, entry)| world.selects(target, entry))
        .map(|(_, entry)| &entry.seen)
        .collect()
}

/// The pods of one namespace, with what other objects say of them.
fn see_pods_of_namespace(world: &World, found: &[(usize, &PodEntry)]) -> Vec<PodSeen> {
    let Some((_, first)) = found.first() else { return Vec::new() };
    let namespace = &first.seen.key.namespace;
    let budgets = world.budgets.in_namespace(namespace).map(|(_, budget)| budget);
    let blocked: Vec<&Selector> =
        budgets.filter(|budget| budget.blocked).filter_map(|budget| budget.selector.as_ref()).collect();
    found.iter().map(|(target, entry)| see_pod(world, namespace, entry, *target, &blocked)).collect()
}

/// A pod with what other objects say of it; `blocked` are the selectors of the budgets that allow no disruption.
fn see_pod(
    world: &World,
    namespace: &str,
    entry: &PodEntry,
    target: usize,
    blocked: &[&Selector],
) -> PodSeen {
    let owner = world.owner_of(namespace, entry);
    let (kind, name) = match owner {
        Some(owner) => (owner.kind.clone(), owner.name.clone()),
        None => ("Pod".to_owned(), entry.seen.key.name.clone()),
    };
    PodSeen {
        target,
        owner_rolling: world.workload(namespace, &kind, &name).is_some_and(|workload| workload.rolling),
        owner: Owner { kind, name, template: entry.seen.owner.template.clone() },
        budget_blocked: blocked.iter().any(|selector| selector.selects(&entry.labels)),
        ..entry.seen.clone()
    }
}

/// What its rivals claim in the namespaces of this one: those that write (one that only observes would give nothing up).
fn claims(world: &World, policy: &Policy, key: &PolicyKey) -> Vec<Claim> {
    let targets = policy.stages.iter().flat_map(|stage| &stage.targets);
    let mine: BTreeSet<String> = targets.flat_map(|t| world.usable(policy, t.namespaces())).collect();
    let rivals = world.writing_rivals(policy, key, &mine);
    rivals.flat_map(|rival| claims_of(world, rival, &mine)).collect()
}

fn claims_of(world: &World, policy: &Policy, within: &BTreeSet<String>) -> Vec<Claim> {
    let mut claims = Vec::new();
    for stage in &policy.stages {
        let mut claim = |what| {
            claims.push(Claim {
                policy: format!("{}/{}", policy.namespace, policy.name),
                age: (policy.created, policy.uid.clone()),
                stage: stage.name.clone(),
                what,
            });
        };
        for target in &stage.targets {
            let containers: BTreeSet<String> = target.containers().iter().cloned().collect();
            for namespace in
                world.usable(policy, target.namespaces()).into_iter().filter(|n| within.contains(n))
            {
                match target {
                    Target::Pods(PodsTarget { match_labels, .. })
                    | Target::Git(GitTarget { match_labels, .. }) => claim(Claimed::Pods {
                        namespace,
                        match_labels: match_labels.clone(),
                        repositories: policy.repositories().cloned().collect(),
                        containers: containers.clone(),
                    }),
                    Target::Workloads(_) => {
                        for workload in matching_workloads(world, target, &namespace) {
                            let governed = governed(policy, &containers, workload);
                            if !governed.is_empty() {
                                claim(Claimed::Workload {
                                    uid: workload.key.uid.clone(),
                                    containers: governed,
                                });
                            }
                        }
                    }
                }
            }
        }
    }
    claims
}

/// The containers of a workload that run one of the policy's repositories.
fn governed(policy: &Policy, named: &BTreeSet<String>, workload: &WorkloadSeen) -> BTreeSet<String> {
    let runs = |image: &str| {
        let image = image.parse::<lockkeeper_core::image::ImageRef>();
        image.is_ok_and(|image| policy.repositories().any(|repository| repository == image.repository()))
    };
    let containers = workload.containers.iter().filter(|c| named.is_empty() || named.contains(&c.name));
    containers.filter(|c| runs(&c.image)).map(|c| c.name.clone()).collect()
}
