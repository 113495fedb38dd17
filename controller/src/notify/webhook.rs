//! Anything that takes `CloudEvents` over HTTP, signed as <https://www.standardwebhooks.com> says.
//!
//! Guarantees: the id of an event is that of its message, however often it is sent; the signature covers id, time and body,
//! so that an old one cannot be sent again later as a new one.

use super::{Outgoing, Speaks, Values, text};
use crate::{ports::notify::Message, signing::webhooks::Key};
use http::{HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;
use serde_json::json;

pub struct Webhook;

impl Speaks for Webhook {
    fn request(&self, values: &Values<'_>, message: &Message) -> Result<Outgoing, String> {
        let (url, key) = (values.url()?, key(values)?);
        let body = body(message);
        let (id, time) = (&message.notice.id, Timestamp::now().as_second().to_string());
        let signature = key.sign(id, &time, &body);
        let mut headers = Vec::new();
        for (name, value) in
            [("webhook-id", id.as_str()), ("webhook-timestamp", &time), ("webhook-signature", &signature)]
        {
            let value = HeaderValue::from_str(value).map_err(|_| "the message has no id".to_owned())?;
            headers.push((HeaderName::from_static(name), value));
        }
        headers.extend(values.authorization()?);
        Ok(Outgoing { url, content_type: "application/cloudevents+json", headers, body })
    }

    fn advice(&self, status: StatusCode) -> &'static str {
        match status.as_u16() {
            401 | 403 => "check key, and token if it asks for one",
            404 | 410 => "check key url",
            _ => "tried again later",
        }
    }

    fn outside(&self) -> bool {
        false
    }
}

fn body(message: &Message) -> Vec<u8> {
    let notice = &message.notice;
    let event = json!({
        "specversion": "1.0",
        "id": notice.id,
        "source": format!("/apis/lockkeeper.dev/namespaces/{}/imagepolicies/{}", message.namespace, message.policy),
        "type": format!("dev.lockkeeper.{}", notice.occasion.name()),
        "subject": notice.stage,
        "time": notice.at.to_string(),
        "datacontenttype": "application/json",
        "data": {
            "namespace": message.namespace, "policy": message.policy, "image": message.image,
            "stage": notice.stage, "occasion": notice.occasion.name(), "summary": text::headline(message),
            "message": notice.message, "done": notice.done, "next": notice.next,
            "incident": notice.incident, "since": notice.since.map(|since| since.to_string()),
        },
    });
    let mut event = event;
    // The format knows no empty subject.
    if notice.stage.is_empty()
        && let Some(fields) = event.as_object_mut()
    {
        fields.remove("subject");
    }
    event.to_string().into_bytes()
}

fn key(values: &Values<'_>) -> Result<Key, String> {
    Key::parse(values.needed("key")?).map_err(|why| format!("key key {why}"))
}
