//! The tags of a repository: all pages, or an error.
//!
//! Guarantees: `Link` is followed as it is, on the same origin only, never twice to the same place, for a bounded
//! number of pages and tags; one page that fails voids the whole listing; what cannot be a tag is left out and
//! counted; a page with an `ETag` is not sent again while it is the same, and a listing of which no page changed is
//! the same piece of memory.
//! Assumes: the caller sets a deadline around the whole.

mod link;
mod page;

use std::collections::BTreeSet;
use std::sync::Arc;

use http::{HeaderValue, Method, StatusCode, header};
use lockkeeper_core::image::Repository;
use url::Url;

use super::Session;
use super::error::{bad_answer, status};
use super::transport::{Ask, Reply};
use crate::hosts::authority;
use crate::ports::{Listing, RegistryError};

/// Tags asked for per page; halved for registries that refuse that many.
const PER_PAGE: u32 = 1000;
/// Below this the registry is asked without a number.
const FEWEST_PER_PAGE: u32 = 100;
/// Longer `ETag`s are not repeated, in bytes.
const ETAG: usize = 256;

/// How many tags a full page has: what is asked for, and what registries give that do not heed that.
const FULL: [usize; 2] = [PER_PAGE as usize, 100];

/// A listing as it was, page by page.
#[derive(Debug)]
pub(super) struct Known {
    pages: Vec<Page>,
    listing: Listing,
}

#[derive(Clone, Debug)]
struct Page {
    /// As it was asked for.
    url: Url,
    etag: Option<HeaderValue>,
    next: Option<Url>,
    /// One tag a line; nothing where it is the only page, which is the listing.
    lines: Arc<str>,
    tags: usize,
}

/// All tags.
pub(super) async fn list(session: &Session, repository: &Repository) -> Result<Listing, RegistryError> {
    let what = &format!("the tags of {repository}");
    let walk = Walk { session, repository, what, before: session.listed(repository) };
    let known = walk.all().await?;
    let listing = known.listing.clone();
    session.keep_listing(repository, known);
    Ok(listing)
}

/// One listing under way.
struct Walk<'a> {
    session: &'a Session,
    repository: &'a Repository,
    what: &'a str,
    /// What is known of the last one.
    before: Option<Arc<Known>>,
}

/// A page, and whether it is the one that was known.
struct Read {
    page: Page,
    same: bool,
}

