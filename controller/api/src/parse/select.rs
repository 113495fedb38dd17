//! `spec.select`.

use super::error::Errors;
use crate::{
    bounds, defaults,
    spec::{Select, TagOrder},
};
use lockkeeper_core::{
    image::Platform,
    select::{DISCOVERY_LIMIT, Order, Pattern, SelectError, Selection, TagFilter},
};

pub(super) fn parse(errors: &mut Errors, select: &Select) -> Option<Selection> {
    let order = order(errors, select);
    let filter = match &select.filter_tags {
        None => Some(None),
        Some(filter) => {
            let made = TagFilter::new(&filter.pattern, filter.extract.as_deref().unwrap_or_default());
            prefixed(errors, made.map_err(SelectError::from)).map(Some)
        }
    };
    errors.count("spec.select.ignoreTags", select.ignore_tags.len(), 0, 16);
    let ignore = each(errors, "spec.select.ignoreTags", &select.ignore_tags, Pattern::new);
    errors.count("spec.select.platforms", select.platforms.len(), 0, 16);
    let platforms = each(errors, "spec.select.platforms", &select.platforms, str::parse::<Platform>);
    let age = select.minimum_release_age.as_deref().unwrap_or(defaults::RELEASE_AGE);
    let age = errors.duration("spec.select.minimumReleaseAge", age, bounds::RELEASE_AGE);
    let downgrade = select.allow_downgrade.unwrap_or_default();
    let made = Selection::new(order?, filter?, ignore?, platforms?, age?, downgrade);
    prefixed(errors, made)
}

fn order(errors: &mut Errors, select: &Select) -> Option<Order> {
    let descending = |order: Option<TagOrder>| order == Some(TagOrder::Desc);
    let semver = select.semver.as_ref().map(|semver| ("semver", Order::semver(&semver.range)));
    let alphabetical = select
        .alphabetical
        .as_ref()
        .map(|by| ("alphabetical", Ok(Order::Alphabetical { descending: descending(by.order) })));
    let numerical = select
        .numerical
        .as_ref()
        .map(|by| ("numerical", Ok(Order::Numerical { descending: descending(by.order) })));
    let newest_build = select.newest_build.as_ref().map(|by| {
        let limit =
            by.discovery_limit.map_or(DISCOVERY_LIMIT, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        ("newestBuild", Order::newest_build(limit))
    });
    let digest = select.digest.as_ref().map(|digest| ("digest", Order::digest(&digest.tag)));
    let mut ways: Vec<_> =
        [semver, alphabetical, numerical, newest_build, digest].into_iter().flatten().collect();
    if ways.len() > 1 {
        let names: Vec<&str> = ways.iter().map(|(name, _)| *name).collect();
        let (names, reason) = (names.join(", "), "are several ways to choose the candidate");
        errors.add("spec.select", &names, reason, "keep one of them");
        return None;
    }
    let Some((_, made)) = ways.pop() else {
        let fix = "set semver, such as {range: \">=1.0.0\"}, alphabetical, numerical, newestBuild, or digest, such as \
                   {tag: latest}";
        errors.add("spec.select", "", "says nowhere how the candidate is chosen", fix);
        return None;
    };
    prefixed(errors, made)
}

/// All elements, or every mistake in them.
fn each<T, E: std::fmt::Display>(
    errors: &mut Errors,
    path: &str,
    texts: &[String],
    read: impl Fn(&str) -> Result<T, E>,
) -> Option<Vec<T>> {
    let found: Vec<Option<T>> =
        texts.iter().enumerate().map(|(n, text)| errors.keep(format!("{path}[{n}]"), read(text))).collect();
    found.into_iter().collect()
}

/// The core's own messages begin with the path below `spec`.
fn prefixed<T>(errors: &mut Errors, result: Result<T, SelectError>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            let text = error.to_string();
            let (path, message) = text.split_once(": ").unwrap_or(("select", &text));
            errors.keep(format!("spec.{path}"), Err::<T, _>(message))
        }
    }
}
