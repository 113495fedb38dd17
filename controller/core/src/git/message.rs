//! What commits and requests say.
//!
//! Guarantees: a message ends in trailers that no tag, digest or name can forge, as none of them can hold a line break; by
//! its marks it is known again.

use super::Delivery;
use std::fmt::Write as _;

/// What an attempt's own commit, and its request, are found by.
const MARK: &str = "Lockkeeper-Attempt: ";

/// Subject, one line for each delivery, and the trailers. With a template: what it makes of each delivery. Each delivery
/// with whether it takes a release back.
#[must_use]
pub fn message(brings: &[(Delivery, bool)], template: Option<&str>) -> String {
    let mut text = match brings {
        [(delivery, back)] if template.is_some() => {
            let mut text = filled(template.unwrap_or_default(), delivery, *back).trim_end().to_owned();
            text.push_str("\n\n");
            text
        }
        [(delivery, back)] => {
            let Delivery { policy: (_, name), stage, .. } = delivery;
            format!("{name}: {} {} in {stage}\n\n", verb(*back), image(delivery))
        }
        many => format!("Bring {} images to their releases\n\n", many.len()),
    };
    let mut trailers = String::new();
    for (delivery, back) in brings {
        let Delivery { policy: (namespace, name), stage, digest, .. } = delivery;
        // Writing to a text cannot fail.
        let _ = writeln!(
            text,
            "{} {}@{digest} in stage {stage} of {namespace}/{name}",
            verb(*back),
            image(delivery)
        );
        let _ = writeln!(trailers, "Lockkeeper-Policy: {namespace}/{name}");
        let _ = writeln!(trailers, "Lockkeeper-Stage: {stage}");
        let _ = writeln!(trailers, "Lockkeeper-Digest: {digest}");
        let _ = writeln!(trailers, "{MARK}{}", delivery.mark());
    }
    format!("{text}\n{trailers}")
}

/// The marks in a message, in their order.
pub fn marks(message: &str) -> impl Iterator<Item = &str> {
    message.lines().filter_map(|line| line.trim_end().strip_prefix(MARK))
}

/// The message without its marks: by this one nobody finds it yet.
#[must_use]
pub fn unmarked(message: &str) -> String {
    message.lines().filter(|line| !line.starts_with(MARK)).flat_map(|line| [line, "\n"]).collect()
}

fn image(delivery: &Delivery) -> String {
    let repository = delivery.repositories.first().map(ToString::to_string).unwrap_or_default();
    let tag = delivery.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
    format!("{repository}{tag}")
}

fn verb(back: bool) -> &'static str {
    if back { "take back to" } else { "promote" }
}

/// A template with what its variables stand for. What is put in is not read again.
fn filled(template: &str, delivery: &Delivery, back: bool) -> String {
    let mut parts = template.split("$(");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once(')').unwrap_or((part, ""));
        let Delivery { policy: (namespace, policy), stage, tag, digest, .. } = delivery;
        match name {
            "action" => text += verb(back),
            "policy" => text += policy,
            "namespace" => text += namespace,
            "stage" => text += stage,
            "image" => text += &image(delivery),
            "tag" => text += tag.as_ref().map_or("", |tag| tag.as_str()),
            "digest" => text += digest.as_str(),
            "attempt" => text += &delivery.mark(),
            // The policy was checked: nothing else is in it.
            _ => {}
        }
        text += rest;
    }
    text
}
