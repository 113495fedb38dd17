//! The shared watches: one per kind for the whole cluster, trimmed at arrival, each as fresh as it says.
//!
//! Guarantees: see [`follow`]; what is kept, and whom a change wakes, is said per kind in [`collection`].

pub mod admission;
pub mod built_in;
pub mod collection;
mod concern;
pub mod follow;
pub mod ours;
pub mod own;
pub mod pod;
mod reach;
pub mod shelf;
pub mod workload;
pub mod world;
