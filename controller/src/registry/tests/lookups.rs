//! What tags and digests are.

use std::sync::{Arc, Mutex};

use http::Method;
use lockkeeper_core::image::{Digest, PlatformImage, Release};

use super::support::*;
use crate::ports::{Depth, Reference, Registry as _, RegistryError};

/// A registry whose content the test may change.
async fn registry(held: Held) -> (Fake, Arc<Mutex<Held>>) {
    let held = Arc::new(Mutex::new(held));
    let served = Arc::clone(&held);
    (Fake::start(REGISTRY, move |asked| served.lock().unwrap().serve(asked)).await, held)
}

async fn resolved(fake: &Fake, reference: &Reference) -> Result<Option<Release>, RegistryError> {
    client(&[fake]).resolve(&anonymous(), &fake.repository("team/app"), reference, Depth::Whole).await
}

/// What an answer with these headers and this body is taken for, asked for by tag.
async fn answered(
    headers: &'static [(&'static str, &'static str)],
    body: Vec<u8>,
) -> Result<Option<Release>, RegistryError> {
    let fake = Fake::start(REGISTRY, move |_| respond(200, headers, body.clone())).await;
    resolved(&fake, &tag("1.0")).await
}

fn two_platforms() -> (Held, Release) {
    let mut held = Held::default();
    let ((a, a_config), (b, b_config)) = (held.image("linux/amd64", "a"), held.image("linux/arm64", "b"));
    let (attestation, _) = held.image("unknown/unknown", "proof");
    let index = held.index(&[("linux/amd64", &a), ("linux/arm64", &b), ("unknown/unknown", &attestation)]);
    held.tag("1.0", &index);
    let image = |platform: &str, manifest, config| PlatformImage {
        platform: platform.parse().unwrap(),
        manifest,
        config: Some(config),
    };
    let release = Release {
        tag: Some("1.0".parse().unwrap()),
        version: None,
        digest: index,
        platforms: vec![image("linux/amd64", a, a_config), image("linux/arm64", b, b_config)],
        created: Some("2026-01-02T03:04:05Z".parse().unwrap()),
    };
    (held, release)
}

#[tokio::test]
async fn an_index_is_its_platforms_with_their_configs() {
    let (held, release) = two_platforms();
    let (fake, _) = registry(held).await;
    assert_eq!(resolved(&fake, &tag("1.0")).await.unwrap(), Some(release.clone()));
    let by_digest = resolved(&fake, &Reference::Digest(release.digest.clone())).await.unwrap();
    assert_eq!(by_digest, Some(Release { tag: None, ..release }));
}

#[tokio::test]
async fn a_single_manifest_is_itself_with_the_platform_of_its_config() {
    let mut held = Held::default();
    let (manifest, config) = held.image("linux/arm64", "a");
    held.tag("1.0", &manifest);
    let (fake, _) = registry(held).await;
    let release = resolved(&fake, &tag("1.0")).await.unwrap().unwrap();
    assert_eq!(release.digest, manifest);
    let platform = "linux/arm64".parse().unwrap();
    assert_eq!(release.platforms, [PlatformImage { platform, manifest, config: Some(config) }]);
    assert!(release.created.is_some());
}

#[tokio::test]
async fn what_is_not_there_is_none() {
    let (fake, _) = registry(Held::default()).await;
    assert_eq!(resolved(&fake, &tag("1.0")).await.unwrap(), None);
    assert_eq!(resolved(&fake, &Reference::Digest(Digest::of(b"x"))).await.unwrap(), None);
}

#[tokio::test]
async fn what_is_known_is_not_fetched_again() {
    let (held, release) = two_platforms();
    let (fake, held) = registry(held).await;
    let (client, access, repository) = (client(&[&fake]), anonymous(), fake.repository("team/app"));
    let first = client.resolve(&access, &repository, &tag("1.0"), Depth::Whole).await.unwrap().unwrap();
    // Index, two manifests, one config: the date of one platform is enough.
    assert_eq!(fake.log().len(), 4);
    for _ in 0..3 {
        assert_eq!(
            client.resolve(&access, &repository, &tag("1.0"), Depth::Whole).await.unwrap().as_ref(),
            Some(&first)
        );
    }
    assert_eq!((fake.count("GET"), fake.count("HEAD /v2/team/app/manifests/1.0")), (4, 3));
    client
        .resolve(&access, &repository, &Reference::Digest(release.digest.clone()), Depth::Whole)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(fake.log().len(), 7);

    // Another tag of the same contents: one GET to see them, no more.
    held.lock().unwrap().tag("latest", &release.digest);
    let again = client.resolve(&access, &repository, &tag("latest"), Depth::Whole).await.unwrap().unwrap();
    assert_eq!((again.digest, fake.log().len()), (release.digest.clone(), 8));

    // The tag moves, then goes, then comes back.
    let (moved, _) = held.lock().unwrap().image("linux/amd64", "moved");
    held.lock().unwrap().tag("1.0", &moved);
    assert_eq!(
        client.resolve(&access, &repository, &tag("1.0"), Depth::Whole).await.unwrap().unwrap().digest,
        moved
    );
    held.lock().unwrap().remove("1.0");
    assert_eq!(client.resolve(&access, &repository, &tag("1.0"), Depth::Whole).await.unwrap(), None);
    held.lock().unwrap().tag("1.0", &release.digest);
    assert_eq!(client.resolve(&access, &repository, &tag("1.0"), Depth::Whole).await.unwrap(), Some(first));
}

