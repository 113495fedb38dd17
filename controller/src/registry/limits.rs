//! How many requests a registry says are left, so that it is asked less before it refuses.
//!
//! Guarantees: while more than a quarter of what a registry allows is left nothing waits; below that what is left is
//! spread over the time until there is more, an hour per request at most; numbers that mean nothing are not heeded.
//! Known are Docker Hub's `ratelimit-limit: 100;w=21600` with `ratelimit-remaining`, the separate
//! `RateLimit-Limit`, `-Remaining` and `-Reset` of GitLab and older drafts of the IETF, with or without `X-`, and the
//! `RateLimit: "name";r=5;t=60` of newer ones.
//! May not: read a clock (it is told the time), or wait.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;
use url::Url;

use super::lru::Lru;
use crate::ports::Counted;

/// Hosts of one access that are remembered.
const HOSTS: usize = 64;
/// The longest wait for one request.
const LONGEST: Duration = Duration::from_hours(1);
/// Over how long what is left is spread where a registry does not say when there is more.
const UNTOLD: Duration = Duration::from_mins(1);
/// The longest header that is read, in bytes.
const LONGEST_TEXT: usize = 512;

/// What is left at the hosts that one access asks.
#[derive(Debug)]
pub(super) struct Limits(Mutex<Lru<(String, Counted), Left>>);

/// What a registry said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Left {
    remaining: u64,
    /// None: it does not say how many there are in all.
    limit: Option<u64>,
    /// When there are more again.
    more_at: Instant,
    told: Instant,
}

impl Default for Limits {
    fn default() -> Self {
        Self(Mutex::new(Lru::new(HOSTS)))
    }
}

/// What a request counts as.
fn counted(url: &Url) -> Counted {
    if url.path().ends_with("/tags/list") { Counted::Listings } else { Counted::Manifests }
}

impl Limits {
    /// Takes in what an answer says.
    pub(super) fn heed(&self, host: &str, url: &Url, headers: &HeaderMap, now: Instant) {
        let Some(left) = read(headers, now) else { return };
        let mut limits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        limits.insert((host.to_owned(), counted(url)), left);
    }

    /// How long to wait before the next request.
    pub(super) fn ease(&self, host: &str, counted: Counted, now: Instant) -> Option<Duration> {
        let mut limits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        limits.get(&(host.to_owned(), counted))?.ease(now)
    }
}

impl Left {
    fn ease(&self, now: Instant) -> Option<Duration> {
        let plenty = self.limit.map_or(self.remaining > 10, |limit| self.remaining > limit / 4);
        if plenty || now >= self.more_at {
            return None;
        }
        let gap =
            self.more_at.duration_since(self.told) / u32::try_from(self.remaining.max(1)).unwrap_or(u32::MAX);
        let wait = if self.remaining == 0 { self.more_at.duration_since(now) } else { gap };
        Some(wait.min(LONGEST))
    }
}

fn read(headers: &HeaderMap, now: Instant) -> Option<Left> {
    let header = |name: &str| {
        let value = headers.get(name).or_else(|| headers.get(format!("x-{name}")))?;
        value.to_str().ok().filter(|text| text.len() <= LONGEST_TEXT)
    };
    let left = |remaining, limit, seconds: Option<u64>| {
        let lasts = seconds.map_or(UNTOLD, Duration::from_secs).min(Duration::from_hours(24));
        Left { remaining, limit, more_at: now + lasts, told: now }
    };
    if let Some(remaining) = header("ratelimit-remaining").and_then(Quantity::parse) {
        let limit = header("ratelimit-limit").and_then(Quantity::parse);
        let window = limit.as_ref().and_then(|l| l.parameter("w")).or_else(|| remaining.parameter("w"));
        // Seconds from now; GitHub and others write the time since 1970, which is not to be mixed up with that.
        let reset = header("ratelimit-reset").and_then(Quantity::parse).map(|reset| reset.number);
        let reset = reset.filter(|seconds| *seconds < 1_000_000_000);
        return Some(left(remaining.number, limit.map(|l| l.number), reset.or(window)));
    }
    let items = header("ratelimit")?.split(',').filter_map(|item| {
        let item = Quantity::parameters(item);
        Some((*item.get("r")?, item.get("t").copied()))
    });
    let (remaining, seconds) = items.min()?;
    Some(left(remaining, None, seconds))
}

