//! Adapters that measure signals: one file for each kind of server.

mod prometheus;

pub use prometheus::{Prometheus, Tls};
