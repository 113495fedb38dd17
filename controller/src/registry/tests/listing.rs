//! Listings of tags.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use lockkeeper_core::image::Digest;
use serde_json::{Value, json};

use super::support::*;
use crate::ports::{Counted, Registry as _, RegistryAccess, RegistryError};
use crate::registry::Options;

const LIST: &str = "/v2/team/app/tags/list";

fn page(tags: &Value, next: Option<&str>) -> axum::response::Response {
    let body = json!({"name": "team/app", "tags": tags}).to_string();
    match next {
        Some(next) => respond(200, &[("link", next)], body),
        None => respond(200, &[], body),
    }
}

async fn tags_of(fake: &Fake) -> Result<Vec<String>, RegistryError> {
    let listing = client(&[fake]).tags(&anonymous(), &fake.repository("team/app")).await;
    listing.map(|listing| texts(&listing))
}

/// One page with this body.
async fn tags_in(body: impl Into<Bytes>) -> Result<Vec<String>, RegistryError> {
    let body = body.into();
    let fake = Fake::start(REGISTRY, move |_| respond(200, &[], body.clone())).await;
    tags_of(&fake).await
}

#[tokio::test]
async fn r8_links_are_followed_as_they_are() {
    let fake = Fake::start(REGISTRY, |asked| match asked.uri.as_str() {
        "/v2/team/app/tags/list?n=1000" => {
            page(&json!(["a"]), Some("</v2/team/app/tags/list?n=7&last=%61>; rel=\"next\""))
        }
        "/v2/team/app/tags/list?n=7&last=%61" => page(&json!(["b"]), Some("<?cursor=Zm9v%2Fcg==>; rel=next")),
        "/v2/team/app/tags/list?cursor=Zm9v%2Fcg==" => {
            let host = asked.headers["host"].to_str().unwrap();
            page(&json!(["c"]), Some(&format!("<http://{host}/opaque/9f?x>; rel=\"next\"")))
        }
        "/opaque/9f?x" => page(&json!(["d"]), None),
        other => panic!("{other}"),
    })
    .await;
    assert_eq!(tags_of(&fake).await.unwrap(), ["a", "b", "c", "d"]);
}

#[tokio::test]
async fn r8_links_in_a_circle_or_without_end_are_errors() {
    let circle = Fake::start(REGISTRY, |asked| {
        let next = if asked.uri.contains("last=a") { "b" } else { "a" };
        page(&json!(["x"]), Some(&format!("<{LIST}?last={next}>; rel=next")))
    })
    .await;
    let failed = tags_of(&circle).await.unwrap_err();
    assert!(failed.reason == "BadAnswer" && failed.message.contains("circle"), "{failed}");
    assert_eq!(circle.log().len(), 3);

    let endless = Fake::start(REGISTRY, |asked| {
        let at: u32 = asked.uri.rsplit('=').next().unwrap().parse().unwrap();
        page(&json!([format!("t{at}")]), Some(&format!("<{LIST}?last={}>; rel=next", at + 1)))
    })
    .await;
    for (options, part) in [
        (Options { pages: 5, ..Options::default() }, "more than 5 pages"),
        (Options { tags: 4, ..Options::default() }, "more than 4 of them"),
    ] {
        let client = client_with(&[&endless], options);
        let failed = client.tags(&anonymous(), &endless.repository("team/app")).await.unwrap_err();
        assert!(failed.reason == "BadAnswer" && failed.message.contains(part), "{failed}");
    }
    assert_eq!(endless.log().len(), 10);
}

#[tokio::test]
async fn r8_links_to_other_hosts_are_refused() {
    let canary = Fake::start(CANARY, |_| page(&json!(["evil"]), None)).await;
    let at = canary.at;
    for link in [format!("<http://{at}{LIST}?n=1>; rel=next"), format!("<//{at}{LIST}>; rel=next")] {
        let fake = Fake::start(REGISTRY, move |_| page(&json!(["a"]), Some(&link))).await;
        // Even if both may be dialled.
        let failed =
            client(&[&fake, &canary]).tags(&anonymous(), &fake.repository("team/app")).await.unwrap_err();
        assert!(failed.reason == "BadAnswer" && failed.message.contains("another host"), "{failed}");
    }
    assert_eq!(canary.log().len(), 0);
}

