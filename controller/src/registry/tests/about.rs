//! Sizes, and whether something signs.

use http::Method;
use lockkeeper_core::image::{Digest, Release};
use serde_json::{Value, json};

use super::support::*;
use crate::ports::{Depth, Registry as _, RegistryError};
use crate::registry::Sizes;
use crate::registry::manifest::{OCI_INDEX, OCI_MANIFEST};

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

fn listed(entries: &[Value]) -> Value {
    json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries})
}

fn refers(kind: &str) -> Value {
    json!({"mediaType": OCI_MANIFEST, "digest": Digest::of(kind.as_bytes()), "size": 1, "artifactType": kind})
}

/// How a registry answers for what may sign: its list of referrers, the tag that stands for one, the older form.
#[derive(Clone)]
struct Answers {
    referrers: (u16, Option<Value>),
    stands: Option<Value>,
    older: u16,
}

impl Answers {
    fn none() -> Self {
        Self { referrers: (404, None), stands: None, older: 404 }
    }
}

fn index(status: u16, body: Option<&Value>) -> axum::response::Response {
    let body = body.map(Value::to_string).unwrap_or_default();
    respond(status, &[("content-type", OCI_INDEX)], body)
}

async fn signed(answers: Answers) -> (Result<bool, RegistryError>, Vec<String>) {
    let digest = Digest::of(b"an image");
    let hex = digest.hex().to_owned();
    let fake = Fake::start(REGISTRY, move |asked| match asked.path() {
        path if path.contains("/referrers/") => index(answers.referrers.0, answers.referrers.1.as_ref()),
        path if path.ends_with(&format!("/manifests/sha256-{hex}.sig")) => {
            assert_eq!(asked.method, Method::HEAD);
            respond(answers.older, &[], "")
        }
        path if path.ends_with(&format!("/manifests/sha256-{hex}")) => {
            index(if answers.stands.is_some() { 200 } else { 404 }, answers.stands.as_ref())
        }
        path => panic!("{path} says nothing of signatures"),
    })
    .await;
    let found = client(&[&fake]).signed(&anonymous(), &fake.repository("team/app"), &digest).await;
    (found, fake.asked())
}

#[tokio::test]
async fn a_signature_is_found_wherever_cosign_puts_it() {
    let attestation = json!({"mediaType": OCI_MANIFEST, "digest": Digest::of(b"a"), "artifactType": BUNDLE,
        "annotations": {"dev.sigstore.bundle.predicateType": "https://slsa.dev/provenance/v1"}});
    let bill = refers("application/vnd.cyclonedx+json");
    let with = |entries: &[Value]| Some(listed(entries));
    let none = Answers::none;
    for (what, answers, expected) in [
        ("nothing anywhere", none(), false),
        ("the older form", Answers { older: 200, ..none() }, true),
        ("a bundle", Answers { referrers: (200, with(&[bill.clone(), refers(BUNDLE)])), ..none() }, true),
        (
            "an artifact of cosign",
            Answers {
                referrers: (200, with(&[refers("application/vnd.dev.cosign.artifact.sig.v1+json")])),
                ..none()
            },
            true,
        ),
        (
            "other things that refer to it",
            Answers { referrers: (200, with(&[bill.clone(), attestation])), ..none() },
            false,
        ),
        ("where a tag stands for the list", Answers { stands: with(&[refers(BUNDLE)]), ..none() }, true),
        ("a list in a tag without signatures", Answers { stands: with(&[bill]), ..none() }, false),
        ("a registry of its own mind", Answers { referrers: (405, None), older: 200, ..none() }, true),
    ] {
        let (found, asked) = signed(answers).await;
        assert_eq!(found.unwrap(), expected, "{what}: {asked:?}");
    }
}

#[tokio::test]
async fn who_could_not_look_does_not_say_that_there_is_none() {
    let none = Answers::none;
    for (what, answers) in [
        ("referrers", Answers { referrers: (403, None), ..none() }),
        ("the older form", Answers { older: 500, ..none() }),
        ("no list", Answers { referrers: (200, Some(json!([]))), ..none() }),
    ] {
        let (found, asked) = signed(answers).await;
        assert!(found.is_err(), "{what}: {found:?} {asked:?}");
    }
    // What is found is found, whatever else failed.
    let found = Answers { older: 500, referrers: (200, Some(listed(&[refers(BUNDLE)]))), ..none() };
    assert!(signed(found).await.0.unwrap());
    let found = Answers { older: 200, referrers: (500, None), ..none() };
    assert!(signed(found).await.0.unwrap());
}

#[tokio::test]
async fn a_size_is_that_of_config_and_layers_and_what_is_shared_counts_once() {
    let part = |name: &str, size: u64| json!({"mediaType": "x/y", "digest": Digest::of(name.as_bytes()), "size": size});
    let manifest = |name: &str, own: u64| {
        json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": part(name, 1),
               "layers": [part("base", 100), part(&format!("{name}'s"), own)]})
        .to_string()
    };
    let (a, b) = (manifest("a", 20), manifest("b", 3));
    let (of_a, of_b) = (Digest::of(a.as_bytes()), Digest::of(b.as_bytes()));
    let gone = Digest::of(b"gone");
    let bodies = [(of_a.to_string(), a), (of_b.to_string(), b)];
    let fake = Fake::start(REGISTRY, move |asked| {
        let found = bodies.iter().find(|(digest, _)| asked.path().ends_with(digest.as_str()));
        found.map_or_else(
            || respond(404, &[], ""),
            |(_, body)| respond(200, &[("content-type", OCI_MANIFEST)], body.clone()),
        )
    })
    .await;
    let platform = |text: &str, manifest: &Digest| lockkeeper_core::image::PlatformImage {
        platform: text.parse().unwrap(),
        manifest: manifest.clone(),
        config: None,
    };
    let release = Release {
        tag: None,
        version: None,
        digest: Digest::of(b"index"),
        platforms: vec![
            platform("linux/amd64", &of_a),
            platform("linux/arm64", &of_b),
            platform("linux/s390x", &gone),
        ],
        created: None,
    };
    let sizes = client(&[&fake]).sizes(&anonymous(), &fake.repository("team/app"), &release).await.unwrap();
    assert_eq!(sizes, Sizes { by_manifest: [(of_a, 121), (of_b, 104)].into(), all: 125 });
}

#[tokio::test]
async fn the_size_of_a_single_manifest_is_its_own() {
    let mut held = Held::default();
    let (manifest, _) = held.image("linux/arm64", "a");
    held.tag("1.0", &manifest);
    let fake = Fake::start(REGISTRY, move |asked| held.serve(asked)).await;
    let (client, repository) = (client(&[&fake]), fake.repository("team/app"));
    let release =
        client.resolve(&anonymous(), &repository, &tag("1.0"), Depth::Whole).await.unwrap().unwrap();
    let sizes = client.sizes(&anonymous(), &repository, &release).await.unwrap();
    assert_eq!(sizes, Sizes { by_manifest: [(manifest, 1)].into(), all: 1 });
}
