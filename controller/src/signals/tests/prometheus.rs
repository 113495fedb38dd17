//! Servers that speak the Prometheus API.

use super::*;
use crate::{ports::signals::SignalCredential, signals::door::CAP};

const QUERY: &str = "up{a=\"b\"}";

fn server(fake: &Fake) -> Server {
    Server::Prometheus(format!("http://{}/mimir/", fake.at))
}

async fn asked(fake: &Fake, access: &SignalAccess) -> Result<Option<Measured>, SignalError> {
    measure(&fake.servers(&[]), access, &server(fake), QUERY).await
}

async fn answered(status: u16, body: &str) -> Result<Option<f64>, String> {
    let fake = Fake::start(status, body).await;
    let found = asked(&fake, &SignalAccess::default()).await.map_err(|error| error.message)?;
    Ok(found.map(|found| match found {
        Measured::Value(value) => value,
        verdict @ Measured::Verdict { .. } => panic!("{verdict:?}"),
    }))
}

fn vector(result: &str) -> String {
    format!(r#"{{"status":"success","data":{{"resultType":"vector","result":{result}}}}}"#)
}

#[tokio::test]
async fn one_number_is_a_value_and_nothing_is_nothing() {
    assert_eq!(answered(200, &vector(r#"[{"metric":{},"value":[1.5,"0.25"]}]"#)).await, Ok(Some(0.25)));
    let scalar =
        r#"{"status":"success","infos":["PromQL info"],"data":{"resultType":"scalar","result":[1,"3"]}}"#;
    assert_eq!(answered(200, scalar).await, Ok(Some(3.0)));
    assert_eq!(answered(200, &vector("[]")).await, Ok(None));
    assert_eq!(answered(200, &vector(r#"[{"metric":{},"value":[1,"NaN"]}]"#)).await, Ok(None));
}

#[tokio::test]
async fn m2_what_may_not_be_trusted_is_an_error_that_says_what_to_do() {
    let two = vector(r#"[{"metric":{"a":"1"},"value":[1,"1"]},{"metric":{"a":"2"},"value":[1,"1"]}]"#);
    let warned = r#"{"status":"success","warnings":["remote read failed"],"data":{"resultType":"vector","result":[{"metric":{},"value":[1,"1"]}]}}"#;
    let matrix = r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#;
    let bad =
        r#"{"status":"error","errorType":"bad_data","error":"1:3: parse error: unexpected end of input"}"#;
    for (status, body, parts) in [
        (200, two.as_str(), ["2 series", "aggregate"]),
        (200, warned, ["warns", "remote read failed"]),
        (200, matrix, ["no instant value", "write an expression"]),
        (200, &vector(r#"[{"metric":{},"value":[1,"+Inf"]}]"#), ["+Inf", "cannot be compared"]),
        (200, &vector(r#"[{"metric":{},"histogram":[1,{}]}]"#), ["histogram", "histogram_quantile"]),
        (200, "<html>a login page</html>", ["127.0.0.2", "not answer as the Prometheus API does"]),
        (200, "", ["127.0.0.2", "not answer as"]),
        (400, bad, ["answered 400", "parse error"]),
        (503, "upstream connect error", ["127.0.0.2", "answered 503"]),
        (429, "", ["answered 429", "next tick"]),
        (302, "", ["redirects", "not followed"]),
        (401, "", ["answered 401", "secretRef"]),
    ] {
        let why = answered(status, body).await.unwrap_err();
        for part in parts {
            assert!(why.contains(part), "{part:?} is not in {why:?}");
        }
        assert!(why.chars().count() < 250, "{why}");
    }
}

#[tokio::test]
async fn an_answer_without_an_end_is_cut_off() {
    let why = answered(200, &"x".repeat(CAP + 1)).await.unwrap_err();
    assert!(why.contains("more than") && why.contains("aggregate"), "{why}");
}

#[tokio::test]
async fn the_query_is_about_the_tick_and_the_credential_goes_along_and_is_never_told() {
    let secret = "c4n4ry";
    for credential in [
        SignalCredential::Bearer(secret.to_owned()),
        SignalCredential::Basic("user".to_owned(), secret.to_owned()),
    ] {
        let fake = Fake::start(401, "").await;
        let headers = vec![("X-Scope-OrgID".to_owned(), secret.to_owned())];
        let access = SignalAccess { credential: Some(credential), headers, ..SignalAccess::default() };
        let failed = asked(&fake, &access).await.unwrap_err();
        assert!(failed.refused && !failed.message.contains(secret), "{failed:?}");
        assert!(!format!("{access:?}").contains(secret), "{access:?}");
        let asked = &fake.log()[0];
        assert_eq!((asked.method.as_str(), asked.uri.path()), ("POST", "/mimir/api/v1/query"));
        assert_eq!(
            asked.body,
            "query=up%7Ba%3D%22b%22%7D&time=1500000000.250&timeout=10s&lookback_delta=60s"
        );
        assert_eq!(asked.header("x-scope-orgid"), secret);
        assert!(asked.header("authorization").len() > 8);
    }
}

#[tokio::test]
async fn a_host_that_may_not_be_dialled_is_not() {
    let fake = Fake::start(200, &vector("[]")).await;
    let (strict, access) = (servers(HostPolicy::default(), BTreeMap::new()), SignalAccess::default());
    let why = measure(&strict, &access, &server(&fake), QUERY).await.unwrap_err();
    assert!(why.message.contains("signal host") && why.message.contains("--allow-host"), "{why}");
    assert!(fake.log().is_empty());
    for wrong in ["ftp://a", "http://user:pw@a", "nonsense"] {
        let wrong = Server::Prometheus(wrong.to_owned());
        let why = measure(&strict, &access, &wrong, QUERY).await.unwrap_err();
        assert!(why.message.contains("correct prometheus.address") && !why.message.contains("pw"), "{why}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error() {
    let fake = Fake::start(200, "").await;
    let (gone, clients) = (server(&fake), fake.servers(&[]));
    drop(fake);
    let why = measure(&clients, &SignalAccess::default(), &gone, QUERY).await.unwrap_err();
    assert!(why.message.contains("could not be asked") || why.message.contains("answer"), "{why}");
}
