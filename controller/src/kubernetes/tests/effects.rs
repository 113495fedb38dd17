//! Effects: what is asked of the API server, and what its answers mean.

use super::*;
use crate::kubernetes::orphans;
use crate::ports::{Cluster, EffectError, Policies};
use lockkeeper_core::{
    decision::{Action, Event, EventType, ImageChange, PodMove, Purpose, QuarantineDraft, TemplatePatch},
    image::Digest,
    observed::{ContainerKind, ObjectKey},
    pin::{PinDeletion, PinOwner, PinSpec},
    status::Status,
};

fn key(name: &str) -> ObjectKey {
    ObjectKey {
        namespace: "prod".into(),
        name: name.into(),
        uid: format!("uid-{name}"),
        ..ObjectKey::default()
    }
}

fn change(kind: ContainerKind) -> ImageChange {
    ImageChange {
        kind,
        index: 0,
        name: "otel".into(),
        from: "ghcr.io/a/otel:latest".into(),
        to: "ghcr.io/a/otel@sha256:00".into(),
    }
}

fn a_move() -> Action {
    Action::MovePod(PodMove {
        key: key("app-1"),
        generation: Some(1),
        resource_version: "20".into(),
        containers: vec![change(ContainerKind::Sidecar)],
        mark: "a-1/ghcr.io/a/otel:latest/0/1".into(),
        stage: "prod".into(),
        purpose: Purpose::Promote,
    })
}

fn a_template() -> Action {
    Action::PatchTemplate(TemplatePatch {
        key: key("app"),
        api_version: "apps/v1".into(),
        kind: "Deployment".into(),
        generation: 1,
        pod_spec: "/spec/template/spec".into(),
        containers: vec![change(ContainerKind::Main)],
        stage: "prod".into(),
        purpose: Purpose::Promote,
    })
}

fn spec(contents: &[u8]) -> PinSpec {
    PinSpec {
        match_labels: [("telemetry".to_owned(), "otel".to_owned())].into(),
        containers: None,
        repositories: vec!["ghcr.io/a/otel".into()],
        only_tags: None,
        tag: None,
        digest: Digest::of(contents),
        policy: PinOwner { namespace: "platform".into(), name: "otel".into(), uid: "uid-otel".into() },
        stage: "prod".into(),
        deletion_policy: PinDeletion::Retain,
    }
}

fn pin(contents: &[u8], version: u64) -> Value {
    json!({
        "apiVersion": "lockkeeper.dev/v1alpha1", "kind": "ImagePin",
        "metadata": {"name": "pin", "namespace": "prod", "uid": "uid-pin", "resourceVersion": version.to_string()},
        "spec": serde_json::to_value(spec(contents)).unwrap()
    })
}

fn write_pin(replaces: Option<&str>) -> Action {
    Action::WritePin {
        namespace: "prod".into(),
        name: "pin".into(),
        spec: spec(b"new"),
        replaces: replaces.map(str::to_owned),
        stage: "prod".into(),
    }
}

fn delete_pin() -> Action {
    Action::DeletePin { key: key("pin"), resource_version: "30".into(), stage: "prod".into() }
}

fn mark_orphan(version: &str) -> Action {
    let since = "2026-01-01T00:00:00Z".parse().unwrap();
    Action::MarkOrphan { key: key("pin"), resource_version: version.into(), stage: "prod".into(), since }
}

fn quarantine(contents: &[u8]) -> Action {
    Action::WriteQuarantine(QuarantineDraft {
        name: "q".into(),
        tag: None,
        digest: Digest::of(contents),
        contents: [Digest::of(b"amd64")].into(),
        reason: "Degraded".into(),
        evidence: "it crashed".into(),
        policy: "otel".into(),
        stage: "prod".into(),
    })
}

