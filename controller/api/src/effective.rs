//! What is in force, as people write it: `status.effective`.

use crate::parse::scalar::duration_text;
use lockkeeper_core::{
    policy::{Amount, DeletionPolicy, DriftMode, Mode, Movement, Policy, RollbackMode, Stage, Target},
    select::{Order, Selection},
};
use std::collections::BTreeMap;

/// Every setting of a policy as it is in force, defaults and normalised names included, by its path below `spec`.
#[must_use]
pub fn effective(policy: &Policy) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut put = |path: &str, value: String| {
        found.insert(path.to_owned(), value);
    };
    put("image", policy.image.to_string());
    if !policy.pull_from.is_empty() {
        put("pullFrom", policy.pull_from.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
    }
    put("interval", duration_text(policy.interval));
    put("mode", mode(policy.mode).to_owned());
    put("suspend", policy.suspend.to_string());
    put("deletionPolicy", deletion_policy(policy.deletion_policy).to_owned());
    select(&policy.select, &mut put);
    if let Some(verify) = &policy.verify {
        put("select.verify.onRollback", verify.on_rollback.to_string());
    }
    let health = &policy.health;
    for (path, value) in [
        ("health.tick", health.tick),
        ("health.warmUp", health.warm_up),
        ("health.noDataAfter", health.no_data_after),
        ("health.noDataMax", health.no_data_max),
        ("health.readyDeadline", health.ready_deadline),
        ("health.guard", health.guard),
        ("health.sweep", health.sweep),
    ] {
        put(path, duration_text(value));
    }
    put("health.falseRollbackBudget", percent(health.false_rollback_budget));
    if let Some(rate) = health.require {
        put("health.require.restartsPerPodHour", rate.to_string());
    }
    for signal in &policy.signals {
        put(&format!("health.signals.{}.compare", signal.name), format!("worse is {}", signal.compare));
    }
    for receiver in policy.notify.iter().flatten() {
        let of: Vec<&str> = receiver.occasions.iter().map(|occasion| occasion.name()).collect();
        put(&format!("notify.{}", receiver.name), of.join(", "));
    }
    for stage in &policy.stages {
        self::stage(policy, stage, &mut put);
    }
    found
}

fn select(select: &Selection, put: &mut impl FnMut(&str, String)) {
    let order = |descending: &bool| if *descending { "desc" } else { "asc" }.to_owned();
    match &select.order {
        Order::Alphabetical { descending } => put("select.alphabetical.order", order(descending)),
        Order::Numerical { descending } => put("select.numerical.order", order(descending)),
        Order::NewestBuild { limit } => put("select.newestBuild.discoveryLimit", limit.to_string()),
        Order::Semver { .. } | Order::Digest { .. } => {}
    }
    put("select.minimumReleaseAge", duration_text(select.minimum_release_age));
    put("select.allowDowngrade", select.allow_downgrade.to_string());
    if select.platforms.is_empty() {
        put("select.platforms", "what the targets' nodes run".to_owned());
    } else {
        put(
            "select.platforms",
            select.platforms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        );
    }
}

fn stage(policy: &Policy, stage: &Stage, put: &mut impl FnMut(&str, String)) {
    let mut put = |field: &str, value: String| put(&format!("stages.{}.{field}", stage.name), value);
    let after: Vec<&str> =
        stage.after.iter().filter_map(|n| policy.stages.get(*n)).map(|stage| stage.name.as_str()).collect();
    put("after", if after.is_empty() { "nothing".to_owned() } else { after.join(", ") });
    put("soak", duration_text(stage.soak));
    put("maxSoak", duration_text(stage.max_soak));
    put("approvals", stage.approvals.to_string());
    let waves = match &stage.waves {
        None => "3 for 1h, 25% for 30m; none with fewer than 8 pods".to_owned(),
        Some(waves) if waves.is_empty() => "none".to_owned(),
        Some(waves) => {
            let texts: Vec<String> =
                waves.iter().map(|w| format!("{} for {}", amount(w.pods), duration_text(w.soak))).collect();
            texts.join(", ")
        }
    };
    put("waves", waves);
    let rollback = match stage.rollback {
        RollbackMode::Automatic => "Automatic",
        RollbackMode::Recommend => "Recommend",
        RollbackMode::Manual => "Manual",
    };
    put("rollback", rollback.to_owned());
    let drift = match stage.drift {
        DriftMode::Report => "Report",
        DriftMode::Repair => "Repair",
    };
    put("drift", drift.to_owned());
    for (n, target) in stage.targets.iter().enumerate() {
        put(&format!("targets.{n}.maxUnavailable"), amount(target.max_unavailable()));
        put(&format!("targets.{n}.maxMoving"), target.max_moving().to_string());
        match target {
            Target::Pods(pods) => {
                let movement = match pods.movement {
                    Movement::InPlace => "InPlace",
                    Movement::AtBirth => "AtBirth",
                };
                put(&format!("targets.{n}.move"), movement.to_owned());
            }
            Target::Workloads(workloads) => put(&format!("targets.{n}.kinds"), workloads.kinds.join(", ")),
            Target::Git(git) => put(&format!("targets.{n}.branch"), git.remote.branch.clone()),
        }
    }
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Observe => "Observe",
        Mode::Enforce => "Enforce",
    }
}

fn deletion_policy(policy: DeletionPolicy) -> &'static str {
    match policy {
        DeletionPolicy::Retain => "Retain",
        DeletionPolicy::Release => "Release",
    }
}

fn amount(amount: Amount) -> String {
    match amount {
        Amount::Count(n) => n.to_string(),
        Amount::Percent(n) => format!("{n}%"),
    }
}

/// A fraction of one as a share, without the noise of binary fractions.
fn percent(fraction: f64) -> String {
    let text = format!("{:.3}", fraction * 100.0);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}
