//! The cluster the policies live in: shared watches in, impersonated and fenced effects out.
//!
//! Guarantees: one watch per kind for the whole cluster, trimmed; a snapshot does no I/O; every write to targets, pins
//! included, and every read of a Secret is made as the policy's `ServiceAccount`; statuses, Quarantines, Events and
//! orphaned pins are written with the controller's own rights. Assumes an API server of Kubernetes 1.33 or newer.
//! May not decide.

mod accounts;
pub mod birth;
pub mod client;
mod effects;
mod events;
pub mod failure;
pub mod jobs;
pub mod lease;
mod logs;
pub mod orphans;
mod pins;
mod pods;
mod policies;
mod quarantines;
mod rights;
mod secrets;
mod see;
mod templates;
pub mod watch;
mod wire;

#[cfg(test)]
mod tests;

use crate::ports::{
    Clock, Cluster, ClusterView, DeadContainer, EffectError, Fence, Identity, Policies, PolicyKey, Rights,
    StoredPolicy, Told, Wakes, WatchState, Watches, cloud::Account,
};
use client::Caller;
use futures::future::BoxFuture;
use jiff::SignedDuration;
use kube::Client;
use lockkeeper_core::{
    decision::{Action, Event},
    observed::BirthPinning,
    policy::Policy,
    status::Status,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, RwLock},
    time::Duration,
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use watch::{
    admission, built_in,
    collection::Collection,
    follow::{Follower, Shared},
    ours,
    own::ParsedPolicies,
    world::World,
};

pub use watch::workload::WorkloadKind;

/// What the installation says.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The controller's own namespace: an Intervention there that names no policy concerns all.
    pub namespace: String,
    /// The name of this replica, for Events.
    pub instance: String,
    /// Kinds with a pod template besides the built-in ones.
    pub more_kinds: Vec<WorkloadKind>,
    /// The deadline of one request.
    pub deadline: Duration,
    /// This process serves the webhook that pins pods at birth.
    pub serves_webhook: bool,
}

/// The adapter.
pub struct Kubernetes {
    caller: Caller,
    shared: Shared,
    parsed: Arc<ParsedPolicies>,
    orphans: orphans::Orphans,
    births: birth::State,
    serves_webhook: bool,
    instance: String,
}

impl Kubernetes {
    /// An adapter that has seen nothing yet; [`follow`](Self::follow) makes it look.
    #[must_use]
    pub fn new(client: Client, settings: Settings, wakes: Arc<dyn Wakes>, clock: Arc<dyn Clock>) -> Self {
        let mut kinds = WorkloadKind::builtin();
        kinds.extend(settings.more_kinds);
        let world = World::new(settings.namespace, kinds, clock.now());
        Self {
            caller: Caller::new(client, settings.deadline),
            shared: Shared { world: Arc::new(RwLock::new(world)), wakes, clock, again: Arc::default() },
            parsed: Arc::default(),
            orphans: orphans::Orphans::default(),
            births: birth::State::default(),
            serves_webhook: settings.serves_webhook,
            instance: settings.instance,
        }
    }

    /// Follow everything. Ends only if a watch's task died, and says why: the process must not go on half blind (P4).
    pub async fn follow(&self) -> String {
        let mut tasks = JoinSet::new();
        self.start(&mut tasks, built_in::Namespaces);
        self.start(&mut tasks, built_in::Nodes);
        self.start(&mut tasks, built_in::Between::ReplicaSets);
        self.start(&mut tasks, built_in::Between::Jobs);
        let kinds = self.shared.read().kinds.clone();
        for kind in kinds {
            self.start(&mut tasks, built_in::Workloads(kind));
        }
        self.start(&mut tasks, built_in::Budgets);
        self.start(&mut tasks, ours::Policies(Arc::clone(&self.parsed)));
        self.start(&mut tasks, ours::Pins);
        self.start(&mut tasks, ours::Quarantines);
        self.start(&mut tasks, ours::Interventions);
        self.start(&mut tasks, admission::AdmissionPolicies(Arc::clone(&self.births.stirred)));
        self.start(&mut tasks, admission::AdmissionBindings(Arc::clone(&self.births.stirred)));
        self.start(&mut tasks, built_in::Pods);
        match tasks.join_next().await {
            Some(Err(error)) => format!("a watch ended: {error}"),
            Some(Ok(never)) => match never {},
            None => "no watch was started".to_owned(),
        }
    }