#[tokio::test]
async fn r9_fewer_tags_are_asked_for_when_many_are_refused() {
    for (most, last) in [(1000, "n=1000"), (999, "n=500"), (125, "n=125"), (1, "")] {
        let fake = Fake::start(REGISTRY, move |asked| {
            let number = asked.uri.split("n=").nth(1).map(|n| n.parse::<u32>().unwrap());
            if number.is_some_and(|number| number > most) {
                respond(400, &[], "")
            } else {
                page(&json!(["a"]), None)
            }
        })
        .await;
        assert_eq!(tags_of(&fake).await.unwrap(), ["a"]);
        assert_eq!(fake.log().last().unwrap().uri.split('?').nth(1).unwrap_or_default(), last);
    }
    let never = Fake::start(REGISTRY, |_| respond(400, &[], "")).await;
    assert_eq!(tags_of(&never).await.unwrap_err().reason, "BadAnswer");
    assert_eq!(never.log().len(), 5);
}

#[tokio::test]
async fn r10_one_page_that_fails_voids_the_listing() {
    for status in [400, 404, 405, 429, 500, 503] {
        let fake = Fake::start(REGISTRY, move |asked| {
            let at: u32 = asked.uri.split("last=").nth(1).map_or(1, |n| n.parse().unwrap());
            if at == 7 {
                return respond(status, &[("retry-after", "9")], "");
            }
            let next = (at < 20).then(|| format!("<{LIST}?last={}>; rel=next", at + 1));
            page(&json!([format!("t{at}")]), next.as_deref())
        })
        .await;
        let failed = tags_of(&fake).await.unwrap_err();
        assert_eq!(fake.log().len(), 7, "{failed}");
        let waits = matches!(status, 429 | 503).then(|| jiff::SignedDuration::from_secs(9));
        assert_eq!(failed.retry_after, waits, "{failed}");
    }
}

#[tokio::test]
async fn r11_all_pages_are_read_in_whatever_order() {
    let fake = Fake::start(REGISTRY, |asked| {
        let at: usize = asked.uri.split("last=").nth(1).map_or(0, |n| n.parse().unwrap());
        let tags: Vec<String> = (at * 1000..(at + 1) * 1000).map(|n| format!("v{}", 99_999 - n)).collect();
        let next = (at < 99).then(|| format!("<{LIST}?last={}>; rel=next", at + 1));
        page(&json!(tags), next.as_deref())
    })
    .await;
    let tags = tags_of(&fake).await.unwrap();
    assert_eq!((tags.len(), tags[0].as_str(), tags[99_999].as_str()), (100_000, "v0", "v99999"));
}

#[tokio::test]
async fn r12_a_next_page_without_the_prefix_is_repaired() {
    let fake = Fake::start(REGISTRY, |asked| match asked.uri.as_str() {
        "/v2/team/app/tags/list?n=1000" => page(&json!(["a"]), Some("</v2/app/tags/list?last=a>; rel=next")),
        "/v2/team/app/tags/list?last=a" => page(&json!(["b"]), None),
        other => panic!("{other}"),
    })
    .await;
    assert_eq!(tags_of(&fake).await.unwrap(), ["a", "b"]);

    for other in ["p", "pp", "team/other", "other/team/app", "eam/app"] {
        let link = format!("</v2/{other}/tags/list?last=a>; rel=next");
        let fake = Fake::start(REGISTRY, move |_| page(&json!(["a"]), Some(&link))).await;
        let failed = tags_of(&fake).await.unwrap_err();
        assert!(failed.message.contains("another repository"), "{other}: {failed}");
        assert_eq!(fake.log().len(), 1);
    }
}

#[tokio::test]
async fn row_29_what_cannot_be_a_tag_is_left_out() {
    let long = "x".repeat(129);
    let body = json!({"tags": ["1.0", null, 7, {}, ["x"], "", "a b", "a\r\nb", ".x", "é", long, true, "1.0", "2.0"]});
    assert_eq!(tags_in(body.to_string()).await.unwrap(), ["1.0", "2.0"]);
    assert_eq!(tags_in(&b"{\"tags\": [\"a\", \"b\xff\xfe\", \"c\"]}"[..]).await.unwrap(), ["a", "c"]);
}

#[tokio::test]
async fn row_29_ten_megabytes_are_too_many() {
    let failed = tags_in(json!({"tags": ["x".repeat(10_000_000)]}).to_string()).await.unwrap_err();
    assert!(failed.reason == "BadAnswer" && failed.message.contains("longer than"), "{failed}");
    assert!(failed.message.len() < 300, "{failed}");
}

