//! Where the next page of a listing is.
//!
//! Guarantees: the address is taken as it is, on the registry's own origin only; one broken form is repaired, any
//! other that names another repository is refused. Pure: no I/O.

use http::{HeaderMap, header};
use lockkeeper_core::image::Repository;
use url::{Origin, Url};

use super::super::transport::without_userinfo;
use crate::hosts::authority;

/// The page after the one at `page`, whose headers these are; none: it was the last.
///
/// # Errors
/// Why the one that is named is not followed, for people.
pub(super) fn next_page(
    headers: &HeaderMap,
    page: &Url,
    registry: &Origin,
    repository: &Repository,
) -> Result<Option<Url>, String> {
    let Some(link) = next_link(headers) else { return Ok(None) };
    let host = authority(page);
    let Ok(mut next) = page.join(&link) else {
        return Err(format!("the next page that {host} names has no address"));
    };
    without_userinfo(&mut next);
    next.set_fragment(None);
    // Not the origin of this page: it may have been redirected, and the token is the registry's.
    if next.origin() != *registry {
        return Err(format!("the next page that {host} names is on another host, {}", authority(&next)));
    }
    repair(&host, repository, &mut next)?;
    Ok(Some(next))
}

/// Artifactory names the next page of `prefix/app` as that of `app`; another repository's tags are an error. Paths
/// of another form are the registry's own affair.
fn repair(host: &str, repository: &Repository, next: &mut Url) -> Result<(), String> {
    let Some(named) = next.path().strip_prefix("/v2/").and_then(|path| path.strip_suffix("/tags/list"))
    else {
        return Ok(());
    };
    if named == repository.path() {
        return Ok(());
    }
    let is_our_tail = repository.path().strip_suffix(named).is_some_and(|prefix| prefix.ends_with('/'));
    if !is_our_tail {
        return Err(format!("the next page that {host} names is of another repository"));
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
