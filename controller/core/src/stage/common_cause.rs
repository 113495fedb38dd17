//! The common-cause rule: what speaks against a release at the same moment as against other images is not the release's
//! doing, for a while.
//!
//! A node shakes for a release while pods of two other images crash on it that run what they ran before. What happens on such
//! a node is left out, and what remains decides. A server of signals is doubted while candidates of two other images look
//! worse by it, too.
//!
//! Guarantees: it only ever withholds a rollback, so the bound on false ones stays; it may touch [`MOST`] ticks of a flight
//! at most, after which it is as if it were not there, so that no release hides behind others for ever; what shares an
//! image with the policy, or a pod with the release itself, is no witness. May not: be asked about anything but evidence
//! against a release.

use super::{
    StageView,
    ticks::crashes_of,
    view::{CRASH_LOOP, PodView},
};
use crate::{
    image::Release,
    observed::{CrashElsewhere, Elsewhere, PodSeen, StageSeen},
    policy::Policy,
    status::{Flight, SignalMemory, Status},
};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// Ticks of one flight, or of one crash loop in the guard, that the rule may touch.
pub const MOST: u32 = 30;
/// The reason of what is held by this rule.
pub const COMMON_CAUSE: &str = "CommonCause";
/// Other images that have to show the same.
const OTHERS: usize = 2;
/// Ticks that are the same moment.
const MOMENT: i32 = 10;
/// A pod that crashed more often than once in so many ticks of its life tells nothing of this moment.
const RARELY: i32 = 30;
/// A gauge that speaks so loudly against a candidate is told to others: a tenth of what an alarm takes, at most.
const LOUD: f64 = 10.0;
/// Crashes that a policy shows.
const SHOWN: usize = 100;
/// Other policies, and nodes, that a sentence names.
const NAMED: usize = 3;

/// What this policy shows to others.
#[must_use]
pub fn shown(policy: &Policy, status: &Status, stages: &[StageSeen], now: Timestamp) -> Elsewhere {
    let tick = policy.health.tick;
    let since = now.saturating_sub(tick.saturating_mul(MOMENT)).unwrap_or(Timestamp::MIN);
    let mut found = Elsewhere {
        policy: format!("{}/{}", policy.namespace, policy.name),
        images: policy.repositories().cloned().collect(),
        ..Elsewhere::default()
    };
    for ((stage, seen), status) in policy.stages.iter().zip(stages).zip(&status.stages) {
        if seen.stale_since.is_some() {
            continue;
        }
        let tried = status.flight.iter().map(|f| &f.release).chain(status.rollback.iter().map(|r| &r.bad));
        let tried: Vec<&Release> = tried.collect();
        let recent = |pod: &&PodSeen| pod.containers.iter().any(|c| c.died.is_some_and(|died| died >= since));
        for pod in seen.pods.iter().filter(recent) {
            let target = stage.targets.get(pod.target);
            let view = target.and_then(|target| PodView::governed(policy, target, pod, &mut Vec::new()));
            let Some(view) = view.filter(|view| !tried.iter().any(|bad| view.touches(bad))) else { continue };
            found.crashes.extend(crash(policy, &view, since, now));
        }
        let loud = status.flight.iter().flat_map(|flight| &flight.health.signals);
        for memory in loud.filter(|memory| memory.gauge.e() >= LOUD) {
            let at = memory.data_at.filter(|at| *at >= since);
            if let Some((server, at)) = server_of(policy, memory).zip(at) {
                found.worse.entry(server).and_modify(|newest| *newest = at.max(*newest)).or_insert(at);
            }
        }
    }
    found.crashes.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.pod.cmp(&b.pod)));
    found.crashes.truncate(SHOWN);
    found
}

fn crash(policy: &Policy, pod: &PodView<'_>, since: Timestamp, now: Timestamp) -> Option<CrashElsewhere> {
    let (crashes, at) = (crashes_of(pod), pod.died()?);
    // A move kills, too: what died just after it is not told from that.
    let moved = pod.seen.moved.as_ref().map(|moved| moved.at.saturating_add(policy.health.warm_up));
    let ours = moved.is_some_and(|settled| settled.unwrap_or(Timestamp::MAX) > at);
    let life = now.duration_since(pod.has_it_since()?);
    let often = policy.health.tick.saturating_mul(RARELY).saturating_mul(i32::try_from(crashes).ok()?);
    let tells =
        pod.live() && !pod.seen.node.is_empty() && crashes > 0 && at >= since && !ours && often <= life;
    tells.then(|| CrashElsewhere { node: pod.seen.node.clone(), pod: pod.seen.key.uid.clone(), at })
}

fn server_of(policy: &Policy, memory: &SignalMemory) -> Option<String> {
    let signal = policy.signals.iter().find(|signal| signal.name == memory.name)?;
    Some(signal.source.server.to_string())
}

/// What other policies show, as far as it concerns a release of this one.
#[derive(Debug, Default)]
pub struct Common<'a> {
    nodes: BTreeMap<&'a str, Witnesses<'a>>,
    servers: BTreeMap<&'a str, Witnesses<'a>>,
}

/// Policies that show the same, by what they govern.
type Witnesses<'a> = BTreeMap<&'a BTreeSet<crate::image::Repository>, &'a str>;

