//! The scripted registry of these tests, when it tells the truth, answers as the real one does: both are held to the same
//! table, this one here, the real one by the end-to-end tests (`tests/tests/registries/contract.rs`).

use std::collections::BTreeMap;

use http::{Method, header};
use serde_json::{Value, json};

use super::support::*;
use lockkeeper_core::image::Digest;

const TABLE: &str = include_str!("../../../../tests/contract.json");

#[tokio::test]
async fn what_the_scripted_registry_answers_is_what_the_real_one_does() {
    let mut held = Held::default();
    let (manifest, config) = held.image("linux/amd64", "honest");
    let index = held.index(&[("linux/amd64", &manifest)]);
    held.tag("1.0.0", &index);
    let unknown = Digest::of(b"unknown");
    let names = [
        ("TAG", "1.0.0"),
        ("INDEX", index.as_str()),
        ("MANIFEST", manifest.as_str()),
        ("CONFIG", config.as_str()),
        ("UNKNOWN", unknown.as_str()),
    ];

    let fake = Fake::start(REGISTRY, move |asked| held.serve(asked)).await;
    // Other tests of this program may have been first.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let table: BTreeMap<String, Value> = serde_json::from_str(TABLE).unwrap();
    for (row, wanted) in &table {
        let (method, path) = row.split_once(' ').unwrap();
        let path = names.iter().fold(path.to_owned(), |path, (name, value)| path.replace(name, value));
        let url = format!("http://{}/v2/team/app/{path}", fake.at);
        let answer = http.request(method.parse::<Method>().unwrap(), url).send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = answer.bytes().await.unwrap();
        let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let said = text("docker-content-digest");
        let right = said.as_ref().filter(|said| body.is_empty() || **said == Digest::of(&body).to_string());
        assert_eq!(said.as_ref(), right, "{row}");
        let kind = text(header::CONTENT_TYPE.as_str()).filter(|_| status == 200);
        let seen = json!({
            "status": status, "kind": kind, "digest": right.map(|_| "of the body"), "body": !body.is_empty(),
        });
        assert_eq!(&seen, wanted, "{row}");
    }
}
