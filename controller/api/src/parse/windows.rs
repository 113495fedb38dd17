//! `spec.stages[].windows`.

use super::error::{Errors, nearest};
use crate::{bounds, defaults, spec};
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use lockkeeper_core::{
    image::shown,
    policy::{Window, WindowKind},
};

pub(super) fn parse(errors: &mut Errors, path: &str, windows: &[spec::Window]) -> Option<Vec<Window>> {
    errors.count(path, windows.len(), 0, bounds::WINDOWS);
    let found: Vec<Option<Window>> =
        windows.iter().enumerate().map(|(n, window)| one(errors, &format!("{path}[{n}]"), window)).collect();
    found.into_iter().collect()
}

fn one(errors: &mut Errors, path: &str, window: &spec::Window) -> Option<Window> {
    let cron = cron(errors, &format!("{path}.cron"), &window.cron);
    let duration = errors.duration(&format!("{path}.duration"), &window.duration, bounds::WINDOW);
    let zone = window.time_zone.as_deref().unwrap_or(defaults::TIME_ZONE);
    let time_zone = time_zone(errors, &format!("{path}.timeZone"), zone);
    let kind = errors.word(
        &format!("{path}.kind"),
        window.kind.as_deref().unwrap_or(defaults::WINDOW_KIND),
        &[("Allow", WindowKind::Allow), ("Deny", WindowKind::Deny)],
    );
    Some(Window { cron: cron?, duration: duration?, time_zone: time_zone?, kind: kind? })
}

fn cron(errors: &mut Errors, path: &str, text: &str) -> Option<croner::Cron> {
    const FIX: &str = "write minute, hour, day of month, month and day of week, such as 0 9 * * MON-THU";
    if text.len() > 100 {
        errors.add(path, text, "has more than 100 characters", FIX);
        return None;
    }
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    match parser.parse(text) {
        Ok(cron) => Some(cron),
        Err(error) => {
            let reason = error.to_string();
            let reason = reason.trim_end_matches('.');
            errors.add(
                path,
                text,
                format_args!("is no cron expression ({})", shown(reason).trim_matches('"')),
                FIX,
            );
            None
        }
    }
}

/// Only from the database in the binary: the zones are the same on every machine.
fn time_zone(errors: &mut Errors, path: &str, text: &str) -> Option<TimeZone> {
    let zones = TimeZoneDatabase::bundled();
    // The database is lenient about case; two spellings of one zone are one too many.
    if let Ok(zone) = zones.get(text)
        && zone.iana_name() == Some(text)
    {
        return Some(zone);
    }
    let known: Vec<String> = zones.available().map(|name| name.as_str().to_owned()).collect();
    let fix = match nearest(text, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean {}?", shown(near)),
        None => "write an IANA name such as Europe/Berlin, America/New_York or UTC".to_owned(),
    };
    errors.add(path, text, "is no time zone", fix);
    None
}
