//! What a pod is born with, where no admission policy of the API server says it: the same as the expressions of
//! `lockkeeper-pin-at-birth`, for the controller's webhook.
//!
//! Guarantees: for one pod and the same pins the result is the policy's, image by image (one table is played to both,
//! `tests/tests/birth/table.json`); a pod is only ever given images of pins, in the repositories that it names itself.
//! Assumes: the pins are those of the pod's namespace.

use crate::pin::PinSpec;
use regex::Regex;
use std::{collections::BTreeMap, sync::LazyLock};

/// What counts of a pod that is to be born.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Newborn {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its containers, then its init containers: those of one list are in the pod's order.
    pub containers: Vec<Container>,
}

/// A container of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Where it stands.
    pub place: Place,
    /// Its name.
    pub name: String,
    /// Its image; none: somebody else fills it in.
    pub image: Option<String>,
}

/// Where a container stands in its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In `spec.containers`.
    Main(usize),
    /// In `spec.initContainers`.
    Init(usize),
}

/// What changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Birth {
    /// The new images.
    pub images: BTreeMap<Place, String>,
    /// The pin that changed something last.
    pub pinned_by: String,
}

/// What the pins, in this order, make of a pod; none: nothing. Each sees what the one before it has made.
#[must_use]
pub fn born<'p>(pod: &Newborn, pins: impl IntoIterator<Item = (&'p str, &'p PinSpec)>) -> Option<Birth> {
    let mut containers = pod.containers.clone();
    let mut birth: Option<Birth> = None;
    for (name, pin) in pins {
        if !pin.match_labels.iter().all(|(key, value)| pod.labels.get(key) == Some(value)) {
            continue;
        }
        for container in &mut containers {
            let Some(image) = pinned(container, pin) else { continue };
            if container.image.as_ref() == Some(&image) {
                continue;
            }
            let birth =
                birth.get_or_insert_with(|| Birth { images: BTreeMap::new(), pinned_by: String::new() });
            name.clone_into(&mut birth.pinned_by);
            birth.images.insert(container.place, image.clone());
            container.image = Some(image);
        }
    }
    birth
}

/// The image with tag and digest of the pin; none: the pin does not mean this container.
fn pinned(container: &Container, pin: &PinSpec) -> Option<String> {
    let image = container.image.as_deref()?;
    if pin.containers.as_ref().is_some_and(|names| !names.contains(&container.name)) {
        return None;
    }
    let repository = repository(image);
    if !pin.repositories.iter().any(|known| known == repository) {
        return None;
    }
    let tags = pin.only_tags.as_ref();
    if tags.is_some_and(|tags| image.contains('@') || !tags.iter().any(|only| only.as_str() == tag(image))) {
        return None;
    }
    let tag = pin.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
    Some(format!("{repository}{tag}@{}", pin.digest))
}

/// As it is written, without digest and tag; a colon before the last slash belongs to a port.
fn repository(image: &str) -> &str {
    static REPOSITORY: LazyLock<Regex> =
        LazyLock::new(|| Regex::new("^(.*/)?[^:/]+").expect("a constant that a test has read"));
    let tagged = image.split('@').next().unwrap_or_default();
    REPOSITORY.find(tagged).map_or("", |found| found.as_str())
}

/// Its tag; an image without one means `latest`.
fn tag(image: &str) -> &str {
    static TAG: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(":[^:/@]+$").expect("a constant that a test has read"));
    TAG.find(image).map_or("latest", |found| &found.as_str()[1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_and_tags_are_cut_as_the_policy_cuts_them() {
        for (image, wanted, tagged) in [
            ("nginx", "nginx", "latest"),
            ("nginx:1", "nginx", "1"),
            ("a.example:5000/b/c", "a.example:5000/b/c", "latest"),
            ("a.example:5000/b/c:1", "a.example:5000/b/c", "1"),
            ("a/b:1@sha256:00", "a/b", "00"),
            ("a/", "a", "latest"),
            ("", "", "latest"),
            (":1", "", "1"),
        ] {
            assert_eq!((repository(image), tag(image)), (wanted, tagged), "{image}");
        }
    }
}