#[tokio::test]
async fn what_identifies_a_release_is_one_manifest_and_the_rest_is_read_when_it_is_wanted() {
    let (mut held, release) = two_platforms();
    let (single, _) = held.image("linux/amd64", "single");
    held.tag("2.0", &single);
    let (fake, _) = registry(held).await;
    let (client, access, repository) = (client(&[&fake]), anonymous(), fake.repository("team/app"));
    let known = async |text: &str, depth| {
        client.resolve(&access, &repository, &tag(text), depth).await.unwrap().unwrap()
    };
    let (index, image) = (known("1.0", Depth::Identity).await, known("2.0", Depth::Identity).await);
    assert_eq!((fake.count("GET"), fake.log().len()), (2, 2));
    assert_eq!((&index.digest, index.contents_key()), (&release.digest, release.contents_key()));
    assert_eq!((index.platforms.len(), index.created), (2, None));
    assert!(index.platforms.iter().all(|one| one.config.is_none()));
    // Again: a HEAD is enough.
    assert_eq!(known("1.0", Depth::Identity).await, index);
    assert_eq!((fake.count("GET"), fake.count("HEAD")), (2, 1));
    // The rest: the index once more, two manifests, one config.
    assert_eq!(known("1.0", Depth::Whole).await, Release { tag: index.tag.clone(), ..release });
    assert_eq!(fake.count("GET"), 6);
    assert_eq!(known("2.0", Depth::Whole).await.contents_key(), image.contents_key());
    // What is known whole is not forgotten when less is asked for.
    let (gets, whole) = (fake.count("GET"), known("1.0", Depth::Identity).await);
    assert_eq!((fake.count("GET"), whole.created.is_some()), (gets, true));
}

/// Docker Hub counts what is fetched, not what is asked for by HEAD.
#[tokio::test]
async fn while_nothing_changes_no_manifest_is_fetched() {
    let (held, _) = two_platforms();
    let (fake, _) = registry(held).await;
    let (client, access, repository) = (client(&[&fake]), anonymous(), fake.repository("team/app"));
    client.resolve(&access, &repository, &tag("1.0"), Depth::Whole).await.unwrap();
    let fetched = fake.count("GET");
    for _ in 0..20 {
        client.resolve(&access, &repository, &tag("1.0"), Depth::Whole).await.unwrap();
    }
    assert_eq!((fake.count("GET"), fake.count("HEAD /v2/team/app/manifests/1.0")), (fetched, 20));
}

