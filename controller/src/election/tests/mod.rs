//! The rules in a world of faults, one by one, and carried out.

mod carried_out;
mod model;
mod rules;

use super::Timing;
use std::time::Duration;

/// The default timing.
fn usual() -> Timing {
    let s = Duration::from_secs;
    Timing::new(s(15), s(10), s(2)).unwrap()
}