#[tokio::test]
async fn row_30_null_is_an_empty_list() {
    assert_eq!(tags_in("{\"tags\": null}").await.unwrap(), [""; 0]);
    assert_eq!(tags_in("{\"tags\": []}").await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn an_answer_of_another_shape_is_an_error_and_no_empty_list() {
    for body in [
        "",
        "{}",
        "[]",
        "null",
        "{\"tags\": {}}",
        "{\"tags\": \"a\"}",
        "<html>",
        "{\"tags\": [\"a\"",
        "{\"errors\": []}",
    ] {
        assert_eq!(tags_in(body).await.unwrap_err().reason, "BadAnswer", "{body}");
    }
}

#[tokio::test]
async fn r1_r2_statuses_keep_their_reason_and_wait() {
    for (status, reason, waits) in [
        (401, "AuthFailed", false),
        (403, "AuthFailed", false),
        (404, "NotFound", false),
        (418, "BadAnswer", false),
        (429, "Throttled", true),
        (500, "Unreachable", false),
        (503, "Unreachable", true),
    ] {
        let fake =
            Fake::start(REGISTRY, move |_| respond(status, &[("retry-after", "99999999999")], "")).await;
        let failed = tags_of(&fake).await.unwrap_err();
        assert_eq!((failed.reason, failed.retry_after.is_some()), (reason, waits), "{failed}");
        assert!(failed.retry_after.is_none_or(|wait| wait.as_hours() == 1));
        assert!(
            failed.message.contains(&fake.at.to_string()) && failed.message.contains("team/app"),
            "{failed}"
        );
    }
}

#[tokio::test]
async fn r2_a_host_that_mostly_fails_is_left_alone_and_no_other_waits_for_it() {
    let turn = std::sync::atomic::AtomicUsize::new(0);
    let sick = Fake::start(REGISTRY, move |_| {
        let turn = turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if turn.is_multiple_of(2) { respond(503, &[], "") } else { page(&json!(["a"]), None) }
    })
    .await;
    let well = Fake::start(REGISTRY, |_| page(&json!(["b"]), None)).await;
    let client = client(&[&sick, &well]);
    let repository = sick.repository("team/app");
    let (mut listed, mut refused) = (0, 0);
    for _ in 0..40 {
        match client.tags(&anonymous(), &repository).await {
            Ok(tags) => {
                assert_eq!(texts(&tags), ["a"], "whole, or an error");
                listed += 1;
            }
            Err(failed) => {
                assert_eq!(failed.reason, "Unreachable", "{failed}");
                refused += usize::from(failed.message.contains("left alone") && failed.retry_after.is_some());
            }
        }
        assert_eq!(texts(&client.tags(&anonymous(), &well.repository("team/app")).await.unwrap()), ["b"]);
    }
    assert_eq!((sick.log().len(), listed, refused), (9, 4, 31), "five of nine failed: then nothing is sent");
    // One host, whoever asks: another credential waits, too.
    let other = RegistryAccess { scope: "other".into(), ..anonymous() };
    assert!(client.tags(&other, &repository).await.unwrap_err().message.contains("left alone"));
    assert_eq!((sick.log().len(), well.log().len()), (9, 40));
}

#[tokio::test]
async fn answers_that_say_no_leave_nobody_alone() {
    let fake = Fake::start(REGISTRY, |asked| match asked.path().split('/').nth(3) {
        Some("missing") => respond(404, &[], ""),
        Some("busy") => respond(429, &[], ""),
        _ => page(&json!(["a"]), None),
    })
    .await;
    let client = client(&[&fake]);
    for path in ["team/missing", "team/busy"].into_iter().cycle().take(20) {
        client.tags(&anonymous(), &fake.repository(path)).await.unwrap_err();
    }
    assert_eq!(texts(&client.tags(&anonymous(), &fake.repository("team/app")).await.unwrap()), ["a"]);
}

#[tokio::test]
async fn r3_bodies_that_break_off_or_never_end_are_errors() {
    // What came is a whole listing of its own.
    let fake = Fake::start(REGISTRY, |_| broken(&[], "{\"tags\": []}".into())).await;
    let failed = tags_of(&fake).await.unwrap_err();
    assert!(failed.reason == "Unreachable" && failed.message.contains("broke off"), "{failed}");

    let announced = Fake::start(REGISTRY, |_| {
        let never = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
        respond(200, &[("content-length", "1073741824")], never)
    })
    .await;
    assert!(tags_of(&announced).await.unwrap_err().message.contains("longer than"));

    let endless = Fake::start(REGISTRY, |_| {
        let spaces = Bytes::from(vec![b' '; 65_536]);
        respond(
            200,
            &[],
            Body::from_stream(futures::stream::repeat_with(move || Ok::<_, std::io::Error>(spaces.clone()))),
        )
    })
    .await;
    assert!(tags_of(&endless).await.unwrap_err().message.contains("longer than"));

    let packed = Fake::start(REGISTRY, |_| respond(200, &[("content-encoding", "gzip")], "\x1f")).await;
    let failed = tags_of(&packed).await.unwrap_err();
    assert!(
        failed.message.contains("compresses") && packed.log()[0].headers["accept-encoding"] == "identity",
        "{failed}"
    );
}

#[tokio::test]
async fn r4_a_slow_answer_ends_at_the_deadline() {
    let drip = || {
        futures::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(b" ")), ()))
        })
    };
    let fake = Fake::start(REGISTRY, move |asked| match asked.uri.as_str() {
        "/v2/team/slow/tags/list?n=1000" => respond(200, &[], Body::from_stream(drip())),
        _ => page(&json!(["a"]), None),
    })
    .await;
    for options in [
        Options { request: Duration::from_millis(200), ..Options::default() },
        Options { operation: Duration::from_millis(200), ..Options::default() },
    ] {
        let client = client_with(&[&fake], options);
        let failed = client.tags(&anonymous(), &fake.repository("team/slow")).await.unwrap_err();
        assert!(failed.reason == "Unreachable" && failed.message.contains("within 0.2 s"), "{failed}");
        assert_eq!(texts(&client.tags(&anonymous(), &fake.repository("team/app")).await.unwrap()), ["a"]);
    }
}

