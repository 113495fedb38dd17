//! Reads what the controller has used: from the kernel, from its metrics, from the API server's audit log.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result};
use jiff::{SignedDuration, Timestamp};

use crate::install::CONTROLLER;
use crate::{AuditEvent, Bed, Controller};

/// Ticks per second of the times in `/proc`; every Linux of today says 100.
const TICKS: f64 = 100.0;

/// The head of a table of times.
pub const QUANTILES: &str = "| What | p50 | p99 | Worst | Times |\n|---|---|---|---|---|";

/// Prints how long something took: one line of that table.
pub fn quantiles(what: &str, mut spans: Vec<SignedDuration>) {
    spans.sort();
    let of_hundred = |share: usize| {
        let place = (spans.len() * share).div_ceil(100).max(1) - 1;
        spans.get(place).map_or_else(|| "–".to_owned(), |span| format!("{:.2} s", span.as_secs_f64()))
    };
    println!("| {what} | {} | {} | {} | {} |", of_hundred(50), of_hundred(99), of_hundred(100), spans.len());
}

/// How the controller stood at one moment.
pub struct Reading {
    /// When.
    pub at: Instant,
    /// The same by the wall clock, as the audit log counts.
    pub wall: Timestamp,
    /// CPU time since its start.
    pub cpu_seconds: f64,
    /// Resident memory.
    pub rss_mib: f64,
    /// The most it ever was.
    pub peak_mib: f64,
    /// Its metrics by name, summed over labels.
    metrics: BTreeMap<String, f64>,
}

impl Reading {
    /// A controller that has done nothing yet.
    #[must_use]
    pub fn blank() -> Self {
        Self {
            at: Instant::now(),
            wall: Timestamp::now(),
            cpu_seconds: 0.0,
            rss_mib: 0.0,
            peak_mib: 0.0,
            metrics: BTreeMap::new(),
        }
    }

    /// A metric; 0 where it is not there yet.
    #[must_use]
    pub fn metric(&self, name: &str) -> f64 {
        self.metrics.get(name).copied().unwrap_or_default()
    }
}

/// Reads.
pub struct Meter {
    pid: u32,
    metrics: String,
    http: reqwest::Client,
    logs: PathBuf,
}

impl Meter {
    /// Of a controller that serves its metrics at `address`.
    pub async fn new(bed: &Bed, controller: &Controller, address: &str) -> Result<Self> {
        Ok(Self {
            pid: controller.part().running().await?.pid(),
            metrics: format!("http://{address}/metrics"),
            http: reqwest::Client::builder().no_proxy().build()?,
            logs: bed.logs(),
        })
    }

    /// The controller now.
    pub async fn read(&self) -> Result<Reading> {
        let text = self.http.get(&self.metrics).send().await?.error_for_status()?.text().await?;
        Ok(Reading {
            cpu_seconds: self.cpu()?,
            rss_mib: self.memory("VmRSS:")?,
            peak_mib: self.memory("VmHWM:")?,
            metrics: sums(&text),
            ..Reading::blank()
        })
    }

    fn proc(&self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.pid);
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
    }

    fn cpu(&self) -> Result<f64> {
        let stat = self.proc("stat")?;
        // The name in parentheses may hold spaces; utime and stime are fields 14 and 15, the 12th and 13th after it.
        let (_, rest) = stat.rsplit_once(')').context("/proc/…/stat has another form")?;
        let ticks: Vec<f64> =
            rest.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
        Ok(ticks.iter().sum::<f64>() / TICKS)
    }

    fn memory(&self, field: &str) -> Result<f64> {
        let status = self.proc("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib = line.and_then(|rest| rest.split_whitespace().next()).context("/proc/…/status lacks it")?;
        Ok(kib.parse::<f64>()? / 1024.0)
    }

    /// Mutating requests of the controller, impersonated or not, that the API server was asked for in this time.
    pub fn writes(&self, from: Timestamp, until: Timestamp) -> Result<usize> {
        let user = format!("\"system:serviceaccount:{}:{}\"", CONTROLLER.0, CONTROLLER.1);
        let events = audit(&self.logs, &user)?;
        Ok(events.iter().filter(|(at, event)| *at >= from && *at < until && event.verb != "watch").count())
    }
}

/// The audit events whose line holds `text`, by time; rotated files included.
pub fn audit(logs: &std::path::Path, text: &str) -> Result<Vec<(Timestamp, AuditEvent)>> {
    let mut events = Vec::new();
    for file in std::fs::read_dir(logs)? {
        let path = file?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if !name.starts_with("audit") {
            continue;
        }
        let log = std::fs::read_to_string(&path)?;
        // The last line may be half written.
        let whole = log.rfind('\n').map_or("", |end| &log[..end]);
        for line in whole.lines().filter(|line| line.contains(text)) {
            let event: AuditEvent =
                serde_json::from_str(line).with_context(|| format!("audit line {line}"))?;
            events.push((event.request_received_timestamp.parse()?, event));
        }
    }
    events.sort_by_key(|(at, _)| *at);
    Ok(events)
}

/// `name{labels} value` lines, summed by name.
fn sums(text: &str) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((series, value)) = line.rsplit_once(' ') else { continue };
        let name = series.split('{').next().unwrap_or_default();
        if let Ok(value) = value.parse::<f64>() {
            *sums.entry(name.to_owned()).or_default() += value;
        }
    }
    sums
}
