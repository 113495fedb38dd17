//! Views and wakes: what a policy sees, and whom a change concerns.

use super::*;
use crate::ports::{Cluster, ClusterView};
use lockkeeper_core::{
    conditions::Condition,
    observed::{Answers, BirthForm, BirthPinning, Catalogue, Claimed, Failure, Observed},
    pin::{PinOwner, PinSpec},
    status::Status,
};

fn deployment(updated: i64) -> Value {
    json!({
        "kind": "Deployment",
        "metadata": {"name": "app", "namespace": "prod", "uid": "uid-app", "generation": 1, "resourceVersion": "3",
                     "labels": {"telemetry": "otel"}},
        "spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "otel", "image": "ghcr.io/a/otel:1"}]}}},
        "status": {"observedGeneration": 1, "replicas": 2, "updatedReplicas": updated}
    })
}

fn replica_set() -> Value {
    json!({"kind": "ReplicaSet", "metadata": {"name": "app-abc", "namespace": "prod", "resourceVersion": "2",
        "ownerReferences": [{"kind": "Deployment", "name": "app", "controller": true}]}})
}

fn budget(allowed: i64) -> Value {
    json!({"kind": "PodDisruptionBudget", "metadata": {"name": "b", "namespace": "prod", "resourceVersion": "4"},
        "spec": {"selector": {"matchLabels": {"telemetry": "otel"}}}, "status": {"disruptionsAllowed": allowed}})
}

fn newer(object: &Value) -> Value {
    let mut object = object.clone();
    let version: u64 = object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    object["metadata"]["resourceVersion"] = json!((version + 1000).to_string());
    object
}

fn see(scene: &Scene, name: &str) -> ClusterView {
    scene.kubernetes.see(&scene.policy(name), &identity())
}

fn scene() -> Scene {
    let scene = Scene::silent();
    scene.shows([
        namespace("prod", &json!({"env": "prod"})),
        namespace("dev", &json!({"env": "dev"})),
        policy("otel", &pods_target("prod")),
        replica_set(),
        deployment(2),
        pod("app-1", 20),
    ]);
    scene.fresh();
    scene.woken.take();
    scene
}

#[tokio::test]
async fn a_pods_owner_rollout_budget_and_platform_come_from_other_objects() {
    let scene = scene();
    scene.shows([
        budget(1),
        json!({"kind": "Node", "metadata": {"name": "n1", "resourceVersion": "1",
            "labels": {"kubernetes.io/os": "linux", "kubernetes.io/arch": "arm64"}}}),
    ]);
    let view = see(&scene, "otel");
    let stage = &view.stages[0];
    let seen = &stage.pods[0];
    assert_eq!(
        (seen.owner.kind.as_str(), seen.owner.name.as_str(), seen.owner.template.as_str()),
        ("Deployment", "app", "abc")
    );
    assert!(!seen.owner_rolling && !seen.budget_blocked);
    assert_eq!(stage.namespaces, [(0, "prod".to_owned())]);
    assert_eq!(stage.platforms.iter().map(ToString::to_string).collect::<Vec<_>>(), ["linux/arm64"]);
    assert_eq!(stage.stale_since, None);
    scene.shows([newer(&deployment(1)), newer(&budget(0))]);
    let seen = &see(&scene, "otel").stages[0].pods[0];
    assert!(seen.owner_rolling && seen.budget_blocked);
}

