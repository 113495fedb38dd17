//! The tags of a repository: all pages, or an error.
//!
//! Guarantees: `Link` is followed as it is, on the same origin only, never twice to the same place, for a bounded
//! number of pages and tags; one page that fails voids the whole listing; what cannot be a tag is left out and
//! counted; no tag comes twice.
//! Assumes: the caller sets a deadline around the whole.

use std::collections::BTreeSet;

use http::{HeaderMap, Method, StatusCode, header};
use lockkeeper_core::image::{Repository, Tag};
use serde_json::Value;
use url::Url;

use super::Session;
use super::error::{bad_answer, status};
use super::transport::{Ask, Reply, without_userinfo};
use crate::hosts::authority;
use crate::ports::RegistryError;

/// Tags asked for per page; halved for registries that refuse that many.
const PER_PAGE: u32 = 1000;
/// Below this the registry is asked without a number.
const FEWEST_PER_PAGE: u32 = 100;

/// All tags, in the order the registry gave them.
pub(super) async fn list(session: &Session, repository: &Repository) -> Result<Vec<String>, RegistryError> {
    let what = &format!("the tags of {repository}");
    let limits = &session.options;
    let mut found = Found::default();
    let mut page = first_page(session, repository, what).await?;
    let mut visited = BTreeSet::from([page.url.clone()]);
    loop {
        found.add(what, &page)?;
        if found.tags.len() > limits.tags {
            return Err(bad_answer(what, format!("there are more than {} of them", limits.tags)));
        }
        let Some(next) = next_page(what, session, repository, &page)? else { break };
        if visited.contains(&next) {
            return Err(bad_answer(what, format!("the pages of {} go in a circle", authority(&next))));
        }
        if visited.len() >= limits.pages {
            return Err(bad_answer(what, format!("they come in more than {} pages", limits.pages)));
        }
        visited.insert(next.clone());
        page = one_page(session, repository, what, next).await?;
        if page.status != StatusCode::OK {
            return Err(status(what, &page.url, page.status, &page.headers));
        }
    }
    if found.skipped > 0 {
        tracing::debug!(%repository, skipped = found.skipped, "the registry lists things that are no tags");
    }
    Ok(found.tags)
}

/// The first page, with as many tags as the registry gives.
async fn first_page(session: &Session, repository: &Repository, what: &str) -> Result<Reply, RegistryError> {
    let mut number = Some(PER_PAGE);
    loop {
        let mut url = session.url(repository, "tags/list")?;
        if let Some(number) = number {
            url.set_query(Some(&format!("n={number}")));
        }
        let page = one_page(session, repository, what, url).await?;
        match (page.status, number) {
            (StatusCode::OK, _) => return Ok(page),
            (StatusCode::BAD_REQUEST, Some(refused)) => {
                number = Some(refused / 2).filter(|fewer| *fewer >= FEWEST_PER_PAGE);
            }
            (other, _) => return Err(status(what, &page.url, other, &page.headers)),
        }
    }
}

async fn one_page(
    session: &Session,
    repository: &Repository,
    what: &str,
    url: Url,
) -> Result<Reply, RegistryError> {
    let cap = session.options.page_bytes;
    let ask = Ask { what, method: Method::GET, url, accept: "application/json", known: None, cap };
    session.ask(repository, &ask).await
}

#[derive(Default)]
struct Found {
    tags: Vec<String>,
    seen: BTreeSet<String>,
    skipped: usize,
}

