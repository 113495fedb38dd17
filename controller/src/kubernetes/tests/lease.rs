//! The Lease: what is sent, and what answers mean.

use super::*;
use crate::{
    kubernetes::lease::LeaseStore,
    ports::lease::{LeaseAnswer, LeaseDraft, LeaseRequest, Leases},
};

fn stored(version: u64) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {
            "name": "lockkeeper", "namespace": "lockkeeper-system", "uid": "u", "resourceVersion": version.to_string(),
            "labels": {"team": "a"},
        },
        "spec": {
            "holderIdentity": "other", "leaseDurationSeconds": 15, "leaseTransitions": 3,
            "renewTime": "2026-11-22T00:00:00.000001Z",
        },
    })
}

fn draft(over: Option<(&str, &str)>) -> LeaseRequest {
    LeaseRequest::Write(LeaseDraft {
        over: over.map(|(uid, version)| (uid.to_owned(), version.to_owned())),
        holder: Some("me".into()),
        lasts: Duration::from_secs(15),
        renewed: Timestamp::UNIX_EPOCH,
        acquired: Timestamp::UNIX_EPOCH,
        transitions: 4,
    })
}

fn store(server: &Server) -> LeaseStore {
    LeaseStore::new(server.client(), "lockkeeper-system", "lockkeeper")
}

#[tokio::test]
async fn it_is_replaced_as_a_whole_over_the_version_that_was_seen_and_keeps_its_labels() {
    let server = Server::new(|asked| {
        let version = if asked.method == "GET" { 7 } else { 8 };
        Answer::Json(200, stored(version))
    });
    let store = store(&server);
    let LeaseAnswer::Shows(seen) = store.ask(&LeaseRequest::Look).await else { panic!() };
    assert_eq!((seen.uid.as_str(), seen.version.as_str(), seen.holder.as_deref()), ("u", "7", Some("other")));
    assert_eq!((seen.lasts, seen.transitions), (Some(Duration::from_secs(15)), 3));
    assert!(
        matches!(store.ask(&draft(Some(("u", "7")))).await, LeaseAnswer::Shows(seen) if seen.version == "8")
    );
    let asked = server.asked().pop().unwrap();
    let path = "/apis/coordination.k8s.io/v1/namespaces/lockkeeper-system/leases/lockkeeper";
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("PUT", path));
    let metadata = &asked.body["metadata"];
    assert_eq!((&metadata["uid"], &metadata["resourceVersion"]), (&json!("u"), &json!("7")));
    assert_eq!(metadata["labels"], json!({"team": "a"}));
    assert_eq!(asked.body["spec"]["holderIdentity"], "me");
}

#[tokio::test]
async fn only_a_refusal_says_that_nothing_was_written() {
    use LeaseAnswer::{Absent, Conflict, Unknown};
    let over = Some(("u", "7"));
    for (code, request, expected) in [
        (404, LeaseRequest::Look, Absent),
        (404, draft(over), Absent),
        (409, draft(over), Conflict),
        (409, draft(None), Conflict),
        // Its namespace does not exist: to look again would not help.
        (404, draft(None), Unknown(String::new())),
        (403, LeaseRequest::Look, Unknown(String::new())),
        (500, draft(over), Unknown(String::new())),
        (503, draft(over), Unknown(String::new())),
        (504, draft(over), Unknown(String::new())),
    ] {
        let server = Server::always(code, status(code, "", "no"));
        let answer = match store(&server).ask(&request).await {
            Unknown(why) => {
                assert!(why.contains("no"), "{why}");
                Unknown(String::new())
            }
            answer => answer,
        };
        assert_eq!(answer, expected, "{code} to {request:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_ends_the_wait_and_trouble_does_not() {
    let change = json!({"type": "MODIFIED", "object": stored(9)});
    let server = Server::new(move |asked| {
        assert!(
            asked.query.contains("metadata.name%3Dlockkeeper") && asked.query.contains("resourceVersion=7")
        );
        Answer::Silence(vec![change.clone()])
    });
    let minute = Duration::from_mins(1);
    assert!(tokio::time::timeout(minute, store(&server).changed(Some("7"))).await.is_ok());
    let server = Server::always(403, status(403, "", "no"));
    assert!(tokio::time::timeout(minute, store(&server).changed(Some("7"))).await.is_err());
    assert!(tokio::time::timeout(minute, store(&server).changed(None)).await.is_err());
    assert_eq!(server.asked().len(), 1);
}