/// A scene with one policy and one pod, and its API server.
fn scene(server: Server) -> Scene {
    let scene = Scene::new(server);
    scene.shows([
        namespace("prod", &json!({})),
        policy("otel", &pods_target("prod")),
        pod("app-1", 20),
        pin(b"old", 30),
    ]);
    scene.woken.take();
    scene
}

async fn apply(scene: &Scene, action: &Action) -> Result<(), EffectError> {
    scene.kubernetes.apply(&identity(), &fence(), &scene.policy("otel"), action).await
}

#[tokio::test]
async fn a_move_is_asked_for_as_the_policys_account_and_its_answer_is_known_at_once() {
    let mut moved = pod("app-1", 21);
    moved["metadata"]["generation"] = json!(2);
    moved["spec"]["initContainers"][0]["image"] = json!("ghcr.io/a/otel@sha256:00");
    let scene = scene(Server::always(200, moved));
    apply(&scene, &a_move()).await.unwrap();
    let asked = &scene.server.asked()[0];
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("PATCH", "/api/v1/namespaces/prod/pods/app-1"));
    assert!(asked.query.contains("fieldManager=lockkeeper"), "{}", asked.query);
    assert_eq!(asked.content_type, "application/json-patch+json");
    assert_eq!(asked.user.as_deref(), Some("system:serviceaccount:platform:promoter"));
    assert_eq!(asked.groups, 0, "the API server knows the groups of a ServiceAccount");
    assert_eq!(asked.body[0], json!({"op": "test", "path": "/metadata/uid", "value": "uid-app-1"}));
    let view = scene.kubernetes.see(&scene.policy("otel"), &identity());
    let seen = &view.stages[0].pods[0];
    assert_eq!((seen.generation, seen.containers[1].image.as_str()), (Some(2), "ghcr.io/a/otel@sha256:00"));
    assert_eq!(scene.woken.take(), ["platform/otel"]);
}

#[tokio::test]
async fn k11_a_pod_that_is_gone_or_made_again_is_not_even_asked_for() {
    let scene = scene(Server::new(|asked| panic!("nothing should be asked: {asked:?}")));
    let mut again = pod("app-1", 40);
    again["metadata"]["uid"] = json!("another");
    scene.shows([again]);
    assert!(matches!(apply(&scene, &a_move()).await, Err(EffectError::Outdated(_))));
    scene.hides(&pod("app-1", 41));
    assert!(matches!(apply(&scene, &a_move()).await, Err(EffectError::Outdated(_))));
}

#[tokio::test]
async fn i9_without_the_fence_nothing_is_written() {
    let scene = scene(Server::new(|asked| panic!("nothing should be asked: {asked:?}")));
    for action in [
        a_move(),
        a_template(),
        write_pin(None),
        write_pin(Some("30")),
        delete_pin(),
        mark_orphan("30"),
        quarantine(b"q"),
    ] {
        let outcome =
            scene.kubernetes.apply(&identity(), &lost_fence(), &scene.policy("otel"), &action).await;
        assert!(matches!(outcome, Err(EffectError::Fenced)), "{action:?}: {outcome:?}");
    }
    let stored = scene.stored("otel");
    let written = scene.kubernetes.write_status(&lost_fence(), &stored, "10", &Arc::default()).await;
    assert!(matches!(written, Err(EffectError::Fenced)));
}

