//! How long, how many and how large: each bound once, for the schema and for [`parse`](crate::parse) alike.

/// Shortest and longest duration that a field takes, as they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// At least this.
    pub least: &'static str,
    /// At most this.
    pub most: &'static str,
}

/// `spec.interval`.
pub const INTERVAL: Bounds = Bounds { least: "1s", most: "24h" };
/// `spec.select.minimumReleaseAge`.
pub const RELEASE_AGE: Bounds = Bounds { least: "0s", most: "8760h" };
/// `soak` and `maxSoak` of stages and waves.
pub const SOAK: Bounds = Bounds { least: "1s", most: "720h" };
/// `windows[].duration`.
pub const WINDOW: Bounds = Bounds { least: "1m", most: "168h" };
/// `spec.health.tick`.
pub const TICK: Bounds = Bounds { least: "1s", most: "1h" };
/// `spec.health.warmUp`.
pub const WARM_UP: Bounds = Bounds { least: "0s", most: "1h" };
/// `spec.health.noDataAfter`.
pub const NO_DATA_AFTER: Bounds = Bounds { least: "1s", most: "24h" };
/// `spec.health.noDataMax`.
pub const NO_DATA_MAX: Bounds = Bounds { least: "1s", most: "168h" };
/// `spec.health.readyDeadline`.
pub const READY_DEADLINE: Bounds = Bounds { least: "1s", most: "24h" };
/// `spec.health.guard`.
pub const GUARD: Bounds = Bounds { least: "0s", most: "720h" };
/// `spec.health.sweep`.
pub const SWEEP: Bounds = Bounds { least: "1s", most: "1h" };

/// `spec.health.signals[].job.deadline`.
pub const JOB: Bounds = Bounds { least: "1s", most: "24h" };
/// `spec.health.signals[].datadog.delay` and that of `cloudWatch`.
pub const DELAY: Bounds = Bounds { least: "0s", most: "10m" };
/// Metrics that an expression of `CloudWatch` may name.
pub const METRICS: usize = 10;
/// Dimensions of one of them.
pub const DIMENSIONS: usize = 10;
/// Longest text of a name in `CloudWatch`.
pub const METRIC: usize = 255;

/// Signals of a policy.
pub const SIGNALS: usize = 6;
/// Longest query of a signal, in characters.
pub const QUERY: usize = 2048;
/// Longest address of a signal's server.
pub const ADDRESS: usize = 512;
/// Largest limit of a signal.
pub const LIMIT: f64 = 1e9;
/// Receivers of messages of a policy.
pub const NOTIFIERS: usize = 8;
/// Stages of a policy.
pub const STAGES: usize = 16;
/// Mirrors of a policy.
pub const MIRRORS: usize = 8;
/// Targets of a stage.
pub const TARGETS: usize = 8;
/// Waves of a stage.
pub const WAVES: usize = 8;
/// Windows of a stage.
pub const WINDOWS: usize = 16;
/// Namespaces named by a target.
pub const NAMESPACES: usize = 64;
/// Labels of a selector.
pub const LABELS: usize = 16;
/// Edits of a `git` target.
pub const EDITS: usize = 16;
/// Longest path within a repository, and longest name of a branch.
pub const PATH: usize = 255;
/// Longest template of a commit's message.
pub const MESSAGE: usize = 1000;
/// Labels of a request to merge, and people who are asked to look at it.
pub const REQUESTED: usize = 10;
/// Containers named by a target.
pub const CONTAINERS: usize = 16;
/// Kinds named by a `workloads` target.
pub const KINDS: usize = 16;
/// Distinct people an approval may ask for.
pub const APPROVALS: i64 = 10;
/// `maxMoving`.
pub const MOVING: i64 = 10_000;
/// Pods of a wave, or of a budget, as a number.
pub const PODS: i64 = 50_000;
/// Longest repository, in characters: a host name, its port and a path.
pub const REPOSITORY: usize = 512;
/// Largest `health.require.restartsPerPodHour`.
pub const RESTARTS_PER_POD_HOUR: f64 = 1000.0;
/// Largest `falseRollbackBudget`, in per cent.
pub const FALSE_ROLLBACKS: f64 = 20.0;
