//! Who is compared with whom: the pods at risk in one tick, by stratum, node and arm.
//!
//! Guarantees: a pod is counted once per stratum, node and arm, however often it is added.
//! Assumes: the caller counts at the *start* of a tick, by the rules at [`Arms::add`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{bounded, fingerprint::Fingerprint};

const MAX_STRATUM_BYTES: usize = 190;

/// Who a pod is compared with: the pods of the same top owner that were made from the same pod template.
///
/// Pooling applications would break the comparison: one that always crashes and happens to hold more candidate pods
/// than another looks like a bad release. When an application rolls, its new template is a new stratum; what the old
/// one has shown stays counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Stratum(String);

impl Stratum {
    /// `namespace/Kind/name@template`: the pod's top owner, and the hash of the pod template it was made from.
    #[must_use]
    pub fn new(namespace: &str, kind: &str, name: &str, template: &str) -> Self {
        Self(bounded(&format!("{namespace}/{kind}/{name}@{template}"), MAX_STRATUM_BYTES))
    }

    /// The text that is kept in the status.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Stratum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which release a pod runs: the candidate, or what the stage ran before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Arm {
    /// The pod runs the candidate.
    Candidate,
    /// The pod runs the stage's stable release.
    Baseline,
}

/// One crash: the container died with the contents of `arm`, and it was not we who restarted it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Crash {
    /// The stratum of the pod.
    pub stratum: Stratum,
    /// The contents that died, not those that run now.
    pub arm: Arm,
    /// The node the pod runs on.
    pub node: String,
    /// The pod, by the same name as in [`Arms::add`].
    pub pod: String,
    /// What it died of, where that is known.
    pub fingerprint: Option<Fingerprint>,
}

/// The pods of one stratum at risk on one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeArms {
    /// Names of the pods that run the candidate.
    pub candidate: BTreeSet<String>,
    /// Names of the pods that run the stable release.
    pub baseline: BTreeSet<String>,
}

impl NodeArms {
    fn pods(&self, arm: Arm) -> &BTreeSet<String> {
        match arm {
            Arm::Candidate => &self.candidate,
            Arm::Baseline => &self.baseline,
        }
    }
}

/// The pods at risk of a crash in one tick, by stratum and node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arms(BTreeMap<Stratum, BTreeMap<String, NodeArms>>);

impl Arms {
    /// Counts one pod. Its name must be unique in the stage (`namespace/name`).
    ///
    /// A pod is at risk if it is neither being deleted nor terminal, and its container has been through the warm-up
    /// for these contents. A container that waits for its next start after a crash is at risk, too: it can crash
    /// again in this tick. Only crashes of pods that are at risk are counted.
    pub fn add(&mut self, stratum: &Stratum, arm: Arm, node: &str, pod: &str) {
        let nodes = self.0.entry(stratum.clone()).or_default();
        let at_node = nodes.entry(node.to_owned()).or_default();
        match arm {
            Arm::Candidate => at_node.candidate.insert(pod.to_owned()),
            Arm::Baseline => at_node.baseline.insert(pod.to_owned()),
        };
    }

    /// Keeps the pods of these nodes only.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        for nodes in self.0.values_mut() {
            nodes.retain(|node, _| keep(node));
        }
        self.0.retain(|_, nodes| !nodes.is_empty());
    }

    /// The number of pods of an arm, over all strata.
    #[must_use]
    pub fn count(&self, arm: Arm) -> u64 {
        self.0.values().map(|nodes| count(nodes, arm)).sum()
    }

    /// Whether some stratum has pods in both arms: else there is nothing to compare with.
    #[must_use]
    pub fn comparable(&self) -> bool {
        self.0.values().any(|nodes| count(nodes, Arm::Candidate) > 0 && count(nodes, Arm::Baseline) > 0)
    }

    /// The node that holds every candidate pod, if there is one.
    pub(super) fn only_candidate_node(&self) -> Option<&str> {
        let nodes: BTreeSet<&str> = self
            .0
            .values()
            .flatten()
            .filter(|(_, arms)| !arms.candidate.is_empty())
            .map(|(node, _)| node.as_str())
            .collect();
        (nodes.len() == 1).then(|| nodes.first().copied()).flatten()
    }

    /// Whether a stratum has pods in both arms on this one node.
    pub(super) fn comparable_on(&self, node: &str) -> bool {
        self.0
            .values()
            .filter_map(|nodes| nodes.get(node))
            .any(|at_node| !at_node.candidate.is_empty() && !at_node.baseline.is_empty())
    }

    pub(super) fn at_risk(&self, crash: &Crash) -> bool {
        self.nodes(&crash.stratum)
            .and_then(|nodes| nodes.get(&crash.node))
            .is_some_and(|at_node| at_node.pods(crash.arm).contains(&crash.pod))
    }

    /// Candidate and baseline pods of every node that has any, over all strata.
    pub(super) fn by_node(&self) -> BTreeMap<&str, (u64, u64)> {
        let mut nodes: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for (node, arms) in self.0.values().flatten() {
            let (candidate, baseline) = nodes.entry(node).or_default();
            *candidate += arms.candidate.len() as u64;
            *baseline += arms.baseline.len() as u64;
        }
        nodes
    }

    pub(super) fn nodes(&self, stratum: &Stratum) -> Option<&BTreeMap<String, NodeArms>> {
        self.0.get(stratum)
    }
}

/// The number of pods of an arm on these nodes.
pub(super) fn count(nodes: &BTreeMap<String, NodeArms>, arm: Arm) -> u64 {
    nodes.values().map(|at_node| at_node.pods(arm).len() as u64).sum()
}
