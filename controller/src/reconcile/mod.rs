//! One pass over one policy: observe, decide, report, execute.
//!
//! Guarantees: nothing flows backwards: what an effect achieved is seen by the next pass; effects follow from a status
//! that is stored (I6); a pass that finds nothing new writes nothing (I7); a failing policy fails alone (I14).
//! Assumes: the scheduler makes at most one pass per policy at a time. May not: know an adapter, or decide.

pub mod background;
pub mod change;
pub mod deliveries;
pub mod elsewhere;
pub mod execute;
pub mod invalid;
mod lanes;
pub mod last_words;
pub mod lookups;
pub mod measurements;
pub mod memory;
pub mod notices;
pub mod observe;
mod pass;
pub mod queue;
pub mod refusals;
pub mod report;
mod requests;
pub mod secrets;
mod speaking;
mod tell;
pub mod vital;

#[cfg(test)]
mod tests;

pub use pass::{Decide, Reconciler, World};