#[tokio::test]
async fn a_pod_of_a_job_belongs_to_the_cron_job_behind_it() {
    let scene = scene();
    let target = json!([{"name": "prod", "targets": [{"workloads": {"namespaces": ["prod"],
        "kinds": ["CronJob"], "selector": {"matchLabels": {"telemetry": "otel"}}}}]}]);
    let cron = json!({"kind": "CronJob", "metadata": {"name": "nightly", "namespace": "prod", "uid": "uid-nightly",
            "generation": 1, "resourceVersion": "3", "labels": {"telemetry": "otel"}},
        "spec": {"jobTemplate": {"spec": {"template": {"spec": {"containers": [
            {"name": "otel", "image": "ghcr.io/a/otel:1"}]}}}}}});
    let mut of_job = pod("nightly-1-x", 22);
    of_job["metadata"]["ownerReferences"] = json!([{"kind": "Job", "name": "nightly-1", "controller": true}]);
    scene.shows([policy("cron", &target), cron, of_job]);
    assert!(see(&scene, "cron").stages[0].pods.is_empty(), "whose Job it is is not known yet");
    scene.woken.take();
    scene.shows([
        json!({"kind": "Job", "metadata": {"name": "nightly-1", "namespace": "prod", "resourceVersion": "2",
        "ownerReferences": [{"kind": "CronJob", "name": "nightly", "controller": true}]}}),
    ]);
    assert!(scene.woken.take().contains(&"platform/cron".to_owned()));
    let stage = &see(&scene, "cron").stages[0];
    assert_eq!(stage.pods.len(), 1);
    let seen = &stage.pods[0];
    assert_eq!(
        (seen.owner.kind.as_str(), seen.owner.name.as_str(), seen.of_job),
        ("CronJob", "nightly", true)
    );
}

#[tokio::test]
async fn a_pod_that_two_targets_match_is_seen_once_under_the_first() {
    let scene = scene();
    let stages = json!([{"name": "prod", "targets": [
        {"workloads": {"namespaces": ["prod"], "selector": {"matchLabels": {"telemetry": "otel"}}}},
        {"pods": {"namespaceSelector": {"matchLabels": {"env": "prod"}}, "selector": {"matchLabels": {"telemetry": "otel"}}}}
    ]}]);
    let mut lone = pod("lone", 21);
    lone["metadata"]["ownerReferences"] = json!([]);
    scene.shows([policy("both", &stages), lone]);
    let stage = &see(&scene, "both").stages[0];
    let pods: Vec<_> =
        stage.pods.iter().map(|pod| (pod.key.name.as_str(), pod.target, pod.owner.kind.as_str())).collect();
    assert_eq!(pods, [("app-1", 0, "Deployment"), ("lone", 1, "Pod")]);
    assert_eq!(stage.workloads.iter().map(|w| w.key.name.as_str()).collect::<Vec<_>>(), ["app"]);
    assert_eq!(stage.namespaces, [(0, "prod".to_owned()), (1, "prod".to_owned())]);
}

#[tokio::test]
async fn k16_namespaces_that_end_or_are_left_alone_are_not_reached() {
    let scene = scene();
    let mut ending = newer(&namespace("prod", &json!({"env": "prod"})));
    ending["status"] = json!({"phase": "Terminating"});
    scene.shows([ending]);
    let stage = &see(&scene, "otel").stages[0];
    assert!(stage.pods.is_empty() && stage.namespaces.is_empty());
    assert_eq!(stage.terminating.iter().collect::<Vec<_>>(), ["prod"]);
    let ignored = newer(&newer(&namespace("prod", &json!({lockkeeper_api::names::IGNORE: ""}))));
    scene.shows([ignored]);
    let stage = &see(&scene, "otel").stages[0];
    assert!(stage.pods.is_empty() && stage.terminating.is_empty());
}

#[tokio::test]
async fn a_stage_is_stale_with_the_watches_it_stands_on() {
    use crate::kubernetes::watch::world::Watch;
    let scene = scene();
    let at = |second| Timestamp::from_second(second).unwrap();
    let stale = |watch: Watch, second| {
        scene.fresh();
        scene.kubernetes.shared.write().stale(watch, at(second));
        see(&scene, "otel").stages[0].stale_since
    };
    for watch in
        [Watch::Pods, Watch::Quarantines, Watch::Interventions, Watch::Workloads("Deployment.apps".into())]
    {
        assert_eq!(stale(watch.clone(), 7), Some(at(7)), "{watch}");
    }
    for watch in [Watch::AdmissionPolicies, Watch::Jobs, Watch::Workloads("CronJob.batch".into())] {
        assert_eq!(stale(watch.clone(), 7), None, "{watch}");
    }
}

