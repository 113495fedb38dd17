//! Each service against an imitation of what it documents: what it would refuse is refused here, too.

use super::*;
use aws_lc_rs::hmac;
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use lockkeeper_core::{notices::Occasion, status::Notice};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// Looks like any address to the tests' policy.
const SERVER: &str = "127.0.0.3";
/// In no message, and in no log.
const SECRET: &str = "c4n4ry";
const KEY: &str = "a-key-of-enough-bytes";

/// What a service makes of a request: the HTTP status.
type Judge = fn(&str, &HeaderMap, &[u8]) -> u16;
type Asked = Arc<Mutex<Vec<Value>>>;

struct Server {
    at: SocketAddr,
    taken: Asked,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    State((judge, taken)): State<(Judge, Asked)>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let status = judge(uri.path(), &headers, &body);
    if status < 300 {
        taken.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
    }
    let text = format!("no {SECRET}");
    let answer = Response::builder().status(status).header("retry-after", "7");
    answer.header("location", "http://127.0.0.9/").body(text.into()).unwrap()
}

impl Server {
    async fn start(judge: Judge) -> Self {
        let listener = tokio::net::TcpListener::bind((SERVER, 0)).await.unwrap();
        let (at, taken) = (listener.local_addr().unwrap(), Asked::default());
        let router = Router::new().fallback(answer).with_state((judge, Arc::clone(&taken)));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { at, taken, task }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.at)
    }

    fn taken(&self) -> Vec<Value> {
        self.taken.lock().unwrap().clone()
    }
}

fn notifiers(allowed: &[&str]) -> Notifiers {
    let tls = |_: Option<&[u8]>| crate::registry::tls(None).map_err(|error| error.message);
    let hosts = Arc::new(HostPolicy::new(allowed, false).unwrap());
    Notifiers::new(hosts, Arc::new(crate::hosts::SystemLookup), Box::new(tls), Config::default())
}

fn to(service: Service, values: &[(&str, &str)]) -> Destination {
    let values = values.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()));
    Destination { service, values: values.collect() }
}

fn message(occasion: Occasion) -> Message {
    let page = occasion != Occasion::Verified;
    let next = if occasion == Occasion::Resolved { "" } else { "lockkeeper explain otel -n platform" };
    Message {
        namespace: "platform".into(),
        policy: "otel".into(),
        image: "ghcr.io/example/otel".into(),
        notice: Notice {
            id: format!("uid-1-{}", occasion.name()),
            at: "2026-11-22T03:38:00Z".parse().unwrap(),
            occasion,
            stage: "prod".into(),
            message: "0.29.0 restarted 7 times <!channel> & \"more\"".into(),
            done: "0.29.0 is being taken back".into(),
            next: next.into(),
            incident: page.then(|| "uid/prod/1".to_owned()),
            since: page.then(|| "2026-11-22T03:30:00Z".parse().unwrap()),
            to: vec!["x".into()],
        },
    }
}

async fn send(to: &Destination, message: &Message) -> Result<(), String> {
    notifiers(&[SERVER]).send(to, message).await.map_err(|error| error.message)
}

fn body(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or(Value::Null)
}

fn is_json(headers: &HeaderMap) -> bool {
    headers.get("content-type").is_some_and(|kind| kind == "application/json")
}

/// As Slack documents incoming webhooks: a text, at most 50 blocks, sections of at most 3,000 characters.
fn slack(path: &str, headers: &HeaderMap, bytes: &[u8]) -> u16 {
    let body = body(bytes);
    if path != format!("/services/T0/B0/{SECRET}") {
        return 404;
    }
    let fits = |block: &Value| {
        let text = block["text"]["text"].as_str().unwrap_or_default();
        block["type"] == "section"
            && block["text"]["type"] == "mrkdwn"
            && (1..=3000).contains(&text.chars().count())
    };
    let blocks = body["blocks"].as_array().cloned().unwrap_or_default();
    let fine = body["text"].is_string() && blocks.len() <= 50 && blocks.iter().all(fits);
    if is_json(headers) && fine { 200 } else { 400 }
}

#[tokio::test]
async fn slack_shows_sentence_deed_and_command_and_nobody_is_mentioned() {
    let server = Server::start(slack).await;
    let slack = to(Service::Slack, &[("url", &server.url(&format!("/services/T0/B0/{SECRET}")))]);
    let mut long = message(Occasion::RollingBack);
    long.notice.message = format!("{} {}", long.notice.message, "é".repeat(5_000));
    send(&slack, &message(Occasion::RollingBack)).await.unwrap();
    send(&slack, &long).await.unwrap();
    let taken = server.taken();
    let text = taken[0].to_string();
    for part in [
        "platform/otel prod: a release is rolled back",
        "restarted 7 times",
        "is being taken back",
        "```lockkeeper explain otel -n platform```",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("<!channel>") && text.contains("&lt;!channel&gt; &amp;"), "{text}");
    let gone = to(Service::Slack, &[("url", &server.url(&format!("/services/T0/B0/{SECRET}x")))]);
    let why = send(&gone, &message(Occasion::Verified)).await.unwrap_err();
    assert!(why.contains("answered 404") && why.contains("key url"), "{why}");
}

