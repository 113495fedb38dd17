//! Random worlds and random things that happen in them.

pub mod events;
pub mod play;
