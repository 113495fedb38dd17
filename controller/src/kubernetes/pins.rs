//! How a pin is written and removed: whole objects, replaced against the version that was decided on.
//!
//! Guarantees: never patched, so two writers cannot mix; what people put beside the spec (labels, annotations such as
//! `lockkeeper.dev/manual-until`) stays; removed only as the very object and version that was decided on.

use super::watch::own::PinEntry;
use kube::api::{DeleteParams, Preconditions};
use lockkeeper_api::{ImagePin, names};
use lockkeeper_core::{observed::ObjectKey, pin::PinSpec};

/// The pin as it shall be: new, or in the place of `old`, whose version it names.
#[must_use]
pub fn draft(namespace: &str, name: &str, spec: PinSpec, old: Option<&PinEntry>) -> ImagePin {
    let mut pin = ImagePin::written(namespace, name, spec);
    if let Some(old) = old {
        let written = pin.metadata.annotations.take().unwrap_or_default();
        let mut annotations = old.annotations.clone();
        annotations.remove(names::ORPHANED);
        annotations.extend(written);
        pin.metadata.annotations = Some(annotations);
        pin.metadata.labels = (!old.labels.is_empty()).then(|| old.labels.clone());
        pin.metadata.uid = Some(old.seen.key.uid.clone());
        pin.metadata.resource_version = Some(old.seen.resource_version.clone());
    }
    pin
}

/// The pin as it is, marked: nothing stands behind it since `since`.
#[must_use]
pub fn marked(old: &PinEntry, since: &str) -> ImagePin {
    let key = &old.seen.key;
    let mut pin = draft(&key.namespace, &key.name, old.seen.spec.clone(), Some(old));
    // Who wrote the spec last is still who wrote it.
    let mut annotations = old.annotations.clone();
    annotations.insert(names::ORPHANED.to_owned(), since.to_owned());
    pin.metadata.annotations = Some(annotations);
    pin
}

/// Delete this object at this version, or nothing.
#[must_use]
pub fn deletion(key: &ObjectKey, resource_version: &str) -> DeleteParams {
    DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some(key.uid.clone()),
            resource_version: Some(resource_version.to_owned()),
        }),
        ..DeleteParams::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::watch::own;
    use lockkeeper_core::{
        image::Digest,
        pin::{PinDeletion, PinOwner},
    };
    use serde_json::json;
    use std::collections::BTreeMap;

    fn spec(contents: &[u8]) -> PinSpec {
        PinSpec {
            match_labels: BTreeMap::from([("telemetry".into(), "otel".into())]),
            containers: None,
            repositories: vec!["ghcr.io/a/otel".into()],
            only_tags: None,
            tag: None,
            digest: Digest::of(contents),
            policy: PinOwner { namespace: "platform".into(), name: "otel".into(), uid: "p".into() },
            stage: "prod".into(),
            deletion_policy: PinDeletion::Retain,
        }
    }

    #[test]
    fn a_new_pin_names_no_version() {
        let pin = draft("prod", "otel", spec(b"1"), None);
        assert_eq!((pin.metadata.resource_version.as_deref(), pin.metadata.uid.as_deref()), (None, None));
        assert!(pin.seen().as_written);
    }

    #[test]
    fn a_replaced_pin_keeps_what_people_added_and_is_marked_anew() {
        let object = json!({
            "apiVersion": "lockkeeper.dev/v1alpha1", "kind": "ImagePin",
            "metadata": {"name": "otel", "namespace": "prod", "uid": "u", "resourceVersion": "7",
                "labels": {"team": "a"},
                "annotations": {"note": "kept", names::WRITTEN: "old", names::ORPHANED: "2026-01-01T00:00:00Z"}},
            "spec": serde_json::to_value(spec(b"1")).unwrap()
        });
        let (_, old) = own::pin(&object).unwrap();
        assert!(!old.seen.as_written, "somebody else wrote this spec");
        let pin = draft("prod", "otel", spec(b"2"), Some(&old));
        let metadata = &pin.metadata;
        assert_eq!((metadata.uid.as_deref(), metadata.resource_version.as_deref()), (Some("u"), Some("7")));
        assert_eq!(metadata.labels.as_ref().unwrap()["team"], "a");
        let annotations = metadata.annotations.as_ref().unwrap();
        assert_eq!(annotations["note"], "kept");
        assert!(!annotations.contains_key(names::ORPHANED));
        assert!(pin.seen().as_written);
        assert_eq!(pin.spec.0.digest, Digest::of(b"2"));
    }

    #[test]
    fn a_deletion_names_the_object_and_the_version() {
        let key = ObjectKey {
            namespace: "prod".into(),
            name: "otel".into(),
            uid: "u".into(),
            ..ObjectKey::default()
        };
        let body = serde_json::to_value(deletion(&key, "7")).unwrap();
        assert_eq!(body["preconditions"], json!({"uid": "u", "resourceVersion": "7"}));
    }
}
