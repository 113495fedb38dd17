//! Signatures: found in both places, missing only where both were answered for, hostile in every other way.

use std::sync::Arc;

use lockkeeper_core::image::Digest;
use serde_json::{Value, json};

use super::support::*;
use crate::ports::{Registry as _, RegistryError, Signature};
use crate::registry::manifest::{OCI_INDEX, OCI_MANIFEST};

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const SIMPLE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// A repository with one image and what stands beside it.
struct Beside {
    held: Held,
    image: Digest,
    listed: Vec<Value>,
}

impl Beside {
    fn new() -> Self {
        let mut held = Held::default();
        let (image, _) = held.image("linux/amd64", "a");
        Self { held, image, listed: Vec::new() }
    }

    fn older_tag(&self) -> String {
        format!("{}.sig", self.image.as_str().replace(':', "-"))
    }

    /// A manifest that refers to `subject`, with a bundle; `change` may spoil it.
    fn bundle(&mut self, text: &str, subject: &str, change: impl FnOnce(&mut Value)) -> Digest {
        let blob = self.held.blob(text.as_bytes());
        let mut manifest = json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": BUNDLE,
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": Digest::of(b"{}"), "size": 2},
            "layers": [{"mediaType": BUNDLE, "digest": blob, "size": text.len()}],
            "subject": {"mediaType": OCI_MANIFEST, "digest": subject, "size": 1},
        });
        change(&mut manifest);
        let digest = self.held.document(OCI_MANIFEST, &manifest);
        self.listed.push(json!({
            "mediaType": OCI_MANIFEST, "artifactType": BUNDLE, "digest": digest, "size": 1,
        }));
        digest
    }

    /// Signatures of the older form.
    fn older(&mut self, payloads: &[&str]) {
        let layers: Vec<Value> = payloads
            .iter()
            .map(|text| {
                let blob = self.held.blob(text.as_bytes());
                json!({"mediaType": SIMPLE, "digest": blob, "size": text.len(),
                    "annotations": {"dev.cosignproject.cosign/signature": "c2ln"}})
            })
            .collect();
        let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": layers,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": Digest::of(b"x"), "size": 1}});
        let digest = self.held.document(OCI_MANIFEST, &manifest);
        self.held.tag(&self.older_tag(), &digest);
    }

    fn list(&self) -> Value {
        json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": self.listed})
    }

    /// The list under the tag that stands for it.
    fn under_a_tag(mut self) -> Self {
        let digest = self.held.document(OCI_INDEX, &self.list());
        self.held.tag(&self.image.as_str().replace(':', "-"), &digest);
        self
    }

    /// Asked at a registry that answers for referrers by `referrers`, and as a good one otherwise.
    async fn asked(
        self,
        referrers: impl Fn(&Value) -> axum::response::Response + Send + Sync + 'static,
    ) -> (Result<Vec<Signature>, RegistryError>, Vec<String>) {
        let (list, image) = (self.list(), self.image.clone());
        let held = Arc::new(self.held);
        let fake = Fake::start(REGISTRY, move |asked| {
            if asked.path().contains("/referrers/") { referrers(&list) } else { held.serve(asked) }
        })
        .await;
        let found = client(&[&fake]).signatures(&anonymous(), &fake.repository("team/app"), &image).await;
        (found, fake.asked())
    }
}

fn listed(list: &Value) -> axum::response::Response {
    respond(200, &[("content-type", OCI_INDEX)], list.to_string())
}

fn unknown(_: &Value) -> axum::response::Response {
    respond(404, &[], "{}")
}

fn texts(found: &[Signature]) -> Vec<String> {
    let text = |signature: &Signature| match signature {
        Signature::Bundle(bytes) => format!("bundle {}", String::from_utf8_lossy(bytes)),
        Signature::Simple(simple) => {
            format!("simple {} {}", String::from_utf8_lossy(&simple.payload), simple.signature)
        }
        Signature::Unreadable(why) => format!("unreadable: {why}"),
    };
    found.iter().map(text).collect()
}

#[tokio::test]
async fn an_image_with_nothing_beside_it_has_no_signature() {
    let (found, asked) = Beside::new().asked(unknown).await;
    assert_eq!(found.unwrap(), []);
    assert_eq!(asked.len(), 3, "referrers, the tag in their place, the older tag: {asked:#?}");
}

