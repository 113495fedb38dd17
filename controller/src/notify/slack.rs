//! Slack, by an incoming webhook: <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>.

use super::{Outgoing, Speaks, Values, text};
use crate::ports::notify::Message;
use http::StatusCode;
use serde_json::{Value, json};

/// Longest text of a section, in characters.
const SECTION: usize = 2_900;

pub struct Slack;

impl Speaks for Slack {
    fn request(&self, values: &Values<'_>, message: &Message) -> Result<Outgoing, String> {
        let headline = escaped(&text::headline(message));
        let mut blocks = vec![section(&format!("*{headline}*"))];
        for (title, part) in text::parts(message) {
            blocks.push(section(&match title {
                // A command is copied: nothing in it may be changed.
                "next" => format!("```{}```", escaped(part)),
                _ => escaped(part),
            }));
        }
        let fallback = escaped(&text::summary(message));
        let body = json!({"text": fallback, "blocks": blocks, "unfurl_links": false, "unfurl_media": false});
        Ok(Outgoing::json(values.url()?, &body))
    }

    fn advice(&self, status: StatusCode) -> &'static str {
        match status.as_u16() {
            403 | 404 | 410 => {
                "the webhook was revoked, or its channel is archived: write another one into key url"
            }
            429 => "it is asked too often; tried again later",
            400 => "it does not take such messages: is key url that of an incoming webhook?",
            _ => "tried again later",
        }
    }

    fn outside(&self) -> bool {
        true
    }
}

fn section(text: &str) -> Value {
    json!({"type": "section", "text": {"type": "mrkdwn", "text": text::cut(text, SECTION), "verbatim": true}})
}

/// The three characters that Slack reads as markup of links and mentions.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
