//! What was asked of registries and of the API server, and what was asked of us by hooks.
//!
//! Guarantees: no name of an object and no namespace is a label; the kinds are those that this program and the
//! installation's flags name.

use super::{Metrics, Seconds};
use crate::ports::TrustedRoot;
use jiff::Timestamp;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindOutcome {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRepository {
    repository: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRoot {
    source: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRequest {
    verb: &'static str,
    resource: String,
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfHook {
    receiver: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfService {
    service: &'static str,
    outcome: &'static str,
}

/// Counters of requests.
#[derive(Default)]
pub struct Requests {
    registry: Family<KindOutcome, Counter>,
    scanned: Family<OfRepository, Seconds>,
    trusted_root: Family<OfRoot, Seconds>,
    api: Family<OfRequest, Counter>,
    hooks: Family<OfHook, Counter>,
    notices: Family<OfService, Counter>,
}

impl Requests {
    pub(super) fn add_to(&self, r: &mut Registry) {
        let registry = self.registry.clone();
        r.register("registry_requests", "Lookups in registries, by kind and outcome", registry);
        let scanned = self.scanned.clone();
        r.register(
            "registry_scan_timestamp_seconds",
            "When a repository's tags were last listed completely",
            scanned,
        );
        r.register(
            "sigstore_trusted_root_timestamp_seconds",
            "When the trusted root that keyless signatures are held against was published (bundled) or written (mounted)",
            self.trusted_root.clone(),
        );
        let api = self.api.clone();
        r.register(
            "api_requests",
            "Requests to the API server, by verb, resource and class of the answer's code (none: no answer)",
            api,
        );
        r.register("hooks", "Hooks that arrived, by receiver and outcome", self.hooks.clone());
        r.register(
            "notices",
            "Messages sent to people outside, by service and outcome (delivered, failed: tried again)",
            self.notices.clone(),
        );
    }
}

impl Metrics {
    /// A registry was asked; `failed` is the reason, one of a bounded set.
    pub fn registry_request(&self, kind: &'static str, failed: Option<&'static str>) {
        let outcome = failed.unwrap_or("ok");
        self.requests.registry.get_or_create(&KindOutcome { kind, outcome }).inc();
    }

    /// A repository's tags were listed.
    pub fn scanned(&self, repository: &str, now: Timestamp) {
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit a double")]
        let seconds = now.as_second() as f64;
        let of = OfRepository { repository: repository.to_owned() };
        self.requests.scanned.get_or_create(&of).set(seconds);
    }

    /// Nobody asks this repository any more.
    pub fn unscanned(&self, repository: &str) {
        self.requests.scanned.remove(&OfRepository { repository: repository.to_owned() });
    }

    /// How old the trusted root is.
    pub fn trusted_root(&self, root: TrustedRoot) {
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit a double")]
        let seconds = root.since.as_second() as f64;
        self.requests.trusted_root.get_or_create(&OfRoot { source: root.source }).set(seconds);
    }

    /// The API server was asked; `code` is the class of its answer.
    pub fn api_request(&self, verb: &'static str, resource: String, code: &'static str) {
        self.requests.api.get_or_create(&OfRequest { verb, resource, code }).inc();
    }

    /// A message was sent to people outside, or was not taken.
    pub fn notified(&self, service: &'static str, outcome: &'static str) {
        self.requests.notices.get_or_create(&OfService { service, outcome }).inc();
    }

    /// A hook arrived at a receiver of the installation.
    pub fn hook(&self, receiver: &str, outcome: &'static str) {
        self.requests.hooks.get_or_create(&OfHook { receiver: receiver.to_owned(), outcome }).inc();
    }
}