/// `100;w=21600`.
struct Quantity {
    number: u64,
    parameters: BTreeMap<String, u64>,
}

impl Quantity {
    /// Of a list, as `100, 100;w=60`, the first one.
    fn parse(text: &str) -> Option<Self> {
        let first = text.split(',').next()?;
        let number = first.split(';').next()?.trim().parse().ok()?;
        // The window of the first one may stand in the next.
        Some(Self { number, parameters: Self::parameters(text) })
    }

    fn parameters(text: &str) -> BTreeMap<String, u64> {
        let pairs = text.split([';', ',']).filter_map(|part| part.split_once('='));
        pairs.filter_map(|(name, value)| Some((name.trim().to_owned(), value.trim().parse().ok()?))).collect()
    }

    fn parameter(&self, name: &str) -> Option<u64> {
        self.parameters.get(name).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(headers: &[(&str, &str)], after: u64) -> Option<u64> {
        let now = Instant::now();
        let headers = headers.iter().map(|(name, value)| {
            (name.parse::<http::HeaderName>().unwrap(), value.parse::<http::HeaderValue>().unwrap())
        });
        let later = now + Duration::from_secs(after);
        read(&headers.collect(), now)?.ease(later).map(|wait| wait.as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_is_spread_over_the_time_until_there_is_more() {
        let hub = |left| [("ratelimit-limit", "100;w=21600"), ("ratelimit-remaining", left)];
        for (headers, wait) in [
            (&hub("76;w=21600")[..], None),
            (&hub("26;w=21600"), None),
            (&hub("25;w=21600"), Some(864)),
            (&hub("1;w=21600"), Some(3600)),
            (&hub("0;w=21600"), Some(3600)),
            (&[("RateLimit-Limit", "60"), ("RateLimit-Remaining", "5"), ("RateLimit-Reset", "30")], Some(6)),
            (
                &[("X-RateLimit-Limit", "60"), ("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "30")],
                Some(30),
            ),
            // A time since 1970.
            (&[("X-RateLimit-Remaining", "6"), ("X-RateLimit-Reset", "1795000000")], Some(10)),
            (&[("ratelimit", "\"burst\";r=50;t=1, \"day\";r=4;t=100")], Some(25)),
            (&[("ratelimit", "\"default\";r=500;t=100")], None),
            (&[("ratelimit-remaining", "soon")], None),
            (&[("ratelimit-remaining", "-1")], None),
            (&[("ratelimit-remaining", "99999999999999999999999")], None),
            (&[], None),
        ] {
            assert_eq!(waits(headers, 0), wait, "{headers:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn when_there_is_more_again_nothing_waits() {
        let headers = [("ratelimit-limit", "60"), ("ratelimit-remaining", "0"), ("ratelimit-reset", "30")];
        assert_eq!((waits(&headers, 10), waits(&headers, 30)), (Some(20), None));
    }

    #[tokio::test(start_paused = true)]
    async fn listings_and_manifests_are_counted_apart() {
        let (limits, now) = (Limits::default(), Instant::now());
        let headers = HeaderMap::from_iter([
            ("ratelimit-limit".parse().unwrap(), "100;w=21600".parse().unwrap()),
            ("ratelimit-remaining".parse::<http::HeaderName>().unwrap(), "0".parse().unwrap()),
        ]);
        let url: Url = "https://registry-1.docker.io/v2/library/nginx/manifests/1".parse().unwrap();
        limits.heed("registry-1.docker.io", &url, &headers, now);
        assert!(limits.ease("registry-1.docker.io", Counted::Manifests, now).is_some());
        assert!(limits.ease("registry-1.docker.io", Counted::Listings, now).is_none());
        assert!(limits.ease("ghcr.io", Counted::Manifests, now).is_none());
    }
}
