//! The pure core of Lockkeeper: which release is chosen, what must hold before a stage gets it, how sure we are
//! that it is bad, and what it is taken back to.
//!
//! Guarantees: no clock, no I/O, no iteration order that differs between runs. Time and everything seen are passed in.

pub mod asking;
pub mod birth;
mod bounded;
mod catalogue;
mod conclude;
pub mod conditions;
mod decide;
pub mod decision;
pub mod facts;
pub mod gates;
pub mod git;
pub mod health;
pub mod held_back;
pub mod image;
mod leftovers;
pub mod notices;
pub mod observed;
pub mod pin;
pub mod policy;
pub mod remedy;
pub mod select;
pub mod signals;
pub mod signature;
pub mod stage;
pub mod status;
mod tags;

pub use decide::decide;
