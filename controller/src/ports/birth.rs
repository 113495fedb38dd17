//! What the webhook that pins pods at birth asks of the cluster's adapter.
//!
//! Contracts: both answer from memory; no private key is ever printed.

use lockkeeper_core::pin::PinSpec;
use std::sync::Arc;

/// What the webhook needs to know. All replicas know it, whether they lead or not.
pub trait Births: Send + Sync + 'static {
    /// The pins of a namespace by their names, sorted; none: they have not been seen yet.
    fn pins(&self, namespace: &str) -> Option<Vec<(String, PinSpec)>>;
    /// The certificate to be shown now; none: there is none yet.
    fn serving(&self) -> Option<Arc<Serving>>;
}

/// A certificate that the API server believes, and its key, in PEM form.
#[derive(Clone, PartialEq, Eq)]
pub struct Serving {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

impl std::fmt::Debug for Serving {
    /// Never prints the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Serving(…)")
    }
}