impl<'a> Common<'a> {
    /// What is shown now about the nodes of `release`'s pods and the servers of the policy's signals.
    #[must_use]
    pub fn of(view: &StageView<'a>, release: &Release) -> Self {
        let mut found = Self::default();
        if view.all.elsewhere.is_empty() {
            return found;
        }
        let since = view.now.saturating_sub(view.policy.health.tick.saturating_mul(MOMENT));
        let since = since.unwrap_or(Timestamp::MIN);
        // What a bad release does to its own pods, it may do to their other containers.
        let own: BTreeSet<&str> =
            view.pods.iter().filter(|p| p.touches(release)).map(|p| p.seen.key.uid.as_str()).collect();
        let others = view.all.elsewhere.iter();
        for other in others.filter(|other| !view.policy.repositories().any(|r| other.images.contains(r))) {
            let crashes = other.crashes.iter().filter(|c| c.at >= since && !own.contains(c.pod.as_str()));
            for crash in crashes {
                found.nodes.entry(&crash.node).or_default().insert(&other.images, &other.policy);
            }
            for (server, _) in other.worse.iter().filter(|(_, at)| **at >= since) {
                found.servers.entry(server).or_default().insert(&other.images, &other.policy);
            }
        }
        found.nodes.retain(|_, witnesses| witnesses.len() >= OTHERS);
        found.servers.retain(|_, witnesses| witnesses.len() >= OTHERS);
        found
    }

    /// The same for a flight, while the rule may touch it.
    #[must_use]
    pub fn of_flight(view: &StageView<'a>, flight: &Flight) -> Self {
        if flight.health.set_aside >= MOST { Self::default() } else { Self::of(view, &flight.release) }
    }

    /// The node shakes: what happens there is left out.
    #[must_use]
    pub fn shakes(&self, node: &str) -> bool {
        self.nodes.contains_key(node)
    }

    /// It has something to leave out, or to doubt, of this flight.
    #[must_use]
    pub fn touches(&self, view: &StageView<'_>, flight: &Flight) -> bool {
        if self.nodes.is_empty() && self.servers.is_empty() {
            return false;
        }
        let shaken = view.live().any(|p| self.shakes(&p.seen.node) && p.asked(&flight.release));
        let loud = flight.health.signals.iter().filter(|memory| memory.gauge.e() >= LOUD);
        let mut servers = loud.filter_map(|memory| server_of(view.policy, memory));
        shaken || servers.any(|server| self.servers.contains_key(server.as_str()))
    }

    /// Some of these pods are on nodes that shake.
    #[must_use]
    pub fn shakes_any(&self, pods: &[&PodView<'_>]) -> bool {
        pods.iter().any(|pod| self.shakes(&pod.seen.node))
    }

    /// Why what happens on these nodes is no evidence now, as far as they shake.
    #[must_use]
    pub fn explains(&self, nodes: &BTreeSet<&str>) -> Option<String> {
        let shaken = nodes.iter().filter_map(|node| Some((*node, self.nodes.get(node)?)));
        let witnesses = shaken.clone().flat_map(|(_, witnesses)| witnesses.values().copied());
        let (places, who) = (listed(shaken.clone().map(|(node, _)| node)), listed(witnesses));
        let why =
            format!("pods of {who} crash on {places} at the same moment, with releases that they had before");
        shaken.clone().next().map(|_| why)
    }

    /// The same if it leaves fewer than two nodes that are quiet: one alone convicts no release.
    #[must_use]
    pub fn explains_nearly_all(&self, nodes: &BTreeSet<&str>) -> Option<String> {
        let quiet = nodes.iter().filter(|node| !self.shakes(node)).count();
        self.explains(nodes).filter(|_| quiet < 2)
    }

    /// Why what this signal says does not count now.
    #[must_use]
    pub fn doubts(&self, policy: &Policy, signal: &str) -> Option<String> {
        let server = &policy.signals.iter().find(|s| s.name == signal)?.source.server.to_string();
        let witnesses = self.servers.get(server.as_str())?;
        let who = listed(witnesses.values().copied());
        Some(format!("candidates of {who} look worse by {server} at the same moment"))
    }

    /// Those on nodes that do not shake.
    #[must_use]
    pub fn quiet<'p, 'v>(&self, pods: &[&'p PodView<'v>]) -> Vec<&'p PodView<'v>> {
        pods.iter().copied().filter(|pod| !self.shakes(&pod.seen.node)).collect()
    }
}

/// The nodes of the pods that are in a crash loop.
#[must_use]
pub fn looping_on<'v>(pods: &[&PodView<'v>]) -> BTreeSet<&'v str> {
    let looping = pods.iter().filter(|p| p.waits_for(&[CRASH_LOOP]).is_some());
    looping.map(|p| p.seen.node.as_str()).collect()
}

/// What people read while it is held.
#[must_use]
pub fn not_yet(message: &str, why: &str) -> String {
    format!("{message}; not taken back yet: {why}")
}

/// When a hold that began at `since`, or has so many ticks left, ends.
#[must_use]
pub fn ends(from: Timestamp, tick: SignedDuration, ticks: u32) -> Timestamp {
    let left = tick.saturating_mul(i32::try_from(ticks).unwrap_or(i32::MAX));
    from.saturating_add(left).unwrap_or(Timestamp::MAX)
}

fn listed<'a>(all: impl Iterator<Item = &'a str>) -> String {
    let all: BTreeSet<&str> = all.collect();
    let more = all.len().saturating_sub(NAMED);
    let first = all.into_iter().take(NAMED).collect::<Vec<_>>().join(", ");
    if more == 0 { first } else { format!("{first} and {more} more") }
}