impl Walk<'_> {
    async fn all(&self) -> Result<Arc<Known>, RegistryError> {
        let limits = &self.session.options;
        let mut read = self.first().await?;
        let mut visited = BTreeSet::from([read.page.url.clone()]);
        let (mut pages, mut same, mut tags) = (Vec::new(), true, 0);
        loop {
            same &= read.same;
            tags += read.page.tags;
            if tags > limits.tags {
                return Err(self.refuse(format!("there are more than {} of them", limits.tags)));
            }
            let next = read.page.next.clone();
            pages.push(read.page);
            let Some(next) = next else { break };
            if visited.contains(&next) {
                return Err(self.refuse(format!("the pages of {} go in a circle", authority(&next))));
            }
            if visited.len() >= limits.pages {
                return Err(self.refuse(format!("they come in more than {} pages", limits.pages)));
            }
            visited.insert(next.clone());
            read = match self.ask(next).await? {
                Ok(read) => read,
                Err(reply) => return Err(status(self.what, &reply.url, reply.status, &reply.headers)),
            };
        }
        if let Some(before) = self.before.as_ref().filter(|before| same && before.pages.len() == pages.len())
        {
            return Ok(Arc::clone(before));
        }
        Ok(Arc::new(self.whole(pages)))
    }

    /// The listing that these pages make.
    fn whole(&self, mut pages: Vec<Page>) -> Known {
        let listing = Listing::new(pages.iter().flat_map(|page| page.lines.lines()));
        let listing = match &self.before {
            Some(before) if before.listing == listing => before.listing.clone(),
            _ => listing,
        };
        if let [only] = pages.as_mut_slice() {
            only.lines = "".into();
        }
        Known { pages, listing }
    }

    /// The first page, with as many tags as the registry gives.
    async fn first(&self) -> Result<Read, RegistryError> {
        let plain = self.session.url(self.repository, "tags/list")?;
        let asking_for = |number: Option<u32>| {
            let mut url = plain.clone();
            url.set_query(number.map(|number| format!("n={number}")).as_deref());
            url
        };
        let known = self.before.as_ref().and_then(|before| Some(before.pages.first()?.url.clone()));
        let (mut number, mut url) = (Some(PER_PAGE), known.unwrap_or_else(|| asking_for(Some(PER_PAGE))));
        loop {
            let reply = match self.ask(url).await? {
                Ok(read) => return Ok(read),
                Err(reply) => reply,
            };
            match (reply.status, number) {
                (StatusCode::BAD_REQUEST, Some(refused)) => {
                    number = Some(refused / 2).filter(|fewer| *fewer >= FEWEST_PER_PAGE);
                    url = asking_for(number);
                }
                (other, _) => return Err(status(self.what, &reply.url, other, &reply.headers)),
            }
        }
    }

    /// One page; the inner error is an answer that holds none.
    async fn ask(&self, url: Url) -> Result<Result<Read, Box<Reply>>, RegistryError> {
        let known =
            self.before.as_ref().and_then(|b| b.pages.iter().find(|p| p.url == url && p.etag.is_some()));
        let ask = Ask {
            what: self.what,
            method: Method::GET,
            url: url.clone(),
            accept: "application/json",
            known: known.and_then(|page| page.etag.clone()),
            sent: None,
            cap: self.session.options.page_bytes,
        };
        let reply = self.session.ask(self.repository, &ask).await?;
        match (reply.status, known) {
            (StatusCode::NOT_MODIFIED, Some(page)) => {
                // What follows a page may change while the page does not.
                let next = self.next_after(&reply)?.or_else(|| page.next.clone());
                let same = next == page.next;
                let lines = if same { Arc::clone(&page.lines) } else { self.lines_of(page) };
                Ok(Ok(Read { page: Page { next, lines, ..page.clone() }, same }))
            }
            (StatusCode::OK, _) => self.read(url, &reply).map(|page| Ok(Read { page, same: false })),
            _ => Ok(Err(Box::new(reply))),
        }
    }

    /// Of the only page the listing alone is kept.
    fn lines_of(&self, page: &Page) -> Arc<str> {
        match &self.before {
            Some(before) if before.pages.len() == 1 => {
                before.listing.iter().flat_map(|tag| [tag, "\n"]).collect::<String>().into()
            }
            _ => Arc::clone(&page.lines),
        }
    }

    fn read(&self, url: Url, reply: &Reply) -> Result<Page, RegistryError> {
        let tags = page::read(&reply.body).map_err(|_| {
            let host = authority(&reply.url);
            self.refuse(format!("the answer of {host} is no JSON with a list of tags; is this a registry?"))
        })?;
        if tags.skipped > 0 {
            tracing::debug!(repository = %self.repository, skipped = tags.skipped, "listed were things that are no tags");
        }
        let next = self.next_after(reply)?;
        // Of a full page that no other follows yet the same bytes would not tell that one follows now.
        let may_grow = next.is_none() && FULL.contains(&tags.count);
        let etag = reply.headers.get(header::ETAG).filter(|etag| etag.len() <= ETAG && !may_grow).cloned();
        Ok(Page { url, etag, next, lines: tags.lines.into(), tags: tags.count })
    }

    fn next_after(&self, reply: &Reply) -> Result<Option<Url>, RegistryError> {
        let registry = self.session.url(self.repository, "")?.origin();
        link::next_page(&reply.headers, &reply.url, &registry, self.repository)
            .map_err(|why| self.refuse(why))
    }

    fn refuse(&self, why: String) -> RegistryError {
        bad_answer(self.what, why)
    }
}
