//! GitHub and GitHub Enterprise Server: <https://docs.github.com/en/rest/pulls>, and its GraphQL for the merge by itself.

use super::{Call, Done, Service, owner_and_name, part, text};
use crate::ports::{
    forges::{Request, Wanted},
    git::GitError,
};
use futures::FutureExt as _;
use http::Method;
use lockkeeper_core::git::{MergeMethod, RequestState};
use serde_json::{Value, json};

/// See the module.
pub struct GitHub;

const MERGE: &str = "mutation($id: ID!, $method: PullRequestMergeMethod!) { enablePullRequestAutoMerge(input: \
    {pullRequestId: $id, mergeMethod: $method}) { clientMutationId } }";

fn at(call: &Call<'_>) -> String {
    let (owner, name) = owner_and_name(call.remote);
    format!("/repos/{}/{}", part(&owner), part(&name))
}

fn read(value: &Value) -> Result<Request, GitError> {
    let state = match (&value["merged_at"], value["state"].as_str()) {
        (Value::String(_), _) => RequestState::Merged,
        (_, Some("open")) => RequestState::Open,
        _ => RequestState::Closed,
    };
    Ok(Request {
        number: text(&value["number"], "number")?,
        id: text(&value["node_id"], "node_id")?,
        url: text(&value["html_url"], "html_url")?,
        state,
        text: value["body"].as_str().unwrap_or_default().to_owned(),
    })
}

/// It is merged as soon as it may be; where nothing stands in its way, now.
async fn merge(call: &Call<'_>, request: &Request, method: MergeMethod) -> Result<(), GitError> {
    let (word, now) = match method {
        MergeMethod::Merge => ("MERGE", "merge"),
        MergeMethod::Squash => ("SQUASH", "squash"),
        MergeMethod::Rebase => ("REBASE", "rebase"),
    };
    let base = match call.base.strip_suffix("/v3") {
        Some(enterprise) => enterprise.to_owned(),
        None => call.base.clone(),
    };
    let graph = Call { base, ..*call };
    let body = json!({"query": MERGE, "variables": {"id": request.id, "method": word}});
    let answer = graph.write(Method::POST, "/graphql", body).await?;
    let why = answer.words();
    if answer.accepted()?["errors"].is_null() {
        return Ok(());
    }
    if why.contains("clean status") {
        let body = json!({"merge_method": now});
        return call
            .send(Method::PUT, &format!("{}/pulls/{}/merge", at(call), request.number), body)
            .await
            .map(|_| ());
    }
    let fix = "allow auto-merge in the repository's settings, or remove autoMerge";
    Err(GitError { reason: "Failed", message: format!("GitHub does not merge by itself: {why}; {fix}") })
}

impl Service for GitHub {
    fn base(&self, host: &str, _: &[&str]) -> String {
        match host {
            "github.com" | "ssh.github.com" => "https://api.github.com".to_owned(),
            host => format!("https://{host}/api/v3"),
        }
    }

    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[("accept", "application/vnd.github+json"), ("x-github-api-version", "2022-11-28")]
    }

    fn newest<'a>(&'a self, call: &'a Call<'a>, branch: &'a str) -> Done<'a, Option<Request>> {
        async move {
            let head = format!("{}:{branch}", owner_and_name(call.remote).0);
            let find = |state| {
                let base = call.remote.branch.as_str();
                let query = [
                    ("state", state),
                    ("head", head.as_str()),
                    ("base", base),
                    ("sort", "created"),
                    ("direction", "desc"),
                    ("per_page", "1"),
                ];
                async move {
                    let found = call.get(&format!("{}/pulls", at(call)), &query).await?;
                    found.as_array().ok_or_else(|| super::unread("list"))?.first().map(read).transpose()
                }
            };
            // One that was opened again is older than one that was closed since.
            match find("open").await? {
                Some(open) => Ok(Some(open)),
                None => find("closed").await,
            }
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
                let (teams, people): (Vec<&String>, Vec<&String>) =
                    wanted.reviewers.iter().partition(|name| name.contains('/'));
                let teams: Vec<&str> =
                    teams.iter().filter_map(|team| Some(team.split_once('/')?.1)).collect();
                let body = json!({"reviewers": people, "team_reviewers": teams});
                call.send(Method::POST, &format!("{at}/pulls/{number}/requested_reviewers"), body).await?;
            }
            match wanted.auto_merge {
                Some(method) => merge(call, request, method).await,
                None => Ok(()),
            }
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
