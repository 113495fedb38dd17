//! A scripted world in virtual time: a registry, owners with pods on nodes, an API server that pins at birth and
//! tests patches, and a kubelet. The controller in it is the same `decide`, with the same write-ahead order.
//!
//! Guarantees: deterministic for a seed; no clock, no I/O. Assumes nothing of the core beyond its public types.

mod act;
mod git;
mod kubelet;
mod measured;
mod observe;
mod people;
pub mod quality;
pub mod random;
mod recorded;
pub mod svg;
pub mod watchman;
mod world;

pub use act::{Effect, PassOutcome};
pub use git::{Branches, Request};
pub use kubelet::Behaviour;
pub use measured::Measured;
pub use random::Random;
pub use recorded::{Combine, Recorded, Side};
pub use world::{EvidencePoint, Owner, Pod, Record, World, WorldSettings, release, release_for};
