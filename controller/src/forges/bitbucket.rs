//! Bitbucket Cloud: <https://developer.atlassian.com/cloud/bitbucket/rest/api-group-pullrequests/>. It has no labels, and its
//! interface no merge by itself. Reviewers are named by account id or uuid.

use super::{Call, Done, Service, owner_and_name, part, text};
use crate::ports::{
    forges::{Request, Wanted},
    git::GitError,
};
use futures::FutureExt as _;
use http::Method;
use lockkeeper_core::git::RequestState;
use serde_json::{Value, json};

/// See the module.
pub struct Bitbucket;

fn at(call: &Call<'_>) -> String {
    let (owner, name) = owner_and_name(call.remote);
    format!("/repositories/{}/{}/pullrequests", part(&owner), part(&name))
}

fn read(value: &Value) -> Result<Request, GitError> {
    let state = match value["state"].as_str() {
        Some("OPEN") => RequestState::Open,
        Some("MERGED") => RequestState::Merged,
        _ => RequestState::Closed,
    };
    Ok(Request {
        number: text(&value["id"], "id")?,
        id: String::new(),
        url: text(&value["links"]["html"]["href"], "link")?,
        state,
        text: value["description"].as_str().unwrap_or_default().to_owned(),
    })
}

impl Service for Bitbucket {
    fn base(&self, _: &str, _: &[&str]) -> String {
        "https://api.bitbucket.org/2.0".to_owned()
    }

    fn newest<'a>(&'a self, call: &'a Call<'a>, branch: &'a str) -> Done<'a, Option<Request>> {
        async move {
            let from = format!("source.branch.name = \"{branch}\"");
            let from = format!("{from} AND destination.branch.name = \"{}\"", call.remote.branch);
            for states in [&["OPEN"][..], &["MERGED", "DECLINED", "SUPERSEDED"]] {
                let mut query = vec![("q", from.as_str()), ("sort", "-created_on"), ("pagelen", "1")];
                query.extend(states.iter().map(|state| ("state", *state)));
                let found = call.get(&at(call), &query).await?;
                let all = found["values"].as_array().ok_or_else(|| super::unread("list"))?;
                if let Some(one) = all.first() {
                    return read(one).map(Some);
                }
            }
            Ok(None)
        }
        .boxed()
    }

    fn open<'a>(&'a self, call: &'a Call<'a>, wanted: Wanted<'a>) -> Done<'a, Request> {
        async move {
            let Wanted { branch, title, text } = wanted;
            let named = |name: &str| json!({"branch": {"name": name}});
            let (from, into) = (named(branch), named(&call.remote.branch));
            let body = json!({"title": title, "description": text, "source": from, "destination": into});
            read(&call.send(Method::POST, &at(call), body).await?)
        }
        .boxed()
    }

    fn dress<'a>(&'a self, _: &'a Call<'a>, _: &'a Request) -> Done<'a, ()> {
        // Reviewers go with what it says: a request that is changed has those that are sent with it.
        async { Ok(()) }.boxed()
    }

    fn say<'a>(&'a self, call: &'a Call<'a>, request: &'a Request, wanted: Wanted<'a>) -> Done<'a, ()> {
        async move {
            let mut body = json!({"title": wanted.title, "description": wanted.text});
            let reviewer = |name: &String| {
                let key = if name.starts_with('{') { "uuid" } else { "account_id" };
                json!({key: name})
            };
            if !call.wanted.reviewers.is_empty() {
                body["reviewers"] = call.wanted.reviewers.iter().map(reviewer).collect();
            }
            call.send(Method::PUT, &format!("{}/{}", at(call), request.number), body).await.map(|_| ())
        }
        .boxed()
    }

    fn close<'a>(&'a self, call: &'a Call<'a>, request: &'a Request) -> Done<'a, ()> {
        async move {
            let path = format!("{}/{}/decline", at(call), request.number);
            call.send(Method::POST, &path, json!({})).await.map(|_| ())
        }
        .boxed()
    }
}