/// As Teams documents workflows: a message with an adaptive card, below 28 KB.
fn teams(_: &str, headers: &HeaderMap, bytes: &[u8]) -> u16 {
    let body = body(bytes);
    let card = &body["attachments"][0];
    let kind = card["contentType"] == "application/vnd.microsoft.card.adaptive";
    let content = &card["content"];
    let elements = content["body"].as_array().cloned().unwrap_or_default();
    let plain = elements.iter().all(|one| {
        one["type"] == "RichTextBlock"
            && one["inlines"][0]["type"] == "TextRun"
            && one["inlines"][0]["text"].is_string()
    });
    let fine = body["type"] == "message"
        && kind
        && content["type"] == "AdaptiveCard"
        && plain
        && !elements.is_empty();
    if is_json(headers) && fine && bytes.len() < 28_000 { 202 } else { 400 }
}

#[tokio::test]
async fn teams_gets_a_card_of_plain_text() {
    let server = Server::start(teams).await;
    let teams = to(Service::Teams, &[("url", &server.url(&format!("/workflows/{SECRET}?sig={SECRET}")))]);
    send(&teams, &message(Occasion::Blocked)).await.unwrap();
    let text = server.taken()[0].to_string();
    assert!(text.contains("platform/otel prod: blocked") && text.contains("lockkeeper explain"), "{text}");
}

/// As `PagerDuty` documents the Events API v2.
fn pager_duty(path: &str, headers: &HeaderMap, bytes: &[u8]) -> u16 {
    let body = body(bytes);
    let text = |value: &Value, most: usize| {
        value.as_str().is_some_and(|t| !t.is_empty() && t.chars().count() <= most)
    };
    let key = body["routing_key"].as_str().is_some_and(|key| key.len() == 32);
    let severity =
        ["critical", "error", "warning", "info"].map(Value::from).contains(&body["payload"]["severity"]);
    let payload =
        text(&body["payload"]["summary"], 1024) && text(&body["payload"]["source"], 255) && severity;
    let action = match body["event_action"].as_str() {
        Some("trigger") => payload,
        Some("acknowledge" | "resolve") => true,
        _ => false,
    };
    let fine = path == "/v2/enqueue" && is_json(headers) && key && action && text(&body["dedup_key"], 255);
    if fine { 202 } else { 400 }
}

#[tokio::test]
async fn pagerduty_is_triggered_and_resolved_under_one_key() {
    let server = Server::start(pager_duty).await;
    let key = format!("{SECRET}{}", "0".repeat(26));
    let pager =
        to(Service::PagerDuty, &[("url", &server.url("/v2/enqueue")), ("routingKey", &format!("{key}\n"))]);
    let mut long = message(Occasion::Blocked);
    long.notice.message = "é".repeat(5_000);
    for message in [&message(Occasion::RollingBack), &long, &message(Occasion::Resolved)] {
        send(&pager, message).await.unwrap();
    }
    let taken = server.taken();
    let actions: Vec<&Value> = taken.iter().map(|one| &one["event_action"]).collect();
    assert_eq!(actions, ["trigger", "trigger", "resolve"]);
    assert!(taken.iter().all(|one| one["dedup_key"] == "uid/prod/1"), "{taken:?}");
    assert_eq!(
        (&taken[0]["payload"]["severity"], &taken[1]["payload"]["severity"]),
        (&json!("error"), &json!("critical"))
    );
    let details = &taken[0]["payload"]["custom_details"];
    assert_eq!(
        (&details["next"], &details["done"]),
        (&json!("lockkeeper explain otel -n platform"), &json!("0.29.0 is being taken back"))
    );
    let short = to(Service::PagerDuty, &[("url", &server.url("/v2/enqueue")), ("routingKey", SECRET)]);
    let why = send(&short, &message(Occasion::Blocked)).await.unwrap_err();
    assert!(why.contains("answered 400") && why.contains("routingKey"), "{why}");
}

