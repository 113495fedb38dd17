//! The harness of the black-box tests: a real control plane, a real registry, simulated or real nodes, the controller.
//!
//! Guarantees: everything listens on free loopback ports and lives in temporary folders; every process started here
//! dies with the process that started it, even if that one is killed; the logs of a failed test are kept and named.
//! Assumes: Linux, and the programs that `tests/bed/build` makes (it is called where they are needed).
//! May not: know anything of Lockkeeper but its resources (`lockkeeper-api`) and its command line.

pub mod audit;
pub mod bed;
pub mod controller;
pub mod demo;
pub mod eventually;
pub mod forge;
pub mod gate;
pub mod git;
pub mod helm;
pub mod image;
pub mod install;
mod janitor;
pub mod kinds;
pub mod kubelet;
pub mod meter;
pub mod node;
mod part;
pub mod ports;
pub mod process;
pub mod programs;
pub mod prometheus;
pub mod promtool;
pub mod proxy;
pub mod recorder;
pub mod scene;
pub mod sshd;
pub mod synthetic;
pub mod testing;

pub use audit::AuditEvent;
pub use bed::{Bed, Settings};
pub use controller::Controller;
pub use eventually::{PATIENCE, eventually};
pub use image::{File, Image, Pushed, Registry};
pub use part::Part;
pub use testing::{Test, run};

/// Makes aws-lc-rs the crypto provider of this process. Safe to call any number of times.
pub fn install_crypto_provider() {
    // The error says that a provider is installed already, which is what is wanted.
    let _already = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