#[tokio::test]
async fn bundles_are_found_by_referrers_and_by_the_tag_that_stands_for_them() {
    let with = || {
        let mut beside = Beside::new();
        let image = beside.image.to_string();
        beside.bundle("one", &image, |_| {});
        beside.older(&["two"]);
        beside
    };
    let all = ["bundle one", "simple two c2ln"];
    assert_eq!(texts(&with().asked(listed).await.0.unwrap()), all);
    assert_eq!(texts(&with().under_a_tag().asked(unknown).await.0.unwrap()), all);
    // Registries that know no such list say so in many ways.
    for status in [400, 405, 406, 501] {
        let (found, _) = with().under_a_tag().asked(move |_| respond(status, &[], "")).await;
        assert_eq!(texts(&found.unwrap()), all, "{status}");
    }
    let page = |_: &Value| respond(200, &[("content-type", "text/html")], "<html>");
    assert_eq!(texts(&with().under_a_tag().asked(page).await.0.unwrap()), all);
}

#[tokio::test]
async fn r2_a_registry_that_does_not_answer_never_says_unsigned() {
    for status in [500, 502, 503, 429, 401, 403] {
        let (found, _) = Beside::new().asked(move |_| respond(status, &[], "")).await;
        assert!(found.is_err(), "{status}: {found:?}");
    }
    // Half of the answer is none.
    let beside = Beside::new();
    let older = beside.older_tag();
    let image = beside.image.clone();
    let fake = Fake::start(REGISTRY, move |asked| {
        respond(if asked.path().ends_with(&older) { 500 } else { 404 }, &[], "")
    })
    .await;
    let found = client(&[&fake]).signatures(&anonymous(), &fake.repository("team/app"), &image).await;
    assert_eq!(found.unwrap_err().reason, "Unreachable");
    let broken_list = |_: &Value| respond(200, &[("content-type", OCI_INDEX)], "[]");
    assert_eq!(Beside::new().asked(broken_list).await.0.unwrap_err().reason, "BadAnswer");
    let pages = |list: &Value| {
        let next = [("content-type", OCI_INDEX), ("link", "</v2/x>; rel=\"next\"")];
        respond(200, &next, list.to_string())
    };
    assert_eq!(
        Beside::new().asked(pages).await.0.unwrap_err().reason,
        "BadAnswer",
        "a part of a list is none"
    );
}

#[tokio::test]
async fn what_is_listed_and_is_not_a_signature_of_it_is_said_or_left_out() {
    let mut beside = Beside::new();
    let image = beside.image.to_string();
    let elsewhere = Digest::of(b"elsewhere").to_string();
    beside.bundle("of another image", &elsewhere, |_| {});
    beside.bundle("of none", &image, |manifest| manifest["subject"] = Value::Null);
    beside.bundle("without a blob", &image, |manifest| {
        manifest["layers"][0]["digest"] = json!(Digest::of(b"never pushed"));
    });
    beside.bundle("too large", &image, |manifest| manifest["layers"][0]["size"] = json!(1_u64 << 40));
    beside.bundle("no digest", &image, |manifest| manifest["layers"][0]["digest"] = json!("sha256:x"));
    let gone = beside.bundle("gone", &image, |_| {});
    beside.held.remove(gone.as_str());
    beside.bundle("a bill of materials", &image, |manifest| {
        manifest["layers"][0]["mediaType"] = json!("application/vnd.cyclonedx+json");
    });
    beside.bundle("good", &image, |_| {});
    beside.listed.push(json!({"mediaType": OCI_MANIFEST, "digest": "../../x", "size": 1}));
    beside.listed.push(json!({"mediaType": OCI_MANIFEST, "artifactType": "application/vnd.cyclonedx+json",
        "digest": Digest::of(b"never fetched"), "size": 1}));
    beside.listed.push(json!({"mediaType": OCI_MANIFEST, "artifactType": BUNDLE, "size": 1,
        "digest": Digest::of(b"an attestation"),
        "annotations": {"dev.sigstore.bundle.predicateType": "https://slsa.dev/provenance/v1"}}));
    let (found, asked) = beside.asked(listed).await;
    let texts = texts(&found.unwrap());
    assert_eq!(
        texts,
        [
            "unreadable: a bundle is listed for it and refers to something else",
            "unreadable: a bundle is listed for it and refers to something else",
            "unreadable: its bytes are gone",
            "unreadable: it is larger than 1048576 bytes",
            "unreadable: it names no digest of what was signed",
            "unreadable: what refers to it is gone",
            "bundle good",
            "unreadable: what refers to it has no digest",
        ]
    );
    for digest in [Digest::of(b"never fetched"), Digest::of(b"an attestation")] {
        assert!(!asked.iter().any(|line| line.contains(digest.as_str())), "{asked:#?}");
    }
}

