//! The outage, with the controller in it.

mod common;

use common::{incident_world, panics_in_prod};
use jiff::SignedDuration;
use lockkeeper_sim::{Behaviour, Effect, World, release, watchman::Watchman};

fn run(world: &mut World, watchman: &mut Watchman, hours: i64) {
    for _ in 0..hours * 120 {
        world.run_for(SignedDuration::from_secs(30), SignedDuration::from_secs(30));
        watchman.look(world);
    }
}

fn told(world: &World) -> Vec<String> {
    let mut lines = Vec::new();
    for r in &world.records {
        if let Effect::Told(e) = &r.what {
            lines.push(format!("{} {} {:?}: {}", r.at, e.reason, e.stage, e.message));
        }
    }
    lines
}

#[test]
fn a_bad_release_is_taken_back_and_the_fixed_one_goes_through() {
    let mut world = incident_world(7);
    let mut watchman = Watchman::default();
    run(&mut world, &mut watchman, 1);
    assert_eq!(world.running(&release("0.28.0")), 36);
    let adopted_moves = world.records.iter().filter(|r| matches!(r.what, Effect::Moved { .. })).count();
    assert_eq!(adopted_moves, 0, "adoption restarts nothing");

    world.push(&release("0.29.0"), &["0.29.0", "latest"], panics_in_prod(6.0));
    run(&mut world, &mut watchman, 8);
    let lines = told(&world).join("\n");
    assert!(lines.contains("RolledBack"), "{lines}\n{:#?}", world.stored.stages[2]);
    assert_eq!(world.quarantines.len(), 1, "{lines}");
    let prod_bad =
        world.pods.iter().filter(|p| p.name.starts_with("api") && world.owners[p.owner].namespace == "prod");
    let bad =
        prod_bad.filter(|p| p.running.as_ref().is_some_and(|d| release("0.29.0").answers_to(d))).count();
    assert_eq!(bad, 0);
    // Stages before the degraded one keep it, to reproduce it.
    assert_eq!(world.running(&release("0.29.0")), 6, "{lines}");

    world.push(&release("0.29.1"), &["0.29.1", "latest"], Behaviour::default());
    run(&mut world, &mut watchman, 10);
    let lines = told(&world).join("\n");
    assert_eq!(world.running(&release("0.29.1")), 36, "{lines}\n{:#?}", world.stored.stages[2]);
    assert!(watchman.violations.is_empty(), "{:#?}", watchman.violations);
    assert_eq!(world.settle(10), 0, "nothing left to write");
}
