//! A registry over plain HTTP: pushing images, moving tags, deleting manifests, looking.

use anyhow::{Context as _, Result, bail};
use reqwest::header::{ACCEPT, CONTENT_TYPE, LOCATION};
use reqwest::{Response, StatusCode};

use super::{Blob, INDEX, Image, MANIFEST, Pushed, build, digest_of};

/// A registry on loopback.
#[derive(Clone, Debug)]
pub struct Registry {
    host: String,
    http: reqwest::Client,
}

/// A manifest or index as the registry has it.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Of the bytes, computed here.
    pub digest: String,
    /// `Content-Type` of the answer.
    pub media_type: String,
    /// The document itself.
    pub bytes: Vec<u8>,
}

impl Registry {
    /// `host` is `127.0.0.1:port`.
    #[must_use]
    pub fn new(host: &str) -> Self {
        crate::install_crypto_provider();
        let http = reqwest::Client::builder().no_proxy().build();
        // It fails where no crypto provider is installed, and one is.
        Self { host: host.to_owned(), http: http.unwrap_or_default() }
    }

    /// `127.0.0.1:port`, as image names begin.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// `host/path`: what a pod's image begins with.
    #[must_use]
    pub fn repository(&self, path: &str) -> String {
        format!("{}/{path}", self.host)
    }

    fn url(&self, path: &str, rest: &str) -> String {
        format!("http://{}/v2/{path}/{rest}", self.host)
    }

    /// An error if it does not answer.
    pub async fn ping(&self) -> Result<()> {
        let answer = self.http.get(format!("http://{}/v2/", self.host)).send().await?;
        expect(answer, &[StatusCode::OK]).await.map(drop)
    }

    /// Pushes an image under a tag. `path` is the repository without the host.
    pub async fn push(&self, path: &str, tag: &str, image: &Image) -> Result<Pushed> {
        let built = build(image)?;
        for blob in &built.blobs {
            self.push_blob(path, blob).await?;
        }
        for manifest in &built.manifests {
            self.put_manifest(path, &manifest.digest(), manifest.media_type, manifest.bytes.clone()).await?;
        }
        self.put_manifest(path, tag, built.index.media_type, built.index.bytes.clone()).await?;
        Ok(Pushed {
            repository: self.repository(path),
            digest: built.index.digest(),
            platforms: built.platforms,
            configs: built.configs,
        })
    }

    /// Points `tag` at what `reference` (a tag or a digest) names in the same repository.
    pub async fn tag(&self, path: &str, reference: &str, tag: &str) -> Result<()> {
        let found = self.manifest(path, reference).await?;
        let manifest = found.with_context(|| format!("{path} has no {reference}"))?;
        self.put_manifest(path, tag, &manifest.media_type, manifest.bytes).await
    }

    /// Deletes a manifest by digest, and with it every tag that points to it.
    pub async fn delete(&self, path: &str, digest: &str) -> Result<()> {
        let url = self.url(path, &format!("manifests/{digest}"));
        expect(self.http.delete(url).send().await?, &[StatusCode::ACCEPTED]).await.map(drop)
    }

    /// What a tag or a digest names; `None` where there is nothing.
    pub async fn manifest(&self, path: &str, reference: &str) -> Result<Option<Manifest>> {
        let url = self.url(path, &format!("manifests/{reference}"));
        let accept = format!(
            "{INDEX}, {MANIFEST}, application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"
        );
        let answer = self.http.get(url).header(ACCEPT, accept).send().await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let answer = expect(answer, &[StatusCode::OK]).await?;
        let media_type =
            answer.headers().get(CONTENT_TYPE).context("a manifest without a type")?.to_str()?.to_owned();
        let bytes = answer.bytes().await?.to_vec();
        Ok(Some(Manifest { digest: digest_of(&bytes), media_type, bytes }))
    }

    async fn push_blob(&self, path: &str, blob: &Blob) -> Result<()> {
        let digest = blob.digest();
        let there = self.http.head(self.url(path, &format!("blobs/{digest}"))).send().await?;
        if there.status() == StatusCode::OK {
            return Ok(());
        }
        let answer = self.http.post(self.url(path, "blobs/uploads/")).send().await?;
        let answer = expect(answer, &[StatusCode::ACCEPTED]).await?;
        let location = answer.headers().get(LOCATION).context("an upload without a Location")?.to_str()?;
        let mut url = answer.url().join(location)?;
        url.query_pairs_mut().append_pair("digest", &digest);
        let put = self.http.put(url).header(CONTENT_TYPE, "application/octet-stream");
        expect(put.body(blob.bytes.clone()).send().await?, &[StatusCode::CREATED]).await.map(drop)
    }

    async fn put_manifest(
        &self,
        path: &str,
        reference: &str,
        media_type: &str,
        bytes: Vec<u8>,
    ) -> Result<()> {
        let url = self.url(path, &format!("manifests/{reference}"));
        let put = self.http.put(url).header(CONTENT_TYPE, media_type).body(bytes);
        expect(put.send().await?, &[StatusCode::CREATED]).await.map(drop)
    }
}

async fn expect(answer: Response, wanted: &[StatusCode]) -> Result<Response> {
    if wanted.contains(&answer.status()) {
        return Ok(answer);
    }
    let (url, status) = (answer.url().clone(), answer.status());
    let body = answer.text().await.unwrap_or_else(|error| error.to_string());
    bail!("{url}: {status}: {body}")
}
