//! Gitea's interface, as it answers where the tests of the bed do not go.

use super::*;

fn request(number: u64, branch: &str, state: &str, merged: bool) -> Value {
    json!({
        "number": number, "state": state, "merged": merged, "body": TEXT, "html_url": format!("https://git/pulls/{number}"),
        "head": {"ref": branch, "repo_id": 1}, "base": {"ref": "main", "repo_id": 1},
    })
}

#[tokio::test]
async fn the_open_one_is_found_on_any_page_and_else_the_one_that_was_closed_last() {
    let fake = Fake::with(|asked| {
        let mut foreign = request(7, BRANCH, "open", false);
        foreign["head"]["repo_id"] = json!(2);
        let page = if asked.line.contains("page=1") && asked.line.contains("state=open") {
            (0..50).map(|n| request(100 + n, "other", "open", false)).collect()
        } else if asked.line.contains("state=open") {
            vec![foreign]
        } else {
            vec![request(9, BRANCH, "closed", true), request(8, BRANCH, "closed", false)]
        };
        (200, Value::Array(page))
    })
    .await;
    let remote = fake.remote(Forge::Gitea, "https://git.example.com/a/b.git", "/api/v1");
    let found = fake.newest(&remote).await.unwrap().unwrap();
    assert_eq!((found.number.as_str(), found.state), ("9", RequestState::Merged));
    let at = "GET /api/v1/repos/a/b/pulls?state=";
    let lines = fake.lines();
    assert!(lines.len() == 3 && lines.iter().all(|line| line.starts_with(at)), "{lines:?}");
}

#[tokio::test]
async fn one_that_is_merged_by_itself_already_is_no_mistake() {
    let fake = Fake::with(|asked| match asked.line.as_str() {
        line if line.ends_with("/merge") => (409, json!({"message": "already scheduled"})),
        line if line.starts_with("POST") && line.ends_with("/pulls") => {
            (201, request(3, BRANCH, "open", false))
        }
        _ => (201, json!({})),
    })
    .await;
    let remote = fake.remote(Forge::Gitea, "https://git.example.com/a/b", "/api/v1");
    let made = fake.bring(&remote, None).await.unwrap();
    marked_last(&fake.bodies(), "body");
    assert_eq!(fake.bodies()[3], json!({"Do": "squash", "merge_when_checks_succeed": true}));
    fake.lines();
    fake.bring(&remote, Some(made)).await.unwrap();
    assert!(!fake.lines().iter().any(|line| line.ends_with("/pulls")), "it is not opened again");
}
