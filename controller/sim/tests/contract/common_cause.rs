//! Several policies, and what they share breaks: held and told, and no release hides behind it for ever.

use super::*;
use lockkeeper_core::{
    observed::{CrashElsewhere, Elsewhere},
    stage::common_cause::{MOST, shown},
};
use std::sync::Arc;

/// Policies of different images in one cluster: each a world of its own on the same nodes, and each sees what the others show.
struct City(Vec<Story>);

const STEP: SignedDuration = SignedDuration::from_secs(30);

impl City {
    /// So many policies with eight pods each; what they run has been adopted and runs for a day.
    fn new(count: usize) -> Self {
        let stories = (0..count).map(|n| {
            let mut policy = stages(&["prod"]);
            policy.name = format!("sidecar-{n}");
            policy.uid = format!("uid-{n:04}-0000");
            if n > 0 {
                policy.image = format!("registry.example.com/sidecar-{n}").parse().unwrap();
                policy.pull_from = vec![common::REPOSITORY.parse().unwrap()];
            }
            let seed = u64::try_from(n).unwrap() + 5;
            let mut world = World::new(policy, WorldSettings { seed, ..WorldSettings::default() });
            world.push(&release("0.28.0"), &["0.28.0", "latest"], Behaviour::default());
            world.add_owner(owner("prod", "api", 8));
            Story { world, watchman: Watchman::default() }
        });
        let mut city = Self(stories.collect());
        city.pass(2);
        for story in &mut city.0 {
            story.world.run_for(SignedDuration::from_hours(24), SignedDuration::from_mins(30));
        }
        city
    }

    fn pass(&mut self, minutes: i64) {
        let steps = minutes * 60 / STEP.as_secs();
        for _ in 0..steps {
            let all: Vec<Arc<Elsewhere>> = self.0.iter().map(|story| Arc::new(shows(story))).collect();
            for (n, story) in self.0.iter_mut().enumerate() {
                let others = all.iter().enumerate().filter(|(other, _)| *other != n).map(|(_, e)| e.clone());
                story.world.elsewhere = others.collect();
                let end = story.world.now + STEP;
                run_until(&mut story.world, &mut story.watchman, end, STEP);
                assert_eq!(story.watchman.violations, Vec::<String>::new());
            }
        }
    }

    fn breaks(&mut self, nodes: &[&str]) {
        for story in &mut self.0 {
            story.world.broken_nodes = nodes.iter().map(|node| (*node).to_owned()).collect();
        }
    }

    /// What the first few policies do with a release that comes for them now.
    fn push(&mut self, count: usize, behaviour: &Behaviour) {
        for story in self.0.iter_mut().take(count) {
            story.push("0.29.0", behaviour.clone());
        }
    }

    fn reasons(&self) -> Vec<(Phase, &str)> {
        self.0.iter().map(|story| story.reason(0)).collect()
    }

    fn rolled_back(&self) -> Vec<usize> {
        self.0.iter().map(|story| story.told("Degraded")).collect()
    }
}

fn shows(story: &Story) -> Elsewhere {
    let World { policy, stored, now, .. } = &story.world;
    // One image under one name in the registry of every world: told apart by the policy's own.
    let mut shown = shown(policy, stored, &story.world.observe().stages, *now);
    shown.images = [policy.image.clone()].into();
    shown
}

/// Four policies; the first has just given a release to all of its pods when two nodes break for everybody.
fn two_nodes_break() -> City {
    let mut city = City::new(4);
    city.push(1, &Behaviour::default());
    city.pass(4);
    assert_eq!(city.0[0].runs("0.29.0"), 8, "{}", city.0[0].history());
    assert_eq!(city.0[0].reason(0).0, Phase::Soaking);
    city.breaks(&["node-1", "node-2"]);
    city
}