#[tokio::test]
async fn r6_bytes_that_are_not_those_of_the_digest_are_no_signature_and_no_absence() {
    let mut beside = Beside::new();
    let image = beside.image.clone();
    beside.older(&["the payload"]);
    let held = beside.held;
    let blob = Digest::of(b"the payload").to_string();
    let fake = Fake::start(REGISTRY, move |asked| {
        if asked.path().ends_with(&blob) { respond(200, &[], "another one") } else { held.serve(asked) }
    })
    .await;
    let found = client(&[&fake]).signatures(&anonymous(), &fake.repository("team/app"), &image).await;
    assert_eq!(found.unwrap_err().reason, "BadAnswer");
}

#[tokio::test]
async fn r3_numbers_and_sizes_have_caps() {
    let payloads: Vec<String> = (0..100).map(|n| format!("payload {n}")).collect();
    let mut beside = Beside::new();
    beside.older(&payloads.iter().map(String::as_str).collect::<Vec<_>>());
    let (found, asked) = beside.asked(unknown).await;
    assert_eq!((found.unwrap().len(), asked.len()), (32, 3 + 32));
    let mut beside = Beside::new();
    let image = beside.image.clone();
    beside.older(&["small"]);
    let (held, blob) = (beside.held, Digest::of(b"small").to_string());
    let fake = Fake::start(REGISTRY, move |asked| {
        let large = asked.path().ends_with(&blob);
        if large { respond(200, &[], vec![b'x'; 100_000]) } else { held.serve(asked) }
    })
    .await;
    let found = client(&[&fake]).signatures(&anonymous(), &fake.repository("team/app"), &image).await;
    assert!(found.is_err(), "a blob that is larger than it says");
}

/// What the real cosign pushed, beside its image; see `signatures/tests/cosign/README.md`.
macro_rules! cosign {
    ($file:literal) => {
        include_bytes!(concat!("../../signatures/tests/cosign/", $file))
    };
}

#[tokio::test]
async fn what_cosign_pushed_is_found_in_both_forms_by_referrers_and_by_tags() {
    let beside = || {
        let mut held = Held::default();
        let image = held.written(OCI_MANIFEST, cosign!("image.json"));
        held.written(OCI_MANIFEST, cosign!("bundle-cosign.manifest.json"));
        held.written(OCI_MANIFEST, cosign!("bundle-other.manifest.json"));
        let older = held.written(OCI_MANIFEST, cosign!("older.manifest.json"));
        for blob in [
            &cosign!("bundle-cosign.json")[..],
            cosign!("bundle-other.json"),
            cosign!("older-cosign.payload.json"),
            cosign!("older-other.payload.json"),
        ] {
            held.blob(blob);
        }
        let listed: Value = serde_json::from_slice(cosign!("referrers.json")).unwrap();
        let listed = listed["manifests"].as_array().unwrap().clone();
        let mut beside = Beside { held, image, listed };
        let tag = beside.older_tag();
        beside.held.tag(&tag, &older);
        beside
    };
    let wanted = |found: Vec<Signature>| {
        let [
            Signature::Bundle(one),
            Signature::Bundle(two),
            Signature::Simple(three),
            Signature::Simple(four),
        ] = found.as_slice()
        else {
            panic!("{found:?}")
        };
        assert_eq!(one.as_ref(), &cosign!("bundle-cosign.json")[..]);
        assert_eq!(two.as_ref(), &cosign!("bundle-other.json")[..]);
        assert_eq!(three.payload.as_ref(), &cosign!("older-cosign.payload.json")[..]);
        assert_eq!(four.payload.as_ref(), &cosign!("older-other.payload.json")[..]);
        assert!(
            three.signature.starts_with("MEYCIQCwk6Fi") && four.signature.starts_with("MEQCIH7qETMS"),
            "{found:?}"
        );
    };
    wanted(beside().asked(listed).await.0.unwrap());
    // As the bed's registry has it: the list as cosign wrote it, under the tag in its place.
    let mut tagged = beside();
    let list = tagged.held.written(OCI_INDEX, cosign!("referrers.json"));
    tagged.held.tag(&tagged.image.as_str().replace(':', "-"), &list);
    wanted(tagged.asked(unknown).await.0.unwrap());
}
