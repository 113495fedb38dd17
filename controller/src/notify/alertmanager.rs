//! Prometheus' Alertmanager, by its API v2: <https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml>.
//!
//! One alert per trouble of a stage: its labels are the same until its end, what changes are annotations.

use super::{Outgoing, Speaks, Values, text};
use crate::ports::notify::Message;
use http::StatusCode;
use jiff::SignedDuration;
use lockkeeper_core::notices::Occasion;
use serde_json::json;

/// The alert's name.
const NAME: &str = "LockkeeperStageInTrouble";
/// An alert without an end would end by itself within minutes: it is told once, not every minute.
const LASTS: SignedDuration = SignedDuration::from_hours(7 * 24);

pub struct Alertmanager;

impl Speaks for Alertmanager {
    fn request(&self, values: &Values<'_>, message: &Message) -> Result<Outgoing, String> {
        let notice = &message.notice;
        let mut url = values.url()?;
        let path = format!("{}/api/v2/alerts", url.path().trim_end_matches('/'));
        url.set_path(&path);
        let since = notice.since.unwrap_or(notice.at);
        let over = notice.occasion == Occasion::Resolved;
        let ends = if over { notice.at } else { notice.at.saturating_add(LASTS).unwrap_or(notice.at) };
        let body = json!([{
            "labels": {
                "alertname": NAME, "namespace": message.namespace, "policy": message.policy,
                "stage": notice.stage, "severity": "critical",
                "incident": notice.incident.as_deref().unwrap_or(&notice.id),
            },
            "annotations": {
                "summary": text::headline(message), "description": notice.message,
                "occasion": notice.occasion.name(), "done": notice.done, "next": notice.next,
                "image": message.image,
            },
            "startsAt": since.to_string(), "endsAt": ends.to_string(),
        }]);
        let mut outgoing = Outgoing::json(url, &body);
        outgoing.headers.extend(values.authorization()?);
        Ok(outgoing)
    }

    fn advice(&self, status: StatusCode) -> &'static str {
        match status.as_u16() {
            401 | 403 => "check token, or username and password",
            404 => "key url is its base address, without /api/v2/alerts",
            _ => "tried again later",
        }
    }

    fn outside(&self) -> bool {
        false
    }
}
