//! A server of one's own, by the form that the guide documents.

use super::*;
use crate::ports::signals::SignalCredential;
use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};

const BODY: &str = r#"{"kind":"SignalRequest"}"#;

async fn asked(fake: &Fake, access: &SignalAccess) -> Result<Option<Measured>, SignalError> {
    let server = Server::Webhook(format!("http://{}/judge", fake.at));
    measure(&fake.servers(&[]), access, &server, BODY).await
}

#[tokio::test]
async fn numbers_and_verdicts_are_answers_and_nothing_is_nothing() {
    for (status, body, wanted) in [
        (200, r#"{"value":0.25,"more":1}"#, Some(Measured::Value(0.25))),
        (200, r#"{"verdict":"Healthy"}"#, Some(Measured::Verdict { degraded: false })),
        (200, r#"{"verdict":"Degraded","message":"c4n4ry"}"#, Some(Measured::Verdict { degraded: true })),
        (204, "", None),
    ] {
        let fake = Fake::start(status, body).await;
        assert_eq!(asked(&fake, &SignalAccess::default()).await, Ok(wanted), "{body}");
    }
}

#[tokio::test]
async fn m2_what_is_no_answer_is_an_error_that_says_what_to_do() {
    for (status, body, parts) in [
        (200, r#"{"verdict":"NoData","message":"cold cache"}"#, ["says NoData", "cold cache"]),
        (200, r#"{"verdict":"Inconclusive"}"#, ["says Inconclusive", ""]),
        (200, r#"{"verdict":"Fine"}"#, ["\"Fine\"", "none of Healthy"]),
        (200, r#"{"value":1,"verdict":"Healthy"}"#, ["value and verdict", "has to answer"]),
        (200, r#"{"value":null}"#, ["neither value nor verdict", "has to answer"]),
        (200, r#"{"value":"1"}"#, ["another form", "has to answer"]),
        (200, r#"{"value":1e999}"#, ["another form", "has to answer"]),
        (200, "", ["another form", "has to answer"]),
        (401, "", ["answered 401", "secretRef"]),
        (429, "", ["answered 429", "next tick"]),
        (500, r#"{"verdict":"Degraded"}"#, ["answered 500", ""]),
        (302, "", ["redirects", "not followed"]),
    ] {
        let fake = Fake::start(status, body).await;
        says(&asked(&fake, &SignalAccess::default()).await.unwrap_err(), &parts);
        assert_eq!(fake.log().len(), 1, "asked once, and nowhere else: {:?}", fake.log());
    }
}

#[tokio::test]
async fn a_request_is_signed_and_shows_the_credential_to_nobody_else() {
    let fake = Fake::start(200, r#"{"value":1}"#).await;
    let secret = "c4n4ry-c4n4ry-c4n4ry";
    let access = SignalAccess {
        credential: Some(SignalCredential::Bearer("c4n4ry".into())),
        headers: vec![("X-Tenant".into(), "shop".into())],
        ..keys([("signingKey", secret)])
    };
    assert!(!format!("{access:?}").contains("c4n4ry"), "{access:?}");
    asked(&fake, &access).await.unwrap();
    let asked = &fake.log()[0];
    assert_eq!((asked.method.as_str(), asked.uri.path(), asked.body.as_str()), ("POST", "/judge", BODY));
    assert_eq!((asked.header("authorization"), asked.header("x-tenant")), ("Bearer c4n4ry", "shop"));
    let (id, time) = (asked.header("webhook-id"), asked.header("webhook-timestamp"));
    assert_eq!(id, "a-1-p95-7-candidate");
    let signed = format!("{id}.{time}.{BODY}");
    let mac = asked.header("webhook-signature").strip_prefix("v1,").map(|mac| STANDARD.decode(mac).unwrap());
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    hmac::verify(&key, signed.as_bytes(), &mac.unwrap()).unwrap();
}

#[tokio::test]
async fn a_key_that_can_be_guessed_is_refused() {
    let fake = Fake::start(200, r#"{"value":1}"#).await;
    let why = asked(&fake, &keys([("signingKey", "c4n4ry")])).await.unwrap_err();
    says(&why, &["key signingKey", "fewer than 16 bytes"]);
    assert!(fake.log().is_empty());
}
