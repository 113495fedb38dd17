use serde_json::{Value, json};

use super::*;

const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

fn read_as(kind: &str, document: &Value) -> Result<Manifest, String> {
    read(document.to_string().as_bytes(), Some(kind))
}

fn descriptor(kind: &str) -> Value {
    json!({"mediaType": kind, "digest": D, "size": 1})
}

#[test]
fn r7_content_type_media_type_and_shape_must_agree() {
    let image =
        json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor(CONFIG), "layers": []});
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []});
    assert_eq!(read_as(OCI_MANIFEST, &image), Ok(Manifest::Image(D.parse().unwrap())));
    assert_eq!(
        read_as("Application/vnd.oci.image.manifest.v1+JSON; charset=utf-8", &image),
        Ok(Manifest::Image(D.parse().unwrap()))
    );
    assert_eq!(read_as(OCI_INDEX, &index), Ok(Manifest::Index(vec![])));

    for (kind, document, part) in [
        (OCI_INDEX, &image, "mediaType differ"),
        (DOCKER_MANIFEST, &image, "mediaType differ"),
        (OCI_MANIFEST, &index, "mediaType differ"),
        ("application/json", &image, "no manifest"),
        ("text/html", &image, "no manifest"),
        ("application/vnd.docker.distribution.manifest.v1+prettyjws", &image, "schema 1"),
    ] {
        assert!(read_as(kind, document).unwrap_err().contains(part), "{kind} {document}");
    }
    assert!(read(image.to_string().as_bytes(), None).unwrap_err().contains("no manifest"));
}

#[test]
fn r7_no_document_can_be_read_in_two_ways() {
    let (config, entries) = (descriptor(CONFIG), json!([]));
    for (kind, document) in [
        (OCI_INDEX, json!({"manifests": entries, "layers": [], "config": config})),
        (OCI_MANIFEST, json!({"manifests": entries, "layers": [], "config": config})),
        (OCI_INDEX, json!({"layers": [], "config": config})),
        (OCI_MANIFEST, json!({"manifests": entries})),
        (OCI_MANIFEST, json!({"config": config})),
        (OCI_MANIFEST, json!([])),
        (OCI_MANIFEST, json!("x")),
        (OCI_INDEX, json!({"manifests": [1]})),
        (OCI_INDEX, json!({"manifests": [{"digest": "latest"}]})),
        (OCI_INDEX, json!({"manifests": [{"digest": D, "mediaType": OCI_INDEX}]})),
        (OCI_INDEX, json!({"manifests": [{"digest": D, "platform": {"os": "", "architecture": "amd64"}}]})),
    ] {
        assert!(read_as(kind, &document).is_err(), "{kind} {document}");
    }
    let many: Vec<Value> = (0..65).map(|_| json!({"digest": D})).collect();
    assert!(read_as(OCI_INDEX, &json!({"manifests": many})).unwrap_err().contains("at most 64"));
}

#[test]
fn r20_attestations_and_unknown_platforms_are_left_out() {
    let entry = |os: &str, arch: &str, annotations: Value| {
        json!({"mediaType": OCI_MANIFEST, "digest": D, "platform": {"os": os, "architecture": arch},
               "annotations": annotations})
    };
    let document = json!({"mediaType": OCI_INDEX, "manifests": [
        entry("linux", "arm64", json!({})),
        entry("unknown", "unknown", json!({})),
        entry("linux", "amd64", json!({"vnd.docker.reference.type": "attestation-manifest"})),
        {"mediaType": "application/vnd.example.signature", "digest": D},
        {"mediaType": DOCKER_MANIFEST, "digest": D},
    ]});
    let Ok(Manifest::Index(entries)) = read_as(OCI_INDEX, &document) else { panic!("no index") };
    let platforms: Vec<_> = entries.iter().map(|e| e.platform.as_ref().map(ToString::to_string)).collect();
    assert_eq!(platforms, [Some("linux/arm64".to_owned()), None]);
}

#[test]
fn r6_bytes_must_be_what_was_asked_for_and_what_was_announced() {
    let (right, wrong) = (Digest::of(b"x"), Digest::of(b"y"));
    assert_eq!(digest_of(b"x", None, None), Ok(right.clone()));
    assert_eq!(digest_of(b"x", Some(&right), Some(right.as_str())), Ok(right.clone()));
    assert!(digest_of(b"x", Some(&wrong), None).unwrap_err().contains("asked for"));
    assert!(digest_of(b"x", None, Some(wrong.as_str())).unwrap_err().contains("the registry says"));
    assert!(digest_of(b"x", Some(&right), Some(wrong.as_str())).is_err());
    assert!(digest_of(b"x", None, Some("sha256:")).unwrap_err().contains("no digest"));
}

#[test]
fn a_config_says_platform_and_date_or_nothing() {
    let read = |document: Value| config(document.to_string().as_bytes());
    let full = read(json!({"os": "linux", "architecture": "arm", "variant": "v6", "created": "2026-01-02T03:04:05.6+02:00"}))
        .unwrap();
    assert_eq!(full.platform.unwrap().to_string(), "linux/arm/v6");
    assert_eq!(full.created.unwrap().to_string(), "2026-01-02T01:04:05.6Z");
    for document in [json!({}), json!({"os": "unknown", "architecture": "unknown", "created": "yesterday"})] {
        assert_eq!(read(document).unwrap(), Config { platform: None, created: None });
    }
    assert!(read(json!("x")).is_err() && read(json!({"os": 1})).is_err());
}
