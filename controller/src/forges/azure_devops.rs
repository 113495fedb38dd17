//! Azure DevOps: <https://learn.microsoft.com/en-us/rest/api/azure/devops/git/pull-requests>. Reviewers are named by their ids.

use super::{Call, Done, Service, part, text};
use crate::ports::{
    forges::{Request, Wanted},
    git::GitError,
};
use futures::FutureExt as _;
use http::Method;
use lockkeeper_core::git::{MergeMethod, RequestState, place_of};
use serde_json::{Value, json};

/// See the module.
pub struct AzureDevOps;

const VERSION: &str = "api-version=7.1";

/// Project and repository of `…/organization/project/_git/repository`, or of `v3/organization/project/repository` over ssh.
fn project(call: &Call<'_>) -> (String, String) {
    let (_, path) = place_of(&call.remote.url);
    let mut last = path.iter().rev().filter(|part| **part != "_git");
    let name = last.next().copied().unwrap_or_default();
    (part(last.next().copied().unwrap_or_default()), part(name))
}

fn at(call: &Call<'_>) -> String {
    let (project, name) = project(call);
    format!("/{project}/_apis/git/repositories/{name}/pullrequests")
}

fn read(call: &Call<'_>, value: &Value) -> Result<Request, GitError> {
    let number = text(&value["pullRequestId"], "pullRequestId")?;
    let state = match value["status"].as_str() {
        Some("active" | "notSet") => RequestState::Open,
        Some("completed") => RequestState::Merged,
        _ => RequestState::Closed,
    };
    let (project, name) = project(call);
    Ok(Request {
        url: format!("{}/{project}/_git/{name}/pullrequest/{number}", call.base),
        number,
        id: value["createdBy"]["id"].as_str().unwrap_or_default().to_owned(),
        state,
        text: value["description"].as_str().unwrap_or_default().to_owned(),
    })
}

impl Service for AzureDevOps {
    fn base(&self, _: &str, path: &[&str]) -> String {
        let organization = path.iter().find(|part| **part != "v3").copied().unwrap_or_default();
        format!("https://dev.azure.com/{}", part(organization))
    }

    fn scheme(&self) -> super::Scheme {
        super::Scheme::Password
    }

    fn newest<'a>(&'a self, call: &'a Call<'a>, branch: &'a str) -> Done<'a, Option<Request>> {
        async move {
            let (from, into) = (format!("refs/heads/{branch}"), format!("refs/heads/{}", call.remote.branch));
            for status in ["active", "all"] {
                let query = [
                    ("searchCriteria.status", status),
                    ("searchCriteria.sourceRefName", &from),
                    ("searchCriteria.targetRefName", &into),
                    ("$top", "1"),
                    ("api-version", "7.1"),
                ];
                let found = call.get(&at(call), &query).await?;
                let all = found["value"].as_array().ok_or_else(|| super::unread("list"))?;
                if let Some(one) = all.first() {
                    // Of a list its text is cut off.
                    let path = format!("{}/{}", at(call), text(&one["pullRequestId"], "pullRequestId")?);
                    let whole = call.get(&path, &[("api-version", "7.1")]).await?;
                    return read(call, &whole).map(Some);
                }
            }
            Ok(None)
        }
        .boxed()
    }

    fn open<'a>(&'a self, call: &'a Call<'a>, wanted: Wanted<'a>) -> Done<'a, Request> {
        async move {
            let Wanted { branch, title, text } = wanted;
            let (from, into) = (format!("refs/heads/{branch}"), format!("refs/heads/{}", call.remote.branch));
            let body =
                json!({"sourceRefName": from, "targetRefName": into, "title": title, "description": text});
            let made = call.send(Method::POST, &format!("{}?{VERSION}", at(call)), body).await?;
            read(call, &made)
        }
        .boxed()
    }

    fn dress<'a>(&'a self, call: &'a Call<'a>, request: &'a Request) -> Done<'a, ()> {
        async move {
            let one = format!("{}/{}", at(call), request.number);
            for label in &call.wanted.labels {
                call.send(Method::POST, &format!("{one}/labels?{VERSION}"), json!({"name": label})).await?;
            }
            for reviewer in &call.wanted.reviewers {
                let path = format!("{one}/reviewers/{}?{VERSION}", part(reviewer));
                call.send(Method::PUT, &path, json!({"vote": 0})).await?;
            }
            let Some(method) = call.wanted.auto_merge else { return Ok(()) };
            let strategy = match method {
                MergeMethod::Merge => "noFastForward",
                MergeMethod::Squash => "squash",
                MergeMethod::Rebase => "rebase",
            };
            let body = json!({
                "autoCompleteSetBy": {"id": request.id}, "completionOptions": {"mergeStrategy": strategy},
            });
            call.send(Method::PATCH, &format!("{one}?{VERSION}"), body).await.map(|_| ())
        }
        .boxed()
    }

    fn say<'a>(&'a self, call: &'a Call<'a>, request: &'a Request, wanted: Wanted<'a>) -> Done<'a, ()> {
        async move {
            let body = json!({"title": wanted.title, "description": wanted.text});
            let path = format!("{}/{}?{VERSION}", at(call), request.number);
            call.send(Method::PATCH, &path, body).await.map(|_| ())
        }
        .boxed()
    }

    fn close<'a>(&'a self, call: &'a Call<'a>, request: &'a Request) -> Done<'a, ()> {
        async move {
            let path = format!("{}/{}?{VERSION}", at(call), request.number);
            call.send(Method::PATCH, &path, json!({"status": "abandoned"})).await.map(|_| ())
        }
        .boxed()
    }
}
