//! Spans of a real pass, as a collector gets them. Off unless an endpoint is named.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use e2e::install::{install, start_controller_with};
use e2e::scene::Scene;
use e2e::{Bed, PATIENCE, Settings, eventually, run};
use kube::api::ListParams;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::json;

/// A password that must not be in any span.
const PASSWORD: &str = "a-password-of-a-registry";

/// What came, decoded, and as it was.
#[derive(Default)]
struct Received {
    spans: Vec<Span>,
    raw: Vec<u8>,
}

type Shared = Arc<Mutex<Received>>;

async fn take(State(received): State<Shared>, body: Bytes) -> StatusCode {
    let Ok(request) = ExportTraceServiceRequest::decode(body.clone()) else { return StatusCode::BAD_REQUEST };
    let mut received = received.lock().unwrap_or_else(PoisonError::into_inner);
    let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    received.spans.extend(scopes.flat_map(|scope| scope.spans));
    received.raw.extend(body);
    StatusCode::OK
}

/// A collector on a free port: its address, and what it has got.
async fn collector() -> Result<(String, Shared)> {
    let received = Shared::default();
    let router = axum::Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&received));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok((address, received))
}

fn text<'s>(span: &'s Span, attribute: &str) -> Option<&'s str> {
    let found = span.attributes.iter().find(|one| one.key == attribute)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

#[test]
fn a_pass_is_a_span_with_what_it_asked_and_did_below_it() {
    run("a_pass_is_a_span_with_what_it_asked_and_did_below_it", async |_| -> Result<()> {
        let (endpoint, received) = collector().await?;
        let bed = Bed::start(Settings::default()).await?;
        bed.kubelet().await?;
        install(&bed).await?;
        let controller = start_controller_with(&bed, "lockkeeper", &["--otlp-endpoint", &endpoint]).await?;
        let admin = bed.admin().await?;
        e2e::install::apply_object(
            &admin,
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "traced"}}),
        )
        .await?;
        let scene = Scene::on(&bed, admin, "traced".to_owned(), &controller).await?;
        let auth = json!({"auths": {bed.registry().host(): {"username": "me", "password": PASSWORD}}});
        scene
            .apply(json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pull"},
                "type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": auth.to_string()},
            }))
            .await?;
        let group = "rbac.authorization.k8s.io";
        scene
            .apply(json!({
                "apiVersion": format!("{group}/v1"), "kind": "Role", "metadata": {"name": "reader"},
                "rules": [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["pull"], "verbs": ["get"]}],
            }))
            .await?;
        scene
            .apply(json!({
                "apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": {"name": "reader"},
                "roleRef": {"apiGroup": group, "kind": "Role", "name": "reader"},
                "subjects": [{"kind": "ServiceAccount", "name": "promoter", "namespace": scene.namespace}],
            }))
            .await?;
        let old = scene.push_first().await?;
        scene.apply(scene.deployment("shop", 2, &old.tagged("latest"))).await?;
        scene.all_run(&old.digest, 2).await?;
        let mut policy = scene.policy(&Scene::pods_target());
        policy["spec"]["registry"]["secretRef"] = json!({"name": "pull"});
        scene.apply(policy).await?;
        scene.holds(&old.digest).await?;
        eventually("the pin is there", PATIENCE, async || {
            let pins = scene.ours("ImagePin").list(&ListParams::default()).await?;
            ensure!(!pins.items.is_empty(), "it is not");
            Ok(())
        })
        .await?;
        let reads = bed.requests_of_the_controller()?;
        ensure!(reads.iter().any(|event| event.object().resource == "secrets"), "the password was not read");
        // What is left is sent at the end.
        controller.terminate().await?;

        let received = std::mem::take(&mut *received.lock().unwrap_or_else(PoisonError::into_inner));
        let named = |name: &'static str| received.spans.iter().filter(move |span| span.name == name);
        let passes: Vec<&Span> = named("pass").collect();
        ensure!(!passes.is_empty(), "no pass in {} spans", received.spans.len());
        for pass in &passes {
            ensure!(pass.parent_span_id.is_empty(), "{pass:?}");
            ensure!(
                text(pass, "namespace") == Some("traced") && text(pass, "policy") == Some("otel"),
                "{pass:?}"
            );
            ensure!(text(pass, "outcome").is_some(), "{pass:?}");
        }
        let pass_of = |span: &Span| passes.iter().any(|pass| pass.trace_id == span.trace_id);
        for name in ["observe", "decide", "ask", "report"] {
            let mut spans = named(name);
            let one = spans.next().with_context(|| format!("no span {name}"))?;
            ensure!(
                passes.iter().any(|pass| pass.span_id == one.parent_span_id),
                "{name} stands alone: {one:?}"
            );
        }
        let pin = named("effect").find(|span| text(span, "kind") == Some("WritePin")).context("no pin")?;
        ensure!(pass_of(pin) && text(pin, "outcome") == Some("ok"), "{pin:?}");
        let lookup = named("lookup").find(|span| pass_of(span)).context("no lookup below a pass")?;
        ensure!(text(lookup, "repository").is_some_and(|name| name.ends_with("traced/otel")), "{lookup:?}");
        let secret = received.raw.windows(PASSWORD.len()).any(|part| part == PASSWORD.as_bytes());
        ensure!(!secret, "a password is in a span");
        bed.stop().await
    });
}
