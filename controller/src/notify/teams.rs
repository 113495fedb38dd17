//! Microsoft Teams, by a workflow that posts an adaptive card to a channel when a webhook request is received.

use super::{Outgoing, Speaks, Values, text};
use crate::ports::notify::Message;
use http::StatusCode;
use serde_json::{Value, json};

pub struct Teams;

impl Speaks for Teams {
    fn request(&self, values: &Values<'_>, message: &Message) -> Result<Outgoing, String> {
        let mut body = vec![run(&text::headline(message), &json!({"weight": "Bolder", "size": "Medium"}))];
        for (title, part) in text::parts(message) {
            let font = if title == "next" { "Monospace" } else { "Default" };
            body.push(run(part, &json!({"fontType": font})));
        }
        let card = json!({
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard", "version": "1.4", "msteams": {"width": "Full"},
            "fallbackText": text::summary(message), "body": body,
        });
        let attachment = json!({
            "contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": card,
        });
        Ok(Outgoing::json(values.url()?, &json!({"type": "message", "attachments": [attachment]})))
    }

    fn advice(&self, status: StatusCode) -> &'static str {
        match status.as_u16() {
            401 | 403 | 404 | 410 => {
                "the workflow is gone or refuses: write its present address into key url"
            }
            429 => "it is asked too often; tried again later",
            400 => "it does not take such messages: is key url that of a workflow that posts to a channel?",
            _ => "tried again later",
        }
    }

    fn outside(&self) -> bool {
        true
    }
}

/// A line of plain text: other blocks would read markup in it.
fn run(text: &str, style: &Value) -> Value {
    let mut run = json!({"type": "TextRun", "text": text});
    for (key, value) in style.as_object().into_iter().flatten() {
        run[key] = value.clone();
    }
    json!({"type": "RichTextBlock", "inlines": [run]})
}
