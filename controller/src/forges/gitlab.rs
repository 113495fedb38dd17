//! GitLab: <https://docs.gitlab.com/api/merge_requests/>.

use super::{Call, Done, Service, part, text};
use crate::ports::{
    forges::{Request, Wanted},
    git::GitError,
};
use futures::FutureExt as _;
use http::Method;
use lockkeeper_core::{
    git::{MergeMethod, RequestState, place_of},
    image::shown,
};
use serde_json::{Value, json};

/// See the module.
pub struct GitLab;

/// The project's requests. Where the interface has a path before it, the repository has it, too.
fn at(call: &Call<'_>) -> String {
    let (host, path) = place_of(&call.remote.url);
    let base = call.base.strip_suffix("/api/v4").unwrap_or(&call.base);
    let before =
        base.split_once("://").and_then(|(_, rest)| rest.strip_prefix(host.as_str())).unwrap_or_default();
    let skipped = before.split('/').filter(|part| !part.is_empty()).count();
    let project = path.get(skipped..).unwrap_or_default().join("/");
    format!("/projects/{}/merge_requests", part(&project))
}

fn read(value: &Value) -> Result<Request, GitError> {
    let state = match value["state"].as_str() {
        Some("opened" | "locked") => RequestState::Open,
        Some("merged") => RequestState::Merged,
        _ => RequestState::Closed,
    };
    Ok(Request {
        number: text(&value["iid"], "iid")?,
        id: String::new(),
        url: text(&value["web_url"], "web_url")?,
        state,
        text: value["description"].as_str().unwrap_or_default().to_owned(),
    })
}

/// The number by which GitLab knows a user.
async fn user(call: &Call<'_>, name: &str) -> Result<Value, GitError> {
    let found = call.get("/users", &[("username", name)]).await?;
    let id = &found[0]["id"];
    if id.is_null() {
        let message = format!("GitLab has no user {}; correct pullRequest.reviewers", shown(name));
        return Err(GitError { reason: "Failed", message });
    }
    Ok(id.clone())
}

impl Service for GitLab {
    fn base(&self, host: &str, _: &[&str]) -> String {
        format!("https://{host}/api/v4")
    }

    fn scheme(&self) -> super::Scheme {
        super::Scheme::Bearer
    }

    fn newest<'a>(&'a self, call: &'a Call<'a>, branch: &'a str) -> Done<'a, Option<Request>> {
        async move {
            let find = |state| {
                let query = [
                    ("state", state),
                    ("source_branch", branch),
                    ("target_branch", call.remote.branch.as_str()),
                    ("order_by", "created_at"),
                    ("sort", "desc"),
                    ("per_page", "1"),
                ];
                async move {
                    let found = call.get(&at(call), &query).await?;
                    found.as_array().ok_or_else(|| super::unread("list"))?.first().map(read).transpose()
                }
            };
            match find("opened").await? {
                Some(open) => Ok(Some(open)),
                None => find("all").await,
            }
        }
        .boxed()
    }

    fn open<'a>(&'a self, call: &'a Call<'a>, wanted: Wanted<'a>) -> Done<'a, Request> {
        async move {
            let Wanted { branch, title, text } = wanted;
            let into = &call.remote.branch;
            let body =
                json!({"source_branch": branch, "target_branch": into, "title": title, "description": text});
            read(&call.send(Method::POST, &at(call), body).await?)
        }
        .boxed()
    }

    fn dress<'a>(&'a self, call: &'a Call<'a>, request: &'a Request) -> Done<'a, ()> {
        async move {
            let (one, wanted) = (format!("{}/{}", at(call), request.number), call.wanted);
            let mut body = json!({});
            if !wanted.labels.is_empty() {
                body["add_labels"] = wanted.labels.join(",").into();
            }
            let mut reviewers = Vec::new();
            for name in &wanted.reviewers {
                reviewers.push(user(call, name).await?);
            }
            if !reviewers.is_empty() {
                body["reviewer_ids"] = reviewers.into();
            }
            if body.as_object().is_some_and(|body| !body.is_empty()) {
                call.send(Method::PUT, &one, body).await?;
            }
            let Some(method) = wanted.auto_merge else { return Ok(()) };
            // Whether commits are put on top of the branch is the project's setting.
            let squash = method == MergeMethod::Squash;
            let body = json!({"auto_merge": true, "merge_when_pipeline_succeeds": true, "squash": squash});
            call.send(Method::PUT, &format!("{one}/merge"), body).await.map(|_| ())
        }
        .boxed()
    }

    fn say<'a>(&'a self, call: &'a Call<'a>, request: &'a Request, wanted: Wanted<'a>) -> Done<'a, ()> {
        async move {
            let body = json!({"title": wanted.title, "description": wanted.text});
            call.send(Method::PUT, &format!("{}/{}", at(call), request.number), body).await.map(|_| ())
        }
        .boxed()
    }

    fn close<'a>(&'a self, call: &'a Call<'a>, request: &'a Request) -> Done<'a, ()> {
        async move {
            let body = json!({"state_event": "close"});
            call.send(Method::PUT, &format!("{}/{}", at(call), request.number), body).await.map(|_| ())
        }
        .boxed()
    }
}
