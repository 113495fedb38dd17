//! How large an image is.

use lockkeeper_core::image::{Digest, Release};
use serde_json::json;

use super::support::*;
use crate::ports::{Depth, Registry as _};
use crate::registry::Sizes;
use crate::registry::manifest::OCI_MANIFEST;

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