#[tokio::test]
async fn birth_pinning_is_a_policy_with_our_parameters_and_its_binding() {
    let scene = scene();
    let pinning = || see(&scene, "otel").stages[0].birth_pinning;
    let installed = json!({"kind": "MutatingAdmissionPolicy", "metadata": {"name": "pin", "resourceVersion": "1"},
        "spec": {"paramKind": {"apiVersion": "lockkeeper.dev/v1alpha1", "kind": "ImagePin"}}});
    let binding = json!({"kind": "MutatingAdmissionPolicyBinding", "metadata": {"name": "b", "resourceVersion": "1"},
        "spec": {"policyName": "pin"}});
    assert_eq!(pinning(), Some(BirthPinning::Missing));
    scene.shows([installed]);
    assert_eq!(pinning(), Some(BirthPinning::Missing), "nothing binds it");
    scene.shows([binding.clone()]);
    assert_eq!(pinning(), Some(BirthPinning::By(BirthForm::V1)));
    assert_eq!(scene.woken.take(), ["platform/otel"]);
    scene.hides(&newer(&binding));
    assert_eq!(pinning(), Some(BirthPinning::Missing));
}

#[tokio::test]
async fn a_change_wakes_the_policies_it_concerns_and_no_others() {
    let scene = scene();
    scene.shows([policy("elsewhere", &pods_target("dev"))]);
    scene.woken.take();
    let mut unready = newer(&pod("app-1", 20));
    unready["status"]["conditions"][0]["status"] = json!("False");
    let mut foreign = pod("foreign", 30);
    foreign["metadata"]["labels"] = json!({"other": "x"});
    let mut in_dev = namespace("dev", &json!({"env": "dev", "team": "x"}));
    in_dev["metadata"]["resourceVersion"] = json!("9");
    for (name, object, woken) in [
        ("only another version", newer(&pod("app-1", 20)), vec![]),
        ("no longer ready", newer(&unready), vec!["platform/otel"]),
        ("a pod that nobody matches", foreign, vec![]),
        ("an older version", pod("app-1", 19), vec![]),
        ("its owner rolls", newer(&deployment(1)), vec!["platform/otel"]),
        ("the same again", newer(&newer(&deployment(1))), vec![]),
        ("a budget", budget(0), vec!["platform/otel"]),
        ("a namespace's labels", in_dev, vec!["platform/elsewhere"]),
    ] {
        scene.shows([object]);
        assert_eq!(scene.woken.take(), woken, "{name}");
    }
    scene.hides(&newer(&newer(&newer(&pod("app-1", 20)))));
    assert_eq!(scene.woken.take(), ["platform/otel"], "a pod that is gone");
}

#[tokio::test]
async fn what_happens_to_one_workload_wakes_no_policy_of_its_neighbours() {
    let scene = scene();
    let target = |labels: Value, kind: &str| json!([{"name": "prod", "targets": [{kind: {"namespaces": ["prod"], "selector": {"matchLabels": labels}}}]}]);
    scene.shows([
        policy("neighbour", &target(json!({"app": "other"}), "pods")),
        policy("workload", &target(json!({"telemetry": "otel"}), "workloads")),
        policy("neighbours-workload", &target(json!({"app": "other"}), "workloads")),
    ]);
    scene.woken.take();
    let (pods, both) = (vec!["platform/otel"], vec!["platform/otel", "platform/workload"]);
    let mut selected_no_more = newer(&newer(&deployment(1)));
    selected_no_more["metadata"]["labels"] = json!({});
    let mut other_set = replica_set();
    other_set["metadata"]["name"] = json!("app-def");
    let mut unguarded = budget(0);
    unguarded["spec"]["selector"] = json!({"matchLabels": {"app": "other"}});
    for (name, object, woken) in [
        ("its owner rolls", newer(&deployment(1)), both.clone()),
        ("its budget is exhausted", budget(0), both.clone()),
        ("a ReplicaSet without pods", other_set, vec![]),
        ("its owner is selected no more", selected_no_more, both),
        ("the budget guards others now", newer(&unguarded), pods),
    ] {
        scene.shows([object]);
        assert_eq!(scene.woken.take(), woken, "{name}");
    }
    scene.hides(&newer(&replica_set()));
    assert_eq!(scene.woken.take(), ["platform/otel"], "who is behind a ReplicaSet is not known any more");
}

