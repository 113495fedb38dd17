//! The registry that benches make up answers as the real one: the same requests mean the same.

use anyhow::{Context as _, Result, ensure};
use e2e::synthetic::Synthetic;
use e2e::{Image, run};
use reqwest::header::{ACCEPT, CONTENT_TYPE, LINK};
use reqwest::{Client, Method};
use serde_json::Value;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// What an answer means.
#[derive(Debug, PartialEq, Eq)]
struct Meaning {
    status: u16,
    kind: Option<String>,
    /// It says the digest of what the reference names, and that is the body's.
    digest_is_right: Option<bool>,
    /// Tags of a page, how many of them, and whether another page follows.
    page: Option<(usize, bool, bool)>,
}

struct Registry<'a> {
    http: Client,
    host: String,
    path: &'a str,
}

impl Registry<'_> {
    async fn ask(&self, method: Method, rest: &str) -> Result<(Meaning, Vec<u8>)> {
        let url = format!("http://{}/v2/{}/{rest}", self.host, self.path);
        let request = self.http.request(method, url).header(ACCEPT, format!("{INDEX}, {MANIFEST}"));
        let answer = request.send().await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = answer.bytes().await?.to_vec();
        let said = text("docker-content-digest").filter(|_| status == 200);
        let digest_is_right = said.map(|said| body.is_empty() || said == e2e::image::digest_of(&body));
        let kind = text(CONTENT_TYPE.as_str()).filter(|kind| status == 200 && kind.contains("vnd.oci.image"));
        let listed =
            serde_json::from_slice::<Value>(&body).ok().and_then(|page| page["tags"].as_array().cloned());
        let page = listed.map(|tags| {
            let texts: Vec<&str> = tags.iter().filter_map(Value::as_str).collect();
            (texts.len(), texts.is_sorted(), headers.contains_key(LINK))
        });
        Ok((Meaning { status, kind, digest_is_right, page }, body))
    }

    /// What the pages are, by following them.
    async fn tags(&self, number: usize) -> Result<Vec<String>> {
        let mut rest = format!("tags/list?n={number}");
        let mut all = Vec::new();
        loop {
            let url = format!("http://{}/v2/{}/{rest}", self.host, self.path);
            let answer = self.http.get(url).send().await?.error_for_status()?;
            let link = answer.headers().get(LINK).and_then(|link| link.to_str().ok()).map(str::to_owned);
            let page: Value = serde_json::from_slice(&answer.bytes().await?)?;
            all.extend(
                page["tags"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned),
            );
            let Some(link) = link else { return Ok(all) };
            let next = link.split(['<', '>']).nth(1).context("a link without an address")?;
            let (_, after) = next.split_once(&format!("/v2/{}/", self.path)).context("another repository")?;
            after.clone_into(&mut rest);
        }
    }
}

#[test]
fn the_made_up_registry_answers_as_the_real_one() {
    run("the_made_up_registry_answers_as_the_real_one", async |test| -> Result<()> {
        let synthetic = Synthetic::start(7).await?;
        let http = Client::builder().no_proxy().build()?;
        let made_up = Registry { http: http.clone(), host: synthetic.host.clone(), path: "bench/made-up" };
        let real = Registry { http, host: test.bed.registry().host().to_owned(), path: "bench/real" };
        let tags = made_up.tags(100).await?;
        ensure!(tags.len() == 7, "{tags:?}");
        for tag in &tags {
            test.bed.registry().push(real.path, tag, &Image::release(tag)).await?;
        }
        for number in [1, 2, 3, 7, 100] {
            ensure!(
                real.tags(number).await? == tags && made_up.tags(number).await? == tags,
                "in pages of {number}"
            );
        }
        let requests = [
            (Method::GET, "tags/list?n=3".to_owned()),
            (Method::GET, format!("tags/list?n=3&last={}", tags[2])),
            (Method::GET, "tags/list?n=3&last=zzz".to_owned()),
            (Method::GET, format!("manifests/{}", tags[0])),
            (Method::HEAD, format!("manifests/{}", tags[0])),
            (Method::GET, "manifests/none".to_owned()),
            (Method::HEAD, "manifests/none".to_owned()),
            (Method::GET, format!("manifests/sha256:{}", "0".repeat(64))),
            (Method::GET, format!("blobs/sha256:{}", "0".repeat(64))),
        ];
        for (method, rest) in requests {
            let (expected, _) = real.ask(method.clone(), &rest).await?;
            let (answered, _) = made_up.ask(method.clone(), &rest).await?;
            ensure!(answered == expected, "{method} {rest}: {answered:?}, and the real one: {expected:?}");
        }
        // Down from the index: what it names is there, under that digest.
        for registry in [&real, &made_up] {
            let (_, index) = registry.ask(Method::GET, &format!("manifests/{}", tags[0])).await?;
            let index: Value = serde_json::from_slice(&index)?;
            for entry in index["manifests"].as_array().context("no index")? {
                let digest = entry["digest"].as_str().context("no digest")?;
                let (meaning, manifest) = registry.ask(Method::GET, &format!("manifests/{digest}")).await?;
                ensure!(meaning.kind.as_deref() == Some(MANIFEST), "{meaning:?}");
                ensure!(e2e::image::digest_of(&manifest) == digest, "{digest}");
                let manifest: Value = serde_json::from_slice(&manifest)?;
                let config = manifest["config"]["digest"].as_str().context("no config")?;
                let (meaning, config_bytes) = registry.ask(Method::GET, &format!("blobs/{config}")).await?;
                ensure!(meaning.status == 200 && e2e::image::digest_of(&config_bytes) == config, "{config}");
            }
        }
        Ok(())
    });
}
