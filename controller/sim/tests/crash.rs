//! P1: the controller is killed after every single effect of the incident's replay, and started again.

mod common;

use common::{owner, panics_in_prod, policy};
use jiff::{SignedDuration, Timestamp};
use lockkeeper_sim::{
    Behaviour, Effect, World, WorldSettings, release,
    watchman::{Watchman, run_until, settle},
};
use std::collections::{BTreeMap, BTreeSet};

const STEP: SignedDuration = SignedDuration::from_secs(60);

/// The incident with short soaks and few pods: what is compared is the end, not the pace.
fn world() -> World {
    let mut policy = policy();
    for stage in &mut policy.stages {
        stage.soak = SignedDuration::from_mins(3);
        stage.waves = Some(vec![common::wave(2, 15), common::wave(4, 3)]);
    }
    policy.health.warm_up = SignedDuration::from_secs(60);
    let mut world = World::new(policy, WorldSettings { seed: 11, ..WorldSettings::default() });
    world.push(&release("0.28.0"), &["0.28.0", "latest"], Behaviour::default());
    world.add_owner(owner("dev", "api", 2));
    world.add_owner(owner("staging", "api", 3));
    world.add_owner(owner("prod", "api", 9));
    world
}

type Happening = (Timestamp, fn(&mut World));

/// What happens, and when: everything else follows.
fn story(start: Timestamp) -> Vec<Happening> {
    let at = |minutes| start + SignedDuration::from_mins(minutes);
    vec![
        (at(3), |w| w.push(&release("0.29.0"), &["0.29.0", "latest"], panics_in_prod(40.0))),
        (at(22), |w| {
            let born = w.pods.len() - 1;
            w.delete_pod(born);
        }),
        (at(65), |w| w.push(&release("0.29.1"), &["0.29.1", "latest"], Behaviour::default())),
        (at(120), |_| {}),
    ]
}

/// Plays the rest of the story.
fn play(world: &mut World, watchman: &mut Watchman, start: Timestamp) {
    for (at, event) in story(start) {
        if at <= world.now {
            continue;
        }
        run_until(world, watchman, at, STEP);
        event(world);
        settle(world, watchman, 8);
    }
}

/// What is compared: no times, no counts of attempts.
#[derive(Debug, PartialEq, Eq)]
struct End {
    runs: BTreeMap<String, BTreeMap<String, usize>>,
    pins: BTreeSet<(String, String, Option<String>, bool)>,
    quarantines: BTreeSet<String>,
    verified: BTreeMap<String, Vec<(String, String)>>,
    phases: Vec<String>,
}

fn end_of(world: &World) -> End {
    let mut runs: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for pod in &world.pods {
        let o = &world.owners[pod.owner];
        let what = pod.running.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string);
        *runs.entry(format!("{}/{}", o.namespace, o.name)).or_default().entry(what).or_default() += 1;
    }
    let pins = world.pins.iter().map(|p| {
        let tag = p.spec.tag.as_ref().map(ToString::to_string);
        (p.key.namespace.clone(), p.spec.digest.to_string(), tag, p.spec.only_tags.is_some())
    });
    let verified = world.stored.stages.iter().map(|s| {
        let list = s.verified.iter().map(|v| (v.release.digest.to_string(), format!("{:?}", v.source)));
        (s.name.clone(), list.collect())
    });
    End {
        runs,
        pins: pins.collect(),
        quarantines: world.quarantines.iter().map(|q| q.name.clone()).collect(),
        verified: verified.collect(),
        phases: world.stored.stages.iter().map(|s| format!("{} {:?}", s.name, s.phase)).collect(),
    }
}

#[test]
fn p1_killed_after_every_single_effect_the_end_is_the_same() {
    let start = world().now;
    let (mut clean, mut watchman) = (world(), Watchman::default());
    play(&mut clean, &mut watchman, start);
    assert_eq!(watchman.violations, Vec::<String>::new());
    let expected = end_of(&clean);
    assert_eq!(clean.running(&release("0.29.1")), 14, "{expected:#?}");
    assert_eq!(clean.quarantines.len(), 1);

    // Along the clean run, before every pass that writes: one branch per write after which the controller dies.
    let (mut trunk, mut watchman) = (world(), Watchman::default());
    let (mut branches, mut effects) = (0, 0);
    let mut wrong = Vec::new();
    let mut events = story(start).into_iter().peekable();
    while let Some((at, event)) = events.peek().copied() {
        if trunk.now >= at {
            event(&mut trunk);
            events.next();
        } else {
            trunk.pass_time(STEP);
        }
        for _ in 0..8 {
            let asked = trunk.questions.clone();
            let (before, oracle) = (trunk.clone(), watchman.clone());
            let writes = trunk.reconcile(None).writes;
            watchman.look(&trunk);
            let acted = trunk.records.len() > before.records.len();
            // A pass that only moves the soak's clock on is one branch in ten: they are all alike.
            let kills = if acted { 1..=writes } else { 1..=usize::from(writes > 0 && branches % 10 == 0) };
            for k in kills {
                let (mut branch, mut oracle) = (before.clone(), oracle.clone());
                assert!(branch.reconcile(Some(k)).killed);
                oracle.look(&branch);
                branches += 1;
                effects += usize::from(acted);
                play(&mut branch, &mut oracle, start);
                let end = end_of(&branch);
                if end != expected || !oracle.violations.is_empty() {
                    wrong.push((before.now, k, end, oracle.violations));
                }
            }
            branches += usize::from(!acted && writes > 0);
            if writes == 0 && asked == trunk.questions {
                break;
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} branches end differently; the first: {:#?}\nexpected {expected:#?}",
        wrong.len(),
        wrong[0]
    );
    let all = clean.records.iter().filter(|r| is_write(&r.what)).count();
    assert!(effects > all, "{effects} positions for {all} effects");
}

fn is_write(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::Moved { .. }
            | Effect::Pinned { .. }
            | Effect::Unpinned { .. }
            | Effect::Orphaned { .. }
            | Effect::Quarantined { .. }
    )
}