/// Pages with an `ETag` over their bytes, answered as the standard says. What is listed may be changed.
async fn etagged(pages: &[&[&str]]) -> (Fake, Arc<Mutex<Vec<Vec<String>>>>) {
    let pages: Vec<Vec<String>> =
        pages.iter().map(|tags| tags.iter().map(ToString::to_string).collect()).collect();
    let pages = Arc::new(Mutex::new(pages));
    let served = Arc::clone(&pages);
    let fake = Fake::start(REGISTRY, move |asked| {
        let pages = served.lock().unwrap();
        let at: usize = asked.uri.split("page=").nth(1).map_or(0, |n| n.parse().unwrap());
        let body = json!({"name": "team/app", "tags": pages[at]}).to_string();
        let etag = format!("\"{}\"", &Digest::of(body.as_bytes()).hex()[..16]);
        let next = format!("<{LIST}?page={}>; rel=next", at + 1);
        let mut headers = vec![("etag", etag.as_str())];
        if at + 1 < pages.len() {
            headers.push(("link", &next));
        }
        if asked.headers.get("if-none-match").is_some_and(|known| known == etag.as_str()) {
            return respond(304, &headers, "");
        }
        respond(200, &headers, body)
    })
    .await;
    (fake, pages)
}

/// Requests since then that had to be answered with a body.
fn sent(fake: &Fake) -> usize {
    fake.log().iter().filter(|asked| !asked.headers.contains_key("if-none-match")).count()
}

#[tokio::test]
async fn a_listing_that_is_the_same_is_not_sent_again() {
    for pages in [&[&["1.0", "1.1"][..]][..], &[&["1.0", "1.1"], &["2.0"], &["3.0"]]] {
        let (fake, _) = etagged(pages).await;
        let (client, repository) = (client(&[&fake]), fake.repository("team/app"));
        let first = client.tags(&anonymous(), &repository).await.unwrap();
        assert_eq!(sent(&fake), pages.len());
        for _ in 0..3 {
            let again = client.tags(&anonymous(), &repository).await.unwrap();
            assert!(again.is(&first), "the same piece of memory");
        }
        assert_eq!((sent(&fake), fake.log().len()), (pages.len(), 4 * pages.len()));
        // Another credential has seen nothing yet.
        client.tags(&signed_in("u", "p"), &repository).await.unwrap();
        assert_eq!(sent(&fake), 2 * pages.len());
    }
}

