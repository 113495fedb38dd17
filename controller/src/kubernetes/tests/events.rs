//! Events: where they are written, and how often.

use super::*;
use crate::ports::{Policies, Told, Workload};
use k8s_openapi::api::core::v1::ObjectReference;
use lockkeeper_core::decision::{Event, EventType};

fn deployment(namespace: &str, name: &str, uid: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "uid": uid, "resourceVersion": "5", "generation": 1},
        "spec": {"template": {"spec": {"containers": []}}},
    })
}

fn told(transition: &str) -> Told {
    Told {
        workload: Workload { namespace: "prod".into(), kind: "Deployment".into(), name: "app".into() },
        transition: transition.into(),
        event: Event {
            kind: EventType::Normal,
            reason: "PromotionStarted",
            stage: Some("prod".into()),
            message: "0.29 for its pods (stage prod of ImagePolicy platform/otel)".into(),
        },
    }
}

/// One policy, one Deployment.
fn scene(server: Server) -> Scene {
    let scene = Scene::new(server);
    scene.shows([policy("otel", &pods_target("prod")), deployment("prod", "app", "uid-app")]);
    scene
}

#[tokio::test]
async fn a_workload_is_told_in_its_own_namespace_by_a_name_that_follows_from_what_is_told() {
    let scene = scene(Server::always(201, json!({})));
    for transition in ["a-1", "a-1", "a-2"] {
        scene.clock.set(i64::try_from(scene.server.asked().len()).unwrap());
        scene.kubernetes.tell(&fence(), &scene.stored("otel"), &told(transition)).await.unwrap();
    }
    let asked = scene.server.asked();
    let name = |index: usize| asked[index].body["metadata"]["name"].as_str().unwrap().to_owned();
    assert!(asked.iter().all(|one| one.path == "/apis/events.k8s.io/v1/namespaces/prod/events"), "{asked:?}");
    assert!(asked.iter().all(|one| one.user.is_none()));
    assert_eq!(
        asked[0].body["regarding"],
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "prod", "name": "app", "uid": "uid-app"})
    );
    assert_eq!(asked[0].body["related"]["uid"], "uid-otel");
    assert_eq!(name(0), name(1), "another replica tells the same");
    assert_ne!(name(1), name(2), "another attempt is told again");
    scene.shows([deployment("prod", "app", "uid-of-another")]);
    scene.kubernetes.tell(&fence(), &scene.stored("otel"), &told("a-1")).await.unwrap();
    let again = scene.server.asked()[3].body["metadata"]["name"].clone();
    assert_ne!(again, json!(name(0)), "a workload that was made again has not been told");
}

#[tokio::test]
async fn what_was_told_already_is_done_and_who_is_not_known_is_told_nothing() {
    let scene = scene(Server::always(409, status(409, "AlreadyExists", "there")));
    scene.kubernetes.tell(&fence(), &scene.stored("otel"), &told("a-1")).await.unwrap();
    assert_eq!(scene.server.asked().len(), 1);
    scene.hides(&deployment("prod", "app", "uid-app"));
    scene.kubernetes.tell(&fence(), &scene.stored("otel"), &told("a-2")).await.unwrap();
    assert_eq!(scene.server.asked().len(), 1);
}

#[tokio::test]
async fn i9_events_need_the_fence_too() {
    let scene = scene(Server::new(|asked| panic!("nothing should be asked: {asked:?}")));
    assert!(scene.kubernetes.tell(&lost_fence(), &scene.stored("otel"), &told("a-1")).await.is_err());
    let lease = ObjectReference {
        kind: Some("Lease".into()),
        namespace: Some("lockkeeper-system".into()),
        name: Some("lockkeeper".into()),
        ..ObjectReference::default()
    };
    assert!(scene.kubernetes.leadership_told(&lost_fence(), lease).await.is_err());
}
