//! The incident on a real control plane: the demonstration that people watch and the test that proves it are this one story.
//!
//! Guarantees: what [`Outcome`] says comes from the recorder (kubelets' words), the API server's audit log and the
//! registry, never from the controller's own account; every claim of it can fail and then says why.
//! Assumes: a bed of its own, with the namespaces of `examples/demo` not taken.
//! May not: depend on how long anything takes.

mod follow;
mod outcome;
mod screen;
mod story;
mod world;

pub use outcome::{Birth, Claim, Outcome, StageOutcome};
pub use screen::Screen;
pub use story::play;
pub use world::World;

/// The container that the story is about.
pub const SIDECAR: &str = "otel";
/// Namespace and name of the policy.
pub const POLICY: (&str, &str) = ("platform", "otel-collector");
/// Namespace of each stage and how many pods it has, as `examples/demo/apps.yaml` says.
pub const STAGES: [(&str, usize); 3] = [("dev", 2), ("staging", 4), ("prod", 30)];
/// The stage in which the bad release panics.
pub const PROD: &str = "prod";
/// Who writes to the stages.
pub const PROMOTER: &str = "system:serviceaccount:platform:otel-promoter";
/// Seconds of the real thing that one second of the demonstration stands for.
pub const TIME_SCALE: f64 = 60.0;
/// Crashes of the bad release per pod and hour of the real thing: what the incident's timeline suggests.
pub const RESTARTS_PER_POD_HOUR: f64 = 6.0;
/// Pods of the first wave in prod, as `examples/demo/policy.yaml` says.
pub const WAVE: usize = 3;
