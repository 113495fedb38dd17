//! A timeline as text, and as a report in Markdown.

use super::timeline::{Passage, Timeline};
use crate::cli::{
    output::{Paint, Style, plain},
    table::{Cell, Columns, header},
    when::{When, length},
};
use jiff::{Timestamp, tz::TimeZone};
use lockkeeper_api::names;
use std::fmt::Write as _;

/// For a terminal, in the reader's time zone.
pub fn text(timeline: &Timeline, when: &When, paint: Paint) -> String {
    let mut rows = vec![header(&["TIME", "STAGE", "WHAT", "BY", "MESSAGE"])];
    for entry in &timeline.entries {
        rows.push(vec![
            Cell::from(when.full(entry.at)),
            Cell::from(if entry.stage.is_empty() { "-" } else { &entry.stage }),
            Cell::styled(style(&entry.what), &entry.what),
            Cell::from(&entry.by),
            Cell::from(&entry.message),
        ]);
    }
    let mut text = Columns::default().lines(&rows, paint);
    let passages = passages(timeline);
    if !passages.is_empty() {
        text.push('\n');
        for line in passages {
            text.push_str(&plain(&line));
            text.push('\n');
        }
    }
    text
}

fn style(what: &str) -> Style {
    match what {
        "Degraded" | "Quarantined" | "Blocked" | "RolledBack" | "RollBack" | "PutBack" | "Contested" => {
            Style::Bad
        }
        "Verified" | "Adopted" => Style::Good,
        "PromotionStarted" | "Widening" | "Promote" => Style::Moving,
        "ApprovalRequired" | "Hold" | "TagMoved" | "DriftDetected" => Style::Waiting,
        _ => Style::Plain,
    }
}

/// For a report, in UTC. Text grows without errors.
pub fn markdown(timeline: &Timeline) -> String {
    let utc = |at: Timestamp| at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S").to_string();
    let mut text = format!(
        "# {} in {}\n\nImage `{}`{}. Times are UTC.\n",
        timeline.title(),
        timeline.namespace,
        timeline.image,
        timeline.digest.as_ref().map(|digest| format!(", digest `{digest}`")).unwrap_or_default()
    );
    let passages = passages(timeline);
    if !passages.is_empty() {
        text.push_str("\n## In short\n\n");
        for line in passages {
            let _ = writeln!(text, "- {}", cell(&line));
        }
    }
    text.push_str("\n## Timeline\n\n| time | stage | what | by | |\n|---|---|---|---|---|\n");
    for entry in &timeline.entries {
        let by = if entry.by == names::FIELD_MANAGER { "the controller".to_owned() } else { cell(&entry.by) };
        let (stage, what) = (cell(&entry.stage), cell(&entry.what));
        let _ = writeln!(text, "| {} | {stage} | {what} | {by} | {} |", utc(entry.at), cell(&entry.message));
    }
    text
}

/// Text stays text in a table of Markdown.
fn cell(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in plain(text).chars() {
        if matches!(c, '|' | '<' | '[' | ']' | '`' | '*' | '_' | '\\') {
            safe.push('\\');
        }
        safe.push(c);
    }
    safe
}

/// Of one release, a line for each stage that it entered: how long until it was found, and gone.
fn passages(timeline: &Timeline) -> Vec<String> {
    if timeline.release.is_none() {
        return Vec::new();
    }
    let line = |(stage, passage): (&str, Passage)| {
        let entered = passage.entered?;
        let after = |at: Option<Timestamp>| {
            at.filter(|at| *at >= entered).map(|at| length(at.duration_since(entered)))
        };
        let end = match (after(passage.degraded), after(passage.taken_back), after(passage.verified)) {
            (Some(degraded), Some(back), _) => format!("found bad after {degraded}, gone after {back}"),
            (Some(degraded), None, _) => format!("found bad after {degraded}, not taken back"),
            (None, Some(back), _) => format!("taken back after {back}"),
            (None, None, Some(verified)) => format!("verified after {verified}"),
            (None, None, None) => "under way".to_owned(),
        };
        Some(format!("{stage}: entered {entered:.0}, {end}"))
    };
    timeline.passages().into_iter().filter_map(line).collect()
}