    fn start<C: Collection>(&self, tasks: &mut JoinSet<std::convert::Infallible>, collection: C) {
        let follower = Follower::new(collection, self.caller.client().clone(), self.shared.clone());
        tasks.spawn(follower.run());
    }

    /// All policies that are stored.
    #[must_use]
    pub fn keys(&self) -> Vec<PolicyKey> {
        self.shared.read().all_policies().into_iter().collect()
    }

    /// Look after pins whose policy is gone, until `stop`: two reads that are `apart` must say so. A look that has begun
    /// ends first.
    pub async fn look_after_orphans(&self, fence: &Fence, apart: SignedDuration, stop: &CancellationToken) {
        let pause = orphans::pause(apart);
        while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
            self.sweep_orphans(fence, apart, self.shared.clock.now()).await;
        }
    }

    /// What is known now may be old: until it has been listed anew, no watch counts as fresh.
    pub fn look_again(&self) {
        let now = self.shared.clock.now();
        let mut world = self.shared.write();
        self.shared.again.send_modify(|times| *times += 1);
        world.all_stale(now);
    }
}

impl Cluster for Kubernetes {
    fn see(&self, policy: &Policy, _: &Identity) -> ClusterView {
        see::view(&self.shared.read(), policy)
    }

    fn apply<'a>(
        &'a self,
        identity: &'a Identity,
        fence: &'a Fence,
        policy: &'a Policy,
        action: &'a Action,
    ) -> BoxFuture<'a, Result<(), EffectError>> {
        Box::pin(self.effect(identity, fence, policy, action))
    }

    fn secret<'a>(
        &'a self,
        identity: &'a Identity,
        name: &'a str,
    ) -> BoxFuture<'a, Result<BTreeMap<String, Vec<u8>>, EffectError>> {
        Box::pin(self.secret_read(identity, name))
    }

    fn last_log<'a>(
        &'a self,
        identity: &'a Identity,
        dead: &'a DeadContainer,
    ) -> BoxFuture<'a, Result<String, EffectError>> {
        Box::pin(self.log_read(identity, dead))
    }

    fn pull_secrets<'a>(
        &'a self,
        identity: &'a Identity,
        service_account: &'a str,
    ) -> BoxFuture<'a, Result<Vec<String>, EffectError>> {
        Box::pin(self.pull_secrets_read(identity, service_account))
    }

    fn account<'a>(&'a self, identity: &'a Identity) -> BoxFuture<'a, Result<Account, EffectError>> {
        Box::pin(self.account_read(identity))
    }

    fn account_token<'a>(
        &'a self,
        identity: &'a Identity,
        audience: &'a str,
    ) -> BoxFuture<'a, Result<String, EffectError>> {
        Box::pin(self.account_token_made(identity, audience))
    }
}

impl Policies for Kubernetes {
    fn get(&self, key: &PolicyKey) -> Option<Arc<StoredPolicy>> {
        self.shared.read().policies.get(&key.namespace, &key.name).cloned()
    }

    fn write_status<'a>(
        &'a self,
        fence: &'a Fence,
        stored: &'a StoredPolicy,
        resource_version: &'a str,
        status: &'a Arc<Status>,
    ) -> BoxFuture<'a, Result<String, EffectError>> {
        Box::pin(self.status_written(fence, stored, resource_version, status))
    }

    fn publish<'a>(
        &'a self,
        fence: &'a Fence,
        stored: &'a StoredPolicy,
        event: &'a Event,
    ) -> BoxFuture<'a, Result<(), EffectError>> {
        Box::pin(self.event_published(fence, stored, event))
    }

    fn tell<'a>(
        &'a self,
        fence: &'a Fence,
        stored: &'a StoredPolicy,
        told: &'a Told,
    ) -> BoxFuture<'a, Result<(), EffectError>> {
        Box::pin(self.told(fence, stored, told))
    }
}

impl Rights for Kubernetes {
    fn may<'a>(
        &'a self,
        identity: &'a Identity,
        verb: &'a str,
        group: &'a str,
        resource: &'a str,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<bool, EffectError>> {
        Box::pin(self.allowed(identity, [verb, group, resource, namespace, name]))
    }
}

impl Watches for Kubernetes {
    fn watches(&self) -> Vec<WatchState> {
        self.shared.read().watch_states()
    }

    fn birth_pinning(&self) -> Option<BirthPinning> {
        self.shared.read().birth_pinning()
    }

    fn orphaned_pins(&self) -> usize {
        self.shared.read().pins.iter().filter(|(_, _, pin)| pin.seen.orphaned).count()
    }
}
