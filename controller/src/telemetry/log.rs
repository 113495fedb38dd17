//! How logs are written.
//!
//! Guarantees: to standard error only, one line an event. May not: choose what is said.

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Human,
}

/// Starts logging to standard error; `RUST_LOG` chooses how much (`info` without it).
pub fn log(format: LogFormat) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Human => builder.try_init(),
    };
    if let Err(error) = started {
        // Only a second call fails, and the first one's logging goes on.
        tracing::debug!(%error, "logging was started before");
    }
}
