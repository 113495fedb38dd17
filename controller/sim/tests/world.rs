//! The simulated world by itself, without a controller.

mod common;

use common::{incident_world, owner, policy};
use jiff::SignedDuration;
use lockkeeper_sim::{Behaviour, Effect, World, WorldSettings, release};

fn pass_to_next(world: &mut World) {
    let next = world.next_moment().expect("something is due");
    world.pass_time(next.duration_since(world.now));
}

#[test]
fn time_jumps_from_crash_to_crash_and_the_rate_is_right() {
    let settings = WorldSettings { seed: 3, restart_seconds: 30, ..WorldSettings::default() };
    let mut world = World::new(policy(), settings);
    let crashes = Behaviour { crashes_per_hour: 0.5, ..Behaviour::default() };
    world.push(&release("1.0.0"), &["1.0.0", "latest"], crashes);
    world.add_owner(owner("prod", "api", 200));
    world.pass_time(SignedDuration::ZERO);
    let end = world.now + SignedDuration::from_hours(40);
    let (mut up, mut looks) = (0.0, 0_u32);
    while world.now < end {
        let before = world.now;
        let ready = world.pods.iter().filter(|p| p.up).count();
        pass_to_next(&mut world);
        up += f64::from(u32::try_from(ready).unwrap()) * world.now.duration_since(before).as_secs_f64()
            / 3600.0;
        looks += 1;
    }
    let died = world.records.iter().filter(|r| matches!(r.what, Effect::Crashed { .. })).count();
    let rate = f64::from(u32::try_from(died).unwrap()) / up;
    // About 4,000 crashes: a standard error of 1.6 %.
    assert!((rate - 0.5).abs() < 0.035, "{died} crashes in {up} pod-hours: {rate}");
    assert!(looks < 12_000, "{looks} looks for {died} crashes: time did not jump");
}

#[test]
fn where_nothing_happens_there_is_no_next_moment() {
    let mut world = incident_world(1);
    world.pass_time(SignedDuration::from_hours(1));
    assert_eq!(world.next_moment(), None);
    world.delete_pod(0);
    assert_eq!(world.next_moment(), Some(world.now + SignedDuration::from_secs(1)));
}

#[test]
fn scaling_down_takes_the_youngest_and_a_rollout_is_seen_until_it_is_over() {
    let mut world = incident_world(1);
    let oldest = world.pods.iter().find(|p| p.owner == 2).unwrap().uid.clone();
    world.scale(2, 1);
    world.pass_time(SignedDuration::from_secs(1));
    let left: Vec<&str> = world.pods.iter().filter(|p| p.owner == 2).map(|p| p.uid.as_str()).collect();
    assert_eq!(left, [oldest.as_str()]);
    world.scale(2, 3);
    world.pass_time(SignedDuration::from_secs(1));
    assert_eq!(world.pods.iter().filter(|p| p.owner == 2).count(), 3);

    world.change_template(2, Some("registry.example.com/otel:0.28.0".to_owned()));
    assert!(world.observe().stages[2].pods.iter().all(|p| p.owner_rolling));
    for index in 0..world.pods.len() {
        if world.pods[index].owner == 2 {
            world.delete_pod(index);
        }
    }
    world.pass_time(SignedDuration::from_secs(1));
    let seen = world.observe();
    assert!(seen.stages[2].pods.iter().all(|p| !p.owner_rolling));
    assert!(seen.stages[2].pods.iter().all(|p| p.containers[0].image.ends_with(":0.28.0")));
}
