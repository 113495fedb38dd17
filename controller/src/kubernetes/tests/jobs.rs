//! Jobs that judge: made once, as the policy's own account, and read by name.

use super::*;
use crate::{
    kubernetes::jobs::Jobs,
    ports::signals::{Measure, Measured, SignalAccess, SignalError, SignalSource as _},
};
use lockkeeper_core::signals::{Job, JobRun, Server as Source};

fn run() -> JobRun {
    JobRun {
        name: JobRun::name_of("a-1", "smoke"),
        policy: "otel".into(),
        policy_uid: "uid-otel".into(),
        deadline_seconds: 600,
        env: [("LOCKKEEPER_DIGEST".to_owned(), "sha256:00".to_owned())].into(),
    }
}

fn cron() -> Value {
    json!({"spec": {"suspend": true, "jobTemplate": {
        "metadata": {"labels": {"team": "a"}},
        "spec": {"parallelism": 4, "completions": 4, "activeDeadlineSeconds": 60, "template": {"spec": {
            "restartPolicy": "OnFailure",
            "containers": [{"name": "smoke", "image": "x", "env": [
                {"name": "LOCKKEEPER_DIGEST", "value": "another"}, {"name": "A", "value": "b"},
            ]}],
        }}},
    }}})
}

fn job(owner: &str, conditions: &Value) -> Value {
    json!({"metadata": {"ownerReferences": [{"uid": owner}]}, "status": {"conditions": conditions}})
}

async fn asked(server: &Server, fence: Fence) -> Result<Option<Measured>, SignalError> {
    let scene = Scene::new(server.clone());
    let jobs = Jobs::new(Arc::clone(&scene.kubernetes), fence);
    let identity = Identity { namespace: "platform".into(), service_account: "promoter".into() };
    let (query, at) = (run().json(), Timestamp::UNIX_EPOCH);
    let source = Source::Job(Job { from: "smoke".into(), deadline: jiff::SignedDuration::from_mins(10) });
    let measure = Measure { server: &source, identity: &identity, id: "x", query: &query, at, window: 60 };
    jobs.measure(&SignalAccess::default(), measure).await
}

/// There is no Job yet, and this is what is said of the template and of what is made.
fn fresh(template: (u16, Value), made: (u16, Value)) -> Server {
    Server::new(move |asked| match (asked.method.as_str(), asked.path.contains("/cronjobs/")) {
        ("GET", true) => Answer::Json(template.0, template.1.clone()),
        ("GET", false) => Answer::Json(404, status(404, "NotFound", "gone")),
        _ => Answer::Json(made.0, made.1.clone()),
    })
}

#[tokio::test]
async fn a_job_is_made_from_its_template_as_the_policys_account_with_one_pod_and_an_end() {
    let server = fresh((200, cron()), (201, json!({})));
    let why = asked(&server, fence()).await.unwrap_err().message;
    let name = run().name;
    assert!(why.contains(&format!("Job platform/{name} has been started")), "{why}");
    let log = server.asked();
    for asked in &log {
        assert_eq!(asked.user.as_deref(), Some("system:serviceaccount:platform:promoter"));
    }
    assert_eq!(log[0].path, format!("/apis/batch/v1/namespaces/platform/jobs/{name}"));
    assert_eq!(log[1].path, "/apis/batch/v1/namespaces/platform/cronjobs/smoke");
    assert_eq!(log[2].path, "/apis/batch/v1/namespaces/platform/jobs");
    let (meta, spec) = (&log[2].body["metadata"], &log[2].body["spec"]);
    let owner = json!([{"apiVersion": "lockkeeper.dev/v1alpha1", "kind": "ImagePolicy", "name": "otel", "uid": "uid-otel"}]);
    assert_eq!(
        (&meta["name"], &meta["ownerReferences"], &meta["labels"]),
        (&json!(name), &owner, &json!({"team": "a"}))
    );
    assert_eq!((&spec["parallelism"], &spec["completions"]), (&json!(1), &json!(1)));
    assert_eq!(spec["activeDeadlineSeconds"], 60, "the shorter of both deadlines");
    let pod = &spec["template"]["spec"];
    assert_eq!(pod["restartPolicy"], "Never");
    let env = json!([{"name": "A", "value": "b"}, {"name": "LOCKKEEPER_DIGEST", "value": "sha256:00"}]);
    assert_eq!(pod["containers"][0]["env"], env);
    assert!(spec["podFailurePolicy"]["rules"].to_string().contains(r#""values":[1]"#), "{spec}");
}

#[tokio::test]
async fn exit_codes_zero_and_one_are_verdicts_and_nothing_else_is() {
    let ended = |kind: &str, reason: &str| json!([{"type": kind, "status": "True", "reason": reason, "message": "m"}]);
    for (conditions, wanted) in [
        (ended("Complete", "CompletionsReached"), Measured::Verdict { degraded: false }),
        (ended("Failed", "PodFailurePolicy"), Measured::Verdict { degraded: true }),
    ] {
        let server = Server::always(200, job("uid-otel", &conditions));
        assert_eq!(asked(&server, fence()).await, Ok(Some(wanted)));
        assert_eq!(server.asked().len(), 1, "found by its name, and not made again");
    }
    for (body, part) in [
        (job("uid-otel", &json!([])), "has not ended yet"),
        (job("uid-otel", &ended("FailureTarget", "PodFailurePolicy")), "has not ended yet"),
        (job("uid-otel", &ended("Failed", "BackoffLimitExceeded")), "without a verdict"),
        (job("uid-otel", &ended("Failed", "DeadlineExceeded")), "without a verdict"),
        (job("somebody", &ended("Complete", "")), "belongs to somebody else"),
        (json!([]), "cannot be read as a Job"),
    ] {
        let why = asked(&Server::always(200, body), fence()).await.unwrap_err().message;
        assert!(why.contains(part), "{part:?} is not in {why:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_started_or_read_is_no_answer_and_says_why() {
    let refused = |what: &str, verb: &str| {
        let message = format!(
            "{what} is forbidden: User \"system:serviceaccount:platform:promoter\" cannot {verb} resource \"jobs\" in \
             API group \"batch\" in the namespace \"platform\""
        );
        (403, status(403, "Forbidden", &message))
    };
    let gone = (404, status(404, "NotFound", "gone"));
    for (server, part) in [
        (fresh(gone, (201, json!({}))), "there is no CronJob platform/smoke"),
        (fresh((200, cron()), refused("jobs", "create")), "may not create jobs in namespace platform"),
        (fresh((200, json!({"spec": {}})), (201, json!({}))), "no template"),
        (Server::always(500, status(500, "InternalError", "x")), "did not answer"),
    ] {
        let why = asked(&server, fence()).await.unwrap_err().message;
        assert!(why.contains(part), "{part:?} is not in {why:?}");
    }
    let server = fresh((200, cron()), (201, json!({})));
    let why = asked(&server, lost_fence()).await.unwrap_err().message;
    assert!(why.contains("another replica leads"), "{why}");
    assert_eq!(server.asked().iter().filter(|asked| asked.method == "POST").count(), 0);
}
