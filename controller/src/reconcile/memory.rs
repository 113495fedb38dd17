//! The newest status of each policy: in memory it may be ahead of the stored one, never behind.
//!
//! Guarantees: the machine goes on from what it decided last, unless somebody else changed the stored status, the
//! policy was deleted and made again, or a write met a conflict; then it goes on from what is stored, and only once
//! the watch shows something newer than what conflicted. May not: do I/O.

use super::{
    change::{Change, material},
    refusals::Refusals,
    tell::Telling,
};
use crate::ports::{PolicyKey, StoredPolicy};
use lockkeeper_core::status::Status;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::time::Instant;

/// What is remembered of one policy between passes.
#[derive(Debug, Default)]
pub struct Memory {
    uid: String,
    /// The newest resourceVersion known: status is replaced against it.
    pub resource_version: String,
    /// The status that is stored at that version.
    pub stored: Arc<Status>,
    /// The status decided last.
    pub latest: Arc<Status>,
    /// When the status was last written by this process.
    pub written: Option<Instant>,
    /// The version at which a write met a conflict.
    conflict_at: Option<String>,
    /// Effects that were refused.
    pub refusals: Refusals,
    /// What the workloads were told.
    pub telling: Telling,
    /// What the annotation that asks for a look said last.
    requested: Requested,
}

/// What the annotation that asks for a look said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Requested {
    /// This process has not read it yet.
    #[default]
    Unread,
    /// This, or nothing.
    Said(Option<String>),
}

/// Whether a pass may go on from what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumed {
    /// Yes.
    Ready,
    /// The watch has not shown yet what a write of ours conflicted with.
    Behind,
}

impl Memory {
    /// Takes in what the watch shows of the policy.
    pub fn resume(&mut self, shown: &StoredPolicy) -> Resumed {
        if self.uid != shown.uid {
            *self = Self { uid: shown.uid.clone(), ..Self::default() };
            self.restart(shown);
            return Resumed::Ready;
        }
        if let Some(version) = &self.conflict_at {
            if !newer(&shown.resource_version, version) {
                return Resumed::Behind;
            }
            self.conflict_at = None;
            self.restart(shown);
            return Resumed::Ready;
        }
        if newer(&shown.resource_version, &self.resource_version) {
            if material(&self.stored, &shown.status) == Change::Material {
                tracing::info!("somebody else changed the stored status; going on from it");
                self.restart(shown);
            } else {
                // The spec or metadata changed, or our own write came back.
                self.resource_version.clone_from(&shown.resource_version);
            }
        }
        Resumed::Ready
    }

    /// Whether somebody asked for a look at the registry since the last call. A process that begins looks anyway.
    pub fn is_asked_to_look(&mut self, shown: &StoredPolicy) -> bool {
        let said = Requested::Said(shown.requested_at.clone());
        let before = std::mem::replace(&mut self.requested, said.clone());
        shown.requested_at.is_some() && before != Requested::Unread && before != said
    }

    fn restart(&mut self, shown: &StoredPolicy) {
        self.resource_version.clone_from(&shown.resource_version);
        self.stored = Arc::clone(&shown.status);
        self.latest = Arc::clone(&shown.status);
        self.written = None;
    }

    /// A status was written and is stored at `resource_version` now.
    pub fn wrote(&mut self, status: Arc<Status>, resource_version: String, now: Instant) {
        self.resource_version = resource_version;
        self.latest = Arc::clone(&status);
        self.stored = status;
        self.written = Some(now);
    }

    /// A write met a conflict: somebody else wrote meanwhile.
    pub fn conflicted(&mut self) {
        self.conflict_at = Some(self.resource_version.clone());
    }
}

/// Versions are numbers that grow; of others only a difference can be told.
fn newer(a: &str, b: &str) -> bool {
    match (a.parse::<u64>(), b.parse::<u64>()) {
        (Ok(a), Ok(b)) => a > b,
        _ => a != b,
    }
}

/// The memories of all policies.
#[derive(Default)]
pub struct Memories {
    by_policy: Mutex<BTreeMap<PolicyKey, Arc<tokio::sync::Mutex<Memory>>>>,
}

impl Memories {
    /// One policy's memory. Only its pass and the shutdown lock it.
    pub fn of(&self, key: &PolicyKey) -> Arc<tokio::sync::Mutex<Memory>> {
        Arc::clone(self.lock().entry(key.clone()).or_default())
    }

    /// A policy is gone.
    pub fn forget(&self, key: &PolicyKey) {
        self.lock().remove(key);
    }

    /// All of them.
    pub fn all(&self) -> Vec<(PolicyKey, Arc<tokio::sync::Mutex<Memory>>)> {
        self.lock().iter().map(|(key, memory)| (key.clone(), Arc::clone(memory))).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<PolicyKey, Arc<tokio::sync::Mutex<Memory>>>> {
        self.by_policy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
