//! Tokens, credentials, and where they go.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::support::*;

use crate::ports::{Credential, Depth, Registry as _, RegistryAccess};

type Script = Box<dyn Fn(&Asked) -> Response + Send + Sync>;

const CANARY_USER: &str = "c4n4ry-user";
const CANARY_PASSWORD: &str = "c4n4ry-password";
const CANARY_TOKEN: &str = "c4n4ry-token";

fn canary_access() -> RegistryAccess {
    signed_in(CANARY_USER, CANARY_PASSWORD)
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn tags(asked: &Asked) -> Response {
    assert!(asked.path().ends_with("/tags/list"), "{}", asked.uri);
    json_body(&json!({"tags": ["1.0"]}))
}

fn challenge(asked: &Asked, more: &str) -> Response {
    let host = asked.headers["host"].to_str().unwrap();
    respond(401, &[("www-authenticate", &format!("Bearer realm=\"http://{host}/token\"{more}"))], "")
}

/// A registry whose tokens are numbered; which it takes is up to the test. `answer` is the token service's, without
/// the token.
async fn with_tokens(answer: Value, takes: impl Fn(&str, &Asked) -> bool + Send + Sync + 'static) -> Fake {
    let issued = AtomicUsize::new(0);
    Fake::start(REGISTRY, move |asked| {
        if asked.path() == "/token" {
            let mut answer = answer.clone();
            answer["token"] = format!("t{}", issued.fetch_add(1, Ordering::SeqCst) + 1).into();
            return json_body(&answer);
        }
        let token = asked.authorization().strip_prefix("Bearer ").unwrap_or_default();
        if takes(token, asked) {
            tags(asked)
        } else {
            challenge(asked, ",service=\"reg\",scope=\"repository:team/app:pull\"")
        }
    })
    .await
}

#[tokio::test]
async fn a_token_is_asked_for_as_the_challenge_says_and_used_again() {
    let fake = with_tokens(json!({"expires_in": 300}), |token, _| token == "t1").await;
    let client = client(&[&fake]);
    for _ in 0..3 {
        client.tags(&canary_access(), &fake.repository("team/app")).await.unwrap();
    }
    assert_eq!(fake.asked()[1], "GET /token?service=reg&scope=repository%3Ateam%2Fapp%3Apull");
    assert_eq!((fake.count("GET /token"), fake.count("GET /v2/")), (1, 4));
    let log = fake.log();
    assert_eq!(log[0].authorization(), "");
    assert_eq!(log[1].authorization(), basic(CANARY_USER, CANARY_PASSWORD));
    assert_eq!(log[2].authorization(), "Bearer t1");
}

#[tokio::test]
async fn a_challenge_without_scope_gets_that_of_the_repository() {
    let fake = Fake::start(REGISTRY, |asked| match (asked.path(), asked.authorization()) {
        ("/token", "") => json_body(&json!({"access_token": "x"})),
        (_, "Bearer x") => tags(asked),
        _ => challenge(asked, ""),
    })
    .await;
    client(&[&fake]).tags(&anonymous(), &fake.repository("team/app")).await.unwrap();
    assert_eq!(fake.asked()[1], "GET /token?scope=repository%3Ateam%2Fapp%3Apull");
}

#[tokio::test]
async fn each_repository_has_a_token_of_its_own() {
    let fake = with_tokens(json!({}), |token, asked| {
        token == if asked.path().contains("app") { "t1" } else { "t2" }
    })
    .await;
    let client = client(&[&fake]);
    for path in ["team/app", "team/other", "team/app", "team/other"] {
        client.tags(&anonymous(), &fake.repository(path)).await.unwrap();
    }
    assert_eq!(fake.count("GET /token"), 2);
}

#[tokio::test]
async fn r13_a_token_that_expires_in_the_middle_is_renewed_once_and_the_page_replayed() {
    let fake = Fake::start(REGISTRY, {
        let issued = AtomicUsize::new(0);
        move |asked| {
            if asked.path() == "/token" {
                let token = format!("t{}", issued.fetch_add(1, Ordering::SeqCst) + 1);
                // Its clock is an hour ahead of ours, and it does not say how long the token lives.
                return json_body(&json!({"token": token, "issued_at": "2999-01-01T00:00:00Z"}));
            }
            let at: u32 = asked.uri.split("last=").nth(1).map_or(1, |n| n.parse().unwrap());
            if asked.authorization() != if at < 3 { "Bearer t1" } else { "Bearer t2" } {
                return challenge(asked, "");
            }
            let next = format!("<{}?last={}>; rel=next", asked.path(), at + 1);
            let headers = [("link", next.as_str())];
            let body = json!({"tags": [format!("v{at}")]}).to_string();
            respond(200, if at < 5 { &headers } else { &[] }, body)
        }
    })
    .await;
    let found = client(&[&fake]).tags(&anonymous(), &fake.repository("team/app")).await.unwrap();
    assert_eq!(texts(&found), ["v1", "v2", "v3", "v4", "v5"]);
    assert_eq!((fake.count("GET /token"), fake.count("GET /v2/")), (2, 7));
}

#[tokio::test]
async fn r13_a_token_that_is_over_at_once_serves_the_request_it_was_fetched_for() {
    for life in [json!(0), json!(-5), json!(1e-9)] {
        let fake = with_tokens(json!({"expires_in": life}), |token, _| !token.is_empty()).await;
        let client = client(&[&fake]);
        for _ in 0..2 {
            client.tags(&anonymous(), &fake.repository("team/app")).await.unwrap();
        }
        // The second request did not use the first one's token.
        assert_eq!((fake.count("GET /token"), fake.count("GET /v2/")), (2, 4), "{life}");
    }
    for life in [json!(null), json!("soon"), json!(1e300)] {
        let fake = with_tokens(json!({"expires_in": life}), |token, _| !token.is_empty()).await;
        let client = client(&[&fake]);
        for _ in 0..2 {
            client.tags(&anonymous(), &fake.repository("team/app")).await.unwrap();
        }
        assert_eq!(fake.count("GET /token"), 1, "{life}");
    }
}

#[tokio::test]
async fn r14_a_registry_that_never_takes_its_tokens_is_asked_twice() {
    let fake = with_tokens(json!({}), |_, _| false).await;
    let client = client(&[&fake]);
    for round in 1..=2 {
        let failed = client.tags(&canary_access(), &fake.repository("team/app")).await.unwrap_err();
        assert_eq!(failed.reason, "AuthFailed");
        assert!(failed.message.contains("spec.registry.secretRef"), "{failed}");
        assert_eq!((fake.count("GET /token"), fake.count("GET /v2/")), (round, 2 * round));
    }
}

#[tokio::test]
async fn user_and_password_go_only_where_they_are_asked_for() {
    let fake = Fake::start(REGISTRY, |asked| {
        if asked.authorization() == basic(CANARY_USER, CANARY_PASSWORD) {
            tags(asked)
        } else {
            respond(401, &[("www-authenticate", "Basic realm=\"x\"")], "")
        }
    })
    .await;
    let client = client(&[&fake]);
    for _ in 0..2 {
        client.tags(&canary_access(), &fake.repository("team/app")).await.unwrap();
    }
    // The second listing knows.
    assert_eq!(fake.log().len(), 3);

    let failed = client.tags(&signed_in("bob", "wrong"), &fake.repository("team/app")).await.unwrap_err();
    assert_eq!((failed.reason, fake.log().len()), ("AuthFailed", 5));
    let failed = client.tags(&anonymous(), &fake.repository("team/app")).await.unwrap_err();
    assert!(failed.message.contains("wants a credential"), "{failed}");
    assert_eq!(fake.log().len(), 6);
}

#[tokio::test]
async fn token_services_that_fail_keep_their_reason() {
    for (status, reason) in [
        (401, "AuthFailed"),
        (403, "AuthFailed"),
        (429, "Throttled"),
        (503, "Unreachable"),
        (404, "BadAnswer"),
    ] {
        let fake = Fake::start(REGISTRY, move |asked| match asked.path() {
            "/token" => respond(status, &[("retry-after", "5")], ""),
            _ => challenge(asked, ""),
        })
        .await;
        let failed = client(&[&fake]).tags(&canary_access(), &fake.repository("team/app")).await.unwrap_err();
        assert_eq!((failed.reason, fake.log().len()), (reason, 2), "{failed}");
        assert_eq!(failed.retry_after.is_some(), matches!(status, 429 | 503));
    }
}

#[tokio::test]
async fn row_28_tokens_and_challenges_with_line_breaks_are_refused() {
    for answer in [
        json!({"token": "a\r\nX-Evil: 1"}),
        json!({"token": "a\nb"}),
        json!({"token": ""}),
        json!({"token": 1}),
        json!([]),
    ] {
        let fake = Fake::start(REGISTRY, move |asked| match asked.path() {
            "/token" => json_body(&answer),
            _ => challenge(asked, ""),
        })
        .await;
        let failed = client(&[&fake]).tags(&anonymous(), &fake.repository("team/app")).await.unwrap_err();
        assert_eq!((failed.reason, fake.log().len()), ("BadAnswer", 2), "{failed}");
    }
    for realm in ["", "/token", "ftp://x/token", "http://", "javascript:1", "file:///etc/passwd"] {
        let value = format!("Bearer realm=\"{realm}\"");
        let fake = Fake::start(REGISTRY, move |_| respond(401, &[("www-authenticate", &value)], "")).await;
        let failed = client(&[&fake]).tags(&anonymous(), &fake.repository("team/app")).await.unwrap_err();
        assert_eq!((failed.reason, fake.log().len()), ("BadAnswer", 1), "{realm}: {failed}");
    }
}

#[tokio::test]
async fn r21_authorization_stays_on_its_origin() {
    let blobs = Fake::start("127.0.0.3", |asked| match asked.path() {
        "/back" => respond(307, &[("location", "/elsewhere/tags/list")], ""),
        _ => tags(asked),
    })
    .await;
    for to in ["/x/tags/list", "/back"] {
        let location = format!("http://{}{to}", blobs.at);
        let fake = Fake::start(REGISTRY, move |asked| match (asked.path(), asked.authorization()) {
            ("/token", _) => json_body(&json!({"token": CANARY_TOKEN})),
            (_, "") => challenge(asked, ""),
            ("/v2/team/app/tags/list", _) => respond(302, &[("location", "/v2/moved")], ""),
            (_, token) => {
                assert_eq!(token, format!("Bearer {CANARY_TOKEN}"));
                respond(307, &[("location", &location)], "")
            }
        })
        .await;
        client(&[&fake, &blobs]).tags(&canary_access(), &fake.repository("team/app")).await.unwrap();
    }
    assert_eq!(blobs.log().len(), 3);
    for asked in blobs.log() {
        assert_eq!(asked.authorization(), "");
        assert!(!format!("{:?}", asked.headers).contains("c4n4ry"), "{:?}", asked.headers);
    }
}

#[tokio::test]
async fn r21_another_origin_that_wants_a_credential_gets_none() {
    let other = Fake::start("127.0.0.3", |asked| challenge(asked, "")).await;
    let location = format!("http://{}/x", other.at);
    let fake = Fake::start(REGISTRY, move |_| respond(302, &[("location", &location)], "")).await;
    let failed =
        client(&[&fake, &other]).tags(&canary_access(), &fake.repository("team/app")).await.unwrap_err();
    assert!(failed.reason == "AuthFailed" && failed.message.contains("another host"), "{failed}");
    assert_eq!((fake.log().len(), other.log().len()), (1, 1));
}

#[tokio::test]
async fn r23_two_credentials_never_mix() {
    // Alice may read, Bob may not; tokens carry the name of whom they were given to.
    let mut held = Held::default();
    let (image, _) = held.image("linux/amd64", "secret");
    held.tag("1.0", &image);
    let mixed: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let fake = Fake::start(REGISTRY, move |asked| {
        if asked.path() == "/token" {
            let user = if asked.authorization() == basic("alice", "a") { "alice" } else { "bob" };
            assert!(user == "alice" || asked.authorization() == basic("bob", "b"));
            return json_body(&json!({"token": format!("of-{user}")}));
        }
        match asked.authorization() {
            "Bearer of-alice" => held.serve(asked),
            "Bearer of-bob" => respond(403, &[], ""),
            other => {
                mixed.lock().unwrap().insert(other.to_owned());
                challenge(asked, "")
            }
        }
    })
    .await;
    let (client, repository) = (client(&[&fake]), fake.repository("team/app"));
    let (alice, bob, reference) = (signed_in("alice", "a"), signed_in("bob", "b"), tag("1.0"));
    for _ in 0..3 {
        let (of_alice, of_bob) = tokio::join!(
            client.resolve(&alice, &repository, &reference, Depth::Whole),
            client.resolve(&bob, &repository, &reference, Depth::Whole),
        );
        assert_eq!(of_alice.unwrap().unwrap().digest, image);
        assert_eq!(of_bob.unwrap_err().reason, "AuthFailed");
        // What Alice read is known by digest now: to her only.
        let by_digest = crate::ports::Reference::Digest(image.clone());
        assert!(client.resolve(&alice, &repository, &by_digest, Depth::Whole).await.is_ok());
        assert_eq!(
            client.resolve(&bob, &repository, &by_digest, Depth::Whole).await.unwrap_err().reason,
            "AuthFailed"
        );
    }
    assert_eq!(fake.count("GET /token"), 2);
}

#[tokio::test]
async fn r15_a_new_password_is_another_access() {
    let fake = Fake::start(REGISTRY, |asked| match asked.authorization() {
        auth if auth == basic("aws", "new") => tags(asked),
        _ => respond(401, &[("www-authenticate", "Basic")], ""),
    })
    .await;
    let (client, repository) = (client(&[&fake]), fake.repository("team/app"));
    assert!(client.tags(&signed_in("aws", "old"), &repository).await.is_err());
    // The scope did not change, the password did.
    assert!(client.tags(&signed_in("aws", "new"), &repository).await.is_ok());
}

#[tokio::test]
async fn a_credential_appears_in_no_error_or_debug_text() {
    let echo = |asked: &Asked| format!("{:?}", asked.headers);
    let host = |asked: &Asked| asked.headers["host"].to_str().unwrap().to_owned();
    let token = |asked: &Asked| match asked.path() {
        "/token" => Some(json_body(&json!({"token": CANARY_TOKEN}))),
        _ if asked.authorization().is_empty() => Some(challenge(asked, "")),
        _ => None,
    };
    let scripts: Vec<Script> = vec![
        Box::new(move |asked| respond(500, &[], echo(asked))),
        Box::new(move |asked| token(asked).unwrap_or_else(|| respond(403, &[], echo(asked)))),
        Box::new(move |asked| token(asked).unwrap_or_else(|| respond(401, &[], echo(asked)))),
        Box::new(move |asked| token(asked).unwrap_or_else(|| respond(200, &[], echo(asked)))),
        Box::new(move |asked| {
            let next = format!("<http://127.0.0.9/{}>; rel=next", asked.authorization());
            token(asked).unwrap_or_else(|| respond(200, &[("link", &next)], "{\"tags\": []}"))
        }),
        Box::new(move |asked| {
            let to = format!("http://{CANARY_USER}:{CANARY_PASSWORD}@127.0.0.9/?t={CANARY_TOKEN}");
            token(asked).unwrap_or_else(|| respond(302, &[("location", &to)], ""))
        }),
        Box::new(move |asked| token(asked).unwrap_or_else(|| broken(&[], echo(asked)))),
        Box::new(move |asked| match asked.path() {
            "/token" => respond(200, &[], echo(asked)),
            _ => challenge(asked, ""),
        }),
        Box::new(move |asked| match asked.path() {
            "/token" => respond(401, &[], echo(asked)),
            _ => challenge(asked, ""),
        }),
        Box::new(move |asked| {
            let realm = format!("Bearer realm=\"ftp://{CANARY_USER}:{CANARY_PASSWORD}@{}\"", host(asked));
            respond(401, &[("www-authenticate", &realm)], "")
        }),
    ];
    for (n, script) in scripts.into_iter().enumerate() {
        let fake = Fake::start(REGISTRY, script).await;
        let (client, access) = (client(&[&fake]), canary_access());
        let failed = client.tags(&access, &fake.repository("team/app")).await.unwrap_err();
        let session = client.session(&access).unwrap();
        let text = format!("{failed} {failed:?} {client:?} {access:?} {session:?} {:?}", session.auth);
        let encoded = basic(CANARY_USER, CANARY_PASSWORD);
        for secret in ["c4n4ry-password", CANARY_TOKEN, encoded.trim_start_matches("Basic ")] {
            assert!(!text.contains(secret), "script {n}: {text}");
        }
    }
}

/// As ACR and Docker Hub give tokens for an identity token: by POST, and never by GET.
async fn with_exchange(answer: impl Fn(&Asked) -> Response + Send + Sync + 'static) -> Fake {
    Fake::start(REGISTRY, move |asked| match (asked.path(), asked.authorization()) {
        ("/token", _) => answer(asked),
        (_, "Bearer exchanged") => tags(asked),
        _ => challenge(asked, ",service=\"reg\",scope=\"repository:team/app:pull\""),
    })
    .await
}

fn with_identity() -> RegistryAccess {
    RegistryAccess { credential: Some(Credential::Identity(CANARY_TOKEN.into())), ..canary_access() }
}

#[tokio::test]
async fn an_identity_token_is_exchanged_by_oauth_and_only_for_the_realm() {
    let fake = with_exchange(|_| json_body(&json!({"access_token": "exchanged", "expires_in": 300}))).await;
    let client = client(&[&fake]);
    for _ in 0..3 {
        client.tags(&with_identity(), &fake.repository("team/app")).await.unwrap();
    }
    assert_eq!((fake.count("POST /token"), fake.count("GET /token"), fake.count("GET /v2/")), (1, 0, 4));
    let asked = &fake.log()[1];
    assert_eq!(asked.uri, "/token", "nothing stands in the address");
    assert_eq!(
        asked.body,
        "grant_type=refresh_token&client_id=lockkeeper&refresh_token=c4n4ry-token&service=reg\
         &scope=repository%3Ateam%2Fapp%3Apull"
    );
    assert!(fake.log().iter().enumerate().all(|(n, asked)| n == 1 || !asked.body.contains("c4n4ry")));
}

#[tokio::test]
async fn an_identity_token_that_is_over_is_refused_and_never_redirected() {
    for status in [400, 401] {
        let fake = with_exchange(move |_| respond(status, &[], "{\"error\": \"invalid_grant\"}")).await;
        let failed = client(&[&fake]).tags(&with_identity(), &fake.repository("team/app")).await.unwrap_err();
        assert_eq!((failed.reason, fake.log().len()), ("AuthFailed", 2), "{failed}");
    }
    let thief = Fake::start("127.0.0.3", |_| json_body(&json!({"access_token": "exchanged"}))).await;
    let to = format!("http://{}/token", thief.at);
    let fake = with_exchange(move |_| respond(307, &[("location", &to)], "")).await;
    let failed =
        client(&[&fake, &thief]).tags(&with_identity(), &fake.repository("team/app")).await.unwrap_err();
    assert_eq!((failed.reason, thief.log().len()), ("BadAnswer", 0), "{failed}");
}

#[tokio::test]
async fn a_registry_token_is_sent_as_it_is_and_once() {
    let fake = with_exchange(|_| respond(500, &[], "")).await;
    let token =
        |text: &str| RegistryAccess { credential: Some(Credential::Token(text.into())), ..canary_access() };
    let client = client(&[&fake]);
    for _ in 0..2 {
        client.tags(&token("exchanged"), &fake.repository("team/app")).await.unwrap();
    }
    assert_eq!((fake.count("GET /v2/"), fake.log().len()), (3, 3));
    let failed = client.tags(&token("other"), &fake.repository("team/app")).await.unwrap_err();
    assert_eq!((failed.reason, fake.log().len()), ("AuthFailed", 5));
}
