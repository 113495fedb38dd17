//! How logs are written, and spans beside them.
//!
//! Guarantees: logs go to standard error only, one line an event. May not: choose what is said.

use super::{TraceError, Traces};
use tracing_subscriber::{
    EnvFilter, Layer, Registry, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Human,
}

/// Starts logging to standard error; `RUST_LOG` chooses how much (`info` without it). Spans go to `otlp`, if it is one.
pub fn start(format: LogFormat, otlp: Option<&str>) -> Result<Traces, TraceError> {
    let traces = otlp.map(Traces::to).transpose()?.unwrap_or_default();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
        LogFormat::Human => lines.with_filter(filter).boxed(),
    };
    let mut layers = vec![lines];
    layers.extend(traces.layer());
    if let Err(error) = tracing_subscriber::registry().with(layers).try_init() {
        // Only a second call fails, and the first one's logging goes on.
        tracing::debug!(%error, "logging was started before");
    }
    Ok(traces)
}
