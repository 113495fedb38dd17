//! A server that answers what a test tells it to, and remembers what it was asked.

use super::*;
use axum::{Router, body::Bytes, extract::State, response::Response};
use http::HeaderMap;
use jiff::Timestamp;
use std::net::SocketAddr;

/// Looks like any address to the tests' policy.
const SERVER: &str = "127.0.0.2";

struct Server {
    at: SocketAddr,
    asked: Arc<Mutex<Vec<(HeaderMap, String)>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Asked = Arc<Mutex<Vec<(HeaderMap, String)>>>;

async fn answer(
    State((asked, status, body)): State<(Asked, u16, &'static str)>,
    headers: HeaderMap,
    text: Bytes,
) -> Response {
    asked.lock().unwrap().push((headers, String::from_utf8_lossy(&text).into_owned()));
    Response::builder().status(status).header("location", "http://127.0.0.9/").body(body.into()).unwrap()
}

impl Server {
    async fn start(status: u16, body: &'static str) -> Self {
        let listener = tokio::net::TcpListener::bind((SERVER, 0)).await.unwrap();
        let (at, asked) = (listener.local_addr().unwrap(), Asked::default());
        let router = Router::new().route("/mimir/api/v1/query", axum::routing::post(answer)).with_state((
            Arc::clone(&asked),
            status,
            body,
        ));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { at, asked, task }
    }

    async fn measure(&self, access: &SignalAccess) -> Result<Option<f64>, SignalError> {
        let hosts = HostPolicy::new([SERVER], false).unwrap();
        measure(hosts, &format!("http://{}/mimir/", self.at), access).await
    }
}

async fn measure(
    hosts: HostPolicy,
    address: &str,
    access: &SignalAccess,
) -> Result<Option<f64>, SignalError> {
    let tls = |_: Option<&[u8]>| crate::registry::tls(None).map_err(|error| error.message);
    let lookup = Arc::new(crate::hosts::SystemLookup);
    let prometheus = Prometheus::new(Arc::new(hosts), lookup, Box::new(tls));
    let at = Timestamp::from_millisecond(1_500_000_000_250).unwrap();
    prometheus.measure(access, Measure { address, query: "up{a=\"b\"}", at, window: 60 }).await
}

async fn answered(status: u16, body: &'static str) -> Result<Option<f64>, String> {
    let server = Server::start(status, body).await;
    server.measure(&SignalAccess::default()).await.map_err(|error| error.message)
}

fn vector(result: &str) -> &'static str {
    let text = format!(r#"{{"status":"success","data":{{"resultType":"vector","result":{result}}}}}"#);
    Box::leak(text.into_boxed_str())
}

#[tokio::test]
async fn one_number_is_a_value_and_nothing_is_nothing() {
    assert_eq!(answered(200, vector(r#"[{"metric":{},"value":[1.5,"0.25"]}]"#)).await, Ok(Some(0.25)));
    let scalar =
        r#"{"status":"success","infos":["PromQL info"],"data":{"resultType":"scalar","result":[1,"3"]}}"#;
    assert_eq!(answered(200, scalar).await, Ok(Some(3.0)));
    assert_eq!(answered(200, vector("[]")).await, Ok(None));
    assert_eq!(answered(200, vector(r#"[{"metric":{},"value":[1,"NaN"]}]"#)).await, Ok(None));
}

#[tokio::test]
async fn m2_what_may_not_be_trusted_is_an_error_that_says_what_to_do() {
    let two = vector(r#"[{"metric":{"a":"1"},"value":[1,"1"]},{"metric":{"a":"2"},"value":[1,"1"]}]"#);
    let warned = r#"{"status":"success","warnings":["remote read failed"],"data":{"resultType":"vector","result":[{"metric":{},"value":[1,"1"]}]}}"#;
    let matrix = r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#;
    let bad =
        r#"{"status":"error","errorType":"bad_data","error":"1:3: parse error: unexpected end of input"}"#;
    for (status, body, parts) in [
        (200, two, ["2 series", "aggregate"]),
        (200, warned, ["warns", "remote read failed"]),
        (200, matrix, ["no instant value", "write an expression"]),
        (200, vector(r#"[{"metric":{},"value":[1,"+Inf"]}]"#), ["+Inf", "cannot be compared"]),
        (200, vector(r#"[{"metric":{},"histogram":[1,{}]}]"#), ["histogram", "histogram_quantile"]),
        (200, "<html>a login page</html>", ["answered 200", "not as the Prometheus API does"]),
        (200, "", ["answered 200", "not as"]),
        (400, bad, ["answered 400", "parse error"]),
        (503, "upstream connect error", ["answered 503", "not as"]),
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
    let long: &'static str = Box::leak("x".repeat(CAP + 1).into_boxed_str());
    let why = answered(200, long).await.unwrap_err();
    assert!(why.contains("more than") && why.contains("aggregate"), "{why}");
}

#[tokio::test]
async fn the_query_is_about_the_tick_and_the_credential_goes_along_and_is_never_told() {
    let secret = "c4n4ry";
    for credential in [
        SignalCredential::Bearer(secret.to_owned()),
        SignalCredential::Basic("user".to_owned(), secret.to_owned()),
    ] {
        let server = Server::start(401, "").await;
        let headers = vec![("X-Scope-OrgID".to_owned(), secret.to_owned())];
        let access = SignalAccess { credential: Some(credential), authority: None, headers };
        let failed = server.measure(&access).await.unwrap_err();
        assert!(failed.refused && !failed.message.contains(secret), "{failed:?}");
        assert!(!format!("{access:?}").contains(secret), "{access:?}");
        let asked = server.asked.lock().unwrap();
        let (headers, body) = &asked[0];
        assert_eq!(body, "query=up%7Ba%3D%22b%22%7D&time=1500000000.250&timeout=10s&lookback_delta=60s");
        assert_eq!(headers["x-scope-orgid"], secret);
        assert!(headers["authorization"].to_str().unwrap().len() > 8);
    }
}

#[tokio::test]
async fn a_host_that_may_not_be_dialled_is_not() {
    let server = Server::start(200, vector("[]")).await;
    let address = format!("http://{}/mimir", server.at);
    let why = measure(HostPolicy::default(), &address, &SignalAccess::default()).await.unwrap_err();
    assert!(why.message.contains("signal host") && why.message.contains("--allow-host"), "{why}");
    assert!(server.asked.lock().unwrap().is_empty());
    for wrong in ["ftp://a", "http://user:pw@a", "nonsense"] {
        let why = measure(HostPolicy::default(), wrong, &SignalAccess::default()).await.unwrap_err();
        assert!(why.message.contains("correct prometheus.address") && !why.message.contains("pw"), "{why}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error() {
    let server = Server::start(200, "").await;
    let at = server.at;
    drop(server);
    let hosts = HostPolicy::new([SERVER], false).unwrap();
    let why = measure(hosts, &format!("http://{at}"), &SignalAccess::default()).await.unwrap_err();
    assert!(why.message.contains("could not be asked") || why.message.contains("answered"), "{why}");
}