/// As Alertmanager documents its API v2: labels with valid names, and times.
fn alertmanager(path: &str, headers: &HeaderMap, bytes: &[u8]) -> u16 {
    let body = body(bytes);
    if headers.get("authorization").is_none_or(|shown| shown != &format!("Bearer {SECRET}")) {
        return 401;
    }
    let name = |name: &String| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let alert = |alert: &Value| {
        let labels = alert["labels"].as_object().cloned().unwrap_or_default();
        let time = |field: &str| alert[field].as_str().and_then(|text| text.parse::<Timestamp>().ok());
        let times = time("startsAt").zip(time("endsAt")).is_some_and(|(start, end)| start <= end);
        labels.contains_key("alertname")
            && labels.iter().all(|(n, v)| name(n) && v.as_str().is_some_and(|v| !v.is_empty()))
            && times
    };
    let fine = body.as_array().is_some_and(|all| !all.is_empty() && all.iter().all(alert));
    if path == "/am/api/v2/alerts" && is_json(headers) && fine { 200 } else { 400 }
}

#[tokio::test]
async fn alertmanager_has_one_alert_from_begin_to_end() {
    let server = Server::start(alertmanager).await;
    let manager = to(Service::Alertmanager, &[("url", &server.url("/am/")), ("token", SECRET)]);
    for occasion in [Occasion::RollingBack, Occasion::Blocked, Occasion::Resolved] {
        send(&manager, &message(occasion)).await.unwrap();
    }
    let taken: Vec<Value> = server.taken().into_iter().map(|all| all[0].clone()).collect();
    assert!(taken.iter().all(|one| one["labels"] == taken[0]["labels"]), "{taken:?}");
    assert!(taken.iter().all(|one| one["startsAt"] == "2026-11-22T03:30:00Z"), "{taken:?}");
    let ends: Vec<&str> = taken.iter().map(|one| one["endsAt"].as_str().unwrap()).collect();
    assert_eq!(ends, ["2026-11-29T03:38:00Z", "2026-11-29T03:38:00Z", "2026-11-22T03:38:00Z"]);
    let stranger = to(Service::Alertmanager, &[("url", &server.url("/am/"))]);
    let why = send(&stranger, &message(Occasion::Blocked)).await.unwrap_err();
    assert!(why.contains("answered 401") && why.contains("token"), "{why}");
}

/// As `CloudEvents` 1.0 and Standard Webhooks say.
fn webhook(_: &str, headers: &HeaderMap, bytes: &[u8]) -> u16 {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let signed =
        [header("webhook-id").as_bytes(), b".", header("webhook-timestamp").as_bytes(), b".", bytes].concat();
    let key = hmac::Key::new(hmac::HMAC_SHA256, KEY.as_bytes());
    let mac = header("webhook-signature").strip_prefix("v1,").and_then(|mac| STANDARD.decode(mac).ok());
    if mac.is_none_or(|mac| hmac::verify(&key, &signed, &mac).is_err()) {
        return 401;
    }
    let event = body(bytes);
    let fields =
        ["id", "source", "type"].iter().all(|name| event[*name].as_str().is_some_and(|t| !t.is_empty()));
    let subject = event.get("subject").is_none_or(|subject| subject.as_str().is_some_and(|t| !t.is_empty()));
    let time = event["time"].as_str().is_some_and(|time| time.parse::<Timestamp>().is_ok());
    let fine =
        event["specversion"] == "1.0" && fields && subject && time && event["id"] == header("webhook-id");
    if header("content-type") == "application/cloudevents+json" && fine { 204 } else { 400 }
}

#[tokio::test]
async fn a_webhook_gets_signed_cloud_events() {
    let server = Server::start(webhook).await;
    let encoded = format!("whsec_{}", STANDARD.encode(KEY));
    let mut nowhere = message(Occasion::Verified);
    nowhere.notice.stage.clear();
    // 204 has no body: it is kept all the same.
    for (key, message) in [
        (KEY, &message(Occasion::RollingBack)),
        (encoded.as_str(), &message(Occasion::Verified)),
        (KEY, &nowhere),
    ] {
        send(&to(Service::Webhook, &[("url", &server.url("/x")), ("key", key)]), message).await.unwrap();
    }
    let taken = server.taken();
    assert_eq!((taken.len(), &taken[0]["type"]), (3, &json!("dev.lockkeeper.RollingBack")));
    assert_eq!(taken[0]["data"]["next"], "lockkeeper explain otel -n platform");
    assert_eq!(taken[0]["source"], "/apis/lockkeeper.dev/namespaces/platform/imagepolicies/otel");
    let forged = to(Service::Webhook, &[("url", &server.url("/x")), ("key", "another-key-of-some-bytes")]);
    let why = send(&forged, &message(Occasion::Verified)).await.unwrap_err();
    assert!(why.contains("answered 401") && why.contains("key"), "{why}");
}

