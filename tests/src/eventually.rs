//! Waiting for a condition, never for a time.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::Instant;

/// A deadline that only a hang reaches, on a machine that does many other things.
pub const PATIENCE: Duration = Duration::from_mins(3);

/// Calls `look` until it answers `Ok`, at most `within`. Its `Err` says what it sees instead; the last one is in the
/// error when time is over.
pub async fn eventually<T>(
    what: &str,
    within: Duration,
    mut look: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let deadline = Instant::now() + within;
    let mut pause = Duration::from_millis(20);
    let mut last = None;
    loop {
        match tokio::time::timeout_at(deadline, look()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(seen)) => last = Some(seen),
            Err(_) => {}
        }
        if Instant::now() >= deadline {
            let seen =
                last.map_or_else(|| "nothing: the look itself hung".to_owned(), |seen| format!("{seen:#}"));
            bail!("waited {within:?} for: {what}\nlast seen: {seen}");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(250));
    }
}
