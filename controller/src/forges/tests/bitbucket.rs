//! The interface of Bitbucket Cloud, as it is documented.

use super::*;

fn request(state: &str) -> Value {
    let links = json!({"html": {"href": "https://bitbucket.org/acme/deploy/pull-requests/4"}});
    json!({"id": 4, "state": state, "links": links, "description": TEXT})
}

#[tokio::test]
async fn a_request_is_found_made_and_closed() {
    let fake = Fake::with(|asked| match asked.line.as_str() {
        line if line.contains("state=OPEN") => (200, json!({"values": []})),
        line if line.starts_with("GET") => (200, json!({"values": [request("DECLINED")]})),
        _ => (200, request("OPEN")),
    })
    .await;
    let mut remote = fake.remote(Forge::Bitbucket, "https://bitbucket.org/acme/deploy.git", "/2.0");
    let wanted = remote.request.as_mut().unwrap();
    (wanted.labels, wanted.auto_merge) = (Vec::new(), None);
    wanted.reviewers.push("{504c3b62}".into());
    assert_eq!(fake.newest(&remote).await.unwrap().unwrap().state, RequestState::Closed);
    let at = "/2.0/repositories/acme/deploy/pullrequests";
    let lines = fake.lines();
    assert!(
        lines[0].starts_with(&format!("GET {at}?q=source.branch.name+%3D+%22lockkeeper%2Fapps")),
        "{lines:?}"
    );
    let made = fake.bring(&remote, None).await.unwrap();
    marked_last(&fake.bodies(), "description");
    let bodies = fake.bodies();
    assert_eq!(bodies[0]["source"], json!({"branch": {"name": BRANCH}}));
    assert_eq!(bodies[1]["reviewers"], json!([{"account_id": "kim"}, {"uuid": "{504c3b62}"}]));
    assert_eq!(fake.lines(), [format!("POST {at}"), format!("PUT {at}/4")]);
    fake.close(&remote, &made).await.unwrap();
    assert_eq!(fake.lines(), [format!("POST {at}/4/decline")]);
}