#[tokio::test]
async fn what_is_wrong_with_a_secret_is_said_and_nothing_of_it_shown() {
    let url = format!("https://example.com/{SECRET}");
    for (service, values, part) in [
        (Service::Slack, &[][..], "key url is missing"),
        (Service::Slack, &[("url", "ftp://c4n4ry")], "no http URL"),
        (Service::Teams, &[("url", "https://user:c4n4ry@example.com/")], "without a user"),
        (Service::Slack, &[("url", "http://hooks.example.com/c4n4ry")], "not https"),
        (Service::PagerDuty, &[], "key routingKey is missing"),
        (Service::Webhook, &[("url", &url)], "key key is missing"),
        (Service::Webhook, &[("url", &url), ("key", "c4n4ry")], "fewer than 16 bytes"),
        (Service::Webhook, &[("url", &url), ("key", "whsec_c4n4ry!")], "no base64"),
        (
            Service::Webhook,
            &[("url", &url), ("key", KEY), ("token", SECRET), ("username", "u")],
            "remove one of them",
        ),
        (Service::Alertmanager, &[("url", "http://127.0.0.9/c4n4ry")], "--allow-host"),
    ] {
        let destination = to(service, values);
        let why = send(&destination, &message(Occasion::Blocked)).await.unwrap_err();
        assert!(why.contains(part), "{part:?} is not in {why:?}");
        assert!(!why.contains(SECRET) && !why.contains("127.0.0.9") && why.len() < 200, "{why}");
        assert!(!format!("{destination:?}").contains(SECRET), "{destination:?}");
    }
}

#[tokio::test]
async fn no_answer_of_a_server_is_shown_and_its_wish_for_a_pause_is_heard() {
    for (status, judge) in [(302, (|_, _, _| 302) as Judge), (429, |_, _, _| 429), (500, |_, _, _| 500)] {
        let server = Server::start(judge).await;
        let slack = to(Service::Slack, &[("url", &server.url(&format!("/{SECRET}")))]);
        let error = notifiers(&[SERVER]).send(&slack, &message(Occasion::Blocked)).await.unwrap_err();
        assert!(error.message.contains(&format!("answered {status}")), "{error}");
        assert!(!error.message.contains(SECRET) && !error.message.contains(SERVER), "{error}");
        assert_eq!(error.retry_after, Some(Duration::from_secs(7)));
        assert_eq!(server.taken(), Vec::<Value>::new());
    }
}

#[tokio::test]
async fn who_cannot_be_reached_is_said_without_where() {
    let server = Server::start(|_, _, _| 200).await;
    let url = server.url(&format!("/{SECRET}"));
    drop(server);
    let why = send(&to(Service::Slack, &[("url", &url)]), &message(Occasion::Blocked)).await.unwrap_err();
    assert!(why.contains("could not be reached") && !why.contains("127.0") && !why.contains(SECRET), "{why}");
    let name = to(Service::Slack, &[("url", "https://localhost:1/")]);
    let why = send(&name, &message(Occasion::Blocked)).await.unwrap_err();
    assert!(why.contains("--allow-host") && !why.contains("localhost"), "{why}");
}

#[test]
fn the_installations_file_is_checked_as_a_whole_and_its_folders_are_read_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display();
    let text = format!(
        "receivers:\n- {{name: ops, service: pagerDuty, secretFolder: {path}, events: [Blocked]}}\n- {{name: chat, service: slack, secretFolder: {path}}}\n"
    );
    let config = Config::parse(&text).unwrap();
    let [ops, chat] = config.receivers() else { panic!("{config:?}") };
    assert_eq!((ops.name.as_str(), ops.occasions.len()), ("installation/ops", 1));
    assert_eq!(chat.occasions.len(), Occasion::CHOICE.len());
    assert!(config.values("installation/ops").unwrap().is_empty());
    std::fs::write(folder.path().join("routingKey"), SECRET).unwrap();
    assert_eq!(config.values("installation/ops").unwrap()["routingKey"], SECRET.as_bytes());
    for (entry, parts) in [
        ("{name: Ops, service: slack, secretFolder: /s}", ["receivers[0].name", "a-z"]),
        ("{name: ops, service: irc, secretFolder: /s}", ["receivers[0].service", "pagerDuty"]),
        (
            "{name: ops, service: pagerDuty, secretFolder: /s, events: [Verified]}",
            ["receivers[0].events", "RollingBack"],
        ),
        ("{name: ops, service: slack}", ["no list of receivers", "secretFolder"]),
        ("{name: ops, service: slack, secretFolder: /s, url: x}", ["no list of receivers", "url"]),
    ] {
        let why = Config::parse(&format!("receivers:\n- {entry}\n")).unwrap_err();
        assert!(parts.iter().all(|part| why.contains(part)), "{entry}: {why}");
    }
    let twice = "{name: a, service: slack, secretFolder: /s}";
    assert!(
        Config::parse(&format!("receivers:\n- {twice}\n- {twice}\n")).unwrap_err().contains("there twice")
    );
}
