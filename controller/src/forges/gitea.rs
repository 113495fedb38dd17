//! Gitea and Forgejo: <https://docs.gitea.com/api/>. Tried with Gitea 1.26.

use super::{Call, Done, Service, owner_and_name, part, text};
use crate::ports::{
    forges::{Request, Wanted},
    git::GitError,
};
use futures::FutureExt as _;
use http::Method;
use lockkeeper_core::git::{MergeMethod, RequestState};
use serde_json::{Value, json};

/// Requests on a page.
const PAGE: usize = 50;
/// Pages of open requests that are looked through.
const PAGES: usize = 10;

/// See the module.
pub struct Gitea;

fn at(call: &Call<'_>) -> String {
    let (owner, name) = owner_and_name(call.remote);
    format!("/repos/{}/{}", part(&owner), part(&name))
}

fn read(value: &Value) -> Result<Request, GitError> {
    let state = match (value["merged"].as_bool(), value["state"].as_str()) {
        (Some(true), _) => RequestState::Merged,
        (_, Some("open")) => RequestState::Open,
        _ => RequestState::Closed,
    };
    Ok(Request {
        number: text(&value["number"], "number")?,
        id: String::new(),
        url: text(&value["html_url"], "html_url")?,
        state,
        text: value["body"].as_str().unwrap_or_default().to_owned(),
    })
}

/// One page; the one from this branch of the same repository, and whether there are more.
async fn page(
    call: &Call<'_>,
    branch: &str,
    state: &str,
    number: usize,
) -> Result<(Option<Request>, bool), GitError> {
    let (limit, number, into) = (PAGE.to_string(), number.to_string(), call.remote.branch.as_str());
    let sort = if state == "closed" { "recentclose" } else { "recentupdate" };
    let query =
        [("state", state), ("sort", sort), ("base_branch", into), ("limit", &limit), ("page", &number)];
    let found = call.get(&format!("{}/pulls", at(call)), &query).await?;
    let all = found.as_array().ok_or_else(|| super::unread("list"))?;
    let mine = all.iter().find(|one| {
        one["head"]["ref"] == branch
            && one["base"]["ref"] == into
            && one["head"]["repo_id"] == one["base"]["repo_id"]
    });
    Ok((mine.map(read).transpose()?, all.len() >= PAGE))
}

impl Service for Gitea {
    fn base(&self, host: &str, _: &[&str]) -> String {
        format!("https://{host}/api/v1")
    }

    fn newest<'a>(&'a self, call: &'a Call<'a>, branch: &'a str) -> Done<'a, Option<Request>> {
        async move {
            for number in 1..=PAGES {
                let (found, more) = page(call, branch, "open", number).await?;
                if found.is_some() {
                    return Ok(found);
                }
                if !more {
                    break;
                }
            }
            Ok(page(call, branch, "closed", 1).await?.0)
        }
        .boxed()
    }

    fn open<'a>(&'a self, call: &'a Call<'a>, wanted: Wanted<'a>) -> Done<'a, Request> {
        async move {
            let Wanted { branch, title, text } = wanted;
            let body = json!({"title": title, "body": text, "head": branch, "base": call.remote.branch});
            read(&call.send(Method::POST, &format!("{}/pulls", at(call)), body).await?)
        }
        .boxed()
    }

    fn dress<'a>(&'a self, call: &'a Call<'a>, request: &'a Request) -> Done<'a, ()> {
        async move {
            let (at, number, wanted) = (at(call), &request.number, call.wanted);
            if !wanted.labels.is_empty() {
                let body = json!({"labels": wanted.labels});
                call.send(Method::POST, &format!("{at}/issues/{number}/labels"), body).await?;
            }
            if !wanted.reviewers.is_empty() {
                let body = json!({"reviewers": wanted.reviewers});
                call.send(Method::POST, &format!("{at}/pulls/{number}/requested_reviewers"), body).await?;
            }
            let Some(method) = wanted.auto_merge else { return Ok(()) };
            let way = match method {
                MergeMethod::Merge => "merge",
                MergeMethod::Squash => "squash",
                MergeMethod::Rebase => "rebase",
            };
            let body = json!({"Do": way, "merge_when_checks_succeed": true});
            let answer = call.write(Method::POST, &format!("{at}/pulls/{number}/merge"), body).await?;
            // It is to be merged by itself already, or was.
            if answer.status.as_u16() == 409 || answer.words().contains("already merged") {
                return Ok(());
            }
            answer.accepted().map(|_| ())
        }
        .boxed()
    }

    fn say<'a>(&'a self, call: &'a Call<'a>, request: &'a Request, wanted: Wanted<'a>) -> Done<'a, ()> {
        async move {
            let body = json!({"title": wanted.title, "body": wanted.text});
            call.send(Method::PATCH, &format!("{}/pulls/{}", at(call), request.number), body)
                .await
                .map(|_| ())
        }
        .boxed()
    }

    fn close<'a>(&'a self, call: &'a Call<'a>, request: &'a Request) -> Done<'a, ()> {
        async move {
            let body = json!({"state": "closed"});
            call.send(Method::PATCH, &format!("{}/pulls/{}", at(call), request.number), body)
                .await
                .map(|_| ())
        }
        .boxed()
    }
}