#[tokio::test]
async fn a_namespace_that_appears_or_changes_its_labels_is_reached_at_once() {
    let scene = scene();
    let stages = json!([{"name": "prod", "targets": [{"pods": {"namespaceSelector": {"matchLabels": {"env": "new"}},
        "selector": {"matchLabels": {"telemetry": "otel"}}}}]}]);
    scene.shows([policy("later", &stages)]);
    scene.woken.take();
    let mut elsewhere = pod("x-1", 20);
    elsewhere["metadata"]["namespace"] = json!("new");
    scene.shows([elsewhere]);
    assert_eq!(scene.woken.take(), [""; 0]);
    scene.shows([namespace("new", &json!({"env": "new"}))]);
    assert_eq!(scene.woken.take(), ["platform/later"]);
    assert_eq!(see(&scene, "later").stages[0].pods.len(), 1);
    scene.shows([newer(&namespace("new", &json!({})))]);
    assert_eq!(scene.woken.take(), ["platform/later"]);
    assert!(see(&scene, "later").stages[0].pods.is_empty());
}

#[tokio::test]
async fn interventions_concern_their_policy_their_namespace_or_all() {
    let scene = scene();
    let hold = |namespace: &str, name: &str, policy: Option<&str>| {
        let mut spec = json!({"action": "Hold", "reason": "r", "requestedBy": "alice"});
        if let Some(policy) = policy {
            spec["policyRef"] = json!({"name": policy});
        }
        json!({"apiVersion": "lockkeeper.dev/v1alpha1", "kind": "Intervention", "spec": spec,
            "metadata": {"name": name, "namespace": namespace, "resourceVersion": "5", "creationTimestamp": "2026-01-01T00:00:00Z"}})
    };
    scene.shows([policy("other", &pods_target("prod"))]);
    scene.woken.take();
    for (object, woken) in [
        (hold("platform", "a", Some("otel")), vec!["platform/otel"]),
        (hold("platform", "b", None), vec!["platform/otel", "platform/other"]),
        (hold("lockkeeper-system", "c", None), vec!["platform/otel", "platform/other"]),
        (hold("lockkeeper-system", "d", Some("otel")), vec![]),
        (hold("dev", "e", None), vec![]),
    ] {
        scene.shows([object]);
        assert_eq!(scene.woken.take(), woken);
    }
    let ids: Vec<String> = see(&scene, "otel").interventions.into_iter().map(|seen| seen.id).collect();
    assert_eq!(ids, ["lockkeeper-system/c", "platform/a", "platform/b"]);
    let ids: Vec<String> = see(&scene, "other").interventions.into_iter().map(|seen| seen.id).collect();
    assert_eq!(ids, ["lockkeeper-system/c", "platform/b"]);
}

#[tokio::test]
async fn row_16_others_that_write_the_same_repository_claim_what_they_reach() {
    let scene = scene();
    let mut observes = policy("observes", &pods_target("prod"));
    observes["spec"]["mode"] = json!("Observe");
    let workloads = json!([{"name": "w", "targets": [
        {"workloads": {"namespaces": ["prod"], "selector": {"matchLabels": {"telemetry": "otel"}}}}]}]);
    scene.shows([
        observes,
        policy("far", &pods_target("dev")),
        policy("w", &workloads),
        policy("same", &pods_target("prod")),
    ]);
    assert!(
        scene.woken.take().contains(&"platform/otel".to_owned()),
        "another policy's claims concern this one"
    );
    let claims = see(&scene, "otel").claims;
    let named: Vec<_> = claims.iter().map(|claim| (claim.policy.as_str(), claim.stage.as_str())).collect();
    assert_eq!(named, [("platform/same", "prod"), ("platform/w", "w")]);
    assert!(
        matches!(&claims[0].what, Claimed::Pods { namespace, containers, .. } if namespace == "prod" && containers.is_empty())
    );
    assert!(
        matches!(&claims[1].what, Claimed::Workload { uid, containers } if uid == "uid-app" && containers.contains("otel"))
    );
}

