//! The end of a dead container's log: how it is asked for, and what an answer means.

use super::*;
use crate::ports::{Cluster, DeadContainer, EffectError};

fn dead(previous: bool) -> DeadContainer {
    DeadContainer {
        namespace: "prod".into(),
        pod: "app-1".into(),
        uid: "u".into(),
        container: "otel".into(),
        died: Timestamp::UNIX_EPOCH,
        previous,
    }
}

#[tokio::test]
async fn a_bounded_end_of_the_log_is_read_as_the_policys_account() {
    let scene = Scene::new(Server::always(200, json!("panic: x")));
    for previous in [true, false] {
        let log = scene.kubernetes.last_log(&identity(), &dead(previous)).await.unwrap();
        assert_eq!(log, "\"panic: x\"");
        let asked = scene.server.asked().pop().unwrap();
        assert_eq!(
            (asked.method.as_str(), asked.path.as_str()),
            ("GET", "/api/v1/namespaces/prod/pods/app-1/log")
        );
        assert_eq!(
            asked.query,
            format!("container=otel&previous={previous}&tailLines=100&limitBytes=262144")
        );
        assert_eq!(asked.user.as_deref(), Some("system:serviceaccount:platform:promoter"));
    }
}

#[tokio::test]
async fn a_missing_right_to_logs_is_told_from_a_log_that_is_gone() {
    let refusal = "pods \"app-1\" is forbidden: User \"system:serviceaccount:platform:promoter\" cannot get resource \
                   \"pods/log\" in API group \"\" in the namespace \"prod\"";
    let scene = Scene::new(Server::always(403, status(403, "Forbidden", refusal)));
    let error = scene.kubernetes.last_log(&identity(), &dead(true)).await.unwrap_err();
    assert!(matches!(&error, EffectError::Forbidden(right) if right.resource == "pods/log"), "{error:?}");
    let gone = status(400, "BadRequest", "previous terminated container \"otel\" in pod \"app-1\" not found");
    let scene = Scene::new(Server::always(400, gone));
    let error = scene.kubernetes.last_log(&identity(), &dead(true)).await.unwrap_err();
    assert!(matches!(error, EffectError::Refused { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_log_that_never_comes_is_given_up() {
    let scene = Scene::new(Server::new(|_| Answer::Hang));
    let error = scene.kubernetes.last_log(&identity(), &dead(true)).await.unwrap_err();
    assert!(matches!(error, EffectError::Unavailable { .. }), "{error:?}");
}
