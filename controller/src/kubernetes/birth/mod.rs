//! What pins pods at birth in this cluster: looked at by every replica, kept by the one that leads.
//!
//! Guarantees: the form is chosen at run time, by what the API server serves at that moment, so one that was upgraded is
//! noticed at the next look; only objects of fixed names are written, under the fence, and each belongs to the
//! installation's `ClusterRole`, so that Kubernetes removes them when the installation goes, with or without this process;
//! without the `ConfigMap` of an installation, or without that `ClusterRole`, nothing is written. A key is never logged.
//! May not: decide what is to be written (`plan` does).

pub mod certificates;
pub mod plan;

use super::{
    Kubernetes,
    client::Built,
    failure::Call,
    watch::{
        admission::{AdmissionBindings, AdmissionPolicies},
        collection::Collection,
        world::Watch,
    },
};
use crate::ports::{
    EffectError, Fence,
    birth::{Births, Serving},
};
use certificates::Certificates;
use jiff::{SignedDuration, Timestamp};
use kube::{
    api::{DeleteParams, GetParams, Preconditions},
    core::Request as Urls,
};
use lockkeeper_api::names::{CLUSTER_ROLE, FIELD_MANAGER, PIN_AT_BIRTH, WEBHOOK};
use lockkeeper_core::pin::PinSpec;
use plan::{Found, Given, NoCertificate, Objects, Step, Thing, Version};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;

/// Between two looks, if the installation says nothing.
pub const LOOK_EVERY: SignedDuration = SignedDuration::from_mins(3);
/// Between two looks in any case, so that nobody is fought without a pause.
pub const LEAST_APART: SignedDuration = SignedDuration::from_secs(1);
/// While this replica has no certificate to show, though it should.
const SOON: Duration = Duration::from_secs(5);
/// So often in a row; then nobody makes one.
const SOONEST: u32 = 60;
/// So many looks in a row must find the policy standing before the webhook goes.
const LOOKS: u32 = 3;
const REGISTRATION: &str = "/apis/admissionregistration.k8s.io";

/// What this replica knows of it.
#[derive(Debug, Default)]
pub struct State {
    seen: Mutex<Seen>,
    /// One look at a time.
    turn: tokio::sync::Mutex<()>,
    /// Something that pins pods has changed.
    pub stirred: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Seen {
    certificates: Certificates,
    /// Since when, and in how many looks, policy and binding were found without a break.
    standing: Option<(Timestamp, u32)>,
    trouble: Option<String>,
    /// In how many looks in a row there was no certificate.
    without: u32,
}

/// Why a look came to nothing.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Effect(#[from] EffectError),
    #[error(transparent)]
    Certificate(#[from] NoCertificate),
    #[error("{0}")]
    Unreadable(String),
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the policy has stood long enough for the webhook to go.
    fn settled(&self, stands: bool, every: SignedDuration, now: Timestamp) -> bool {
        let mut seen = self.lock();
        let Some((since, looks)) = seen.standing.filter(|_| stands) else {
            seen.standing = stands.then_some((now, 1));
            return false;
        };
        seen.standing = Some((since, looks.saturating_add(1)));
        looks + 1 >= LOOKS && now.duration_since(since) >= every + every
    }

    /// Each trouble is named once, and so is its end.
    fn tell(&self, trouble: Option<String>) {
        let mut seen = self.lock();
        if seen.trouble != trouble {
            match &trouble {
                Some(why) => {
                    tracing::warn!(why, "what pins pods at birth could not be looked after; trying again");
                }
                None => tracing::info!("what pins pods at birth is looked after again"),
            }
            seen.trouble = trouble;
        }
    }
}

impl Kubernetes {
    /// Looks again and again, and writes while this replica leads, until `stop`.
    pub async fn look_after_births(&self, fence: &Fence, every: SignedDuration, stop: &CancellationToken) {
        let whole = every.max(LEAST_APART).unsigned_abs();
        loop {
            self.pin_births(fence, every).await;
            let pause = if self.looks_again_soon() { whole.min(SOON) } else { whole };
            let rest = async {
                sleep(LEAST_APART.unsigned_abs()).await;
                tokio::select! {
                    () = sleep(pause.saturating_sub(LEAST_APART.unsigned_abs())) => {}
                    () = self.births.stirred.notified() => {}
                }
            };
            if stop.run_until_cancelled(rest).await.is_none() {
                return;
            }
        }
    }

