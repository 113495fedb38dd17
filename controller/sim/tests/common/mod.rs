//! The world of the stories: three stages, an application with a telemetry sidecar at `:latest`.
#![allow(dead_code, reason = "each test program uses its part of it")]

pub mod chaos;
pub mod incident;

use jiff::{SignedDuration, Timestamp};
use lockkeeper_core::{
    policy::{
        Amount, DeletionPolicy, DriftMode, HealthSettings, Mode, Movement, Namespaces, PodsTarget, Policy,
        RollbackMode, Stage, Target, Wave,
    },
    select::{Order, Selection},
};
use lockkeeper_sim::{Behaviour, Owner, World, WorldSettings, release};
use std::collections::BTreeMap;

pub const REPOSITORY: &str = "registry.example.com/otel";

pub fn labels() -> BTreeMap<String, String> {
    BTreeMap::from([("telemetry".to_owned(), "otel".to_owned())])
}

pub fn stage(name: &str, after: &[usize], soak: SignedDuration) -> Stage {
    Stage {
        name: name.to_owned(),
        hash: format!("hash-{name}"),
        after: after.to_vec(),
        targets: vec![Target::Pods(PodsTarget {
            namespaces: Namespaces::Named(vec![name.to_owned()]),
            match_labels: labels(),
            containers: vec!["otel".to_owned()],
            movement: Movement::InPlace,
            max_unavailable: Amount::Percent(25),
            max_moving: 50,
        })],
        soak,
        max_soak: SignedDuration::from_hours(6),
        approvals: 0,
        windows: Vec::new(),
        waves: None,
        rollback: RollbackMode::Automatic,
        drift: DriftMode::Report,
    }
}

pub fn policy() -> Policy {
    Policy {
        namespace: "platform".to_owned(),
        name: "otel".to_owned(),
        uid: "0f1e2d3c-0000".to_owned(),
        generation: 1,
        created: Timestamp::UNIX_EPOCH,
        image: REPOSITORY.parse().unwrap(),
        pull_from: Vec::new(),
        interval: SignedDuration::from_mins(5),
        mode: Mode::Enforce,
        suspend: false,
        deletion_policy: DeletionPolicy::Retain,
        select: Selection::of(Order::semver(">=0.28.0").unwrap()).unwrap(),
        verify: None,
        stages: vec![
            stage("dev", &[], SignedDuration::from_mins(30)),
            stage("staging", &[0], SignedDuration::from_hours(2)),
            stage("prod", &[1], SignedDuration::from_mins(30)),
        ],
        signals: Vec::new(),
        notify: None,
        health: HealthSettings {
            tick: SignedDuration::from_secs(60),
            warm_up: SignedDuration::from_secs(120),
            false_rollback_budget: 0.02,
            require: None,
            no_data_after: SignedDuration::from_mins(15),
            no_data_max: SignedDuration::from_hours(6),
            ready_deadline: SignedDuration::from_mins(10),
            guard: SignedDuration::from_hours(48),
            sweep: SignedDuration::from_secs(60),
        },
    }
}

pub fn owner(namespace: &str, name: &str, replicas: usize) -> Owner {
    Owner {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        replicas,
        image: format!("{REPOSITORY}:latest"),
        template: "t0".to_owned(),
        labels: labels(),
    }
}

/// Two pods in dev, four in staging, thirty of one owner in prod, all on 0.28.0 by way of `latest`.
pub fn incident_world(seed: u64) -> World {
    let mut world = World::new(policy(), WorldSettings { seed, ..WorldSettings::default() });
    world.push(&release("0.28.0"), &["0.28.0", "latest"], Behaviour::default());
    world.add_owner(owner("dev", "api", 2));
    world.add_owner(owner("staging", "api", 4));
    world.add_owner(owner("prod", "api", 30));
    world
}

/// Panics under production's traffic only.
pub fn panics_in_prod(rate: f64) -> Behaviour {
    Behaviour { crashes_per_hour: rate, only_in: ["prod".to_owned()].into(), ..Behaviour::default() }
}

/// A wave of so many pods with a soak of so many minutes.
pub fn wave(pods: u32, minutes: i64) -> Wave {
    Wave { pods: Amount::Count(pods), soak: SignedDuration::from_mins(minutes) }
}
