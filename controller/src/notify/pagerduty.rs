//! `PagerDuty`, by its Events API v2: <https://developer.pagerduty.com/docs/events-api-v2-overview>.
//!
//! One alert per trouble of a stage: what changes it has the same `dedup_key`, and its end resolves it.

use super::{Outgoing, Speaks, Values, parse_url, text};
use crate::ports::notify::Message;
use http::StatusCode;
use lockkeeper_core::notices::Occasion;
use serde_json::json;

/// Where events go, unless the Secret has another `url`.
const ENQUEUE: &str = "https://events.pagerduty.com/v2/enqueue";
/// Longest summary, in characters.
const SUMMARY: usize = 1024;

pub struct PagerDuty;

impl Speaks for PagerDuty {
    fn request(&self, values: &Values<'_>, message: &Message) -> Result<Outgoing, String> {
        let url = parse_url(values.text("url")?.unwrap_or(ENQUEUE))?;
        let (key, notice) = (values.needed("routingKey")?, &message.notice);
        let dedup = notice.incident.as_deref().unwrap_or(&notice.id);
        if notice.occasion == Occasion::Resolved {
            let body = json!({"routing_key": key, "event_action": "resolve", "dedup_key": dedup});
            return Ok(Outgoing::json(url, &body));
        }
        let summary = format!("{}: {}", text::headline(message), notice.message);
        let body = json!({
            "routing_key": key, "event_action": "trigger", "dedup_key": dedup,
            "client": "Lockkeeper",
            "payload": {
                "summary": text::cut(&summary, SUMMARY),
                "source": format!("{}/{}", message.namespace, message.policy),
                "severity": if notice.occasion == Occasion::Blocked { "critical" } else { "error" },
                "timestamp": notice.at.to_string(),
                "component": notice.stage, "group": message.image, "class": notice.occasion.name(),
                "custom_details": {
                    "what": notice.message, "done": notice.done, "next": notice.next, "id": notice.id,
                },
            },
        });
        Ok(Outgoing::json(url, &body))
    }

    fn advice(&self, status: StatusCode) -> &'static str {
        match status.as_u16() {
            400 => "check key routingKey: it is that of an integration with the Events API v2",
            429 => "it is asked too often; tried again later",
            _ => "tried again later",
        }
    }

    fn outside(&self) -> bool {
        true
    }
}