    /// One look, and what it finds to be written.
    pub async fn pin_births(&self, fence: &Fence, every: SignedDuration) {
        let _turn = self.births.turn.lock().await;
        let trouble = self.look_at_births(fence, every).await.err();
        self.births.tell(trouble.map(|trouble| trouble.to_string()));
    }

    async fn look_at_births(&self, fence: &Fence, every: SignedDuration) -> Result<(), Trouble> {
        let found = self.found().await?;
        self.births.lock().certificates = found.certificates.clone();
        // Where a kind was not served until now, the watch looks for it once in a while only.
        self.absorb_object(&AdmissionPolicies::default(), found.policy.as_ref());
        self.absorb_object(&AdmissionBindings::default(), found.binding.as_ref());
        self.is_seen(found.served, found.webhook.as_ref());
        let stands = found.served.is_some() && found.policy.is_some() && found.binding.is_some();
        let settled = self.births.settled(stands, every, self.shared.clock.now());
        if !fence.holds() {
            return Ok(());
        }
        let Some(given) = self.given().await? else { return Ok(()) };
        let owner = self.owner().await?;
        for step in plan::steps(&given, &found, &owner, settled, self.shared.clock.now())? {
            self.take(fence, &found, step).await?;
        }
        Ok(())
    }

    /// What there is now.
    async fn found(&self) -> Result<Found, EffectError> {
        let served = self.served().await?;
        let (mut policy, mut binding) = (None, None);
        if let Some(version) = served {
            let base = format!("{REGISTRATION}/{}", version.name());
            policy = self.read("mutatingadmissionpolicies", &base, "", PIN_AT_BIRTH).await?;
            binding = self.read("mutatingadmissionpolicybindings", &base, "", PIN_AT_BIRTH).await?;
        }
        let base = format!("{REGISTRATION}/v1");
        let webhook = self.read("mutatingwebhookconfigurations", &base, "", PIN_AT_BIRTH).await?;
        let namespace = self.own_namespace();
        let secret = match served {
            // Nobody shows a certificate; what is left of an older form goes with the installation.
            Some(_) if webhook.is_none() => None,
            _ => {
                self.read("secrets", &format!("/api/v1/namespaces/{namespace}"), &namespace, WEBHOOK).await?
            }
        };
        let certificates = secret.as_ref().map(certificates_in).unwrap_or_default();
        Ok(Found { served, policy, binding, webhook, secret, certificates })
    }

    /// In which version the API server serves the policy now; the better one, if several.
    async fn served(&self) -> Result<Option<Version>, EffectError> {
        for version in [Version::V1, Version::V1beta1] {
            let call =
                Call { verb: "get", resource: "apis", namespace: "", name: version.name(), identity: None };
            let request = http::Request::get(format!("{REGISTRATION}/{}", version.name())).body(Vec::new());
            let request = request.map_err(kube::core::request::Error::BuildRequest);
            let text = match self.caller.read(&call, request).await {
                Ok(text) => text,
                Err(EffectError::Outdated(_)) => continue,
                Err(error) => return Err(error),
            };
            let list: Value = serde_json::from_str(&text).unwrap_or_default();
            let serves = |plural: &str| {
                list["resources"].as_array().into_iter().flatten().any(|r| r["name"] == plural)
            };
            if serves("mutatingadmissionpolicies") && serves("mutatingadmissionpolicybindings") {
                return Ok(Some(version));
            }
        }
        Ok(None)
    }

