//! GitLab's interface, as it is documented.

use super::*;

fn request(state: &str) -> Value {
    json!({"iid": 5, "state": state, "web_url": "https://gitlab.com/g/s/p/-/merge_requests/5", "description": TEXT})
}

#[tokio::test]
async fn a_request_is_found_made_and_closed() {
    let fake = Fake::with(|asked| match asked.line.as_str() {
        line if line.contains("/users?") => (200, json!([{"id": 77}])),
        line if line.starts_with("GET") && line.contains("state=opened") => (200, json!([])),
        line if line.starts_with("GET") => (200, json!([request("merged")])),
        _ => (200, request("opened")),
    })
    .await;
    let remote = fake.remote(Forge::GitLab, "https://gitlab.com/g/s/p.git", "/api/v4");
    assert_eq!(fake.newest(&remote).await.unwrap().unwrap().state, RequestState::Merged);
    let at = "/api/v4/projects/g%2Fs%2Fp/merge_requests";
    assert!(fake.lines()[0].starts_with(&format!("GET {at}?state=opened&source_branch=lockkeeper%2Fapps")));
    let made = fake.bring(&remote, None).await.unwrap();
    marked_last(&fake.bodies(), "description");
    assert_eq!(fake.bodies()[2], json!({"add_labels": "images", "reviewer_ids": [77]}));
    assert_eq!(fake.bodies()[3]["squash"], true);
    assert_eq!(fake.asked.lock().unwrap()[0].authorization, "Bearer c4n4ry");
    let lines = fake.lines();
    assert_eq!(
        lines,
        [
            format!("POST {at}"),
            "GET /api/v4/users?username=kim".to_owned(),
            format!("PUT {at}/5"),
            format!("PUT {at}/5/merge"),
            format!("PUT {at}/5"),
        ]
    );
    fake.close(&remote, &made).await.unwrap();
    assert_eq!(fake.bodies(), [json!({"state_event": "close"})]);
}

#[tokio::test]
async fn a_reviewer_that_it_does_not_know_is_named() {
    let fake = Fake::with(|asked| match asked.line.as_str() {
        line if line.contains("/users?") => (200, json!([])),
        _ => (200, request("opened")),
    })
    .await;
    let remote = fake.remote(Forge::GitLab, "https://gitlab.com/g/p", "/api/v4");
    let error = fake.bring(&remote, None).await.unwrap_err();
    assert!(error.message.contains("no user \"kim\"") && error.message.contains("reviewers"), "{error}");
}
