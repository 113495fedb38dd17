//! The real registry answers as the table says, to which the scripted registry of the unit tests is held, too
//! (`controller/src/registry/tests/honest.rs`).

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use e2e::{Image, run};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Client, Method};
use serde_json::{Value, json};

const TABLE: &str = include_str!("../../contract.json");
const KINDS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json";

#[test]
fn the_real_registry_answers_as_the_scripted_one_is_held_to() {
    run("the_real_registry_answers_as_the_scripted_one_is_held_to", async |test| -> Result<()> {
        let registry = test.bed.registry();
        let pushed = registry.push("contract/app", "1.0.0", &Image::release("contract")).await?;
        let unknown = e2e::image::digest_of(b"unknown");
        let manifest = &pushed.platforms.first().context("no platform")?.1;
        let config = pushed.configs.first().context("no config")?;
        let names = [
            ("TAG", "1.0.0"),
            ("INDEX", &pushed.digest),
            ("MANIFEST", manifest),
            ("CONFIG", config),
            ("UNKNOWN", &unknown),
        ];
        let http = Client::builder().no_proxy().build()?;
        let table: BTreeMap<String, Value> = serde_json::from_str(TABLE)?;
        for (row, wanted) in &table {
            let (method, path) = row.split_once(' ').context("METHOD path")?;
            let path = names.iter().fold(path.to_owned(), |path, (name, value)| path.replace(name, value));
            let url = format!("http://{}/v2/contract/app/{path}", registry.host());
            let answer = http.request(method.parse::<Method>()?, url).header(ACCEPT, KINDS).send().await?;
            let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
            let body = answer.bytes().await?;
            let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
            let said = text("docker-content-digest");
            let right = said.filter(|said| body.is_empty() || *said == e2e::image::digest_of(&body));
            ensure!(said == right, "{row}: {said:?} is not the body's");
            let kind = text(CONTENT_TYPE.as_str()).filter(|_| status == 200);
            let seen = json!({
                "status": status, "kind": kind, "digest": right.map(|_| "of the body"), "body": !body.is_empty(),
            });
            ensure!(&seen == wanted, "{row}: {seen}, and the table: {wanted}");
        }
        Ok(())
    });
}