#[tokio::test]
async fn a_policy_that_is_gone_claims_and_wakes_no_more() {
    let scene = scene();
    scene.shows([policy("same", &pods_target("prod"))]);
    scene.woken.take();
    scene.hides(&newer(&policy("same", &pods_target("prod"))));
    assert_eq!(scene.woken.take(), ["platform/otel", "platform/same"]);
    assert!(see(&scene, "otel").claims.is_empty());
    scene.shows([newer(&newer(&pod("app-2", 20)))]);
    assert_eq!(scene.woken.take(), ["platform/otel"]);
}

#[tokio::test]
async fn a_policy_of_another_repository_or_namespace_is_no_rival_and_wakes_nobody_else() {
    let scene = scene();
    let mut other = policy("other", &pods_target("prod"));
    other["spec"]["image"] = json!("registry.example/of/another");
    for rival in [other, policy("far", &pods_target("dev"))] {
        let own = format!("platform/{}", rival["metadata"]["name"].as_str().unwrap());
        scene.woken.take();
        scene.shows([rival.clone()]);
        assert_eq!(scene.woken.take(), [own.as_str()]);
        assert!(see(&scene, "otel").claims.is_empty());
        // It becomes one, and ceases to be one: both concern the other.
        for (generation, mut spec, claims) in [(2, policy_like(&rival), 1), (3, rival, 0)] {
            spec["metadata"]["generation"] = json!(generation);
            spec["metadata"]["resourceVersion"] = json!((generation * 1000).to_string());
            scene.shows([spec]);
            assert!(scene.woken.take().contains(&"platform/otel".to_owned()), "{own}");
            assert_eq!(see(&scene, "otel").claims.len(), claims, "{own}");
        }
    }
}

/// The same policy with the repository and the namespace of `otel`.
fn policy_like(other: &Value) -> Value {
    policy(other["metadata"]["name"].as_str().unwrap(), &pods_target("prod"))
}

#[tokio::test]
async fn a_quarantine_that_cannot_be_read_whole_is_obeyed_as_far_as_it_can_be() {
    let scene = scene();
    let digest = lockkeeper_core::image::Digest::of(b"bad");
    scene.shows([json!({"kind": "Quarantine", "metadata": {"name": "q", "namespace": "platform", "resourceVersion": "5"},
        "spec": {"digest": digest.to_string(), "contents": ["sha256:short", 7], "reason": {"from": "another version"}}})]);
    let seen = see(&scene, "otel").quarantines;
    assert_eq!(seen[0].digests.iter().collect::<Vec<_>>(), [&digest]);
    assert_eq!(scene.woken.take(), ["platform/otel"]);
}

/// What people are told of a policy that nothing is known of but what the watches show.
fn concluded(scene: &Scene, name: &str, failing: Option<Failure>) -> Status {
    let view = see(scene, name);
    let observed = Observed {
        status: Status::default(),
        catalogue: Catalogue { ranking: None, failing },
        answers: Answers::default(),
        signals: std::collections::BTreeMap::new(),
        notices: lockkeeper_core::notices::NoticesSeen::default(),
        deliveries: std::collections::BTreeMap::new(),
        stages: view.stages,
        pins: view.pins,
        quarantines: view.quarantines,
        interventions: view.interventions,
        claims: view.claims,
        elsewhere: Vec::new(),
    };
    lockkeeper_core::decide(&scene.policy(name), &observed, Timestamp::UNIX_EPOCH).status
}

