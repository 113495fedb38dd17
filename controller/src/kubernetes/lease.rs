//! The Lease of the election in the API server, with the controller's own rights.
//!
//! Guarantees: replaced as a whole, over the uid and version that were seen, or made where there is none: the API
//! server lets one of several win; labels and annotations that people put there stay; one annotation says where the holder takes hooks. Without the uid a PUT would make a
//! deleted Lease anew (the API server allows that for Leases).

use super::failure::{bounded, chain};
use crate::ports::lease::{LeaseAnswer, LeaseDraft, LeaseRequest, LeaseSeen, Leases};
use futures::{StreamExt, future::BoxFuture};
use k8s_openapi::{
    api::{
        coordination::v1::{Lease, LeaseSpec},
        core::v1::ObjectReference,
    },
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{
    Api, Client,
    api::{PostParams, WatchEvent, WatchParams},
};
use lockkeeper_api::names::{self, FIELD_MANAGER};
use std::{
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// The API server ends a watch after this long.
const WATCH: u32 = 45;

/// One Lease.
pub struct LeaseStore {
    api: Api<Lease>,
    name: String,
    /// Where this replica takes hooks, if it does.
    hooks: Option<SocketAddr>,
    /// As it was read or written last: what is in it beside the election's fields.
    metadata: Mutex<ObjectMeta>,
}

impl LeaseStore {
    /// The Lease of that name; it need not exist.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str) -> Self {
        let api = Api::namespaced(client, namespace);
        Self { api, name: name.to_owned(), hooks: None, metadata: Mutex::default() }
    }

    /// The same; while this replica holds it, it says where it takes hooks.
    #[must_use]
    pub fn with_hooks(self, hooks: Option<SocketAddr>) -> Self {
        Self { hooks, ..self }
    }

    /// How Events name it; none before it was seen.
    #[must_use]
    pub fn reference(&self) -> Option<ObjectReference> {
        let known = self.metadata.lock().unwrap_or_else(PoisonError::into_inner);
        Some(ObjectReference {
            api_version: Some("coordination.k8s.io/v1".to_owned()),
            kind: Some("Lease".to_owned()),
            namespace: known.namespace.clone(),
            name: Some(self.name.clone()),
            uid: Some(known.uid.clone()?),
            ..ObjectReference::default()
        })
    }

    async fn answer(&self, request: &LeaseRequest) -> LeaseAnswer {
        let post = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let (result, makes) = match request {
            LeaseRequest::Look => (self.api.get(&self.name).await, false),
            LeaseRequest::Write(draft) if draft.over.is_none() => {
                (self.api.create(&post, &self.object(draft)).await, true)
            }
            LeaseRequest::Write(draft) => {
                (self.api.replace(&self.name, &post, &self.object(draft)).await, false)
            }
        };
        match result {
            Ok(lease) => self.shown(lease),
            Err(kube::Error::Api(status)) if status.code == 409 => LeaseAnswer::Conflict,
            // A Lease that is made has no predecessor that could be missing: then its namespace is.
            Err(kube::Error::Api(status)) if status.code == 404 && !makes => LeaseAnswer::Absent,
            Err(error) => LeaseAnswer::Unknown(chain(&error)),
        }
    }

    fn object(&self, draft: &LeaseDraft) -> Lease {
        let known = self.metadata.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut metadata = match &draft.over {
            None => ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
            Some((uid, version)) => ObjectMeta {
                name: Some(self.name.clone()),
                uid: Some(uid.clone()),
                resource_version: Some(version.clone()),
                managed_fields: None,
                // Of another version they may be somebody's older words; then the API server refuses the version, too.
                ..known
            },
        };
        let annotations = metadata.annotations.get_or_insert_default();
        match self.hooks.filter(|_| draft.holder.is_some()) {
            Some(hooks) => annotations.insert(names::HOOKS.to_owned(), hooks.to_string()),
            None => annotations.remove(names::HOOKS),
        };
        let seconds = i32::try_from(draft.lasts.as_secs()).unwrap_or(i32::MAX);
        let spec = LeaseSpec {
            holder_identity: draft.holder.clone(),
            lease_duration_seconds: Some(seconds),
            acquire_time: Some(MicroTime(draft.acquired)),
            renew_time: Some(MicroTime(draft.renewed)),
            lease_transitions: Some(i32::try_from(draft.transitions).unwrap_or(i32::MAX)),
            ..LeaseSpec::default()
        };
        Lease { metadata, spec: Some(spec) }
    }

    fn shown(&self, lease: Lease) -> LeaseAnswer {
        let Lease { metadata, spec } = lease;
        let (Some(uid), Some(version)) = (metadata.uid.clone(), metadata.resource_version.clone()) else {
            return LeaseAnswer::Unknown(bounded(
                "the API server answered with a Lease without uid or version",
            ));
        };
        let hooks = metadata.annotations.as_ref().and_then(|all| all.get(names::HOOKS)?.parse().ok());
        *self.metadata.lock().unwrap_or_else(PoisonError::into_inner) = metadata;
        let spec = spec.unwrap_or_default();
        LeaseAnswer::Shows(LeaseSeen {
            uid,
            version,
            holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
            lasts: spec
                .lease_duration_seconds
                .map(|seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or_default())),
            renewed: spec.renew_time.map(|time| time.0),
            acquired: spec.acquire_time.map(|time| time.0),
            transitions: spec
                .lease_transitions
                .and_then(|count| u32::try_from(count).ok())
                .unwrap_or_default(),
            hooks,
        })
    }

    /// Ends with the first change, or when the watch does.
    async fn first_change(&self, version: &str) -> Result<(), kube::Error> {
        let params = WatchParams::default().fields(&format!("metadata.name={}", self.name)).timeout(WATCH);
        let mut events = Box::pin(self.api.watch(&params, version).await?);
        while let Some(event) = events.next().await {
            match event? {
                WatchEvent::Bookmark(_) => {}
                WatchEvent::Added(_) | WatchEvent::Modified(_) | WatchEvent::Deleted(_) => return Ok(()),
                WatchEvent::Error(status) => return Err(kube::Error::Api(status)),
            }
        }
        Ok(())
    }
}

impl Leases for LeaseStore {
    fn ask<'a>(&'a self, request: &'a LeaseRequest) -> BoxFuture<'a, LeaseAnswer> {
        Box::pin(self.answer(request))
    }

    fn changed<'a>(&'a self, version: Option<&'a str>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if let Some(version) = version {
                match self.first_change(version).await {
                    Ok(()) => return,
                    Err(error) => {
                        tracing::debug!(
                            error = chain(&error),
                            "the Lease cannot be watched; it is looked at instead"
                        );
                    }
                }
            }
            std::future::pending::<()>().await;
        })
    }
}
