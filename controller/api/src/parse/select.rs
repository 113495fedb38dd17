//! `spec.select`.

use super::error::Errors;
use crate::{bounds, defaults, spec::Select};
use lockkeeper_core::{
    image::Platform,
    select::{Order, Pattern, SelectError, Selection, TagFilter},
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
    match (&select.semver, &select.digest) {
        (Some(semver), None) => {
            let made = Order::semver(&semver.range);
            prefixed(errors, made)
        }
        (None, Some(digest)) => {
            let made = Order::digest(&digest.tag);
            prefixed(errors, made)
        }
        (None, None) => {
            let fix = "set semver, such as {range: \">=1.0.0\"}, or digest, such as {tag: latest}";
            errors.add("spec.select", "", "says nowhere how the candidate is chosen", fix);
            None
        }
        (Some(_), Some(_)) => {
            errors.add(
                "spec.select",
                "semver, digest",
                "are two ways to choose the candidate",
                "remove one of them",
            );
            None
        }
    }
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