#[tokio::test]
async fn of_a_listing_that_changes_only_the_pages_that_changed_are_sent() {
    let (fake, pages) = etagged(&[&["1.0"], &["2.0"], &["3.0"]]).await;
    let (client, repository) = (client(&[&fake]), fake.repository("team/app"));
    let list = async || texts(&client.tags(&anonymous(), &repository).await.unwrap());
    assert_eq!(list().await, ["1.0", "2.0", "3.0"]);
    pages.lock().unwrap()[1].push("2.1".into());
    assert_eq!(list().await, ["1.0", "2.0", "2.1", "3.0"]);
    pages.lock().unwrap()[0].clear();
    assert_eq!(list().await, ["2.0", "2.1", "3.0"]);
    pages.lock().unwrap()[2].clear();
    assert_eq!(list().await, ["2.0", "2.1"]);
    assert_eq!(list().await, ["2.0", "2.1"]);
}

#[tokio::test]
async fn a_page_that_another_one_follows_now_is_found_out() {
    let (fake, pages) = etagged(&[&["1.0"]]).await;
    let (client, repository) = (client(&[&fake]), fake.repository("team/app"));
    let list = async || texts(&client.tags(&anonymous(), &repository).await.unwrap());
    assert_eq!(list().await, ["1.0"]);
    // The bytes of the first page, and so its tag, stay the same.
    pages.lock().unwrap().push(vec!["2.0".into()]);
    assert_eq!(list().await, ["1.0", "2.0"]);
    assert_eq!(list().await, ["1.0", "2.0"]);
}

#[tokio::test]
async fn a_full_last_page_is_read_again_each_time() {
    // No `Link` comes with its 304s: that another page follows can only be seen in a whole answer.
    let grown = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let served = Arc::clone(&grown);
    let fake = Fake::start(REGISTRY, move |asked| {
        if asked.uri.contains("page=1") {
            return page(&json!(["z"]), None);
        }
        if asked.headers.contains_key("if-none-match") {
            return respond(304, &[], "");
        }
        let body = json!({"tags": (0..100).map(|n| format!("v{n}")).collect::<Vec<_>>()}).to_string();
        let next = format!("<{LIST}?page=1>; rel=next");
        let mut headers = vec![("etag", "\"x\"")];
        if served.load(std::sync::atomic::Ordering::SeqCst) {
            headers.push(("link", &next));
        }
        respond(200, &headers, body)
    })
    .await;
    let (client, repository) = (client(&[&fake]), fake.repository("team/app"));
    let list = async || client.tags(&anonymous(), &repository).await.unwrap().len();
    assert_eq!((list().await, list().await), (100, 100));
    grown.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(list().await, 101);
}

#[tokio::test]
async fn a_304_that_nobody_asked_for_is_no_listing() {
    let fake = Fake::start(REGISTRY, |_| respond(304, &[], "")).await;
    assert_eq!(tags_of(&fake).await.unwrap_err().reason, "BadAnswer");
}

#[tokio::test]
async fn r9_what_was_halved_once_is_asked_for_from_then_on() {
    let fake = Fake::start(REGISTRY, |asked| {
        if asked.uri.ends_with("n=500") { page(&json!(["a"]), None) } else { respond(400, &[], "") }
    })
    .await;
    let (client, repository) = (client(&[&fake]), fake.repository("team/app"));
    for _ in 0..3 {
        client.tags(&anonymous(), &repository).await.unwrap();
    }
    assert_eq!(fake.log().len(), 4);
}

#[tokio::test]
async fn r1_few_requests_left_are_told_before_there_are_none() {
    let left = |left: &'static str| {
        move |_: &Asked| {
            let headers = [("ratelimit-limit", "100;w=21600"), ("ratelimit-remaining", left)];
            respond(200, &headers, "{\"tags\": []}")
        }
    };
    for (remaining, eases) in [("80;w=21600", false), ("9;w=21600", true)] {
        let fake = Fake::start(REGISTRY, left(remaining)).await;
        let (client, repository) = (client(&[&fake]), fake.repository("team/app"));
        assert_eq!(client.ease(&anonymous(), &repository, Counted::Listings), None);
        client.tags(&anonymous(), &repository).await.unwrap();
        let ease = client.ease(&anonymous(), &repository, Counted::Listings);
        assert_eq!(ease.map(|wait| wait.as_secs()), eases.then_some(2400));
        assert_eq!(client.ease(&anonymous(), &repository, Counted::Manifests), None);
        assert_eq!(client.ease(&signed_in("u", "p"), &repository, Counted::Listings), None);
    }
}
