//! The four kinds of Lockkeeper as they arrive: parsed one by one, so that one that cannot be read stops no other.
//!
//! Guarantees (K15, P5): a policy that cannot be read is kept with the reason; a Quarantine is obeyed with every
//! digest in it that can be read, however odd the rest is; pins and Interventions that cannot be read are left out
//! and named in the log. Policies are parsed once per uid and generation.

use crate::{
    kubernetes::wire::Meta,
    ports::{Identity, PolicyKey, RegistrySettings, StoredPolicy},
};
use lockkeeper_api::{ImagePin, ImagePolicy, Intervention, PolicyStatus, Quarantine, names};
use lockkeeper_core::{
    image::{Digest, Provider, shown},
    observed::{InterventionSeen, PinSeen, QuarantineSeen},
    policy::Policy,
};
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Characters of the annotation that asks for a look which are kept: enough for any time.
const REQUESTED: usize = 64;

/// What is kept of a pin.
#[derive(Clone, Debug, PartialEq)]
pub struct PinEntry {
    /// As the core sees it.
    pub seen: PinSeen,
    /// Its labels, to be kept when it is replaced.
    pub labels: BTreeMap<String, String>,
    /// Its annotations, to be kept when it is replaced.
    pub annotations: BTreeMap<String, String>,
}

impl PinEntry {
    /// The policy that it names.
    #[must_use]
    pub fn policy(&self) -> PolicyKey {
        let owner = &self.seen.spec.policy;
        PolicyKey { namespace: owner.namespace.clone(), name: owner.name.clone() }
    }

    /// Whether it names this policy.
    #[must_use]
    pub fn is_of(&self, key: &PolicyKey) -> bool {
        let owner = &self.seen.spec.policy;
        owner.name == key.name && owner.namespace == key.namespace
    }
}

/// What is kept of an Intervention.
#[derive(Clone, Debug, PartialEq)]
pub struct InterventionEntry {
    /// As the core sees it.
    pub seen: InterventionSeen,
    /// As it arrived: which policies it speaks of.
    pub object: Intervention,
}

/// Where all objects of one of our kinds are.
#[must_use]
pub fn path(plural: &str) -> String {
    format!("/apis/{}/{}/{plural}", names::GROUP, names::VERSION)
}

/// Where the objects of a namespace are.
#[must_use]
pub fn path_in(namespace: &str, plural: &str) -> String {
    format!("/apis/{}/{}/namespaces/{namespace}/{plural}", names::GROUP, names::VERSION)
}

type Parsed = Result<Arc<Policy>, Vec<String>>;

/// Policies that were parsed: their status changes far more often than their spec.
#[derive(Debug, Default)]
pub struct ParsedPolicies(Mutex<BTreeMap<PolicyKey, (String, i64, Parsed)>>);

impl ParsedPolicies {
    /// Forget a policy that is gone.
    pub fn forget(&self, key: &PolicyKey) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// A policy.
    #[must_use]
    pub fn stored(&self, object: Value) -> Option<(Meta, StoredPolicy)> {
        let meta = Meta::deserialize(object.get("metadata")?).ok()?;
        let key = PolicyKey { namespace: meta.namespace.clone(), name: meta.name.clone() };
        let generation = meta.generation.unwrap_or_default();
        let status = Arc::new(status(&object, &key));
        let account = object.pointer("/spec/serviceAccountName").and_then(Value::as_str);
        let account = account.unwrap_or(lockkeeper_api::defaults::SERVICE_ACCOUNT).to_owned();
        let named = |pointer| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let registry = RegistrySettings {
            secret: named("/spec/registry/secretRef/name"),
            pull_secrets_from: named("/spec/registry/pullSecretsFrom"),
            // What is no word of it is a mistake that the parser reports.
            provider: named("/spec/registry/provider").as_deref().and_then(Provider::of_word),
            certificates: named("/spec/registry/certSecretRef/name"),
            proxy: named("/spec/registry/proxySecretRef/name"),
            insecure: object.pointer("/spec/registry/insecure").and_then(Value::as_bool).unwrap_or_default(),
        };
        let stored = StoredPolicy {
            uid: meta.uid.clone(),
            generation,
            resource_version: meta.resource_version.clone(),
            identity: Identity { namespace: meta.namespace.clone(), service_account: account },
            registry,
            requested_at: meta.annotation(names::REQUESTED_AT).map(|at| at.chars().take(REQUESTED).collect()),
            policy: self.parsed(&key, &meta.uid, generation, object),
            status,
            key,
        };
        Some((meta, stored))
    }