impl Found {
    fn add(&mut self, what: &str, page: &Reply) -> Result<(), RegistryError> {
        let malformed = |why: &str| {
            bad_answer(what, format!("the answer of {} {why}; is this a registry?", authority(&page.url)))
        };
        // Bytes that are no UTF-8 spoil the tag they are in, not the page.
        let text = String::from_utf8_lossy(&page.body);
        let json: Value = serde_json::from_str(&text).map_err(|_| malformed("is not JSON"))?;
        let tags = match json.get("tags") {
            Some(Value::Array(tags)) => tags,
            // How Go writes an empty list.
            Some(Value::Null) => return Ok(()),
            _ => return Err(malformed("has no list of tags")),
        };
        for tag in tags {
            match tag.as_str().filter(|text| Tag::check(text).is_ok()) {
                Some(text) if !self.seen.contains(text) => {
                    self.seen.insert(text.to_owned());
                    self.tags.push(text.to_owned());
                }
                Some(_) => {}
                None => self.skipped += 1,
            }
        }
        Ok(())
    }
}

/// Where the next page is.
fn next_page(
    what: &str,
    session: &Session,
    repository: &Repository,
    page: &Reply,
) -> Result<Option<Url>, RegistryError> {
    let Some(link) = next_link(&page.headers) else { return Ok(None) };
    let host = authority(&page.url);
    let Ok(mut next) = page.url.join(&link) else {
        return Err(bad_answer(what, format!("the next page that {host} names has no address")));
    };
    without_userinfo(&mut next);
    next.set_fragment(None);
    // Not the origin of this page: it may have been redirected, and the token is the registry's.
    if next.origin() != session.url(repository, "")?.origin() {
        let why = format!("the next page that {host} names is on another host, {}", authority(&next));
        return Err(bad_answer(what, why));
    }
    repair(what, repository, page, &mut next)?;
    Ok(Some(next))
}

/// Artifactory names the next page of `prefix/app` as that of `app`; another repository's tags are an error. Paths
/// of another form are the registry's own affair.
fn repair(what: &str, repository: &Repository, page: &Reply, next: &mut Url) -> Result<(), RegistryError> {
    let Some(named) = next.path().strip_prefix("/v2/").and_then(|path| path.strip_suffix("/tags/list"))
    else {
        return Ok(());
    };
    if named == repository.path() {
        return Ok(());
    }
    let is_our_tail = repository.path().strip_suffix(named).is_some_and(|prefix| prefix.ends_with('/'));
    if !is_our_tail {
        let why = format!("the next page that {} names is of another repository", authority(&page.url));
        return Err(bad_answer(what, why));
    }
    next.set_path(&format!("/v2/{}/tags/list", repository.path()));
    Ok(())
}

/// The target of `rel=next` (RFC 8288), as it stands.
fn next_link(headers: &HeaderMap) -> Option<String> {
    for value in headers.get_all(header::LINK) {
        let mut rest = value.to_str().ok()?;
        while let Some((_, after)) = rest.split_once('<') {
            let (target, after) = after.split_once('>')?;
            let parameters = after.find('<').map_or(after, |end| &after[..end]);
            if parameters.split([';', ',']).any(is_next) {
                return Some(target.trim().to_owned());
            }
            rest = after;
        }
    }
    None
}

fn is_next(parameter: &str) -> bool {
    parameter.split_once('=').is_some_and(|(name, value)| {
        name.trim().eq_ignore_ascii_case("rel")
            && value
                .trim()
                .trim_matches('"')
                .split_ascii_whitespace()
                .any(|rel| rel.eq_ignore_ascii_case("next"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r8_the_forms_of_link() {
        for (value, target) in [
            ("</v2/a/tags/list?last=x&n=2>; rel=\"next\"", Some("/v2/a/tags/list?last=x&n=2")),
            ("<https://r/x?y=%2F>;rel=next", Some("https://r/x?y=%2F")),
            ("<prev>; rel=\"prev\", <n,e;x=t>; rel=\"next\"", Some("n,e;x=t")),
            ("<a>; title=\"rel=next\"", None),
            ("<a>; rel=\"first next\"", Some("a")),
            ("<a>; REL=Next", Some("a")),
            ("<a>; rel=nextish", None),
            ("<a", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(header::LINK, value.parse().unwrap())]);
            assert_eq!(next_link(&headers).as_deref(), target, "{value}");
        }
    }
}
