//! GitHub's interface, as it is documented.

use super::*;

fn request(state: &str) -> Value {
    json!({
        "number": 12, "node_id": "PR_1", "state": state, "merged_at": null, "body": TEXT,
        "html_url": "https://github.com/acme/deploy/pull/12",
    })
}

#[tokio::test]
async fn a_request_is_found_made_and_closed() {
    let fake = Fake::with(|asked| match asked.line.as_str() {
        line if line.contains("state=open") => (200, json!([])),
        line if line.contains("state=closed") => (200, json!([request("closed")])),
        "POST /repos/acme/deploy/pulls" => (201, request("open")),
        "POST /graphql" => (200, json!({"data": {}})),
        _ => (200, json!({})),
    })
    .await;
    let mut remote = fake.remote(Forge::GitHub, "https://github.com/acme/deploy.git", "");
    remote.request.as_mut().unwrap().reviewers.push("acme/platform".into());
    let found = fake.newest(&remote).await.unwrap().unwrap();
    assert_eq!(
        (found.state, found.url.as_str()),
        (RequestState::Closed, "https://github.com/acme/deploy/pull/12")
    );
    let head = "head=acme%3Alockkeeper%2Fapps%2Fotel%2Fprod%2Fmain&base=main";
    assert!(fake.lines()[0].starts_with(&format!("GET /repos/acme/deploy/pulls?state=open&{head}")));

    let made = fake.bring(&remote, None).await.unwrap();
    assert_eq!(made.text, TEXT);
    let (bodies, asked) = (fake.bodies(), fake.asked.lock().unwrap()[0].clone());
    assert_eq!(asked.authorization, "Bearer c4n4ry");
    assert_eq!((&bodies[0]["head"], &bodies[0]["base"]), (&json!(BRANCH), &json!("main")));
    assert_eq!(bodies[1], json!({"labels": ["images"]}));
    assert_eq!(bodies[2], json!({"reviewers": ["kim"], "team_reviewers": ["platform"]}));
    assert_eq!(bodies[3]["variables"], json!({"id": "PR_1", "method": "SQUASH"}));
    marked_last(&bodies, "body");
    let lines = fake.lines();
    assert_eq!(
        lines[1..4],
        [
            "POST /repos/acme/deploy/issues/12/labels",
            "POST /repos/acme/deploy/pulls/12/requested_reviewers",
            "POST /graphql",
        ]
    );
    fake.close(&remote, &made).await.unwrap();
    assert_eq!(fake.bodies(), [json!({"state": "closed"})]);
}

#[tokio::test]
async fn where_nothing_stands_in_its_way_it_is_merged_now_and_where_it_may_not_that_is_said() {
    let clean =
        json!({"data": null, "errors": [{"message": "Pull request Pull request is in clean status"}]});
    let fake = Fake::with(move |asked| match asked.line.as_str() {
        "POST /graphql" => (200, clean.clone()),
        _ => (200, request("open")),
    })
    .await;
    let remote = fake.remote(Forge::GitHub, "https://github.com/acme/deploy", "");
    fake.bring(&remote, None).await.unwrap();
    assert!(fake.lines().contains(&"PUT /repos/acme/deploy/pulls/12/merge".to_owned()));

    let not = json!({"errors": [{"message": "Auto merge is not allowed for this repository"}]});
    let fake = Fake::with(move |asked| match asked.line.as_str() {
        "POST /api/graphql" => (200, not.clone()),
        _ => (200, request("open")),
    })
    .await;
    // GitHub Enterprise Server has it elsewhere.
    let remote = fake.remote(Forge::GitHub, "https://git.example.com/acme/deploy", "/api/v3");
    let error = fake.bring(&remote, None).await.unwrap_err();
    assert!(
        error.message.contains("Auto merge is not allowed") && error.message.contains("autoMerge"),
        "{error}"
    );
}
