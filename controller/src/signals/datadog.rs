//! Datadog: <https://docs.datadoghq.com/api/latest/metrics/query-timeseries-points/>, version 1.
//!
//! Guarantees: a value is the mean of the points of one series that are of the tick; no points and no series are "nothing to
//! measure". The keys go to the hosts of Datadog's sites and to no other.

use super::{
    door::{self, Answered, Door, Sent},
    misled,
};
use crate::ports::signals::{Measure, Measured, SignalAccess, SignalError, SignalSource};
use futures::{FutureExt as _, future::BoxFuture};
use http::{HeaderMap, HeaderValue, Method, header};
use lockkeeper_core::{image::shown, signals::Server};
use serde::Deserialize;
use std::sync::Arc;

/// The client of all sites.
pub struct Datadog {
    door: Arc<Door>,
}

impl Datadog {
    /// Nothing is dialled yet.
    #[must_use]
    pub fn new(door: Arc<Door>) -> Self {
        Self { door }
    }

    async fn ask(
        &self,
        access: &SignalAccess,
        measure: Measure<'_>,
    ) -> Result<Option<Measured>, SignalError> {
        let Server::Datadog(site) = measure.server else { return Err(misled(measure.server)) };
        let mut url = self.door.vendor(&format!("api.{site}"), "/api/v1/query")?;
        let until = measure.at.as_second();
        let from = until - measure.window.max(1);
        url.query_pairs_mut()
            .append_pair("from", &from.to_string())
            .append_pair("to", &until.to_string())
            .append_pair("query", measure.query);
        let headers = HeaderMap::from_iter([
            (header::ACCEPT, HeaderValue::from_static("application/json")),
            (
                header::HeaderName::from_static("dd-api-key"),
                door::sensitive("DD-API-KEY", access.needed("apiKey")?)?,
            ),
            (
                header::HeaderName::from_static("dd-application-key"),
                door::sensitive("DD-APPLICATION-KEY", access.needed("applicationKey")?)?,
            ),
        ]);
        let sent = Sent { method: Method::GET, url, headers, body: String::new() };
        let value = read(&self.door.ask(None, sent).await?, from, until)?;
        Ok(value.map(Measured::Value))
    }
}

impl SignalSource for Datadog {
    fn measure<'a>(
        &'a self,
        access: &'a SignalAccess,
        measure: Measure<'a>,
    ) -> BoxFuture<'a, Result<Option<Measured>, SignalError>> {
        self.ask(access, measure).boxed()
    }
}

/// An answer as the API documents it. What is not named here may change without harm.
#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    status: String,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    series: Vec<Series>,
}

#[derive(Debug, Deserialize)]
struct Series {
    /// Milliseconds since 1970, and a value or nothing.
    #[serde(default)]
    pointlist: Vec<(f64, Option<f64>)>,
}

#[derive(Debug, Deserialize)]
struct Errors {
    errors: Vec<String>,
}

fn read(answered: &Answered, from: i64, until: i64) -> Result<Option<f64>, SignalError> {
    let host = &answered.host;
    let said = |body: &[u8]| serde_json::from_slice::<Errors>(body).ok()?.errors.into_iter().next();
    answered.accepted(said)?;
    let Ok(answer) = serde_json::from_slice::<Answer>(&answered.body) else {
        return Err(SignalError::other(format!("{host} does not answer as Datadog's API does")));
    };
    if answer.status != "ok" {
        let why = answer.error.map(|why| format!(": {}", shown(&why))).unwrap_or_default();
        return Err(SignalError::other(format!(
            "{host} answered with status {}{why}",
            shown(&answer.status)
        )));
    }
    if answer.series.len() > 1 {
        let why = "a signal has one value; take `by {…}` out of the query, or aggregate it";
        return Err(SignalError::other(format!(
            "{host} answered with {} series; {why}",
            answer.series.len()
        )));
    }
    let points = answer.series.into_iter().flat_map(|series| series.pointlist);
    let seconds = |whole: i64| jiff::SignedDuration::from_secs(whole).as_secs_f64() * 1000.0;
    let of_the_tick = points.filter(|(at, _)| *at >= seconds(from) && *at < seconds(until));
    let values: Vec<f64> = of_the_tick.filter_map(|(_, value)| value).collect();
    let count = u32::try_from(values.len()).unwrap_or(u32::MAX);
    Ok((count > 0).then(|| values.iter().sum::<f64>() / f64::from(count)))
}
