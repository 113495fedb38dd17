//! What a simulated pod does, without an API server: every look-up is answered, time goes by in leaps.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::machine::Machine;
use super::script::{Rule, Rules, Script};
use super::status;
use super::view::PodView;

struct World {
    machine: Machine,
    rules: Rules,
    now: Timestamp,
}

fn view(spec: &Value, status: &Value) -> PodView {
    let pod = json!({
        "metadata": {"name": "shop", "namespace": "prod", "uid": "u1", "generation": 1},
        "spec": spec, "status": status,
    });
    PodView::of(serde_json::from_value(pod).expect("a pod")).expect("a view")
}

impl World {
    fn new(spec: &Value, rules: Vec<Rule>) -> Self {
        let now = Timestamp::from_second(1_800_000_000).expect("a time");
        let known = Rules::default();
        known.set(rules);
        let machine = Machine::new(view(spec, &json!({})), &known, 7, 1.0, now);
        Self { machine, rules: known, now }
    }

    /// Lets everything happen that is due, with every image found.
    fn settle(&mut self) {
        loop {
            let pulls = self.machine.step(self.now);
            let idle = pulls.is_empty();
            for pull in pulls {
                let digest = format!("r.example/a@sha256:{}", pull.image);
                self.machine.pulled(pull.container, pull.attempt, Ok(digest), &self.rules, self.now);
            }
            if idle && self.machine.next_event(self.now).is_none_or(|at| at > self.now) {
                return;
            }
        }
    }

    fn pass(&mut self, seconds: i64) {
        let end = self.now + SignedDuration::from_secs(seconds);
        while let Some(at) = self.machine.next_event(self.now).filter(|at| *at <= end) {
            self.now = at;
            self.settle();
        }
        self.now = end;
    }

    fn status(&mut self) -> Value {
        status::of(&mut self.machine, "10.0.0.1", self.now)
    }

    fn see(&mut self, spec: &Value) {
        self.machine.see(view(spec, &json!({})));
        self.settle();
    }
}

fn rule(image: &str, script: Script) -> Rule {
    Rule::new(&format!("sha256:{image}"), script)
}

fn spec(sidecar: &str) -> Value {
    json!({
        "containers": [{"name": "app", "image": "app"}],
        "initContainers": [{"name": "otel", "image": sidecar, "restartPolicy": "Always"}],
    })
}

#[test]
fn init_containers_run_in_their_order_before_the_others() {
    let mut world = World::new(
        &json!({
            "containers": [{"name": "app", "image": "app"}],
            "initContainers": [{"name": "migrate", "image": "slow"}, {"name": "otel", "image": "otel", "restartPolicy": "Always"}],
        }),
        vec![rule("slow", Script { completes_after_seconds: Some(30.0), ..Script::default() })],
    );
    world.settle();
    let status = world.status();
    assert_eq!(status["phase"], "Pending");
    assert!(status["initContainerStatuses"][0]["state"]["running"].is_object());
    assert_eq!(status["initContainerStatuses"][1]["state"]["waiting"]["reason"], "ContainerCreating");
    assert_eq!(status["containerStatuses"][0]["state"]["waiting"]["reason"], "PodInitializing");
    world.pass(31);
    let status = world.status();
    assert_eq!(status["phase"], "Running");
    assert_eq!(status["initContainerStatuses"][0]["state"]["terminated"]["reason"], "Completed");
    assert_eq!(status["initContainerStatuses"][0]["ready"], true);
    assert_eq!(status["conditions"][2]["status"], "True", "{status}");
}

#[test]
fn a_job_ends_with_its_application_and_the_sidecar_after_it() {
    let mut job = spec("otel");
    job["restartPolicy"] = json!("OnFailure");
    let script = Script { completes_after_seconds: Some(60.0), ..Script::default() };
    let mut world = World::new(&job, vec![rule("app", script)]);
    world.settle();
    assert_eq!(world.status()["phase"], "Running");
    world.pass(61);
    let status = world.status();
    assert_eq!(status["phase"], "Succeeded");
    assert!(status["initContainerStatuses"][0]["state"]["terminated"].is_object(), "{status}");
    assert_eq!(status["conditions"][2]["reason"], "PodCompleted");
}

