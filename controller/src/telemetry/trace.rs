//! Spans over OTLP/HTTP, for those who want to see where a pass spends its time.
//!
//! Guarantees: without an endpoint nothing is recorded and nothing is connected to; what leaves of a span are its name, its
//! times and the fields it was made with (names, kinds and outcomes; never a credential), and no log message; a collector
//! that is slow or away holds up no pass. May not: decide.

use futures::future::BoxFuture;
use opentelemetry::{
    Context, KeyValue,
    trace::{TraceContextExt as _, TracerProvider as _},
};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tokio::runtime::Handle;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{
    Layer, Registry,
    filter::{FilterFn, LevelFilter},
};
use url::Url;

/// How long one batch may take to be sent.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long what is left may take at the end of the process.
const LAST: Duration = Duration::from_secs(1);

/// Why spans cannot be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The endpoint is none.
    #[error(
        "--otlp-endpoint {0:?} is no http or https address; write one such as http://collector.monitoring:4318"
    )]
    Endpoint(String),
    /// It holds what should not be seen in a list of processes.
    #[error(
        "--otlp-endpoint holds a user or a password; put a header into OTEL_EXPORTER_OTLP_HEADERS instead"
    )]
    Credential,
    /// The client could not be made.
    #[error("--otlp-endpoint: {0}")]
    Client(#[from] reqwest::Error),
    /// The exporter could not be made; an OTEL_ variable is wrong.
    #[error("--otlp-endpoint: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// Where spans go; nowhere, unless an endpoint was named.
#[derive(Debug, Default)]
pub struct Traces {
    provider: Option<SdkTracerProvider>,
}

impl Traces {
    /// To the collector with this base address. Must be called in a runtime.
    pub(super) fn to(endpoint: &str) -> Result<Self, TraceError> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(traces_of(endpoint)?)
            .with_timeout(DEADLINE)
            .with_http_client(Sender::new()?)
            .build()?;
        let instance = std::env::var("HOSTNAME").unwrap_or_default();
        let resource = Resource::builder()
            .with_service_name("lockkeeper")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attribute(KeyValue::new("service.instance.id", instance))
            .build();
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        Ok(Self { provider: Some(provider) })
    }

    /// What hands spans over; ours alone, and no events.
    pub(super) fn layer(&self) -> Option<Box<dyn Layer<Registry> + Send + Sync>> {
        let tracer = self.provider.as_ref()?.tracer("lockkeeper");
        let ours =
            FilterFn::new(|metadata| metadata.is_span() && metadata.target().starts_with("lockkeeper"))
                .with_max_level_hint(LevelFilter::DEBUG);
        let layer = tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_level(false)
            .with_tracked_inactivity(false);
        Some(layer.with_filter(ours).boxed())
    }

    /// Sends what is left.
    pub async fn end(self) {
        let Some(provider) = self.provider else { return };
        // It blocks; what it sends is sent by this runtime.
        let ended = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(LAST)).await;
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last spans were not sent"),
            Err(error) => tracing::warn!(%error, "the last spans were not sent"),
        }
    }
}

/// `/v1/traces` below the base address, as the standard has it.
fn traces_of(endpoint: &str) -> Result<String, TraceError> {
    let none = || TraceError::Endpoint(endpoint.chars().take(100).collect());
    let mut url: Url = endpoint.parse().map_err(|_| none())?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(none());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(TraceError::Credential);
    }
    let path = format!("{}/v1/traces", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Ok(url.into())
}

/// Sends by the runtime of the process: the exporter has a thread of its own, without one.
#[derive(Debug)]
struct Sender {
    client: reqwest::Client,
    runtime: Handle,
    /// The last batch was not taken; said once.
    failing: AtomicBool,
}

impl Sender {
    fn new() -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(DEADLINE)
            .user_agent(concat!("lockkeeper/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, runtime: Handle::current(), failing: AtomicBool::new(false) })
    }

    fn note(&self, failed: Option<&str>) {
        let before = self.failing.swap(failed.is_some(), Ordering::Relaxed);
        match (failed, before) {
            (Some(error), false) => {
                tracing::warn!(error, "spans are not taken by the collector; they are dropped until it does");
            }
            (None, true) => tracing::info!("the collector takes spans again"),
            _ => {}
        }
    }
}

impl HttpClient for Sender {
    fn send_bytes<'s, 'f>(
        &'s self,
        request: Request<Bytes>,
    ) -> BoxFuture<'f, Result<Response<Bytes>, HttpError>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            let answer = self.runtime.spawn(exchange(self.client.clone(), request)).await;
            let answer = answer.map_err(HttpError::from).and_then(|answer| answer);
            match &answer {
                Ok(response) if response.status().is_success() => self.note(None),
                Ok(response) => self.note(Some(response.status().as_str())),
                Err(error) => self.note(Some(&error.to_string())),
            }
            answer
        })
    }
}

async fn exchange(client: reqwest::Client, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    // Its text would hold the address with whatever is in its query.
    let answer = client.execute(request.try_into()?).await.map_err(reqwest::Error::without_url)?;
    let status = answer.status();
    let mut response = Response::new(answer.bytes().await?);
    *response.status_mut() = status;
    Ok(response)
}

/// The span that something was asked for in; what is done for it elsewhere, and later, is shown below it.
#[derive(Clone, Debug, Default)]
pub struct Origin(Context);

impl Origin {
    /// The span that this is in, if there is one and it is recorded.
    #[must_use]
    pub fn here() -> Self {
        let span = tracing::Span::current().context().span().span_context().clone();
        if span.is_valid() { Self(Context::new().with_remote_span_context(span)) } else { Self::default() }
    }

    /// Puts a span that has not begun below it.
    pub fn adopt(self, span: &tracing::Span) {
        // Refused where spans are not recorded, or for one that has begun: then it stands by itself.
        drop(span.set_parent(self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_base_address() {
        for (endpoint, traces) in [
            ("http://collector:4318", "http://collector:4318/v1/traces"),
            ("https://otel.example.com/tenant/", "https://otel.example.com/tenant/v1/traces"),
        ] {
            assert_eq!(traces_of(endpoint).unwrap(), traces);
        }
        for (endpoint, part) in [
            ("collector:4317", "such as http://"),
            ("grpc://collector:4317", "such as http://"),
            ("", "such as http://"),
            ("http://me:secret@collector", "OTEL_EXPORTER_OTLP_HEADERS"),
        ] {
            let error = traces_of(endpoint).unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains("secret"), "{endpoint}: {error}");
        }
    }

    #[test]
    fn without_an_endpoint_nothing_is_recorded() {
        assert!(Traces::default().layer().is_none());
        assert!(!Origin::here().0.span().span_context().is_valid());
    }
}
