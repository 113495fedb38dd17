//! Datadog, by <https://docs.datadoghq.com/api/latest/metrics/query-timeseries-points/>.

use super::*;
use serde_json::json;

const QUERY: &str = "avg:http.p95{pod_name IN (web-0,web-1)}";

fn access() -> SignalAccess {
    keys([("apiKey", "c4n4ry-api"), ("applicationKey", "c4n4ry-app")])
}

async fn asked(fake: &Fake, access: &SignalAccess) -> Result<Option<Measured>, SignalError> {
    measure(&fake.servers(&["api.datadoghq.eu"]), access, &Server::Datadog("datadoghq.eu".into()), QUERY)
        .await
}

/// An answer with these series.
fn ok(points: &[serde_json::Value]) -> String {
    let series: Vec<_> = points
        .iter()
        .map(|points| json!({"metric": "http.p95", "interval": 20, "scope": "*", "pointlist": points}))
        .collect();
    json!({"status": "ok", "res_type": "time_series", "series": series, "message": "", "group_by": []})
        .to_string()
}

#[tokio::test]
async fn the_points_of_the_tick_make_one_value() {
    // The tick is from 1499999940 to 1500000000.
    let at = |second: i64, value: serde_json::Value| json!([second * 1000, value]);
    let four = json!([
        at(1_499_999_920, json!(100.0)),
        at(1_499_999_940, json!(1.0)),
        at(1_499_999_960, json!(null)),
        at(1_499_999_980, json!(2.0)),
        at(1_500_000_000, json!(100.0)),
    ]);
    let fake = Fake::start(200, &ok(&[four])).await;
    assert_eq!(asked(&fake, &access()).await, Ok(Some(Measured::Value(1.5))));
    let sent = &fake.log()[0];
    assert_eq!((sent.method.as_str(), sent.uri.path()), ("GET", "/api/v1/query"));
    let pairs: BTreeMap<_, _> =
        url::form_urlencoded::parse(sent.uri.query().unwrap().as_bytes()).into_owned().collect();
    let wanted = [("from", "1499999940"), ("to", "1500000000"), ("query", QUERY)];
    assert_eq!(pairs, wanted.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    assert_eq!((sent.header("dd-api-key"), sent.header("dd-application-key")), ("c4n4ry-api", "c4n4ry-app"));
    for empty in [ok(&[]), ok(&[json!([])]), ok(&[json!([at(1_499_999_950, json!(null))])])] {
        let fake = Fake::start(200, &empty).await;
        assert_eq!(asked(&fake, &access()).await, Ok(None), "{empty}");
    }
}

#[tokio::test]
async fn m2_what_may_not_be_trusted_is_an_error_that_says_what_to_do() {
    let two = ok(&[json!([[1.0, 1.0]]), json!([[1.0, 1.0]])]);
    for (status, body, parts, refused) in [
        (200, two.as_str(), ["2 series", "by {"], false),
        (200, r#"{"status":"error","error":"Error parsing query"}"#, ["status \"error\"", "parsing"], false),
        (200, "<html>", ["api.datadoghq.eu", "not answer as"], false),
        (400, r#"{"errors":["Error parsing query: unable to parse"]}"#, ["answered 400", "parsing"], false),
        (403, r#"{"errors":["Forbidden"]}"#, ["answered 403", "secretRef"], true),
        (
            429,
            r#"{"errors":["Rate limit of 300 requests in 3600 seconds reached"]}"#,
            ["429", "next tick"],
            false,
        ),
        (500, "", ["answered 500", ""], false),
    ] {
        let fake = Fake::start(status, body).await;
        let why = asked(&fake, &access()).await.unwrap_err();
        // The imitation has an address of its own.
        let parts = parts.map(|part| part.replace("api.datadoghq.eu", "127.0.0.2"));
        says(&why, &parts.each_ref().map(String::as_str));
        assert_eq!(why.refused, refused, "{why}");
        assert_eq!(fake.log().len(), 1);
    }
}

#[tokio::test]
async fn without_its_keys_nobody_is_asked() {
    let fake = Fake::start(200, &ok(&[])).await;
    let why = asked(&fake, &keys([("apiKey", "c4n4ry")])).await.unwrap_err();
    says(&why, &["no key applicationKey", "add it"]);
    assert!(fake.log().is_empty());
}
