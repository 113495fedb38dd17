//! A server of one's own that judges: it takes a request of ours, and answers with a number or with a verdict.
//!
//! Guarantees: what is asked and what may be answered is documented in the guide on signals; a request has the same id
//! whenever it is sent, and where the Secret has `signingKey` it is signed as <https://www.standardwebhooks.com> says.
//! An answer in any other form is an error, never a verdict.

use super::{
    door::{self, Answered, Door, Sent},
    misled,
};
use crate::{
    ports::signals::{Measure, Measured, SignalAccess, SignalError, SignalSource},
    signing::webhooks::Key,
};
use futures::{FutureExt as _, future::BoxFuture};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use jiff::Timestamp;
use lockkeeper_core::{image::shown, signals::Server};
use serde::Deserialize;
use std::sync::Arc;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The client of all such servers.
pub struct Webhook {
    door: Arc<Door>,
}

impl Webhook {
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
        let Server::Webhook(address) = measure.server else { return Err(misled(measure.server)) };
        let url = door::url(address, "", "webhook.address")?;
        let mut headers = door::headers(access)?;
        headers.insert(header::ACCEPT, JSON);
        headers.insert(header::CONTENT_TYPE, JSON);
        sign(access, measure, &mut headers)?;
        let sent = Sent { method: Method::POST, url, headers, body: measure.query.to_owned() };
        read(&self.door.ask(access.authority.as_deref(), sent).await?)
    }
}

/// Id and time always; the signature where there is a key.
fn sign(access: &SignalAccess, measure: Measure<'_>, headers: &mut HeaderMap) -> Result<(), SignalError> {
    let time = Timestamp::now().as_second().to_string();
    headers.insert("webhook-id", door::sensitive("webhook-id", measure.id)?);
    headers.insert("webhook-timestamp", door::sensitive("webhook-timestamp", &time)?);
    if let Some(key) = access.keys.get("signingKey") {
        let key = Key::parse(key)
            .map_err(|why| SignalError::other(format!("secretRef: key signingKey of the Secret {why}")))?;
        let signature = key.sign(measure.id, &time, measure.query.as_bytes());
        headers.insert("webhook-signature", door::sensitive("webhook-signature", &signature)?);
    }
    Ok(())
}

impl SignalSource for Webhook {
    fn measure<'a>(
        &'a self,
        access: &'a SignalAccess,
        measure: Measure<'a>,
    ) -> BoxFuture<'a, Result<Option<Measured>, SignalError>> {
        self.ask(access, measure).boxed()
    }
}

/// What may be answered. What is not named here may be there without harm.
#[derive(Debug, Deserialize)]
struct Answer {
    value: Option<f64>,
    verdict: Option<String>,
    #[serde(default)]
    message: String,
}

fn read(answered: &Answered) -> Result<Option<Measured>, SignalError> {
    answered.accepted(|_| None)?;
    let host = &answered.host;
    if answered.status == StatusCode::NO_CONTENT {
        return Ok(None);
    }
    let wanted = "it has to answer {\"value\": 0.25} or {\"verdict\": \"Healthy\"}";
    // The parser's own message would show a part of the answer.
    let Ok(answer) = serde_json::from_slice::<Answer>(&answered.body) else {
        return Err(SignalError::other(format!("{host} answered in another form; {wanted}")));
    };
    let said =
        if answer.message.is_empty() { String::new() } else { format!(": {}", shown(&answer.message)) };
    match (answer.value, answer.verdict.as_deref()) {
        (Some(value), None) => Ok(Some(Measured::Value(value))),
        (None, Some("Healthy")) => Ok(Some(Measured::Verdict { degraded: false })),
        (None, Some("Degraded")) => Ok(Some(Measured::Verdict { degraded: true })),
        (None, Some(none @ ("Inconclusive" | "NoData"))) => {
            Err(SignalError::other(format!("{host} says {none}{said}")))
        }
        (None, Some(other)) => Err(SignalError::other(format!(
            "{host} answered with the verdict {}, which is none of Healthy, Degraded, Inconclusive and NoData",
            shown(other)
        ))),
        (None, None) => {
            Err(SignalError::other(format!("{host} answered with neither value nor verdict; {wanted}")))
        }
        (Some(_), Some(_)) => {
            Err(SignalError::other(format!("{host} answered with value and verdict; {wanted}")))
        }
    }
}