#[test]
fn a_failed_init_container_fails_a_pod_that_never_restarts() {
    let mut world = World::new(
        &json!({
            "restartPolicy": "Never",
            "containers": [{"name": "app", "image": "app"}],
            "initContainers": [{"name": "migrate", "image": "bad"}],
        }),
        vec![rule("bad", Script { crash_at_start: true, exit_code: 3, ..Script::default() })],
    );
    world.settle();
    world.pass(5);
    let status = world.status();
    assert_eq!(status["phase"], "Failed");
    assert_eq!(status["initContainerStatuses"][0]["state"]["terminated"]["exitCode"], 3);
}

#[test]
fn a_crash_loop_waits_as_a_kubelet_does_and_ends_with_a_new_image() {
    let script = Script { crash_at_start: true, ..Script::default() };
    let mut world = World::new(&spec("bad"), vec![rule("bad", script)]);
    world.settle();
    world.pass(1);
    // The first restart is at once, then 10 s, 20 s, 40 s.
    let counts: Vec<Value> = [9, 20, 40, 79]
        .into_iter()
        .map(|seconds| {
            let status = world.status();
            world.pass(seconds);
            status["initContainerStatuses"][0]["restartCount"].clone()
        })
        .collect();
    assert_eq!(counts, [1, 1, 2, 3]);
    let status = world.status();
    let otel = &status["initContainerStatuses"][0];
    assert_eq!(otel["state"]["waiting"]["reason"], "CrashLoopBackOff");
    assert_eq!(
        otel["state"]["waiting"]["message"],
        "back-off 1m20s restarting failed container=otel pod=shop_prod(u1)"
    );
    assert_eq!(otel["lastState"]["terminated"]["exitCode"], 2);
    assert_eq!(status["phase"], "Running", "it was initialized once");
    let count = otel["restartCount"].as_i64().expect("a count");
    world.see(&spec("good"));
    let status = world.status();
    assert_eq!(
        status["initContainerStatuses"][0]["restartCount"],
        count + 1,
        "at once, without the old back-off"
    );
    assert_eq!(status["conditions"][2]["status"], "True");
    assert_eq!(status["containerStatuses"][0]["restartCount"], 0);
}

#[test]
fn random_crashes_come_at_their_rate() {
    let script = Script { restarts_per_pod_hour: 6.0, ..Script::default() };
    let mut crashes = 0.0;
    for pod in 0..2_000 {
        let draw = super::script::random(3, &["life", "prod", "shop"], pod);
        let (seconds, crash) = script.lifetime(draw).expect("it ends");
        assert!(crash);
        crashes += f64::from(u8::from(seconds < 600.0));
    }
    // P(at least one crash in ten minutes at 6 per hour) = 1 - 1/e; four standard deviations are 0.043.
    let share: f64 = crashes / 2_000.0;
    assert!((share - 0.632).abs() < 0.043, "{share}");
}

#[test]
fn a_kubelet_that_starts_again_goes_on_from_the_status() {
    let mut first = World::new(&spec("otel"), Vec::new());
    first.settle();
    let status = first.status();
    let mut machine = Machine::new(view(&spec("otel"), &status), &first.rules, 7, 1.0, first.now);
    assert!(machine.step(first.now).is_empty(), "nothing is started anew");
    assert_eq!(status::of(&mut machine, "10.0.0.1", first.now), status);
}

#[test]
fn a_deleted_pod_ends_its_containers() {
    let mut world = World::new(&spec("otel"), Vec::new());
    world.settle();
    world.machine.view.deleting = true;
    world.settle();
    let status = world.status();
    for list in ["containerStatuses", "initContainerStatuses"] {
        assert_eq!(status[list][0]["state"]["terminated"]["exitCode"], 0, "{status}");
    }
}