    /// How it is to be, as the installation says; none: there is no installation to speak for.
    async fn given(&self) -> Result<Option<Given>, Trouble> {
        let namespace = self.own_namespace();
        let base = format!("/api/v1/namespaces/{namespace}");
        let Some(map) = self.read("configmaps", &base, &namespace, PIN_AT_BIRTH).await? else {
            return Ok(None);
        };
        let object = |key: &str| -> Result<Option<Value>, Trouble> {
            let Some(text) = map["data"][key].as_str() else { return Ok(None) };
            serde_saphyr::from_str(text).map(Some).map_err(|error| {
                let what = format!("data[{key:?}] of ConfigMap {namespace}/{PIN_AT_BIRTH}");
                Trouble::Unreadable(format!("{what} is no YAML: {error}; upgrade the chart, which makes it"))
            })
        };
        let (policy, binding, webhook) = (object("policy")?, object("binding")?, object("webhook")?);
        let webhook = webhook.filter(|_| self.serves_webhook);
        let objects = policy.zip(binding).map(|(policy, binding)| Objects { policy, binding, webhook });
        Ok(Some(Given { objects }))
    }

    /// What goes with the installation: a reference to its `ClusterRole`.
    async fn owner(&self) -> Result<Value, Trouble> {
        let base = "/apis/rbac.authorization.k8s.io/v1";
        let role = self.read("clusterroles", base, "", CLUSTER_ROLE).await?;
        let Some(uid) = role.as_ref().and_then(|role| role["metadata"]["uid"].as_str()) else {
            let why = format!(
                "ClusterRole {CLUSTER_ROLE} does not exist, so what would be made could not go with the installation; \
                 install the chart"
            );
            return Err(Trouble::Unreadable(why));
        };
        Ok(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "name": CLUSTER_ROLE, "uid": uid,
        }))
    }

    async fn read(
        &self,
        resource: &'static str,
        base: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Value>, EffectError> {
        let call = Call { verb: "get", resource, namespace, name, identity: None };
        let request = Urls::new(format!("{base}/{resource}")).get(name, &GetParams::default());
        match self.caller.read(&call, request).await {
            Ok(text) => Ok(serde_json::from_str(&text).ok()),
            Err(EffectError::Outdated(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn take(&self, fence: &Fence, found: &Found, step: Step) -> Result<(), EffectError> {
        let (thing, object) = match &step {
            Step::Apply(thing, object) | Step::Remove(thing, object) => (*thing, object),
        };
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let (resource, url) = address(thing, found, namespace);
        let remove = matches!(step, Step::Remove(..));
        let verb = if remove { "delete" } else { "patch" };
        let call = Call { verb, resource, namespace, name, identity: None };
        let request = if remove { deletion(&url, object) } else { applied(&url, object) };
        match self.caller.write(fence, &call, request).await {
            Ok(text) => self.written(&step, thing, &text, found),
            // Gone already is done.
            Err(EffectError::Outdated(_)) if remove => {}
            Err(error) => return Err(error),
        }
        tracing::info!(object = call.object(), verb, "what pins pods at birth was written");
        Ok(())
    }

    /// What was written is known at once.
    fn written(&self, step: &Step, thing: Thing, text: &str, found: &Found) {
        let object: Option<Value> =
            serde_json::from_str(text).ok().filter(|_| matches!(step, Step::Apply(..)));
        match thing {
            Thing::Secret => {
                self.births.lock().certificates = object.as_ref().map(certificates_in).unwrap_or_default();
            }
            Thing::Webhook => self.is_seen(found.served, object.as_ref()),
            Thing::Policy => self.absorb_object(&AdmissionPolicies::default(), object.as_ref()),
            Thing::Binding => self.absorb_object(&AdmissionBindings::default(), object.as_ref()),
        }
    }

    fn absorb_object<C: Collection<Wire = Value>>(&self, collection: &C, object: Option<&Value>) {
        if let Some((place, kept)) = object.and_then(|object| collection.trim(object.clone())) {
            self.absorb_kept(collection, &place, kept);
        }
    }

    /// What the policies are told.
    fn is_seen(&self, served: Option<Version>, webhook: Option<&Value>) {
        let believed =
            |hook: &Value| hook["clientConfig"]["caBundle"].as_str().is_some_and(|ca| !ca.is_empty());
        let hooks = webhook.and_then(|webhook| webhook["webhooks"].as_array());
        let webhook = hooks.is_some_and(|hooks| !hooks.is_empty() && hooks.iter().all(believed));
        let woken = {
            let mut world = self.shared.write();
            let changed = (world.birth_policy, world.birth_webhook) != (served, webhook);
            (world.birth_policy, world.birth_webhook) = (served, webhook);
            if changed { world.all_policies() } else { std::collections::BTreeSet::new() }
        };
        self.shared.wake(&woken);
    }

    fn own_namespace(&self) -> String {
        self.shared.read().own_namespace.clone()
    }

    /// While this replica has no certificate to show, though it should; but not for ever.
    fn looks_again_soon(&self) -> bool {
        let none_is_served = self.shared.read().birth_policy.is_none();
        let lacks = self.serves_webhook && none_is_served && self.serving().is_none();
        let mut seen = self.births.lock();
        seen.without = if lacks { seen.without.saturating_add(1) } else { 0 };
        lacks && seen.without <= SOONEST
    }
}

impl Births for Kubernetes {
    fn pins(&self, namespace: &str) -> Option<Vec<(String, PinSpec)>> {
        let world = self.shared.read();
        world.has_listed(&Watch::Pins).then(|| {
            let pins = world.pins.in_namespace(namespace);
            pins.map(|(name, pin)| (name.to_owned(), pin.seen.spec.clone())).collect()
        })
    }

    fn serving(&self) -> Option<Arc<Serving>> {
        self.births.lock().certificates.serving(self.shared.clock.now())
    }
}

/// Resource and address of all objects of that kind. A policy is written in the version that it was looked for in.
fn address(thing: Thing, found: &Found, namespace: &str) -> (&'static str, String) {
    let version = found.served.unwrap_or(Version::V1).name();
    let (resource, base) = match thing {
        Thing::Policy => ("mutatingadmissionpolicies", format!("{REGISTRATION}/{version}")),
        Thing::Binding => ("mutatingadmissionpolicybindings", format!("{REGISTRATION}/{version}")),
        Thing::Webhook => ("mutatingwebhookconfigurations", format!("{REGISTRATION}/v1")),
        Thing::Secret => ("secrets", format!("/api/v1/namespaces/{namespace}")),
    };
    (resource, format!("{base}/{resource}"))
}

/// Server-side apply: it makes the object where there is none, and needs no right but for this name.
fn applied(url: &str, object: &Value) -> Built {
    let params = kube::api::PatchParams::apply(FIELD_MANAGER).force();
    Urls::new(url).patch(
        object["metadata"]["name"].as_str().unwrap_or_default(),
        &params,
        &kube::api::Patch::Apply(object),
    )
}

/// Of this very object.
fn deletion(url: &str, object: &Value) -> Built {
    let text = |field: &str| object["metadata"][field].as_str().map(str::to_owned);
    let preconditions = Preconditions { uid: text("uid"), resource_version: text("resourceVersion") };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    Urls::new(url).delete(&text("name").unwrap_or_default(), &params)
}

fn certificates_in(secret: &Value) -> Certificates {
    use base64::Engine as _;
    let decode = |value: &Value| base64::engine::general_purpose::STANDARD.decode(value.as_str()?).ok();
    let data = secret["data"].as_object().into_iter().flatten();
    let data: BTreeMap<String, Vec<u8>> =
        data.filter_map(|(key, value)| Some((key.clone(), decode(value)?))).collect();
    Certificates::read(&data)
}
