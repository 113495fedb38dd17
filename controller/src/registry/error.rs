//! Errors of the registry client: what was wanted, what happened, what to do.
//!
//! Guarantees: no message holds a credential, a token, a query string, a header or a body of an answer; each is
//! bounded.

use std::error::Error;
use std::io;
use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use lockkeeper_core::image::shown;
use url::Url;

use crate::hosts::{HostDenied, HostKind, authority};
use crate::ports::RegistryError;

/// Shortest and longest time a registry may ask to be left alone for.
const SHORTEST_WAIT: SignedDuration = SignedDuration::from_secs(1);
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(1);

/// `what` is what was wanted (`the tags of ghcr.io/a/b`); `why` what happened and what to do.
pub(super) fn error(reason: &'static str, what: &str, why: impl std::fmt::Display) -> RegistryError {
    RegistryError { reason, message: format!("cannot read {what}: {why}"), retry_after: None }
}

pub(super) fn auth_failed(what: &str, why: impl std::fmt::Display) -> RegistryError {
    error("AuthFailed", what, why)
}

pub(super) fn bad_answer(what: &str, why: impl std::fmt::Display) -> RegistryError {
    error("BadAnswer", what, why)
}

pub(super) fn not_found(what: &str, why: impl std::fmt::Display) -> RegistryError {
    error("NotFound", what, why)
}

pub(super) fn host_denied(what: &str, denied: &HostDenied) -> RegistryError {
    error("HostDenied", what, denied)
}

/// Plain HTTP is spoken only to hosts that the installation lists.
pub(super) fn plain_http_denied(what: &str, url: &Url) -> RegistryError {
    let host = authority(url);
    let why = format!(
        "plain HTTP to {host} needs the installation's consent; add --allow-host {host} to the controller's flags, \
         or leave out spec.registry.insecure to use TLS"
    );
    error("HostDenied", what, why)
}

/// Through a proxy nobody here knows where a name leads, and a credential goes to public or listed hosts only.
pub(super) fn unknown_behind_proxy(what: &str, url: &Url) -> RegistryError {
    let host = authority(url);
    let why = format!(
        "{host} is reached through a proxy, so that its address is not known here; add --allow-host {host} to the \
         controller's flags if it may have the credential"
    );
    error("HostDenied", what, why)
}

/// A host that mostly failed is not asked for a while.
pub(super) fn left_alone(what: &str, host: &str, pause: Duration) -> RegistryError {
    let why = format!(
        "most of the last requests to {host} failed, so it is left alone for a while; nothing to do here if it recovers"
    );
    let retry_after = SignedDuration::try_from(pause).ok();
    RegistryError { retry_after, ..error("Unreachable", what, why) }
}

pub(super) fn too_slow(what: &str, url: &Url, limit: Duration) -> RegistryError {
    let seconds = limit.as_secs_f32();
    error("Unreachable", what, format!("{} did not finish its answer within {seconds} s", authority(url)))
}

/// An answer whose status says that there is nothing to use in it.
pub(super) fn status(what: &str, url: &Url, status: StatusCode, headers: &HeaderMap) -> RegistryError {
    let answered = format!("{} answered {}", authority(url), status.as_u16());
    let failed = match status {
        StatusCode::TOO_MANY_REQUESTS => error(
            "Throttled",
            what,
            format!("{answered} (too many requests); a credential often raises the limit"),
        ),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => auth_failed(
            what,
            format!("{answered}; check that the repository exists and that the credential may read it"),
        ),
        StatusCode::NOT_FOUND => {
            not_found(what, format!("{answered}; check the repository's name, or whether it was deleted"))
        }
        status if status.is_server_error() => {
            error("Unreachable", what, format!("{answered}; nothing to do here if it passes"))
        }
        _ => bad_answer(what, format!("{answered}; is this a registry?")),
    };
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            RegistryError { retry_after: retry_after(headers, Timestamp::now()), ..failed }
        }
        _ => failed,
    }
}

/// `Retry-After`, in seconds or as a date, within bounds; none if there is none or it means nothing.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<SignedDuration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit mean for ever.
        text.parse().map_or(LONGEST_WAIT, SignedDuration::from_secs)
    } else {
        let date = jiff::fmt::rfc2822::parse(text).ok()?;
        date.timestamp().duration_since(now)
    };
    Some(wait.clamp(SHORTEST_WAIT, LONGEST_WAIT))
}

/// A request that got no whole answer.
pub(super) fn transport(what: &str, url: &Url, failed: &reqwest::Error) -> RegistryError {
    let host = authority(url);
    if let Some(denied) = cause::<HostDenied>(failed) {
        // The resolver knows the name only.
        return host_denied(what, &HostDenied { kind: HostKind::Registry, host, why: denied.why.clone() });
    }
    if let Some(tls) = cause::<rustls::Error>(failed) {
        return tls_error(what, &host, tls);
    }
    let detail = shown(&deepest(failed).to_string());
    let why = if failed.is_timeout() {
        format!("{host} did not answer in time")
    } else if failed.is_dns() {
        format!("the name {host} cannot be resolved ({detail}); check it and the cluster's DNS")
    } else if failed.is_connect() {
        format!("{host} cannot be connected to ({detail}); check host, port and network policies")
    } else {
        format!("the answer of {host} broke off or is no HTTP ({detail})")
    };
    error("Unreachable", what, why)
}

fn tls_error(what: &str, host: &str, failed: &rustls::Error) -> RegistryError {
    let detail = shown(&failed.to_string());
    match failed {
        rustls::Error::InvalidCertificate(_) => error(
            "TLSUntrusted",
            what,
            format!(
                "the certificate of {host} is not trusted ({detail}); renew it, or add its authority to those that \
                 the controller trusts"
            ),
        ),
        _ => error(
            "Unreachable",
            what,
            format!("{host} does not speak TLS as it should ({detail}); check host and port"),
        ),
    }
}

/// The first cause of this type. An `io::Error` hides what it wraps from `source`.
fn cause<'a, E: Error + 'static>(failed: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(failed);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

/// The innermost cause: the outer ones repeat URLs.
fn deepest<'a>(failed: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut last = failed;
    while let Some(next) = last.source() {
        last = next;
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(text: &str) -> Option<i64> {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let headers = HeaderMap::from_iter([(header::RETRY_AFTER, text.parse().unwrap())]);
        retry_after(&headers, now).map(|wait| wait.as_secs())
    }

    #[test]
    fn r1_retry_after_in_both_forms_is_clamped() {
        for (text, seconds) in [
            ("0", Some(1)),
            ("7", Some(7)),
            (" 120 ", Some(120)),
            ("3601", Some(3600)),
            ("315360000", Some(3600)),
            ("99999999999999999999999999", Some(3600)),
            ("Sun, 22 Nov 2026 12:01:30 GMT", Some(90)),
            ("Sun, 22 Nov 2026 11:00:00 GMT", Some(1)),
            ("Sat, 22 Nov 2036 12:00:00 GMT", Some(3600)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(1)),
            ("-5", None),
            ("soon", None),
            ("", None),
            ("1.5", None),
        ] {
            assert_eq!(wait(text), seconds, "{text}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), Timestamp::UNIX_EPOCH), None);
    }
}
