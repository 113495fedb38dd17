//! What is asked about one tick of a signal: which pods, and in the words of the server.

use super::super::ticks::{self, TickStart};
use crate::{
    health::Arm,
    image::Release,
    signals::{JobRun, Request, Server, Side, Signal, SignalKey, SignalQuestion, Source, Values},
};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;

/// Both arms of one tick, by the names of their pods.
#[derive(Default)]
pub struct Pods<'a> {
    pub candidate: BTreeSet<&'a str>,
    pub baseline: BTreeSet<&'a str>,
    pub namespaces: BTreeSet<&'a str>,
}

/// The pods that are compared: with a baseline, those whose owner and template have both arms. A name that both arms
/// have in different namespaces could not be told apart, and is left out of both.
pub fn pods(open: &TickStart, beside: bool) -> Pods<'_> {
    let of = |arm| move |pod: &&ticks::Sampled| pod.arm == arm;
    let strata = |arm| open.pods().filter(of(arm)).map(|pod| &pod.stratum).collect::<BTreeSet<_>>();
    let both: BTreeSet<_> = strata(Arm::Candidate).intersection(&strata(Arm::Baseline)).copied().collect();
    let mut found = Pods::default();
    for pod in open.pods().filter(|pod| !beside || both.contains(&pod.stratum)) {
        let Some((namespace, name)) = pod.name.split_once('/') else { continue };
        match pod.arm {
            Arm::Candidate => found.candidate.insert(name),
            Arm::Baseline => found.baseline.insert(name),
        };
        found.namespaces.insert(namespace);
    }
    let twice: Vec<&str> = found.candidate.intersection(&found.baseline).copied().collect();
    for name in twice {
        found.candidate.remove(name);
        found.baseline.remove(name);
    }
    found
}

/// One tick of one signal.
pub struct Asking<'a> {
    pub signal: &'a Signal,
    pub at: Timestamp,
    pub window: i64,
    pub pods: &'a Pods<'a>,
    /// `namespace/name`.
    pub policy: &'a str,
    pub policy_uid: &'a str,
    pub stage: &'a str,
    pub attempt: &'a str,
}

impl Asking<'_> {
    /// What is asked about one side.
    fn query(&self, side: Side, release: &Release) -> String {
        let Self { signal, at, window, pods, policy, stage, .. } = *self;
        let names = if side == Side::Candidate { &pods.candidate } else { &pods.baseline };
        let digest = release.digest.as_str();
        let Source { server, query, .. } = &signal.source;
        let request = Request {
            policy,
            stage,
            signal: &signal.name,
            side,
            tag: release.tag.as_ref().map(crate::image::Tag::as_str),
            digest,
            from: at.saturating_sub(SignedDuration::from_secs(window)).unwrap_or(at),
            until: at,
            window_seconds: window,
            namespaces: &pods.namespaces,
            pods: names,
            baseline_pods: &pods.baseline,
        };
        match server {
            Server::Webhook(_) => return request.json(),
            Server::Job(job) => {
                let run = JobRun {
                    name: JobRun::name_of(self.attempt, &signal.name),
                    policy: policy.rsplit('/').next().unwrap_or_default().to_owned(),
                    policy_uid: self.policy_uid.to_owned(),
                    deadline_seconds: job.deadline.as_secs(),
                    env: JobRun::env_of(&request),
                };
                return run.json();
            }
            Server::Prometheus(_) | Server::Datadog(_) | Server::CloudWatch(_) => {}
        }
        let (baseline_pods, namespaces) = (&pods.baseline, &pods.namespaces);
        query.render(server, &Values { digest, pods: names, baseline_pods, namespaces, window })
    }

    /// The question of this tick.
    pub fn question(&self, key: SignalKey, release: &Release, from: Option<&Release>) -> SignalQuestion {
        let beside = from.filter(|_| self.signal.compare.is_beside());
        let Source { server, secret, .. } = &self.signal.source;
        SignalQuestion {
            key,
            server: server.clone(),
            secret: secret.clone(),
            at: self.at,
            window: self.window,
            candidate: self.query(Side::Candidate, release),
            baseline: beside.map(|from| self.query(Side::Baseline, from)),
        }
    }
}