#[tokio::test]
async fn another_repository_knows_nothing_of_it() {
    let (held, release) = two_platforms();
    let fake = Fake::start(REGISTRY, move |asked| {
        if asked.path().contains("/mirror/") { respond(404, &[], "") } else { held.serve(asked) }
    })
    .await;
    let (client, by_digest) = (client(&[&fake]), Reference::Digest(release.digest));
    assert!(
        client
            .resolve(&anonymous(), &fake.repository("team/app"), &by_digest, Depth::Whole)
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(
        client.resolve(&anonymous(), &fake.repository("mirror/app"), &by_digest, Depth::Whole).await.unwrap(),
        None
    );
}

#[tokio::test]
async fn an_unchanged_etag_needs_no_fetch() {
    let (held, _) = two_platforms();
    let fake = Fake::start(REGISTRY, move |asked| {
        if asked.headers.get("if-none-match").is_some_and(|known| known == "\"abc\"") {
            return respond(304, &[], "");
        }
        let mut response = held.serve(asked);
        response.headers_mut().remove("docker-content-digest");
        response.headers_mut().insert("etag", "\"abc\"".parse().unwrap());
        response
    })
    .await;
    let (client, access, repository) = (client(&[&fake]), anonymous(), fake.repository("team/app"));
    let first = client.resolve(&access, &repository, &tag("1.0"), Depth::Whole).await.unwrap();
    assert_eq!(client.resolve(&access, &repository, &tag("1.0"), Depth::Whole).await.unwrap(), first);
    assert_eq!((fake.count("GET"), fake.count("HEAD")), (4, 1));
}

#[tokio::test]
async fn r5_a_head_without_digest_is_followed_by_a_get_that_is_hashed() {
    let (held, release) = two_platforms();
    let held = Arc::new(Mutex::new(held));
    let served = Arc::clone(&held);
    let fake = Fake::start(REGISTRY, move |asked| {
        let mut response = served.lock().unwrap().serve(asked);
        response.headers_mut().remove("docker-content-digest");
        response
    })
    .await;
    let (client, access, repository) = (client(&[&fake]), anonymous(), fake.repository("team/app"));
    for _ in 0..2 {
        let found = client.resolve(&access, &repository, &tag("1.0"), Depth::Whole).await.unwrap().unwrap();
        assert_eq!(found, release);
    }
    assert_eq!(fake.count("GET /v2/team/app/manifests/1.0"), 2);
    let (moved, _) = held.lock().unwrap().image("linux/amd64", "moved");
    held.lock().unwrap().tag("1.0", &moved);
    assert_eq!(
        client.resolve(&access, &repository, &tag("1.0"), Depth::Whole).await.unwrap().unwrap().digest,
        moved
    );
    assert!(client.exists(&access, &repository, &release.digest).await.unwrap());
}

#[tokio::test]
async fn r6_a_header_that_differs_from_the_body_is_refused() {
    let (held, _) = two_platforms();
    let wrong = Digest::of(b"other").to_string();
    for said in [wrong.as_str(), "sha256:", "", "latest"] {
        let (held, said) = (held.clone(), said.to_owned());
        let fake = Fake::start(REGISTRY, move |asked| {
            let mut response = held.serve(asked);
            response.headers_mut().insert("docker-content-digest", said.parse().unwrap());
            response
        })
        .await;
        let failed = resolved(&fake, &tag("1.0")).await.unwrap_err();
        assert_eq!(failed.reason, "BadAnswer", "{failed}");
    }
}

#[tokio::test]
async fn r6_bytes_of_another_digest_are_refused() {
    let (held, release) = two_platforms();
    let (manifest, config) = (&release.platforms[0].manifest, release.platforms[0].config.as_ref().unwrap());
    for swapped in [&release.digest, manifest, config] {
        let (mut fixed, with) = (held.clone(), if swapped == config { manifest } else { config });
        let (kind, body) = (held.bytes(swapped.as_str()), held.bytes(with.as_str()));
        assert_ne!(kind, body);
        fixed.remove(swapped.as_str());
        let (swapped, index) = (swapped.to_string(), release.digest.clone());
        let fake = Fake::start(REGISTRY, move |asked| {
            if asked.path().ends_with(&swapped) {
                return respond(
                    200,
                    &[("content-type", "application/vnd.oci.image.manifest.v1+json")],
                    body.clone(),
                );
            }
            fixed.serve(asked)
        })
        .await;
        let failed = resolved(&fake, &Reference::Digest(index)).await.unwrap_err();
        assert!(failed.reason == "BadAnswer" && failed.message.contains("asked for"), "{failed}");
    }
}

#[tokio::test]
async fn r7_a_wrong_content_type_is_refused() {
    let (held, release) = two_platforms();
    let body = held.bytes(release.digest.as_str()).to_vec();
    let failed =
        answered(&[("content-type", "application/vnd.oci.image.manifest.v1+json")], body.clone()).await;
    assert!(failed.unwrap_err().message.contains("mediaType differ"));
    for headers in [&[("content-type", "application/json")][..], &[]] {
        assert!(answered(headers, body.clone()).await.unwrap_err().message.contains("Content-Type"));
    }
}

#[tokio::test]
async fn r3_manifests_of_more_than_four_mebibytes_are_refused() {
    let kind = &[("content-type", "application/vnd.oci.image.index.v1+json")];
    let padded = |length: usize| {
        let mut body = b"{\"manifests\": []}".to_vec();
        body.resize(length, b' ');
        body
    };
    assert!(answered(kind, padded(4 * 1024 * 1024)).await.unwrap().is_some());
    let failed = answered(kind, padded(4 * 1024 * 1024 + 1)).await.unwrap_err();
    assert!(failed.reason == "BadAnswer" && failed.message.contains("longer than 4194304 bytes"), "{failed}");
}

#[tokio::test]
async fn r19_an_attestation_only_push_is_the_same_contents() {
    let (mut held, old) = two_platforms();
    let (proof, _) = held.image("unknown/unknown", "another proof");
    let (a, b) = (old.platforms[0].manifest.clone(), old.platforms[1].manifest.clone());
    let index = held.index(&[("linux/amd64", &a), ("linux/arm64", &b), ("unknown/unknown", &proof)]);
    held.tag("1.1", &index);
    let (fake, _) = registry(held).await;
    let new = resolved(&fake, &tag("1.1")).await.unwrap().unwrap();
    assert_ne!(new.digest, old.digest);
    assert_eq!(new.contents_key(), old.contents_key());
    assert!(new.same_contents(&old, &[]));
}

#[tokio::test]
async fn r20_an_index_of_attestations_only_has_no_platforms() {
    let mut held = Held::default();
    let (proof, _) = held.image("unknown/unknown", "proof");
    let index = held.index(&[("unknown/unknown", &proof)]);
    held.tag("1.0", &index);
    let (fake, _) = registry(held).await;
    let release = resolved(&fake, &tag("1.0")).await.unwrap().unwrap();
    let needed = ["linux/amd64".parse().unwrap()];
    assert_eq!(release.missing_platforms(&needed), needed);
}

#[tokio::test]
async fn a_partial_mirror_keeps_the_contents_and_an_empty_one_is_refused() {
    let (held, release) = two_platforms();
    let mut partial = held;
    partial.remove(release.platforms[1].manifest.as_str());
    let (fake, held) = registry(partial).await;
    let found = resolved(&fake, &tag("1.0")).await.unwrap().unwrap();
    assert_eq!(found.contents_key(), release.contents_key());
    assert_eq!((found.platforms[0].config.is_some(), found.platforms[1].config.is_some()), (true, false));
    held.lock().unwrap().remove(release.platforms[0].manifest.as_str());
    assert!(resolved(&fake, &tag("1.0")).await.unwrap_err().message.contains("none of its platforms"));
}

#[tokio::test]
async fn a_platform_that_cannot_be_read_is_no_partial_release() {
    let (held, release) = two_platforms();
    let broken = release.platforms[1].manifest.to_string();
    let fake = Fake::start(REGISTRY, move |asked| {
        if asked.path().ends_with(&broken) { respond(500, &[], "") } else { held.serve(asked) }
    })
    .await;
    assert_eq!(resolved(&fake, &tag("1.0")).await.unwrap_err().reason, "Unreachable");
}

#[tokio::test]
async fn r17_exists_asks_every_time_and_by_head() {
    let (held, release) = two_platforms();
    let (fake, held) = registry(held).await;
    let (client, access, repository) = (client(&[&fake]), anonymous(), fake.repository("team/app"));
    assert!(client.exists(&access, &repository, &release.digest).await.unwrap());
    client.resolve(&access, &repository, &tag("1.0"), Depth::Whole).await.unwrap();
    held.lock().unwrap().remove(release.digest.as_str());
    assert!(!client.exists(&access, &repository, &release.digest).await.unwrap());
    assert_eq!(fake.count(&format!("HEAD /v2/team/app/manifests/{}", release.digest)), 2);
}

#[tokio::test]
async fn exists_falls_back_to_get_only_where_head_is_not_allowed() {
    let (held, release) = two_platforms();
    let fake = Fake::start(REGISTRY, move |asked| {
        if asked.method == Method::HEAD { respond(405, &[], "") } else { held.serve(asked) }
    })
    .await;
    let (client, access, repository) = (client(&[&fake]), anonymous(), fake.repository("team/app"));
    assert!(client.exists(&access, &repository, &release.digest).await.unwrap());
    assert!(!client.exists(&access, &repository, &Digest::of(b"x")).await.unwrap());
    assert_eq!((fake.count("HEAD"), fake.count("GET")), (2, 2));

    for (status, reason) in [(429, "Throttled"), (500, "Unreachable"), (403, "AuthFailed")] {
        let fake = Fake::start(REGISTRY, move |_| respond(status, &[], "")).await;
        let failed = client_of(&fake, &release.digest).await.unwrap_err();
        assert_eq!((failed.reason, fake.log().len()), (reason, 1), "{failed}");
    }
    let liar = Fake::start(REGISTRY, |_| {
        respond(
            200,
            &[(
                "docker-content-digest",
                "sha256:0000000000000000000000000000000000000000000000000000000000000000",
            )],
            "",
        )
    })
    .await;
    assert_eq!(client_of(&liar, &release.digest).await.unwrap_err().reason, "BadAnswer");
}

async fn client_of(fake: &Fake, digest: &Digest) -> Result<bool, RegistryError> {
    client(&[fake]).exists(&anonymous(), &fake.repository("team/app"), digest).await
}