#[tokio::test]
async fn k7_k11_k12_k21_answers_mean_the_same_for_every_effect() {
    let cannot = "pods \"x\" is forbidden: User \"u\" cannot patch resource \"pods\" in API group \"\" in the \
                  namespace \"prod\"";
    for (code, message, expected) in [
        (404, "gone", "Outdated"),
        (409, "conflict", "Outdated"),
        (422, "the server rejected our request due to an error in our request", "Outdated"),
        (403, cannot, "Forbidden"),
        (403, "admission webhook \"w\" denied the request: no", "Refused"),
        (400, "bad", "Refused"),
        (429, "slow down", "Unavailable"),
        (500, "broken", "Unavailable"),
    ] {
        for action in
            [a_move(), a_template(), write_pin(None), write_pin(Some("30")), delete_pin(), mark_orphan("30")]
        {
            let scene = scene(Server::always(code, status(code, "", message)));
            let error = apply(&scene, &action).await.unwrap_err();
            assert!(format!("{error:?}").starts_with(expected), "{code} {message}: {error:?}");
            assert_eq!(scene.server.asked().len(), 1, "nothing is tried again");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_does_not_answer_is_unavailable_by_the_deadline() {
    let scene = scene(Server::new(|_| Answer::Hang));
    let error = apply(&scene, &a_move()).await.unwrap_err();
    assert!(
        matches!(&error, EffectError::Unavailable { message, .. } if message.contains("10 s")),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn i9_a_write_is_waited_for_no_longer_than_the_fence_holds() {
    let scene = scene(Server::new(|_| Answer::Hang));
    let fence = Fence::new(Arc::new(HoldsFor(Duration::from_secs(3))));
    let policy = scene.policy("otel");
    let began = tokio::time::Instant::now();
    let error = scene.kubernetes.effect(&identity(), &fence, &policy, &a_move()).await.unwrap_err();
    assert!(matches!(&error, EffectError::Unavailable { .. }), "{error}");
    assert_eq!(began.elapsed().as_secs(), 3);
}

#[tokio::test]
async fn i9_without_a_fence_not_even_an_event_is_written() {
    let scene = scene(Server::new(|asked| panic!("nothing should be asked: {asked:?}")));
    let event = Event { kind: EventType::Normal, reason: "Verified", stage: None, message: String::new() };
    let told = scene.kubernetes.publish(&lost_fence(), &scene.stored("otel"), &event).await;
    assert!(matches!(told, Err(EffectError::Fenced)), "{told:?}");
}

#[tokio::test]
async fn k8_a_pin_whose_version_is_not_the_one_decided_on_is_not_written() {
    let scene = scene(Server::new(|asked| panic!("nothing should be asked: {asked:?}")));
    assert!(matches!(apply(&scene, &write_pin(Some("29"))).await, Err(EffectError::Outdated(_))));
}

#[tokio::test]
async fn a_pin_is_replaced_whole_against_its_version() {
    let scene = scene(Server::always(200, pin(b"new", 31)));
    apply(&scene, &write_pin(Some("30"))).await.unwrap();
    let asked = &scene.server.asked()[0];
    assert_eq!(asked.method, "PUT");
    assert_eq!(asked.path, "/apis/lockkeeper.dev/v1alpha1/namespaces/prod/imagepins/pin");
    assert_eq!(asked.body["metadata"]["resourceVersion"], "30");
    assert_eq!(asked.user.as_deref(), Some("system:serviceaccount:platform:promoter"));
    let pins = scene.kubernetes.see(&scene.policy("otel"), &identity()).pins;
    assert_eq!((pins[0].resource_version.as_str(), &pins[0].spec.digest), ("31", &Digest::of(b"new")));
}

#[tokio::test]
async fn a_pin_that_the_watch_saw_go_is_deleted_already() {
    let scene = scene(Server::always(404, status(404, "NotFound", "gone")));
    assert!(apply(&scene, &delete_pin()).await.is_err(), "the watch still shows it");
    scene.hides(&pin(b"old", 32));
    apply(&scene, &delete_pin()).await.unwrap();
    let asked = &scene.server.asked()[0];
    assert_eq!(asked.body["preconditions"], json!({"uid": "uid-pin", "resourceVersion": "30"}));
}

#[tokio::test]
async fn a_quarantine_that_is_there_is_made() {
    let there = lockkeeper_api::Quarantine::from_draft(
        "platform",
        match &quarantine(b"q") {
            Action::WriteQuarantine(draft) => draft,
            other => panic!("{other:?}"),
        },
    );
    let mut there = serde_json::to_value(there).unwrap();
    there["metadata"]["resourceVersion"] = json!("50");
    let server = Server::new(move |asked| match asked.method.as_str() {
        "POST" => Answer::Json(409, status(409, "AlreadyExists", "exists")),
        _ => Answer::Json(200, there.clone()),
    });
    let scene = scene(server);
    apply(&scene, &quarantine(b"q")).await.unwrap();
    assert_eq!(scene.server.asked()[0].user, None, "with the controller's own rights");
    let view = scene.kubernetes.see(&scene.policy("otel"), &identity());
    assert!(view.quarantines[0].digests.contains(&Digest::of(b"amd64")));
    let error = apply(&scene, &quarantine(b"other")).await.unwrap_err();
    assert!(matches!(error, EffectError::Refused { .. }), "another's contents are not ours: {error}");
}

#[tokio::test]
async fn a_status_is_replaced_against_its_version_and_known_at_once() {
    let server = Server::new(|_| {
        Answer::Json(
            200,
            json!({"metadata": {"name": "otel", "namespace": "platform", "generation": 1, "resourceVersion": "11"}}),
        )
    });
    let scene = scene(server);
    let stored = scene.stored("otel");
    let status = Arc::new(Status { phase: "Soaking".into(), ..Status::default() });
    let version = scene.kubernetes.write_status(&fence(), &stored, "10", &status).await.unwrap();
    let asked = &scene.server.asked()[0];
    assert_eq!((asked.method.as_str(), asked.path.rsplit('/').next()), ("PUT", Some("status")));
    assert_eq!(asked.body["metadata"]["resourceVersion"], "10");
    assert_eq!(asked.user, None);
    let now = scene.stored("otel");
    assert_eq!(
        (version.as_str(), now.resource_version.as_str(), now.status.phase.as_str()),
        ("11", "11", "Soaking")
    );
}

#[tokio::test]
async fn an_event_names_its_policy() {
    let scene = scene(Server::always(201, json!({})));
    let event = Event {
        kind: EventType::Warning,
        reason: "RolledBack",
        stage: Some("prod".into()),
        message: "0.29".into(),
    };
    scene.kubernetes.publish(&fence(), &scene.stored("otel"), &event).await.unwrap();
    let asked = &scene.server.asked()[0];
    assert_eq!(asked.path, "/apis/events.k8s.io/v1/namespaces/platform/events");
    assert_eq!(asked.body["regarding"]["uid"], "uid-otel");
    assert_eq!((&asked.body["reason"], &asked.body["note"]), (&json!("RolledBack"), &json!("prod: 0.29")));
    assert_eq!(asked.body["type"], "Warning");
}

#[tokio::test]
async fn row_19_a_secrets_contents_are_in_no_message() {
    for (body, expected) in [
        (json!({"data": {".dockerconfigjson": "canary!"}}), "cannot be read as a Secret"),
        (json!({"data": "canary"}), "cannot be read as a Secret"),
    ] {
        let scene = scene(Server::always(200, body));
        let error = scene.kubernetes.secret(&identity(), "ecr").await.unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains("canary") && !error.contains("Y2Fu"), "{error}");
        assert_eq!(scene.server.asked()[0].user.as_deref(), Some("system:serviceaccount:platform:promoter"));
    }
    let scene = scene(Server::always(200, json!({"data": {".dockerconfigjson": "e30="}})));
    assert_eq!(scene.kubernetes.secret(&identity(), "ecr").await.unwrap()[".dockerconfigjson"], b"{}");
}

#[tokio::test]
async fn row_20_a_secret_of_another_namespace_cannot_be_named() {
    let scene = scene(Server::new(|asked| panic!("nothing should be asked: {asked:?}")));
    for name in ["../../kube-system/secrets/x", "a/b"] {
        assert!(scene.kubernetes.secret(&identity(), name).await.is_err(), "{name}");
        assert!(scene.kubernetes.pull_secrets(&identity(), name).await.is_err(), "{name}");
    }
}

#[tokio::test]
async fn row_21_pull_secrets_are_read_as_the_policys_own_account() {
    let account =
        json!({"imagePullSecrets": [{"name": "one"}, {"name": "two"}], "secrets": [{"name": "three"}]});
    let scene = scene(Server::always(200, account));
    assert_eq!(scene.kubernetes.pull_secrets(&identity(), "pullers").await.unwrap(), ["one", "two"]);
    let asked = &scene.server.asked()[0];
    assert_eq!(asked.path, "/api/v1/namespaces/platform/serviceaccounts/pullers");
    assert_eq!(asked.user.as_deref(), Some("system:serviceaccount:platform:promoter"));
}

#[tokio::test]
async fn row_21_a_token_is_made_by_the_account_whose_it_is() {
    let scene = scene(Server::new(|asked| match asked.method.as_str() {
        "GET" => Answer::Json(200, json!({"metadata": {"uid": "u", "annotations": {"a": "b"}}})),
        _ => Answer::Json(201, json!({"status": {"token": "c4n4ry", "expirationTimestamp": null}})),
    }));
    let account = scene.kubernetes.account(&identity()).await.unwrap();
    assert_eq!((account.name.as_str(), account.uid.as_str()), ("platform/promoter", "u"));
    assert_eq!(account.annotations["a"], "b");
    let token = scene.kubernetes.account_token(&identity(), "sts.amazonaws.com").await.unwrap();
    assert_eq!(token, "c4n4ry");
    let asked = scene.server.asked();
    for asked in &asked {
        assert_eq!(asked.user.as_deref(), Some("system:serviceaccount:platform:promoter"));
    }
    assert_eq!(asked[1].method, "POST");
    assert_eq!(asked[1].path, "/api/v1/namespaces/platform/serviceaccounts/promoter/token");
    assert_eq!(asked[1].body["spec"], json!({"audiences": ["sts.amazonaws.com"], "expirationSeconds": 600}));
}

#[tokio::test]
async fn row_21_an_account_that_may_make_no_token_is_told_which_right_it_misses() {
    let message = "serviceaccounts \"promoter\" is forbidden: User \"system:serviceaccount:platform:promoter\" cannot \
                   create resource \"serviceaccounts/token\" in API group \"\" in the namespace \"platform\"";
    let scene = scene(Server::always(403, status(403, "Forbidden", message)));
    let failed = scene.kubernetes.account_token(&identity(), "sts.amazonaws.com").await.unwrap_err();
    let EffectError::Forbidden(right) = failed else { panic!("{failed}") };
    assert_eq!((right.verb.as_str(), right.resource.as_str()), ("create", "serviceaccounts/token"));
    let scene = scene_without_token().await;
    assert!(!scene.contains("c4n4ry"), "{scene}");
}

/// What is said of an answer that holds something else than a token.
async fn scene_without_token() -> String {
    let scene = scene(Server::always(201, json!({"status": {"token": ["c4n4ry"]}})));
    let failed = scene.kubernetes.account_token(&identity(), "sts.amazonaws.com").await.unwrap_err();
    format!("{failed} {failed:?}")
}

#[tokio::test]
async fn orphaned_pins_are_marked_after_two_reads_and_only_once() {
    let server = Server::new(|asked| match asked.method.as_str() {
        "GET" => Answer::Json(404, status(404, "NotFound", "gone")),
        "PATCH" => {
            let mut marked = pin(b"old", 33);
            marked["metadata"]["annotations"] = asked.body[2]["value"].clone();
            Answer::Json(200, marked)
        }
        _ => {
            let mut marked = asked.body.clone();
            marked["metadata"]["resourceVersion"] = json!("34");
            Answer::Json(200, marked)
        }
    });
    let scene = Scene::new(server);
    scene.shows([pin(b"old", 30)]);
    let sweep = async |second: i64| {
        scene.clock.set(second);
        scene.kubernetes.sweep_orphans(&fence(), orphans::APART, scene.clock.now()).await;
        scene.server.asked().iter().filter(|asked| asked.method != "GET").count()
    };
    assert_eq!(sweep(0).await, 0);
    assert_eq!(sweep(240).await, 0);
    assert_eq!(sweep(300).await, 2, "the annotation and the condition");
    let asked = scene.server.asked();
    assert!(asked.iter().all(|asked| asked.user.is_none()));
    let condition = &asked.last().unwrap().body["status"]["conditions"][0];
    assert_eq!(
        (&condition["type"], &condition["lastTransitionTime"]),
        (&json!("Orphaned"), &json!("1970-01-01T00:05:00Z"))
    );
    assert_eq!(sweep(900).await, 2, "what is marked is not marked again");
}

#[tokio::test]
async fn orphaned_pins_that_were_told_to_go_are_deleted_and_a_failed_read_deletes_nothing() {
    let fails = Arc::new(Mutex::new(true));
    let failing = Arc::clone(&fails);
    let server = Server::new(move |asked| match asked.method.as_str() {
        "GET" if *failing.lock().unwrap() => Answer::Json(500, status(500, "", "broken")),
        "GET" => Answer::Json(200, json!({"metadata": {"uid": "another policy of that name"}})),
        _ => Answer::Json(200, json!({})),
    });
    let scene = Scene::new(server);
    let mut released = pin(b"old", 30);
    released["spec"]["deletionPolicy"] = json!("Release");
    scene.shows([released]);
    let sweep = async |second: i64| {
        scene.clock.set(second);
        scene.kubernetes.sweep_orphans(&fence(), orphans::APART, scene.clock.now()).await;
        scene.server.asked().iter().filter(|asked| asked.method == "DELETE").count()
    };
    assert_eq!((sweep(0).await, sweep(600).await), (0, 0), "the API server could not say");
    *fails.lock().unwrap() = false;
    assert_eq!((sweep(660).await, sweep(900).await), (0, 0));
    assert_eq!(sweep(960).await, 1);
}

#[tokio::test]
async fn a_pin_without_a_stage_is_marked_as_the_policys_account_and_the_mark_goes_when_its_stage_is_back() {
    let version = Arc::new(Mutex::new(30));
    let server = Server::new(move |asked| {
        let mut written = asked.body.clone();
        let mut version = version.lock().unwrap();
        *version += 1;
        written["metadata"]["resourceVersion"] = json!(version.to_string());
        if !asked.path.ends_with("/status") {
            written["status"] = json!({"conditions": []});
        }
        Answer::Json(200, written)
    });
    let scene = scene(server);
    assert!(matches!(apply(&scene, &mark_orphan("29")).await, Err(EffectError::Outdated(_))));
    apply(&scene, &mark_orphan("30")).await.unwrap();
    let asked = scene.server.asked();
    assert_eq!(asked.len(), 2, "the whole pin, then its condition");
    assert_eq!(asked[0].user.as_deref(), Some("system:serviceaccount:platform:promoter"));
    assert_eq!(asked[0].body["spec"], serde_json::to_value(spec(b"old")).unwrap());
    assert_eq!(asked[1].user, None);
    assert!(asked[1].path.ends_with("/pin/status"), "{}", asked[1].path);
    assert_eq!(asked[1].body["status"]["conditions"][0]["reason"], "StageGone");
    // Written again for a stage that is back.
    apply(&scene, &write_pin(Some("32"))).await.unwrap();
    let asked = scene.server.asked();
    let annotations = asked[2].body["metadata"]["annotations"].as_object().unwrap();
    assert!(!annotations.contains_key(lockkeeper_api::names::ORPHANED), "{annotations:?}");
    assert_eq!((asked.len(), &asked[3].body["status"]["conditions"]), (4, &json!([])));
}