#[test]
fn crashes_on_nodes_that_shake_for_everybody_are_held_and_told_and_then_the_release_goes_on() {
    let mut city = two_nodes_break();
    city.pass(10);
    let first = &city.0[0];
    assert_eq!(first.reason(0), (Phase::Soaking, "CommonCause"), "{}", first.history());
    let message = &first.stage(0).message;
    for part in ["pods are in a crash loop with 0.29.0", "not taken back yet", "sidecar-1", "node-1, node-2"]
    {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(first.stage(0).until.is_some(), "it has an end");
    let health = &first.stage(0).flight.as_ref().unwrap().health;
    // Of four pods at most their first crash was counted, before the others had told of theirs.
    assert!(health.set_aside > 0 && health.crashes[0] <= 4, "{} {:?}", health.set_aside, health.crashes);
    city.breaks(&[]);
    city.pass(40);
    let first = &city.0[0];
    assert_eq!(first.reason(0), (Phase::Idle, "Verified"), "{}", first.history());
    assert_eq!((city.rolled_back(), city.0[0].told("Suspect")), (vec![0; 4], 1));
}

#[test]
fn what_still_crashes_when_the_rule_ends_is_taken_back() {
    let mut city = two_nodes_break();
    city.pass(20);
    assert_eq!(city.rolled_back()[0], 0, "{}", city.0[0].history());
    city.pass(i64::from(MOST) - 15);
    assert_eq!(city.rolled_back()[0], 1, "{}", city.0[0].history());
}

#[test]
fn a_release_that_was_verified_a_while_ago_is_held_in_its_guard_and_taken_back_when_the_rule_ends() {
    for heals in [true, false] {
        let mut city = City::new(3);
        city.push(1, &Behaviour::default());
        city.pass(30);
        assert_eq!(city.0[0].reason(0), (Phase::Idle, "Verified"), "{}", city.0[0].history());
        city.breaks(&["node-1", "node-2"]);
        city.pass(15);
        assert_eq!(city.0[0].reason(0), (Phase::Idle, "CommonCause"), "{}", city.0[0].history());
        if heals {
            city.breaks(&[]);
        }
        city.pass(i64::from(MOST));
        let expected = usize::from(!heals);
        assert_eq!(city.rolled_back()[0], expected, "heals: {heals}; {}", city.0[0].history());
    }
}

#[test]
fn several_releases_that_are_bad_at_the_same_moment_are_all_taken_back_at_once() {
    let mut city = City::new(5);
    city.push(3, &Behaviour { crashes_per_hour: 120.0, ..Behaviour::default() });
    city.pass(10);
    assert_eq!(city.rolled_back(), [1, 1, 1, 0, 0], "{:?}", city.reasons());
    assert!(city.0.iter().all(|story| story.told("Suspect") == 0));
}

#[test]
fn what_remains_on_quiet_nodes_decides() {
    let mut city = City::new(3);
    for story in &mut city.0[1..] {
        story.world.broken_nodes = ["node-1".to_owned()].into();
    }
    city.pass(2);
    city.push(1, &Behaviour { crashes_per_hour: 120.0, ..Behaviour::default() });
    city.pass(10);
    assert_eq!(city.rolled_back()[0], 1, "{}", city.0[0].history());
}

#[test]
fn a_bad_release_hides_behind_others_for_as_long_as_the_rule_lasts_and_no_longer() {
    let mut city = City::new(3);
    for story in &mut city.0[1..] {
        story.world.broken_nodes = (0..6).map(|node| format!("node-{node}")).collect();
    }
    city.pass(2);
    city.push(1, &Behaviour { crashes_per_hour: 120.0, ..Behaviour::default() });
    city.pass(15);
    assert_eq!(city.0[0].reason(0).1, "CommonCause", "{}", city.0[0].history());
    city.pass(i64::from(MOST));
    assert_eq!(city.rolled_back()[0], 1, "{}", city.0[0].history());
}

/// A story in whose first policy two other images crash, as `crashes` tells of each pod of its own.
fn beside(crashes: impl Fn(&lockkeeper_sim::Pod) -> Vec<CrashElsewhere>, images: [&str; 2]) -> Story {
    let mut story = Story::prod(8);
    story.push("0.29.0", Behaviour { crashes_per_hour: 120.0, ..Behaviour::default() });
    for _ in 0..10 {
        let all: Vec<CrashElsewhere> = story.world.pods.iter().flat_map(&crashes).collect();
        let at = story.world.now;
        let all: Vec<CrashElsewhere> = all.into_iter().map(|crash| CrashElsewhere { at, ..crash }).collect();
        let other = |image: &str| {
            let images = [image.parse().unwrap()].into();
            Arc::new(Elsewhere {
                policy: image.to_owned(),
                images,
                crashes: all.clone(),
                ..Elsewhere::default()
            })
        };
        story.world.elsewhere = images.iter().map(|image| other(image)).collect();
        story.pass(1);
    }
    story
}

fn crash(pod: &lockkeeper_sim::Pod, uid: &str) -> Vec<CrashElsewhere> {
    let at = jiff::Timestamp::UNIX_EPOCH;
    vec![CrashElsewhere { node: pod.node.clone(), pod: uid.to_owned(), at }]
}

#[test]
fn only_two_other_images_in_other_pods_are_witnesses() {
    let foreign = |pod: &lockkeeper_sim::Pod| crash(pod, "another");
    let bad = release("0.29.0").digest.to_string();
    let same_pod = |pod: &lockkeeper_sim::Pod| {
        if pod.image.contains(&bad) { crash(pod, &pod.uid) } else { Vec::new() }
    };
    let two = ["example.com/a", "example.com/b"];
    for (what, story, held) in [
        ("two others", beside(foreign, two), true),
        ("in the same pods", beside(same_pod, two), false),
        ("of one image", beside(foreign, ["example.com/a", "example.com/a"]), false),
        ("of the policy's own image", beside(foreign, ["example.com/a", common::REPOSITORY]), false),
    ] {
        assert_eq!(story.told("Suspect") == 1, held, "{what}: {}", story.history());
        assert_eq!(story.told("Degraded") == 0, held, "{what}: {}", story.history());
    }
}

const SERVER: &str = "http://prometheus.monitoring:9090";

/// Two other images whose candidates look worse by this server, now.
fn doubted(story: &mut Story, server: &str) {
    let worse = |image: &str| Elsewhere {
        policy: image.to_owned(),
        images: [image.parse().unwrap()].into(),
        worse: [(server.to_owned(), story.world.now)].into(),
        ..Elsewhere::default()
    };
    story.world.elsewhere = ["example.com/a", "example.com/b"].map(|image| Arc::new(worse(image))).to_vec();
}

#[test]
fn a_server_by_which_everybody_looks_worse_takes_nothing_back_for_as_long_as_the_rule_lasts() {
    let mut story = super::signals::story(vec![super::signals::beside()]);
    story.world.measured = lockkeeper_sim::Measured::Worse;
    for minute in 0..70 {
        doubted(&mut story, SERVER);
        story.pass(1);
        if minute == 30 {
            assert_eq!(story.reason(0), (Phase::Soaking, "CommonCause"), "{}", story.history());
            let message = &story.stage(0).message;
            assert!(
                message.contains(SERVER) && message.contains("example.com/a, example.com/b"),
                "{message}"
            );
            let shown = shown_by(&story);
            assert_eq!(
                shown.worse.keys().collect::<Vec<_>>(),
                [SERVER],
                "its own gauge is told to others, too"
            );
        }
    }
    assert_eq!((not_yet(&story), story.told("Degraded")), (1, 1), "{}", story.history());

    let mut story = super::signals::story(vec![super::signals::beside()]);
    story.world.measured = lockkeeper_sim::Measured::Worse;
    for _ in 0..30 {
        doubted(&mut story, "http://another:9090");
        story.pass(1);
    }
    assert_eq!((not_yet(&story), story.told("Degraded")), (0, 1), "{}", story.history());
}

/// How often people were told of this rule.
fn not_yet(story: &Story) -> usize {
    let told = story.world.records.iter();
    told.filter(|r| matches!(&r.what, Effect::Told(e) if e.message.contains("not taken back yet"))).count()
}

type Change<'a> = &'a dyn Fn(&mut lockkeeper_sim::Pod);

fn shown_by(story: &Story) -> Elsewhere {
    let World { policy, stored, now, .. } = &story.world;
    shown(policy, stored, &story.world.observe().stages, *now)
}

#[test]
fn what_a_policy_shows_to_others_is_no_doing_of_a_release_that_is_tried() {
    let mut story = Story::prod(8);
    story.world.run_for(SignedDuration::from_hours(24), SignedDuration::from_mins(30));
    let now = story.world.now;
    let at = |minutes: i64| now - SignedDuration::from_mins(minutes);
    let candidate = release("0.29.0");
    let with = |change: &dyn Fn(&mut lockkeeper_sim::Pod)| {
        let mut story = Story { world: story.world.clone(), watchman: Watchman::default() };
        story.world.pods[0].restarts = 1;
        story.world.pods[0].died = Some(at(1));
        change(&mut story.world.pods[0]);
        story
    };
    let moved = |minutes: i64, deaths_before| lockkeeper_core::observed::Moved {
        attempt: "a-1".to_owned(),
        from: "x".to_owned(),
        deaths_before,
        at: at(minutes),
    };
    let cases: [(&str, Change<'_>, usize); 7] = [
        ("a crash a minute ago", &|_| (), 1),
        ("a quarter of an hour ago", &|pod| pod.died = Some(at(15)), 0),
        ("one of very many", &|pod| pod.restarts = 200, 0),
        ("killed by our move", &|pod| pod.moved = Some(moved(1, 0)), 0),
        ("just after our move", &|pod| (pod.moved, pod.restarts) = (Some(moved(2, 0)), 2), 0),
        ("long after our move", &|pod| (pod.moved, pod.restarts) = (Some(moved(600, 0)), 2), 1),
        ("of a pod that is going", &|pod| pod.deleting = true, 0),
    ];
    for (what, change, expected) in cases {
        let shown = shown_by(&with(change));
        assert_eq!(shown.crashes.len(), expected, "{what}: {shown:?}");
        assert_eq!(shown.is_calm(), expected == 0, "{what}");
    }
    // The same crash with a release that is in flight is that release's.
    let mut tried = with(&|_| ());
    tried.world.push(&candidate, &["0.29.0"], Behaviour::default());
    tried.pass(2);
    assert!(tried.stage(0).flight.is_some());
    let image = format!("{}@{}", common::REPOSITORY, candidate.digest);
    let pod = &mut tried.world.pods[0];
    (pod.image, pod.running, pod.moved) = (image, Some(candidate.digest.clone()), None);
    assert!(shown_by(&tried).crashes.is_empty());
    // Nothing is told of what is not seen freshly.
    let mut stale = with(&|_| ());
    stale.world.stale_since = Some(now);
    assert!(shown_by(&stale).is_calm());
}
