//! The health engine: how sure we are, from counts of crashes and from gauges, that a candidate is bad.
//!
//! Two arms of one stage are compared while they run side by side: the pods that run the candidate and the pods of
//! the same owner and template that still run the stable release. If the candidate crashes no more often than they
//! do, every single crash falls on the candidate with a chance of at most its share of the pods. [`Evidence`] is the
//! wealth of a gambler who bets against that: fair under "no worse", growing if the candidate is worse, so it may be
//! looked at after every tick (a test martingale).
//!
//! Guarantees:
//! - if the candidate crashes no more often than its peers, the chance that [`Evidence::verdict`] *ever* says
//!   `Degraded` during a whole promotion is at most `alpha`, however often it is asked; and still so if one node (or,
//!   with all candidate pods on one node, one pod) is bad for reasons of its own (leave-one-out);
//! - a value of bounded size ([`MAX_EVIDENCE_BYTES`]) that is the same after a round trip through the status, for
//!   any order of the crashes within a tick, and when a tick is given twice;
//! - total: no panic, no overflow, no NaN for any input.
//!
//! Assumes: given the past, crashes of different pods are independent, and pods of one stratum in one tick have equal
//! rates. Pods of different applications are never pooled ([`Stratum`]).
//!
//! May not: read a clock, know what a pod is beyond its name, or decide what follows from a verdict.

mod arms;
mod evidence;
mod fingerprint;
mod fingerprints;
mod gauge;
mod left_out;
mod mixture;
mod pass;
mod promotion;
mod rate;
mod together;
mod verdict;

#[cfg(test)]
mod tests;

pub use arms::{Arm, Arms, Crash, NodeArms, Stratum};
pub use evidence::{Counts, CrashRow, Evidence, MAX_EVIDENCE_BYTES, Room};
pub use fingerprint::{Fingerprint, last_words, telling_line};
pub use fingerprints::{FastAlarm, FastLimits, Fingerprints, History};
pub use gauge::{Direction, Gauge, MIN_TICKS, Margin, Reading};
pub use pass::evidence_of_health;
pub use promotion::{Promotion, alpha_of_budget, promotion_martingale, stage_evidence};
pub use together::{Against, GaugeAlarm, Joint, Together};
pub use verdict::{Alarm, Doubt, HoldReason, MIN_CRASHES, Verdict};

/// `6.3 pod-hours`, or `1.2 pod-minutes` of less than six minutes.
pub(crate) fn pod_time(hours: f64) -> String {
    if hours >= 0.1 { format!("{hours:.1} pod-hours") } else { format!("{:.1} pod-minutes", hours * 60.0) }
}

/// A name of at most `max` bytes that still tells long names apart: what is cut off is replaced by its hash.
fn bounded(name: &str, max: usize) -> String {
    if name.len() <= max {
        return name.to_owned();
    }
    let hash = format!("~{:016x}", stable_hash(name));
    let mut cut = max.saturating_sub(hash.len());
    while !name.is_char_boundary(cut) {
        cut -= 1;
    }
    format!("{}{hash}", &name[..cut])
}

/// FNV-1a, 64 bits: the same in every build and on every machine, because its results live on in the status.
fn stable_hash(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A count as a real number; exact below 2^53, and no fleet has more pods or crashes.
#[allow(clippy::cast_precision_loss, reason = "counts of pods and crashes stay far below 2^53")]
fn real(count: u64) -> f64 {
    count as f64
}
