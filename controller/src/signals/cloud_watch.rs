//! Amazon `CloudWatch`: `GetMetricData` with metric maths, over its JSON protocol.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html>
//!
//! Guarantees: a value is that of the last whole period that ended with the tick, of one series that is complete; periods
//! are whole minutes, as the service has them, so two ticks never read the same one. A period without a value is "nothing
//! to measure". Keys are those of the Secret, or those of the role that the policy's `ServiceAccount` may take, and never
//! any of the controller or its node. May not: keep keys longer than nine tenths of their life.

use super::{
    door::{self, Answered, Door, Sent},
    misled,
};
use crate::{
    aws::{
        self, Role,
        sigv4::{self, Keys, Scope},
    },
    hosts::authority,
    ports::{
        cloud::Account,
        signals::{Measure, Measured, SignalAccess, SignalError, SignalSource, SpokenFor},
    },
};
use futures::{FutureExt as _, future::BoxFuture};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use jiff::{SignedDuration, Timestamp};
use lockkeeper_core::{
    image::shown,
    signals::{CloudWatch as Place, Server},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Periods of metrics are whole minutes.
const MINUTE: i64 = 60;
/// By which our expression is known; no metric of a policy has this id.
const RESULT: &str = "result";
/// Keys of so many `ServiceAccounts` are kept.
const KEPT: usize = 1000;
/// The longest that keys are believed to be good.
const LONGEST: SignedDuration = SignedDuration::from_hours(1);

const CONTENT: &str = "application/x-amz-json-1.0";
const TARGET: &str = "GraniteServiceVersion20100801.GetMetricData";

/// The client of all regions.
pub struct CloudWatch {
    door: Arc<Door>,
    /// By `ServiceAccount` and its token.
    keys: Mutex<BTreeMap<(String, String), Given>>,
}

/// Keys, and how far their server's clock is ahead of ours.
#[derive(Clone)]
struct Given {
    keys: Keys,
    ahead: SignedDuration,
    until: Instant,
}

impl CloudWatch {
    /// Nothing is dialled yet.
    #[must_use]
    pub fn new(door: Arc<Door>) -> Self {
        Self { door, keys: Mutex::default() }
    }

    async fn ask(
        &self,
        access: &SignalAccess,
        measure: Measure<'_>,
    ) -> Result<Option<Measured>, SignalError> {
        let Server::CloudWatch(place) = measure.server else { return Err(misled(measure.server)) };
        let (keys, ahead) = self.keys(access, place).await?;
        let (domain, _) = aws::partition_of(&place.region);
        let url = self.door.vendor(&format!("monitoring.{}.{domain}", place.region), "/")?;
        let period = (measure.window / MINUTE).max(1) * MINUTE;
        let end = measure.at.as_second().div_euclid(period) * period;
        let body = request(place, measure.query, end - period, period).to_string();
        let now = Timestamp::now().saturating_add(ahead).unwrap_or(Timestamp::MAX);
        let headers = signed(&keys, &place.region, &authority(&url), now, &body)?;
        let answer = self.door.ask(None, Sent { method: Method::POST, url, headers, body }).await?;
        match read(&answer, end - period) {
            Err(error) if error.refused => {
                self.forget(access);
                Err(error)
            }
            value => Ok(value?.map(Measured::Value)),
        }
    }

    /// What is signed with.
    async fn keys(
        &self,
        access: &SignalAccess,
        place: &Place,
    ) -> Result<(Keys, SignedDuration), SignalError> {
        let Some(spoken) = &access.account else {
            let text = |key| access.needed(key).map(str::to_owned);
            let session = access.keys.get("sessionToken").cloned().unwrap_or_default();
            let keys = Keys { id: text("accessKeyId")?, secret: text("secretAccessKey")?, session };
            return Ok((keys, SignedDuration::ZERO));
        };
        let known = name(spoken);
        let held = self.lock().get(&known).filter(|given| Instant::now() < given.until).cloned();
        let given = match held {
            Some(given) => given,
            None => {
                let given = self.assume(spoken, place).await?;
                let mut held = self.lock();
                held.retain(|_, given| Instant::now() < given.until);
                if held.len() >= KEPT {
                    held.clear();
                }
                held.insert(known, given.clone());
                given
            }
        };
        Ok((given.keys, given.ahead))
    }

    /// Takes the role of a `ServiceAccount`.
    async fn assume(&self, spoken: &SpokenFor, place: &Place) -> Result<Given, SignalError> {
        let role = role(&spoken.account, place)?;
        let (domain, _) = aws::partition_of(&place.region);
        let url = self.door.vendor(&format!("sts.{}.{domain}", place.region), "/")?;
        let headers = HeaderMap::from_iter([(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        )]);
        let body = role.assume(&spoken.token);
        let answer = self.door.ask(None, Sent { method: Method::POST, url, headers, body }).await?;
        let host = &answer.host;
        if answer.status.is_client_error() && answer.status.as_u16() != 429 {
            let code = aws::element(&answer.body, "Code").map(|code| format!(" {}", shown(&code)));
            let (number, code) = (answer.status.as_u16(), code.unwrap_or_default());
            let who = &spoken.account.name;
            let message = format!("{host} refused ServiceAccount {who} ({number}{code}); {}", role.trust());
            return Err(SignalError { refused: true, message });
        }
        answer.accepted(|_| None)?;
        let keys = aws::assumed(&answer.body)
            .map_err(|missing| SignalError::other(format!("{host} gave no {missing}")))?;
        let (ours, theirs) = (Timestamp::now(), time_of(&answer));
        let end: Option<Timestamp> =
            aws::element(&answer.body, "Expiration").and_then(|text| text.parse().ok());
        let life = end.map_or(LONGEST, |end| end.duration_since(theirs)).clamp(SignedDuration::ZERO, LONGEST);
        let life = Duration::try_from(life).unwrap_or_default() * 9 / 10;
        Ok(Given { keys, ahead: theirs.duration_since(ours), until: Instant::now() + life })
    }

    /// They were refused: the role may have changed.
    fn forget(&self, access: &SignalAccess) {
        if let Some(spoken) = &access.account {
            self.lock().remove(&name(spoken));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<(String, String), Given>> {
        // Nothing above can panic half-way through a change.
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SignalSource for CloudWatch {
    fn measure<'a>(
        &'a self,
        access: &'a SignalAccess,
        measure: Measure<'a>,
    ) -> BoxFuture<'a, Result<Option<Measured>, SignalError>> {
        self.ask(access, measure).boxed()
    }

    fn audience(&self, server: &Server, account: &Account) -> Result<String, SignalError> {
        let Server::CloudWatch(place) = server else { return Err(misled(server)) };
        role(account, place).map(|role| role.audience().to_owned())
    }
}

fn name(spoken: &SpokenFor) -> (String, String) {
    (format!("{} {}", spoken.account.name, spoken.account.uid), spoken.token.clone())
}

fn role<'a>(account: &'a Account, place: &Place) -> Result<Role<'a>, SignalError> {
    let (_, partition) = aws::partition_of(&place.region);
    Role::of(account, partition, "region").map_err(|why| {
        let name = &account.name;
        SignalError::other(format!(
            "ServiceAccount {name}: {why}; or name a Secret with accessKeyId and secretAccessKey in secretRef"
        ))
    })
}

/// What is asked: one period of the expression.
fn request(place: &Place, expression: &str, start: i64, period: i64) -> Value {
    let metrics = place.metrics.iter().map(|metric| {
        let dimensions: Vec<Value> =
            metric.dimensions.iter().map(|(name, value)| json!({"Name": name, "Value": value})).collect();
        let of = json!({"Namespace": metric.namespace, "MetricName": metric.name, "Dimensions": dimensions});
        let measured = json!({"Metric": of, "Period": period, "Stat": metric.stat});
        json!({"Id": metric.id, "MetricStat": measured, "ReturnData": false})
    });
    let ours = json!({"Id": RESULT, "Expression": expression, "Period": period, "ReturnData": true});
    let queries: Vec<Value> = metrics.chain([ours]).collect();
    json!({"StartTime": start, "EndTime": start + period, "MetricDataQueries": queries})
}

/// The headers of a request that is signed as its sender's.
fn signed(
    keys: &Keys,
    region: &str,
    host: &str,
    now: Timestamp,
    body: &str,
) -> Result<HeaderMap, SignalError> {
    let date = sigv4::date(now).ok_or_else(|| SignalError::other("the time is none".to_owned()))?;
    let all = [
        ("content-type", CONTENT),
        ("host", host),
        ("x-amz-date", &date),
        ("x-amz-security-token", &keys.session),
        ("x-amz-target", TARGET),
    ];
    let sent: Vec<(&str, &str)> = all.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let scope = Scope { region, service: "monitoring" };
    let authorization = sigv4::authorization(keys, &scope, &date, &sent, body);
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, door::sensitive("Authorization", &authorization)?);
    for (name, value) in sent {
        // The connection writes its own.
        if name != "host" {
            headers.insert(HeaderName::from_static(name), door::sensitive(name, value)?);
        }
    }
    Ok(headers)
}

