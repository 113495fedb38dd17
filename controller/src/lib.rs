//! Lockkeeper's adapters and its program: everything that talks to the world.
//!
//! The composition root (`cli::wire`) is the only place that names concrete adapters; all others know `ports`.

pub mod aws;
pub mod cli;
pub mod election;
pub mod forges;
pub mod git;
pub mod hooks;
pub mod hosts;
pub mod http;
pub mod kubernetes;
pub mod notify;
pub mod ports;
pub mod reconcile;
pub mod registry;
pub mod signals;
pub mod signatures;
pub mod signing;
pub mod telemetry;
pub mod webhook;