fn condition<'s>(status: &'s Status, kind: &str) -> Option<&'s Condition> {
    status.conditions.iter().find(|condition| condition.kind == kind)
}

#[tokio::test]
async fn row_44_a_malformed_annotation_is_a_condition_until_it_is_put_right() {
    use lockkeeper_api::names::{MANUAL_UNTIL, MOVED};
    let scene = scene();
    assert!(condition(&concluded(&scene, "otel", None), "Malformed").is_none());
    let mut marked = newer(&pod("app-1", 20));
    marked["metadata"]["annotations"] = json!({MOVED: "robot:s3cret@registry/a\r\n/b"});
    let mut pin = serde_json::to_value(lockkeeper_api::ImagePin::written(
        "prod",
        "pin",
        PinSpec {
            match_labels: [("telemetry".to_owned(), "otel".to_owned())].into(),
            containers: None,
            repositories: ["ghcr.io/a/otel".parse().unwrap()].into(),
            only_tags: None,
            tag: None,
            digest: lockkeeper_core::image::Digest::of(b"x"),
            policy: PinOwner { namespace: "platform".into(), name: "otel".into(), uid: "uid-otel".into() },
            stage: "prod".into(),
            deletion_policy: lockkeeper_core::pin::PinDeletion::Retain,
        },
    ))
    .unwrap();
    pin["metadata"]["resourceVersion"] = json!("21");
    pin["metadata"]["annotations"][MANUAL_UNTIL] = json!("tomorrow");
    scene.shows([marked.clone(), pin]);
    assert_eq!(scene.woken.take(), ["platform/otel"]);
    let status = concluded(&scene, "otel", None);
    let said = condition(&status, "Malformed").unwrap();
    assert_eq!((said.status.as_str(), said.reason.as_str()), ("True", "MalformedAnnotation"));
    for part in [
        "Pod prod/app-1: ",
        MOVED,
        "***@registry/a\\r\\n/b",
        "remove the annotation",
        "ImagePin prod/pin: ",
        MANUAL_UNTIL,
        "\"tomorrow\"",
    ] {
        assert!(said.message.contains(part), "{part}: {}", said.message);
    }
    assert!(!said.message.contains("s3cret"), "{}", said.message);
    // The pod itself counts as one that was never moved.
    assert_eq!(see(&scene, "otel").stages[0].pods[0].moved, None);
    scene.shows((0..50).map(|n| {
        let mut other = pod(&format!("other-{n:02}"), 2000);
        other["metadata"]["annotations"] = json!({MOVED: "x".repeat(10_000)});
        other
    }));
    let status = concluded(&scene, "otel", None);
    let message = &condition(&status, "Malformed").unwrap().message;
    assert!(message.len() <= 1024 && message.ends_with("; and 49 more"), "{message}");
}

#[tokio::test]
async fn rows_22_to_27_a_denied_host_is_said_whatever_the_stage_lacks() {
    let scene = scene();
    scene.shows([policy("nowhere", &pods_target("dev"))]);
    let failing = |reason: &str| {
        let message = "the registry host 127.0.0.1 is a loopback address".to_owned();
        Some(Failure { since: Timestamp::UNIX_EPOCH, reason: reason.into(), message })
    };
    let told = |failing| {
        let status = concluded(&scene, "nowhere", failing);
        let of = |kind| {
            let found = condition(&status, kind).unwrap();
            format!("{} {}", found.status, found.reason)
        };
        [of("Ready"), of("Stalled")]
    };
    assert_eq!(told(None), ["False NoPods", "True NoPods"]);
    assert_eq!(told(failing("HostDenied")), ["False HostDenied", "True HostDenied"]);
    assert_eq!(told(failing("AuthFailed")), ["False AuthFailed", "True AuthFailed"]);
    assert_eq!(told(failing("Unreachable")), ["False NoPods", "True NoPods"], "that ends by itself");
}