    fn parsed(&self, key: &PolicyKey, uid: &str, generation: i64, object: Value) -> Parsed {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, at, parsed)) = known.get(key)
            && of == uid
            && *at == generation
        {
            return parsed.clone();
        }
        let parsed = parse(object);
        known.insert(key.clone(), (uid.to_owned(), generation, parsed.clone()));
        parsed
    }
}

fn parse(mut object: Value) -> Parsed {
    // The status is read on its own: what another version wrote there does not make the spec unreadable.
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    let object: ImagePolicy =
        serde_json::from_value(object).map_err(|error| vec![format!("spec: {error}; correct that field")])?;
    let parsed = lockkeeper_api::parse(&object);
    parsed.map(Arc::new).map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

fn status(object: &Value, key: &PolicyKey) -> lockkeeper_core::status::Status {
    let stored = object.get("status").cloned().unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    match serde_json::from_value::<PolicyStatus>(stored) {
        Ok(PolicyStatus { status, unreadable: None }) => status,
        Ok(PolicyStatus { status, unreadable: Some(error) }) => {
            tracing::warn!(policy = %format_args!("{}/{}", key.namespace, key.name), error, "the stored status cannot be read and counts as lost");
            status
        }
        Err(error) => {
            tracing::warn!(policy = %format_args!("{}/{}", key.namespace, key.name), %error, "the stored status cannot be read and counts as lost");
            lockkeeper_core::status::Status::default()
        }
    }
}

/// An object of one of our kinds, or none with a line in the log.
fn readable<T: serde::de::DeserializeOwned>(object: &Value) -> Option<(Meta, T)> {
    let meta = Meta::deserialize(object.get("metadata")?).ok()?;
    match T::deserialize(object) {
        Ok(read) => Some((meta, read)),
        Err(error) => {
            unreadable(object, &meta, &error.to_string());
            None
        }
    }
}

fn unreadable(object: &Value, meta: &Meta, error: &str) {
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or("object");
    tracing::warn!(kind, namespace = meta.namespace, name = meta.name, error, "left out: it cannot be read");
}

/// A pin.
#[must_use]
pub fn pin(object: &Value) -> Option<(Meta, PinEntry)> {
    let (meta, pin): (Meta, ImagePin) = readable(object)?;
    let entry = PinEntry {
        seen: pin.seen(),
        labels: meta.labels.clone(),
        annotations: meta.annotations.clone().unwrap_or_default(),
    };
    Some((meta, entry))
}

/// A Quarantine. One that cannot be read whole is obeyed as far as it can be: letting something through would be
/// the worse mistake.
#[must_use]
pub fn quarantine(object: &Value) -> Option<(Meta, QuarantineSeen)> {
    let meta = Meta::deserialize(object.get("metadata")?).ok()?;
    let read = Quarantine::deserialize(object).map_err(|error| error.to_string()).and_then(|quarantine| {
        quarantine
            .seen()
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    });
    match read {
        Ok(seen) => Some((meta, seen)),
        Err(error) => {
            unreadable(object, &meta, &error);
            let spec = object.get("spec")?;
            let texts = spec
                .get("contents")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .chain(spec.get("digest"));
            let digests = texts.filter_map(|text| text.as_str()?.parse::<Digest>().ok()).collect();
            let reason = format!("a Quarantine that cannot be read whole: {}", shown(&error));
            let seen = QuarantineSeen { name: meta.name.clone(), digests, reason, policy: None, stage: None };
            Some((meta, seen))
        }
    }
}

/// An Intervention.
#[must_use]
pub fn intervention(object: &Value) -> Option<(Meta, InterventionEntry)> {
    let (meta, read): (Meta, Intervention) = readable(object)?;
    match read.seen() {
        Ok(seen) => Some((meta, InterventionEntry { seen, object: read })),
        Err(errors) => {
            let text = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            unreadable(object, &meta, &text);
            None
        }
    }
}
