//! Servers that speak the Prometheus API: one instant query at the end of a tick.
//!
//! Guarantees: a value is one finite number of one series, without a warning; no series and NaN are "nothing to
//! measure"; everything else is an error that says what to do. A sample older than the tick is none: the server is told
//! not to look back further.

use super::{
    door::{self, Answered, Door, LIMIT, Sent},
    misled,
};
use crate::ports::signals::{Measure, Measured, SignalAccess, SignalError, SignalSource};
use futures::{FutureExt as _, future::BoxFuture};
use http::{HeaderValue, Method, header};
use lockkeeper_core::{image::shown, signals::Server};
use serde::Deserialize;
use std::sync::Arc;
use url::form_urlencoded;

/// The client of all such servers.
pub struct Prometheus {
    door: Arc<Door>,
}

impl Prometheus {
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
        let Server::Prometheus(address) = measure.server else { return Err(misled(measure.server)) };
        let url = door::url(address, "/api/v1/query", "prometheus.address")?;
        let time = format!("{}.{:03}", measure.at.as_second(), measure.at.subsec_millisecond());
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("query", measure.query)
            .append_pair("time", &time)
            .append_pair("timeout", &format!("{}s", LIMIT.as_secs()))
            .append_pair("lookback_delta", &format!("{}s", measure.window.max(1)))
            .finish();
        let mut headers = door::headers(access)?;
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        let sent = Sent { method: Method::POST, url, headers, body };
        let answer = self.door.ask(access.authority.as_deref(), sent).await?;
        Ok(read(&answer)?.map(Measured::Value))
    }
}

impl SignalSource for Prometheus {
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
    error: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
    data: Option<Data>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<Series>),
    Scalar((f64, String)),
    Matrix(serde::de::IgnoredAny),
    String(serde::de::IgnoredAny),
}

#[derive(Debug, Deserialize)]
struct Series {
    /// None for a native histogram.
    value: Option<(f64, String)>,
}

fn read(answered: &Answered) -> Result<Option<f64>, SignalError> {
    let host = &answered.host;
    let answer: Option<Answer> = serde_json::from_slice(&answered.body).ok();
    answered.accepted(|_| answer.as_ref().and_then(|answer| answer.error.clone()))?;
    let Some(answer) = answer else {
        return Err(error(format!("{host} does not answer as the Prometheus API does")));
    };
    if let Some(warning) = answer.warnings.first() {
        return Err(error(format!("{host} warns that the answer may be wrong: {}", shown(warning))));
    }
    let number = match answer.data {
        Some(Data::Scalar((_, number))) => number,
        Some(Data::Vector(series)) if series.len() > 1 => {
            let why = "a signal has one value; aggregate it, with sum() or max() for instance";
            return Err(error(format!("{host} answered with {} series; {why}", series.len())));
        }
        Some(Data::Vector(mut series)) => match series.pop() {
            None => return Ok(None),
            Some(Series { value: Some((_, number)) }) => number,
            Some(Series { value: None }) => {
                let why = "take histogram_quantile() or histogram_sum() of it";
                return Err(error(format!("{host} answered with a histogram; {why}")));
            }
        },
        Some(Data::Matrix(_) | Data::String(_)) | None => {
            let why = "write an expression with one number as its value";
            return Err(error(format!("{host} answered with no instant value; {why}")));
        }
    };
    match number.parse::<f64>() {
        Ok(value) if value.is_nan() => Ok(None),
        Ok(value) if value.is_finite() => Ok(Some(value)),
        _ => Err(error(format!("{host} answered {}, which cannot be compared", shown(&number)))),
    }
}

fn error(message: String) -> SignalError {
    SignalError::other(message)
}
