//! How good the health engine's decisions are: the engine itself, in virtual time, against many models of noise.
//!
//! Guarantees: deterministic for a seed. What decides is [`lockkeeper_core::health`], nothing of it is copied here.
//! Assumes: synthetic noise. No model here was fitted to a real cluster.

mod draw;
mod gauges;
mod night;
mod noise;
mod page;
mod picture;
mod tables;

pub use gauges::{GaugeNight, gauge_found, mean_of_signals, passes};
pub use night::{DETECTORS, Detector, Fleet, night};
pub use noise::Noise;
pub use page::{Pictures, page};
pub use tables::{Kind, Result, Row, measure, rows};
