//! Every default, once: for [`parse`](crate::parse), for the descriptions in the CRDs and for the reference.
//!
//! The schema carries no `default:`. What a person left out stays left out in the stored object, so that a better
//! default of a later version reaches it; `status.effective` shows what is in force.

/// `spec.interval`.
pub const INTERVAL: &str = "5m";
/// `spec.mode`.
pub const MODE: &str = "Observe";
/// `spec.deletionPolicy`.
pub const DELETION_POLICY: &str = "Retain";
/// `spec.serviceAccountName`.
pub const SERVICE_ACCOUNT: &str = "default";
/// `spec.select.minimumReleaseAge`.
pub const RELEASE_AGE: &str = "0s";
/// `spec.stages[].soak`.
pub const SOAK: &str = "30m";
/// `spec.stages[].maxSoak`, unless twice the stage's longest soak is more.
pub const MAX_SOAK: &str = "6h";
/// `spec.stages[].windows[].kind`.
pub const WINDOW_KIND: &str = "Allow";
/// `spec.stages[].windows[].timeZone`.
pub const TIME_ZONE: &str = "UTC";
/// `spec.stages[].rollback`.
pub const ROLLBACK: &str = "Automatic";
/// `spec.stages[].drift`.
pub const DRIFT: &str = "Report";
/// `spec.stages[].targets[].pods.move`.
pub const MOVEMENT: &str = "InPlace";
/// `maxUnavailable` of a target, in per cent.
pub const MAX_UNAVAILABLE: u32 = 25;
/// `maxMoving` of a target.
pub const MAX_MOVING: usize = 50;
/// `spec.stages[].targets[].git.pullRequest.branchPrefix`.
pub const BRANCH_PREFIX: &str = "lockkeeper";
/// `spec.stages[].targets[].workloads.kinds`.
pub const KINDS: [&str; 4] = ["Deployment", "StatefulSet", "DaemonSet", "CronJob"];
/// `spec.health.tick`.
pub const TICK: &str = "1m";
/// `spec.health.warmUp`.
pub const WARM_UP: &str = "2m";
/// `spec.health.signals[].job.deadline`, unless `noDataAfter` is less.
pub const JOB_DEADLINE: &str = "10m";
/// `spec.health.signals[].datadog.delay`.
pub const DATADOG_DELAY: &str = "1m";
/// `spec.health.signals[].cloudWatch.delay`.
pub const CLOUD_WATCH_DELAY: &str = "2m";
/// `spec.health.signals[].compare.direction`.
pub const DIRECTION: &str = "HigherIsWorse";
/// `spec.health.signals[].compare.margin`, unless there is a limit.
pub const MARGIN: &str = "10%";
/// `spec.health.falseRollbackBudget`.
pub const FALSE_ROLLBACK_BUDGET: &str = "2%";
/// `spec.health.noDataAfter`.
pub const NO_DATA_AFTER: &str = "15m";
/// `spec.health.noDataMax`.
pub const NO_DATA_MAX: &str = "6h";
/// `spec.health.readyDeadline`.
pub const READY_DEADLINE: &str = "10m";
/// `spec.health.guard`.
pub const GUARD: &str = "48h";
/// `spec.health.sweep`.
pub const SWEEP: &str = "1m";
/// `notAfter` of an Intervention other than Hold, counted from its creation.
pub const INTERVENTION: &str = "168h";

/// What is in force where an `ImagePolicy` says nothing: the field's path and words for people.
pub const IMAGE_POLICY: &[(&str, &str)] = &[
    ("spec.pullFrom", "none"),
    ("spec.interval", INTERVAL),
    ("spec.mode", MODE),
    ("spec.suspend", "false"),
    ("spec.deletionPolicy", DELETION_POLICY),
    ("spec.registry", "TLS, no credential"),
    ("spec.registry.insecure", "false"),
    ("spec.select.ignoreTags", "none"),
    ("spec.select.platforms", "what the targets' nodes run"),
    ("spec.select.minimumReleaseAge", RELEASE_AGE),
    ("spec.select.allowDowngrade", "false"),
    ("spec.serviceAccountName", SERVICE_ACCOUNT),
    ("spec.stages[].after", "the stage above"),
    ("spec.stages[].soak", SOAK),
    ("spec.stages[].maxSoak", "6h, or twice the stage's longest soak if that is more"),
    ("spec.stages[].approval", "none is asked for"),
    ("spec.stages[].windows", "always open"),
    ("spec.stages[].windows[].timeZone", TIME_ZONE),
    ("spec.stages[].windows[].kind", WINDOW_KIND),
    ("spec.stages[].waves", "3 pods for 1h, then 25% for 30m; none in a stage with fewer than 8 pods"),
    ("spec.stages[].rollback", ROLLBACK),
    ("spec.stages[].drift", DRIFT),
    ("spec.stages[].targets[].pods.containers", "every container of the policy's repositories"),
    ("spec.stages[].targets[].pods.move", MOVEMENT),
    ("spec.stages[].targets[].pods.maxUnavailable", "25%"),
    ("spec.stages[].targets[].pods.maxMoving", "50"),
    ("spec.stages[].targets[].workloads.containers", "every container of the policy's repositories"),
    ("spec.stages[].targets[].workloads.kinds", "Deployment, StatefulSet, DaemonSet, CronJob"),
    ("spec.stages[].targets[].workloads.maxUnavailable", "25%"),
    ("spec.stages[].targets[].workloads.maxMoving", "50"),
    ("spec.health.tick", TICK),
    ("spec.health.warmUp", WARM_UP),
    ("spec.health.falseRollbackBudget", FALSE_ROLLBACK_BUDGET),
    ("spec.health.noDataAfter", NO_DATA_AFTER),
    ("spec.health.noDataMax", NO_DATA_MAX),
    ("spec.health.readyDeadline", READY_DEADLINE),
    ("spec.health.guard", GUARD),
    ("spec.health.sweep", SWEEP),
    ("spec.health.signals[].job.deadline", "10m, or noDataAfter if that is less"),
    ("spec.health.signals[].datadog.delay", DATADOG_DELAY),
    ("spec.health.signals[].cloudWatch.delay", CLOUD_WATCH_DELAY),
    ("spec.health.signals[].compare.direction", DIRECTION),
    ("spec.health.signals[].compare.margin", MARGIN),
    ("spec.notify", "those whom the installation names"),
    ("spec.notify[].events", "all that the service takes"),
    ("spec.notify[].stages", "all stages, and what concerns none"),
];

/// The same for an `Intervention`.
pub const INTERVENTION_FIELDS: &[(&str, &str)] = &[
    ("spec.stages", "all stages"),
    ("spec.policyRef", "all policies of the namespace"),
    ("spec.notAfter", "168h after it was made; a Hold has no end"),
];