/// The time of who answered; ours if it does not say.
fn time_of(answer: &Answered) -> Timestamp {
    let said = answer.headers.get(header::DATE).and_then(|date| date.to_str().ok());
    let said = said.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
    said.map_or_else(Timestamp::now, |date| date.timestamp())
}

/// An answer as the API documents it. What is not named here may change without harm.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Answer {
    metric_data_results: Vec<Series>,
    messages: Vec<Message>,
    next_token: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Series {
    status_code: String,
    timestamps: Vec<f64>,
    values: Vec<f64>,
    messages: Vec<Message>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Message {
    code: String,
    value: String,
}

/// An error as the protocol writes it.
#[derive(Debug, Deserialize)]
struct Refusal {
    #[serde(rename = "__type")]
    kind: String,
    #[serde(alias = "Message", default)]
    message: String,
}

/// Codes of those who may have to be given other keys.
const KEYS_REFUSED: [&str; 5] =
    ["AccessDenied", "Token", "Signature", "UnrecognizedClient", "MissingAuthentication"];

fn read(answered: &Answered, start: i64) -> Result<Option<f64>, SignalError> {
    let host = &answered.host;
    let refusal: Option<Refusal> = serde_json::from_slice(&answered.body).ok();
    let code = refusal.as_ref().map(|refusal| refusal.kind.rsplit('#').next().unwrap_or_default().to_owned());
    answered.accepted(|_| Some(format!("{}: {}", code.clone()?, refusal.as_ref()?.message))).map_err(
        |error| {
            let keys = code.as_deref().is_some_and(|code| KEYS_REFUSED.iter().any(|one| code.contains(one)));
            SignalError { refused: error.refused || keys, ..error }
        },
    )?;
    let Ok(mut answer) = serde_json::from_slice::<Answer>(&answered.body) else {
        return Err(SignalError::other(format!("{host} does not answer as CloudWatch does")));
    };
    if let Some(Message { code, value }) = answer.messages.first() {
        return Err(SignalError::other(format!("{host} warns: {}", shown(&format!("{code}: {value}")))));
    }
    if answer.next_token.is_some() || answer.metric_data_results.len() > 1 {
        let why = "a signal has one value; aggregate it, with SUM(SEARCH(…)) for instance";
        return Err(SignalError::other(format!("{host} answered with several series; {why}")));
    }
    let Some(series) = answer.metric_data_results.pop() else { return Ok(None) };
    let said = series.messages.first().map(|m| format!(": {}", shown(&format!("{}: {}", m.code, m.value))));
    if series.status_code != "Complete" {
        let (code, said) = (shown(&series.status_code), said.unwrap_or_default());
        return Err(SignalError::other(format!("{host} gave no complete answer ({code}){said}")));
    }
    let all = series.timestamps.iter().zip(&series.values);
    let at = SignedDuration::from_secs(start).as_secs_f64();
    let value = all.filter(|(when, _)| (**when - at).abs() < 1.0).map(|(_, value)| *value).next();
    match (value, said) {
        (Some(_), Some(said)) => Err(SignalError::other(format!("{host} warns{said}"))),
        (value, _) => Ok(value),
    }
}
