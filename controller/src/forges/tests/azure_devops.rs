//! The interface of Azure DevOps, as it is documented.

use super::*;

fn request(status: &str) -> Value {
    json!({"pullRequestId": 31, "status": status, "description": TEXT, "createdBy": {"id": "me-1"}})
}

#[tokio::test]
async fn a_request_is_found_made_and_closed() {
    let fake = Fake::with(|asked| match asked.line.as_str() {
        line if line.contains("searchCriteria.status=active") => (200, json!({"value": []})),
        line if line.contains("searchCriteria") => (200, json!({"value": [request("abandoned")]})),
        line if line.starts_with("GET") => (200, request("abandoned")),
        _ => (200, request("active")),
    })
    .await;
    for url in
        ["https://dev.azure.com/acme/shop/_git/deploy", "ssh://git@ssh.dev.azure.com/v3/acme/shop/deploy"]
    {
        let remote = fake.remote(Forge::AzureDevOps, url, "/acme");
        let found = fake.newest(&remote).await.unwrap().unwrap();
        assert_eq!(found.state, RequestState::Closed);
        assert!(found.url.ends_with("/acme/shop/_git/deploy/pullrequest/31"), "{}", found.url);
        let at = "/acme/shop/_apis/git/repositories/deploy/pullrequests";
        let lines = fake.lines();
        assert_eq!(lines[2], format!("GET {at}/31?api-version=7.1"), "the text in a list is cut off");
        let made = fake.bring(&remote, None).await.unwrap();
        let (bodies, asked) = (fake.bodies(), fake.asked.lock().unwrap()[0].clone());
        assert_eq!(asked.authorization, "Basic OmM0bjRyeQ==", "a token is the password of nobody");
        marked_last(&bodies, "description");
        assert_eq!(bodies[0]["sourceRefName"], format!("refs/heads/{BRANCH}"));
        assert_eq!(bodies[3]["autoCompleteSetBy"], json!({"id": "me-1"}));
        let one = format!("{at}/31");
        let lines = fake.lines();
        assert_eq!(
            lines[1..3],
            [
                format!("POST {one}/labels?api-version=7.1"),
                format!("PUT {one}/reviewers/kim?api-version=7.1"),
            ]
        );
        fake.close(&remote, &made).await.unwrap();
        assert_eq!(fake.bodies(), [json!({"status": "abandoned"})]);
        fake.lines();
    }
}
